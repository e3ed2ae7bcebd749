//! Tells the primary how far this standby is.
//!
//! Runs beside the puller, so that no pull ever waits for a report: once anything that matters has changed on the
//! board, the key that the primary is to show next among it, and otherwise every half minute. The answer names all
//! nodes of the primary; those that our peers file lacks are added to it, so that whichever of them is promoted is
//! trusted here. It names the keys that the primary trusts no longer too, and so does this node then. What was removed
//! here comes back by no answer.
//!
//! The answer also names other runs of this node that report to the primary. The next report says so at once, by which
//! the primary knows that both are alive ([`crate::primary::standbys`]); that it does is CRITICAL here, until it is no
//! longer said. While two servers answer as the primary ([`super::primaries`]) neither has a say in which keys are
//! trusted.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use tracing::{info, warn};

use super::{blocking, primaries::Primaries};
use crate::{
    basics::{Error, Fingerprint, Severity, node_id::is_node_id},
    generation::{Run, RunId, run},
    keys::{OwnKeys, PeersFile, peers::MAX_REMOVED},
    standby::transport::Transport,
    status::{
        OtherRun, Problem, Report, ReportReply, ReportedGeneration, ReportedProblem, ReportedRun, Status, StatusBoard,
        Topic,
        report::{MAX_CONFIRMED, MAX_MET, one_line},
    },
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
/// How long what the primary said of one counts while it does not answer.
const DOUBLED_COUNTS: Duration = Duration::from_secs(5 * 60);

/// Whether a key would be accepted as the primary's.
pub type Accepts = Arc<dyn Fn(&Fingerprint) -> bool + Send + Sync>;

/// How this node is reached, given where it listens.
pub type OwnUrl = Arc<dyn Fn(&Status) -> Option<String> + Send + Sync>;

/// What a reporter needs to know of its node.
#[derive(Clone)]
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
    /// This run of our node.
    pub run: Run,
    /// Who has answered as the primary.
    pub primaries: Arc<Primaries>,
}

/// Reports to one primary.
pub struct Reporter<T> {
    transport: Arc<T>,
    board: Arc<StatusBoard>,
    options: ReporterOptions,
    /// The primary's keys as it last named them.
    keys: Vec<Fingerprint>,
    /// Other runs of our node that the primary last named.
    met: Vec<RunId>,
    /// Until when what it said of one that is alive beside us counts without another answer.
    doubled_until: Option<Instant>,
    /// The failure that was said last.
    said: Option<String>,
}

impl<T: Transport> Reporter<T> {
    /// A reporter that has told the primary nothing yet.
    pub fn new(transport: Arc<T>, board: Arc<StatusBoard>, options: ReporterOptions) -> Self {
        Self {
            transport,
            board,
            options,
            keys: Vec::new(),
            met: Vec::new(),
            // What one before this that has failed had said goes too, unless it is said again.
            doubled_until: Some(Instant::now() + DOUBLED_COUNTS),
            said: None,
        }
    }

