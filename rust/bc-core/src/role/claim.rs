//! What a running primary claims in GoCD's database: a lock for as long as it runs, and its epoch in a row that stays.
//!
//! Two nodes that use one database see each other through the lock, whatever the network between them does. Two servers that
//! were promoted from one point are alike in system, timeline and history; only the row tells them apart. It is replicated
//! like all else, so a standby has it as well.
//!
//! | statement | asked by | needs |
//! |---|---|---|
//! | [`READ_TABLE`], [`READ`] | everybody | nothing: the table may not be there |
//! | [`HOLDER`] | everybody | nothing |
//! | [`LOCK`] | a running primary, once in each session | nothing; behind a pooler it means nothing |
//! | [`write()`] | a running primary whose epoch is higher than the row's | to create a schema in GoCD's database, once |
//!
//! The lock goes with its session. A server that has not noticed that its client is gone keeps both for a while, so a holder
//! is told apart by the node id in the name of its session ([`introduce`]): one's own of a moment ago is nobody else.

use serde::{Deserialize, Serialize};

use super::ledger::MAX_COUNT;
use crate::{basics::NodeId, database::sql, generation::Epoch};

/// Where the row is.
pub const TABLE: &str = "gocd_business_continuity.epoch";
/// What the server's list of sessions calls each of ours; a node id follows where it claims something.
const SESSION: &str = "gocd-bc ";

/// Whether the table is there: `t` or `f`.
pub const READ_TABLE: &str = "select to_regclass('gocd_business_continuity.epoch') is not null";
/// The row, for [`Row::of`]; no row where nobody has written one.
pub const READ: &str = "select number, promotion, node_id from gocd_business_continuity.epoch";
/// Takes the lock, unless somebody has it: `t` or `f`. The numbers are `gocd` and `bc` as letters.
pub const LOCK: &str = "select pg_try_advisory_lock(1735353188, 25187)";
/// Who has the lock: the name of a session, null where nobody has it.
pub const HOLDER: &str = "select (select coalesce(a.application_name, '') from pg_locks l join pg_stat_activity a on a.pid = l.pid \
    where l.locktype = 'advisory' and l.classid = 1735353188 and l.objid = 25187 and l.objsubid = 2 and l.granted \
    and l.database = (select oid from pg_database where datname = current_database()) limit 1)";

/// The statement that gives the session of a node its name, so that others see who holds the lock.
pub fn introduce(node_id: &NodeId) -> String {
    format!("set application_name = {}", sql::literal(&session_name(node_id)))
}

fn session_name(node_id: &NodeId) -> String {
    format!("{SESSION}{node_id}")
}

/// The statements that write the row, in one transaction. A row with a higher number stays what it is. `is_there` says
/// whether the table is: to make it anew would need a right that nobody needs who only writes.
pub fn write(epoch: &Epoch, node_id: &NodeId, is_there: bool) -> String {
    let make = match is_there {
        true => "",
        false => {
            "create schema if not exists gocd_business_continuity; \
             create table if not exists gocd_business_continuity.epoch (\
             singleton boolean primary key default true check (singleton), number bigint not null, promotion text not null, \
             node_id text not null, written timestamptz not null default now()); "
        }
    };
    format!(
        "begin; {make}insert into {TABLE} (number, promotion, node_id) values ({}, {}, {}) \
         on conflict (singleton) do update set number = excluded.number, promotion = excluded.promotion, \
         node_id = excluded.node_id, written = now() where epoch.number < excluded.number; commit",
        epoch.number,
        sql::literal(&epoch.promotion),
        sql::literal(node_id)
    )
}

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The epoch of whoever wrote it.
    pub epoch: Epoch,
    /// The node that did.
    pub node_id: NodeId,
}

/// How the row stands to an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is lower, and may be written anew.
    Lower,
    /// It is that epoch.
    Same,
    /// It is higher: somebody else leads.
    Higher,
    /// It has that number, and another promotion began it: no node decides which of both counts.
    Conflict,
}

impl Row {
    /// What a row of [`READ`] says; none where no version of ours has written it.
    pub fn of(number: Option<&str>, promotion: Option<&str>, node_id: Option<&str>) -> Option<Self> {
        let number = number?.parse().ok().filter(|number| (1..=MAX_COUNT).contains(number))?;
        let is_short =
            |text: &&str| text.len() <= 64 && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
        Some(Self {
            epoch: Epoch {
                number,
                promotion: promotion.filter(is_short)?.to_owned(),
            },
            node_id: node_id?.parse().ok()?,
        })
    }

