//! Tells the primary how far this standby is.
//!
//! Runs beside the puller, so that no pull ever waits for a report: once anything that matters has changed on the
//! board, the key that the primary is to show next among it, and otherwise every half minute. The answer names all
//! nodes of the primary; those that our peers file lacks are added to it, so that whichever of them is promoted is
//! trusted here. It names the keys that the primary trusts no longer too, and so does this node then. What was removed
//! here comes back by no answer.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    blocking,
    live_files::{TOPIC_ALTERED, TOPIC_UNSEEN},
    notes::{TOPIC_CONCERNS, TOPIC_GENERATION},
};
use crate::{
    clock::Clock,
    error::Error,
    fingerprint::Fingerprint,
    own_keys::OwnKeys,
    peers::{MAX_REMOVED, PeersFile},
    report::{MAX_CONFIRMED, Report, ReportReply, ReportedGeneration, ReportedProblem, is_node_id, one_line},
    status::{PART_TOPIC, Problem, Status, StatusBoard},
    transport::Transport,
};

/// Longest time between two reports.
const EVERY: Duration = Duration::from_secs(30);
/// Wait after one that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// What happens within this time is told together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Keys, those that were removed among them, that are known at most before an answer may add no more: a primary that
/// lists new ones and removes them again must not fill the files in which they are kept.
const MAX_KNOWN: usize = 2000;

/// Whether a key would be accepted as the primary's.
pub type Accepts = Arc<dyn Fn(&Fingerprint) -> bool + Send + Sync>;

/// How this node is reached, given where it listens.
pub type OwnUrl = Arc<dyn Fn(&Status) -> Option<String> + Send + Sync>;

/// What a reporter needs to know of its node.
pub struct ReporterOptions {
    /// Our own node id and keys.
    pub own: Arc<OwnKeys>,
    /// How this node is reached.
    pub url: OwnUrl,
    /// The peers file.
    pub peers: PeersFile,
    /// Which keys of the primary we accept.
    pub accepts: Accepts,
    /// Called when an answer has removed a key: connections under it must end.
    pub on_removal: Arc<dyn Fn() + Send + Sync>,
}

/// Reports to one primary.
pub struct Reporter<T> {
    transport: Arc<T>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    options: ReporterOptions,
    /// The primary's keys as it last named them.
    keys: Vec<Fingerprint>,
    /// The failure that was said last.
    said: Option<String>,
}

impl<T: Transport> Reporter<T> {
    /// A reporter that has said nothing yet.
    pub fn new(transport: Arc<T>, board: Arc<StatusBoard>, clock: Arc<dyn Clock>, options: ReporterOptions) -> Self {
        Self {
            transport,
            board,
            clock,
            options,
            keys: Vec::new(),
            said: None,
        }
    }

    /// Reports until `stop`, while the primary answers.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.board.changes();
        let mut told = None;
        let mut due = Instant::now();
        loop {
            changes.mark_unchanged();
            match self.report().await {
                Some((report, to)) => {
                    let essence = Report {
                        applied_ago_ms: None,
                        ..report.clone()
                    };
                    // The answer names the key, and it is confirmed after that.
                    let essence = (essence, to.clone(), self.next_key());
                    if told.as_ref() != Some(&essence) || Instant::now() >= due {
                        let sent = tokio::select! {
                            () = stop.cancelled() => return,
                            sent = self.transport.report(&report, &to) => sent,
                        };
                        told = Some(essence);
                        due = Instant::now() + if sent.is_ok() { EVERY } else { AGAIN };
                        if self.heard(sent).await {
                            // Soon, but a primary with other keys each time is not hurried after.
                            sleep(TOGETHER).await;
                            continue;
                        }
                    }
                }
                None => {
                    told = None;
                    due = Instant::now() + EVERY;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(due) => {}
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sleep(TOGETHER).await;
                }
            }
        }
    }

    /// The key that the primary said it is to show next.
    fn next_key(&self) -> Option<Fingerprint> {
        self.board.look(|status| status.primary.as_ref()?.next_fingerprint)
    }

    /// A report, and the node that it is for: the one that is followed. None while the primary does not answer.
    async fn report(&self) -> Option<(Report, String)> {
        let now_ms = self.clock.now_ms();
        let (mut report, to) = self.board.look(|status| {
            let primary = status.primary.as_ref().filter(|primary| primary.connected)?;
            let to = primary.node_id.clone()?;
            Some((of_status(status, now_ms, &self.options), to))
        })?;
        // Reads the peers file, and may write on the board.
        let (keys, accepts) = (self.keys.clone(), Arc::clone(&self.options.accepts));
        let confirms = blocking(move || Ok(keys.into_iter().filter(|key| accepts(key)).collect()));
        report.confirms = confirms.await.unwrap_or_default();
        Some((report, to))
    }

    /// Takes in the answer; says whether the primary has other keys now, which are confirmed at once.
    async fn heard(&mut self, sent: Result<Option<ReportReply>, Error>) -> bool {
        let reply = match sent {
            Ok(Some(reply)) => reply,
            Ok(None) => return false,
            Err(error) => {
                self.say(error.to_string());
                return false;
            }
        };
        self.said = None;
        let mut keys = reply.keys.clone();
        let (peers, own) = (self.options.peers.clone(), Arc::clone(&self.options.own));
        match blocking(move || join(&peers, &own, &reply)).await {
            Ok(removed) if removed > 0 => (self.options.on_removal)(),
            Ok(_) => {}
            Err(error) => {
                self.say(error.to_string());
                return false;
            }
        }
        keys.truncate(MAX_CONFIRMED);
        let is_news = keys != self.keys;
        self.keys = keys;
        is_news
    }

    fn say(&mut self, failure: String) {
        if self.said.as_ref() != Some(&failure) {
            warn!("the report to the primary: {failure}");
            self.said = Some(failure);
        }
    }
}

