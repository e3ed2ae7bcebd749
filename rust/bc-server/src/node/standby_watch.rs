//! What a primary knows of its standbys: on the board, and in its file.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bc_core::{
    basics::Severity,
    generation::run,
    keys::{PeersFile, own_keys},
    primary::Standbys,
    status::{StandbyStatus, Status, StatusBoard, Stranger, Topic, doubled, upgrade},
};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::{
    Assembly,
    peer_book::PeerBook,
    supervisor::{Part, Supervisor, blocking},
};

/// How often the watch looks who has fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Reports that come within this time are shown together: a change is applied by all standbys at once.
const TOGETHER: Duration = Duration::from_millis(200);
/// How often at most the log names strangers.
const SAY_STRANGERS_EVERY: Duration = Duration::from_secs(60);

/// Reads the list of standbys, and keeps the board and its file up to date for as long as the node lives.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor, book: &Arc<PeerBook>) -> Arc<Standbys> {
    let (standbys, problem) = Standbys::open(
        assembly.state.path(),
        PeersFile::of(&assembly.settings.layout),
        Arc::clone(&assembly.own),
        assembly.settings.standby_silence,
    );
    let is_unread = problem.is_some();
    if let Some(problem) = problem {
        warn!("{problem}");
        assembly.raise(&Topic::StandbysFile, Severity::Warning, problem.to_string());
    }
    let standbys = Arc::new(standbys.by(&assembly.run));
    let watch = StandbyWatch {
        standbys: Arc::clone(&standbys),
        note_places: {
            let book = Arc::clone(book);
            Arc::new(move |standbys| book.reported(standbys))
        },
        board: Arc::clone(&assembly.board),
        refused: BTreeSet::new(),
        unwritten: is_unread,
        strangers_said: None,
    };
    let part = Part {
        name: "standbys",
        does: "keeps the list of standbys",
    };
    supervisor.supervise(part, move || watch.clone().run());
    standbys
}

/// Notes where standbys are.
type NotePlaces = Arc<dyn Fn(&[StandbyStatus]) + Send + Sync>;

#[derive(Clone)]
struct StandbyWatch {
    standbys: Arc<Standbys>,
    /// Notes where they are, for the next start of this node.
    note_places: NotePlaces,
    board: Arc<StatusBoard>,
    /// Topics of standbys that do not follow.
    refused: BTreeSet<Topic>,
    /// Whether the file could not be read or written.
    unwritten: bool,
    /// When it was last said in the log who the strangers are.
    strangers_said: Option<Instant>,
}

