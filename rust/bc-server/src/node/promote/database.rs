//! The steps of a promotion that touch the database: waiting for its replay, promoting it, and the checkpoint.
//!
//! What a way to promote it answers decides nothing ([`bc_core::database::promotion`]): the server itself is looked at
//! until it takes writes. Nothing here needs the former primary.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use bc_core::{
    basics::{Error, Kind},
    database::{
        configured::{Configured, Login, Source},
        look::{Look, Role},
        picture::{Picture, ServerPicture},
        promotion::{self, Method, Trigger, Way},
        refusal::Refusal,
        url::Server,
    },
    generation::Epoch,
    role::{handover, promotion::Came},
    settings::{MaxLag, Settings},
    status::StatusBoard,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{Promotion, Way as Course, command};
use crate::{database::Connection, node::database as watch};

/// How long the database may take to replay what it received, where nobody says otherwise.
pub(crate) const REPLAYED_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to take writes once it is to be promoted.
const PROMOTED_WITHIN: Duration = Duration::from_secs(60);
/// How long a checkpoint is waited for; it goes on all the same.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(3);
/// How often the server is looked at meanwhile.
const EVERY: Duration = Duration::from_millis(50);
const NO_PRIVILEGE: &str = "42501";
/// `pg_promote` of a server that is promoted already.
const NOT_IN_RECOVERY: &str = "55000";

/// What a node needs to promote its database.
pub(crate) struct Database {
    pub(crate) source: Source,
    /// Whether it is watched, so that anybody knows what it is.
    pub(crate) is_watched: bool,
    pub(crate) way: Option<Way>,
    pub(crate) max_lag: MaxLag,
}

impl Database {
    /// What a node with these settings needs to promote its database.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            source: settings.database.clone(),
            is_watched: settings.watches_database,
            way: settings.db_promote.clone(),
            max_lag: settings.max_lag,
        }
    }
}

/// The server with which this node takes over.
pub(super) struct Own {
    pub(super) login: Box<Login>,
    pub(super) picture: ServerPicture,
    server: Server,
    addresses: Vec<IpAddr>,
    connection: Option<Connection>,
}

impl Own {
    /// Finds it, by the files of this node and by what the watch has seen.
    ///
    /// # Errors
    /// It is no PostgreSQL, or which one it is is not to be told.
    pub(super) async fn find(source: &Source, board: &StatusBoard) -> Result<Self, Error> {
        let source = source.clone();
        let read = spawn_blocking(move || watch::configured(&source)).await;
        let configured = read.map_err(|_| Error::new(Kind::Busy, "db.properties could not be read", ""))??;
        let login = match configured {
            Configured::PostgreSql(login) => login,
            Configured::NotCovered(what) => {
                return Err(Error::new(
                    Kind::Refused,
                    format!("GoCD's database is {what}, which Business Continuity does not cover"),
                    "Run `gocd-bc promote --without-database`.",
                ));
            }
        };
        let picture = board.look(|status| status.database.as_ref().and_then(|seen| promotion::own(seen).cloned()));
        let found = picture.and_then(|picture| {
            let server = login
                .url
                .hosts
                .iter()
                .find(|server| server.to_string() == picture.address)?;
            Some((server.clone(), picture))
        });
        let (server, picture) = found.ok_or_else(|| {
            Error::new(
                Kind::Refused,
                "which of the servers in db.url is this node's own is not to be told",
                "Name it with bc.db.local.host, and restart this server.",
            )
        })?;
        Ok(Self {
            addresses: picture.resolved.clone(),
            login,
            picture,
            server,
            connection: None,
        })
    }

    /// Looks at it, over a new connection where the one before has failed.
    async fn look(&mut self) -> Result<Look, Refusal> {
        let connection = self.connected().await?;
        let look = connection.look().await;
        if look.is_err() {
            self.connection = None;
        }
        look
    }

    /// Has it carry out a statement, within so long, and returns the first column of its row.
    pub(super) async fn run(&mut self, statement: &str, within: Duration) -> Result<Option<String>, Refusal> {
        let connection = self.connected().await?;
        let ran = connection.run(statement, within).await;
        if ran.is_err() {
            self.connection = None;
        }
        ran
    }

