//! Which epochs a node knows, also where its ledger is damaged, cannot be read, or is older than what is known otherwise.
//!
//! | says | what |
//! |---|---|
//! | the ledger | this node's own epoch, and the highest that it ever saw |
//! | the record of its role | the same, as it was when the role was recorded |
//! | the known peers | from whom a higher epoch is known |
//! | what is kept of a primary | the epoch of that one |
//!
//! One of the first two is enough to know the own epoch. A ledger that cannot be used is never taken for that of a new
//! node, whose epoch is 1: where neither of them says it, it is unknown, and whatever begins then begins above all that
//! is known. What GoCD's database and the other nodes say is asked before that ([`super::start()`]).

use super::ledger::{Ledger, MAX_COUNT};
use crate::{
    basics::{Digest, Error, Kind},
    generation::Epoch,
};

/// What a record keeps of the epochs in the ledger: one line, whose end is a check of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEpochs {
    /// This node's own.
    pub own: Epoch,
    /// The highest that it ever saw.
    pub highest: Epoch,
}

/// How many digits the check has.
const CHECK_DIGITS: usize = 16;
/// How the promotion of an epoch is written that none began.
const NONE: &str = "-";

impl KeptEpochs {
    /// The epochs as the record keeps them.
    pub(super) fn to_text(&self) -> String {
        let word = |promotion: &str| {
            if promotion.is_empty() {
                NONE.to_owned()
            } else {
                promotion.to_owned()
            }
        };
        let content = format!(
            "{} {} {} {}",
            self.own.number,
            word(&self.own.promotion),
            self.highest.number,
            word(&self.highest.promotion)
        );
        format!("{content} {}", check(&content))
    }

    /// Reads the epochs that a record keeps; none where they are not whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (content, found) = text.rsplit_once(' ')?;
        let parts: Vec<&str> = content.split(' ').collect();
        let [own, own_promotion, highest, highest_promotion] = parts.as_slice() else {
            return None;
        };
        let epoch = |number: &str, promotion: &str| {
            Some(Epoch {
                number: number.parse().ok().filter(|number| *number < MAX_COUNT)?,
                promotion: if promotion == NONE {
                    String::new()
                } else {
                    promotion.to_owned()
                },
            })
        };
        let epochs = Self {
            own: epoch(own, own_promotion)?,
            highest: epoch(highest, highest_promotion)?,
        };
        (check(content) == found).then_some(epochs)
    }
}

/// The check at the end of the epochs that a record keeps.
fn check(content: &str) -> String {
    let mut digits = Digest::of(content.as_bytes()).to_string();
    digits.truncate(CHECK_DIGITS);
    digits
}

/// What a node knows of epochs when it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its ledger, or what goes in the place of one that cannot be used. Its own epoch counts only where it is known.
    pub ledger: Ledger,
    /// Its own epoch; none where nobody here says.
    pub own: Option<Epoch>,
    /// The highest epoch that anything here names.
    pub highest: Epoch,
    /// Why the ledger cannot be used; none where it can.
    pub trouble: Option<Error>,
}

