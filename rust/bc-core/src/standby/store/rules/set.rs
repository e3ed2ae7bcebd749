//! What the configuration files of a set must be like together.
//!
//! | rule | when it is broken |
//! |---|---|
//! | both nodes have the same GoCD, or this one a newer ([`version`]) | refused; a WARNING of `pull::judge` where it is newer or one is unknown |
//! | jetty.xml and cruise-config.xml are whole, the latter without a document type and with the root `cruise` | refused |
//! | the `serverId` is ours ([`server_id`]) | refused, unless an administrator allows it |
//! | the key fits the secrets ([`secrets`]) | refused if it fits none, a warning if some fail |
//!
//! What was found out of a file is kept under its digest, so that an apply that does not change cruise-config.xml
//! reads nothing, and the live one is hardly ever read.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    basics::{Digest, Error, lock},
    generation::{Acceptance, Entry, ManifestDocument, Name},
    gocd::{
        cruise_config::{CruiseConfig, MentionedFile},
        xml::Outline,
    },
    standby::store::{
        Permit,
        rules::{refused, secrets, server_id, version},
    },
};

/// Configurations of which something is kept: the live one, the one before it and the one that is checked.
const KEPT: usize = 3;

/// A generation that is to become live.
pub(in crate::standby::store) struct Set<'a> {
    /// What the primary has.
    pub(in crate::standby::store) generation: &'a ManifestDocument,
    /// What is live here.
    pub(in crate::standby::store) live: &'a BTreeMap<Name, Entry>,
    /// What an administrator allows.
    pub(in crate::standby::store) allowed: Permit,
    /// Reads the bytes of a configuration file.
    pub(in crate::standby::store) read: &'a (dyn Fn(Which<'_>) -> Result<Bytes, Error> + Sync),
}

