//! GoCD's database as everybody sees it who looks at a node.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    answer::{Answer, named},
    configured::Login,
    facts::Platform,
    finding::Finding,
    following::Following,
    look::{Look, Role, SystemId},
    lsn::Lsn,
    position::{Position, Told, ToldServer},
};
use crate::basics::{Severity, words};

/// The database of one node, for everybody who looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// What the database is, where it is no PostgreSQL; nothing else is known then.
    #[serde(default)]
    pub not_covered: Option<String>,
    /// Each server that `db.url` names.
    pub servers: Vec<ServerPicture>,
    /// On a standby: how its database follows.
    #[serde(default)]
    pub following: Option<Following>,
    /// On a standby: bytes of the log that the primary has written and this database has not replayed.
    #[serde(default)]
    pub behind_bytes: Option<u64>,
    /// On a standby: how old what it holds is, in seconds; none where that is not known.
    #[serde(default)]
    pub behind_s: Option<u64>,
    /// Whether it is at least that old, and perhaps older.
    #[serde(default)]
    pub is_at_least: bool,
    /// On a standby: bytes of the log that the primary has written and this database has not received, which a promotion
    /// now would lose; none where that is not known.
    #[serde(default)]
    pub loss_bytes: Option<u64>,
    /// On a standby: how old what it has received is, in seconds.
    #[serde(default)]
    pub loss_s: Option<u64>,
    /// On a standby: whether the primary has not said for seconds where its database is, so that it may have written more.
    #[serde(default)]
    pub is_unheard: bool,
    /// On a standby: where the primary last said that its database is; none before it did.
    #[serde(default)]
    pub primary_written: Option<Lsn>,
    /// On a standby: seconds since the primary last said so.
    #[serde(default)]
    pub heard_s: Option<u64>,
    /// What is wrong with it, the worst first.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What the other node is told of the server that takes writes, besides its position.
    #[serde(skip)]
    pub told: Option<ToldServer>,
}

/// A standby's database in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InShort {
    /// It follows so.
    Well(Following),
    /// It does not follow, or cannot be used: a sentence part.
    Ill(String),
}

/// One server of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPicture {
    /// Host and port.
    pub address: String,
    /// Where the name of the host leads; empty where it is an address itself, or leads nowhere.
    #[serde(default)]
    pub resolved: Vec<IpAddr>,
    /// Whether it is known to be this node's own: the one that a standby would take over with.
    #[serde(default)]
    pub is_own: bool,
    /// What it is; none where it did not say.
    #[serde(default)]
    pub role: Option<Role>,
    /// Its version, `15.18`.
    #[serde(default)]
    pub version: Option<String>,
    /// Which cluster it is a copy of.
    #[serde(default)]
    pub system: Option<SystemId>,
    /// Its timeline.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// Up to where it has written, or replayed.
    #[serde(default)]
    pub position: Option<Lsn>,
    /// Up to where a standby has received; none where nothing came since it started.
    #[serde(default)]
    pub received: Option<Lsn>,
    /// Who runs it for others; none where nobody is known to.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Whether the user that watches may run `pg_promote` in GoCD's database; none where that is not known.
    #[serde(default)]
    pub may_promote: Option<bool>,
    /// Why it does not answer.
    #[serde(default)]
    pub error: Option<String>,
}

impl Picture {
    /// The picture of a database that is not watched, since it is `what` or nobody knows where it is.
    pub fn not_watched(what: Option<&str>, finding: Finding) -> Self {
        Self {
            not_covered: what.map(str::to_owned),
            findings: vec![finding],
            ..Self::default()
        }
    }

    /// Where the log of a primary's database is, by its picture; none where none of its servers takes writes.
    pub fn written(&self) -> Option<Position> {
        let writable = |server: &&ServerPicture| server.role == Some(Role::Primary);
        let server = self.servers.iter().find(writable)?;
        Some(Position {
            system: server.system?,
            timeline: server.timeline,
            written: server.position?,
        })
    }

