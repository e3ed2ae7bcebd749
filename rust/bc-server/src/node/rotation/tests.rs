use std::path::Path;

use bc_core::{
    basics::SystemClock,
    generation::{KeyHolder, Role, Run},
    node::Reply,
    primary::Sender,
    status::{Phase, Report, ReportReply, Status},
};
use tokio::sync::mpsc;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    first: Fingerprint,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let first = Identity::load_or_create(folder.path()).expect("identity").fingerprint();
        Self { folder, first }
    }

    /// As when the node opens.
    fn open(&self) -> Rotation {
        let state = Arc::new(StateDir::open(self.folder.path()).expect("state"));
        let identity = Identity::load_or_create(state.path()).expect("identity");
        let own = Arc::new(OwnKeys::new(state.node_id().clone(), identity.fingerprint()));
        let peers = PeersFile::new(&self.folder.path().join("peers"), Some(self.folder.path()));
        let shown = own.peer(own.shown());
        peers.change(|peers| peers.trust(shown)).expect("written");
        let (standbys, problem) =
            Standbys::open(state.path(), peers.clone(), Arc::clone(&own), Duration::from_secs(120));
        assert_eq!(problem, None);
        Rotation {
            board: Arc::new(StatusBoard::new(
                Status::new(state.node_id(), Role::Primary, Phase::Running, 0),
                Arc::new(SystemClock),
            )),
            offer: Arc::new(Offer::new(Arc::clone(&state), None, 1000).expect("an offer")),
            state,
            peers,
            key: NodeKey::new(Shown::identity(&identity).expect("a pair")),
            own,
            standbys: Arc::new(standbys.by(&run("primarygo"))),
            change: Mutex::new(Change::new(false)),
        }
    }

    fn identity(&self) -> Fingerprint {
        Identity::load_or_create(self.folder.path())
            .expect("identity")
            .fingerprint()
    }
}

fn run(host: &str) -> Run {
    Run::begin(Some(host.to_owned()), Path::new("state"), 0).expect("random")
}

fn of(name: char, confirms: &[Fingerprint]) -> Report {
    Report {
        in_sync: Some(true),
        node_id: name.to_string().repeat(32).parse().expect("id"),
        generation: None,
        applied_ago_ms: None,
        error: None,
        problem: None,
        url: None,
        product_version: "0.1.0".to_owned(),
        gocd_version: None,
        confirms: confirms.to_vec(),
        run: None,
    }
}

/// A standby reports and confirms what it was told of the keys in `confirms`.
fn report(rotation: &Rotation, name: char, confirms: &[Fingerprint]) -> Vec<Fingerprint> {
    let key = Fingerprint::of_public_key(&[name as u8]);
    tells(rotation, of(name, confirms), Some(key)).keys
}

fn tells(rotation: &Rotation, report: Report, key: Option<Fingerprint>) -> ReportReply {
    let sender = Sender { key, address: None };
    rotation.standbys.report(report, sender, 1).expect("taken")
}

#[tokio::test]
async fn the_key_is_switched_once_all_have_confirmed() {
    let place = Place::new();
    let rotation = place.open();
    report(&rotation, 'a', &[]);
    let next = rotation.publish().expect("published");
    rotation.look();
    assert_eq!(rotation.own.shown(), place.first, "nobody has confirmed");
    let told = report(&rotation, 'a', &[place.first]);
    assert_eq!(told, [place.first, next]);
    let peers = rotation.peers.load().expect("peers");
    assert!(peers.contains(&next), "and so is the peers file that it gets");
    assert!(peers.contains(&place.first));
    rotation.look();
    assert_eq!(rotation.own.shown(), place.first);
    report(&rotation, 'a', &[place.first, next]);
    rotation.look();
    assert_eq!(rotation.own.shown(), next);
    assert_eq!(rotation.key.shown().fingerprint(), next);
    assert_eq!(place.identity(), next);
    assert_eq!(report(&rotation, 'a', &[next]), [next]);
    let peers = rotation.peers.load().expect("peers");
    assert!(peers.is_removed(&place.first), "the former key has ended");
    let reply = tells(&rotation, of('a', &[next]), Some(Fingerprint::of_public_key(b"a")));
    assert_eq!(reply.removed, [place.first], "and each standby is told");
}

