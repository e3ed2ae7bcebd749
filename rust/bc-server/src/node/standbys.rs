//! What a primary knows of its standbys: on the board, and in its file.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    peers::PeersFile,
    pull::judge,
    run,
    standbys::Standbys,
    status::{Severity, StandbyStatus, Status, StatusBoard, Stranger, doubled},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Assembly,
    supervisor::{Part, Supervisor, blocking},
};

/// How often is looked who has fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Reports that come within this time are shown together: a change is applied by all standbys at once.
const TOGETHER: Duration = Duration::from_millis(200);
/// Strangers are said in the log no more often.
const SAY_STRANGERS_EVERY: Duration = Duration::from_secs(60);
/// The board's topic for those who say nothing.
const TOPIC_SILENT: &str = "standbys";
/// How the topics for single standbys begin.
const TOPIC_OF_ONE: &str = "standby ";
/// The board's topic for others with the key of this node.
const TOPIC_COPIES: &str = "copy of this node";
/// The same for other nodes that have its key alone.
const TOPIC_SHARERS: &str = "key of this node";
/// The board's topic for the file.
const TOPIC_FILE: &str = "standbys file";

/// Reads the list, and keeps the board and the file up to date for as long as the node lives.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) -> Arc<Standbys> {
    let (standbys, problem) = Standbys::open(
        assembly.state.path(),
        PeersFile::of(&assembly.settings.layout),
        Arc::clone(&assembly.own),
        assembly.settings.standby_silence,
    );
    let is_unread = problem.is_some();
    if let Some(problem) = problem {
        warn!("{problem}");
        assembly.raise(TOPIC_FILE, Severity::Warning, problem.to_string());
    }
    let standbys = Arc::new(standbys.by(&assembly.run));
    let keeper = Keeper {
        standbys: Arc::clone(&standbys),
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        refused: BTreeSet::new(),
        unwritten: is_unread,
        strangers_said: None,
    };
    let part = Part {
        name: "standbys",
        does: "keeps the list of standbys",
    };
    let stop = assembly.stop.clone();
    supervisor.keep(part, move || keeper.clone().run(stop.clone()));
    standbys
}

