use super::{
    written::{BLOCK, FILE},
    *,
};
use crate::{
    basics::Digests,
    generation::{Acceptance, Descent, Entry, Manifest, Name},
    primary::scan::snapshot::Source,
    role::Ledger,
};

#[cfg(target_os = "linux")]
mod full_disk;

fn snapshot(content: &[u8]) -> Snapshot {
    let mut manifest = Manifest::default();
    manifest
        .files
        .insert(Name::CruiseConfig, Entry::new(Digests::of(content), 0, None));
    Snapshot {
        generation: manifest.generation(),
        manifest,
        own_jars: Default::default(),
        server_id: None,
        schema_version: None,
        acceptance: Acceptance::Unknown,
        scanned_ms: 5,
        warnings: Vec::new(),
        withheld_lines: Vec::new(),
        sources: Default::default(),
        read_again: None,
    }
}

#[test]
fn the_sequence_grows_with_each_generation_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        let offer = Offer::new(state, None, 60_000).expect("offer");
        assert!(offer.publish(snapshot(b"1")).expect("first"));
        assert!(!offer.publish(snapshot(b"1")).expect("same"));
        assert!(offer.publish(snapshot(b"2")).expect("second"));
        assert_eq!(offer.current().expect("offered").sequence, 2);
    }
    let state = Arc::new(StateDir::open(folder.path()).expect("open again"));
    let offer = Offer::new(state, None, 60_000).expect("offer");
    assert!(!offer.publish(snapshot(b"2")).expect("unchanged"));
    let restarted = offer.current().expect("offered").sequence;
    assert!(restarted > 2, "whatever was given out before is below: {restarted}");
    assert!(
        offer
            .publish(snapshot(b"1"))
            .expect("back to older bytes is a new generation in time")
    );
    assert_eq!(offer.current().expect("offered").sequence, restarted + 1);
}

#[test]
fn a_generation_says_where_the_database_was_when_it_was_made() {
    let folder = tempfile::tempdir().expect("folder");
    let start = || {
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        Offer::new(state, None, 60_000).expect("offer")
    };
    let position = |written: &str| -> Position {
        let json = serde_json::json!({"system": "7", "timeline": 1, "written": written});
        serde_json::from_value(json).expect("a position")
    };
    let made_at = |offer: &Offer| offer.current().expect("offered").made_at.clone();
    let offer = start();
    offer.publish(snapshot(b"1")).expect("not known yet");
    assert_eq!(made_at(&offer), None);
    offer.note_database(Some(position("0/10")));
    offer.publish(snapshot(b"1")).expect("the same");
    assert_eq!(made_at(&offer), None, "it was made before");
    offer.publish(snapshot(b"2")).expect("another");
    assert_eq!(made_at(&offer), Some(position("0/10")));
    offer.note_database(Some(position("0/20")));
    offer.publish(snapshot(b"2")).expect("the same");
    assert_eq!(made_at(&offer), Some(position("0/10")));
    drop(offer);
    // What was on offer before a restart was made at another time.
    let offer = start();
    offer.note_database(Some(position("0/30")));
    offer.publish(snapshot(b"2")).expect("the same");
    assert_eq!(made_at(&offer), None);
    offer.publish(snapshot(b"3")).expect("another");
    assert_eq!(made_at(&offer), Some(position("0/30")));
}

#[test]
fn what_gocd_accepted_is_known_over_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let start = || {
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        Offer::new(state, None, 60_000).expect("offer")
    };
    let judged = |content: &[u8], acceptance| Snapshot {
        acceptance,
        ..snapshot(content)
    };
    let offer = start();
    assert_eq!(offer.accepted_config(), None);
    for acceptance in [Acceptance::Pending, Acceptance::Accepted] {
        offer
            .publish(judged(b"1", acceptance))
            .expect("accepted behind the offer");
    }
    drop(offer);
    let offer = start();
    assert_eq!(offer.accepted_config(), Some(Digest::of(b"1")));
    offer.publish(judged(b"1", Acceptance::Accepted)).expect("the same");
    offer
        .publish(judged(b"2", Acceptance::Accepted))
        .expect("accepted at once");
    offer.publish(judged(b"3", Acceptance::Pending)).expect("not yet");
    drop(offer);
    assert_eq!(start().accepted_config(), Some(Digest::of(b"2")));
}

#[test]
fn a_crash_at_any_moment_gives_no_sequence_twice() {
    let folder = tempfile::tempdir().expect("folder");
    let ledger = folder.path().join("ledger.json");
    let start = || {
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        Offer::new(state, None, 60_000).expect("offer")
    };
    let offer = start();
    offer.publish(snapshot(b"0")).expect("the first");
    // What the disk has if a crash comes right after the sequence was seen.
    let mut on_disk = std::fs::read(&ledger).expect("written");
    let mut given_out = 1;
    for number in 1..=BLOCK + 2 {
        let before = std::fs::read(&ledger).expect("written");
        offer.publish(snapshot(&number.to_le_bytes())).expect("another one");
        let sequence = offer.current().expect("offered").sequence;
        assert!(sequence > given_out);
        given_out = sequence;
        let after: Ledger = serde_json::from_slice(&std::fs::read(&ledger).expect("written")).expect("a ledger");
        on_disk = if sequence % (BLOCK + 1) == 1 {
            std::fs::read(&ledger).expect("written")
        } else {
            before
        };
        assert!(after.reserved >= sequence);
    }
    drop(offer);
    std::fs::write(&ledger, on_disk).expect("a crash");
    let offer = start();
    offer.publish(snapshot(b"0")).expect("an earlier one");
    assert!(offer.current().expect("offered").sequence > given_out);
}

