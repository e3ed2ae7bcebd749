//! The connection to one server of GoCD's database that is kept, and what is asked over it.
//!
//! The question of each second is followed, once a minute and right after a login, by the rarer ones. The name of the host
//! is looked up before each login, on a thread for work that blocks, and never twice at once: a resolver that hangs takes one
//! thread and no more.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use bc_core::{
    database::{
        answer::Answer,
        configured::Login,
        facts::{Facts, Lock},
        look::{Look, Role},
        refusal::Refusal,
        url::Server,
    },
    role::claim::Seen,
};
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    EVERY,
    claim::{Claim, Claimant},
};
use crate::database::{Connection, is_own_address, is_pooler};

/// The longest wait before a server that refused is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often the rarer questions are asked, and how often while something is wrong.
const SELDOM: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);
/// How long the lookup of a name is waited for.
const LOOKUP_WITHIN: Duration = Duration::from_secs(2);
/// How long what it came to counts.
const LOOKUP_COUNTS: Duration = Duration::from_secs(60);

/// The connections that are kept, one to each server.
pub(super) struct Lines {
    files: Handle,
    lines: Vec<Line>,
}

impl Lines {
    /// Lines to nobody yet. `files` is where work may block.
    pub(super) fn new(files: Handle) -> Self {
        Self {
            files,
            lines: Vec::new(),
        }
    }

    /// Asks every server of GoCD's database at once. Other servers than before get connections of their own. `is_soon` says
    /// that something is wrong, so that the rarer questions are asked more often.
    pub(super) async fn ask(&mut self, login: &Login, is_soon: bool) -> Vec<Answer> {
        if !self.lines.iter().map(|line| &line.server).eq(&login.url.hosts) {
            self.lines = login.url.hosts.iter().cloned().map(Line::to).collect();
        }
        let seldom = if is_soon { SOON } else { SELDOM };
        let files = &self.files;
        join_all(self.lines.iter_mut().map(|line| line.ask(login, seldom, files))).await
    }

    /// Does what is due for the claim of a running primary on the server of GoCD's database that takes writes. Returns which
    /// server that is, and what was seen there; none where nothing was due.
    pub(super) async fn claim(&mut self, claimant: &Claimant) -> Option<(Server, Seen)> {
        let line = self.lines.iter_mut().find(|line| line.takes_writes)?;
        let seen = line.keep_claim(claimant).await?;
        Some((line.server.clone(), seen))
    }
}

/// The connection to one server.
struct Line {
    server: Server,
    connection: Option<Connection>,
    /// Why it has none, how often in a row, and when it is tried again.
    refused: Option<(Refusal, u32, Instant)>,
    name: Name,
    seldom: Seldom,
    /// Whether it took writes when it was looked at last.
    takes_writes: bool,
    claim: Claim,
}

/// What the rarer questions came to, and when they were asked.
#[derive(Default)]
struct Seldom {
    asked: Option<Instant>,
    facts: Option<Arc<Facts>>,
    lock: Option<Lock>,
    /// Whether a pooler is there; none before somebody looked.
    is_pooled: Option<bool>,
}

impl Line {
    /// A line to a server of GoCD's database, on which nothing was asked yet.
    fn to(server: Server) -> Self {
        Self {
            server,
            connection: None,
            refused: None,
            name: Name::default(),
            seldom: Seldom::default(),
            takes_writes: false,
            claim: Claim::default(),
        }
    }

    /// Does what is due for the claim of a running primary; a connection on which that is not answered is not kept.
    async fn keep_claim(&mut self, claimant: &Claimant) -> Option<Seen> {
        if self.seldom.is_pooled != Some(false) {
            return None;
        }
        let connection = self.connection.take()?;
        let seen = self.claim.keep(&connection, claimant).await.ok()?;
        self.connection = Some(connection);
        seen
    }

    /// Asks one server of GoCD's database, unless it refused a moment ago.
    async fn ask(&mut self, login: &Login, seldom: Duration, files: &Handle) -> Answer {
        let look = match &self.refused {
            Some((refusal, _, again)) if Instant::now() < *again => Err(refusal.clone()),
            _ => self.ask_now(login, seldom, files).await,
        };
        Answer {
            server: self.server.clone(),
            addresses: self.name.found.addresses.clone(),
            is_local: self.name.found.is_local,
            look,
            facts: self.seldom.facts.clone(),
            lock: self.seldom.lock.clone(),
            is_pooled: self.seldom.is_pooled == Some(true),
        }
    }