#[derive(Clone)]
struct Keeper {
    standbys: Arc<Standbys>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    /// Topics of standbys that do not follow.
    refused: BTreeSet<String>,
    /// Whether the file could not be read or written.
    unwritten: bool,
    /// When it was last said in the log who the strangers are.
    strangers_said: Option<Instant>,
}

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        // What a keeper before this one has said.
        self.refused = self.board.look(|status| {
            let topics = status.problems.iter().map(|problem| problem.topic.clone());
            topics.filter(|topic| topic.starts_with(TOPIC_OF_ONE)).collect()
        });
        loop {
            self.show();
            let standbys = Arc::clone(&self.standbys);
            match blocking(move || standbys.save_if_due()).await {
                Err(error) => {
                    let now = self.clock.now_ms();
                    self.board.raise(TOPIC_FILE, Severity::Warning, error.to_string(), now);
                    self.unwritten = true;
                }
                Ok(()) if self.unwritten => {
                    self.board.clear(TOPIC_FILE);
                    self.unwritten = false;
                }
                Ok(()) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.standbys.news() => sleep(TOGETHER).await,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn show(&mut self) {
        let now = self.clock.now_ms();
        let offered = self.board.look(|status| status.generation.clone());
        let list = self.standbys.picture(offered.as_ref());
        let silent: Vec<_> = list.iter().filter(|standby| standby.silent).collect();
        let message = (!silent.is_empty()).then(|| silence(&silent));
        if let Some(message) = &message
            && self.board.raise(TOPIC_SILENT, Severity::Warning, message.as_str(), now)
        {
            warn!("{message}");
        }
        if message.is_none() {
            self.board.clear(TOPIC_SILENT);
        }
        self.show_copies(now);
        self.show_sharers(now);
        self.show_refusals(&list, now);
        self.show_strangers();
        if self.board.look(|status| status.standbys != list) {
            for standby in &list {
                let is_new = self
                    .board
                    .look(|status| !status.standbys.iter().any(|known| known.node_id == standby.node_id));
                if is_new {
                    info!(
                        "standby {} (node {}) reports; its key is trusted",
                        standby.name(),
                        standby.node_id
                    );
                }
            }
            self.board.update(|status| status.standbys = list);
        }
    }

    /// Whoever has the token can be one, and as many as he likes: they raise and clear nothing, and are said in the log
    /// once in a while.
    fn show_strangers(&mut self) {
        let strangers = self.standbys.strangers();
        if self.board.look(|status| status.strangers == strangers) {
            return;
        }
        let who = |stranger: &Stranger| (stranger.node_id.clone(), stranger.fingerprint, stranger.standing);
        let is_news = self
            .board
            .look(|status| !status.strangers.iter().map(who).eq(strangers.iter().map(who)));
        self.board.update(|status| status.strangers = strangers);
        let is_due = self
            .strangers_said
            .is_none_or(|said| said.elapsed() >= SAY_STRANGERS_EVERY);
        if is_news
            && is_due
            && let Some(line) = self.board.look(Status::strangers_line)
        {
            info!("{line}");
            self.strangers_said = Some(Instant::now());
        }
    }

    /// Another server with the key of this one that asks here: it was started as a standby of its own original.
    fn show_copies(&self, now: i64) {
        let copies = self.standbys.copies();
        if copies.is_empty() {
            return self.board.clear(TOPIC_COPIES);
        }
        let message = format!(
            "another server has the identity of this one, its node id and key, and asks here as a standby: {}. It is a copy \
             of this server, or the key was stolen. Stop GoCD there, run `gocd-bc identity new` there, and start it again; \
             if it is none of yours, run `gocd-bc identity rotate` here, which ends the key that it has.",
            run::named(&copies)
        );
        self.critical(TOPIC_COPIES, &message, now);
    }

    /// Another node with the key of this one asks here: no standby is known by that key.
    fn show_sharers(&self, now: i64) {
        let sharers = self.standbys.sharers();
        if sharers.is_empty() {
            return self.board.clear(TOPIC_SHARERS);
        }
        let message = format!(
            "another node shows the key of this one, and asks here as a standby: {}. {}",
            run::named(&sharers),
            judge::ONE_KEY_EACH
        );
        self.critical(TOPIC_SHARERS, &message, now);
    }

    fn critical(&self, topic: &str, message: &str, now: i64) {
        if self.board.raise(topic, Severity::Critical, message, now) {
            error!("CRITICAL {message}");
        }
    }

    /// What keeps a standby from following concerns this server too: its administrator may know why.
    fn show_refusals(&mut self, list: &[StandbyStatus], now: i64) {
        let mut refused = BTreeSet::new();
        for standby in list.iter().filter(|standby| !standby.silent) {
            let Some(problem) = &standby.problem else { continue };
            // Of two with one identity each may have a problem of its own.
            let run = standby.run.as_ref().filter(|_| standby.doubled);
            let run = run.map(|run| format!(" in run {}", run.id)).unwrap_or_default();
            let topic = format!("{TOPIC_OF_ONE}{}{run}", standby.node_id);
            let message = format!("The standby {} is not in sync: {}", standby.name(), problem.message);
            self.board.raise(&topic, problem.severity, message, now);
            refused.insert(topic);
        }
        for (node_id, message) in doubled(list) {
            let topic = format!("{TOPIC_OF_ONE}{node_id} and its copy");
            self.critical(&topic, &message, now);
            refused.insert(topic);
        }
        for topic in self.refused.difference(&refused) {
            self.board.clear(topic);
        }
        self.refused = refused;
    }
}

/// Says who is silent without the times, so that it is said once.
fn silence(silent: &[&StandbyStatus]) -> String {
    const NAMED: usize = 3;
    let names: Vec<_> = silent.iter().take(NAMED).map(|standby| standby.name()).collect();
    let others = match silent.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let verb = if silent.len() == 1 {
        "standby has"
    } else {
        "standbys have"
    };
    format!(
        "{} {verb} stopped reporting: {}{others}. Check that it runs and reaches this server; one that is gone for good \
         is forgotten with `gocd-bc trust --remove` and its key.",
        silent.len(),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bc_core::{
        clock::SystemClock,
        fingerprint::Fingerprint,
        manifest::Role,
        own_keys::OwnKeys,
        report::{Report, ReportedProblem, ReportedRun},
        run::{KeyHolder, Run},
        standbys::Sender,
        status::Phase,
    };

    use super::*;

    fn report(name: char, problem: Option<&str>) -> Report {
        Report {
            in_sync: Some(true),
            node_id: name.to_string().repeat(32),
            generation: None,
            applied_ago_ms: None,
            error: None,
            problem: problem.map(|message| ReportedProblem {
                severity: Severity::Critical,
                message: message.to_owned(),
            }),
            url: Some(format!("https://{name}:8155")),
            product_version: "0.1.0".to_owned(),
            gocd_version: None,
            confirms: Vec::new(),
            run: None,
        }
    }

    fn run(host: &str) -> Run {
        Run::begin(Some(host.to_owned()), Path::new("state"), 0).expect("random")
    }

    /// A keeper of a list that begins in this folder, for the node `me` with the key `own`.
    fn keeper(folder: &Path) -> Keeper {
        let own = Arc::new(OwnKeys::new("me", Fingerprint::of_public_key(b"own")));
        let peers = PeersFile::new(&folder.join("peers"), Some(folder));
        let (standbys, problem) = Standbys::open(folder, peers, own, Duration::from_secs(120));
        assert_eq!(problem, None);
        Keeper {
            standbys: Arc::new(standbys.by(&run("primarygo"))),
            board: Arc::new(StatusBoard::new(Status::new("me", Role::Primary, Phase::Running, 0))),
            clock: Arc::new(SystemClock),
            refused: BTreeSet::new(),
            unwritten: false,
            strangers_said: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn copies_are_critical_until_they_are_silent() {
        let folder = tempfile::tempdir().expect("folder");
        let mut keeper = keeper(folder.path());
        let said = |keeper: &mut Keeper| {
            keeper.show();
            let critical = |status: &Status| {
                let problems = status.problems.iter();
                let critical = problems.filter(|problem| problem.severity == Severity::Critical);
                critical.map(|problem| problem.message.clone()).collect::<Vec<_>>()
            };
            keeper.board.look(critical)
        };
        let runs = [run("standbygo"), run("clonego")];
        let hears = |keeper: &Keeper, this: usize, problem: Option<&str>| {
            let report = Report {
                run: Some(ReportedRun {
                    this: runs[this].clone(),
                    met: vec![runs[1 - this].id.clone()],
                }),
                ..report('a', problem)
            };
            let sender = Sender {
                key: Some(Fingerprint::of_public_key(b"a")),
                address: None,
            };
            keeper.standbys.report(report, sender, 1).expect("taken");
        };
        hears(&keeper, 0, Some("too little room"));
        assert_eq!(said(&mut keeper).len(), 1, "what it reports");
        hears(&keeper, 1, Some("no room at all"));
        let both = said(&mut keeper);
        assert_eq!(
            both.len(),
            3,
            "what each of them reports, and that they are two: {both:?}"
        );
        let named = |said: &[String], parts: &[&str]| {
            said.iter()
                .any(|message| parts.iter().all(|part| message.contains(part)))
        };
        assert!(
            named(&both, &["2 servers report as one standby", "standbygo", "clonego"]),
            "{both:?}"
        );
        assert!(
            named(&both, &["a:8155 (clonego", "no room at all"]),
            "each is told from the other: {both:?}"
        );
        let holds = |host: &str, node_id: Option<String>| KeyHolder {
            run: run(host),
            node_id,
        };
        let own = Fingerprint::of_public_key(b"own");
        keeper.standbys.shown(&own, holds("copygo", None));
        keeper.standbys.shown(&own, holds("sharego", Some("c".repeat(32))));
        let all = said(&mut keeper);
        let rotates = "gocd-bc identity rotate";
        assert!(
            named(&all, &["has the identity of this one", "copygo", rotates]),
            "{all:?}"
        );
        assert!(
            named(
                &all,
                &[
                    "another node shows the key of this one",
                    "sharego",
                    "bc.tls.certificate"
                ]
            ),
            "{all:?}"
        );
        assert!(!named(&all, &["copygo", "sharego"]), "{all:?}");
        tokio::time::advance(Duration::from_secs(299)).await;
        hears(&keeper, 1, None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(said(&mut keeper), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_of_the_token_alone_raises_and_ends_no_alarm() {
        let folder = tempfile::tempdir().expect("folder");
        let mut keeper = keeper(folder.path());
        let tell = |keeper: &Keeper, report: Report, key: Option<&str>| {
            let key = key.map(|name| Fingerprint::of_public_key(name.as_bytes()));
            // Refused or not: the same must be seen.
            drop(keeper.standbys.report(report, Sender { key, address: None }, 1));
        };
        let problems = |keeper: &Keeper| {
            let mut problems: Vec<_> = keeper
                .board
                .look(|status| status.problems.iter().map(|problem| problem.message.clone()).collect());
            problems.sort_unstable();
            problems
        };
        tell(&keeper, report('a', Some("too little room")), Some("a"));
        keeper.show();
        assert_eq!(
            problems(&keeper),
            ["The standby a:8155 is not in sync: too little room"]
        );
        for key in [None, Some("thief")] {
            tell(&keeper, report('a', None), key);
            tell(&keeper, report('b', Some("call 555-0100")), key);
        }
        keeper.show();
        assert_eq!(
            problems(&keeper),
            ["The standby a:8155 is not in sync: too little room"]
        );
        tokio::time::advance(Duration::from_secs(121)).await;
        for key in [None, Some("thief")] {
            tell(&keeper, report('a', None), key);
        }
        keeper.show();
        let said = problems(&keeper);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("1 standby has stopped reporting: a:8155."),
            "{said:?}"
        );
        let shown = keeper.board.look(|status| {
            assert_eq!(status.standbys.len(), 1);
            status.strangers_line().expect("said in one line")
        });
        assert!(
            shown.starts_with("4 others have reported") && !shown.contains("555"),
            "{shown}"
        );
    }
}
