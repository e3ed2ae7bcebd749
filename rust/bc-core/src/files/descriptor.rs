//! Which plugin is in a jar.
//!
//! GoCD looks in the root of the jar for `gocd-bundle.xml`, then for `plugin.xml`
//! (`GoPluginBundleDescriptorParser`, `GoPluginDescriptorParser`). Whatever is wrong with either makes a plugin
//! that GoCD shows as invalid, never a reason for us not to carry the jar.

use std::io::{self, Read, Seek};

use serde::{Deserialize, Serialize};

use crate::{
    basics::Digest,
    generation::{PluginIdentity, own_files::OWN_PLUGIN_ID},
};

mod directory;
mod faults;
#[cfg(test)]
pub(crate) mod odd_jars;
mod text;

use directory::Directory;
use faults::Watched;

/// Longer descriptors are not read to their end; real ones have a few kilobytes.
const MAX_DESCRIPTOR: u64 = 4 * 1024 * 1024;
/// In the order in which GoCD looks for them: file, root, and the element of a plugin.
const DESCRIPTORS: [(&str, &str, &str); 2] = [
    ("gocd-bundle.xml", "gocd-bundle", "plugin"),
    ("plugin.xml", "go-plugin", "go-plugin"),
];

/// What is in a file that is called a jar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Jar {
    /// A plugin, or a bundle of several.
    Plugin(PluginIdentity),
    /// A zip file without a descriptor.
    Plain,
    /// A zip file of which nobody can say which plugin it is, and why, as a clause. No id in it counts.
    Odd(String),
    /// No zip file, or not all of it.
    Broken,
}

impl Jar {
    /// Reads a jar on a disk to see which plugin it is, as [`Jar::inspect`].
    ///
    /// # Errors
    /// The jar cannot be read. Nothing is known of it then: it is not broken for that, and may be our own plugin.
    pub(crate) fn read(file: impl Read + Seek) -> io::Result<Self> {
        let mut file = Watched::new(file);
        let jar = Self::inspect(&mut file);
        file.unless_failed(jar)
    }

    /// Inspects a jar to see which plugin it is. The list of its files is at the end, so a jar of which a part is
    /// missing is broken.
    ///
    /// Whatever GoCD might load under our own id is our own plugin, however odd it is.
    pub fn inspect(file: impl Read + Seek) -> Self {
        let mut file = file;
        let names = DESCRIPTORS.map(|(name, ..)| name);
        let Ok(Some(directory)) = Directory::read(&mut file, &names) else {
            return Jar::Broken;
        };
        let described = DESCRIPTORS.iter().enumerate().find_map(|(index, kind)| {
            let entries = directory.entries(index);
            (!entries.is_empty()).then_some((entries, kind))
        });
        let Some((entries, (_, root, plugin_element))) = described else {
            return directory.objection.map_or(Jar::Plain, Jar::odd);
        };
        let mut odd = (entries.len() > 1).then_some("it has several descriptors of one name");
        let mut identity = None;
        for entry in entries {
            let Ok(bytes) = entry.unpack(&mut file, MAX_DESCRIPTOR + 1) else {
                odd.get_or_insert("its descriptor cannot be unpacked");
                continue;
            };
            if bytes.len() as u64 > MAX_DESCRIPTOR {
                odd.get_or_insert("its descriptor is longer than any");
            }
            let read = text::read(&bytes, root, plugin_element);
            if read.names_us && directory.objection.is_none() {
                return Jar::Plugin(read.identity.unwrap_or_else(|_| PluginIdentity {
                    id: OWN_PLUGIN_ID.to_owned(),
                    version: None,
                }));
            }
            match read.identity {
                Ok(found) => identity = Some(found),
                Err(reason) => drop(odd.get_or_insert(reason)),
            }
        }
        match (directory.objection.or(odd), identity) {
            (None, Some(identity)) => Jar::Plugin(identity),
            (reason, _) => Jar::odd(reason.unwrap_or("its descriptor cannot be read")),
        }
    }

    /// A jar of which nobody can say which plugin it is, for this reason.
    fn odd(reason: &str) -> Self {
        Jar::Odd(reason.to_owned())
    }

    /// The identity of the plugin in this jar, where there is one.
    pub fn identity(&self) -> Option<&PluginIdentity> {
        match self {
            Jar::Plugin(identity) => Some(identity),
            Jar::Plain | Jar::Odd(_) | Jar::Broken => None,
        }
    }

    /// What an administrator should know of this jar, to be read after its name: it is carried all the same.
    pub fn warning(&self) -> Option<String> {
        match self {
            Jar::Plugin(_) | Jar::Plain => None,
            Jar::Odd(reason) => Some(format!(
                "is synced as it is, but GoCD may not take it as a plugin: {reason}"
            )),
            Jar::Broken => Some("is not a jar that can be read; it is synced as it is".to_owned()),
        }
    }

    /// Whether this jar is our own plugin, which is never synced.
    pub fn is_own(&self) -> bool {
        self.identity().is_some_and(is_own)
    }
}

/// The digest of the list of files at the end of a jar; none where it has no list that can be read. Jars with other
/// contents have other lists.
pub(super) fn list(mut file: impl Read + Seek) -> Option<Digest> {
    Directory::digest(&mut file).ok().flatten()
}

/// Whether this identity is that of our own plugin.
pub(crate) fn is_own(identity: &PluginIdentity) -> bool {
    shares_an_id(&identity.id, OWN_PLUGIN_ID)
}

/// Whether two plugin ids share one, so that GoCD would see one plugin twice: ids are unique ignoring case, and a
/// bundle has several, which [`PluginIdentity`] joins by a comma.
pub(crate) fn shares_an_id(one: &str, other: &str) -> bool {
    one.split(',')
        .any(|id| other.split(',').any(|known| known.eq_ignore_ascii_case(id)))
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
            let inspected = inspect(&jar(&[("plugin.xml", descriptor)]));
            assert!(matches!(inspected, Jar::Odd(_)), "{descriptor}: {inspected:?}");
            assert_eq!(inspected.identity(), None);
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
