//! Whether the primary's files continue the history that this node knows.
//!
//! Newer is decided by epoch, then by sequence, never by a clock. Both are the primary's own account, so a snapshot
//! of it that was restored, a server that was set up anew, or one that was primary before the last promotion, would
//! put older files in the place of newer ones without any other rule noticing. Each is refused until an
//! administrator says that these files are the right ones.
//!
//! What was seen survives a restart, in the ledger of the state folder: a primary that went back does not get past
//! by editing on until its sequence is the higher one again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    digest::Digest,
    error::{Error, Kind},
    manifest::{Envelope, Epoch},
    state_dir::{Followed, Ledger, StateDir},
    store::Position,
};

/// What to type once it is clear which server is right.
const GUIDANCE: &str = "If its files are the right ones, run `gocd-bc sync --accept-rollback` here.";

/// What this node knows of its primaries.
#[derive(Debug, Clone)]
pub struct History {
    memory: Memory,
}

#[derive(Debug, Clone)]
enum Memory {
    Durable(Arc<StateDir>),
    Volatile(Arc<Mutex<Ledger>>),
}

impl History {
    /// The history in a state folder.
    pub fn of(state: Arc<StateDir>) -> Self {
        Self {
            memory: Memory::Durable(state),
        }
    }

    /// A history that ends with the process, for measurements and tests.
    pub fn volatile() -> Self {
        Self {
            memory: Memory::Volatile(Arc::default()),
        }
    }

    /// Lets a generation pass that is newer than what is live at `position`, or the same. Remembers a higher epoch,
    /// and a primary that went back.
    ///
    /// # Errors
    /// [`Kind::Refused`] saying how the primary went back and what to type; others when the ledger cannot be read or
    /// written.
    pub fn judge(&self, envelope: &Envelope, generation: &Digest, position: Option<&Position>) -> Result<(), Error> {
        let mut verdict = Ok(());
        self.change(|ledger| verdict = weigh(ledger, envelope, generation, position))?;
        verdict
    }

    /// Notes whose files are live.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn followed(&self, envelope: &Envelope) -> Result<(), Error> {
        self.change(|ledger| ledger.followed = Some(Followed::of(envelope)))
    }

    /// An administrator says that this primary's files are the right ones, whatever was before.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn accept(&self, envelope: &Envelope) -> Result<(), Error> {
        self.change(|ledger| {
            ledger.accepted_epoch = Some(envelope.epoch.clone());
            ledger.followed = Some(Followed::of(envelope));
            ledger.went_back = None;
        })
    }

    fn change(&self, change: impl FnOnce(&mut Ledger)) -> Result<(), Error> {
        match &self.memory {
            Memory::Durable(state) => state.change_ledger(change).map(drop),
            Memory::Volatile(ledger) => {
                change(&mut ledger.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(())
            }
        }
    }
}

/// Judges, and notes in the ledger what has to be remembered of it.
fn weigh(
    ledger: &mut Ledger,
    envelope: &Envelope,
    generation: &Digest,
    position: Option<&Position>,
) -> Result<(), Error> {
    let source = Followed::of(envelope);
    if ledger.went_back.as_ref() == Some(&source) {
        return Err(refused("the primary went back in time and was not accepted since"));
    }
    if ledger.accepted_epoch.as_ref() != Some(&envelope.epoch) {
        epoch(&envelope.epoch, ledger)?;
    }
    let gone_back = position
        .filter(|position| position.epoch == envelope.epoch)
        .and_then(|position| gone_back(envelope, generation, position, ledger.followed.as_ref()));
    if let Some(how) = gone_back {
        ledger.went_back = Some(source);
        return Err(refused(how));
    }
    if envelope.epoch.number > ledger.highest_epoch.number {
        ledger.highest_epoch = envelope.epoch.clone();
        ledger.accepted_epoch = None;
    }
    // An older one is in the past once another is followed.
    ledger.went_back = None;
    Ok(())
}

fn epoch(epoch: &Epoch, ledger: &Ledger) -> Result<(), Error> {
    let highest = &ledger.highest_epoch;
    if epoch.number < highest.number && highest == &ledger.epoch {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "a promotion of this node (epoch {}) began and did not come to its end, and the primary has epoch {}",
                highest.number, epoch.number
            ),
            "Run `gocd-bc promote` here again, or go on following with `gocd-bc sync --accept-rollback`.",
        ));
    }
    if epoch.number < highest.number {
        return Err(refused(format!(
            "the primary has epoch {}, but a node was promoted since (epoch {}): this may be an old primary that came \
             back",
            epoch.number, highest.number
        )));
    }
    if epoch.number == highest.number && epoch.promotion != highest.promotion {
        return Err(refused(format!(
            "two nodes were promoted independently of each other to epoch {}, and this one follows the other",
            epoch.number
        )));
    }
    Ok(())
}

