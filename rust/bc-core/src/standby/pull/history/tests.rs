use std::ops::Deref;

use super::*;
use crate::generation::Role;

fn envelope(node_id: &str, number: u64, promotion: &str, sequence: u64) -> Envelope {
    Envelope {
        epoch: Epoch {
            number,
            promotion: promotion.to_owned(),
        },
        sequence,
        ..Envelope::of(node_id, Role::Primary)
    }
}

/// Judges what this sender offers without a word of what was before.
fn judged(
    history: &History,
    envelope: &Envelope,
    generation: &Digest,
    position: Option<&Position>,
) -> Result<Option<String>, Error> {
    let offered = Candidate {
        envelope,
        generation,
        lineage: None,
    };
    history.judge(&offered, position)
}

fn position(envelope: &Envelope, content: &[u8]) -> Position {
    Position {
        generation: Digest::of(content),
        epoch: envelope.epoch.clone(),
        sequence: envelope.sequence,
        applied_ms: 0,
    }
}

/// A history with its folder.
struct Kept {
    history: History,
    _folder: tempfile::TempDir,
}

impl Deref for Kept {
    type Target = History;

    fn deref(&self) -> &History {
        &self.history
    }
}

/// The history of a node that has followed nobody.
fn history() -> Kept {
    let folder = tempfile::tempdir().expect("folder");
    let state = StateDir::open(folder.path()).expect("state folder");
    Kept {
        history: History::of(Arc::new(state)),
        _folder: folder,
    }
}

/// A history in which `first` is live with the bytes `one`.
fn after(first: &Envelope) -> (Kept, Position) {
    let history = history();
    let generation = Digest::of(b"one");
    assert_eq!(judged(&history, first, &generation, None), Ok(None));
    assert_eq!(history.followed(first), Ok(()));
    (history, position(first, b"one"))
}

fn why(result: Result<Option<String>, Error>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    error.message().to_owned()
}

#[test]
fn newer_and_equal_pass() {
    let first = envelope("a", 1, "", 5);
    let (history, live) = after(&first);
    assert_eq!(judged(&history, &first, &Digest::of(b"one"), Some(&live)), Ok(None));
    let next = envelope("a", 1, "", 6);
    assert_eq!(judged(&history, &next, &Digest::of(b"two"), Some(&live)), Ok(None));
    let promoted = envelope("b", 2, "x", 1);
    assert_eq!(judged(&history, &promoted, &Digest::of(b"two"), Some(&live)), Ok(None));
}

#[test]
fn a_restored_snapshot_is_refused_also_once_its_sequence_has_grown() {
    let (history, live) = after(&envelope("a", 1, "", 5));
    let other = Digest::of(b"two");
    for sequence in [4, 5, 6] {
        let back = envelope("a", 1, "", sequence);
        assert!(why(judged(&history, &back, &other, Some(&live))).contains("went back in time"));
    }
    let accepted = envelope("a", 1, "", 6);
    history.accept(&accepted).expect("memory");
    assert_eq!(judged(&history, &accepted, &other, Some(&live)), Ok(None));
}

#[test]
fn an_old_primary_is_refused_after_a_promotion() {
    let first = envelope("a", 1, "", 5);
    let (history, _) = after(&first);
    let promoted = envelope("b", 2, "x", 1);
    assert_eq!(judged(&history, &promoted, &Digest::of(b"two"), None), Ok(None));
    let old = envelope("a", 1, "", 9);
    assert!(why(judged(&history, &old, &Digest::of(b"three"), None)).contains("promoted since"));
    let other = envelope("c", 2, "y", 9);
    assert!(why(judged(&history, &other, &Digest::of(b"three"), None)).contains("independently"));
    history.accept(&old).expect("memory");
    let live = position(&promoted, b"two");
    assert_eq!(judged(&history, &old, &Digest::of(b"three"), Some(&live)), Ok(None));
    // The other one was not accepted.
    why(judged(&history, &other, &Digest::of(b"three"), Some(&live)));
}

#[test]
fn another_server_of_the_same_epoch_is_refused() {
    let (history, live) = after(&envelope("a", 1, "", 5));
    let anew = envelope("b", 1, "", 9);
    assert!(why(judged(&history, &anew, &Digest::of(b"two"), Some(&live))).contains("another node"));
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
    assert!(why(judged(&history, &primary, &Digest::of(b"one"), None)).contains("did not come to its end"));
    history.accept(&primary).expect("write");
    assert_eq!(judged(&history, &primary, &Digest::of(b"one"), None), Ok(None));
}

#[test]
fn what_was_seen_survives_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let first = envelope("a", 1, "", 5);
    let live = position(&first, b"one");
    for _ in 0..2 {
        let history = History::of(Arc::new(StateDir::open(folder.path()).expect("open")));
        let back = envelope("a", 1, "", 4);
        assert!(why(judged(&history, &back, &Digest::of(b"two"), Some(&live))).contains("back in time"));
    }
    let history = History::of(Arc::new(StateDir::open(folder.path()).expect("open")));
    why(judged(
        &history,
        &envelope("a", 1, "", 6),
        &Digest::of(b"two"),
        Some(&live),
    ));
}

#[test]
fn a_primary_must_have_had_what_is_live_here() {
    let generation = |number: u64| Digest::of(&number.to_le_bytes());
    let mut ours = Lineage::default();
    for number in 1..=5 {
        ours.push(number, &generation(number));
    }
    let mut restored = ours.clone();
    ours.push(6, &generation(6));
    // After a start it goes on above what it had reserved.
    restored.push(70, &generation(70));
    ours.push(70, &generation(70));
    let newest = envelope("a", 1, "", 70);
    let judge = |lineage: &Lineage, live: u64| {
        let history = history();
        let position = Position {
            generation: generation(live),
            epoch: newest.epoch.clone(),
            sequence: live,
            applied_ms: 0,
        };
        let judged = |generation: &Digest| {
            let offered = Candidate {
                envelope: &newest,
                generation,
                lineage: Some(lineage),
            };
            history.judge(&offered, Some(&position))
        };
        // The same files are no step back, whatever was between.
        assert_eq!(judged(&position.generation), Ok(None));
        judged(&generation(70))
    };
    for live in 1..=6 {
        assert_eq!(judge(&ours, live), Ok(None));
    }
    assert_eq!(judge(&restored, 5), Ok(None));
    assert!(why(judge(&restored, 6)).contains("its sequence 6 had other files"));
    assert_eq!(judge(&Lineage::default(), 6), Ok(None), "one that says nothing");
    let mut short = Lineage::default();
    short.push(7, &generation(7));
    let warning = judge(&short, 6).expect("followed").expect("a warning");
    assert!(warning.contains("no longer reaches back to sequence 6"), "{warning}");
}