impl StandbyWatch {
    /// Shows the standbys on the board whenever one reports or falls silent, and saves their list.
    async fn run(mut self) {
        // What a watch before this one has said.
        self.refused = self.board.look(|status| {
            let topics = status.problems.iter().map(|problem| problem.topic.clone());
            topics
                .filter(|topic| matches!(topic, Topic::Standby { .. } | Topic::StandbyAndCopy(_)))
                .collect()
        });
        loop {
            self.show();
            let (standbys, note_places) = (Arc::clone(&self.standbys), Arc::clone(&self.note_places));
            let list = self.board.look(|status| status.standbys.clone());
            let saved = blocking(move || {
                note_places(&list);
                standbys.save_if_due()
            });
            match saved.await {
                Err(error) => {
                    self.board
                        .raise(&Topic::StandbysFile, Severity::Warning, error.to_string());
                    self.unwritten = true;
                }
                Ok(()) if self.unwritten => {
                    self.board.clear(&Topic::StandbysFile);
                    self.unwritten = false;
                }
                Ok(()) => {}
            }
            tokio::select! {
                () = self.standbys.news() => sleep(TOGETHER).await,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Shows on the board who follows this primary, and what is wrong with them.
    fn show(&mut self) {
        let offered = self.board.look(|status| status.generation.clone());
        let list = self.standbys.picture(offered.as_ref());
        let silent: Vec<_> = list.iter().filter(|standby| standby.silent).collect();
        let message = (!silent.is_empty()).then(|| silence(&silent));
        self.board.warn(&Topic::Standbys, Severity::Warning, message);
        let upgrade = self.board.look(|status| upgrade(status.gocd_version.as_deref(), &list));
        self.board.warn(&Topic::Versions, Severity::Warning, upgrade);
        self.show_copies();
        self.show_sharers();
        self.show_refusals(&list);
        self.show_strangers();
        self.show_old();
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

    /// Shows who asks as a standby and is not trusted. Whoever has the token can be one, and as many as he likes: they
    /// raise and clear nothing, and are said in the log once in a while.
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

    /// Shows who follows in the way of the original product.
    fn show_old(&self) {
        let old = self.standbys.old();
        if self.board.look(|status| status.old_standbys != old) {
            self.board.update(|status| status.old_standbys = old);
        }
    }

    /// Shows that another server with the identity of this primary asks here: it was started as a standby of its own
    /// original, or as a primary at another place.
    fn show_copies(&self) {
        let copies = self.standbys.copies();
        if copies.is_empty() {
            return self.board.clear(&Topic::CopyOfThisNode);
        }
        let message = format!(
            "another server has the identity of this one, its node id and key, and asks here: {}. It is a copy \
             of this server, or the key was stolen. Stop GoCD there, run `gocd-bc identity new` there, and start it again; \
             if it is none of yours, run `gocd-bc identity rotate` here, which ends the key that it has.",
            run::named(&copies)
        );
        self.critical(&Topic::CopyOfThisNode, &message);
    }

    /// Shows that another node with the key of this primary asks here: no standby is known by that key.
    fn show_sharers(&self) {
        let sharers = self.standbys.sharers();
        if sharers.is_empty() {
            return self.board.clear(&Topic::KeyOfThisNode);
        }
        let message = format!(
            "another node shows the key of this one, and asks here as a standby: {}. {}",
            run::named(&sharers),
            own_keys::ONE_KEY_EACH
        );
        self.critical(&Topic::KeyOfThisNode, &message);
    }

    /// Says on a primary's board what is CRITICAL about its standbys.
    fn critical(&self, topic: &Topic, message: &str) {
        if self.board.raise(topic, Severity::Critical, message) {
            error!("CRITICAL {message}");
        }
    }

    /// Shows on the primary what keeps a standby from following: its administrator may know why.
    fn show_refusals(&mut self, list: &[StandbyStatus]) {
        let mut refused = BTreeSet::new();
        for standby in list.iter().filter(|standby| !standby.silent) {
            let Some(problem) = &standby.problem else { continue };
            // Of two with one identity each may have a problem of its own.
            let run = standby.run.as_ref().filter(|_| standby.doubled);
            let topic = Topic::Standby {
                node_id: standby.node_id.to_string(),
                run: run.map(|run| run.id.to_string()),
            };
            let message = format!("The standby {} is not in sync: {}", standby.name(), problem.message);
            self.board.raise(&topic, problem.severity, message);
            refused.insert(topic);
        }
        for (node_id, message) in doubled(list) {
            let topic = Topic::StandbyAndCopy(node_id.to_owned());
            self.critical(&topic, &message);
            refused.insert(topic);
        }
        for topic in self.refused.difference(&refused) {
            self.board.clear(topic);
        }
        self.refused = refused;
    }
}

/// Says which standbys are silent, without the times, so that it is said once.
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
        basics::{Fingerprint, NodeId, SystemClock},
        generation::{KeyHolder, Role, Run},
        keys::OwnKeys,
        primary::Sender,
        status::{Phase, Report, ReportedProblem, ReportedRun},
    };

    use super::*;

    fn report(name: char, problem: Option<&str>) -> Report {
        Report {
            in_sync: Some(true),
            node_id: name.to_string().repeat(32).parse().expect("id"),
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

    /// A watch of a list that begins in this folder, for the node `me` with the key `own`.
    fn watch(folder: &Path) -> StandbyWatch {
        let own = Arc::new(OwnKeys::new(
            "e".repeat(32).parse().expect("id"),
            Fingerprint::of_public_key(b"own"),
        ));
        let peers = PeersFile::new(&folder.join("peers"), Some(folder));
        let (standbys, problem) = Standbys::open(folder, peers, own, Duration::from_secs(120));
        assert_eq!(problem, None);
        StandbyWatch {
            standbys: Arc::new(standbys.by(&run("primarygo"))),
            note_places: Arc::new(|_| {}),
            board: Arc::new(StatusBoard::new(
                Status::new("me", Role::Primary, Phase::Running, 0),
                Arc::new(SystemClock),
            )),
            refused: BTreeSet::new(),
            unwritten: false,
            strangers_said: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn copies_are_critical_until_they_are_silent() {
        let folder = tempfile::tempdir().expect("folder");
        let mut watch = watch(folder.path());
        let said = |watch: &mut StandbyWatch| {
            watch.show();
            let critical = |status: &Status| {
                let problems = status.problems.iter();
                let critical = problems.filter(|problem| problem.severity == Severity::Critical);
                critical.map(|problem| problem.message.clone()).collect::<Vec<_>>()
            };
            watch.board.look(critical)
        };
        let runs = [run("standbygo"), run("clonego")];
        let hears = |watch: &StandbyWatch, this: usize, problem: Option<&str>| {
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
            watch.standbys.report(report, sender, 1).expect("taken");
        };
        hears(&watch, 0, Some("too little room"));
        assert_eq!(said(&mut watch).len(), 1, "what it reports");
        hears(&watch, 1, Some("no room at all"));
        let both = said(&mut watch);
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
        let holds = |host: &str, node_id: Option<NodeId>| KeyHolder {
            run: run(host),
            node_id,
        };
        let own = Fingerprint::of_public_key(b"own");
        watch.standbys.shown(&own, holds("copygo", None));
        watch
            .standbys
            .shown(&own, holds("sharego", "c".repeat(32).parse().ok()));
        let all = said(&mut watch);
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
        hears(&watch, 1, None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(said(&mut watch), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_of_the_token_alone_raises_and_ends_no_alarm() {
        let folder = tempfile::tempdir().expect("folder");
        let mut watch = watch(folder.path());
        let tell = |watch: &StandbyWatch, report: Report, key: Option<&str>| {
            let key = key.map(|name| Fingerprint::of_public_key(name.as_bytes()));
            // Refused or not: the same must be seen.
            drop(watch.standbys.report(report, Sender { key, address: None }, 1));
        };
        let problems = |watch: &StandbyWatch| {
            let mut problems: Vec<_> = watch
                .board
                .look(|status| status.problems.iter().map(|problem| problem.message.clone()).collect());
            problems.sort_unstable();
            problems
        };
        tell(&watch, report('a', Some("too little room")), Some("a"));
        watch.show();
        assert_eq!(problems(&watch), ["The standby a:8155 is not in sync: too little room"]);
        for key in [None, Some("thief")] {
            tell(&watch, report('a', None), key);
            tell(&watch, report('b', Some("call 555-0100")), key);
        }
        watch.show();
        assert_eq!(problems(&watch), ["The standby a:8155 is not in sync: too little room"]);
        tokio::time::advance(Duration::from_secs(121)).await;
        for key in [None, Some("thief")] {
            tell(&watch, report('a', None), key);
        }
        watch.show();
        let said = problems(&watch);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("1 standby has stopped reporting: a:8155."),
            "{said:?}"
        );
        let shown = watch.board.look(|status| {
            assert_eq!(status.standbys.len(), 1);
            status.strangers_line().expect("said in one line")
        });
        assert!(
            shown.starts_with("4 others have reported") && !shown.contains("555"),
            "{shown}"
        );
    }
}
