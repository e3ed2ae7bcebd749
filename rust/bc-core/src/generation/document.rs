//! A manifest as it is sent and kept: with its envelope and its lineage.
//!
//! Wire form, JSON, format 1. An old reader ignores fields it does not know; a new reader takes a missing
//! optional field as unknown. A format above 1 is refused with a message, since it would mean another
//! canonical form.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error, Kind, words},
    generation::{
        envelope::Envelope,
        jar_name::JarName,
        lineage::Lineage,
        manifest::{Entry, FORMAT, PluginIdentity, canonical_of, generation_of, if_identity, total_size},
        name::{MAX_TOTAL_SIZE, Name},
        withheld::{Reason, Withheld},
    },
};

/// At most so many files are synced; GoCD installations have a few hundred.
pub(crate) const MAX_FILES: usize = 10_000;

/// Body of `/api/v2/manifest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestDocument {
    /// [`FORMAT`].
    pub format: u32,
    /// Id of the generation; must be what the receiver computes itself.
    pub generation: Digest,
    /// Who sends it and when.
    pub envelope: Envelope,
    /// The files.
    pub files: BTreeMap<Name, Entry>,
    /// What the sender has besides and does not offer. It was not removed there.
    #[serde(default, skip_serializing_if = "Withheld::is_empty")]
    pub withheld: Withheld,
    /// Names among `files` that the sender withholds, and that a standby has added with what it has under them. Only on
    /// a standby's own disk, never on the wire: the generation is that of all other files.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retained: BTreeSet<Name>,
    /// Jars of our own plugin on the sender, for information. What is none is left out.
    #[serde(default, deserialize_with = "identities")]
    pub own_jars: BTreeMap<JarName, PluginIdentity>,
    /// What the sender had at its last sequences.
    #[serde(default, skip_serializing_if = "Lineage::is_empty")]
    pub lineage: Lineage,
    /// Whether the sender does not know which further files it has, since its `bc.sync.extra` is wrong: those that
    /// are missing here were not removed there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub extra_is_unknown: bool,
}

impl ManifestDocument {
    /// Parses and checks the body of a manifest document: format, and that the generation id is that of the files.
    ///
    /// # Errors
    /// [`Kind::Protocol`] saying what is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let wrong = |what: String| {
            Error::new(
                Kind::Protocol,
                what,
                "Check that bc.primary.url leads to the primary's Business Continuity port.",
            )
        };
        let mut document: Self = serde_json::from_slice(body).map_err(|error| {
            // It may quote what came, however long that is.
            let reason = words::shown(&error.to_string(), 200);
            wrong(format!("the primary's manifest is not understood: {reason}"))
        })?;
        if document.format != FORMAT {
            return Err(Error::new(
                Kind::Protocol,
                format!(
                    "the primary's manifest has format {}, this version reads {FORMAT}",
                    document.format
                ),
                "Run the same version of the plugin on both servers.",
            ));
        }
        // Only this node says what it retains.
        document.retained.clear();
        if !document.is_its_generation() {
            return Err(wrong(
                "the primary's manifest is not the generation that it claims to be".to_owned(),
            ));
        }
        let named = document.files.len() + document.withheld.files.len();
        if named > MAX_FILES {
            return Err(wrong(format!(
                "the primary's manifest names {named} files, more than the {MAX_FILES} that are synced"
            )));
        }
        let mut withheld = document.withheld.files.keys();
        if let Some(name) = withheld.find(|name| document.files.contains_key(name)) {
            return Err(wrong(format!(
                "the primary's manifest both offers and withholds {name}"
            )));
        }
        let mut sizes = document.files.values().map(|entry| entry.size);
        if sizes
            .try_fold(0, u64::checked_add)
            .is_none_or(|total| total > MAX_TOTAL_SIZE)
        {
            return Err(wrong(
                "the primary's manifest names more bytes than any disk has".to_owned(),
            ));
        }
        // Before a byte of it is fetched: configuration files are read into memory.
        if let Some((name, entry)) = document.files.iter().find(|(name, entry)| entry.size > name.largest()) {
            return Err(Error::new(
                Kind::Protocol,
                format!(
                    "{name} on the primary has {} bytes, more than the {} that are synced of such a file",
                    entry.size,
                    name.largest()
                ),
                "Make it smaller on the primary: until then this node keeps the files that it has.",
            ));
        }
        Ok(document)
    }

    /// The manifest document with the files of `here` added whose names it withholds: what a standby has under these
    /// names stays a part of what is live there, and is looked after as the rest of it.
    pub(crate) fn retaining<'a>(&self, here: impl IntoIterator<Item = (&'a Name, &'a Entry)>) -> Cow<'_, Self> {
        if self.withheld.is_empty() {
            return Cow::Borrowed(self);
        }
        let is_withheld = |name: &Name| !self.files.contains_key(name) && self.withheld.reason(name).is_some();
        let mut retaining = Cow::Borrowed(self);
        for (name, entry) in here.into_iter().filter(|(name, _)| is_withheld(name)) {
            let document = retaining.to_mut();
            document.files.insert(name.clone(), entry.clone());
            document.retained.insert(name.clone());
        }
        retaining
    }

    /// The files of the manifest document that are retained.
    pub(crate) fn retained_files(&self) -> BTreeMap<Name, Entry> {
        let files = self.files.iter().filter(|(name, _)| self.retained.contains(*name));
        files.map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// The manifest document that retains exactly these files, as far as it withholds their names.
    #[must_use]
    pub(crate) fn with_retained(mut self, retained: &BTreeMap<Name, Entry>) -> Self {
        for name in std::mem::take(&mut self.retained) {
            self.files.remove(&name);
        }
        match self.retaining(retained) {
            Cow::Owned(retaining) => retaining,
            Cow::Borrowed(_) => self,
        }
    }

    /// Whether the manifest document's id is that of its files and of what it withholds.
    pub(crate) fn is_its_generation(&self) -> bool {
        let files = || self.files.iter().filter(|(name, _)| !self.retained.contains(*name));
        // The version before made two ids of one that is being written.
        [Reason::code_in_id, Reason::code].into_iter().any(|code| {
            let canonical = canonical_of(files(), &self.withheld, code);
            Digest::of(canonical.as_bytes()) == self.generation
        })
    }

    /// The digest of all files of the manifest document, the retained ones included: equal for documents that lead to
    /// the same files on a standby.
    pub fn set(&self) -> Digest {
        generation_of(&self.files, &Withheld::default())
    }

    /// The bytes of all files of the manifest document together.
    pub fn total_size(&self) -> u64 {
        total_size(&self.files)
    }
}