#[tokio::test]
async fn nobody_holds_a_rotation_up_by_the_token_alone() {
    let place = Place::new();
    let rotation = place.open();
    report(&rotation, 'a', &[]);
    let next = rotation.publish().expect("published");
    for (number, name) in ('b'..='f').enumerate() {
        let key = (number % 2 == 0).then(|| Fingerprint::of_public_key(&[name as u8]));
        tells(&rotation, of(name, &[]), key);
    }
    tells(&rotation, of('a', &[]), None);
    report(&rotation, 'a', &[next]);
    rotation.look();
    assert_eq!(rotation.own.shown(), next);
}

#[tokio::test(start_paused = true)]
async fn the_silent_are_not_waited_for() {
    let place = Place::new();
    let rotation = place.open();
    report(&rotation, 'a', &[]);
    rotation
        .standbys
        .trust(Fingerprint::of_public_key(b"b"))
        .expect("trusted");
    let next = rotation.publish().expect("published");
    tokio::time::advance(Duration::from_secs(121)).await;
    report(&rotation, 'b', &[next]);
    rotation.look();
    assert_eq!(rotation.own.shown(), next);
}

#[tokio::test(start_paused = true)]
async fn now_skips_the_others_and_names_them() {
    let place = Place::new();
    let rotation = place.open();
    report(&rotation, 'a', &[]);
    let (progress, _steps) = mpsc::channel(4);
    let Reply::Done { message } = rotation.order(true, &progress).await else {
        panic!("it is done")
    };
    assert!(message.contains("not confirmed by node aaaaaaaa"), "{message}");
    assert!(
        message.contains(&format!("gocd-bc trust --remove {}", place.first)),
        "{message}"
    );
    assert_eq!(place.identity(), rotation.own.shown());
    assert_ne!(place.identity(), place.first);
}

#[tokio::test(start_paused = true)]
async fn an_order_does_not_wait_for_ever() {
    let place = Place::new();
    let rotation = place.open();
    let (progress, mut steps) = mpsc::channel(4);
    report(&rotation, 'a', &[]);
    let Reply::Done { message } = rotation.order(false, &progress).await else {
        panic!("it is published")
    };
    assert!(message.contains("node aaaaaaaa did not confirm it yet"), "{message}");
    assert_eq!(steps.recv().await.as_deref(), Some("waiting for node aaaaaaaa"));
    assert_eq!(place.identity(), place.first);
}

#[tokio::test]
async fn a_crash_between_the_steps_loses_nothing() {
    let place = Place::new();
    let next = {
        let rotation = place.open();
        report(&rotation, 'a', &[]);
        rotation.standbys.save_if_due().expect("written");
        rotation.publish().expect("published")
    };
    {
        let again = place.open();
        again.go_on().expect("gone on");
        assert_eq!(again.own.all(), [place.first, next], "it is still to come");
        assert!(again.peers.load().expect("peers").removed().is_empty());
        again.look();
        assert_eq!(again.own.shown(), place.first, "the standby has not confirmed");
        report(&again, 'a', &[next]);
        again.look();
    }
    let last = place.open();
    // As if the process had ended before the former key was removed.
    last.peers
        .change(|peers| peers.trust(last.own.peer(place.first)))
        .expect("written");
    last.go_on().expect("gone on");
    assert_eq!(last.own.all(), [next]);
    let peers = last.peers.load().expect("peers");
    assert!(peers.is_removed(&place.first) && peers.contains(&next));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_primary_is_said_to_be_shut_out() {
    let place = Place::new();
    let rotation = place.open();
    let copy = KeyHolder {
        run: run("clonego"),
        node_id: None,
    };
    rotation.standbys.shown(&place.first, copy);
    let (progress, _steps) = mpsc::channel(4);
    let Reply::Done { message } = rotation.order(true, &progress).await else {
        panic!("it is done")
    };
    assert!(
        message.contains("has the former key alone, so it is shut out now: clonego"),
        "{message}"
    );
}

#[tokio::test]
async fn a_given_certificate_is_not_ours_to_change() {
    let rotation = Rotation {
        change: Mutex::new(Change::new(true)),
        ..Place::new().open()
    };
    let (progress, _steps) = mpsc::channel(4);
    let Reply::Refused { guidance, .. } = rotation.order(true, &progress).await else {
        panic!("refused")
    };
    assert!(guidance.contains("bc.tls.certificate"));
}