/// How the primary's files are older than ours, in the same epoch.
fn gone_back(
    envelope: &Envelope,
    generation: &Digest,
    position: &Position,
    followed: Option<&Followed>,
) -> Option<String> {
    if followed.is_some_and(|followed| followed.node_id != envelope.node_id) {
        return Some(
            "the primary is another node than the one that this standby followed, and none was promoted: it was set \
             up anew, or bc.primary.url leads elsewhere now"
                .to_owned(),
        );
    }
    if envelope.sequence < position.sequence {
        return Some(format!(
            "the primary went back in time: it offers sequence {}, and {} is live here. Was it restored from a snapshot?",
            envelope.sequence, position.sequence
        ));
    }
    (envelope.sequence == position.sequence && *generation != position.generation).then(|| {
        format!(
            "the primary went back in time: its sequence {} has other files than the one that is live here. Was it \
             restored from a snapshot?",
            envelope.sequence
        )
    })
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::Refused, message, GUIDANCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Acceptance, Role};

    fn envelope(node_id: &str, number: u64, promotion: &str, sequence: u64) -> Envelope {
        Envelope {
            node_id: node_id.to_owned(),
            role: Role::Primary,
            epoch: Epoch {
                number,
                promotion: promotion.to_owned(),
            },
            sequence,
            gocd_version: None,
            product_version: String::new(),
            schema_version: None,
            server_id: None,
            wal_location: None,
            acceptance: Acceptance::Unknown,
            generated_ms: 0,
            scanned_ms: 0,
            now_ms: 0,
            file_check_interval_ms: 0,
        }
    }

    fn position(envelope: &Envelope, content: &[u8]) -> Position {
        Position {
            generation: Digest::of(content),
            epoch: envelope.epoch.clone(),
            sequence: envelope.sequence,
        }
    }

    /// A history in which `first` is live with the bytes `one`.
    fn after(first: &Envelope) -> (History, Position) {
        let history = History::volatile();
        let generation = Digest::of(b"one");
        assert_eq!(history.judge(first, &generation, None), Ok(()));
        assert_eq!(history.followed(first), Ok(()));
        (history, position(first, b"one"))
    }

    fn why(result: Result<(), Error>) -> String {
        let error = result.expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused);
        error.message().to_owned()
    }

    #[test]
    fn newer_and_equal_pass() {
        let first = envelope("a", 1, "", 5);
        let (history, live) = after(&first);
        assert_eq!(history.judge(&first, &Digest::of(b"one"), Some(&live)), Ok(()));
        let next = envelope("a", 1, "", 6);
        assert_eq!(history.judge(&next, &Digest::of(b"two"), Some(&live)), Ok(()));
        let promoted = envelope("b", 2, "x", 1);
        assert_eq!(history.judge(&promoted, &Digest::of(b"two"), Some(&live)), Ok(()));
    }

    #[test]
    fn a_restored_snapshot_is_refused_also_once_its_sequence_has_grown() {
        let (history, live) = after(&envelope("a", 1, "", 5));
        let other = Digest::of(b"two");
        for sequence in [4, 5, 6] {
            let back = envelope("a", 1, "", sequence);
            assert!(why(history.judge(&back, &other, Some(&live))).contains("went back in time"));
        }
        let accepted = envelope("a", 1, "", 6);
        history.accept(&accepted).expect("memory");
        assert_eq!(history.judge(&accepted, &other, Some(&live)), Ok(()));
    }

    #[test]
    fn an_old_primary_is_refused_after_a_promotion() {
        let first = envelope("a", 1, "", 5);
        let (history, _) = after(&first);
        let promoted = envelope("b", 2, "x", 1);
        assert_eq!(history.judge(&promoted, &Digest::of(b"two"), None), Ok(()));
        let old = envelope("a", 1, "", 9);
        assert!(why(history.judge(&old, &Digest::of(b"three"), None)).contains("promoted since"));
        let other = envelope("c", 2, "y", 9);
        assert!(why(history.judge(&other, &Digest::of(b"three"), None)).contains("independently"));
        history.accept(&old).expect("memory");
        let live = position(&promoted, b"two");
        assert_eq!(history.judge(&old, &Digest::of(b"three"), Some(&live)), Ok(()));
        // The other one was not accepted.
        why(history.judge(&other, &Digest::of(b"three"), Some(&live)));
    }

    #[test]
    fn another_server_of_the_same_epoch_is_refused() {
        let (history, live) = after(&envelope("a", 1, "", 5));
        let anew = envelope("b", 1, "", 9);
        assert!(why(history.judge(&anew, &Digest::of(b"two"), Some(&live))).contains("another node"));
    }

    #[test]
    fn a_promotion_that_broke_off_says_how_to_go_on() {
        let folder = tempfile::tempdir().expect("folder");
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        state
            .change_ledger(|ledger| ledger.begin_epoch("f00", 7))
            .expect("write");
        let history = History::of(state);
        let primary = envelope("a", 1, "", 5);
        assert!(why(history.judge(&primary, &Digest::of(b"one"), None)).contains("did not come to its end"));
        history.accept(&primary).expect("write");
        assert_eq!(history.judge(&primary, &Digest::of(b"one"), None), Ok(()));
    }

    #[test]
    fn what_was_seen_survives_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let first = envelope("a", 1, "", 5);
        let live = position(&first, b"one");
        for _ in 0..2 {
            let history = History::of(Arc::new(StateDir::open(folder.path()).expect("open")));
            let back = envelope("a", 1, "", 4);
            assert!(why(history.judge(&back, &Digest::of(b"two"), Some(&live))).contains("back in time"));
        }
        let history = History::of(Arc::new(StateDir::open(folder.path()).expect("open")));
        why(history.judge(&envelope("a", 1, "", 6), &Digest::of(b"two"), Some(&live)));
    }
}