    /// Asks the server at the other end of this line of GoCD's database.
    async fn ask_now(&mut self, login: &Login, seldom: Duration, files: &Handle) -> Result<Look, Refusal> {
        let answer = self.look(login, seldom, files).await;
        let before = self.refused.take().map_or(0, |(_, failures, _)| failures);
        if let Err(refusal) = &answer {
            let wait = EVERY.saturating_mul(before).min(LONGEST_WAIT);
            self.refused = Some((refusal.clone(), before + 1, Instant::now() + wait));
        }
        answer
    }

    /// Asks one server of GoCD's database over the connection that is kept, or a new one. One that has not answered is not
    /// kept: nothing that was asked of it will be answered in its order any more.
    async fn look(&mut self, login: &Login, seldom: Duration, files: &Handle) -> Result<Look, Refusal> {
        self.takes_writes = false;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.name.look_up(&self.server, login, files).await?;
                self.seldom = Seldom::default();
                self.claim = Claim::default();
                Connection::open_at(login, &self.server, &self.name.found.addresses).await?
            }
        };
        let look = connection.look().await?;
        self.takes_writes = look.role == Role::Primary;
        let is_due = self.seldom.asked.is_none_or(|asked| asked.elapsed() >= seldom);
        // What was answered counts, whatever becomes of the rarer questions.
        if !is_due || self.ask_seldom(&connection, &look, login).await.is_ok() {
            self.connection = Some(connection);
        }
        Ok(look)
    }

    /// Asks one server of GoCD's database what changes seldom.
    async fn ask_seldom(&mut self, connection: &Connection, look: &Look, login: &Login) -> Result<(), Refusal> {
        self.seldom.asked = Some(Instant::now());
        let Some(facts) = connection.facts(look.version).await? else {
            return Ok(());
        };
        self.seldom.lock = match &facts.lock_table {
            Some(table) => connection.lock(table).await?,
            None => None,
        };
        // A pooler and a port that a container maps look alike so far.
        let may_be_pooled = login.url.socket.is_none() && facts.port != Some(self.server.port);
        self.seldom.facts = Some(Arc::new(facts));
        if self.seldom.is_pooled.is_none() {
            let is_pooled = may_be_pooled && is_pooler(login, &self.server, &self.name.found.addresses).await;
            self.seldom.is_pooled = Some(is_pooled);
        }
        Ok(())
    }
}

/// Where the name of a host leads.
#[derive(Default)]
struct Name {
    found: Found,
    known: Option<Instant>,
    /// A lookup that has not ended yet.
    looking: Option<JoinHandle<io::Result<Found>>>,
}

/// What a lookup came to.
#[derive(Default)]
struct Found {
    addresses: Vec<IpAddr>,
    /// Whether one of them is of this machine.
    is_local: bool,
}

impl Name {
    /// Looks up where the name of a host of GoCD's database leads, unless that was done a moment ago.
    async fn look_up(&mut self, server: &Server, login: &Login, files: &Handle) -> Result<(), Refusal> {
        let is_known = self.known.is_some_and(|known| known.elapsed() < LOOKUP_COUNTS);
        if login.url.socket.is_some() || is_known {
            return Ok(());
        }
        let looking = self.looking.get_or_insert_with(|| {
            let (host, port) = (server.host.clone(), server.port);
            files.spawn_blocking(move || resolve(&host, port))
        });
        let found = timeout(LOOKUP_WITHIN, looking).await.map_err(|_| Refusal::NoSuchHost)?;
        self.looking = None;
        self.found = found.ok().and_then(Result::ok).ok_or(Refusal::NoSuchHost)?;
        self.known = Some(Instant::now());
        Ok(())
    }
}

/// Whether the host of GoCD's database is this machine. It may wait for a resolver.
pub(in crate::node) fn is_local(host: &str, port: u16) -> bool {
    resolve(host, port).is_ok_and(|found| found.is_local)
}

/// Looks up the addresses of the host of GoCD's database, and whether one of them is of this machine.
fn resolve(host: &str, port: u16) -> io::Result<Found> {
    let mut addresses = Vec::new();
    for found in (host, port).to_socket_addrs()? {
        if !addresses.contains(&found.ip()) {
            addresses.push(found.ip());
        }
    }
    let is_local = addresses.iter().any(is_own_address);
    match addresses.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(Found { addresses, is_local }),
    }
}
