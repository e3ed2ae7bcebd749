//! What a held primary does that hands over: it looks whether anything can still change, and tells the token of what is
//! there then. What that is, and who may go on, is `bc_core::role::handover`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bc_core::{
    basics::Severity,
    database::{
        configured::{Configured, Login, Source},
        look::Role as DatabaseRole,
        position::Position,
    },
    generation::{HandsOver, Role},
    primary::Offer,
    role::handover::{self, Database, Handover},
    status::{Phase, StatusBoard, Topic},
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tracing::{error, info};

use super::{
    Assembly,
    database::{FILES_WITHIN, configured},
    supervisor::{Part, Supervisor},
};
use crate::database::Connection;

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);
/// How long the database may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// A hand-over that is on.
pub(crate) struct HandingOver {
    board: Arc<StatusBoard>,
    node_id: String,
    /// None where its file is damaged.
    ordered: Option<Handover>,
    /// None where the database is somebody else's matter.
    database: Option<Source>,
    files: Handle,
    /// Whether it is being taken back.
    is_withdrawn: AtomicBool,
}

impl HandingOver {
    /// The hand-over of a node that was ordered to, and says so on the board. `files` is where files may be read.
    pub(crate) fn of(assembly: &Assembly, files: &Handle) -> Arc<Self> {
        let loaded = Handover::load(assembly.state.path());
        if let Err(damaged) = &loaded {
            error!("CRITICAL {damaged}");
            assembly.raise(&Topic::HandOver, Severity::Critical, damaged.to_string());
        } else {
            let (severity, message) = handover::handing_over_message(0);
            assembly.raise(&Topic::HandOver, severity, message);
        }
        let this = Arc::new(Self {
            board: Arc::clone(&assembly.board),
            node_id: assembly.state.node_id().to_string(),
            ordered: loaded.ok().flatten(),
            database: assembly
                .settings
                .watches_database
                .then(|| assembly.settings.database.clone()),
            files: files.clone(),
            is_withdrawn: AtomicBool::new(false),
        });
        this.tell(Err("it has just begun".to_owned()));
        this
    }

    /// Starts the part of a node that hands over which tells the token of what it offers.
    pub(crate) fn start(self: &Arc<Self>, supervisor: &Supervisor, offer: &Arc<Offer>) {
        let part = Part {
            name: "hand-over",
            does: "says what this server hands over",
        };
        let (this, offer) = (Arc::clone(self), Arc::clone(offer));
        supervisor.supervise(part, move || {
            let (this, offer) = (Arc::clone(&this), Arc::clone(&offer));
            async move { this.run(&offer).await }
        });
    }

    /// Tells that this node hands over no more, before anybody is asked whether it may take that back. False where somebody
    /// has taken over.
    pub(crate) fn withdraw(&self) -> bool {
        let mut is_on = false;
        self.board.update(|status| {
            is_on = status.role == Role::Primary && status.phase == Phase::Holding;
            if is_on {
                self.is_withdrawn.store(true, Ordering::SeqCst);
                status.hands_over = None;
            }
        });
        is_on
    }

    /// Ends the file routes of a hand-over, since somebody has taken over. False while this node takes it back: then it is
    /// the start that follows which is fenced.
    pub(crate) fn is_taken(&self) -> bool {
        let mut is_over = false;
        self.board.update(|status| {
            is_over = !self.is_withdrawn.load(Ordering::SeqCst);
            if is_over {
                status.role = Role::Fenced;
                status.hands_over = None;
            }
        });
        is_over
    }

    /// Hands over again, since it could not be taken back.
    pub(crate) fn go_on(&self) {
        self.is_withdrawn.store(false, Ordering::SeqCst);
        self.tell(Err("it is looked at anew".to_owned()));
    }

    /// Looks again and again whether anything can still change, and tells the token or what it waits for.
    async fn run(&self, offer: &Offer) {
        let mut connection = None;
        loop {
            let database = self.look(&mut connection).await;
            let offered = offer.current();
            let newest = offered
                .as_ref()
                .map(|offered| (offered.snapshot.generation, offered.sequence));
            let withheld = offered.as_ref().map(|offered| &offered.snapshot.manifest.withheld);
            let being_written = withheld.and_then(|withheld| withheld.being_written());
            let token = handover::token(
                (&self.node_id, &offer.epoch()),
                newest,
                being_written.as_deref(),
                &database,
            );
            self.tell(token);
            self.say();
            sleep(EVERY).await;
        }
    }

