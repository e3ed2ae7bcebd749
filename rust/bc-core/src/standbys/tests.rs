use std::{fs, sync::Arc};

use tempfile::TempDir;
use tokio::time::advance;

use super::*;
use crate::{
    digest::Digest,
    manifest::Acceptance,
    report::{ReportedGeneration, ReportedProblem},
    status::Severity,
};

const OWN_ID: &str = "00000000000000000000000000000000";

fn key(name: &str) -> Fingerprint {
    Fingerprint::of_public_key(name.as_bytes())
}

fn node(name: char) -> String {
    name.to_string().repeat(32)
}

fn report(name: char, set: &str) -> Report {
    Report {
        node_id: node(name),
        generation: Some(ReportedGeneration {
            id: Digest::of(set.as_bytes()),
            sequence: 1,
        }),
        in_sync: Some(true),
        applied_ago_ms: Some(10),
        error: None,
        problem: None,
        url: None,
        product_version: "0.1.0".to_owned(),
        gocd_version: None,
        confirms: Vec::new(),
        wants_md5s: false,
    }
}

struct Primary {
    folder: TempDir,
    standbys: Standbys,
}

impl Primary {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let standbys = open(&folder);
        let own = Peer {
            fingerprint: key("own"),
            node_id: Some(OWN_ID.to_owned()),
        };
        Peers::change(&peers(&folder), |peers| peers.add(own)).expect("written");
        Self { folder, standbys }
    }

    fn hears(&self, report: Report, shown: &str) -> Standing {
        let id = (report.node_id.clone(), Some(key(shown)));
        self.standbys.report(report, Some(key(shown)), 1000).expect("taken in");
        self.standbys.locked().entries[&id].status.standing
    }

    fn trusts(&self, name: &str) -> bool {
        Peers::load(&peers(&self.folder)).expect("peers").contains(&key(name))
    }

    fn written(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(FILE)).ok()
    }
}

fn peers(folder: &TempDir) -> PathBuf {
    folder.path().join("peers")
}

fn open(folder: &TempDir) -> Standbys {
    let own = Arc::new(OwnKeys::new(OWN_ID, key("own")));
    let (standbys, problem) = Standbys::open(folder.path(), &peers(folder), own, Duration::from_secs(120));
    assert_eq!(problem, None);
    standbys
}

fn offered(set: &str, generated_ms: i64) -> Generation {
    Generation {
        id: Digest::of(set.as_bytes()),
        sequence: 1,
        generated_ms,
        acceptance: Acceptance::Unknown,
        total_size: 1,
    }
}

#[tokio::test]
async fn the_newest_generation_alone_does_not_make_a_standby_in_sync() {
    let primary = Primary::new();
    let offered = |set: &str| Generation {
        id: Digest::of(set.as_bytes()),
        sequence: 1,
        generated_ms: 0,
        acceptance: Acceptance::Unknown,
        total_size: 0,
    };
    let is_in_sync = |says: Option<bool>, set: &str| {
        let told = Report {
            in_sync: says,
            ..report('a', "set")
        };
        primary.hears(told, "a");
        primary.standbys.picture(Some(&offered(set)))[0].in_sync
    };
    assert!(is_in_sync(Some(true), "set"));
    assert!(!is_in_sync(Some(false), "set"), "its live files are others");
    assert!(!is_in_sync(None, "set"), "it does not say");
    assert!(!is_in_sync(Some(true), "newer"), "it does not know of it yet");
    assert!(!primary.standbys.picture(None)[0].in_sync, "nothing is on offer");
}

#[tokio::test]
async fn the_first_joins_by_itself_and_later_ones_wait() {
    let primary = Primary::new();
    assert_eq!(primary.hears(report('a', "1"), "a"), Standing::Trusted);
    assert!(primary.trusts("a"));
    assert_eq!(primary.hears(report('b', "1"), "b"), Standing::Seen);
    assert!(!primary.trusts("b"));
    assert_eq!(primary.hears(report('a', "1"), "a"), Standing::Trusted);
    Peers::change_file(&peers(&primary.folder), key("b"), false).expect("trusted");
    primary.standbys.trust(&key("b"));
    assert_eq!(primary.hears(report('b', "1"), "b"), Standing::Trusted);
    let listed = Peers::load(&peers(&primary.folder)).expect("peers");
    assert_eq!(listed.all()[2].node_id, Some(node('b')), "the node id is filled in");
}

#[tokio::test]
async fn nobody_joins_under_the_name_of_another() {
    let primary = Primary::new();
    assert_eq!(primary.hears(report('a', "1"), "a"), Standing::Trusted);
    assert_eq!(primary.hears(report('a', "2"), "thief"), Standing::Seen);
    assert!(!primary.trusts("thief"));
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 2);
    let right = listed.iter().find(|standby| standby.fingerprint == Some(key("a")));
    assert_eq!(
        right.and_then(|standby| standby.generation.as_ref()).map(|set| set.id),
        Some(Digest::of(b"1"))
    );
    let unproven = primary.standbys.report(report('c', "1"), None, 1000);
    unproven.expect("taken in");
    assert_eq!(primary.standbys.picture(None)[2].standing, Standing::Unproven);
}