    /// Runs the reporter for ever: it reports while the primary answers.
    pub async fn run(mut self) {
        let mut changes = self.board.changes();
        let mut told = None;
        let mut due = Instant::now();
        loop {
            changes.mark_unchanged();
            self.forget_doubled();
            match self.report().await {
                Some((report, to)) => {
                    let essence = Report {
                        applied_ago_ms: None,
                        ..report.clone()
                    };
                    // The answer names the key, and it is confirmed after that.
                    let essence = (essence, to.clone(), self.next_key());
                    if told.as_ref() != Some(&essence) || Instant::now() >= due {
                        let asked = self.options.primaries.ask();
                        let sent = self.transport.report(&report, &to).await;
                        told = Some(essence);
                        due = Instant::now() + if sent.is_ok() { EVERY } else { AGAIN };
                        if let Ok(Some(reply)) = &sent {
                            self.options.primaries.answered(&to, reply.run.as_ref(), asked);
                        }
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

    /// The standby's report, and the node that it is for: the one that is followed. None while the primary does not
    /// answer.
    async fn report(&self) -> Option<(Report, String)> {
        let (mut report, to) = self.board.look(|status| {
            let primary = status.primary.as_ref().filter(|primary| primary.connected)?;
            let to = primary.node_id.clone()?;
            Some((of_status(status, &self.options), to))
        })?;
        report.run = Some(ReportedRun {
            this: self.options.run.clone(),
            met: self.met.clone(),
        });
        if self.options.primaries.are_several() {
            // Which of them is to be known by another key, nobody here can say.
            return Some((report, to));
        }
        // Reads the peers file, and may write on the board.
        let (keys, accepts) = (self.keys.clone(), Arc::clone(&self.options.accepts));
        let confirms = blocking(move || Ok(keys.into_iter().filter(|key| accepts(key)).collect()));
        report.confirms = confirms.await.unwrap_or_default();
        Some((report, to))
    }

    /// Takes in the primary's answer to a report; says whether it has other keys now, which are confirmed at once.
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
        if let Some(position) = &reply.database {
            self.board.update(|status| {
                if let Some(primary) = &mut status.primary {
                    primary.note_database(Some(position));
                }
            });
        }
        let is_met = self.meets(&reply.others);
        if self.options.primaries.are_several() {
            return is_met;
        }
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
        is_news || is_met
    }

    /// Takes in which other runs of this standby the primary knows of, and says so where one is alive. Returns whether
    /// they are others than before: the primary is told at once that this run knows of them.
    fn meets(&mut self, others: &[OtherRun]) -> bool {
        let proven = others.iter().filter(|other| other.is_proven);
        let runs: Vec<_> = proven.map(|other| other.run.clone()).collect();
        self.doubled_until = (!runs.is_empty()).then(|| Instant::now() + DOUBLED_COUNTS);
        let message = (!runs.is_empty()).then(|| doubled(&runs, &self.options));
        self.board.warn(&Topic::CopyOfThisNode, Severity::Critical, message);
        let met = others.iter().take(MAX_MET).map(|other| other.run.id.clone());
        let met: Vec<_> = met.collect();
        let is_news = met != self.met;
        self.met = met;
        is_news
    }

    /// Forgets what the primary said of others with this standby's identity: one that does not answer any more has no
    /// last word for ever.
    fn forget_doubled(&mut self) {
        if self.doubled_until.is_some_and(|until| Instant::now() >= until) {
            self.doubled_until = None;
            self.board.clear(&Topic::CopyOfThisNode);
        }
    }

    /// Says in the log why the primary could not be told, where that is news.
    fn say(&mut self, failure: String) {
        if self.said.as_ref() != Some(&failure) {
            warn!("the report to the primary: {failure}");
            self.said = Some(failure);
        }
    }
}

/// Joins the primary's reply to the peers file: takes out what it removed, and adds what is lacking. Says how many were
/// taken out.
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

/// The problem that keeps this standby from being in sync, for the report: first what is on this node.
fn problem(status: &Status) -> Option<&Problem> {
    let is_about = |problem: &&Problem| {
        matches!(
            problem.topic,
            Topic::LiveFiles | Topic::Verify | Topic::Concerns | Topic::Part(_)
        )
    };
    let of_generation = status.problem(&Topic::Generation);
    of_generation.or_else(|| status.problems.iter().find(is_about))
}

/// What a standby says of others with its identity.
fn doubled(others: &[Run], options: &ReporterOptions) -> String {
    let state_dir = options.run.state_dir.as_deref().unwrap_or("the state folder");
    format!(
        "another server reports to the primary with the identity of this one, node {:.8} and key {}: {}. One is a copy of \
         the other, or the key was stolen. If this server is the copy, stop GoCD here, run `gocd-bc identity new`, which \
         makes another node id and key in {state_dir}, and start it again; if the other is, do so there.",
        options.own.node_id(),
        options.own.shown(),
        run::named(others),
    )
}

/// The report on a standby with this status.
fn of_status(status: &Status, options: &ReporterOptions) -> Report {
    let sync = status.sync.as_ref();
    let problem = problem(status);
    Report {
        node_id: options.own.node_id().clone(),
        generation: status.generation.as_ref().map(|generation| ReportedGeneration {
            id: generation.id,
            sequence: generation.sequence,
        }),
        in_sync: Some(sync.is_some_and(|sync| sync.in_sync)),
        applied_ago_ms: sync
            .and_then(|sync| sync.applied_age_ms(status.now_ms))
            .and_then(|age| u64::try_from(age).ok()),
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
        run: None,
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
        basics::{Digest, Severity, SystemClock},
        generation::{Name, Role, run::tests::run},
        keys::{Peer, Peers},
        standby::{pull::live_files, transport::ManifestReply},
        status::{Phase, PrimaryStatus},
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
        primaries: Arc<Primaries>,
        board: Arc<StatusBoard>,
    }

    fn start(accepts: Accepts) -> Standby {
        let folder = tempfile::tempdir().expect("folder");
        let status = Status {
            primary: Some(PrimaryStatus::new("https://p:8155", "", 0)),
            ..Status::new(&"a".repeat(32), Role::Standby, Phase::Holding, 0)
        };
        let board = Arc::new(StatusBoard::new(status, Arc::new(SystemClock)));
        let (primary, primaries) = (Arc::new(Primary::default()), Arc::new(Primaries::default()));
        let options = ReporterOptions {
            own: Arc::new(OwnKeys::new("a".repeat(32).parse().expect("id"), key("own"))),
            url: Arc::new(|_| Some("https://s:8155".to_owned())),
            peers: PeersFile::new(&folder.path().join("peers"), Some(folder.path())),
            accepts,
            on_removal: Arc::new(|| ()),
            run: run("standbygo"),
            primaries: Arc::clone(&primaries),
        };
        let reporter = Reporter::new(Arc::clone(&primary), Arc::clone(&board), options);
        tokio::spawn(reporter.run());
        Standby {
            folder,
            primary,
            primaries,
            board,
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
            .raise(&Topic::Generation, Severity::Warning, "refused\nfor a reason");
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
        standby
            .board
            .update(|status| status.sync.get_or_insert_default().has_newest = true);
        standby.connects().await;
        live_files::show_altered(&standby.board, &[Name::CruiseConfig]);
        standby.settles().await;
        live_files::show_altered(&standby.board, &[]);
        standby.settles().await;
        standby.board.part_failed("puller", "the puller has failed");
        standby.settles().await;
        standby.board.part_runs("puller");
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

    fn other(run: &Run, is_proven: bool) -> OtherRun {
        OtherRun {
            run: run.clone(),
            is_proven,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_run_is_confirmed_at_once_and_said_only_where_it_is_proven() {
        let standby = start(Arc::new(|_| true));
        let clone = run("clonego");
        let said = |standby: &Standby| {
            let topics = |status: &Status| {
                let mut problems = status
                    .problems
                    .iter()
                    .filter(|problem| problem.topic == Topic::CopyOfThisNode);
                problems.next().cloned()
            };
            standby.board.look(topics)
        };
        let answers = |others: Vec<OtherRun>| standby.primary.answer.lock().expect("not poisoned").others = others;
        answers(vec![other(&clone, false)]);
        standby.connects().await;
        let heard = standby.heard();
        let met: Vec<_> = heard
            .iter()
            .map(|report| report.run.as_ref().expect("told").met.clone())
            .collect();
        assert_eq!(met, [vec![], vec![clone.id.clone()]], "told, and confirmed at once");
        assert_eq!(
            heard[0].run.as_ref().map(|run| &run.this),
            heard[1].run.as_ref().map(|run| &run.this)
        );
        assert_eq!(said(&standby), None, "it may be the one before a restart");
        answers(vec![other(&clone, true)]);
        advance(EVERY).await;
        standby.settles().await;
        let problem = said(&standby).expect("said");
        assert_eq!(problem.severity, Severity::Critical);
        for part in ["clonego", "gocd-bc identity new", "/state", &key("own").to_string()] {
            assert!(problem.message.contains(part), "{}", problem.message);
        }
        assert_eq!(standby.heard().len(), 3, "it is confirmed already");
        answers(Vec::new());
        advance(EVERY).await;
        standby.settles().await;
        assert_eq!(said(&standby), None, "the primary does not say it any more");
        answers(vec![other(&clone, true)]);
        advance(EVERY).await;
        standby.settles().await;
        assert!(said(&standby).is_some());
        standby
            .board
            .update(|status| status.primary.as_mut().expect("there").connected = false);
        for _ in 0..11 {
            advance(EVERY).await;
            standby.settles().await;
        }
        assert_eq!(said(&standby), None, "a primary that is gone has no last word for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_answer_as_the_primary_have_no_say_in_keys() {
        let standby = start(Arc::new(|_| true));
        let runs = [run("primarygo"), run("clonego")];
        let takes_over = |number: usize| {
            let mut answer = standby.primary.answer.lock().expect("not poisoned");
            answer.run = Some(runs[number % 2].clone());
            answer.keys = vec![key("now"), key(&number.to_string())];
        };
        for number in 0..3 {
            takes_over(number);
            if number == 0 {
                standby.connects().await;
            } else {
                advance(EVERY).await;
                standby.settles().await;
            }
        }
        assert!(standby.primaries.are_several());
        let before = standby.peers();
        {
            let mut answer = standby.primary.answer.lock().expect("not poisoned");
            answer.removed = vec![key("now")];
            answer.peers = vec![Peer {
                fingerprint: key("planted"),
                node_id: None,
            }];
        }
        advance(EVERY).await;
        standby.settles().await;
        let last = standby.heard().pop().expect("it goes on reporting");
        assert_eq!(last.confirms, [], "neither may change its key on our word");
        assert_eq!(standby.peers(), before, "neither is listened to");
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
            ..ReportReply::default()
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
        let own = OwnKeys::new("a".repeat(32).parse().expect("id"), key("own"));
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
            ..ReportReply::default()
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
