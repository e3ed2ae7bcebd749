//! An agent's node whose files are damaged: GoCD waits, or starts above all that is known, and never by a failure.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bc_core::{
    basics::Properties,
    generation::{Epoch, Role},
    node::Event,
    role::{Ledger, Recorded, StateDir, known_peers, memory::KeptEpochs},
    settings::Flag,
};
use bc_testkit::free_port;

use crate::node::Node;

/// How long anything may take that is not held up on purpose.
const SOON: Duration = Duration::from_secs(60);

fn state_of(folder: &Path) -> std::path::PathBuf {
    folder.join("db/business-continuity")
}

fn epoch(number: u64, promotion: &str) -> Epoch {
    Epoch {
        number,
        promotion: promotion.to_owned(),
    }
}

/// A server that was promoted to epoch 3, and knows a peer that nobody is.
fn promoted(folder: &Path, recorded: Recorded) {
    let path = state_of(folder);
    let state = StateDir::open(&path).expect("opens");
    let own = epoch(3, "c");
    let change = |ledger: &mut Ledger| (ledger.epoch, ledger.highest_epoch) = (own.clone(), own.clone());
    state.change_ledger(change).expect("written");
    recorded.save(&path).expect("written");
}

fn with_epochs(role: Role) -> Recorded {
    let own = epoch(3, "c");
    Recorded {
        epochs: Some(KeptEpochs {
            own: own.clone(),
            highest: own,
        }),
        ..Recorded::new(role, Flag::None, 1)
    }
}

fn open(folder: &Path) -> Node {
    open_with(folder, &format!("https://127.0.0.1:{}", free_port()))
}

fn open_with(folder: &Path, peers: &str) -> Node {
    let mut properties = Properties::from_iter([
        ("bc.face", "agent"),
        ("bc.listen", "127.0.0.1:0"),
        ("cruise.listen.host", "127.0.0.1"),
        ("cruise.server.port", "0"),
        ("bc.guard.wait", "1000"),
        ("bc.db.watch", "off"),
    ]);
    properties.set("user.dir", folder.display().to_string());
    if !peers.is_empty() {
        properties.set("bc.peers", peers);
    }
    Node::open(&properties).expect("no failure lets GoCD run")
}

/// What an agent hears of a node within a while that is longer than its wait for others: whether it is released, and the
/// last reason to hold. It ends early where `is_enough`.
fn heard(node: &Node, is_enough: impl Fn(&str) -> bool) -> Result<(), String> {
    let (end, mut last, mut log) = (Instant::now() + SOON, String::new(), Vec::new());
    while Instant::now() < end && !is_enough(&last) {
        match node.next_event(Duration::from_millis(200)) {
            Some(Event::Release(_)) => return Ok(()),
            Some(Event::Hold(reason)) => last = reason,
            Some(Event::Log { message, .. }) if is_enough(&message) => last = message,
            Some(Event::Log { message, .. }) => log.push(message),
            _ => {}
        }
    }
    Err(if is_enough(&last) {
        last
    } else {
        format!("{last}\n{}", log.join("\n"))
    })
}

fn epoch_in(state: &Path) -> u64 {
    let text = fs::read_to_string(state.join("ledger.json")).expect("there");
    let ledger: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    ledger["epoch"]["number"].as_u64().expect("a number")
}

#[test]
fn a_primary_whose_epoch_file_is_damaged_goes_on_above_all_that_is_known() {
    for (recorded, begins) in [
        // What it gave out is not known either: standbys would take lower numbers for an old snapshot.
        (with_epochs(Role::Primary), 4),
        // As the version before wrote it.
        (Recorded::new(Role::Primary, Flag::None, 1), 2),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        promoted(folder.path(), recorded);
        let state = state_of(folder.path());
        fs::write(state.join("ledger.json"), "{").expect("damaged");
        let node = open(folder.path());
        assert_eq!(heard(&node, |_| false), Ok(()), "nobody says anything higher");
        node.close();
        assert_eq!(epoch_in(&state), begins);
        let kept = Recorded::load(&state).expect("understood").expect("there").epochs;
        assert_eq!(kept.expect("kept").own.number, begins);
        assert_eq!(
            fs::read_to_string(state.join("ledger.damaged-1")).expect("kept aside"),
            "{"
        );
        // It is said until somebody has taken that file away, and nothing begins once more.
        let node = open(folder.path());
        assert_eq!(heard(&node, |_| false), Ok(()));
        node.close();
        assert_eq!(epoch_in(&state), begins);
    }
}

