//! Files of the store that are damaged or were never ours: nothing panics, and no live file changes by them.

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::standby::store::{
    journal::Journal,
    record::{Read, Record},
};

/// What becomes of a file: some of its bytes are others, an end is missing, or it is something else.
fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => prop::collection::vec((any::<Index>(), 1..=255_u8), 1..4).prop_map(Damage::Flip),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Damage::Else),
    ]
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(Vec<(Index, u8)>),
    Cut(Index),
    Else(Vec<u8>),
}

impl Damage {
    fn of(&self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        match self {
            Self::Flip(flips) => {
                for (at, by) in flips {
                    bytes[at.index(original.len())] ^= by;
                }
            }
            Self::Cut(at) => bytes.truncate(at.index(original.len())),
            Self::Else(other) => bytes.clone_from(other),
        }
        bytes
    }
}

/// Opens the store of `place`, or says why that is not done, and checks that no live file changed.
fn opened(place: &Place, live: &Files) -> Result<DiskStore, TestCaseError> {
    let store = DiskStore::open(
        place.layout.state_dir(),
        &place.layout,
        Arc::new(SystemClock),
        Options::default(),
    );
    prop_assert!(place.is_live(live));
    store.map_err(|error| {
        // The one damage that is not told from the work of a newer version.
        assert!(error.message().contains("has format"), "{error}");
        TestCaseError::reject("a format of the future")
    })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_journal_or_record_with_any_damage_is_no_journal_and_no_record(damage in damage()) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file.json");
        let record = Record { serial: 7, ..Record::default() };
        Journal::new(Vec::new(), record.clone(), None, None).save(&OperatingSystem, &path).expect("write");
        let journal = fs::read(&path).expect("read");
        record.save(&OperatingSystem, &path).expect("write");
        let record = fs::read(&path).expect("read");

        let damaged = damage.of(&journal);
        fs::write(&path, &damaged).expect("write");
        if let Ok(Read::Whole(_)) = Journal::read(&OperatingSystem, &path) {
            prop_assert_eq!(&damaged, &journal);
        }
        let damaged = damage.of(&record);
        fs::write(&path, &damaged).expect("write");
        if Record::load(&OperatingSystem, &path).is_ok_and(|record| record.serial == 7) {
            prop_assert_eq!(&damaged, &record);
        }
    }
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn a_store_opens_beside_damaged_files_and_changes_nothing_live(
        damage in damage(),
        name in prop::sample::select(vec!["applied.json", "journal.json", "paused.json", "live-cache.json", "generation"]),
    ) {
        let (place, _) = begun();
        let before = place.kept();
        let path = match name {
            "generation" => {
                let mut kept = fs::read_dir(place.state("generations")).expect("kept").flatten();
                kept.next().expect("one at least").path()
            }
            name => place.state(name),
        };
        let original = fs::read(&path).unwrap_or_else(|_| b"{\"format\":1}".to_vec());
        let damaged = damage.of(&original);
        if name != "journal.json" {
            fs::remove_file(place.state("journal.json")).expect("not under way");
        }
        if damaged == original {
            return Ok(());
        }
        fs::write(&path, damaged).expect("write");
        let store = opened(&place, &Files::usual())?;
        for kept in crate::standby::store::generations::list(place.layout.state_dir()).expect("a list") {
            let (_, files) = crate::standby::store::generations::show(place.layout.state_dir(), &kept.id.to_string())
                .or_else(|_| crate::standby::store::generations::show(place.layout.state_dir(), "0"))
                .expect("what is listed is shown");
            prop_assert!(!files.is_empty());
            prop_assert!(name != "generation" || before.contains(&kept), "{kept}: not as it was kept");
        }
        next().apply(&store, 3).expect("goes on");
        // Without a record nothing counts as ours: a file stays that should go.
        prop_assert_eq!(fs::read(place.path(&Name::CruiseConfig)).expect("live"), EDITED);
        prop_assert!(name == "applied.json" || place.is_live(&next()));
    }
}