/// Takes out of the peers file what the primary removed, and adds what it lacks. Says how many were taken out.
fn join(file: &PeersFile, own: &OwnKeys, reply: &ReportReply) -> Result<usize, Error> {
    let ((removed, added), _) = file.change(|peers| {
        let mut removed = Vec::new();
        for key in reply.removed.iter().take(MAX_REMOVED) {
            // However full the list is: a key that is trusted here is taken out.
            let has_room = peers.contains(key) || peers.removed().len() < MAX_REMOVED;
            if has_room && !peers.is_removed(key) && !own.has(key) {
                peers.remove(key);
                removed.push(*key);
            }
        }
        let mut added = Vec::new();
        for peer in reply.peers.iter().take(MAX_KNOWN) {
            let is_new = !peers.contains(&peer.fingerprint);
            if is_new && peers.all().len() + peers.removed().len() >= MAX_KNOWN {
                continue;
            }
            let mut peer = peer.clone();
            peer.node_id = peer.node_id.filter(|id| is_node_id(id));
            if peers.add(peer.clone()) && is_new {
                added.push(peer.fingerprint);
            }
        }
        (removed, added)
    })?;
    for fingerprint in &removed {
        info!("the primary trusts the key {fingerprint} no longer; neither does this node from now on");
    }
    for fingerprint in added {
        info!("the primary trusts the key {fingerprint}; so does this node from now on");
    }
    Ok(removed.len())
}

/// What keeps this standby from being in sync: first what is on this node.
fn problem(status: &Status) -> Option<&Problem> {
    let is_about = |problem: &&Problem| {
        let topic = problem.topic.as_str();
        [TOPIC_ALTERED, TOPIC_UNSEEN, TOPIC_CONCERNS].contains(&topic) || topic.starts_with(PART_TOPIC)
    };
    let of_generation = status.problems.iter().find(|problem| problem.topic == TOPIC_GENERATION);
    of_generation.or_else(|| status.problems.iter().find(is_about))
}