    async fn connected(&mut self) -> Result<&Connection, Refusal> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open_at(&self.login, &self.server, &self.addresses).await?);
        }
        self.connection.as_ref().ok_or(Refusal::Ending)
    }

    /// A refusal of this server as an error for people.
    pub(super) fn error(&self, refusal: &Refusal) -> Error {
        refusal.error(&self.picture.address, &self.login)
    }

    /// The trigger file that it says it looks for, where that is on this machine.
    pub(super) async fn trigger(&mut self) -> Option<Trigger> {
        let major: u32 = self.picture.version.as_deref()?.split('.').next()?.parse().ok()?;
        let asked = match major {
            ..=11 => self.run(promotion::RECOVERY_CONF, EVERY * 40).await,
            12..=15 => self.run(promotion::TRIGGER_FILE, EVERY * 40).await,
            _ => return None,
        };
        let text = asked.ok().flatten()?;
        let file = match major {
            ..=11 => promotion::trigger_in(&text)?,
            _ => PathBuf::from(text),
        };
        if !file.is_absolute() {
            return None;
        }
        let (host, port, socket) = (
            self.server.host.clone(),
            self.server.port,
            self.login.url.socket.is_some(),
        );
        let checked = spawn_blocking(move || {
            let is_here = socket || watch::is_local(&host, port);
            let is_writable = is_here && may_write(&file);
            Trigger { file, is_writable }
        });
        checked.await.ok()
    }
}