/// A file to read.
#[derive(Debug, Clone, Copy)]
pub(in crate::standby::store) enum Which<'a> {
    /// Of the generation.
    New(&'a Name),
    /// What is live under the name.
    Live(&'a Name),
}

/// Checks one set after the other for one store.
pub(in crate::standby::store) struct Rules {
    gocd_version: Option<String>,
    adopts_server_ids: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    configs: VecDeque<(Digest, Facts)>,
    /// What was tried last and not refused, and what to warn of.
    tried: Option<(Trial, Option<String>)>,
}

/// What judging a configuration and its key depends on.
#[derive(Clone, Copy)]
struct Trial {
    config: Digest,
    cipher: Option<Digest>,
    acceptance: Acceptance,
}

/// What is kept of a configuration.
#[derive(Clone)]
struct Facts {
    server: server_id::Ours,
    files: Vec<MentionedFile>,
}

impl Rules {
    /// Rules for a node with this GoCD, where its version is known. With `adopts_server_ids` every `serverId` is
    /// allowed.
    pub(in crate::standby::store) fn new(gocd_version: Option<String>, adopts_server_ids: bool) -> Self {
        Self {
            gocd_version,
            adopts_server_ids,
            known: Mutex::default(),
        }
    }

    /// Reads ahead what judging this set will need of its configuration, so that it then takes no time. What cannot be
    /// read, or would be refused, is left to [`Rules::check`].
    pub(in crate::standby::store) fn read_ahead(
        &self,
        generation: &ManifestDocument,
        read: &dyn Fn(&Name, &Entry) -> Result<Bytes, Error>,
    ) {
        let Some(trial) = Trial::of(generation) else { return };
        let known = self.lock().known(&trial);
        if known.is_none() {
            let _ = self.read(trial, &|name| read(name, &generation.files[name]));
        }
    }

    /// Checks a set by all rules. Returns what to warn of.
    ///
    /// # Errors
    /// [`crate::basics::Kind::Refused`] saying what is wrong with which file, or a file cannot be read.
    pub(in crate::standby::store) fn check(&self, set: &Set<'_>) -> Result<Vec<String>, Error> {
        version::check(
            set.generation.envelope.gocd_version.as_deref(),
            self.gocd_version.as_deref(),
        )?;
        if set.changes(&Name::JettyXml) {
            let bytes = (set.read)(Which::New(&Name::JettyXml))?;
            Outline::read(&bytes).map_err(|reason| not_whole(&Name::JettyXml, &reason))?;
        }
        let Some(trial) = Trial::of(set.generation) else {
            return Ok(Vec::new());
        };
        // The lock must not be held in the arms.
        let known = self.lock().known(&trial);
        let (facts, warning) = match known {
            Some(known) => known,
            None => self.read(trial, &|name| (set.read)(Which::New(name)))?,
        };
        if !self.adopts_server_ids && !set.allowed.server_id && set.changes(&Name::CruiseConfig) {
            let live = set.live.get(&Name::CruiseConfig).map(|live| live.sha256);
            let ours = match live {
                Some(live) => self.facts(live, || (set.read)(Which::Live(&Name::CruiseConfig)))?,
                None => None,
            };
            server_id::check(
                ours.as_ref().map(|facts| &facts.server),
                facts.server.server_id.as_deref(),
            )?;
        }
        Ok(warning.into_iter().collect())
    }

    /// The files that the configuration with this digest mentions; `read` brings its bytes where they are needed.
    ///
    /// # Errors
    /// Those of `read`.
    pub(in crate::standby::store) fn mentioned(
        &self,
        config: Digest,
        read: impl FnOnce() -> Result<Bytes, Error>,
    ) -> Result<Vec<MentionedFile>, Error> {
        Ok(self.facts(config, read)?.map_or_else(Vec::new, |facts| facts.files))
    }

    /// Reads the configuration of a set, and its key where there are secrets.
    fn read(
        &self,
        trial: Trial,
        read_new: &dyn Fn(&Name) -> Result<Bytes, Error>,
    ) -> Result<(Facts, Option<String>), Error> {
        let bytes = read_new(&Name::CruiseConfig)?;
        let read = CruiseConfig::read(&bytes).map_err(|reason| not_whole(&Name::CruiseConfig, &reason))?;
        structure(&read.outline)?;
        let facts = Facts::of(&read);
        self.lock().keep(trial.config, facts.clone());
        let key = match trial.cipher {
            Some(_) if !read.secrets.is_empty() => Some(Zeroizing::new(Vec::from(read_new(&Name::CipherAes)?))),
            _ => None,
        };
        let key = key.as_ref().map(|key| key.as_slice());
        let warning = secrets::check(&bytes, &read.secrets, key, trial.acceptance)?;
        self.lock().tried = Some((trial, warning.clone()));
        Ok((facts, warning))
    }

    /// The facts of a set's configuration; none when it is no whole XML file, which GoCD could not start on either.
    fn facts(&self, config: Digest, read: impl FnOnce() -> Result<Bytes, Error>) -> Result<Option<Facts>, Error> {
        if let Some(facts) = self.lock().facts(&config) {
            return Ok(Some(facts));
        }
        let bytes = read()?;
        let Ok(read) = CruiseConfig::read(&bytes) else {
            return Ok(None);
        };
        let facts = Facts::of(&read);
        self.lock().keep(config, facts.clone());
        Ok(Some(facts))
    }

    /// What the rules know of configurations, locked.
    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

impl Set<'_> {
    /// The digest of a set's file of this name.
    fn digest(&self, name: &Name) -> Option<Digest> {
        self.generation.files.get(name).map(|entry| entry.sha256)
    }

    /// Whether the set has such a file with other bytes than the live one.
    fn changes(&self, name: &Name) -> bool {
        let live = self.live.get(name).map(|entry| entry.sha256);
        self.digest(name).is_some_and(|new| Some(new) != live)
    }
}

impl Trial {
    /// The trial of a generation's secrets; none for a generation without a configuration.
    fn of(generation: &ManifestDocument) -> Option<Self> {
        let digest = |name: &Name| generation.files.get(name).map(|entry| entry.sha256);
        Some(Self {
            config: digest(&Name::CruiseConfig)?,
            cipher: digest(&Name::CipherAes),
            acceptance: generation.envelope.acceptance,
        })
    }

    /// Whether two trials of secrets end the same: of the acceptance only counts whether a GoCD runs beside the
    /// primary.
    fn is_same(&self, other: &Self) -> bool {
        let has_gocd = |trial: &Self| trial.acceptance != Acceptance::Unknown;
        (self.config, self.cipher, has_gocd(self)) == (other.config, other.cipher, has_gocd(other))
    }
}

impl Known {
    /// What is known of a set's configuration together with a key.
    fn known(&self, trial: &Trial) -> Option<(Facts, Option<String>)> {
        let (tried, warning) = self.tried.as_ref().filter(|(tried, _)| tried.is_same(trial))?;
        Some((self.facts(&tried.config)?, warning.clone()))
    }

    /// The facts of a set's configuration, where they are known already.
    fn facts(&self, config: &Digest) -> Option<Facts> {
        let mut configs = self.configs.iter();
        configs.find(|(of, _)| of == config).map(|(_, facts)| facts.clone())
    }

    /// Keeps the facts of a set's configuration, in the place of the oldest.
    fn keep(&mut self, config: Digest, facts: Facts) {
        self.configs.retain(|(of, _)| *of != config);
        self.configs.push_back((config, facts));
        if self.configs.len() > KEPT {
            self.configs.pop_front();
        }
    }
}

impl Facts {
    /// The facts of a set's configuration that the rules ask for.
    fn of(config: &CruiseConfig) -> Self {
        Self {
            server: server_id::Ours {
                server_id: config.outline.server_id.clone().filter(|id| !id.trim().is_empty()),
                is_template: config.is_template,
            },
            files: config.files.clone(),
        }
    }
}

/// Checks the form of a cruise-config.xml.
fn structure(outline: &Outline) -> Result<(), Error> {
    // GoCD forbids one there too (SafeSaxBuilder).
    if outline.has_doctype {
        return Err(refused(
            "cruise-config.xml from the primary has a document type, which GoCD refuses",
            "Remove its DOCTYPE on the primary.",
        ));
    }
    if outline.root != "cruise" {
        return Err(refused(
            format!(
                "cruise-config.xml from the primary has the root element {:?}, not cruise",
                outline.root.chars().take(80).collect::<String>()
            ),
            "Check cruise.config.file on the primary.",
        ));
    }
    Ok(())
}

/// The refusal of a set with a configuration that is not whole.
fn not_whole(name: &Name, reason: &str) -> Error {
    refused(format!("{name} from the primary {reason}"), "Mend it on the primary.")
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::{basics::Kind, standby::store::contract::Files};

    /// Checks files against live ones, and counts the reads.
    struct Checks {
        rules: Rules,
        live: Files,
        reads: AtomicU32,
    }

    impl Checks {
        fn new(live: Files) -> Self {
            Self {
                rules: Rules::new(None, false),
                live,
                reads: AtomicU32::new(0),
            }
        }

        fn check(&self, files: &Files) -> Result<Vec<String>, Error> {
            let bytes: HashMap<Name, Vec<u8>> = files.0.clone().into_iter().collect();
            let read = |which: Which<'_>| {
                self.reads.fetch_add(1, Ordering::Relaxed);
                Ok(match which {
                    Which::New(name) => bytes[name].clone().into(),
                    Which::Live(name) => self.live.0[name].clone().into(),
                })
            };
            self.rules.check(&Set {
                generation: &files.document(1),
                live: &self.live.document(0).files,
                allowed: Permit::default(),
                read: &read,
            })
        }

        fn reads(&self) -> u32 {
            self.reads.swap(0, Ordering::Relaxed)
        }
    }

    fn with(name: Name, text: &str) -> Files {
        Files::default()
            .with(Name::CruiseConfig, b"<cruise/>")
            .with(name, text.as_bytes())
    }

    #[test]
    fn a_configuration_that_gocd_could_not_start_on_is_refused() {
        for (name, text, why) in [
            (Name::CruiseConfig, "<cruise>", "is not whole"),
            (Name::CruiseConfig, "", "is empty"),
            (Name::CruiseConfig, "<cruise>a & b</cruise>", "is not well-formed XML"),
            (Name::CruiseConfig, "<cruise a='1' a='1'/>", "is not well-formed XML"),
            (Name::JettyXml, "<Configure a=1/>", "is not well-formed XML"),
            (
                Name::CruiseConfig,
                "<!DOCTYPE cruise [<!ENTITY x 'y'>]><cruise/>",
                "document type",
            ),
            (Name::CruiseConfig, "<html/>", "root element \"html\""),
            (Name::JettyXml, "<Configure>", "is not whole"),
        ] {
            let error = Checks::new(Files::default()).check(&with(name, text)).expect_err(text);
            assert_eq!(error.kind(), Kind::Refused);
            assert!(error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn jetty_has_a_doctype_and_other_files_any_form() {
        let jetty = "<!DOCTYPE Configure PUBLIC \"x\" \"https://jetty.example/configure.dtd\"><Configure/>";
        for (name, text) in [
            (Name::CruiseConfig, "<cruise/>\n<!-- end -->"),
            (Name::JettyXml, jetty),
            (Name::FeatureToggles, "<"),
        ] {
            assert_eq!(
                Checks::new(Files::default()).check(&with(name, text)),
                Ok(Vec::new()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_known_is_not_read_again() {
        let config = |extra: &str| format!("<cruise><server serverId='a'/><pipelines/>{extra}</cruise>");
        let mut checks = Checks::new(with(Name::CruiseConfig, &config("")));
        let edited = with(Name::CruiseConfig, &config("<!-- edit -->"));
        assert_eq!(checks.check(&edited), Ok(Vec::new()));
        assert_eq!(checks.reads(), 2, "the new one and the live one");
        checks.live = edited.clone();
        let with_toggles = edited.clone().with(Name::FeatureToggles, b"{}");
        assert_eq!(checks.check(&with_toggles), Ok(Vec::new()));
        assert_eq!(checks.reads(), 0);
        assert_eq!(
            checks.check(&with(Name::CruiseConfig, &config("<!-- 2 -->"))),
            Ok(Vec::new())
        );
        assert_eq!(checks.reads(), 1, "the new one");
    }

    #[test]
    fn another_key_is_tried_though_the_configuration_is_the_same() {
        let config = include_bytes!("../../../../../../tests/fixtures/data/config/cruise-config.xml");
        let key = include_bytes!("../../../../../../tests/fixtures/data/config/cipher.aes");
        let good = Files::default()
            .with(Name::CruiseConfig, config)
            .with(Name::CipherAes, key);
        let checks = Checks::new(good.clone());
        assert_eq!(checks.check(&good), Ok(Vec::new()));
        let error = checks
            .check(&good.clone().with(Name::CipherAes, b"00112233445566778899aabbccddeeff"))
            .expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused);
        checks
            .check(&good.clone().without(&Name::CipherAes))
            .expect_err("refused");
        assert_eq!(checks.check(&good), Ok(Vec::new()));
    }

    #[test]
    fn a_live_configuration_that_is_not_whole_has_no_say() {
        let checks = Checks::new(with(Name::CruiseConfig, "<cruise><server serverId='b'/><pipel"));
        let whole = with(Name::CruiseConfig, "<cruise><server serverId='a'/></cruise>");
        assert_eq!(checks.check(&whole), Ok(Vec::new()));
    }
}