#[tokio::test]
async fn without_a_key_nobody_joins_and_our_own_name_is_refused() {
    let primary = Primary::new();
    primary.standbys.report(report('a', "1"), None, 1000).expect("taken in");
    assert_eq!(Peers::load(&peers(&primary.folder)).expect("peers").all().len(), 1);
    let own = Report {
        node_id: OWN_ID.to_owned(),
        ..report('a', "1")
    };
    let refused = primary.standbys.report(own, Some(key("a")), 1000);
    assert_eq!(refused.expect_err("our own id").kind(), Kind::Refused);
    let refused = primary.standbys.report(report('a', "1"), Some(key("own")), 1000);
    assert_eq!(refused.expect_err("our own key").kind(), Kind::Refused);
}

#[tokio::test]
async fn a_removed_key_is_forgotten_and_does_not_come_back_by_itself() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    Peers::change_file(&peers(&primary.folder), key("a"), true).expect("removed");
    primary.standbys.forget(key("a"));
    assert!(primary.standbys.picture(None).is_empty());
    assert_eq!(primary.hears(report('a', "1"), "a"), Standing::Seen);
    primary.standbys.save_if_due().expect("written");
    let again = open(&primary.folder);
    again.report(report('a', "1"), Some(key("a")), 1000).expect("taken in");
    assert!(!primary.trusts("a"), "also after a restart");
}

#[tokio::test]
async fn a_node_with_a_newer_trusted_key_is_one_standby() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "old");
    Peers::change_file(&peers(&primary.folder), key("new"), false).expect("trusted");
    assert_eq!(primary.hears(report('a', "1"), "new"), Standing::Trusted);
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].fingerprint, Some(key("new")));
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_also_across_a_restart() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    primary.standbys.save_if_due().expect("written");
    let again = open(&primary.folder);
    assert!(!again.picture(None)[0].silent, "it had no time to speak yet");
    advance(Duration::from_secs(121)).await;
    assert!(again.picture(None)[0].silent);
    again.report(report('a', "1"), Some(key("a")), 1000).expect("taken in");
    assert!(!again.picture(None)[0].silent);
}

#[tokio::test(start_paused = true)]
async fn only_the_trusted_are_missed_for_longer_than_a_day() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    primary.hears(report('b', "1"), "b");
    advance(FORGET_AFTER).await;
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].node_id, node('a'));
}

#[tokio::test]
async fn behind_is_counted_from_the_first_generation_that_it_lacks() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    let behind = |set: &str, at| primary.standbys.picture(Some(&offered(set, at)))[0].behind_since_ms;
    assert_eq!(behind("1", 100), None);
    assert_eq!(behind("2", 200), Some(200));
    assert_eq!(behind("3", 300), Some(200));
    primary.hears(report('a', "3"), "a");
    assert_eq!(behind("3", 300), None);
}

#[tokio::test(start_paused = true)]
async fn the_file_is_written_for_news_at_once_and_for_times_seldom() {
    let primary = Primary::new();
    primary.standbys.save_if_due().expect("nothing to do");
    assert_eq!(primary.written(), None);
    primary.hears(report('a', "1"), "a");
    primary.standbys.save_if_due().expect("written");
    let first = primary.written().expect("there");
    let later = |ms| {
        primary
            .standbys
            .report(report('a', "1"), Some(key("a")), ms)
            .expect("taken in")
    };
    later(2000);
    primary.standbys.save_if_due().expect("not due");
    assert_eq!(primary.written().as_ref(), Some(&first));
    advance(WRITE_EVERY).await;
    primary.standbys.save_if_due().expect("written");
    let second = primary.written().expect("there");
    assert_ne!(second, first);
    let problem = ReportedProblem {
        severity: Severity::Warning,
        message: "refused".to_owned(),
    };
    let refused = Report {
        problem: Some(problem),
        ..report('a', "1")
    };
    primary
        .standbys
        .report(refused, Some(key("a")), 3000)
        .expect("taken in");
    primary.standbys.save_if_due().expect("written");
    assert_ne!(primary.written(), Some(second));
}

#[tokio::test]
async fn the_list_is_bounded_and_keeps_the_trusted() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    for number in 0..MAX_STANDBYS + 5 {
        let stranger = Report {
            node_id: format!("{number:032x}"),
            ..report('b', "1")
        };
        primary
            .standbys
            .report(stranger, Some(key(&format!("b{number}"))), 1000)
            .ok();
    }
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), MAX_STANDBYS);
    assert!(listed.iter().any(|standby| standby.node_id == node('a')));
}

#[tokio::test]
async fn a_damaged_file_or_peers_file_is_said() {
    let primary = Primary::new();
    fs::write(primary.folder.path().join(FILE), "{").expect("damage");
    let own = Arc::new(OwnKeys::new(OWN_ID, key("own")));
    let (standbys, problem) = Standbys::open(
        primary.folder.path(),
        &peers(&primary.folder),
        own,
        Duration::from_secs(1),
    );
    assert!(problem.expect("said").message().contains(FILE));
    fs::write(peers(&primary.folder), "nonsense").expect("damage");
    let refused = standbys.report(report('a', "1"), Some(key("a")), 1000);
    assert_eq!(refused.expect_err("said").kind(), Kind::Setting);
    assert_eq!(standbys.picture(None)[0].standing, Standing::Seen);
}
