//! What came of asking a server of GoCD's database, before anybody judges it.

use std::{net::IpAddr, sync::Arc};

use super::{
    facts::{Facts, Lock},
    look::Look,
    refusal::Refusal,
    url::Server,
};

/// What came of asking one server of GoCD's database.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which of those in `db.url`.
    pub server: Server,
    /// Where the name of its host leads.
    pub addresses: Vec<IpAddr>,
    /// Whether one of these is this machine.
    pub is_local: bool,
    /// What it is, and where it is.
    pub look: Result<Look, Refusal>,
    /// What it is like, as it said within the last minute.
    pub facts: Option<Arc<Facts>>,
    /// The lock of GoCD's migrations, while it is held.
    pub lock: Option<Lock>,
    /// Whether what answers there is PgBouncer.
    pub is_pooled: bool,
}

impl Answer {
    /// What a database server answered of which nothing else is known.
    pub fn of(server: Server, look: Result<Look, Refusal>) -> Self {
        Self {
            server,
            addresses: Vec::new(),
            is_local: false,
            look,
            facts: None,
            lock: None,
            is_pooled: false,
        }
    }

    /// The database server for people: as it stands in `db.url`, and where that leads.
    pub(super) fn name(&self) -> String {
        match named(&self.server, &self.addresses) {
            [] => self.server.to_string(),
            addresses => format!("{} ({})", self.server, list(addresses)),
        }
    }
}

/// Where the name of an answering server's host leads; nothing where it is an address.
pub(super) fn named<'a>(server: &Server, addresses: &'a [IpAddr]) -> &'a [IpAddr] {
    match server.host.parse::<IpAddr>() {
        Ok(_) => &[],
        Err(_) => addresses,
    }
}

pub(super) fn list(addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    addresses.join(", ")
}
