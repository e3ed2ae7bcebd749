//! Watches GoCD's database: one question a second to each server that `db.url` names, and on a standby one to the primary,
//! where its database is. How each server is asked is in `line`, what a running primary claims there in `claim`, and
//! what is asked before it runs in `at_start`.
//!
//! What is seen goes to the board as [`bc_core::database::watch`] judges it. `db.properties` and `cipher.aes` are looked at
//! again every ten seconds, since the first sync of a standby replaces the key that its own password was made with.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Error, NodeId, Severity, regular_file, words},
    database::{
        configured::{self, Configured, Source, Watcher as Who},
        finding::{Fault, Finding},
        picture::Picture,
        position::Told,
        watch::Watch,
    },
    doctor,
    generation::Role,
    role::{
        claim::{Row, Verdict},
        guard::Winner,
    },
    status::{Phase, Status, StatusBoard, Topic},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{error, info, warn};

pub(super) use self::line::is_local;
use self::{claim::Claimant, line::Lines};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};
use crate::client::HttpTransport;

pub(super) mod at_start;
mod claim;
mod line;

const EVERY: Duration = Duration::from_secs(1);
/// How often the files are looked at that say where the database is.
const FILES_EVERY: Duration = Duration::from_secs(10);
/// How long that may take: a disk that hangs keeps nobody from asking the database that is known.
pub(super) const FILES_WITHIN: Duration = Duration::from_secs(2);
/// How long the primary may take to say where its database is.
const PRIMARY_WITHIN: Duration = Duration::from_secs(3);

/// By which a primary is told who leads by its database.
pub(super) type Replaced = watch::Sender<Option<Winner>>;

/// Starts the part that watches GoCD's database, unless it is somebody else's matter. `files` is where files may be read, and on a standby `primary` the way
/// to its primary. A primary tells `replaced` once its database has a higher epoch than its own.
pub(super) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    files: &Handle,
    primary: Option<&Arc<HttpTransport>>,
    replaced: Option<&Replaced>,
) {
    if !assembly.settings.watches_database {
        return;
    }
    let part = Part {
        name: "database",
        does: "watches the database",
    };
    let watcher = Watcher {
        source: assembly.settings.database.clone(),
        board: Arc::clone(&assembly.board),
        files: files.clone(),
        primary: primary.cloned(),
        node_id: assembly.state.node_id().clone(),
        replaced: replaced.cloned(),
    };
    supervisor.supervise(part, move || watcher.clone().watch());
}

/// Looks once at GoCD's database as the watch of a node does each second, for whoever cannot ask the node. `files` is where
/// files may be read, and `is_standby` counts where no server answers. It takes some seconds where one is silent.
pub async fn look_at_database(source: &Source, files: &Handle, is_standby: bool) -> Picture {
    match configured(source) {
        Ok(Configured::PostgreSql(login)) => {
            let answers = Lines::new(files.clone()).ask(&login, false).await;
            doctor::of_one_look(&login, &answers, is_standby)
        }
        Ok(Configured::NotCovered(what)) => Picture::not_watched(Some(what), not_covered(what)),
        Err(error) => Picture::not_watched(None, Finding::critical(Fault::Settings, error.to_string())),
    }
}

/// What the part is made of.
#[derive(Clone)]
struct Watcher {
    source: Source,
    board: Arc<StatusBoard>,
    files: Handle,
    primary: Option<Arc<HttpTransport>>,
    node_id: NodeId,
    replaced: Option<Replaced>,
}

impl Watcher {
    /// Asks the servers of GoCD's database each second, and shows on the board what that means.
    async fn watch(self) {
        let begin = Instant::now();
        let mut ticks = interval(EVERY);
        // A machine that slept has missed nothing that could be made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        let mut lines = Lines::new(self.files.clone());
        let mut files = Files::default();
        let mut said = Vec::new();
        loop {
            ticks.tick().await;
            files.look(&self).await;
            let login = match &files.configured {
                None => continue,
                Some(Ok(Configured::PostgreSql(login))) => login,
                Some(Ok(Configured::NotCovered(what))) => {
                    self.show(Picture::not_watched(Some(what), not_covered(what)), &mut said);
                    // There is nobody to ask before the files say something else.
                    sleep(FILES_EVERY).await;
                    continue;
                }
                Some(Err(error)) => {
                    let finding = Finding::critical(Fault::Settings, error.to_string());
                    self.show(Picture::not_watched(None, finding), &mut said);
                    sleep(FILES_EVERY).await;
                    continue;
                }
            };
            let told = self.told().await;
            if let Some(told) = &told {
                watch.hear(&told.position, begin.elapsed());
            }
            // What is wrong is looked at more often, so that it is seen to be mended.
            let answers = lines.ask(login, !said.is_empty()).await;
            let primary = self.primary.as_ref().map(|_| told.as_ref());
            let picture = watch.note(login, &answers, primary, begin.elapsed());
            self.show(picture, &mut said);
            self.claim(&mut lines).await;
        }
    }

