//! The slot of the primary that keeps the log for the standby.

use bc_core::{
    basics::{Error, Kind},
    database::sql,
};

use crate::{cluster::Cluster, plan::Plan, superuser::Superuser};

/// The slot as it was looked at.
#[derive(Debug)]
pub(super) struct Slot {
    name: String,
    state: State,
    has_limit: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Missing,
    /// It kept too much, and was given up.
    Lost,
    There {
        is_active: bool,
    },
}

impl Slot {
    /// Looks at the replication slot of the standby.
    pub(super) fn look(cluster: &Cluster, server: &Superuser, name: &str) -> Result<Self, Error> {
        let is_name = !name.is_empty()
            && name.len() < 64
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            return Err(Error::new(
                Kind::Setting,
                format!("`{name}` is no name of a slot"),
                "It has lower case letters, digits and _ alone, 63 at most.",
            ));
        }
        let has_limit = cluster.major >= 13;
        let lost = if has_limit { "wal_status = 'lost'" } else { "false" };
        let rows = server.rows(&format!(
            "select slot_type, active, coalesce({lost}, false) from pg_replication_slots where slot_name = {}",
            sql::literal(name)
        ))?;
        let row: Option<Vec<String>> = rows
            .into_iter()
            .next()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect());
        let state = match row.as_deref() {
            None => State::Missing,
            Some([kind, ..]) if kind != "physical" => {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the slot {name} is {kind}, of somebody else's"),
                    "Name another one with --slot.",
                ));
            }
            Some([_, active, lost]) if lost == "t" && active != "t" => State::Lost,
            Some([_, active, ..]) => State::There {
                is_active: active == "t",
            },
            Some(_) => State::Missing,
        };
        Ok(Self {
            name: name.to_owned(),
            state,
            has_limit,
        })
    }

    /// Adds to the plan what is done about the replication slot.
    pub(super) fn plan(&self, plan: &mut Plan) {
        let what = format!("slot {}", self.name);
        let why = match self.has_limit {
            true => "keeps the log for the standby, up to max_slot_wal_keep_size",
            false => {
                "keeps the log for the standby, without a limit before version 13: watch this disk while it is away"
            }
        };
        match self.state {
            State::Missing => plan.change(what, "missing", "made", why),
            State::Lost => plan.change(what, "lost", "made anew", "the standby needs a new base backup"),
            State::There { is_active: true } => plan.is(what, "in use"),
            State::There { is_active: false } => plan.is(what, "there, not in use"),
        }
    }

    /// Whether the replication slot is to be made.
    pub(super) fn has_work(&self) -> bool {
        !matches!(self.state, State::There { .. })
    }

    /// Makes the replication slot of the standby.
    pub(super) fn make(&self, server: &Superuser) -> Result<(), Error> {
        let name = sql::literal(&self.name);
        if self.state == State::Lost {
            server.run(&format!("select pg_drop_replication_slot({name})"))?;
        }
        match self.has_work() {
            true => server.run(&format!("select pg_create_physical_replication_slot({name}, true)")),
            false => Ok(()),
        }
    }
}