    /// What the other node is told of a primary's database.
    pub fn told(&self) -> Option<Told> {
        Some(Told {
            position: self.written()?,
            server: self.told.clone(),
        })
    }

    /// Up to where the database of a standby has received, or replayed from an archive.
    pub fn received(&self) -> Option<Lsn> {
        let standby = |server: &&ServerPicture| server.role == Some(Role::Standby);
        let own = self.servers.iter().filter(standby).max_by_key(|server| server.is_own)?;
        own.received.max(own.position)
    }

    /// What a promotion of the database now would lose, for people, behind the words "a promotion now"; none where there
    /// is none, or nothing is known.
    pub fn loss_line(&self) -> Option<String> {
        let (bytes, seconds) = (self.loss_bytes?, self.loss_s?);
        let at_least = if self.is_at_least { "at least " } else { "" };
        Some(match bytes {
            0 if self.is_unheard => {
                format!("loses what the primary has written in the last {seconds} s, which is not known")
            }
            0 => "loses nothing that the primary is known to have written".to_owned(),
            _ => format!(
                "loses {at_least}{} of the log, which the primary wrote in the last {seconds} s{}",
                words::size(bytes),
                if self.is_at_least { " or before" } else { "" }
            ),
        })
    }

    /// What a standby that is in sync says of its database in its headline; none where it watches none, or has not got an
    /// answer yet.
    pub fn in_short(&self) -> Option<InShort> {
        let is_critical = self
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Critical);
        match self.following {
            Some(following) if following.is_well() && !is_critical => Some(InShort::Well(following)),
            Some(following) if !following.is_well() => Some(InShort::Ill(format!("the database is {following}"))),
            _ if is_critical => Some(InShort::Ill("not the database".to_owned())),
            _ => None,
        }
    }

    /// The picture of the database in one line for people: what it is, and on a standby how far it is.
    pub fn line(&self) -> String {
        if let Some(what) = &self.not_covered {
            return format!("{what}: not covered");
        }
        if let Some(following) = self.following {
            return match (self.behind_bytes, self.behind_s) {
                (Some(bytes), Some(seconds)) => {
                    let at_least = if self.is_at_least { "at least " } else { "" };
                    let unheard = match self.is_unheard {
                        true => "; the primary does not say where its own is",
                        false => "",
                    };
                    format!("{following}, {bytes} bytes and {at_least}{seconds} s behind{unheard}")
                }
                _ if self.is_unheard => {
                    format!("{following}; how far behind is not known: nobody says where the primary's is")
                }
                _ => format!("{following}; how far behind is not known yet"),
            };
        }
        let words = |server: &ServerPicture| match (&server.role, &server.error) {
            (Some(role), _) => format!("{} {role}", server.address),
            (None, Some(_)) => format!("{} does not answer", server.address),
            (None, None) => server.address.clone(),
        };
        self.servers.iter().map(words).collect::<Vec<_>>().join(", ")
    }
}

impl ServerPicture {
    /// The picture of a database server that answered so, or did not answer, to this login.
    pub(super) fn of(answer: &Answer, login: &Login) -> Self {
        let look = answer.look.as_ref().ok();
        let facts = answer.facts.as_deref().filter(|_| look.is_some());
        let address = answer.server.to_string();
        Self {
            resolved: named(&answer.server, &answer.addresses).to_vec(),
            role: look.map(|look| look.role),
            version: look.map(Look::version_text),
            system: look.map(|look| look.system),
            timeline: look.and_then(|look| look.timeline),
            position: look.and_then(|look| look.written.or(look.replayed)),
            received: look.and_then(|look| look.received),
            is_own: false,
            platform: facts.and_then(|facts| facts.platform()),
            may_promote: facts.map(|facts| facts.may_promote),
            error: answer
                .look
                .as_ref()
                .err()
                .map(|refusal| refusal.error(&address, login).message().to_owned()),
            address,
        }
    }
}