    /// Does what is due for the claim on the database of a primary whose GoCD runs, and shows what came of it.
    async fn claim(&self, lines: &mut Lines) {
        let leads = |status: &Status| status.role == Role::Primary && status.phase == Phase::Running;
        let Some(epoch) = self.board.look(|status| leads(status).then(|| status.epoch.clone())) else {
            return;
        };
        let claimant = Claimant {
            node_id: self.node_id.clone(),
            epoch,
        };
        let Some((server, seen)) = lines.claim(&claimant).await else {
            return;
        };
        let verdict = Verdict::of(seen, &claimant.epoch);
        if let (Verdict::Replaced(row), Some(replaced)) = (&verdict, &self.replaced) {
            replaced.send_replace(Some(winner(&server.to_string(), row)));
        }
        match verdict.message(&server.to_string()) {
            Some(message) => {
                if self.board.raise(&Topic::Claim, Severity::Critical, message.clone()) {
                    error!("CRITICAL {message}");
                }
            }
            None => self.board.clear(&Topic::Claim),
        }
    }

    /// What the primary says of its database to the watch of a standby; none where it does not say it in time.
    async fn told(&self) -> Option<Told> {
        let asked = timeout(PRIMARY_WITHIN, self.primary.as_ref()?.database()).await;
        // That it does not answer the puller says.
        asked.ok()?.ok()?
    }

    /// Shows on the board what was found out about GoCD's database. `said` are the names of what was wrong before: only
    /// others are news for the log, since a message has numbers in it that change.
    fn show(&self, picture: Picture, said: &mut Vec<Fault>) {
        if self.board.look(|status| status.database.as_ref() == Some(&picture)) {
            // Most seconds bring nothing, and a change of the board costs more than the question did.
            return;
        }
        let severity = picture.findings.iter().map(|finding| finding.severity).max();
        let texts: Vec<String> = picture.findings.iter().map(|finding| finding.message.clone()).collect();
        let names: Vec<Fault> = picture.findings.iter().map(|finding| finding.name).collect();
        for finding in picture.findings.iter().filter(|finding| !said.contains(&finding.name)) {
            warn!("{}", finding.message);
        }
        if names.is_empty() && !said.is_empty() {
            info!("nothing is wrong with the database any more");
        }
        *said = names;
        self.board.update(|status| status.database = Some(picture));
        let severity = severity.unwrap_or(Severity::Ok);
        self.board.set(&Topic::Database, severity, words::one_line(&texts));
    }
}

/// Who leads by the row of GoCD's database at `server`.
fn winner(server: &str, row: &Row) -> Winner {
    Winner {
        node_id: Some(row.node_id.to_string()),
        address: format!("the database {server}"),
        is_there: false,
        epoch: row.epoch.clone(),
    }
}

/// Says that GoCD's database is one of which nobody here makes a copy.
fn not_covered(what: &str) -> Finding {
    Finding::warning(
        Fault::NotCovered,
        format!(
            "GoCD's database is {what}. Business Continuity does not cover it: nothing here copies it, and a promoted server \
             begins with whatever is in its own. Move GoCD to PostgreSQL with its database migrator, or set bc.db.watch=off."
        ),
    )
}

/// What the files say, and when they were looked at.
#[derive(Default)]
struct Files {
    looked: Option<Instant>,
    configured: Option<Result<Configured, Error>>,
}

impl Files {
    /// Reads anew, where it is time, the files that say where GoCD's database is.
    async fn look(&mut self, watcher: &Watcher) {
        if self.looked.is_some_and(|looked| looked.elapsed() < FILES_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let source = watcher.source.clone();
        let reading = watcher.files.spawn_blocking(move || configured(&source));
        if let Ok(Ok(configured)) = timeout(FILES_WITHIN, reading).await {
            self.configured = Some(configured);
        }
    }
}

/// Reads where GoCD's database is from `db.properties`, `cipher.aes`, the JVM's properties and our own.
pub(super) fn configured(source: &Source) -> Result<Configured, Error> {
    let read = |path| regular_file::read_if_there(path, regular_file::LARGEST_OF_OURS);
    let password = match &source.watcher {
        Who::Own {
            password_file: Some(path),
            ..
        } => read(path)?,
        _ => None,
    };
    let files = configured::Files::new(read(&source.file)?, read(&source.cipher)?, password);
    configured::read_of(source, &files)
}
