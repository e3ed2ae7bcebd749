//! What a standby wants to know of a cruise-config.xml before it becomes live, found in one pass.
//!
//! [`CruiseConfig::read`] is that pass. [`paths`] names elements for people, and is a second pass that is only worth
//! its time when there is something to complain of.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use memchr::{memchr, memmem};
use zeroize::Zeroizing;

use crate::{
    basics::words,
    gocd::{
        secret,
        xml::{Element, Outline, Visitor},
    },
};

/// Properties of GoCD's own plugins whose value is the path of a file, absolute or relative to GoCD's working
/// directory: passwords (`cd.go.authentication.passwordfile`) and secrets (`cd.go.secrets.file-based-plugin`).
const FILE_PROPERTIES: [&str; 2] = ["PasswordFilePath", "SecretsFilePath"];
/// Elements that somebody configured by hand or by the first use of a server. GoCD's own template, and what it makes
/// of that at its first start, has none of them.
const WORK: [&[u8]; 4] = [b"pipeline", b"config-repo", b"agent", b"authConfig"];
/// Looks for the names of encrypted attributes: made once, for it is asked of most tags.
static FIND_ENCRYPTED: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(secret::ENCRYPTED));
/// The longest name of an element's own that is shown.
const MAX_SHOWN: usize = 60;

/// A whole cruise-config.xml in short. It holds encrypted values, so it has no Debug.
pub(crate) struct CruiseConfig {
    /// Root and server.
    pub outline: Outline,
    /// Whether nobody would miss it: it has no pipelines or repositories of them, no agents and no authConfigs.
    pub is_template: bool,
    /// What GoCD encrypted with `cipher.aes`, in the order of the text; [`super::secret`] says what that is. A value in
    /// several parts, such as around a comment, is left out, since the key cannot be held against a part.
    pub secrets: Vec<Secret>,
    /// Files outside of it that it needs.
    pub files: Vec<MentionedFile>,
}

/// An encrypted value.
pub(crate) struct Secret {
    /// The place after the part of the text that holds it: see [`paths`].
    pub end: u64,
    /// Beginning with [`super::cipher::PREFIX`].
    pub value: Zeroizing<String>,
}

/// A file that a configuration mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MentionedFile {
    /// The key of the property.
    pub property: String,
    /// Its value.
    pub path: String,
}

impl MentionedFile {
    /// Where the file is for a GoCD that works in this folder; none where the property names none.
    pub(crate) fn place(&self, working_dir: &Path) -> Option<PathBuf> {
        (!self.path.is_empty()).then(|| working_dir.join(&self.path))
    }
}

impl CruiseConfig {
    /// Reads the whole text of a `cruise-config.xml`.
    ///
    /// # Errors
    /// Why it is not a whole XML file, to be read after the file's name.
    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let (outline, mut reading) = Outline::read_with::<Reading>(text)?;
        Ok(CruiseConfig {
            outline,
            is_template: !reading.has_work,
            files: std::mem::take(&mut reading.files),
            secrets: reading.whole_secrets(text),
        })
    }
}

/// The elements of which the text matters.
#[derive(Clone, Copy, Default)]
enum Innermost {
    Encrypted,
    Key,
    Value,
    #[default]
    Other,
}

#[derive(Default)]
struct Reading {
    /// The element that was opened last, unless one was closed since.
    innermost: Innermost,
    /// The key of the property that we are in, if its value is a path.
    property: Option<&'static str>,
    has_work: bool,
    secrets: Vec<(Source, Secret)>,
    files: Vec<MentionedFile>,
}

/// Where a secret was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Attribute,
    Text,
}

impl Reading {
    /// Adds a secret of `cruise-config.xml` that was read.
    fn add_secret(&mut self, source: Source, value: String, end: u64) {
        let value = Zeroizing::new(value);
        if secret::is_encrypted(&value) {
            self.secrets.push((source, Secret { end, value }));
        }
    }

    /// The secrets of a `cruise-config.xml` without those in texts after whose part their element does not end.
    fn whole_secrets(self, text: &[u8]) -> Vec<Secret> {
        let is_last = |end: u64| {
            let rest = usize::try_from(end).ok().and_then(|end| text.get(end..));
            rest.is_some_and(|rest| rest.starts_with(b"</"))
        };
        let all = self.secrets.into_iter();
        all.filter(|(source, secret)| *source == Source::Attribute || is_last(secret.end))
            .map(|(_, secret)| secret)
            .collect()
    }
}

