//! What a primary says of its database.
//!
//! | seen | severity |
//! |---|---|
//! | none of its servers takes writes: they are standbys, or read-only | CRITICAL: GoCD cannot work |
//! | commits wait for a standby that is not there | CRITICAL |
//! | a slot has lost what its standby needs, or is about to | CRITICAL |
//! | nobody has received through a slot for a minute, or it keeps a lot | WARNING |
//! | its archiver fails | WARNING |

use std::time::Duration;

use super::{LOG, Seen, Watch, mend};
use crate::{
    basics::words,
    database::{
        configured::Login,
        facts::{Facts, Slot},
        finding::{Fault, Finding},
        look::Role,
    },
};

/// A standby that is started anew is back by then.
const RECEIVES_WITHIN: Duration = Duration::from_secs(60);
/// So much that a slot keeps is more than a standby that is read to comes late by.
const MUCH: u64 = GB;
const GB: u64 = 1 << 30;

impl Watch {
    /// What is wrong with the database that the running GoCD of a primary uses.
    pub(super) fn of_primary(&mut self, login: &Login, all: &[Seen<'_>], now: Duration) -> Vec<Finding> {
        let Some(writes) = all.iter().find(|seen| seen.look.role == Role::Primary) else {
            return all.first().map(|seen| not_writable(login, seen)).into_iter().collect();
        };
        let Some(facts) = writes.facts else { return Vec::new() };
        let name = writes.answer.name();
        let mut findings = Vec::new();
        if facts.synchronous.as_deref().is_some_and(|names| !names.is_empty()) && facts.senders == 0 {
            findings.push(Finding::critical(
                Fault::CommitsWait,
                format!(
                    "synchronous_standby_names of the database at {name} asks for a standby, and none receives: every commit of \
                     GoCD waits. {}",
                    mend(
                        Some(facts),
                        "Bring the standby back, or run `alter system reset synchronous_standby_names` and `select \
                         pg_reload_conf()` there."
                    )
                ),
            ));
        }
        self.inactive.retain(|slot, _| {
            let mut slots = facts.slots().iter();
            slots.any(|known| known.name == *slot && !known.is_active)
        });
        for slot in facts.slots() {
            findings.extend(self.of_slot(&name, facts, slot, now));
        }
        if facts.archiver_fails == Some(true) {
            findings.push(Finding::warning(
                Fault::ArchiverFails,
                format!(
                    "archive_command of the database at {name} fails, so its log piles up there and the archive falls behind. {}",
                    mend(
                        Some(facts),
                        format!(
                            "`select last_failed_wal, last_failed_time from pg_stat_archiver` there says which file it is: look \
                             whether the share is mounted, writable and not full, and for the reason into {LOG}."
                        )
                    )
                ),
            ));
        }
        findings
    }

    fn of_slot(&mut self, name: &str, facts: &Facts, slot: &Slot, now: Duration) -> Option<Finding> {
        let called = &slot.name;
        let drop = format!("`select pg_drop_replication_slot('{called}')`");
        let is_limited = facts.slot_limit.as_deref().is_some_and(|limit| limit != "-1");
        let kept = slot.kept.unwrap_or(0);
        match slot.state.as_deref() {
            Some("lost") => {
                return Some(Finding::critical(
                    Fault::SlotLost,
                    format!(
                        "the slot {called} of the database at {name} has lost what its standby needs. {}",
                        mend(
                            Some(facts),
                            format!(
                                "Run {drop} there, then make the standby anew on its machine: `gocd-bc setup \
                                 database-standby --primary HOST --anew --write`, where HOST is the host of this database."
                            )
                        )
                    ),
                ));
            }
            Some("unreserved") => {
                return Some(Finding::critical(
                    Fault::SlotFills,
                    format!(
                        "the slot {called} of the database at {name} keeps more than max_slot_wal_keep_size, and is lost at the \
                         next checkpoint. {}",
                        mend(
                            Some(facts),
                            format!(
                                "Raise that setting there now, if its disk has the room (`alter system set \
                                 max_slot_wal_keep_size = '{}GB'` and `select pg_reload_conf()`), and bring its standby back.",
                                2 * (kept / GB + 1).next_power_of_two()
                            )
                        )
                    ),
                ));
            }
            _ => {}
        }
        if slot.is_active {
            return None;
        }
        let since = *self.inactive.entry(called.clone()).or_insert(now);
        if kept >= MUCH {
            let limit = match is_limited {
                true => "",
                false => " until the disk is full",
            };
            // Of what grows only the beginning is said: a message that changes is news each time.
            let kept = words::size(kept / MUCH * MUCH);
            return Some(Finding::warning(
                Fault::SlotFills,
                format!(
                    "nobody receives through the slot {called} of the database at {name}, which keeps more than {kept} of its \
                     log{limit}. {}",
                    mend(
                        Some(facts),
                        format!("Bring its standby back, or run {drop} there if there is none any more.")
                    )
                ),
            ));
        }
        // One that has never kept anything costs nothing yet.
        let is_used = slot.kept.is_some();
        (is_used && now.saturating_sub(since) >= RECEIVES_WITHIN).then(|| {
            Finding::warning(
                Fault::SlotInactive,
                format!(
                    "nobody receives through the slot {called} of the database at {name}, which keeps all of its log from now \
                     on. {}",
                    mend(Some(facts), format!("Bring its standby back, or run {drop} there if there is none any more."))
                ),
            )
        })
    }
}

fn not_writable(login: &Login, seen: &Seen<'_>) -> Finding {
    let (fault, is, mend) = match seen.look.role {
        Role::Standby => {
            let platform = seen.facts.and_then(Facts::platform);
            let promotion = platform.map_or("`select pg_promote()`", |platform| platform.promotion());
            (
                Fault::IsStandby,
                "is a standby",
                format!("Promote it with {promotion}, or write the primary's address into db.url."),
            )
        }
        _ => (
            Fault::Fenced,
            "was made read-only",
            "Somebody fenced it with default_transaction_read_only: find out why before you take that back with `alter system \
             reset default_transaction_read_only` and `select pg_reload_conf()`."
                .to_owned(),
        ),
    };
    Finding::critical(
        fault,
        format!(
            "the database {} at {} {is}, and GoCD cannot write into it. {mend}",
            login.database(),
            seen.answer.name()
        ),
    )
}
