//! What came of the last hand-over of a primary: `handed-over.json` in the state folder.
//!
//! It is written when a hand-over ends, and stays until the next one does: a server that is fenced says after a restart too
//! to whom it handed over, and what. Nothing is decided by it.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Kind, regular_file, words},
    durable::{atomic, seal},
    generation::{HandoverToken, Highest},
};

/// The name of the file in the state folder.
pub const FILE: &str = "handed-over.json";
/// The version of the file.
const FORMAT: u32 = 1;

/// How a hand-over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Another node was promoted.
    TakenOver,
    /// A person took it back.
    TakenBack,
}

impl End {
    /// The name of the end of a hand-over, as JSON and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            End::TakenOver => "taken-over",
            End::TakenBack => "taken-back",
        }
    }
}

/// A hand-over that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// Version of the file: 1.
    pub format: u32,
    /// When it ended, milliseconds since 1970 by this node's clock.
    pub ended_ms: i64,
    /// How.
    pub end: End,
    /// What was handed over; none where that was not certain yet, or is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<HandoverToken>,
    /// To whom: the epoch that took over; none where it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Highest>,
}

/// `taken over by the node 12345678 with epoch 2, 2026-01-01 00:00:00 UTC: generation …`.
impl fmt::Display for HandedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = words::moment(self.ended_ms);
        match (self.end, &self.to) {
            (End::TakenBack, _) => write!(f, "taken back, {moment}")?,
            (End::TakenOver, None) => write!(f, "taken over, {moment}")?,
            (End::TakenOver, Some(to)) => {
                let node = to.node_id.as_deref().unwrap_or("another one");
                write!(
                    f,
                    "taken over by the node {node:.8} with epoch {}, {moment}",
                    to.epoch.number
                )?;
            }
        }
        match &self.token {
            Some(token) => write!(f, ": {token}"),
            None => Ok(()),
        }
    }
}

impl HandedOver {
    /// A hand-over of this token that another node has taken, now.
    pub fn taken_over(token: Option<HandoverToken>, to: Option<Highest>, now_ms: i64) -> Self {
        Self {
            format: FORMAT,
            ended_ms: now_ms,
            end: End::TakenOver,
            token,
            to,
        }
    }

    /// A hand-over of this token that a person has taken back, now.
    pub fn taken_back(token: Option<HandoverToken>, now_ms: i64) -> Self {
        Self {
            end: End::TakenBack,
            ..Self::taken_over(token, None, now_ms)
        }
    }

    /// Loads what came of the last hand-over; none where there was none.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged: then nothing is known of it, and nothing depends on it.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(None);
        };
        let ended = seal::read(&text).filter(|ended: &Self| ended.format <= FORMAT);
        ended.map(Some).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!(
                    "{} is damaged, or of a later version; it tells what came of the last hand-over",
                    path.display()
                ),
                "`gocd-bc history` says it too. The end of the next one writes the file anew.",
            )
        })
    }

    /// Saves what came of a hand-over, durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("what came of a hand-over has only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{basics::Digest, generation::Epoch};

    fn token() -> HandoverToken {
        HandoverToken {
            node_id: "a".repeat(32),
            epoch: Epoch::default(),
            generation: Digest::of(b"set"),
            sequence: 5,
            database: None,
        }
    }

    #[test]
    fn it_says_to_whom_what_went_also_after_a_restart_and_a_damaged_file_is_none() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(HandedOver::load(folder.path()), Ok(None));
        let to = Highest {
            epoch: Epoch {
                number: 2,
                promotion: "p".to_owned(),
            },
            node_id: Some("b".repeat(32)),
        };
        let ended = HandedOver::taken_over(Some(token()), Some(to), 1);
        ended.save(folder.path()).expect("save");
        assert_eq!(HandedOver::load(folder.path()), Ok(Some(ended.clone())));
        let line = ended.to_string();
        for part in ["taken over by the node bbbbbbbb with epoch 2, 1970-", "sequence 5"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(
            HandedOver::taken_back(None, 1)
                .to_string()
                .starts_with("taken back, 1970-")
        );
        for end in [End::TakenOver, End::TakenBack] {
            assert_eq!(serde_json::to_value(end).expect("plain"), end.name());
        }
        let path = folder.path().join(FILE);
        let text = fs::read(&path).expect("read");
        for damaged in [&text[..text.len() / 2], b"{}", b""] {
            fs::write(&path, damaged).expect("write");
            let error = HandedOver::load(folder.path()).expect_err("damaged");
            assert!(error.guidance().contains("gocd-bc history"), "{error}");
        }
    }
}
