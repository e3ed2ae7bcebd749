//! What one node remembers of its own and its primary's history: `ledger.json` in the state folder.
//!
//! Its numbers only ever grow. As primary a node writes what it gives out ([`crate::primary::offer`]), as standby whom
//! it follows ([`crate::standby::pull::history`]); each leaves the other's part as it is. It ends with a checksum,
//! since a number that the disk gave back changed could let a standby follow whom it must not.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error, Kind, regular_file},
    durable::{atomic, seal},
    generation::{Envelope, Epoch, Lineage},
};

/// The version of the file.
const FORMAT: u32 = 1;

/// No epoch and no sequence ever comes here by counting; whatever is higher is a lie.
pub const MAX_COUNT: u64 = u64::MAX / 2;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Version of this file: 1.
    pub format: u32,
    /// This node's own epoch.
    pub epoch: Epoch,
    /// The highest epoch this node ever saw, its own or a peer's.
    pub highest_epoch: Epoch,
    /// As standby: an epoch that an administrator accepted although it is not the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_epoch: Option<Epoch>,
    /// As standby: whose files are live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Followed>,
    /// As standby: a primary that offered older files than those that are live, and was not accepted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went_back: Option<Followed>,
    /// As primary: the sequence of the newest generation, given out or not.
    pub sequence: u64,
    /// As primary: sequences up to this one may have been given out before this file said so.
    #[serde(default)]
    pub reserved: u64,
    /// As primary: the generation that has this sequence, none before the first, which the file says by an empty text.
    #[serde(with = "or_empty")]
    pub generation: Option<Digest>,
    /// As primary: when that generation was first seen, milliseconds since 1970.
    pub generated_ms: i64,
    /// As primary: the generations before it in this epoch.
    #[serde(default, skip_serializing_if = "Lineage::is_empty")]
    pub lineage: Lineage,
    /// As primary: the newest cruise-config.xml that GoCD is known to have accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_config: Option<Digest>,
}

/// A primary in one of its epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Its node id.
    pub node_id: String,
    /// Its epoch then.
    pub epoch: Epoch,
}

impl Followed {
    /// Whom the ledger says this node followed: whoever sent this envelope.
    pub(crate) fn of(envelope: &Envelope) -> Self {
        Self {
            node_id: envelope.node_id.clone(),
            epoch: envelope.epoch.clone(),
        }
    }
}

impl Ledger {
    /// Loads the ledger; none where there is no file.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged. It is never taken for that of a new node then, since that
    /// would let the node go back in time.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, Error> {
        let damaged = |what: String| {
            Error::new(
                Kind::File,
                format!("{} is damaged: {what}", path.display()),
                "Look at the disk of that folder.",
            )
        };
        let Some(text) = regular_file::read_if_there(path, regular_file::LARGEST_OF_OURS)? else {
            return Ok(None);
        };
        let ledger: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if ledger.format > FORMAT {
            return Err(Error::new(
                Kind::File,
                format!(
                    "{} has format {}, this version reads up to {FORMAT}",
                    path.display(),
                    ledger.format
                ),
                "A newer version of this plugin wrote it: install that one again.",
            ));
        }
        if !seal::is_whole(&text) {
            return Err(damaged("its checksum is wrong".to_owned()));
        }
        Ok(Some(ledger))
    }

    /// Saves the ledger durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a ledger has only plain fields");
        atomic::write(path, &text, 0o600)
    }

    /// Begins an epoch of our own in the ledger, above all that were ever seen. The sequence goes on from `sequence`,
    /// that of the generation that is live, so that it never goes back.
    pub fn begin_epoch(&mut self, promotion: &str, sequence: u64) {
        self.epoch = Epoch {
            number: self.highest_epoch.number.max(self.epoch.number) + 1,
            promotion: promotion.to_owned(),
        };
        self.highest_epoch = self.epoch.clone();
        self.sequence = self.sequence.max(sequence);
        self.lineage = Lineage::default();
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            format: FORMAT,
            epoch: Epoch::default(),
            highest_epoch: Epoch::default(),
            accepted_epoch: None,
            followed: None,
            went_back: None,
            sequence: 0,
            reserved: 0,
            generation: None,
            generated_ms: 0,
            lineage: Lineage::default(),
            accepted_config: None,
        }
    }
}

/// A digest, or none as an empty text.
mod or_empty {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::basics::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
        match digest {
            Some(digest) => serializer.collect_str(digest),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_generation_is_its_digits_and_none_is_an_empty_text() {
        for (generation, digits) in [
            (None, String::new()),
            (Some(Digest::of(b"x")), Digest::of(b"x").to_string()),
        ] {
            let ledger = Ledger {
                generation,
                ..Ledger::default()
            };
            let text = serde_json::to_string(&ledger).expect("plain");
            assert!(text.contains(&format!("\"generation\":\"{digits}\"")), "{text}");
            assert_eq!(serde_json::from_str::<Ledger>(&text).expect("its own form"), ledger);
        }
    }

    #[test]
    fn a_damaged_one_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("ledger.json");
        assert_eq!(Ledger::load(&path), Ok(None));
        let ledger = Ledger {
            sequence: 7,
            ..Ledger::default()
        };
        ledger.save(&path).expect("save");
        assert_eq!(Ledger::load(&path), Ok(Some(ledger)));
        let text = fs::read_to_string(&path).expect("read");
        for (from, to, message) in [
            (
                "\"sequence\":7",
                "\"sequence\":8",
                "ledger.json is damaged: its checksum is wrong",
            ),
            ("\"format\":1", "\"format\":2", "has format 2"),
            ("}", "", "ledger.json is damaged"),
        ] {
            fs::write(&path, text.replace(from, to)).expect("damage");
            let error = Ledger::load(&path).expect_err("refused");
            assert!(error.message().contains(message), "{error}");
        }
    }
}
