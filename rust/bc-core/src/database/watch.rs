//! What a node says of its database, from what it asked each second and what its primary told.
//!
//! Each thing that is wrong is a [`Finding`] with a name ([`Fault`]) and the command that mends it. Both roles:
//!
//! | seen | severity |
//! |---|---|
//! | no answer twice in a row, from what a standby would take over with | CRITICAL: nobody knows whether it could |
//! | the same where it is full, starting or ending | WARNING for a minute: it is there |
//! | no answer twice in a row on a primary, or from another host of `db.url` | WARNING: GoCD says so too |
//! | the name of the host leads to several machines, a pooler is between | WARNING |
//! | the lock of GoCD's migrations is held for five minutes | WARNING |
//! | pages that were read are damaged | CRITICAL: a promotion would go on with them, or GoCD works with them |
//! | text is sorted otherwise than when its indexes were made, an extension has no files here | WARNING |
//!
//! What only a standby says is in `standby`, what only a primary says in `primary`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    answer::{Answer, list, named},
    configured::{LocalHost, Login},
    facts::{Facts, LIMITS, Lock},
    finding::{Fault, Finding},
    following::History,
    lag::Samples,
    look::{Look, Role},
    lsn::Lsn,
    picture::{Picture, ServerPicture},
    position::{Position, Told, ToldServer},
    refusal::LOG,
    sql,
    url::Server,
};
use crate::basics::Severity;

mod primary;
mod standby;
#[cfg(test)]
mod tests;

/// One look may fail by accident; so many in a row do not.
const MISSED: u32 = 2;
/// A start, a recovery or a crowd is over by then, or it is more than that.
const PASSES_WITHIN: Duration = Duration::from_secs(60);
/// Migrations of GoCD end within minutes.
const MIGRATES_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Slots of a server that its standbys are told of.
const MOST_SLOTS: usize = 50;

/// A server that answered.
#[derive(Clone, Copy)]
struct Seen<'a> {
    answer: &'a Answer,
    look: &'a Look,
    facts: Option<&'a Facts>,
}

impl<'a> Seen<'a> {
    /// What a database server is and is like, where it answered.
    fn of(answer: &'a Answer) -> Option<Self> {
        Some(Self {
            answer,
            look: answer.look.as_ref().ok()?,
            facts: answer.facts.as_deref(),
        })
    }
}

/// Remembers what earlier looks showed.
#[derive(Debug, Default)]
pub struct Watch {
    samples: Samples,
    /// When the primary last told where its database is.
    heard: Option<Duration>,
    history: History,
    missed: BTreeMap<Server, Missed>,
    locked: BTreeMap<Server, Duration>,
    /// Slots through which nobody receives, and since when.
    inactive: BTreeMap<String, Duration>,
    /// What a standby had replayed at a look, and at one before it, `standby::TOLD_WITHIN` earlier at least.
    replayed: [Option<(Lsn, Duration)>; 2],
    /// What it had replayed before its primary told of a position that is not as far.
    ahead: Option<Lsn>,
    /// Since when its timeline has not been its primary's.
    strays_since: Option<Duration>,
}

/// How often in a row a server has not answered, and since when.
#[derive(Debug, Clone, Copy)]
struct Missed {
    count: u32,
    since: Duration,
}

impl Watch {
    /// Takes in where the primary's database was at `now`, a duration since one start by a clock that never goes back.
    pub fn hear(&mut self, position: &Position, now: Duration) {
        self.samples.note(position.written, now);
        self.heard = Some(now);
        let [_, before] = self.replayed;
        self.ahead = before
            .map(|(replayed, _)| replayed)
            .filter(|replayed| *replayed > position.written);
    }

    /// Takes in that the standby's database has no archive ([`History::lacks_archive`]).
    pub fn lacks_archive(&mut self) {
        self.history.lacks_archive();
    }