#[test]
fn a_higher_epoch_that_was_heard_counts_although_the_epoch_file_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    promoted(folder.path(), with_epochs(Role::Primary));
    let state = state_of(folder.path());
    let mut known = known_peers::KnownPeers::default();
    let winner = bc_core::role::guard::Winner {
        node_id: None,
        address: "https://standbygo:8155".to_owned(),
        is_there: true,
        epoch: epoch(5, "e"),
    };
    known.won(&winner, 1);
    known.save(&state).expect("written");
    fs::write(state.join("ledger.json"), "").expect("damaged");
    let node = open(folder.path());
    let said = heard(&node, |said| said.contains("fenced")).expect_err("another one has a higher epoch");
    assert!(said.contains("fenced"), "{said}");
    node.close();
    let recorded = Recorded::load(&state).expect("understood").expect("there");
    assert_eq!(recorded.role, Role::Fenced);
    assert_eq!(recorded.epochs.expect("kept").highest.number, 5);
}

#[test]
fn a_standby_whose_epoch_file_is_damaged_holds_as_before_and_one_that_nobody_knows_names_the_way_on() {
    let folder = tempfile::tempdir().expect("a folder");
    promoted(folder.path(), with_epochs(Role::Standby));
    let state = state_of(folder.path());
    fs::write(state.join("ledger.json"), "").expect("damaged");
    let node = open(folder.path());
    let said = heard(&node, |said| {
        said.contains("damaged") && said.contains("GoCD stays held")
    });
    assert!(said.is_err_and(|said| said.contains("GoCD stays held")));
    node.close();
    assert_eq!(epoch_in(&state), 3, "what else says it is gone by");

    fs::remove_file(state.join("role")).expect("lost");
    fs::write(state.join("ledger.json"), "").expect("damaged");
    let nobody = format!("https://127.0.0.1:{}", free_port());
    for (peers, way) in [
        ("", "`gocd-bc promote --without-database --as-it-is`"),
        (&*nobody, "`gocd-bc promote --take-over --accept-loss`"),
    ] {
        drop(fs::remove_file(state.join(known_peers::FILE)));
        let node = open_with(folder.path(), peers);
        let said = heard(&node, |said| said.contains(way)).expect_err("nobody knows what it is");
        assert!(said.contains(way) && said.contains("`gocd-bc demote`"), "{said}");
        node.close();
        let left = fs::read_to_string(state.join("ledger.json"));
        assert_eq!(left.expect("left"), "", "nothing is claimed");
        assert!(!state.join("role").exists(), "nor what it was to be");
    }
}

#[test]
fn an_agents_node_that_does_not_open_holds_and_opens_once_the_cause_is_gone() {
    for name in ["node-id", "identity.pem", "lock"] {
        let folder = tempfile::tempdir().expect("a folder");
        promoted(folder.path(), with_epochs(Role::Primary));
        let state = state_of(folder.path());
        let holder = (name == "lock").then(|| StateDir::open(&state).expect("locked"));
        if holder.is_none() {
            drop(fs::remove_file(state.join(name)));
            fs::create_dir(state.join(name)).expect("in the way");
        }
        let node = open(folder.path());
        let said = heard(&node, |said| said.contains("GoCD stays held")).expect_err("GoCD waits");
        assert!(said.contains("does not open yet"), "{name}: {said}");
        match holder {
            Some(holder) => drop(holder),
            None => fs::remove_dir(state.join(name)).expect("gone"),
        }
        assert_eq!(heard(&node, |_| false), Ok(()), "{name}");
        node.close();
    }
}

#[test]
fn a_plain_gocd_is_not_kept_down_by_a_node_that_does_not_open() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("db"), "in the way").expect("written");
    let mut properties = Properties::from_iter([("bc.face", "agent")]);
    properties.set("user.dir", folder.path().display().to_string());
    assert!(
        Node::open(&properties).is_err(),
        "Java decides by flag and record, of which there is none"
    );
}