    /// How the row stands to `own`.
    pub fn standing(&self, own: &Epoch) -> Standing {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match self.epoch.number.cmp(&own.number) {
            Less => Standing::Lower,
            Greater => Standing::Higher,
            Equal if self.epoch.promotion == own.promotion => Standing::Same,
            Equal => Standing::Conflict,
        }
    }
}

/// Who has the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// This node, now or in a session that its server has not missed yet.
    Own,
    /// Another node.
    Other(NodeId),
    /// Somebody who is no node of ours.
    Stranger,
}

impl Holder {
    /// Who a session of this name is, to the node with this id; `None` is nobody.
    pub fn of(session: Option<&str>, own_node_id: &NodeId) -> Self {
        let Some(session) = session else { return Holder::Nobody };
        match session.strip_prefix(SESSION).map(str::parse::<NodeId>) {
            _ if session == session_name(own_node_id) => Holder::Own,
            Some(Ok(other)) => Holder::Other(other),
            _ => Holder::Stranger,
        }
    }
}

/// What a running primary sees of its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who has the lock; [`Holder::Own`] where this session has it as well.
    pub holder: Holder,
    /// The row; none where there is none that can be read.
    pub row: Option<Row>,
}

/// What a running primary makes of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It leads, as far as its database knows.
    Leads,
    /// It leads, and its epoch is not in the database: who may use it may not make a schema there.
    LeadsUnwritten,
    /// Somebody else has the lock.
    Locked(Holder),
    /// A higher epoch is there: this node was replaced.
    Replaced(Row),
    /// The same number is there, of another promotion.
    Contested(Row),
    /// Another node's is there, and which one this node has is not known.
    Foreign(Row),
}

impl Verdict {
    /// What a node whose epoch is `own` makes of what it has seen after it tried to take the lock and to write its epoch.
    /// What the row says counts before the lock: it stays.
    pub fn of(seen: Seen, own: &Epoch) -> Self {
        match (seen.row, seen.holder) {
            (Some(row), _) if row.standing(own) == Standing::Higher => Verdict::Replaced(row),
            (Some(row), _) if row.standing(own) == Standing::Conflict => Verdict::Contested(row),
            (_, holder @ (Holder::Other(_) | Holder::Stranger)) => Verdict::Locked(holder),
            (Some(row), _) if row.standing(own) == Standing::Same => Verdict::Leads,
            _ => Verdict::LeadsUnwritten,
        }
    }

    /// What a node makes of what it has seen, where it may not know its own epoch: then whoever else wrote the row leads, and
    /// what it wrote itself is its epoch.
    pub fn of_known(seen: Seen, node_id: &NodeId, own: Option<&Epoch>) -> Self {
        let Some(own) = own else {
            return match (seen.row, seen.holder) {
                (Some(row), _) if row.node_id != *node_id => Verdict::Foreign(row),
                (_, holder @ (Holder::Other(_) | Holder::Stranger)) => Verdict::Locked(holder),
                _ => Verdict::LeadsUnwritten,
            };
        };
        Self::of(seen, own)
    }

