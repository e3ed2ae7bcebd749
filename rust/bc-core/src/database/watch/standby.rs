//! What a standby says of its database.
//!
//! | seen | severity |
//! |---|---|
//! | its database takes writes, or was fenced | CRITICAL: it is the primary's own, or one that was promoted |
//! | another major version, another system, another timeline than the primary's | CRITICAL: it is no copy |
//! | it has more than the primary has written | CRITICAL: it went another way, or the primary lost something |
//! | not receiving, stuck, paused, receiving anew again and again | CRITICAL, with the reason where it is known |
//! | a setting is lower than on the primary, commits would wait after a promotion | WARNING |
//! | of several servers none is a standby | WARNING |

use std::time::Duration;

use super::{LOG, MOST_SLOTS, Seen, Told, Watch, mend};
use crate::{
    basics::words,
    database::{
        configured::Login,
        facts::{Facts, LIMITS},
        finding::{Fault, Finding},
        following::Following,
        lag::Lag,
        look::{Look, Role},
        lsn::Lsn,
        picture::Picture,
    },
};

/// What a primary tells of its database is so old at most: asked each second, and on its way for a moment.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// A standby follows a promotion within that time.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

impl Watch {
    /// What is wrong with the database with which a standby would take over. `own` is the server that belongs to this
    /// node, `all` are those that answered.
    pub(super) fn of_standby(
        &mut self,
        login: &Login,
        own: Option<Seen<'_>>,
        all: &[Seen<'_>],
        told: Option<&Told>,
        now: Duration,
        picture: &mut Picture,
    ) -> Vec<Finding> {
        let standby = || all.iter().copied().find(|seen| seen.look.role == Role::Standby);
        let seen = match own {
            // It fails over by itself, and this node's may be the one that takes writes.
            Some(own) if own.look.role != Role::Standby && login.url.follows_primary => standby(),
            Some(own) => Some(own),
            None => standby(),
        };
        match (seen, all) {
            (Some(seen), _) if seen.look.role == Role::Standby => self.of_copy(seen, told, now, picture),
            (Some(seen), _) => vec![not_a_standby(seen, told)],
            (None, [first, ..]) if login.url.follows_primary => vec![no_standby(first)],
            (None, [first, ..]) => vec![not_a_standby(*first, told)],
            // That nothing answers is said already.
            (None, []) => Vec::new(),
        }
    }

    /// What is wrong with a copy of the primary's database.
    fn of_copy(&mut self, seen: Seen<'_>, told: Option<&Told>, now: Duration, picture: &mut Picture) -> Vec<Finding> {
        let (look, name) = (seen.look, seen.answer.name());
        if let Some(told) = told
            && let Some(finding) = no_copy(seen, told)
        {
            return vec![finding];
        }
        let written = self.samples.newest();
        let following = self.history.note(look, written, now);
        picture.following = Some(following);
        // One that was asked a moment ago may answer yet.
        picture.is_unheard = now.saturating_sub(self.heard.unwrap_or_default()) >= TOLD_WITHIN;
        let strays = self.strays(look, told, following, now);
        // How far two that went different ways are apart says nothing.
        if !strays && self.ahead.is_none() {
            self.measure(look, now, picture);
        }
        let [newest, _] = self.replayed;
        if newest.is_none_or(|(_, at)| now.saturating_sub(at) >= TOLD_WITHIN) {
            self.replayed = [look.replayed.map(|replayed| (replayed, now)), newest];
        }
        let mut findings = Vec::new();
        if self.ahead.is_some() && written.is_some() {
            findings.push(Finding::critical(
                Fault::Ahead,
                format!(
                    "the database at {name} has replayed more than the primary's has written: one of them went another way, or \
                     db.url of one of the nodes leads to the wrong one. Compare `select pg_last_wal_replay_lsn()` there with \
                     `select pg_current_wal_lsn()` on the primary's and find out which one has the data before anything is \
                     promoted. {}",
                    mend(
                        seen.facts,
                        "Then make the other one its standby: `gocd-bc setup database-standby --reseed --primary HOST` on its \
                         machine, where HOST is the one that is kept."
                    )
                ),
            ));
        }
        match strays {
            true => findings.push(other_timeline(&name, seen, told)),
            false if !following.is_well() => findings.push(does_not_follow(&name, seen, told, following)),
            false => findings.extend(lower_settings(seen, told).map(|lower| {
                Finding::warning(
                    Fault::LowerSettings,
                    format!(
                    "settings of the database at {name} are lower than the primary's, so that it cannot be started again or \
                     pauses its replay: {}. {}",
                    lower.words,
                    mend(seen.facts, format!("Raise them there and restart it: {}.", lower.commands))
                    ),
                )
            })),
        }
        let synchronous = seen.facts.and_then(|facts| facts.synchronous.as_deref());
        if synchronous.is_some_and(|names| !names.is_empty()) {
            findings.push(Finding::warning(
                Fault::SynchronousNames,
                format!(
                    "synchronous_standby_names of the database at {name} asks for a standby: after a promotion GoCD would wait at \
                     its first commit. {}",
                    mend(
                        seen.facts,
                        "Run `alter system reset synchronous_standby_names` and `select pg_reload_conf()` there."
                    )
                ),
            ));
        }
        findings
    }

    /// How far a standby's database is behind, and what a promotion of it would lose. What was received is replayed before a
    /// promotion ends; what was replayed from an archive may never have been received.
    fn measure(&self, look: &Look, now: Duration, picture: &mut Picture) {
        let Some((written, replayed)) = self.samples.newest().zip(look.replayed) else {
            return;
        };
        let received = look.received.map_or(replayed, |received| received.max(replayed));
        let age = |held: Lsn| match self.samples.lag(held, now) {
            Some(Lag::Behind(time)) => (Some(time.as_secs()), false),
            Some(Lag::AtLeast(time)) => (Some(time.as_secs()), true),
            None => (None, false),
        };
        let (behind, is_at_least) = age(replayed);
        picture.primary_written = Some(written);
        picture.heard_s = self.heard.map(|heard| now.saturating_sub(heard).as_secs());
        picture.behind_bytes = Some(written.bytes_since(replayed));
        picture.behind_s = behind;
        picture.loss_bytes = Some(written.bytes_since(received));
        picture.loss_s = age(received).0;
        picture.is_at_least = is_at_least || picture.is_unheard;
    }

    /// Whether a standby's database is on another timeline than the primary's, and not about to follow.
    fn strays(&mut self, look: &Look, told: Option<&Told>, following: Following, now: Duration) -> bool {
        let theirs = told.and_then(|told| told.position.timeline);
        let Some((theirs, ours)) = theirs.zip(look.timeline) else {
            return false;
        };
        if ours == theirs || ours < theirs && following.is_well() {
            self.strays_since = None;
            return false;
        }
        let since = *self.strays_since.get_or_insert(now);
        now.saturating_sub(since) >= FOLLOWS_WITHIN
    }
}

/// Why a standby's database is no copy of the primary's.
fn no_copy(seen: Seen<'_>, told: &Told) -> Option<Finding> {
    let (look, name) = (seen.look, seen.answer.name());
    let major = |version: u32| version / 10_000;
    let other_major = told.server.as_ref().map(|server| major(server.version));
    if let Some(theirs) = other_major.filter(|theirs| *theirs != major(look.version)) {
        return Some(Finding::critical(
            Fault::OtherMajor,
            format!(
                "the database at {name} is PostgreSQL {} and the primary's is {theirs}: one does not stream to the other. Install \
                 PostgreSQL {theirs} there and make it anew: {}",
                major(look.version),
                anew(seen.facts)
            ),
        ));
    }
    (told.position.system != look.system).then(|| {
        Finding::critical(
            Fault::OtherSystem,
            format!(
                "the database at {name} is a copy of another one than the primary's: a promotion would go on with somebody \
                 else's data. If the address is the right one, make it anew: {}",
                anew(seen.facts)
            ),
        )
    })
}

fn other_timeline(name: &str, seen: Seen<'_>, told: Option<&Told>) -> Finding {
    let number = |timeline: Option<u32>| timeline.map_or_else(|| "none".to_owned(), |number| number.to_string());
    Finding::critical(
        Fault::OtherTimeline,
        format!(
            "the database at {name} is on timeline {}, the primary's on {}, and it does not follow: one of them was promoted, and \
             the other has gone on. {}",
            number(seen.look.timeline),
            number(told.and_then(|told| told.position.timeline)),
            mend(
                seen.facts,
                "On that machine `gocd-bc setup database-standby --reseed --primary HOST` finds out whether it can rejoin and \
                 has it follow HOST, the host of the primary's database."
            )
        ),
    )
}

/// Why a standby's database does not get on, and the command that mends it.
fn does_not_follow(name: &str, seen: Seen<'_>, told: Option<&Told>, following: Following) -> Finding {
    let slot = seen.facts.and_then(|facts| facts.slot.as_deref()).unwrap_or_default();
    let slots = told.and_then(|told| told.server.as_ref()).map(|server| &server.slots);
    // What is told is cut where there are many.
    let are_all = |slots: &&Vec<String>| slots.len() < MOST_SLOTS;
    let is_missing = !slot.is_empty()
        && slots
            .filter(are_all)
            .is_some_and(|slots| !slots.iter().any(|known| known == slot));
    if following == Following::Paused
        && let Some(lower) = lower_settings(seen, told)
    {
        return Finding::critical(
            Fault::LowerSettings,
            format!(
                "the replay of the database at {name} is paused, since settings there are lower than the primary's: {}. {}",
                lower.words,
                mend(
                    seen.facts,
                    format!(
                        "Raise them there and restart it: {}. To resume it as it is would end it.",
                        lower.commands
                    )
                )
            ),
        );
    }
    if is_missing && !matches!(following, Following::Paused) {
        return Finding::critical(
            Fault::SlotMissing,
            format!(
                "the database at {name} wants to receive through the slot {slot}, which the primary's database has not. {}",
                mend(
                    seen.facts,
                    format!("On the primary's: `select pg_create_physical_replication_slot('{slot}', true)`.")
                )
            ),
        );
    }
    let (fault, advice) = match following {
        Following::Disconnected => (
            Fault::Disconnected,
            format!(
                "Look for the reason into {LOG}, and check primary_conninfo there (`gocd-bc doctor` does), the replication user's \
                 password, and pg_hba.conf of the primary."
            ),
        ),
        Following::Stuck => (
            Fault::Stuck,
            format!(
                "Look whether the share is mounted there and on the primary's machine (`df -h`), and into {LOG}: its archive \
                 brings nothing, or something keeps it from replaying."
            ),
        ),
        Following::Paused => (Fault::Paused, "Run `select pg_wal_replay_resume()` there.".to_owned()),
        _ => (
            Fault::Flapping,
            format!("Look into {LOG}: the slot, the timeline or a file that it needs is gone."),
        ),
    };
    Finding::critical(
        fault,
        format!("the database at {name} is {following}. {}", mend(seen.facts, advice)),
    )
}

/// Settings of a standby's server that are lower than its primary's.
struct Lower {
    /// Which, and by how much.
    words: String,
    /// What raises them.
    commands: String,
}

/// The settings of a standby's server that are lower than its primary's; none where none is.
fn lower_settings(seen: Seen<'_>, told: Option<&Told>) -> Option<Lower> {
    let theirs = &told?.server.as_ref()?.limits;
    let ours = &seen.facts?.limits;
    let lower = |name: &&'static str| {
        let (ours, theirs) = (*ours.get(*name)?, *theirs.get(*name)?);
        (ours < theirs).then_some((*name, ours, theirs))
    };
    let all: Vec<(&str, u64, u64)> = LIMITS.iter().filter_map(lower).collect();
    let words = all
        .iter()
        .map(|(name, ours, theirs)| format!("{name} is {ours}, on the primary {theirs}"));
    let commands = all
        .iter()
        .map(|(name, _, theirs)| format!("`alter system set {name} = {theirs}`"));
    (!all.is_empty()).then(|| Lower {
        words: words::list(words),
        commands: words::list(commands),
    })
}

