use std::{fs, sync::Arc};

use tempfile::TempDir;
use tokio::time::advance;

use super::*;
use crate::{
    basics::{Digest, NodeId, Severity},
    generation::{Acceptance, run::tests::run},
    status::{ReportedGeneration, ReportedProblem, ReportedRun, doubled},
};

const OWN_ID: &str = "00000000000000000000000000000000";

fn key(name: &str) -> Fingerprint {
    Fingerprint::of_public_key(name.as_bytes())
}

fn node(name: char) -> NodeId {
    name.to_string().repeat(32).parse().expect("id")
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
        run: None,
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
        peers(&folder).change(|peers| peers.add(own)).expect("written");
        Self { folder, standbys }
    }

    fn hears(&self, report: Report, shown: &str) -> Standing {
        let node_id = report.node_id.clone();
        match self.standbys.report(report, sender(shown), 1000) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), Kind::Refused, "{error}"),
        }
        self.stranger(&node_id, shown)
            .map_or(Standing::Trusted, |stranger| stranger.standing)
    }

    fn stranger(&self, node_id: &NodeId, shown: &str) -> Option<Stranger> {
        let strangers = self.standbys.strangers();
        strangers
            .into_iter()
            .find(|stranger| stranger.node_id == *node_id && stranger.fingerprint == Some(key(shown)))
    }

    fn peers(&self) -> Peers {
        peers(&self.folder).load().expect("peers")
    }

    fn trusts(&self, name: &str) -> bool {
        self.peers().contains(&key(name))
    }

    fn written(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(FILE)).ok()
    }
}

fn sender(name: &str) -> Sender {
    Sender {
        key: Some(key(name)),
        address: None,
    }
}

fn peers(folder: &TempDir) -> PeersFile {
    PeersFile::new(&folder.path().join("peers"), Some(folder.path()))
}

fn try_open(folder: &TempDir) -> (Standbys, Option<Error>) {
    let own = Arc::new(OwnKeys::new(OWN_ID.parse().expect("id"), key("own")));
    Standbys::open(folder.path(), peers(folder), own, Duration::from_secs(120))
}

fn open(folder: &TempDir) -> Standbys {
    let (standbys, problem) = try_open(folder);
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
    let said = primary.standbys.trust(key("b")).expect("trusted");
    assert!(
        said.ends_with(&format!("is trusted now, as the key of the node {}", node('b'))),
        "{said}"
    );
    assert_eq!(primary.peers().node_of(&key("b")), Some(&*node('b')));
    assert_eq!(primary.hears(report('b', "1"), "b"), Standing::Trusted);
    primary
        .standbys
        .trust(key("c"))
        .expect("trusted before it ever reported");
    assert_eq!(primary.hears(report('c', "1"), "c"), Standing::Trusted);
    assert_eq!(
        primary.peers().node_of(&key("c")),
        Some(&*node('c')),
        "the node id is filled in"
    );
}

#[tokio::test]
async fn nobody_joins_under_the_name_of_another() {
    let primary = Primary::new();
    assert_eq!(primary.hears(report('a', "1"), "a"), Standing::Trusted);
    assert_eq!(primary.hears(report('a', "2"), "thief"), Standing::Foreign);
    assert!(!primary.trusts("thief"));
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].fingerprint, Some(key("a")));
    assert_eq!(listed[0].generation.as_ref().map(|set| set.id), Some(Digest::of(b"1")));
}

