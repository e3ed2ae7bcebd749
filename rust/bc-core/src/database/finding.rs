//! What may be wrong with GoCD's database, each thing under a name that stays: status, metrics and the doctor use it.

use serde::{Deserialize, Serialize};

use crate::basics::{
    Severity,
    words::{self, LONGEST_MESSAGE},
};

/// Makes the enum and the list of all its values from one table, so that none can lack the others.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $fault:ident = $name:literal,)+) => {
        /// What is wrong. Its name in JSON stays what it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Fault {
            $($(#[doc = $doc])* #[serde(rename = $name)] $fault,)+
        }

        impl Fault {
            /// Every one, in the order of the documentation.
            pub const ALL: &'static [Fault] = &[$(Fault::$fault),+];

            /// The name of a finding, as scripts know it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Fault::$fault => $name,)+
                }
            }
        }
    };
}

faults! {
    /// `db.properties`, or a setting of ours beside it, cannot be used.
    Settings = "settings",
    /// The database is no PostgreSQL.
    NotCovered = "not-covered",
    /// `db.url` says something that is not meant so.
    OddUrl = "odd-url",
    /// `bc.db.local.host` is none of the hosts in `db.url`.
    LocalHost = "local-host",

    /// The name of the host leads nowhere.
    NoSuchHost = "no-such-host",
    /// The name of the host leads to several machines.
    SeveralMachines = "several-machines",
    /// Nobody listens there.
    Unreachable = "unreachable",
    /// It takes connections and says nothing.
    Frozen = "frozen",
    /// It starts, recovers or shuts down, and answers no query.
    NotReady = "not-ready",
    /// It ended while it was asked.
    Ending = "ending",
    /// It runs and has no connection left.
    Full = "full",
    /// It refuses the password.
    Password = "password",
    /// It lets the user in from nowhere near here.
    NotAllowed = "not-allowed",
    /// It has no such database.
    NoDatabase = "no-database",
    /// TLS fails.
    Tls = "tls",
    /// It works, and whoever runs it shows nothing of its log.
    Managed = "managed",
    /// It answers with an error of its own.
    Answer = "answer",

    /// On a primary: its database is a standby.
    IsStandby = "is-standby",
    /// On a standby: its database takes writes.
    TakesWrites = "takes-writes",
    /// Both nodes use one server.
    SameServer = "same-server",
    /// It takes no writes since somebody made it read-only.
    Fenced = "fenced",
    /// Several servers, and none of them is a standby.
    NoStandby = "no-standby",

    /// The standby's is of another major version.
    OtherMajor = "other-major",
    /// It is a copy of another database.
    OtherSystem = "other-system",
    /// It is on another timeline and does not follow.
    OtherTimeline = "other-timeline",
    /// It has more than the primary has written.
    Ahead = "ahead",

    /// It receives nothing.
    Disconnected = "disconnected",
    /// It does not get on.
    Stuck = "stuck",
    /// Its replay is paused.
    Paused = "paused",
    /// It begins to receive again and again.
    Flapping = "flapping",
    /// A setting is lower than on the primary's server.
    LowerSettings = "lower-settings",
    /// The primary's server has no slot of the name that the standby's wants.
    SlotMissing = "slot-missing",

    /// A slot has lost what its standby needs.
    SlotLost = "slot-lost",
    /// A slot keeps so much that a disk fills, or that it is lost soon.
    SlotFills = "slot-fills",
    /// Nobody receives through a slot.
    SlotInactive = "slot-inactive",
    /// Its archiver fails.
    ArchiverFails = "archiver-fails",
    /// Commits wait for a standby that is not there.
    CommitsWait = "commits-wait",

    /// Commits would wait for a standby after a promotion.
    SynchronousNames = "synchronous-names",
    /// It has read pages that are damaged.
    DamagedPages = "damaged-pages",
    /// Its text is sorted otherwise than when the indexes were made.
    Collations = "collations",
    /// An extension that is used has no files on this machine.
    MissingExtensions = "missing-extensions",
    /// The lock of GoCD's migrations is held for long.
    Locked = "locked",
    /// A pooler is between.
    Pooled = "pooled",
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub name: Fault,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, where, and what to type or to do.
    pub message: String,
}

impl Finding {
    /// A finding that is WARNING. Texts of a server may be in its message.
    pub fn warning(name: Fault, message: impl AsRef<str>) -> Self {
        Self::new(name, Severity::Warning, message)
    }

    /// A finding that is CRITICAL.
    pub fn critical(name: Fault, message: impl AsRef<str>) -> Self {
        Self::new(name, Severity::Critical, message)
    }

    /// A finding of any severity.
    pub fn new(name: Fault, severity: Severity, message: impl AsRef<str>) -> Self {
        Self {
            name,
            severity,
            message: words::shown(message.as_ref(), LONGEST_MESSAGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_that_json_has_too() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let json = serde_json::to_string(fault).expect("plain");
            assert_eq!(json, format!("\"{fault}\""));
            assert_eq!(serde_json::from_str::<Fault>(&json).expect("the same"), *fault);
        }
    }
}