#[test]
fn the_lineage_goes_on_over_restarts_and_every_way_to_end() {
    let folder = tempfile::tempdir().expect("folder");
    let ledger = folder.path().join("ledger.json");
    let start = || {
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        Offer::new(state, None, 60_000).expect("offer")
    };
    let mut given_out = Vec::new();
    let mut number = 0_u64;
    for run in 0..20 {
        let offer = start();
        for _ in 0..=run {
            number += 1;
            let before = std::fs::read(&ledger);
            offer.publish(snapshot(&number.to_le_bytes())).expect("another one");
            let offered = offer.current().expect("offered");
            given_out.push((offered.sequence, offered.snapshot.generation));
            for (sequence, generation) in &given_out {
                assert_eq!(offered.lineage.descent(*sequence, generation), Descent::Known);
            }
            let reserved = serde_json::from_slice::<Ledger>(before.as_deref().unwrap_or_default())
                .map_or(0, |ledger| ledger.reserved);
            if number.is_multiple_of(3) && offered.sequence <= reserved {
                // As if it had ended before the ledger was written.
                std::fs::write(&ledger, before.expect("written")).expect("a kill");
                break;
            }
        }
    }
    assert!(given_out.len() > 40, "{}", given_out.len());
}

#[test]
fn a_snapshot_that_was_restored_knows_nothing_of_what_came_after_it() {
    let folder = tempfile::tempdir().expect("folder");
    let files = [folder.path().join("ledger.json"), folder.path().join(FILE)];
    let start = || {
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        Offer::new(state, None, 60_000).expect("offer")
    };
    let offer = start();
    for number in 0..3_u64 {
        offer.publish(snapshot(&number.to_le_bytes())).expect("before");
    }
    let taken = files.each_ref().map(|file| std::fs::read(file).expect("written"));
    offer.publish(snapshot(b"newest")).expect("after");
    let lost = offer.current().expect("offered");
    drop(offer);
    for (file, content) in files.iter().zip(taken) {
        std::fs::write(file, content).expect("restored");
    }
    let offer = start();
    for number in 10..200_u64 {
        offer.publish(snapshot(&number.to_le_bytes())).expect("edited on");
        let offered = offer.current().expect("offered");
        assert!(offered.sequence > lost.sequence);
        assert_eq!(
            offered.lineage.descent(lost.sequence, &lost.snapshot.generation),
            Descent::Foreign
        );
    }
}

/// A reading at `scanned_ms` of a large configuration.
fn large(content: &[u8], scanned_ms: i64) -> Snapshot {
    let bytes = Bytes::copy_from_slice(content);
    Snapshot {
        scanned_ms,
        sources: [(Digest::of(content), Source::Memory(bytes))].into(),
        ..snapshot(content)
    }
}

#[test]
fn a_standby_that_keeps_up_is_led_to_the_newest_configuration() {
    let folder = tempfile::tempdir().expect("folder");
    let state = Arc::new(StateDir::open(folder.path()).expect("open"));
    let offer = Offer::new(state, None, 60_000).expect("offer");
    let lines: String = (0..2_000)
        .map(|number| format!("a line with the number {number}\n"))
        .collect();
    let configs: Vec<String> = (0..5)
        .map(|edit| lines.replace("number 77\n", &format!("number 77, edited {edit} times\n")))
        .collect();
    let sha256 = |edit: usize| Digest::of(configs[edit].as_bytes());
    let delta = |from: usize, to: usize| offer.delta(&sha256(from), &sha256(to));
    for (edit, config) in configs.iter().enumerate() {
        offer.publish(large(config.as_bytes(), edit as i64)).expect("offered");
    }
    for former in 1..4 {
        let found = delta(former, 4).expect("it was on offer a moment ago");
        let pieces = crate::generation::delta::decode(configs[former].as_bytes(), &found).expect("a delta");
        assert_eq!(pieces.concat(), configs[4].as_bytes());
    }
    assert_eq!(delta(0, 4), None, "too many came since");
    assert_eq!(delta(4, 4), None, "nothing leads to itself");
    assert_eq!(delta(2, 3), None, "only the newest is led to");
    offer.publish(large(configs[4].as_bytes(), 60_000)).expect("read again");
    assert_eq!(delta(3, 4), None, "long ago");
}

#[test]
fn a_small_configuration_is_not_worth_a_delta() {
    let folder = tempfile::tempdir().expect("folder");
    let state = Arc::new(StateDir::open(folder.path()).expect("open"));
    let offer = Offer::new(state, None, 60_000).expect("offer");
    let (one, two) = ([b'a'; 1_000], [b'b'; 1_000]);
    for content in [one, two] {
        offer.publish(large(&content, 5)).expect("offered");
    }
    assert_eq!(offer.delta(&Digest::of(&one), &Digest::of(&two)), None);
}