impl Memory {
    /// Remembers by what reading the ledger gave, by what the record `keeps`, by the highest epoch that was `told` by
    /// others, and, where the ledger cannot be used, by the highest that what is `kept` of a primary names.
    pub(super) fn of(
        ledger: Result<Option<Ledger>, Error>,
        keeps: Option<&KeptEpochs>,
        told: Option<&Epoch>,
        kept: impl FnOnce() -> Option<Epoch>,
    ) -> Self {
        let recorded = keeps.map_or(1, |keeps| keeps.own.number);
        let (mut ledger, own, trouble) = match ledger {
            Ok(Some(ledger)) if ledger.epoch.number >= recorded => {
                let own = ledger.epoch.clone();
                (ledger, Some(own), None)
            }
            Ok(None) if recorded <= 1 => (Ledger::default(), Some(Epoch::default()), None),
            Ok(read) => {
                let what = match &read {
                    Some(old) => format!("ledger.json is of epoch {}", old.epoch.number),
                    None => "ledger.json is missing".to_owned(),
                };
                let error = Error::new(
                    Kind::File,
                    format!("{what}, and the record of this server's role is of epoch {recorded}"),
                    "Was a part of the state folder restored from a backup?",
                );
                let own = keeps.map(|keeps| keeps.own.clone());
                (read.unwrap_or_default(), own, Some(error))
            }
            Err(error) => (Ledger::default(), keeps.map(|keeps| keeps.own.clone()), Some(error)),
        };
        let kept = trouble.as_ref().and_then(|_| kept());
        let known = [keeps.map(|keeps| &keeps.highest), told, kept.as_ref(), own.as_ref()];
        let mut highest = ledger.highest_epoch.clone();
        for epoch in known.into_iter().flatten() {
            if highest.number < epoch.number {
                highest = epoch.clone();
            }
        }
        if trouble.is_some() {
            if let Some(own) = &own {
                ledger.epoch = own.clone();
            }
            ledger.highest_epoch = highest.clone();
        }
        Self {
            ledger,
            own,
            highest,
            trouble,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;
    use crate::{
        generation::Role,
        role::{Recorded, StateDir},
        settings::Flag,
    };

    fn epoch(number: u64, promotion: &str) -> Epoch {
        Epoch {
            number,
            promotion: promotion.to_owned(),
        }
    }

    #[test]
    fn kept_epochs_are_whole_or_none() {
        for (own, highest) in [(epoch(1, ""), epoch(1, "")), (epoch(2, "ab12"), epoch(7, "cd34"))] {
            let kept = KeptEpochs { own, highest };
            let text = kept.to_text();
            assert_eq!(KeptEpochs::parse(&text), Some(kept));
            for at in 0..text.len() {
                assert_eq!(KeptEpochs::parse(&text[..at]), None);
                let mut damaged = text.clone().into_bytes();
                damaged[at] ^= 1;
                assert_eq!(
                    KeptEpochs::parse(&String::from_utf8_lossy(&damaged)),
                    None,
                    "byte {at} of {text}"
                );
            }
        }
    }

    /// A state folder whose node was promoted to epoch 3, as the record says that too where `records`.
    fn promoted(folder: &Path, records: bool) -> Vec<u8> {
        let state = StateDir::open(folder).expect("opens");
        state
            .change_ledger(|ledger| ledger.highest_epoch = epoch(2, "b"))
            .expect("written");
        state
            .change_ledger(|ledger| ledger.begin_epoch("c", 5))
            .expect("written");
        let record = Recorded::new(Role::Primary, Flag::None, 1);
        let record = if records { state.with_epochs(record) } else { record };
        record.save(folder).expect("written");
        fs::read(folder.join("ledger.json")).expect("read")
    }

    /// What a node in `folder` remembers.
    fn remembered(folder: &Path) -> (StateDir, Memory) {
        let state = StateDir::open(folder).expect("opens whatever its ledger is");
        let recorded = Recorded::load(folder).expect("understood");
        let memory = state.remember(recorded.as_ref(), None, || None);
        (state, memory)
    }

    #[test]
    fn a_ledger_is_never_taken_for_epoch_1_whichever_of_its_bytes_is_damaged() {
        let folder = tempfile::tempdir().expect("folder");
        let text = promoted(folder.path(), true);
        let path = folder.path().join("ledger.json");
        let (_, whole) = remembered(folder.path());
        assert_eq!((whole.own, whole.trouble), (Some(epoch(3, "c")), None));
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1 << (at % 8);
            for damaged in [damaged, text[..at].to_vec()] {
                fs::write(&path, damaged).expect("damaged");
                for (records, own) in [(true, Some(epoch(3, "c"))), (false, None)] {
                    let read = Ledger::load(&path);
                    let kept = KeptEpochs {
                        own: epoch(3, "c"),
                        highest: epoch(3, "c"),
                    };
                    let memory = Memory::of(read, Some(&kept).filter(|_| records), None, || None);
                    assert!(memory.trouble.is_some() && memory.own == own, "byte {at}: {memory:?}");
                }
            }
        }
    }

    #[test]
    fn whatever_is_in_its_place_the_record_says_it_and_it_is_kept_aside_by_name() {
        let newer = |text: &str| text.replace("\"format\":1", "\"format\":2");
        type Damage<'a> = &'a dyn Fn(&Path, &str);
        let arrange: [(&str, Damage<'_>); 6] = [
            ("empty", &|path, _| fs::write(path, "").expect("written")),
            ("a folder", &|path, _| {
                fs::remove_file(path).expect("removed");
                fs::create_dir(path).expect("made");
            }),
            ("a failing disk", &|path, _| {
                fs::remove_file(path).expect("removed");
                symlink("/proc/self/mem", path).expect("linked");
            }),
            ("of a newer format", &|path, text| {
                fs::write(path, newer(text)).expect("written")
            }),
            ("of an epoch before", &|path, _| {
                Ledger::default().save(path).expect("written")
            }),
            ("missing", &|path, _| fs::remove_file(path).expect("removed")),
        ];
        for (what, damage) in arrange {
            let folder = tempfile::tempdir().expect("folder");
            let text = String::from_utf8(promoted(folder.path(), true)).expect("JSON");
            let path = folder.path().join("ledger.json");
            damage(&path, &text);
            let (state, memory) = remembered(folder.path());
            assert!(memory.trouble.is_some(), "{what}");
            assert_eq!(
                (&memory.own, &memory.highest),
                (&Some(epoch(3, "c")), &epoch(3, "c")),
                "{what}"
            );
            assert_eq!(state.ledger().expect("stands in").epoch, epoch(3, "c"), "{what}");
            let ledger = state.change_ledger(|_| {}).expect("written anew");
            assert_eq!(
                (ledger.epoch, ledger.highest_epoch),
                (epoch(3, "c"), epoch(3, "c")),
                "{what}"
            );
            let aside = state.aside();
            assert_eq!(aside.is_some(), what != "missing", "{what}");
            drop(state);
            // The next start finds a whole one.
            let (state, memory) = remembered(folder.path());
            assert_eq!((memory.own, memory.trouble), (Some(epoch(3, "c")), None), "{what}");
            drop(state);
            // After a crash between both, nothing is taken for that of a new node.
            if aside.is_some() {
                fs::remove_file(&path).expect("removed");
                Recorded::new(Role::Primary, Flag::None, 1)
                    .save(folder.path())
                    .expect("as the version before");
                let (_, memory) = remembered(folder.path());
                assert!(memory.trouble.is_some() && memory.own.is_none(), "{what}: {memory:?}");
            }
        }
    }

    #[test]
    fn where_nobody_says_it_what_begins_is_above_all_that_is_known() {
        let folder = tempfile::tempdir().expect("folder");
        promoted(folder.path(), false);
        fs::write(folder.path().join("ledger.json"), "{").expect("damaged");
        let state = StateDir::open(folder.path()).expect("opens");
        let recorded = Recorded::load(folder.path()).expect("understood");
        let (told, kept) = (epoch(4, "d"), epoch(6, "f"));
        let memory = state.remember(recorded.as_ref(), Some(&told), || Some(kept));
        assert_eq!((memory.own, memory.highest.number), (None, 6));
        let record = state.with_epochs(Recorded::new(Role::Primary, Flag::None, 1));
        assert_eq!(record.epochs, None, "what is not known is not recorded");
        let ledger = state
            .change_ledger(|ledger| ledger.begin_epoch("g", 0))
            .expect("written");
        assert_eq!(ledger.epoch, epoch(7, "g"));
    }

    #[test]
    fn a_new_node_and_one_of_the_version_before_know_their_epoch() {
        let folder = tempfile::tempdir().expect("folder");
        let (state, memory) = remembered(folder.path());
        assert_eq!((memory.own, memory.trouble), (Some(Epoch::default()), None));
        drop(state);
        promoted(folder.path(), false);
        let (state, memory) = remembered(folder.path());
        assert_eq!((memory.own, memory.trouble), (Some(epoch(3, "c")), None));
        // From whom a higher one is known counts beside a ledger that is whole.
        let memory = state.remember(None, Some(&epoch(5, "e")), || unreachable!("it is whole"));
        assert_eq!((memory.own, memory.highest), (Some(epoch(3, "c")), epoch(5, "e")));
    }
}