    /// Notes what each database server answered at `now`. `primary` is on a standby what its primary told of its
    /// database, if that is known; it is none on a primary.
    pub fn note(
        &mut self,
        login: &Login,
        answers: &[Answer],
        primary: Option<Option<&Told>>,
        now: Duration,
    ) -> Picture {
        let mut picture = Picture {
            servers: answers.iter().map(|answer| ServerPicture::of(answer, login)).collect(),
            ..Picture::default()
        };
        let mut findings: Vec<Finding> = login
            .url
            .notices
            .iter()
            .map(|notice| Finding::warning(Fault::OddUrl, notice))
            .collect();
        let own = own(&login.local_host, answers);
        for (server, answer) in picture.servers.iter_mut().zip(answers) {
            server.is_own = own.is_some_and(|own| own.server == answer.server);
        }
        if matches!(login.local_host, LocalHost::Named(_)) && own.is_none() {
            findings.push(no_local_host(login));
        }
        for answer in answers {
            // Of what else is in db.url nothing depends on this node.
            let is_needed = match own {
                Some(own) => own.server == answer.server,
                None => !answers.iter().any(|answer| answer.look.is_ok()),
            };
            findings.extend(self.note_refusal(login, answer, primary.is_some() && is_needed, now));
            findings.extend(several_machines(answer));
            if let Some(seen) = Seen::of(answer) {
                findings.extend(self.of_each(login, seen, now));
            }
        }
        let all: Vec<Seen<'_>> = answers.iter().filter_map(Seen::of).collect();
        match primary {
            None => {
                let writes = all.iter().find(|seen| seen.look.role == Role::Primary);
                picture.told = writes.and_then(told);
                findings.extend(self.of_primary(login, &all, now));
            }
            Some(told) => {
                let own = own.and_then(Seen::of);
                findings.extend(self.of_standby(login, own, &all, told, now, &mut picture));
            }
        }
        findings.sort_by_key(|finding| Reverse(finding.severity));
        picture.findings = findings;
        picture
    }

    /// Notes whether a database server answered. `is_needed` says whether a standby would take over with it.
    fn note_refusal(&mut self, login: &Login, answer: &Answer, is_needed: bool, now: Duration) -> Option<Finding> {
        let Err(refusal) = &answer.look else {
            self.missed.remove(&answer.server);
            return None;
        };
        let first = Missed { count: 0, since: now };
        let missed = self.missed.entry(answer.server.clone()).or_insert(first);
        missed.count += 1;
        if missed.count < MISSED {
            return None;
        }
        let may_pass = refusal.is_passing() && now.saturating_sub(missed.since) < PASSES_WITHIN;
        let severity = match is_needed && !may_pass && !refusal.works() {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        let error = refusal.error(&answer.name(), login);
        Some(Finding::new(refusal.fault(), severity, error.to_string()))
    }

    /// What may be wrong with any database server that answers.
    fn of_each(&mut self, login: &Login, seen: Seen<'_>, now: Duration) -> Vec<Finding> {
        let (answer, name) = (seen.answer, seen.answer.name());
        let mut findings = Vec::new();
        if answer.is_pooled {
            findings.push(Finding::warning(
                Fault::Pooled,
                format!(
                    "PgBouncer is between this node and the database at {name}: that it lets somebody in does not prove that \
                     the database lives. Write the address of PostgreSQL itself into db.url, or see to it that PgBouncer is \
                     led to the new database after a promotion."
                ),
            ));
        }
        match &answer.lock {
            None => {
                self.locked.remove(&answer.server);
            }
            Some(lock) => {
                let since = *self.locked.entry(answer.server.clone()).or_insert(now);
                if now.saturating_sub(since) >= MIGRATES_WITHIN {
                    findings.push(locked(&name, lock));
                }
            }
        }
        let Some(facts) = seen.facts else { return findings };
        if facts.has_damage == Some(true) {
            findings.push(damaged(&name, seen));
        }
        if facts.collations_differ == Some(true) {
            findings.push(other_collations(&name, login, seen.look));
        }
        if let Some(extensions) = &facts.missing_extensions {
            findings.push(Finding::warning(
                Fault::MissingExtensions,
                format!(
                    "the machine of the database at {name} has no files of the extensions {}, which GoCD's database uses: install \
                     PostgreSQL's contrib package of this version there (`apt-get install postgresql-contrib`, `dnf install \
                     postgresql-contrib`).",
                    extensions.join(", ")
                ),
            ));
        }
        findings
    }
}

/// The server of GoCD's database that belongs to this node; none where that is not to be told.
fn own<'a>(local: &LocalHost, answers: &'a [Answer]) -> Option<&'a Answer> {
    let only = |is_own: &dyn Fn(&Answer) -> bool| {
        let mut own = answers.iter().filter(|answer| is_own(answer));
        own.next().filter(|_| own.next().is_none())
    };
    match local {
        LocalHost::Nobody => None,
        LocalHost::Named(name) => only(&|answer| answer.server.is_called(name)),
        LocalHost::ByAddress => only(&|_| true).or_else(|| only(&|answer| answer.is_local)),
    }
}