#[tokio::test]
async fn a_trusted_key_speaks_for_its_own_node_alone() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    primary.standbys.trust(key("b")).expect("trusted");
    primary.hears(report('b', "1"), "b");
    // The second standby would end the first one's alarm.
    let refused = primary.standbys.report(report('a', "2"), sender("b"), 1000);
    let error = refused.expect_err("its key is that of another node");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.message().contains(&key("a").to_string()), "{error}");
    let refused = primary.standbys.report(report('c', "2"), sender("b"), 1000);
    assert!(
        refused
            .expect_err("nor for a new one")
            .message()
            .contains("for another node")
    );
    primary.standbys.trust(key("typed in")).expect("trusted");
    assert_eq!(
        primary.hears(report('a', "2"), "typed in"),
        Standing::Foreign,
        "that node has a key"
    );
    let listed: Vec<_> = primary.standbys.picture(None);
    let keys: Vec<_> = listed
        .iter()
        .map(|standby| (standby.node_id.clone(), standby.fingerprint))
        .collect();
    assert_eq!(keys, [(node('a'), Some(key("a"))), (node('b'), Some(key("b")))]);
    assert_eq!(listed[0].generation.as_ref().map(|set| set.id), Some(Digest::of(b"1")));
}

#[tokio::test]
async fn without_a_key_nobody_joins_and_our_own_name_is_refused() {
    let primary = Primary::new();
    let unproven = Sender {
        key: None,
        address: Some([10, 0, 0, 1].into()),
    };
    primary
        .standbys
        .report(report('a', "1"), unproven, 1000)
        .expect("taken in");
    assert!(primary.standbys.picture(None).is_empty());
    assert_eq!(primary.standbys.strangers()[0].standing, Standing::Unproven);
    assert_eq!(primary.peers().all().len(), 1);
    let own = Report {
        node_id: OWN_ID.parse().expect("id"),
        ..report('a', "1")
    };
    let refused = primary.standbys.report(own, sender("a"), 1000);
    assert_eq!(refused.expect_err("our own id").kind(), Kind::Refused);
    let refused = primary.standbys.report(report('a', "1"), sender("own"), 1000);
    assert_eq!(refused.expect_err("our own key").kind(), Kind::Refused);
}

#[tokio::test]
async fn a_removed_key_is_forgotten_told_to_all_and_does_not_come_back_by_itself() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    primary.standbys.remove(key("a")).expect("removed");
    assert!(primary.standbys.picture(None).is_empty());
    assert_eq!(primary.hears(report('a', "1"), "a"), Standing::Removed);
    let told = primary
        .standbys
        .report(report('b', "1"), sender("b"), 1000)
        .expect("taken in");
    assert!(!primary.trusts("b"), "nobody takes its place by himself");
    assert_eq!(told.removed, [key("a")]);
    assert!(told.peers.iter().all(|peer| peer.fingerprint != key("a")));
    primary.standbys.save_if_due().expect("written");
    let again = open(&primary.folder);
    again.report(report('a', "1"), sender("a"), 1000).expect("taken in");
    assert!(!primary.trusts("a"), "also after a restart");
    again.trust(key("a")).expect("by his word");
    assert!(primary.trusts("a"));
}

#[tokio::test]
async fn another_key_of_a_node_takes_over_by_an_administrators_word_and_ends_the_former() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "old");
    assert_eq!(primary.hears(report('a', "1"), "new"), Standing::Foreign);
    let said = primary.standbys.trust(key("new")).expect("trusted");
    assert!(said.contains(&format!("its former one, {}", key("old"))), "{said}");
    assert_eq!(primary.hears(report('a', "1"), "new"), Standing::Trusted);
    assert_eq!(primary.hears(report('a', "2"), "old"), Standing::Removed);
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].fingerprint, Some(key("new")));
}

#[tokio::test]
async fn who_is_trusted_gets_no_node_of_another_by_having_named_it_too() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    assert_eq!(primary.hears(report('b', "1"), "b"), Standing::Seen);
    assert_eq!(primary.hears(report('a', "1"), "b"), Standing::Foreign);
    primary.standbys.trust(key("b")).expect("trusted");
    assert_eq!(primary.peers().node_of(&key("b")), Some(&*node('b')));
    assert_eq!(primary.hears(report('a', "2"), "a"), Standing::Trusted);
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_the_file_by_hand_is_not_missed() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    peers(&primary.folder).change_key(key("a"), true).expect("removed");
    primary.standbys.save_if_due().expect("looks");
    assert!(primary.standbys.picture(None).is_empty());
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
    again.report(report('a', "1"), sender("a"), 1000).expect("taken in");
    assert!(!again.picture(None)[0].silent);
}

