//! Finds out what GoCD had in its hands when this server was promoted, once for each promotion.
//!
//! It runs where GoCD runs, when its node begins, and keeps nobody waiting: a database that answers late is asked again
//! for ten minutes. What it found is on the board until a person has seen it.

use std::{path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::{Error, Severity},
    database::{
        configured::{Configured, Login, Source},
        in_hand::InHand,
        refusal::Refusal,
    },
    node::Reply,
    role::{
        StateDir,
        gocd_start::GocdStart,
        landing::{Artifacts, Landing},
    },
    settings::{Face, Settings},
    status::{StatusBoard, Topic},
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use super::{
    Assembly, database,
    supervisor::{Part, Supervisor},
};
use crate::database::Connection;

/// How long a database is asked that does not answer.
const ASKED_FOR: Duration = Duration::from_secs(600);
/// How long is waited before it is asked again.
const AGAIN: Duration = Duration::from_secs(3);
/// PostgreSQL's code for a table that the user may not read.
const NOT_ALLOWED: &str = "42501";
/// That for a table that is not there.
const NO_TABLE: &str = "42P01";

/// Makes the report of the promotion at `promoted_ms`, or shows the one that there is. `files` is where files may be read.
pub(super) fn start(assembly: &Assembly, supervisor: &Supervisor, files: &Handle, promoted_ms: i64) {
    let part = Part {
        name: "landing",
        does: "looks at what GoCD had in its hands when this server was promoted",
    };
    let lander = Lander {
        state: Arc::clone(&assembly.state),
        settings: Arc::clone(&assembly.settings),
        board: Arc::clone(&assembly.board),
        files: files.clone(),
        promoted_ms,
    };
    supervisor.supervise_until_done(part, move || lander.clone().land());
}

/// Takes the report of the promotion off the board for good: a person has seen it.
///
/// # Errors
/// That cannot be written down; it is shown on then.
pub(super) fn done(state: &StateDir, board: &StatusBoard) -> Reply {
    let seen = |path: &Path| -> Result<bool, Error> {
        // One that is damaged is replaced by what is known.
        let kept = Landing::load(path).ok().flatten();
        let Some(mut landing) = kept.or_else(|| board.look(|status| status.landing.clone())) else {
            return Ok(false);
        };
        let was_done = std::mem::replace(&mut landing.is_done, true);
        landing.save(path)?;
        Ok(!was_done)
    };
    let went_back = end_going_back(state.path());
    match went_back.and_then(|went_back| Ok(seen(state.path())? || went_back)) {
        Ok(was_shown) => {
            board.update(|status| {
                status.landing = None;
                status.agents = None;
            });
            board.clear(&Topic::Landing);
            board.clear(&Topic::GocdDiffers);
            board.clear(&Topic::WentBack);
            let message = match was_shown {
                true => "what this server found when it had been promoted is not shown any more",
                false => "there was nothing to be seen",
            };
            Reply::Done {
                message: message.to_owned(),
            }
        }
        Err(error) => error.into(),
    }
}

/// Forgets that this server went back by itself; says whether it did. What cannot be read is written anew at the next start.
fn end_going_back(state_dir: &Path) -> Result<bool, Error> {
    let Some(mut start) = GocdStart::load(state_dir).ok().flatten() else {
        return Ok(false);
    };
    let went_back = start.went_back.take().is_some();
    if went_back {
        start.save(state_dir)?;
    }
    Ok(went_back)
}

/// What the part is made of.
#[derive(Clone)]
struct Lander {
    state: Arc<StateDir>,
    settings: Arc<Settings>,
    board: Arc<StatusBoard>,
    files: Handle,
    promoted_ms: i64,
}

impl Lander {
    /// Makes the report of the promotion, or shows the one that there is.
    async fn land(self) {
        let state = Arc::clone(&self.state);
        let before = self.on_files(move || Landing::load(state.path())).await;
        let before = match before {
            Some(Ok(before)) => before,
            Some(Err(error)) => {
                warn!("{error}");
                None
            }
            None => return,
        };
        if !Landing::is_due(before.as_ref(), self.promoted_ms, self.board.now_ms()) {
            let shown = before.filter(|landing| !landing.is_done && landing.promoted_ms == self.promoted_ms);
            return self.board.update(|status| status.landing = shown);
        }
        let layout = self.settings.layout.clone();
        let Some(artifacts) = self.on_files(move || Artifacts::look(&layout)).await else {
            return;
        };
        let begun_ms = self.board.look(|status| status.opened_ms);
        let has_gocd = self.settings.face != Face::Cli;
        let mut landing = Landing::begin(self.promoted_ms, begun_ms, has_gocd, artifacts);
        self.board.update(|status| status.landing = Some(landing.clone()));
        let said = self.ask_until_known(&mut landing).await;
        landing.hear(said, self.board.now_ms());
        self.keep(landing).await;
    }

    /// Asks GoCD's database until it says what GoCD has in its hands, or that is not to be known.
    async fn ask_until_known(&self, landing: &mut Landing) -> Result<InHand, String> {
        if !self.settings.watches_database {
            return Err("bc.db.watch=off, so nothing is asked of its database".to_owned());
        }
        let end = Instant::now() + ASKED_FOR;
        loop {
            let why = match self.ask().await {
                Said::Known(in_hand) => return Ok(in_hand),
                Said::Never(why) => return Err(why),
                Said::NotYet(why) => why,
            };
            if Instant::now() + AGAIN >= end {
                return Err(format!("for ten minutes its database did not say it: {why}"));
            }
            let said = format!("its database does not say it yet: {why}");
            if landing.unknown.as_ref() != Some(&said) {
                landing.hear(Err(said), self.board.now_ms());
                self.show_again(landing);
            }
            sleep(AGAIN).await;
        }
    }

    /// Asks the servers of GoCD's database one after the other, until one says what GoCD has in its hands.
    async fn ask(&self) -> Said {
        let source: Source = self.settings.database.clone();
        let login = match self.on_files(move || database::configured(&source)).await {
            Some(Ok(Configured::PostgreSql(login))) => login,
            Some(Ok(Configured::NotCovered(what))) => return Said::Never(format!("its database is {what}")),
            Some(Err(error)) => return Said::NotYet(error.to_string()),
            None => return Said::NotYet("the node closes".to_owned()),
        };
        let mut why = Said::NotYet("db.url names no server".to_owned());
        for server in &login.url.hosts {
            let asked = async { Connection::open(&login, server).await?.in_hand().await };
            match asked.await {
                Ok(in_hand) => return Said::Known(in_hand),
                Err(refusal) => why = not_said(&refusal, &server.to_string(), &login),
            }
        }
        why
    }

    /// Shows the report of the promotion as it is by now, unless a person has said that it is done.
    fn show_again(&self, landing: &Landing) {
        self.board.update(|status| {
            if let Some(shown) = &mut status.landing {
                *shown = landing.clone();
            }
        });
    }

    /// Keeps the report of the promotion in the state folder, and shows it.
    async fn keep(&self, mut landing: Landing) {
        let (state, board, promoted_ms) = (Arc::clone(&self.state), Arc::clone(&self.board), self.promoted_ms);
        let kept = self.on_files(move || {
            // A person may have seen what was shown before the database answered.
            let before = Landing::load(state.path()).ok().flatten();
            landing.is_done = before.is_some_and(|before| before.promoted_ms == promoted_ms && before.is_done);
            let saved = landing.save(state.path());
            for line in landing.lines(board.now_ms()) {
                info!("landing: {line}");
            }
            let shown = (!landing.is_done).then_some(landing);
            board.update(|status| status.landing = shown);
            saved
        });
        let problem = kept
            .await
            .and_then(Result::err)
            .map(|error| format!("what this server found when it had been promoted is lost with a restart: {error}"));
        self.board.warn(&Topic::Landing, Severity::Warning, problem);
    }

    /// Does what may have to wait for a disk; none where the node closes.
    async fn on_files<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.files.spawn_blocking(work).await.ok()
    }
}

/// What came of asking.
enum Said {
    Known(InHand),
    NotYet(String),
    Never(String),
}

/// Says why GoCD's database server does not tell what GoCD has in its hands, and whether that can change by itself.
fn not_said(refusal: &Refusal, server: &str, login: &Login) -> Said {
    match refusal {
        Refusal::Other(code) if code == NOT_ALLOWED => Said::Never(format!(
            "{user} may not read GoCD's tables at {server}. `grant select on builds, stages, pipelines, agents, \
             pipelinestates to {user}` there lets the next report say it",
            user = login.user
        )),
        // GoCD makes them when it starts.
        Refusal::Other(code) if code == NO_TABLE => Said::NotYet(format!(
            "the database {} at {server} has no tables of GoCD",
            login.database()
        )),
        refusal => {
            let error = refusal.error(server, login);
            Said::NotYet(error.message().to_owned())
        }
    }
}