impl Visitor for Reading {
    fn open(&mut self, element: Element<'_>, end: u64) {
        let name = element.name();
        self.has_work = self.has_work || WORK.contains(&name);
        // Most have neither the prefix of a secret nor the beginning of a name for one.
        let attributes = element.attributes_text();
        if memchr(b':', attributes).is_some() && FIND_ENCRYPTED.find(attributes).is_some() {
            for attribute in element
                .attributes()
                .flatten()
                .filter(|attribute| secret::is_of_gocd(attribute.key.as_ref()))
            {
                if let Ok(value) = attribute.unescape_value() {
                    self.add_secret(Source::Attribute, value.into_owned(), end);
                }
            }
        }
        self.innermost = match name {
            b"key" => Innermost::Key,
            b"value" => Innermost::Value,
            name if secret::is_of_gocd(name) => Innermost::Encrypted,
            _ => Innermost::Other,
        };
    }

    fn text(&mut self, text: &[u8], end: u64) {
        match (self.innermost, self.property) {
            (Innermost::Encrypted, _) => {
                let value = text.trim_ascii();
                if !value.is_empty() {
                    self.add_secret(Source::Text, String::from_utf8_lossy(value).into_owned(), end);
                    // What comes after it is a part of the same value.
                    self.innermost = Innermost::Other;
                }
            }
            (Innermost::Key, _) => {
                let key = text.trim_ascii();
                self.property = FILE_PROPERTIES.into_iter().find(|known| known.as_bytes() == key);
            }
            (Innermost::Value, Some(property)) => {
                let path = String::from_utf8_lossy(text);
                self.files.push(MentionedFile {
                    property: property.to_owned(),
                    path: path.trim().to_owned(),
                });
                self.property = None;
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        self.innermost = Innermost::Other;
    }
}

/// Names the elements of a `cruise-config.xml` in which the parts of the text end that end at these places, in
/// ascending order: the way from the root, each element with its own name where it has one, such as
/// `pipelines[first]/pipeline[up42]/environmentvariables/variable[PASSWORD]/encryptedValue`. Never a value.
pub(crate) fn paths(text: &[u8], ends: &[u64]) -> Vec<String> {
    let mut finding = Finding {
        ends,
        way: Vec::new(),
        found: Vec::new(),
    };
    // It was read before. What comes after the last place need not be read again, so that this ends in an error.
    let read = ends.last().map_or(0, |end| text.len().min(*end as usize));
    let _ = Outline::visit(&text[..read], &mut finding);
    finding.found
}

struct Finding<'e> {
    ends: &'e [u64],
    way: Vec<String>,
    found: Vec<String>,
}

impl Finding<'_> {
    /// Notes the way to an element of `cruise-config.xml` for the places that were asked for.
    fn at(&mut self, end: u64) {
        while self.ends.get(self.found.len()).is_some_and(|wanted| *wanted <= end) {
            // The root is the same for all.
            self.found.push(self.way.get(1..).unwrap_or_default().join("/"));
        }
    }
}

impl Visitor for Finding<'_> {
    fn open(&mut self, element: Element<'_>, end: u64) {
        self.way.push(label(&element));
        self.at(end);
    }

    fn text(&mut self, _: &[u8], end: u64) {
        self.at(end);
    }

    fn close(&mut self) {
        self.way.pop();
    }
}