/// Reads the identities of our own plugin's jars in a manifest document, and drops those that are none of a plugin.
fn identities<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<JarName, PluginIdentity>, D::Error> {
    #[derive(Deserialize)]
    struct Lenient(#[serde(deserialize_with = "if_identity")] Option<PluginIdentity>);
    let named = BTreeMap::<String, Lenient>::deserialize(deserializer)?;
    Ok(named
        .into_iter()
        .filter_map(|(name, Lenient(identity))| Some((name.parse().ok()?, identity?)))
        .collect())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        basics::Digests,
        generation::manifest::{MAX_PLUGIN_IDS, Manifest},
    };

    fn entry(content: &[u8]) -> Entry {
        Entry::new(Digests::of(content), 0, None)
    }

    #[test]
    fn the_generation_depends_on_names_and_bytes_alone() {
        let mut one = Manifest::default();
        one.files.insert(Name::CruiseConfig, entry(b"<cruise/>"));
        let mut other = one.clone();
        other.files.get_mut(&Name::CruiseConfig).expect("there").modified_ms = 7;
        assert_eq!(one.generation(), other.generation());
        other.files.insert(Name::JettyXml, entry(b"<Configure/>"));
        assert_ne!(one.generation(), other.generation());
    }

    #[test]
    fn plugins_sort_before_the_configuration_and_cruise_config_last() {
        let mut names = Name::CONFIG.to_vec();
        names.push(Name::Plugin("z.jar".parse().expect("valid")));
        names.sort();
        assert!(matches!(names[0], Name::Plugin(_)));
        assert_eq!(names.last(), Some(&Name::CruiseConfig));
    }

    #[test]
    fn more_files_and_longer_ones_than_are_synced_are_refused_before_they_are_fetched() {
        let document = |files: BTreeMap<Name, Entry>| {
            let envelope = serde_json::json!({
                "node_id": "a", "role": "primary", "epoch": {"number": 1, "promotion": ""}, "sequence": 1,
                "product_version": "1", "acceptance": "unknown", "generated_ms": 0, "scanned_ms": 0, "now_ms": 0,
                "file_check_interval_ms": 1
            });
            serde_json::to_vec(&ManifestDocument {
                format: FORMAT,
                generation: generation_of(&files, &Withheld::default()),
                envelope: serde_json::from_value(envelope).expect("an envelope"),
                files,
                withheld: Withheld::default(),
                retained: BTreeSet::new(),
                own_jars: BTreeMap::new(),
                lineage: Lineage::default(),
                extra_is_unknown: false,
            })
            .expect("plain")
        };
        let of_size = |name: &Name, size| Entry {
            size,
            ..entry(name.to_string().as_bytes())
        };
        let extra = Name::Extra("extra.properties".parse().expect("valid"));
        for name in Name::CONFIG.into_iter().chain([extra]) {
            let files = |size| BTreeMap::from([(name.clone(), of_size(&name, size))]);
            ManifestDocument::parse(&document(files(name.largest()))).expect("as long as it may be");
            let error = ManifestDocument::parse(&document(files(name.largest() + 1))).expect_err("too long");
            assert!(error.message().starts_with(&name.to_string()), "{error}");
        }
        let jars = |count: usize| {
            let jar = |number| Name::Plugin(format!("{number}.jar").parse().expect("valid"));
            (0..count).map(|number| (jar(number), entry(b"x"))).collect()
        };
        ManifestDocument::parse(&document(jars(MAX_FILES))).expect("as many as there may be");
        let error = ManifestDocument::parse(&document(jars(MAX_FILES + 1))).expect_err("too many");
        assert!(error.message().contains("10001 files"), "{error}");
    }

    /// A document that offers cruise-config.xml and withholds these names, as it is on the wire.
    fn withholding(names: &[&str]) -> serde_json::Value {
        let files = BTreeMap::from([(Name::CruiseConfig, entry(b"<cruise/>"))]);
        let reasons = names.iter().map(|name| ((*name).to_owned(), "denied".into()));
        let reasons: serde_json::Map<String, serde_json::Value> = reasons.collect();
        let withheld = serde_json::json!({ "files": reasons });
        let known = serde_json::from_value::<Withheld>(withheld.clone());
        let manifest = Manifest {
            files: files.clone(),
            withheld: known.unwrap_or_default(),
        };
        serde_json::json!({
            "format": FORMAT, "generation": manifest.generation(), "files": files, "withheld": withheld,
            "envelope": {
                "node_id": "a", "role": "primary", "epoch": {"number": 1, "promotion": ""}, "sequence": 1,
                "product_version": "1", "acceptance": "unknown", "generated_ms": 0, "scanned_ms": 0, "now_ms": 0,
                "file_check_interval_ms": 1
            },
        })
    }

    fn parse(document: &serde_json::Value) -> Result<ManifestDocument, Error> {
        ManifestDocument::parse(document.to_string().as_bytes())
    }

    #[test]
    fn what_is_withheld_is_a_part_of_the_generation_and_nobody_can_leave_it_out() {
        let whole = withholding(&["jetty.xml", "plugins/external/a.jar"]);
        let document = parse(&whole).expect("as it was made");
        assert_eq!(document.withheld.files.len(), 2);
        // As a node reads it that does not know the field.
        let mut without = whole.clone();
        without.as_object_mut().expect("an object").remove("withheld");
        let mut fewer = whole.clone();
        fewer["withheld"]["files"]
            .as_object_mut()
            .expect("names")
            .remove("jetty.xml");
        let mut otherwise = whole.clone();
        otherwise["withheld"]["files"]["jetty.xml"] = "stale".into();
        for changed in [without, fewer, otherwise] {
            let error = parse(&changed).expect_err("another generation");
            assert!(error.message().contains("not the generation"), "{error}");
        }
        // And what the version before says is what it said.
        let mut before = withholding(&[]);
        before.as_object_mut().expect("an object").remove("withheld");
        assert!(parse(&before).expect("nothing is withheld").withheld.is_empty());
    }

    #[test]
    fn how_long_something_is_written_makes_no_other_generation() {
        let mut written = withholding(&["plugins/external/a.jar"]);
        let jar = Name::Plugin("a.jar".parse().expect("valid"));
        let manifest = |reason| Manifest {
            files: parse(&withholding(&[])).expect("whole").files,
            withheld: Withheld {
                files: BTreeMap::from([(jar.clone(), reason)]),
                plugins: None,
            },
        };
        let generation = manifest(Reason::BeingWritten).generation();
        assert_eq!(generation, manifest(Reason::Unfinished).generation());
        assert_ne!(generation, manifest(Reason::Denied).generation());
        written["generation"] = generation.to_string().into();
        for reason in [Reason::BeingWritten, Reason::Unfinished] {
            written["withheld"]["files"]["plugins/external/a.jar"] = reason.code().into();
            assert_eq!(parse(&written).expect("the same").withheld.reason(&jar), Some(&reason));
        }
        // The version before wrote it down so.
        let canonical = canonical_of(
            &manifest(Reason::Unfinished).files,
            &manifest(Reason::Unfinished).withheld,
            Reason::code,
        );
        written["generation"] = Digest::of(canonical.as_bytes()).to_string().into();
        parse(&written).expect("what was kept is still read");
    }

    #[test]
    fn names_that_are_withheld_keep_to_the_rules_of_all_names() {
        for name in [
            "../x",
            "/etc/passwd",
            "plugins/external/../x.jar",
            "db.properties",
            "a\u{202e}b",
            "",
        ] {
            parse(&withholding(&[name])).expect_err(name);
        }
        let error = parse(&withholding(&["cruise-config.xml"])).expect_err("both");
        assert!(
            error.message().contains("both offers and withholds cruise-config.xml"),
            "{error}"
        );
        let jars: Vec<String> = (0..MAX_FILES)
            .map(|number| format!("plugins/external/{number}.jar"))
            .collect();
        let mut jars: Vec<&str> = jars.iter().map(String::as_str).collect();
        let error = parse(&withholding(&jars)).expect_err("too many");
        assert!(error.message().contains("10001 files"), "{error}");
        jars.pop();
        parse(&withholding(&jars)).expect("as many as there may be");
    }

    #[test]
    fn what_a_standby_has_is_not_taken_from_the_wire() {
        let mut document = withholding(&["jetty.xml"]);
        document["files"]["jetty.xml"] = serde_json::to_value(entry(b"<Configure/>")).expect("plain");
        document["retained"] = serde_json::json!(["jetty.xml"]);
        parse(&document).expect_err("the primary does not offer it");
    }

    #[test]
    fn an_identity_that_is_none_is_left_out_and_nothing_else() {
        let text = |plugin: serde_json::Value| {
            let mut entry = serde_json::to_value(entry(b"x")).expect("plain");
            entry["plugin"] = plugin;
            entry.to_string()
        };
        let identity = |plugin| serde_json::from_str::<Entry>(&text(plugin)).expect("an entry").plugin;
        for odd in [
            serde_json::json!({"id": "a\nb"}),
            serde_json::json!({"id": "a", "version": "\u{1b}[31m"}),
            serde_json::json!({"id": "\u{202e}a"}),
            serde_json::json!({"id": ""}),
            serde_json::json!({"id": "x".repeat(MAX_PLUGIN_IDS + 1)}),
            serde_json::json!({"id": 7}),
            serde_json::json!({"version": "1"}),
            serde_json::json!([]),
            serde_json::json!("a"),
            serde_json::json!(null),
        ] {
            assert_eq!(identity(odd.clone()), None, "{odd}");
        }
        let plain = identity(serde_json::json!({"id": "a,b", "version": "1"}));
        assert_eq!(plain.map(|plugin| plugin.to_string()).as_deref(), Some("a,b 1"));
    }

    #[test]
    fn an_md5_is_not_sent_and_one_of_the_version_before_is_passed_over() {
        let sent = serde_json::to_value(entry(b"x")).expect("plain");
        assert!(!sent.to_string().contains("md5"), "{sent}");
        for md5 in [
            serde_json::json!(null),
            serde_json::json!("9dd4e461268c8034f5c8564e155c67a6"),
        ] {
            let mut of_the_version_before = sent.clone();
            of_the_version_before["md5"] = md5;
            let understood: Entry = serde_json::from_value(of_the_version_before).expect("an entry");
            assert_eq!(understood, entry(b"x"));
        }
    }

    #[test]
    fn names_from_the_wire_are_a_closed_set() {
        for name in [
            "../cipher.aes",
            "db.properties",
            "plugins/external/../x.jar",
            "plugins/external/x",
            "/etc/passwd",
            "",
        ] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
        for name in Name::CONFIG {
            assert_eq!(name.to_string().parse::<Name>(), Ok(name));
        }
    }
}
