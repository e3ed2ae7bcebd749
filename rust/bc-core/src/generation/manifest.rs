//! The list of synced files.
//!
//! A *generation* is one manifest with all its bytes; its id is the SHA-256 of the manifest's canonical form, which
//! names every file with size and SHA-256, and every name that is [`withheld`](crate::generation::withheld). The
//! *envelope* (who, when, which role) is not part of it, so the same files are the same generation on every node.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Digests, characters::is_deceptive, lenient::if_understood},
    generation::{
        jar_name::JarName,
        name::Name,
        withheld::{Reason, Withheld},
    },
};

/// The version of the wire form, and of the canonical form.
pub const FORMAT: u32 = 1;

/// The longest text about a node or a plugin that is believed.
const MAX_TEXT: usize = 4096;
/// The ids of all plugins of a bundle together are not longer, in bytes.
pub(crate) const MAX_PLUGIN_IDS: usize = 64 * 1024;

/// Id and version from a plugin jar's descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginIdentity {
    /// `id` of `plugin.xml`, or the ids of `gocd-bundle.xml` joined by a comma.
    pub id: String,
    /// `version` of its `about` block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl PluginIdentity {
    /// Whether any plugin can have this identity: a text from the wire is shown to people and compared with others.
    fn is_believed(&self) -> bool {
        let is_short = (1..=MAX_PLUGIN_IDS).contains(&self.id.len());
        let is_shown = |text: &str| !text.chars().any(is_deceptive);
        let version = self.version.as_deref().unwrap_or_default();
        is_short && is_shown(&self.id) && version.len() <= MAX_TEXT && is_shown(version)
    }
}

/// The id, and the version where there is one.
impl fmt::Display for PluginIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match &self.version {
            Some(version) => write!(f, " {version}"),
            None => Ok(()),
        }
    }
}

/// One synced file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written on the primary, milliseconds since 1970 by the primary's clock.
    pub modified_ms: i64,
    /// Who the plugin is, for a jar with a readable descriptor. What is no identity is none: one odd jar never keeps
    /// the others from being synced.
    #[serde(default, deserialize_with = "if_identity", skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginIdentity>,
}

impl Entry {
    /// The manifest's entry for a file with these digests.
    pub fn new(digests: Digests, modified_ms: i64, plugin: Option<PluginIdentity>) -> Self {
        Self {
            sha256: digests.sha256,
            size: digests.size,
            modified_ms,
            plugin,
        }
    }
}

/// All synced files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// By name.
    pub files: BTreeMap<Name, Entry>,
    /// What is there besides and is not offered.
    #[serde(default, skip_serializing_if = "Withheld::is_empty")]
    pub withheld: Withheld,
}

impl Manifest {
    /// The id of the generation that the manifest's files are.
    pub fn generation(&self) -> Digest {
        generation_of(&self.files, &self.withheld)
    }

    /// The bytes of all files of the manifest together.
    pub fn total_size(&self) -> u64 {
        total_size(&self.files)
    }

    /// The plugin jars of the manifest.
    pub fn plugins(&self) -> impl Iterator<Item = (&JarName, &Entry)> {
        self.files.iter().filter_map(|(name, entry)| match name {
            Name::Plugin(jar) => Some((jar, entry)),
            _ => None,
        })
    }
}

/// Reads a plugin's identity in an entry of a manifest, and none from a value that is no identity of a plugin.
pub(crate) fn if_identity<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PluginIdentity>, D::Error> {
    Ok(if_understood(deserializer)?.filter(PluginIdentity::is_believed))
}

/// The id of a generation, the digest of its manifest's canonical form: one line per file, `sha256 size name`, in the
/// order of the names, after a line with the format; then one per name that is withheld. Jar names hold no control
/// characters, so lines cannot be forged.
pub(crate) fn generation_of<'a>(files: impl IntoIterator<Item = (&'a Name, &'a Entry)>, withheld: &Withheld) -> Digest {
    Digest::of(canonical_of(files, withheld, Reason::code_in_id).as_bytes())
}

/// The canonical form of a manifest, with each reason for withholding as `code` writes it.
pub(crate) fn canonical_of<'a>(
    files: impl IntoIterator<Item = (&'a Name, &'a Entry)>,
    withheld: &Withheld,
    code: impl Fn(&Reason) -> &str,
) -> String {
    let mut canonical = format!("gocd-business-continuity manifest {FORMAT}\n");
    for (name, entry) in files {
        writeln!(canonical, "{} {} {name}", entry.sha256, entry.size).expect("memory does not fail");
    }
    withheld.write_canonical(&mut canonical, code);
    canonical
}

/// The bytes of all these files of a manifest together.
pub(crate) fn total_size(files: &BTreeMap<Name, Entry>) -> u64 {
    files.values().map(|entry| entry.size).sum()
}
