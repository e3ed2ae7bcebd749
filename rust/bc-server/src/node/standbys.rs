//! What a primary knows of its standbys: on the board, and in its file.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    standbys::Standbys,
    status::{Severity, StandbyStatus, Standing, StatusBoard},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Assembly,
    supervisor::{Part, Supervisor, blocking},
};

/// How often is looked who has fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Reports that come within this time are shown together: a change is applied by all standbys at once.
const TOGETHER: Duration = Duration::from_millis(200);
/// The board's topic for those who say nothing.
const TOPIC_SILENT: &str = "standbys";
/// How the topics for single standbys begin.
const TOPIC_OF_ONE: &str = "standby ";
/// The board's topic for the file.
const TOPIC_FILE: &str = "standbys file";

/// Reads the list, and keeps the board and the file up to date for as long as the node lives.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) -> Arc<Standbys> {
    let (standbys, problem) = Standbys::open(
        assembly.state.path(),
        &assembly.settings.layout.peers(),
        Arc::clone(&assembly.own),
        assembly.settings.standby_silence,
    );
    if let Some(problem) = problem {
        warn!("{problem}");
        assembly.raise(TOPIC_FILE, Severity::Warning, problem.to_string());
    }
    let standbys = Arc::new(standbys);
    let keeper = Keeper {
        standbys: Arc::clone(&standbys),
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        refused: BTreeSet::new(),
        unwritten: false,
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
    /// Whether the file could not be written.
    unwritten: bool,
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
        self.show_refusals(&list, now);
        if self.board.look(|status| status.standbys != list) {
            for standby in &list {
                let is_new = self.board.look(|status| {
                    !status
                        .standbys
                        .iter()
                        .any(|known| (&known.node_id, known.standing) == (&standby.node_id, standby.standing))
                });
                if is_new {
                    info!("standby {} ({}): {}", standby.name(), standby.node_id, words(standby));
                }
            }
            self.board.update(|status| status.standbys = list);
        }
    }

    /// What keeps a standby from following concerns this server too: its administrator may know why.
    fn show_refusals(&mut self, list: &[StandbyStatus], now: i64) {
        let mut refused = BTreeSet::new();
        for standby in list.iter().filter(|standby| !standby.silent) {
            let Some(problem) = &standby.problem else { continue };
            let topic = format!("{TOPIC_OF_ONE}{}", standby.node_id);
            let message = format!("The standby {} is not in sync: {}", standby.name(), problem.message);
            self.board.raise(&topic, problem.severity, message, now);
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

fn words(standby: &StandbyStatus) -> String {
    match (standby.standing, standby.fingerprint) {
        (Standing::Trusted, Some(key)) => format!("its key {key} is trusted"),
        (Standing::Seen, Some(key)) => {
            format!("its key {key} is not trusted yet; compare it there and run `gocd-bc trust {key}` here")
        }
        _ => "its connection shows no key".to_owned(),
    }
}