/// What the standbys are told of the server that takes writes.
fn told(seen: &Seen<'_>) -> Option<ToldServer> {
    let facts = seen.facts?;
    let limits = facts.limits.iter().filter(|(name, _)| LIMITS.contains(&name.as_str()));
    Some(ToldServer {
        version: seen.look.version,
        started: facts.started.clone(),
        limits: limits.map(|(name, value)| (name.clone(), *value)).collect(),
        slots: facts
            .slots()
            .iter()
            .take(MOST_SLOTS)
            .map(|slot| slot.name.clone())
            .collect(),
    })
}

/// Says that the name of a host of GoCD's database leads to several machines. One machine may have an address of each
/// kind.
fn several_machines(answer: &Answer) -> Option<Finding> {
    let addresses = named(&answer.server, &answer.addresses);
    let others = addresses.iter().filter(|address| !address.is_loopback());
    let (fours, sixes): (BTreeSet<&IpAddr>, BTreeSet<&IpAddr>) = others.partition(|address| address.is_ipv4());
    (fours.len() > 1 || sixes.len() > 1).then(|| {
        Finding::warning(
            Fault::SeveralMachines,
            format!(
                "the name {} in db.url leads to several machines ({}): which one is asked, and which one GoCD uses, is \
                 chance (`getent ahosts` lists them). Give each database a name of its own, or name both with targetServerType=primary.",
                answer.server.host,
                list(addresses)
            ),
        )
    })
}

/// Says that pages of a database are damaged.
fn damaged(name: &str, seen: Seen<'_>) -> Finding {
    let own = match seen.look.role {
        Role::Standby => {
            "Look at that disk (`dmesg`, `smartctl -a DEVICE`), and take a new copy on its machine: `gocd-bc setup \
             database-standby --primary HOST --anew --write`, where HOST is the host of the primary's database."
        }
        _ => {
            "Look at that disk (`dmesg`, `smartctl -a DEVICE`): the standby's database has pages of its own, and where nothing is \
             found of it `gocd-bc promote` there goes on without this one."
        }
    };
    Finding::critical(
        Fault::DamagedPages,
        format!(
            "the database at {name} has read pages whose checksum is wrong (`select datname, checksum_failures from \
             pg_stat_database`): what is in them is lost there. {}",
            mend(seen.facts, own)
        ),
    )
}

/// Says that a database sorts text otherwise than when its indexes were made.
fn other_collations(name: &str, login: &Login, look: &Look) -> Finding {
    let database = sql::identifier(login.database());
    // Only a whole database has a version that can be noted anew, and that only since 15.
    let note = match look.version >= 150_000 {
        true => format!(" and `alter database {database} refresh collation version`"),
        false => String::new(),
    };
    Finding::warning(
        Fault::Collations,
        format!(
            "the machine of the database at {name} sorts text otherwise than the one where its indexes were made (another glibc \
             or ICU): they find the wrong rows. Install the same release of the operating system on both machines, or, as soon \
             as this database takes writes, run `reindex database {database}`{note} in it."
        ),
    )
}

/// What mends something on a database server itself: `own`, unless somebody runs it for others, who lets nobody do that.
fn mend(facts: Option<&Facts>, own: impl Into<String>) -> String {
    match facts.and_then(Facts::platform) {
        Some(platform) => format!("{platform} runs it: see to it by its own means."),
        None => own.into(),
    }
}

fn no_local_host(login: &Login) -> Finding {
    let hosts: Vec<String> = login.url.hosts.iter().map(Server::to_string).collect();
    Finding::critical(
        Fault::LocalHost,
        format!(
            "bc.db.local.host is none of the hosts in db.url, so which database is this node's is not known: write one of {}.",
            hosts.join(", ")
        ),
    )
}

fn locked(name: &str, lock: &Lock) -> Finding {
    let holder = lock.holder.as_deref().unwrap_or("nobody knows whom");
    Finding::warning(
        Fault::Locked,
        format!(
            "the table databasechangeloglock at {name} has been locked by {holder} for minutes, and a GoCD that starts waits for \
             it. If no GoCD runs there that migrates its database, take it back on the database that takes writes: `update \
             databasechangeloglock set locked = false, lockgranted = null, lockedby = null where id = 1`."
        ),
    )
}