/// An element's name, and what people call it, without what in these may be secret.
fn label(element: &Element<'_>) -> String {
    let name = secret::masked(&String::from_utf8_lossy(element.name()));
    match ["group", "name", "id"].iter().find_map(|key| element.attribute(key)) {
        Some(own) => format!("{name}[{}]", words::shown(&secret::masked(&own), MAX_SHOWN)),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = include_str!("../../../../tests/fixtures/data/config/cruise-config.xml");

    fn read(text: &str) -> CruiseConfig {
        CruiseConfig::read(text.as_bytes()).unwrap_or_else(|reason| panic!("{reason}: {text}"))
    }

    fn named(text: &str) -> Vec<String> {
        let ends: Vec<u64> = read(text).secrets.iter().map(|secret| secret.end).collect();
        paths(text.as_bytes(), &ends)
    }

    #[test]
    fn a_configuration_of_gocd_is_read_in_one_pass() {
        let config = read(CONFIG);
        assert_eq!(config.outline, Outline::read(CONFIG.as_bytes()).expect("whole"));
        assert!(!config.is_template);
        let values: Vec<&str> = config.secrets.iter().map(|secret| secret.value.as_str()).collect();
        assert_eq!(values, ["AES:lzcCuNSe4vUx+CsWgN11Uw==:DelRFu6mCN7kC/2oYmeLRA=="]);
        let file = MentionedFile {
            property: "PasswordFilePath".to_owned(),
            path: "config/password.properties".to_owned(),
        };
        assert_eq!(config.files, [file]);
        assert_eq!(
            named(CONFIG),
            ["pipelines[first]/pipeline[up42]/environmentvariables/variable[DEPLOY_PASSWORD]/encryptedValue"]
        );
    }

    #[test]
    fn secrets_are_where_gocd_encrypts_and_nowhere_else() {
        let text = "<cruise><server><mailhost hostname='x' encryptedPassword='AES:a&amp;:b'/></server><!-- \
                    <encryptedValue>AES:x:y</encryptedValue> --><pipelines group='g'><pipeline name='p'><materials>\
                    <svn url='AES:no' encryptedPassword='DES'/><p4 encryptedPassword='AES:c:d'></p4></materials>\
                    <variable name='v'><value>AES:plain</value></variable><property><key>k</key><encryptedValue>\n \
                    AES:e:f\n</encryptedValue></property><encryptedValue><![CDATA[AES:g:h]]></encryptedValue>\
                    </pipeline></pipelines></cruise>";
        let config = read(text);
        let values: Vec<&str> = config.secrets.iter().map(|secret| secret.value.as_str()).collect();
        assert_eq!(values, ["AES:a&:b", "AES:c:d", "AES:e:f", "AES:g:h"]);
        assert_eq!(
            named(text),
            [
                "server/mailhost",
                "pipelines[g]/pipeline[p]/materials/p4",
                "pipelines[g]/pipeline[p]/property/encryptedValue",
                "pipelines[g]/pipeline[p]/encryptedValue",
            ]
        );
    }

    #[test]
    fn a_value_in_parts_is_not_taken_for_one_that_the_key_does_not_fit() {
        for value in [
            "AES:a:b<!-- c -->d",
            "AES:a:b&#61;",
            "AES:a:b<![CDATA[c]]>",
            "x<!-- -->AES:a:b",
            "<b/>AES:a:b",
        ] {
            let config = read(&format!(
                "<cruise><v><encryptedValue>{value}</encryptedValue></v></cruise>"
            ));
            assert!(config.secrets.is_empty(), "{value}");
        }
        let config = read("<cruise><encryptedValue>\n <!-- c -->AES:a:b\n</encryptedValue></cruise>");
        assert_eq!(config.secrets.len(), 1);
    }

    #[test]
    fn nothing_secret_is_in_the_name_of_an_element() {
        let text = "<cruise><a name='https://me:word@host/x'><b id='AES:c:d'><encryptedValue>AES:x:y</encryptedValue></b>\
                    </a></cruise>";
        assert_eq!(named(text), ["a[https://[secret]@host/x]/b[[secret]]/encryptedValue"]);
    }

    #[test]
    fn a_template_is_what_nobody_has_worked_on() {
        let fresh = "<cruise schemaVersion='139'><server serverId='x' agentAutoRegisterKey='y'><artifacts>\
                     <artifactsDir>artifacts</artifactsDir></artifacts></server>@</cruise>";
        assert!(read(&fresh.replace('@', "")).is_template);
        assert!(read(&fresh.replace('@', "<pipelines group='defaultGroup'/>")).is_template);
        for work in [
            "<pipelines><pipeline name='p'/></pipelines>",
            "<config-repos><config-repo id='r'><git url='u'/></config-repo></config-repos>",
            "<agents><agent hostname='h'/></agents>",
            "<security><authConfigs><authConfig id='a'/></authConfigs></security>",
        ] {
            assert!(!read(&fresh.replace('@', work)).is_template, "{work}");
        }
    }

    #[test]
    fn a_file_is_mentioned_by_the_properties_of_gocds_own_plugins() {
        let property = |key: &str, value: &str| format!("<property><key>{key}</key><value>{value}</value></property>");
        let text = format!(
            "<cruise><secretConfig>{}</secretConfig><authConfig>{}{}</authConfig></cruise>",
            property("SecretsFilePath", "/etc/go/secrets.db"),
            property("Url", "PasswordFilePath"),
            property("PasswordFilePath", ""),
        );
        let file = MentionedFile {
            property: "SecretsFilePath".to_owned(),
            path: "/etc/go/secrets.db".to_owned(),
        };
        assert_eq!(read(&text).files, [file]);
    }

    #[test]
    fn what_is_not_whole_is_told_as_the_outline_tells_it() {
        for text in ["", "<cruise>", "<cruise/>x"] {
            let reason = CruiseConfig::read(text.as_bytes()).err().expect(text);
            assert_eq!(Outline::read(text.as_bytes()), Err(reason));
        }
    }
}