#[tokio::test(start_paused = true)]
async fn only_the_trusted_are_missed_and_strangers_are_soon_forgotten() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    primary.hears(report('b', "1"), "b");
    advance(FORGET_AFTER).await;
    assert!(primary.standbys.strangers().is_empty());
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 1);
    assert!(listed[0].silent);
}

#[tokio::test(start_paused = true)]
async fn strangers_end_no_alarm_and_leave_no_words_and_nothing_on_the_disk() {
    let primary = Primary::new();
    let problem = ReportedProblem {
        severity: Severity::Critical,
        message: "all is well, call 555-0100".to_owned(),
    };
    let refusing = Report {
        problem: Some(problem.clone()),
        ..report('a', "1")
    };
    primary.hears(refusing, "a");
    primary.standbys.save_if_due().expect("written");
    let written = primary.written();
    advance(Duration::from_secs(121)).await;
    for shown in [Some(key("thief")), None] {
        let words = Report {
            url: Some("https://call-555-0100:1".to_owned()),
            problem: Some(problem.clone()),
            error: Some("call 555-0100".to_owned()),
            ..report('a', "2")
        };
        let from = Sender {
            key: shown,
            address: None,
        };
        drop(primary.standbys.report(words, from, 1000));
    }
    let listed = primary.standbys.picture(None);
    assert_eq!(listed.len(), 1);
    assert!(listed[0].silent, "it is still missed");
    assert_eq!(
        listed[0].problem.as_ref().map(|problem| problem.severity),
        Some(Severity::Critical)
    );
    let strangers = serde_json::to_string(&primary.standbys.strangers()).expect("plain");
    assert!(
        strangers.contains(&*node('a')) && !strangers.contains("555"),
        "{strangers}"
    );
    primary.standbys.save_if_due().expect("nothing to do");
    assert_eq!(primary.written(), written);
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
            .report(report('a', "1"), sender("a"), ms)
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
    primary.standbys.report(refused, sender("a"), 3000).expect("taken in");
    primary.standbys.save_if_due().expect("written");
    assert_ne!(primary.written(), Some(second));
}

#[tokio::test]
async fn strangers_are_bounded_and_take_no_place_of_a_standby() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    assert_eq!(primary.hears(report('b', "1"), "b"), Standing::Seen);
    for number in 1..10 * MAX_STRANGERS {
        let invented = Report {
            node_id: format!("{number:032x}").parse().expect("id"),
            ..report('c', "1")
        };
        let without_a_key = Sender {
            key: None,
            address: None,
        };
        primary
            .standbys
            .report(invented, without_a_key, 1000)
            .expect("taken in");
    }
    let strangers = primary.standbys.strangers();
    assert_eq!(strangers.len(), MAX_STRANGERS);
    assert_eq!(
        strangers[0].fingerprint,
        Some(key("b")),
        "who has a key is not crowded out by those without"
    );
    let listed = primary.standbys.picture(None);
    assert_eq!((listed.len(), &listed[0].node_id), (1, &node('a')));
}

#[tokio::test]
async fn the_list_is_bounded() {
    let primary = Primary::new();
    for number in 0..MAX_STANDBYS + 5 {
        let report = Report {
            node_id: format!("{number:032x}").parse().expect("id"),
            ..report('b', "1")
        };
        primary.standbys.enter(report, key(&number.to_string()), None, 1000);
    }
    assert_eq!(primary.standbys.picture(None).len(), MAX_STANDBYS);
}

