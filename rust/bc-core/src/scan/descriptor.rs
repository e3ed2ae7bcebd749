//! Who the plugin in a jar is.
//!
//! GoCD looks in the root of the jar for `gocd-bundle.xml`, then for `plugin.xml`
//! (`GoPluginBundleDescriptorParser`, `GoPluginDescriptorParser`). Whatever is wrong with either makes a plugin
//! that GoCD shows as invalid, never a reason for us not to carry the jar.

use std::io::{Read, Seek};

use quick_xml::{Reader, events::BytesStart, events::Event};
use serde::{Deserialize, Serialize};
use zip::{ZipArchive, result::ZipError};

use crate::{
    manifest::{OWN_PLUGIN_ID, PluginIdentity},
    words,
};

/// Descriptors beyond this are not read; real ones have a few kilobytes.
const MAX_DESCRIPTOR: u64 = 1024 * 1024;
/// GoCD's own limit for an id (`plugin-descriptor.xsd`).
const MAX_ID: usize = 200;

/// What is in a file that is called a jar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jar {
    /// A plugin, or a bundle of several.
    Plugin(PluginIdentity),
    /// A zip file without a descriptor that GoCD would take.
    Plain,
    /// No zip file, or not all of it.
    Broken,
}

impl Jar {
    /// Looks into a jar. The list of its files is at the end, so a jar of which a part is missing is broken.
    pub fn inspect(file: impl Read + Seek) -> Self {
        let Ok(mut archive) = ZipArchive::new(file) else {
            return Jar::Broken;
        };
        for (descriptor, plugin_element) in [("gocd-bundle.xml", "plugin"), ("plugin.xml", "go-plugin")] {
            match archive.by_name(descriptor) {
                Ok(file) => {
                    let mut text = Vec::new();
                    if file.take(MAX_DESCRIPTOR).read_to_end(&mut text).is_err() {
                        return Jar::Broken;
                    }
                    return identity(&text, plugin_element).map_or(Jar::Plain, Jar::Plugin);
                }
                Err(ZipError::FileNotFound) => {}
                Err(_) => return Jar::Broken,
            }
        }
        Jar::Plain
    }

    /// The plugin's identity, where there is one.
    pub fn identity(&self) -> Option<&PluginIdentity> {
        match self {
            Jar::Plugin(identity) => Some(identity),
            Jar::Plain | Jar::Broken => None,
        }
    }

    /// Whether this is our own plugin, which is never synced.
    pub fn is_own(&self) -> bool {
        self.identity().is_some_and(is_own)
    }
}

/// Whether this is our own plugin.
pub fn is_own(identity: &PluginIdentity) -> bool {
    shares_an_id(&identity.id, OWN_PLUGIN_ID)
}

/// Whether GoCD would see one plugin twice: ids are unique ignoring case, and a bundle has several, which
/// [`PluginIdentity`] joins by a comma.
pub fn shares_an_id(one: &str, other: &str) -> bool {
    one.split(',')
        .any(|id| other.split(',').any(|known| known.eq_ignore_ascii_case(id)))
}

/// Ids of all `plugin_element` elements and the first version of an `about` block.
fn identity(descriptor: &[u8], plugin_element: &str) -> Option<PluginIdentity> {
    let mut reader = Reader::from_reader(descriptor);
    let mut path: Vec<Vec<u8>> = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    let mut version: Option<String> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                ids.extend(id(&start, plugin_element)?);
                path.push(start.name().as_ref().to_vec());
            }
            Event::Empty(start) => ids.extend(id(&start, plugin_element)?),
            Event::End(_) => {
                path.pop();
            }
            Event::Text(text) if version.is_none() && is_version(&path) => {
                version = readable(&String::from_utf8_lossy(&text));
            }
            // GoCD parses descriptors with DTDs switched off, so such a jar is no plugin to it.
            Event::DocType(_) => return None,
            Event::Eof => break,
            _ => {}
        }
    }
    let id = (!ids.is_empty()).then(|| ids.join(","))?;
    Some(PluginIdentity { id, version })
}

/// Nothing where the element is another one; none where its id is not one that GoCD takes.
fn id(element: &BytesStart<'_>, plugin_element: &str) -> Option<Option<String>> {
    if element.name().as_ref() != plugin_element.as_bytes() {
        return Some(None);
    }
    let value = element.try_get_attribute("id").ok()??;
    let id = value.unescape_value().ok()?;
    let is_legal = (1..=MAX_ID).contains(&id.len())
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    is_legal.then(|| Some(id.into_owned()))
}

fn is_version(path: &[Vec<u8>]) -> bool {
    matches!(path, [.., about, version] if about == b"about" && version == b"version")
}

/// The version is shown to people: a short line without control characters.
fn readable(text: &str) -> Option<String> {
    let line = words::shown(text.trim(), MAX_ID);
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Cursor, Write};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// A jar with these files.
    pub(crate) fn jar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .expect("a new file");
            writer.write_all(content.as_bytes()).expect("memory");
        }
        writer.finish().expect("memory").into_inner()
    }

    /// A jar that GoCD would load as plugin `id`.
    pub(crate) fn plugin(id: &str, version: &str) -> Vec<u8> {
        let descriptor = format!(
            "<?xml version=\"1.0\"?>\n<go-plugin id=\"{id}\" version=\"1\"><about><name>x</name>\
             <version> {version} </version></about></go-plugin>"
        );
        jar(&[("plugin.xml", &descriptor), ("a/B.class", "class")])
    }

    fn inspect(content: &[u8]) -> Jar {
        Jar::inspect(Cursor::new(content))
    }

    #[test]
    fn a_plugin_is_known_by_its_descriptor() {
        let identity = PluginIdentity {
            id: "cd.go.x".to_owned(),
            version: Some("1.2".to_owned()),
        };
        assert_eq!(inspect(&plugin("cd.go.x", "1.2")), Jar::Plugin(identity));
        assert!(inspect(&plugin(OWN_PLUGIN_ID, "1")).is_own());
    }

    #[test]
    fn a_bundle_has_several_ids_and_comes_first() {
        let bundle = "<gocd-bundle version='1'><plugins><plugin id='a'><about><version>1</version></about></plugin>\
                      <plugin id='b'/></plugins></gocd-bundle>";
        let jar = inspect(&jar(&[
            ("gocd-bundle.xml", bundle),
            ("plugin.xml", "<go-plugin id='c'/>"),
        ]));
        let identity = jar.identity().expect("a bundle");
        assert_eq!((identity.id.as_str(), identity.version.as_deref()), ("a,b", Some("1")));
        assert!(shares_an_id(&identity.id, "B"));
        assert!(!shares_an_id(&identity.id, "c"));
    }

    #[test]
    fn what_gocd_would_not_take_has_no_identity() {
        for descriptor in [
            "<go-plugin version='1'/>",
            "<go-plugin id='with blank'/>",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><go-plugin id='a'/>",
            "<go-plugin id='a'",
            "",
        ] {
            assert_eq!(inspect(&jar(&[("plugin.xml", descriptor)])), Jar::Plain, "{descriptor}");
        }
        assert_eq!(inspect(&jar(&[("sub/plugin.xml", "<go-plugin id='a'/>")])), Jar::Plain);
    }

    #[test]
    fn half_a_jar_is_broken() {
        let whole = plugin("a", "1");
        assert_eq!(inspect(&whole[..whole.len() / 2]), Jar::Broken);
        assert_eq!(inspect(b"no zip"), Jar::Broken);
        assert_eq!(inspect(b""), Jar::Broken);
    }
}
