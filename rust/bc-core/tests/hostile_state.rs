//! Files of a node's state folder that are damaged or were never ours: nothing panics, what is read stays within its
//! bounds, and a node either goes on or says which file it is.

#![expect(clippy::disallowed_methods, reason = "files are arranged from outside")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::{Digest, Error, Fingerprint},
    generation::Role,
    keys::{Identity, OwnKeys, PeersFile},
    primary::{
        Offer, Standbys,
        standbys::{self, MAX_STANDBYS},
    },
    role::{Ledger, Recorded, StateDir},
    settings::Flag,
};
use proptest::{prelude::*, sample::Index};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The original with some bytes that are others, something inserted or the end missing, or any bytes.
fn hostile(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(vec![
        "18446744073709551615",
        "-1",
        "null",
        "\"",
        "{",
        "}",
        "[",
        "\\u0000",
        "\0",
        "\n",
    ]);
    let (flipped, cut, filled) = (original.clone(), original.clone(), original);
    prop_oneof![
        3 => prop::collection::vec((any::<Index>(), 1..=255_u8), 1..4).prop_map(move |flips| {
            let mut bytes = flipped.clone();
            for (at, by) in flips {
                bytes[at.index(flipped.len())] ^= by;
            }
            bytes
        }),
        1 => any::<Index>().prop_map(move |at| cut[..at.index(cut.len())].to_vec()),
        3 => (any::<Index>(), odd, 0..4_usize).prop_map(move |(at, text, instead)| {
            let mut bytes = filled.clone();
            let start = at.index(bytes.len());
            let end = (start + instead).min(bytes.len());
            bytes.splice(start..end, text.bytes());
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..400),
    ]
}

fn ledger() -> Ledger {
    let mut ledger = Ledger {
        sequence: 9,
        reserved: 73,
        generation: Some(Digest::of(b"x")),
        accepted_config: Some(Digest::of(b"y")),
        ..Ledger::default()
    };
    for sequence in 1..9_u64 {
        ledger.lineage.push(sequence, &Digest::of(&sequence.to_le_bytes()));
    }
    ledger
}

fn ledger_text() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("ledger.json");
    ledger().save(&path).expect("written");
    fs::read(path).expect("read")
}

/// As the version before wrote it.
const STANDBYS: &str = r#"{"format":1,"standbys":[{"node_id":"0123456789abcdef0123456789abcdef",
    "fingerprint":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","standing":"trusted","url":"https://standby:8155","product_version":"0.1.0","gocd_version":"26.1.0","generation":null,
    "applied_ms":5,"behind_since_ms":6,"reported_ms":7,"silent":false,"error":null,"problem":null,"confirms":[]}],
    "removed":[]}"#;

/// The same as it is written now.
fn standbys_text() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    written(folder.path(), standbys::FILE, STANDBYS.as_bytes());
    let (standbys, problem) = open(folder.path());
    assert_eq!(problem, None);
    let key = "0123456789abcdef".repeat(4).parse().expect("a key");
    standbys.trust(key).expect("so that it stays on the list");
    standbys.save_if_due().expect("written");
    fs::read(folder.path().join(standbys::FILE)).expect("read")
}

fn open(folder: &Path) -> (Standbys, Option<Error>) {
    let own = Arc::new(OwnKeys::new(
        "a".repeat(32).parse().expect("id"),
        Fingerprint::of_public_key(b"mine"),
    ));
    let peers = PeersFile::new(&folder.join("business-continuity-peers"), Some(folder));
    Standbys::open(folder, peers, own, Duration::from_secs(60))
}

fn written(folder: &Path, name: &str, content: &[u8]) {
    fs::write(folder.join(name), content).expect("write");
}

#[test]
fn the_originals_are_whole() {
    let folder = tempfile::tempdir().expect("folder");
    written(folder.path(), "ledger.json", &ledger_text());
    for text in [STANDBYS.as_bytes().to_vec(), standbys_text()] {
        written(folder.path(), standbys::FILE, &text);
        let (standbys, problem) = open(folder.path());
        assert_eq!((standbys.picture(None).len(), problem), (1, None));
    }
    let state = StateDir::open(folder.path()).expect("open");
    assert_eq!(state.ledger(), Ok(ledger()));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ledgers(text in hostile(ledger_text())) {
        let folder = tempfile::tempdir().expect("folder");
        let state = Arc::new(StateDir::open(folder.path()).expect("open"));
        written(folder.path(), "ledger.json", &text);
        match state.ledger() {
            Ok(read) => {
                prop_assert_eq!(read, ledger());
                let offer = Offer::new(state, None, 60_000).expect("the ledger was read");
                prop_assert!(offer.current().is_none());
            }
            Err(error) => {
                prop_assert!(error.message().contains("ledger.json"), "{}", error);
                prop_assert_eq!(fs::read(folder.path().join("ledger.json")).expect("left"), text);
            }
        }
    }

    #[test]
    fn lists_of_standbys(text in hostile(STANDBYS.as_bytes().to_vec())) {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path(), standbys::FILE, &text);
        let (standbys, problem) = open(folder.path());
        let picture = standbys.picture(None);
        prop_assert!(picture.len() <= MAX_STANDBYS);
        if let Some(problem) = problem {
            prop_assert!(picture.is_empty() && problem.message().contains(standbys::FILE), "{}", problem);
        }
        prop_assert!(!folder.path().join("business-continuity-peers").exists(), "nobody is trusted by it");
    }

    #[test]
    fn sealed_lists_of_standbys(text in hostile(standbys_text())) {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path(), standbys::FILE, &text);
        let (standbys, problem) = open(folder.path());
        if let Some(problem) = problem {
            prop_assert!(standbys.picture(None).is_empty(), "{}", problem);
            let aside = fs::read(folder.path().join("standbys.json.damaged")).expect("set aside");
            prop_assert_eq!(aside, text);
        } else {
            prop_assert_eq!(text, standbys_text());
        }
    }

    #[test]
    fn recorded_roles(text in hostile(b"role=standby\nflag=property\n".to_vec())) {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path(), "role", &text);
        match Recorded::load(folder.path()) {
            Ok(recorded) => {
                let recorded = recorded.expect("the file is there");
                prop_assert!(matches!(recorded.role, Role::Primary | Role::Standby | Role::Fenced));
                prop_assert!(matches!(recorded.flag, Flag::None | Flag::Property | Flag::File));
            }
            Err(error) => prop_assert!(error.message().contains("role"), "{}", error),
        }
    }

    #[test]
    fn node_ids(text in hostile(b"0123456789abcdef0123456789abcdef\n".to_vec())) {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path(), "node-id", &text);
        match StateDir::open(folder.path()) {
            Ok(state) => prop_assert!(state.node_id().bytes().all(|byte| byte.is_ascii_hexdigit())),
            Err(error) => prop_assert!(error.message().contains("node-id"), "{}", error),
        }
    }

    #[test]
    fn identities(text in hostile(b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n".to_vec())) {
        let folder = tempfile::tempdir().expect("folder");
        written(folder.path(), "identity.pem", &text);
        let error = Identity::load_or_create(folder.path()).expect_err("no key is made in the place of a damaged one");
        prop_assert!(error.message().contains("identity.pem"), "{}", error);
        prop_assert_eq!(fs::read(folder.path().join("identity.pem")).expect("left"), text);
    }
}