    /// What is wrong, for people; none where nothing is. `server` is where the database is.
    pub fn message(&self, server: &str) -> Option<String> {
        const BOTH: &str = "Two GoCD servers may be running on one database, and then everything is deployed twice";
        Some(match self {
            Verdict::Leads | Verdict::LeadsUnwritten => return None,
            Verdict::Locked(Holder::Other(node)) => format!(
                "node {node:.8} runs as the primary on the database at {server} as well. {BOTH}: stop GoCD on the one that is \
                 not to be it, and run `gocd-bc demote` there."
            ),
            Verdict::Locked(_) => format!(
                "somebody who is no node has the primary's lock (1735353188, 25187) in the database at {server}, so another node \
                 would not be seen there: `select * from pg_locks where locktype = 'advisory'` says whose session it is."
            ),
            Verdict::Replaced(row) => format!(
                "the database at {server} has the epoch {} of node {:.8}, which is higher than this one's: that node has taken \
                 over. {BOTH}: stop GoCD here, and run `gocd-bc demote`.",
                row.epoch.number, row.node_id
            ),
            Verdict::Foreign(row) => format!(
                "the database at {server} has the epoch {} of node {:.8}, and which one this server had is not known here. Find \
                 out which one is to be the primary. On that one run `gocd-bc promote --take-over`, on the other one `gocd-bc \
                 demote`.",
                row.epoch.number, row.node_id
            ),
            Verdict::Contested(row) => format!(
                "the database at {server} has the epoch {} as this node has it, of another promotion (node {:.8}): two servers \
                 were promoted from one point. {BOTH}: stop GoCD on the one that is not to be it, and run `gocd-bc demote` there.",
                row.epoch.number, row.node_id
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "0123456789abcdef0123456789abcdef";

    fn node() -> NodeId {
        NODE.parse().expect("an id")
    }

    fn epoch(number: u64, promotion: &str) -> Epoch {
        Epoch {
            number,
            promotion: promotion.to_owned(),
        }
    }

    #[test]
    fn a_row_stands_to_an_epoch_by_its_number_and_then_by_its_promotion() {
        let row = Row {
            epoch: epoch(2, "a"),
            node_id: node(),
        };
        for (own, standing) in [
            (epoch(3, "b"), Standing::Lower),
            (epoch(2, "a"), Standing::Same),
            (epoch(2, "b"), Standing::Conflict),
            (epoch(2, ""), Standing::Conflict),
            (epoch(1, ""), Standing::Higher),
        ] {
            assert_eq!(row.standing(&own), standing, "{own:?}");
        }
    }

    #[test]
    fn what_nobody_of_us_has_written_is_no_row() {
        let known = Row::of(Some("7"), Some("a-1"), Some(NODE)).expect("a row");
        assert_eq!((known.epoch, known.node_id), (epoch(7, "a-1"), node()));
        assert!(Row::of(Some("1"), Some(""), Some(NODE)).is_some());
        let long = "x".repeat(65);
        for (number, promotion, node_id) in [
            (None, Some("a"), Some(NODE)),
            (Some("0"), Some("a"), Some(NODE)),
            (Some("-1"), Some("a"), Some(NODE)),
            (Some("9223372036854775808"), Some("a"), Some(NODE)),
            (Some("7"), None, Some(NODE)),
            (Some("7"), Some("a\nb"), Some(NODE)),
            (Some("7"), Some(long.as_str()), Some(NODE)),
            (Some("7"), Some("a"), None),
        ] {
            assert_eq!(Row::of(number, promotion, node_id), None, "{number:?}");
        }
    }

    #[test]
    fn the_holder_is_known_by_the_name_of_its_session() {
        assert_eq!(Holder::of(None, &node()), Holder::Nobody);
        assert_eq!(Holder::of(Some(&session_name(&node())), &node()), Holder::Own);
        let other: NodeId = "ff".repeat(16).parse().expect("an id");
        assert_eq!(Holder::of(Some(&session_name(&other)), &node()), Holder::Other(other));
        for stranger in ["", "psql", "gocd-bc", "gocd-bc ", "gocd-bc x'y"] {
            assert_eq!(Holder::of(Some(stranger), &node()), Holder::Stranger, "{stranger}");
        }
    }

    #[test]
    fn a_primary_leads_unless_its_database_names_somebody_else() {
        let row = |number, promotion| {
            Some(Row {
                epoch: epoch(number, promotion),
                node_id: node(),
            })
        };
        let other = Holder::Other("ff".repeat(16).parse().expect("an id"));
        for (holder, row, verdict, words) in [
            (Holder::Own, row(2, "b"), "Leads", ""),
            (Holder::Own, None, "LeadsUnwritten", ""),
            (Holder::Own, row(1, ""), "LeadsUnwritten", ""),
            (Holder::Nobody, row(2, "b"), "Leads", ""),
            (other.clone(), row(2, "b"), "Locked", "node ffffffff runs"),
            (other.clone(), None, "Locked", "gocd-bc demote"),
            (Holder::Stranger, row(2, "b"), "Locked", "pg_locks"),
            (Holder::Own, row(3, "c"), "Replaced", "epoch 3 of node 01234567"),
            (other, row(3, "c"), "Replaced", "taken over"),
            (Holder::Own, row(2, "c"), "Contested", "two servers"),
        ] {
            let seen = Seen { holder, row };
            let is = Verdict::of(seen.clone(), &epoch(2, "b"));
            assert!(format!("{is:?}").starts_with(verdict), "{seen:?}: {is:?}");
            let message = is.message("db:5432");
            assert_eq!(message.is_some(), !words.is_empty(), "{seen:?}");
            assert!(message.unwrap_or_default().contains(words), "{seen:?}");
        }
    }
}