fn of_status(status: &Status, now_ms: i64, options: &ReporterOptions) -> Report {
    let sync = status.sync.as_ref();
    let problem = problem(status);
    Report {
        node_id: options.own.node_id().to_owned(),
        generation: status.generation.as_ref().map(|generation| ReportedGeneration {
            id: generation.id,
            sequence: generation.sequence,
        }),
        in_sync: Some(sync.is_some_and(|sync| sync.in_sync)),
        applied_ago_ms: sync
            .and_then(|sync| sync.applied_ms)
            .map(|applied| u64::try_from(now_ms.saturating_sub(applied)).unwrap_or(0)),
        error: sync
            .and_then(|sync| sync.errors.last())
            .map(|error| one_line(&error.message)),
        problem: problem.map(|problem| ReportedProblem {
            severity: problem.severity,
            message: one_line(&problem.message),
        }),
        url: (options.url)(status),
        product_version: status.product_version.clone(),
        gocd_version: status.gocd_version.clone(),
        confirms: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use tokio::time::advance;

    use super::*;
    use crate::{
        clock::SystemClock,
        digest::Digest,
        manifest::{Name, Role},
        peers::{Peer, Peers},
        pull::live_files,
        status::{Phase, PrimaryStatus, Severity},
        transport::ManifestReply,
    };

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of_public_key(name.as_bytes())
    }

    /// The primary that is followed.
    const FOLLOWED: &str = "cccccccccccccccccccccccccccccccc";

    /// Takes reports in, and answers with what it is told to.
    #[derive(Default)]
    struct Primary {
        heard: Mutex<Vec<Report>>,
        answer: Mutex<ReportReply>,
        /// Whether it names another key each time.
        changes: AtomicBool,
    }

    impl Transport for Primary {
        async fn manifest(&self, _: Option<Digest>, _: Duration) -> Result<ManifestReply, Error> {
            std::future::pending().await
        }

        async fn blob(
            &self,
            _: Digest,
            _: u64,
            _: &mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send),
        ) -> Result<(), Error> {
            std::future::pending().await
        }

        async fn report(&self, report: &Report, to: &str) -> Result<Option<ReportReply>, Error> {
            report.check().expect("valid");
            assert_eq!(to, FOLLOWED);
            let mut heard = self.heard.lock().expect("not poisoned");
            heard.push(report.clone());
            let mut answer = self.answer.lock().expect("not poisoned").clone();
            if self.changes.load(Ordering::Relaxed) {
                assert!(heard.len() < 1000, "it never rests");
                answer.keys = vec![key(&heard.len().to_string())];
            }
            Ok(Some(answer))
        }
    }

    struct Standby {
        folder: tempfile::TempDir,
        primary: Arc<Primary>,
        board: Arc<StatusBoard>,
        _stop: tokio_util::sync::DropGuard,
    }

    fn start(accepts: Accepts) -> Standby {
        let folder = tempfile::tempdir().expect("folder");
        let board = Arc::new(StatusBoard::new(Status {
            primary: Some(PrimaryStatus::new("https://p:8155", "", 0)),
            ..Status::new(&"a".repeat(32), Role::Standby, Phase::Holding, 0)
        }));
        let primary = Arc::new(Primary::default());
        let options = ReporterOptions {
            own: Arc::new(OwnKeys::new(&"a".repeat(32), key("own"))),
            url: Arc::new(|_| Some("https://s:8155".to_owned())),
            peers: PeersFile::new(&folder.path().join("peers"), Some(folder.path())),
            accepts,
            on_removal: Arc::new(|| ()),
        };
        let reporter = Reporter::new(Arc::clone(&primary), Arc::clone(&board), Arc::new(SystemClock), options);
        let stop = CancellationToken::new();
        tokio::spawn(reporter.run(stop.clone()));
        Standby {
            folder,
            primary,
            board,
            _stop: stop.drop_guard(),
        }
    }

    impl Standby {
        async fn connects(&self) {
            self.board.update(|status| {
                let primary = status.primary.as_mut().expect("there");
                (primary.connected, primary.node_id) = (true, Some(FOLLOWED.to_owned()));
            });
            self.settles().await;
        }

        fn peers(&self) -> Peers {
            let file = PeersFile::new(&self.folder.path().join("peers"), Some(self.folder.path()));
            file.load().expect("peers")
        }

        async fn settles(&self) {
            sleep(TOGETHER * 3).await;
        }

        fn heard(&self) -> Vec<Report> {
            self.primary.heard.lock().expect("not poisoned").clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn news_is_told_at_once_and_silence_seldom() {
        let standby = start(Arc::new(|_| true));
        standby.settles().await;
        assert!(standby.heard().is_empty(), "no primary answers");
        standby.connects().await;
        assert_eq!(standby.heard().len(), 1);
        standby
            .board
            .raise(TOPIC_GENERATION, Severity::Warning, "refused\nfor a reason", 1);
        standby.settles().await;
        let heard = standby.heard();
        assert_eq!(heard.len(), 2);
        let problem = heard[1].problem.as_ref().expect("told");
        assert_eq!(problem.message, "refused for a reason");
        advance(EVERY).await;
        standby.settles().await;
        assert_eq!(standby.heard().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whether_it_is_in_sync_is_told_at_once_with_the_reason() {
        let standby = start(Arc::new(|_| true));
        standby.board.update(|status| {
            status.sync.get_or_insert_default().has_newest = true;
            status.judge_sync(1);
        });
        standby.connects().await;
        live_files::show_altered(&standby.board, &[Name::CruiseConfig], 2);
        standby.settles().await;
        live_files::show_altered(&standby.board, &[], 3);
        standby.settles().await;
        standby.board.part_failed("puller", "the puller has failed", 4);
        standby.settles().await;
        standby.board.part_runs("puller", 5);
        standby.settles().await;
        let heard = standby.heard();
        let told: Vec<_> = heard
            .iter()
            .map(|report| (report.in_sync, report.problem.as_ref().map(|problem| problem.severity)))
            .collect();
        let (fine, warned) = ((Some(true), None), (Some(false), Some(Severity::Warning)));
        assert_eq!(
            told,
            [fine, warned, fine, (Some(false), Some(Severity::Critical)), fine]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_key_of_the_primary_is_asked_for_and_confirmed_at_once() {
        let standby = start(Arc::new(|_| true));
        standby.connects().await;
        assert_eq!(standby.heard().len(), 1);
        standby.primary.answer.lock().expect("not poisoned").keys = vec![key("now"), key("next")];
        standby.board.update(|status| {
            status.primary.as_mut().expect("there").next_fingerprint = Some(key("next"));
        });
        standby.settles().await;
        let heard = standby.heard();
        assert_eq!(heard.last().expect("told").confirms, [key("now"), key("next")]);
        assert_eq!(heard.len(), 3, "once to hear of it, and once to confirm");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_peers_file_lacks_is_added_and_new_keys_are_confirmed() {
        let standby = start(Arc::new(|shown| *shown != key("refused")));
        *standby.primary.answer.lock().expect("not poisoned") = ReportReply {
            peers: vec![Peer {
                fingerprint: key("primary"),
                node_id: Some("../etc".to_owned()),
            }],
            keys: vec![key("primary"), key("refused")],
            removed: Vec::new(),
        };
        standby.connects().await;
        let peers = standby.peers();
        assert!(peers.contains(&key("primary")));
        assert_eq!(peers.all()[0].node_id, None, "that was no node id");
        assert_eq!(standby.heard().last().expect("told").confirms, [key("primary")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_primary_with_other_keys_each_time_is_not_hurried_after() {
        let standby = start(Arc::new(|_| true));
        standby.primary.changes.store(true, Ordering::Relaxed);
        standby.connects().await;
        sleep(TOGETHER * 10).await;
        let heard = standby.heard().len();
        assert!((2..=15).contains(&heard), "{heard}");
    }

    #[test]
    fn keys_that_come_and_go_without_end_fill_no_file() {
        let folder = tempfile::tempdir().expect("folder");
        let file = PeersFile::new(&folder.path().join("peers"), Some(folder.path()));
        let own = OwnKeys::new(&"a".repeat(32), key("own"));
        for round in 0..5 {
            let keys: Vec<_> = (0..MAX_REMOVED)
                .map(|number| key(&format!("{round} {number}")))
                .collect();
            let listed = keys.iter().map(|key| Peer {
                fingerprint: *key,
                node_id: None,
            });
            let comes = ReportReply {
                peers: listed.collect(),
                ..ReportReply::default()
            };
            join(&file, &own, &comes).expect("written");
            let goes = ReportReply {
                removed: keys,
                ..ReportReply::default()
            };
            join(&file, &own, &goes).expect("written");
        }
        let peers = file.load().expect("readable");
        assert!(peers.all().len() + peers.removed().len() <= MAX_KNOWN);
        file.change_key(key("typed in"), false)
            .expect("a person's word counts all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_key_comes_back_by_no_answer_and_a_removal_is_taken_over() {
        let standby = start(Arc::new(|_| true));
        let file = PeersFile::new(&standby.folder.path().join("peers"), Some(standby.folder.path()));
        file.change_key(key("removed here"), true).expect("removed");
        file.change_key(key("removed there"), false).expect("trusted");
        let listed = |name| Peer {
            fingerprint: key(name),
            node_id: None,
        };
        *standby.primary.answer.lock().expect("not poisoned") = ReportReply {
            peers: vec![listed("removed here"), listed("primary")],
            keys: vec![key("primary")],
            removed: vec![key("removed there"), key("own")],
        };
        standby.connects().await;
        assert_eq!(standby.peers().all(), [listed("primary")]);
        assert!(standby.peers().is_removed(&key("removed there")));
        assert!(
            !standby.peers().is_removed(&key("own")),
            "a node's own key is its own affair"
        );
        // It is listed again there: by an administrator of the primary, whose word counts there alone.
        standby.primary.answer.lock().expect("not poisoned").peers = vec![listed("removed there")];
        standby.primary.answer.lock().expect("not poisoned").removed.clear();
        advance(EVERY).await;
        standby.settles().await;
        assert_eq!(standby.heard().len(), 3, "the first answer had other keys to confirm");
        assert_eq!(standby.peers().all(), [listed("primary")]);
    }
}