/// What it means that the database of a standby takes no replay.
fn not_a_standby(seen: Seen<'_>, told: Option<&Told>) -> Finding {
    let name = seen.answer.name();
    let theirs = told.and_then(|told| Some((told.position.system, &told.server.as_ref()?.started)));
    let is_same = seen
        .facts
        .is_some_and(|facts| !facts.started.is_empty() && theirs == Some((seen.look.system, &facts.started)));
    if is_same {
        return Finding::critical(
            Fault::SameServer,
            format!(
                "the database at {name} is the very server that the primary uses: if it is lost, both are. Write the address of \
                 this node's own database into db.url in db.properties here, and make that one with `gocd-bc setup \
                 database-standby --primary HOST` if there is none."
            ),
        );
    }
    if seen.look.role == Role::ReadOnly {
        return Finding::critical(
            Fault::Fenced,
            format!(
                "the database at {name} is no standby: it was made read-only with default_transaction_read_only, and replays \
                 nothing. Make it a standby again: {}",
                anew(seen.facts)
            ),
        );
    }
    Finding::critical(
        Fault::TakesWrites,
        format!(
            "the database at {name} takes writes, so it is no standby: db.url of this server leads to the primary's own database, \
             or this one was promoted. Write the address of the standby's database into db.properties here, or make it a \
             standby again: {}",
            anew(seen.facts)
        ),
    )
}

fn no_standby(seen: &Seen<'_>) -> Finding {
    Finding::warning(
        Fault::NoStandby,
        format!(
            "none of the servers in db.url that answer is a standby: nothing takes over if {} is lost. Start the other one, or \
             make it a standby again: {}",
            seen.answer.name(),
            anew(seen.facts)
        ),
    )
}

/// How a standby is made anew.
fn anew(facts: Option<&Facts>) -> String {
    match facts.and_then(Facts::platform) {
        Some(platform) => format!("by means of {platform}, which runs it."),
        None => {
            "`gocd-bc setup database-standby --reseed --primary HOST` on its machine, where HOST is the host of the \
                 primary's database."
                .to_owned()
        }
    }
}