/// Whether this process may make a file.
fn may_write(file: &std::path::Path) -> bool {
    #[cfg(unix)]
    {
        use nix::unistd::{AccessFlags, access};
        file.parent()
            .is_some_and(|folder| access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        false
    }
}

impl Promotion {
    /// Waits until the database has replayed all that it received, and all that the primary had when that was last heard
    /// of where something still comes from there.
    pub(super) async fn replay_database(&self, way: &mut Course) -> Result<Came, Error> {
        let handed = way
            .journal
            .handed_over
            .as_ref()
            .and_then(|token| token.database.clone());
        if self.database.way == Some(Way::None) && handed.is_none() {
            way.caller
                .say("the database is left alone, as bc.db.promote=none says")
                .await;
            return Ok(Came::Done);
        }
        let mut own = Own::find(&self.database.source, &self.board).await?;
        let there = self.board.look(|status| status.database.as_ref().and_then(primary_has));
        let end = Instant::now() + way.replay_within;
        let mut told = Instant::now();
        loop {
            let looked = own.look().await;
            let is_over = Instant::now() >= end;
            match looked {
                Ok(look) if look.role != Role::Standby => {
                    way.caller
                        .say("the database takes writes already, and replays nothing more")
                        .await;
                    return Ok(Came::Done);
                }
                Ok(look) => {
                    let replayed = look.replayed;
                    let received = look.received.max(replayed);
                    if let Some(handed) = &handed {
                        handover::same_history(handed, &look)?;
                    }
                    let still_comes = look.receiver.is_some() || look.has_archive;
                    let wanted = match &handed {
                        Some(handed) => received.max(Some(handed.written)),
                        None if still_comes => received.max(there),
                        None => received,
                    };
                    let words = |position: Option<_>| {
                        position.map_or_else(
                            || "nothing".to_owned(),
                            |at: bc_core::database::lsn::Lsn| at.to_string(),
                        )
                    };
                    if replayed >= wanted {
                        let text = format!(
                            "the database has replayed all that it received, up to {}",
                            words(replayed)
                        );
                        way.caller.say(&text).await;
                        return Ok(Came::Done);
                    }
                    if let Some(handed) = handed.as_ref().filter(|_| is_over) {
                        return Err(handover::database_not_reached(
                            handed,
                            replayed,
                            way.replay_within.as_secs(),
                        ));
                    }
                    if is_over && replayed >= received {
                        let text = format!(
                            "the database has replayed all that it received, up to {}; the primary had written up to {}, which \
                             does not come",
                            words(replayed),
                            words(there)
                        );
                        way.caller.say(&text).await;
                        return Ok(Came::Done);
                    }
                    if is_over {
                        return Err(Error::new(
                            Kind::Busy,
                            format!(
                                "the database has received up to {} and replayed up to {} alone within {} s",
                                words(received),
                                words(replayed),
                                way.replay_within.as_secs()
                            ),
                            "Nothing was changed. Run the command again with a longer `--replay-wait`, and look with `gocd-bc \
                             status` whether it gets on.",
                        ));
                    }
                }
                Err(refusal) if is_over => return Err(own.error(&refusal)),
                Err(_) => {}
            }
            if told.elapsed() >= super::caller::STILL {
                told = Instant::now();
                way.caller.tell("the database replays, still").await;
            }
            sleep(EVERY).await;
        }
    }

    /// Promotes the database, and waits until it takes writes.
    pub(super) async fn promote_database(&self, way: &mut Course) -> Result<Came, Error> {
        if self.database.way == Some(Way::None) {
            return Ok(Came::Done);
        }
        let mut own = Own::find(&self.database.source, &self.board).await?;
        let look = own.look().await.map_err(|refusal| own.error(&refusal))?;
        let mut how = "it took writes already".to_owned();
        if look.role != Role::Primary {
            let trigger = own.trigger().await;
            let wanted = self.database.way.clone().unwrap_or_default();
            let method = promotion::method(&wanted, &own.picture, trigger.as_ref(), &own.login.user)?;
            if let Some(method) = method {
                how = self.order_promotion(&mut own, &method, way).await?;
            }
        }
        let look = self.takes_writes(&mut own, way, &how).await?;
        way.journal.timeline = look.timeline;
        let timeline = look
            .timeline
            .map_or_else(String::new, |timeline| format!(" on timeline {timeline}"));
        let text = format!("the database at {} takes writes{timeline}: {how}", own.picture.address);
        way.caller.say(&text).await;
        Ok(Came::Done)
    }

    /// Has the database be promoted. What it comes to is seen at the server; returned is what was done, for people.
    ///
    /// # Errors
    /// Nothing was asked of the server, so that nothing happens.
    async fn order_promotion(&self, own: &mut Own, method: &Method, way: &Course) -> Result<String, Error> {
        way.caller
            .say(&format!(
                "promoting the database at {}, by {method}",
                own.picture.address
            ))
            .await;
        match method {
            Method::Function => match own.run(promotion::PROMOTE, EVERY * 40).await {
                Ok(_) => Ok("by pg_promote()".to_owned()),
                Err(Refusal::Other(code)) if code == NO_PRIVILEGE => {
                    let not_granted = ServerPicture {
                        may_promote: Some(false),
                        ..own.picture.clone()
                    };
                    let refused = promotion::method(&Way::Auto, &not_granted, None, &own.login.user);
                    refused.map(|_| String::new())
                }
                Err(Refusal::Other(code)) if code == NOT_IN_RECOVERY => Ok("it was promoted already".to_owned()),
                // It may have heard all the same.
                Err(refusal) => Ok(format!(
                    "by pg_promote(), to which it answered: {}",
                    own.error(&refusal).message()
                )),
            },
            Method::Trigger(file) => {
                let (path, made) = (file.clone(), file.clone());
                let touched = spawn_blocking(move || {
                    let file = std::fs::File::options().append(true).create(true).open(path);
                    file.map(drop)
                });
                let failed = match touched.await {
                    Ok(Ok(())) => return Ok(format!("by the trigger file {}", made.display())),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "its thread failed".to_owned(),
                };
                Err(Error::new(
                    Kind::File,
                    format!("the trigger file {} cannot be made: {failed}", made.display()),
                    format!(
                        "Make it on the machine of the database (`touch {}`), and run the command again.",
                        made.display()
                    ),
                ))
            }
            Method::Command(command) => {
                let variables = self.variables(way.journal.epoch.as_ref());
                let running = command::run("bc.db.promote", command.clone(), variables);
                let ended = way.caller.still("the command of bc.db.promote runs", running).await;
                let text = format!("the command of bc.db.promote {ended}");
                way.caller.say(&text).await;
                Ok(format!("by the command of bc.db.promote, which {ended}"))
            }
            Method::Wait => Ok("by whoever runs it".to_owned()),
        }
    }

    /// Looks until the database takes writes.
    ///
    /// # Errors
    /// It does not within a minute: it may do so later, so the promotion is not over.
    async fn takes_writes(&self, own: &mut Own, way: &Course, how: &str) -> Result<Look, Error> {
        let end = Instant::now() + PROMOTED_WITHIN;
        let mut told = Instant::now();
        loop {
            let seen = match own.look().await {
                Ok(look) if look.role == Role::Primary => match own.run(promotion::WRITE, EVERY * 40).await {
                    Ok(_) => return Ok(look),
                    Err(Refusal::Silent) => "is no standby any more, and a write waits: synchronous_standby_names there may \
                                             ask for a standby (`alter system reset synchronous_standby_names`, then `select \
                                             pg_reload_conf()`)"
                        .to_owned(),
                    Err(refusal) => format!("is no standby any more and refuses a write: {}", own.error(&refusal).message()),
                },
                Ok(look) => format!("is a {} still", look.role),
                Err(refusal) => own.error(&refusal).message().to_owned(),
            };
            if Instant::now() >= end {
                return Err(Error::new(
                    Kind::Busy,
                    format!(
                        "the database was to be promoted ({how}) and does not take writes after {} s: {} {seen}",
                        PROMOTED_WITHIN.as_secs(),
                        own.picture.address
                    ),
                    "It may still come: what was asked of it stands. Look with `select pg_is_in_recovery()` there and into its \
                     log, and run the command again, which goes on from here. Do not promote another copy meanwhile.",
                ));
            }
            if told.elapsed() >= super::caller::STILL {
                told = Instant::now();
                way.caller.tell("the database is being promoted, still").await;
            }
            sleep(EVERY).await;
        }
    }

    /// Asks the promoted database for a checkpoint. That it is not granted, or takes its time, ends nothing.
    pub(super) async fn checkpoint(&self, way: &mut Course) -> Result<Came, Error> {
        if self.database.way == Some(Way::None) {
            return Ok(Came::Done);
        }
        let mut own = Own::find(&self.database.source, &self.board).await?;
        let said = match own.run(promotion::CHECKPOINT, CHECKPOINT_WITHIN).await {
            Ok(_) => "the checkpoint has ended".to_owned(),
            Err(Refusal::Silent) => "the checkpoint was asked for and is under way".to_owned(),
            Err(Refusal::Other(code)) if code == NO_PRIVILEGE => format!(
                "{} may ask for no checkpoint: run `checkpoint` there as a superuser before anybody rewinds the former primary, \
                 or wait some minutes",
                own.login.user
            ),
            Err(refusal) => format!(
                "the checkpoint was not to be had: {}. Run `checkpoint` there before anybody rewinds the former primary",
                own.error(&refusal).message()
            ),
        };
        way.caller.say(&said).await;
        Ok(Came::Done)
    }

    /// What a command is told of the promotion.
    pub(super) fn variables(&self, epoch: Option<&Epoch>) -> Vec<(&'static str, String)> {
        let epoch = epoch.map(|epoch| epoch.number.to_string());
        vec![
            ("GOCD_BC_NODE", self.state.node_id().to_string()),
            ("GOCD_BC_EPOCH", epoch.unwrap_or_default()),
            ("GOCD_BC_ROLE", "primary".to_owned()),
        ]
    }
}

/// Up to where the primary's database was last known to have written: as that says itself, where it is in `db.url` too,
/// or as the primary told.
fn primary_has(picture: &Picture) -> Option<bc_core::database::lsn::Lsn> {
    let writes = |server: &&ServerPicture| server.role == Some(Role::Primary) && !server.is_own;
    let itself = picture.servers.iter().find(writes).and_then(|server| server.position);
    itself.max(picture.primary_written)
}