/// Format 1, as the version before wrote it.
fn format_1(removed: &[Fingerprint]) -> String {
    let removed = serde_json::to_string(removed).expect("plain");
    let (a, b) = (node('a'), node('b'));
    let standby = |id: &str, key: Fingerprint, standing: &str| {
        format!(
            r#"{{"node_id":"{id}","fingerprint":"{key}","standing":"{standing}","url":null,"product_version":"0.1.0",
            "gocd_version":null,"generation":null,"applied_ms":null,"behind_since_ms":null,"reported_ms":7,"silent":false,
            "error":null,"problem":null,"confirms":[]}}"#
        )
    };
    let (trusted, seen) = (standby(&a, key("a"), "trusted"), standby(&b, key("b"), "seen"));
    format!(r#"{{"format":1,"standbys":[{trusted},{seen}],"removed":{removed}}}"#)
}

#[tokio::test]
async fn the_file_of_the_version_before_is_read_and_its_removed_keys_stay_removed() {
    let primary = Primary::new();
    let trusted = Peer {
        fingerprint: key("a"),
        node_id: Some(node('a').to_string()),
    };
    peers(&primary.folder)
        .change(|peers| peers.add(trusted))
        .expect("written");
    let text = format_1(&[key("removed")]);
    fs::write(primary.folder.path().join(FILE), text).expect("write");
    let again = open(&primary.folder);
    let listed = again.picture(None);
    assert_eq!(listed.len(), 1, "strangers are not kept");
    assert_eq!(listed[0].node_id, node('a'));
    again.save_if_due().expect("written");
    assert!(primary.peers().is_removed(&key("removed")));
    let written = primary.written().expect("there");
    assert!(crate::durable::seal::is_whole(&written));
    let text = String::from_utf8(written).expect("text");
    assert!(
        text.contains("\"format\":2") && !text.contains(&key("removed").to_string()),
        "{text}"
    );
    assert_eq!(open(&primary.folder).picture(None).len(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_left_and_read_later() {
    let primary = Primary::new();
    let file = primary.folder.path().join(FILE);
    fs::create_dir(&file).expect("in the place of a file: a read error");
    let (standbys, problem) = try_open(&primary.folder);
    assert!(problem.expect("said").message().contains(FILE));
    // Whether its key was removed is not known.
    standbys
        .report(report('b', "1"), sender("removed"), 1000)
        .expect("taken in");
    assert_eq!(standbys.strangers()[0].standing, Standing::Seen);
    standbys.save_if_due().expect_err("still");
    assert!(file.is_dir(), "nothing is begun anew");
    fs::remove_dir(&file).expect("it is mended");
    fs::write(&file, format_1(&[key("removed")])).expect("write");
    standbys.save_if_due().expect("read and written");
    standbys
        .report(report('b', "1"), sender("removed"), 1000)
        .expect("taken in");
    assert_eq!(standbys.strangers()[0].standing, Standing::Removed);
}

#[tokio::test]
async fn in_the_place_of_a_damaged_file_nobody_joins_by_himself() {
    let primary = Primary::new();
    primary.hears(report('a', "1"), "a");
    primary.standbys.save_if_due().expect("written");
    // Nobody else is known then.
    let own = format!("{} {OWN_ID}\n", key("own"));
    fs::write(peers(&primary.folder).path(), own).expect("write");
    let file = primary.folder.path().join(FILE);
    let text = fs::read_to_string(&file).expect("read");
    for (number, damaged) in [
        text.replace("\"format\":2", "\"format\":1"),
        text.replace("0.1.0", "0.1.1"),
        "{".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        fs::write(&file, damaged).expect("damage");
        let (standbys, problem) = try_open(&primary.folder);
        assert!(problem.expect("said").message().contains(FILE));
        let aside = fs::read_to_string(primary.folder.path().join("standbys.json.damaged"));
        assert_eq!(aside.expect("kept"), *damaged);
        standbys.save_if_due().expect_err("and goes on being said");
        let first = standbys.report(report('b', "1"), sender("b"), 1000);
        assert!(first.is_ok() && !primary.trusts("b"), "{number}");
        let again = open(&primary.folder);
        let first = again.report(report('b', "1"), sender("b"), 1000);
        assert!(first.is_ok() && !primary.trusts("b"), "also after a restart: {number}");
    }
    let again = open(&primary.folder);
    again.trust(key("b")).expect("by an administrator's word");
    again.save_if_due().expect("nothing is wrong any more");
    assert!(primary.trusts("b"));
}

#[tokio::test]
async fn a_peers_file_that_cannot_be_used_trusts_nobody() {
    let primary = Primary::new();
    fs::write(peers(&primary.folder).path(), "nonsense").expect("damage");
    let refused = primary.standbys.report(report('a', "1"), sender("a"), 1000);
    assert_eq!(refused.expect_err("said").kind(), Kind::Setting);
    assert!(primary.standbys.picture(None).is_empty());
    assert_eq!(primary.standbys.strangers()[0].standing, Standing::Seen);
}

/// The same report from this run, which was told of those.
fn in_run(report: Report, this: &Run, met: &[&Run]) -> Report {
    Report {
        run: Some(ReportedRun {
            this: this.clone(),
            met: met.iter().map(|run| run.id.clone()).collect(),
        }),
        ..report
    }
}

/// Whom a run of the node a is told of, each with whether it is proven to be alive.
fn told(primary: &Primary, set: &str, this: &Run, met: &[&Run]) -> Vec<(Run, bool)> {
    let from = Sender {
        key: Some(key("a")),
        address: Some(IpAddr::from([10, 0, 0, 7])),
    };
    let reply = primary.standbys.report(in_run(report('a', set), this, met), from, 1000);
    let others = reply.expect("taken").others.into_iter();
    others.map(|other| (other.run.at(None), other.is_proven)).collect()
}

#[tokio::test(start_paused = true)]
async fn two_runs_that_were_told_of_each_other_are_two_servers_until_one_is_silent() {
    let primary = Primary::new();
    let [one, other] = [run("standbygo"), run("clonego")];
    let listed = |set: &str| primary.standbys.picture(Some(&offered(set, 0)));
    assert_eq!(told(&primary, "old", &one, &[]), []);
    assert_eq!(told(&primary, "new", &other, &[]), [(one.clone(), false)]);
    assert_eq!(told(&primary, "new", &other, &[&one]), [(one.clone(), false)]);
    assert_eq!(listed("new").len(), 1, "it may have been restarted");
    assert_eq!(told(&primary, "old", &one, &[]), [(other.clone(), false)]);
    assert!(!listed("new")[0].doubled);
    assert_eq!(told(&primary, "old", &one, &[&other]), [(other.clone(), true)]);
    assert_eq!(told(&primary, "new", &other, &[&one]), [(one.clone(), true)]);

    let list = listed("new");
    let standing: Vec<_> = list
        .iter()
        .map(|standby| {
            (
                standby.run.as_ref().map(|run| &run.id),
                standby.doubled,
                standby.in_sync,
            )
        })
        .collect();
    let mut expected = [(Some(&one.id), true, false), (Some(&other.id), true, true)];
    expected.sort();
    assert_eq!(standing, expected, "neither answers for the other");
    let said = doubled(&list);
    let message = said.get(&*node('a')).expect("said");
    for part in [
        "2 servers",
        "standbygo at 10.0.0.7",
        "clonego at 10.0.0.7",
        "identity new",
        &key("a").to_string(),
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(primary.trusts("a"), "a copy ends nobody's trust");

    for _ in 0..4 {
        advance(Duration::from_secs(60)).await;
        told(&primary, "new", &other, &[&one]);
        assert_eq!(listed("new").len(), 2);
    }
    advance(Duration::from_secs(60)).await;
    assert_eq!(told(&primary, "new", &other, &[&one]), []);
    let list = listed("new");
    assert_eq!(list.len(), 1);
    assert!(list[0].in_sync && !list[0].doubled);
    assert!(doubled(&list).is_empty());
}

#[tokio::test(start_paused = true)]
async fn restarts_are_no_copies_however_many_and_however_late_the_last_report_comes() {
    let primary = Primary::new();
    let mut former = run("standbygo");
    told(&primary, "set", &former, &[]);
    for _ in 0..20 {
        let this = run("standbygo");
        for met in [&[][..], &[&former]] {
            told(&primary, "set", &this, met);
        }
        // The last report of the one before was on its way all the time.
        told(&primary, "set", &former, &[]);
        told(&primary, "set", &this, &[&former]);
        assert_eq!(primary.standbys.picture(None).len(), 1);
        former = this;
        advance(Duration::from_secs(1)).await;
    }
    assert!(told(&primary, "set", &former, &[]).len() < 8, "few are remembered");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_two_servers_does_not_change_with_each_report() {
    let primary = Primary::new();
    let [one, mut other, third] = [run("standbygo"), run("clonego"), run("thirdgo")];
    other.began_ms = 1;
    let reports = |this: &Run, met: &Run, address: &str| {
        let sender = Sender {
            key: Some(key("a")),
            address: address.parse().ok(),
        };
        let report = in_run(report('a', "set"), this, &[met]);
        let reply = primary.standbys.report(report, sender, 1000).expect("taken");
        reply.others.into_iter().map(|other| other.run).collect::<Vec<_>>()
    };
    let both = || {
        doubled(&primary.standbys.picture(None))
            .into_values()
            .collect::<Vec<_>>()
    };
    reports(&one, &other, "10.0.0.7");
    reports(&other, &one, "10.0.0.8");
    let said = both();
    assert_eq!(said.len(), 1);
    reports(&one, &other, "fd00::7");
    reports(&other, &one, "fd00::8");
    assert_eq!(both(), said, "both have two addresses");
    let told = reports(&third, &one, "10.0.0.9");
    reports(&one, &other, "10.0.0.7");
    assert_eq!(reports(&third, &one, "10.0.0.9"), told, "whoever was heard last");
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn a_version_that_tells_no_run_proves_nothing_and_a_stranger_neither() {
    let primary = Primary::new();
    let [one, other] = [run("one"), run("other")];
    told(&primary, "set", &one, &[]);
    primary.hears(report('a', "set"), "a");
    assert_eq!(told(&primary, "set", &one, &[]), []);
    for (this, met) in [(&one, &other), (&other, &one)] {
        primary.hears(in_run(report('b', "set"), this, &[met]), "b");
        primary.hears(in_run(report('a', "set"), &other, &[&one]), "thief");
    }
    told(&primary, "set", &one, &[&other]);
    let list = primary.standbys.picture(None);
    assert_eq!(list.len(), 1);
    assert!(!list[0].doubled);
}

#[tokio::test(start_paused = true)]
async fn who_has_our_own_key_and_is_another_run_is_a_copy_of_this_server() {
    let primary = Primary::new();
    let [own, copy] = [run("primarygo"), run("clonego")];
    let standbys = primary.standbys.by(&own);
    let holds = |run: &Run, node_id: Option<&NodeId>| KeyHolder {
        run: run.clone(),
        node_id: node_id.cloned(),
    };
    standbys.shown(&key("own"), holds(&own, None));
    standbys.shown(&key("other"), holds(&copy, None));
    assert_eq!(standbys.copies(), [], "itself, and somebody with another key");
    let refused = standbys.report(in_run(report('a', "set"), &copy, &[]), sender("own"), 1000);
    refused.expect_err("it reports with our own key");
    assert_eq!(
        standbys.sharers(),
        std::slice::from_ref(&copy),
        "it has an id of its own"
    );
    for at in ["10.0.0.7", "fd00::7"] {
        let copy = copy.clone().at(at.parse().ok());
        standbys.shown(&key("own"), holds(&copy, Some(standbys.own.node_id())));
    }
    let first = copy.at("10.0.0.7".parse().ok());
    assert_eq!(
        standbys.copies(),
        [first],
        "one sentence, however many addresses it has"
    );
    assert_eq!(standbys.sharers(), []);
    for number in 0..20 {
        standbys.shown(&key("own"), holds(&run(&number.to_string()), None));
    }
    assert_eq!(standbys.copies().len(), MAX_COPIES);
    advance(Duration::from_secs(300)).await;
    assert_eq!(standbys.copies(), []);
}