    /// Tells on the board what this node hands over, unless it is being taken back or another node has taken over.
    fn tell(&self, token: Result<bc_core::generation::HandoverToken, String>) {
        let ordered = self.ordered.as_ref();
        let (token, waits_for) = match token {
            Ok(token) => (Some(token), None),
            Err(waits_for) => (None, Some(waits_for)),
        };
        let hands_over = HandsOver {
            id: ordered.map(|ordered| ordered.id.clone()).unwrap_or_default(),
            ordered_ms: ordered.map_or(0, |ordered| ordered.ordered_ms),
            token,
            waits_for,
        };
        let is_news = self
            .board
            .look(|status| status.hands_over.as_ref() != Some(&hands_over));
        if !is_news {
            return;
        }
        let had_token = self.board.look(|status| status.hands_over_token().is_some());
        if let Some(token) = hands_over.token.as_ref().filter(|_| !had_token) {
            info!("this server hands over {token}");
        }
        self.board.update(|status| {
            let is_on = status.role == Role::Primary && !self.is_withdrawn.load(Ordering::SeqCst);
            status.hands_over = is_on.then_some(hands_over);
        });
    }

    /// Says that this node hands over, and for how long.
    fn say(&self) {
        let (is_on, now_ms) = self.board.look(|status| (status.hands_over.is_some(), status.now_ms));
        let Some(ordered) = self.ordered.as_ref().filter(|_| is_on) else {
            return;
        };
        let (severity, message) = handover::handing_over_message(now_ms.saturating_sub(ordered.ordered_ms));
        if self.board.raise(&Topic::HandOver, severity, message.as_str()) && severity == Severity::Critical {
            error!("{severity} {message}");
        }
    }

    /// Looks at the database of a node that hands over: who is still there, and how far it is.
    async fn look(&self, kept: &mut Option<(Box<Login>, Connection)>) -> Database {
        let Some(source) = &self.database else {
            return Database::NotWatched;
        };
        if kept.is_none() {
            let source = source.clone();
            let reading = self.files.spawn_blocking(move || configured(&source));
            let login = match timeout(FILES_WITHIN, reading).await {
                Ok(Ok(Ok(Configured::PostgreSql(login)))) => login,
                Ok(Ok(Ok(Configured::NotCovered(_)))) => return Database::NotWatched,
                Ok(Ok(Err(error))) => return Database::NotKnown(error.to_string()),
                Ok(Err(_)) | Err(_) => return Database::NotKnown("its settings could not be read in time".to_owned()),
            };
            match writable(&login).await {
                Ok(connection) => *kept = Some((login, connection)),
                Err(why) => return Database::NotKnown(why),
            }
        }
        let seen = match kept {
            Some((login, connection)) => sessions(login, connection).await,
            None => None,
        };
        if seen.is_none() {
            *kept = None;
        }
        seen.unwrap_or_else(|| Database::NotKnown("it does not say who is connected to it".to_owned()))
    }
}

/// The connection to the server of GoCD's database that takes writes; why there is none.
async fn writable(login: &Login) -> Result<Connection, String> {
    let mut why = Vec::new();
    for server in &login.url.hosts {
        let asked = async {
            let connection = Connection::open(login, server).await?;
            let role = connection.look().await?.role;
            Ok((connection, role))
        };
        match asked.await {
            Ok((connection, DatabaseRole::Primary)) => return Ok(connection),
            Ok((_, role)) => why.push(format!("{server} is {role}")),
            Err(refusal) => why.push(refusal_in_words(login, &server.to_string(), &refusal)),
        }
    }
    Err(format!("no server of it takes writes: {}", why.join("; ")))
}

fn refusal_in_words(login: &Login, server: &str, refusal: &bc_core::database::refusal::Refusal) -> String {
    refusal.error(server, login).message().to_owned()
}

/// What is seen of the database over a connection; none where it does not answer.
async fn sessions(login: &Login, connection: &Connection) -> Option<Database> {
    let look = connection.look().await.ok()?;
    if look.role != DatabaseRole::Primary {
        return None;
    }
    let asked = connection.run(&handover::sessions_statement(&login.user), WITHIN).await;
    let (sessions, flushed, inserted) = handover::read_sessions(&asked.ok()??)?;
    Some(Database::Seen {
        sessions,
        flushed: Position {
            system: look.system,
            timeline: look.timeline,
            written: flushed,
        },
        inserted,
    })
}
