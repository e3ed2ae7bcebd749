//! The planned hand-over: `handover.json` in the state folder of a primary, and what is decided by it.
//!
//! A person orders it at the primary. That is written down, GoCD ends, and its next start holds: the files are final, and
//! so is the database once no session of GoCD is left. What is there then is the token ([`HandoverToken`]). Whoever is
//! promoted must have all of it.
//!
//! | who | says so before | asks then, and goes on where |
//! |---|---|---|
//! | the standby that is promoted | it has begun its epoch, and tells everybody who asks | the primary hands over still, or is fenced by that epoch |
//! | the primary that takes it back | it tells that it hands over no more | every peer answers and knows no higher epoch |
//!
//! Each says so before it asks, so at least one of two at the same time hears the other and does not go on.
//!
//! The file holds this node for as long as it is of this node's epoch, and where it is damaged: what it said is not known
//! then. One of a lower epoch is of a hand-over that is over.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    Phase,
    guard::{Guard, Said},
    inquiry::Heard,
};
use crate::{
    basics::{Digest, Error, Kind, Severity, random, regular_file, words},
    database::{look::Look, lsn::Lsn, position::Position},
    durable::{atomic, seal},
    generation::{Epoch, HandoverToken, HandsOver, Role},
};

/// The name of the file in the state folder.
pub const FILE: &str = "handover.json";
/// The version of the file.
const FORMAT: u32 = 1;
/// A hand-over that nobody has taken for longer is forgotten: GoCD runs nowhere meanwhile.
const LONG_MS: i64 = 600_000;
/// What ends a hand-over that is on.
pub const WAY_OUT: &str = "run `gocd-bc promote` on the standby, or here to take it back";
/// A standby that lacks the newest generation for longer is not nearly there.
const LONGEST_BEHIND_MS: i64 = 30_000;

/// That a hand-over was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    format: u32,
    /// Which: a random id.
    pub id: String,
    /// The epoch of the primary that hands over.
    pub epoch: Epoch,
    /// When it was ordered, milliseconds since 1970 by this node's clock.
    pub ordered_ms: i64,
}

impl Handover {
    /// A hand-over of a primary in `epoch` that is ordered now.
    ///
    /// # Errors
    /// As [`random::hex_id`].
    pub fn new(epoch: Epoch, now_ms: i64) -> Result<Self, Error> {
        Ok(Self {
            format: FORMAT,
            id: random::hex_id()?,
            epoch,
            ordered_ms: now_ms,
        })
    }

    /// Loads the order to hand over; none where there is none.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged: it was ordered then all the same.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(None);
        };
        seal::read(&text)
            .filter(|handover: &Self| handover.format <= FORMAT)
            .map(Some)
            .ok_or_else(|| {
                Error::new(
                    Kind::File,
                    format!(
                        "{} is damaged, or of a later version; it says that this primary was to hand over",
                        path.display()
                    ),
                    "GoCD stays held. Run `gocd-bc promote` on the standby, or here if this server is to go on.",
                )
            })
    }

    /// Saves the order to hand over, durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("an order to hand over has only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }
}

/// Removes the order to hand over, durably, since it is over or was taken back. Returns whether there was one.
///
/// # Errors
/// [`Kind::File`] when it cannot be removed.
pub fn remove(state_dir: &Path) -> Result<bool, Error> {
    atomic::remove(&state_dir.join(FILE))
}

/// Whether what was loaded says that a primary in the epoch `own` hands over, none where that is not known: then any order
/// counts.
pub fn is_on(loaded: &Result<Option<Handover>, Error>, own: Option<&Epoch>) -> bool {
    match loaded {
        Ok(None) => false,
        Ok(Some(handover)) => own.is_none_or(|own| handover.epoch.number >= own.number),
        Err(_) => true,
    }
}

/// One standby, as far as it matters for a hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// What people call it.
    pub name: String,
    /// Whether it has reported a moment ago.
    pub is_heard: bool,
    /// How long it has lacked the newest generation; none where it has it.
    pub behind_ms: Option<i64>,
    /// Whether a generation is live there.
    pub has_any: bool,
    /// Why the newest generation is not made live there.
    pub problem: Option<String>,
}

/// What is known before a hand-over is ordered.
#[derive(Debug, Clone)]
pub struct Before<'a> {
    /// What this node is.
    pub role: Role,
    /// What it does.
    pub phase: Phase,
    /// Whether its next start would be held.
    pub can_hold: bool,
    /// That GoCD has not accepted its newest configuration for long, for people.
    pub unaccepted: Option<&'a str>,
    /// Who follows.
    pub followers: &'a [Follower],
}

/// Says of a node whether it can hand over, and to whom.
///
/// # Errors
/// [`Kind::Refused`]: why not, and what to do.
pub fn may_begin<'a>(before: &Before<'a>) -> Result<&'a str, Error> {
    let refused = |message: String, way: &str| Err(Error::new(Kind::Refused, message, way));
    if before.role != Role::Primary || before.phase != Phase::Running {
        let message = format!("this node is a {} and GoCD does not run on it", before.role);
        return refused(message, "Run the command on the server that runs GoCD.");
    }
    if !before.can_hold {
        return refused(
            "the Java agent that holds GoCD is missing on this server, so GoCD would start all the same".to_owned(),
            "Add the JVM argument -javaagent:plugins/external/gocd-business-continuity.jar, restart this server, and run \
             the command again.",
        );
    }
    if let Some(unaccepted) = before.unaccepted {
        return refused(
            format!("what would be handed over is a configuration that GoCD here does not take: {unaccepted}"),
            "Correct it, and run the command again once GoCD runs on it.",
        );
    }
    let why = |follower: &Follower| {
        let what = match (follower.is_heard, &follower.problem, follower.behind_ms) {
            (false, _, _) => "is silent".to_owned(),
            (true, Some(problem), _) => format!("does not take the newest files: {problem}"),
            (true, None, _) if !follower.has_any => "has no files yet".to_owned(),
            (true, None, Some(behind)) if behind > LONGEST_BEHIND_MS => {
                format!("has lacked the newest files for {} s", behind / 1000)
            }
            (true, None, _) => return None,
        };
        Some(format!("{} {what}", follower.name))
    };
    if let Some(ready) = before.followers.iter().find(|follower| why(follower).is_none()) {
        return Ok(&ready.name);
    }
    let all: Vec<String> = before.followers.iter().filter_map(why).collect();
    match all.is_empty() {
        true => refused(
            "no standby follows this server, so nobody could take over".to_owned(),
            "Set one up first (`gocd-bc setup standby`), and wait until `gocd-bc status` shows it in sync.",
        ),
        false => refused(
            format!("no standby is ready to take over: {}", all.join("; ")),
            "See to it (`gocd-bc status` there), wait until it is in sync, and run the command again.",
        ),
    }
}

/// What is seen of the database of a primary that hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// It is not watched, or no PostgreSQL.
    NotWatched,
    /// Nobody knows: why, for people.
    NotKnown(String),
    /// The server that takes writes was asked.
    Seen {
        /// So many sessions of GoCD are left.
        sessions: u64,
        /// Up to where it has everything on disk.
        flushed: Position,
        /// Up to where it has given out room for records.
        inserted: Lsn,
    },
}

/// Statement for [`Database::Seen`]: the sessions of whoever logs in as GoCD does or owns its tables, besides ours; up to
/// where the log is on disk, and up to where it is filled. Literals follow by `format!`: the user of GoCD.
pub fn sessions_statement(user: &str) -> String {
    format!(
        "select (select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
         and coalesce(application_name, '') not like 'gocd-bc%' and (usename = {} or usename = (select \
         pg_get_userbyid(relowner) from pg_class where relname = 'databasechangelog' and relkind = 'r' limit 1))) \
         || ' ' || pg_current_wal_flush_lsn() || ' ' || pg_current_wal_insert_lsn()",
        crate::database::sql::literal(user)
    )
}

/// Reads the row of [`sessions_statement`]: sessions, flushed and inserted; none where no server answers so.
pub fn read_sessions(text: &str) -> Option<(u64, Lsn, Lsn)> {
    let mut words = text.split(' ');
    let read = (
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    );
    words.next().is_none().then_some(read)
}

/// The token of a primary that hands over, from its newest generation and what is seen of its database.
///
/// # Errors
/// What it waits for, for people.
pub fn token(
    (node_id, epoch): (&str, &Epoch),
    newest: Option<(Digest, u64)>,
    being_written: Option<&str>,
    database: &Database,
) -> Result<HandoverToken, String> {
    let Some((generation, sequence)) = newest else {
        return Err("the files have not been read yet".to_owned());
    };
    if let Some(file) = being_written {
        return Err(format!("{file} is being written"));
    }
    let database = match database {
        Database::NotWatched => None,
        Database::NotKnown(why) => return Err(format!("the database: {why}")),
        Database::Seen { sessions, .. } if *sessions > 0 => {
            return Err(format!("{sessions} sessions of GoCD are left in its database"));
        }
        Database::Seen { flushed, inserted, .. } if is_unflushed(flushed.written, *inserted) => {
            return Err("the database has not written all to its disk yet".to_owned());
        }
        Database::Seen { flushed, .. } => Some(flushed.clone()),
    };
    Ok(HandoverToken {
        node_id: node_id.to_owned(),
        epoch: epoch.clone(),
        generation,
        sequence,
        database,
    })
}

/// Whether records are filled in that are not on disk. At the begin of a page of the log the one counts its head and the
/// other does not.
fn is_unflushed(flushed: Lsn, inserted: Lsn) -> bool {
    const HEADS: [u64; 2] = [24, 40];
    let ahead = inserted.bytes_since(flushed);
    ahead > 0 && !(flushed.is_page_begin() && HEADS.contains(&ahead))
}

/// What the node that is followed says of its hand-over, where one address is that of this node in this epoch and it is
/// the primary.
pub fn heard<'a>(followed: Option<(&str, &Epoch)>, heard: &'a [(String, Heard)]) -> Option<&'a HandsOver> {
    let (followed, in_epoch) = followed?;
    heard.iter().find_map(|(_, heard)| match heard {
        Heard::Node {
            node_id,
            role: Role::Primary,
            waits: true,
            epoch,
            hands_over,
            ..
        } if node_id == followed && epoch == in_epoch => hands_over.as_deref(),
        _ => None,
    })
}

/// Checks that the files which are live here, by generation and sequence, are those of the token.
///
/// # Errors
/// [`Kind::Busy`]: how far they are, and what to type.
pub fn files_reached(token: &HandoverToken, live: Option<(Digest, u64)>) -> Result<(), Error> {
    // The same bytes get another sequence where the primary starts again.
    if live.is_some_and(|(generation, _)| generation == token.generation) {
        return Ok(());
    }
    let here = match live {
        Some((generation, sequence)) => {
            format!("generation {:.8} (sequence {sequence})", generation.to_string())
        }
        None => "nothing".to_owned(),
    };
    Err(Error::new(
        Kind::Busy,
        format!(
            "the primary hands over the generation {:.8} (sequence {}), and {here} is live here",
            token.generation.to_string(),
            token.sequence
        ),
        "Nothing was changed. `gocd-bc status` says what keeps it; `gocd-bc sync` fetches it (with `--resume` after a \
         restore). Then run `gocd-bc promote` again.",
    ))
}

/// Checks that a database is of the same system and timeline as the token's.
///
/// # Errors
/// [`Kind::Refused`] where it is another one.
pub fn same_history(wanted: &Position, look: &Look) -> Result<(), Error> {
    let is_same = look.system == wanted.system && (look.timeline.is_none() || look.timeline == wanted.timeline);
    if is_same {
        return Ok(());
    }
    let timeline = look
        .timeline
        .map_or_else(|| "none".to_owned(), |timeline| timeline.to_string());
    Err(Error::new(
        Kind::Refused,
        format!(
            "the primary hands over its database at {wanted}, and the one here is of system {}, on timeline {timeline}",
            look.system
        ),
        "It is no copy of the primary's: make it one with `gocd-bc setup database-standby --reseed`, then run `gocd-bc \
         promote` again.",
    ))
}

/// The error of a database that has not replayed all that the token names.
pub fn database_not_reached(wanted: &Position, replayed: Option<Lsn>, waited_s: u64) -> Error {
    let replayed = replayed.map_or_else(|| "nothing".to_owned(), |at| at.to_string());
    Error::new(
        Kind::Busy,
        format!(
            "the primary hands over its database at {}, and the one here has replayed up to {replayed} after {waited_s} s",
            wanted.written
        ),
        "Nothing was changed. `gocd-bc status` says whether it follows; run `gocd-bc promote` again with a longer \
         `--replay-wait`, or `gocd-bc promote` on the primary to take the hand-over back.",
    )
}

/// Checks, once the epoch `own` of a promotion is begun, that whoever handed over has not taken that back: it hands over
/// still, the same, or is fenced.
///
/// # Errors
/// [`Kind::Refused`]: what it says, and what to type.
pub fn confirmed(token: &HandoverToken, heard: &[(String, Heard)]) -> Result<(), Error> {
    const WAY: &str = "Nothing was released. Run `gocd-bc promote` again: where the primary hands over, it goes on from \
                       there; where it is gone for good, it is promoted without it.";
    let mut said = Vec::new();
    for (address, heard) in heard {
        match heard {
            Heard::Node {
                node_id,
                role: Role::Fenced,
                ..
            } if *node_id == token.node_id => return Ok(()),
            Heard::Node {
                node_id,
                role,
                epoch,
                hands_over,
                ..
            } if *node_id == token.node_id => {
                let hands_over = hands_over.as_deref();
                match hands_over.and_then(|hands_over| hands_over.token_of(node_id, *role, epoch)) {
                    Some(now) if now.is_same_state(token) => return Ok(()),
                    Some(now) => {
                        let message = format!("{address} hands over something else by now: {now}, and not {token}");
                        return Err(Error::new(Kind::Refused, message, WAY));
                    }
                    None => {
                        let message = format!(
                            "{address} does not hand over any more: it is a {role} in epoch {}",
                            epoch.number
                        );
                        return Err(Error::new(Kind::Refused, message, WAY));
                    }
                }
            }
            Heard::Node { .. } | Heard::Itself => said.push(format!("{address} is another node")),
            Heard::Unproven(how)
            | Heard::OwnKey { how, .. }
            | Heard::Mute(how)
            | Heard::NotAsked(how)
            | Heard::Silence(how) => {
                said.push(format!("{address}: {how}"));
            }
        }
    }
    Err(Error::new(
        Kind::Refused,
        format!(
            "whoever handed over does not answer any more, and may have taken it back: {}",
            said.join("; ")
        ),
        WAY,
    ))
}

/// Judges by what all peers said, once this node tells that it hands over no more, whether it may take that back.
///
/// # Errors
/// [`Kind::Refused`]: who was promoted, or may be on the way to it without a word, and what to type.
pub fn may_take_back(guard: &Guard) -> Result<(), Error> {
    let refused = |message: String, way: &str| Err(Error::new(Kind::Refused, message, way));
    let mut unheard = Vec::new();
    let mut proven = 0;
    for (peer, word) in guard.words() {
        let Some(word) = word else {
            unheard.push(format!("{peer}: no answer"));
            continue;
        };
        match (&word.node, word.said) {
            (Some(node), said) if said >= Said::Conflict || node.role == Role::Primary => {
                return refused(
                    format!("another node is promoted, or being promoted: {}", word.how),
                    "Leave it to that one: this server is fenced in a moment, and `gocd-bc demote` makes it the standby. Where \
                     that promotion came to no end and is not to: `gocd-bc promote --take-over --accept-loss` here.",
                );
            }
            (Some(_), _) => proven += 1,
            (None, Said::Agrees) => {}
            (None, _) => unheard.push(format!("{peer}: {}", word.how)),
        }
    }
    match (proven, unheard.is_empty()) {
        (1.., true) => Ok(()),
        (0, true) => refused("no other node is known, so nobody can be asked".to_owned(), TAKE_OVER),
        _ => refused(
            format!(
                "the token was given out, and whoever may have been promoted with it does not answer: {}",
                unheard.join("; ")
            ),
            TAKE_OVER,
        ),
    }
}

/// The way on where nobody can be asked.
const TAKE_OVER: &str = "Make sure that no other server runs as the primary, then run `gocd-bc promote --take-over \
                         --accept-loss`.";

/// What a node says of itself while it hands over, `age_ms` after that was ordered, and how bad that is: once it is long
/// since then, somebody has forgotten it.
pub fn handing_over_message(age_ms: i64) -> (Severity, String) {
    match age_ms >= LONG_MS {
        false => (
            Severity::Warning,
            format!("this server hands over, and GoCD is held: {WAY_OUT}"),
        ),
        true => (
            Severity::Critical,
            format!(
                "this server has handed over for {} minutes or longer, and nobody was promoted: GoCD runs nowhere. To end \
                 that, {WAY_OUT}",
                LONG_MS / 60_000
            ),
        ),
    }
}

/// What a node says of itself that has handed over, once it is fenced by whoever took over.
pub fn handed_over_message(to: &str) -> String {
    words::shown(
        &format!(
            "this server has handed over: {to}. GoCD must not run here. To make it the new standby, run `gocd-bc demote`, \
             then `gocd-bc setup database-standby --reseed` for its database, and restart this server. Only if it is \
             deliberately to be the primary again, and the other one is stopped: `gocd-bc promote --take-over --accept-loss`."
        ),
        words::LONGEST_MESSAGE,
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ME: &str = "0123456789abcdef0123456789abcdef";

    fn epoch(number: u64) -> Epoch {
        Epoch {
            number,
            promotion: "p".repeat(number as usize),
        }
    }

    fn position(written: &str) -> Position {
        serde_json::from_value(serde_json::json!({"system": "7", "timeline": 2, "written": written})).expect("one")
    }

    fn of_files(generation: &[u8]) -> HandoverToken {
        HandoverToken {
            node_id: ME.to_owned(),
            epoch: epoch(2),
            generation: Digest::of(generation),
            sequence: 5,
            database: Some(position("0/30")),
        }
    }

    fn node(role: Role, number: u64, token: Option<HandoverToken>) -> Heard {
        Heard::Node {
            node_id: ME.to_owned(),
            role,
            waits: true,
            after_fence: None,
            hands_over: token.map(|token| {
                Box::new(HandsOver {
                    id: "a".repeat(32),
                    ordered_ms: 1,
                    token: Some(token),
                    waits_for: None,
                })
            }),
            epoch: epoch(number),
            highest: None,
            run: None,
        }
    }

    fn at(heard: Heard) -> Vec<(String, Heard)> {
        vec![("https://primarygo:8155".to_owned(), heard)]
    }

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_holds_like_what_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let on = |own| is_on(&Handover::load(folder.path()), own);
        let [one, two, three] = [1, 2, 3].map(epoch);
        assert!(!on(Some(&one)) && !on(None), "there is none");
        let ordered = Handover::new(epoch(2), 7).expect("random");
        ordered.save(folder.path()).expect("save");
        assert_eq!(Handover::load(folder.path()), Ok(Some(ordered)));
        assert!(on(Some(&one)) && on(Some(&two)) && on(None));
        assert!(!on(Some(&three)), "one of a lower epoch is over");
        let path = folder.path().join(FILE);
        let text = fs::read(&path).expect("read");
        for damaged in [&text[..text.len() / 2], b"{}", b""] {
            fs::write(&path, damaged).expect("write");
            let error = Handover::load(folder.path()).expect_err("damaged");
            assert!(
                on(Some(&two)) && error.guidance().contains("`gocd-bc promote`"),
                "{error}"
            );
        }
        assert_eq!((remove(folder.path()), remove(folder.path())), (Ok(true), Ok(false)));
    }

    #[test]
    fn a_hand_over_needs_a_gocd_that_runs_and_a_standby_that_is_nearly_there() {
        let ready = Follower {
            name: "standbygo:8155".to_owned(),
            is_heard: true,
            behind_ms: Some(900),
            has_any: true,
            problem: None,
        };
        let followers = [ready.clone()];
        let before = Before {
            role: Role::Primary,
            phase: Phase::Running,
            can_hold: true,
            unaccepted: None,
            followers: &followers,
        };
        assert_eq!(may_begin(&before), Ok("standbygo:8155"));
        let unready = [
            (Vec::new(), "no standby follows"),
            (
                vec![Follower {
                    is_heard: false,
                    ..ready.clone()
                }],
                "is silent",
            ),
            (
                vec![Follower {
                    has_any: false,
                    ..ready.clone()
                }],
                "no files yet",
            ),
            (
                vec![Follower {
                    behind_ms: Some(60_000),
                    ..ready.clone()
                }],
                "for 60 s",
            ),
            (
                vec![Follower {
                    problem: Some("no room".to_owned()),
                    ..ready.clone()
                }],
                "no room",
            ),
        ];
        for (followers, why) in &unready {
            let refused = may_begin(&Before {
                followers,
                ..before.clone()
            })
            .expect_err("refused");
            assert!(
                refused.message().contains(why) && !refused.guidance().is_empty(),
                "{refused}"
            );
        }
        for (before, why) in [
            (
                Before {
                    role: Role::Standby,
                    ..before.clone()
                },
                "is a standby",
            ),
            (
                Before {
                    phase: Phase::Holding,
                    ..before.clone()
                },
                "does not run",
            ),
            (
                Before {
                    can_hold: false,
                    ..before.clone()
                },
                "Java agent",
            ),
            (
                Before {
                    unaccepted: Some("no pipeline"),
                    ..before.clone()
                },
                "no pipeline",
            ),
        ] {
            let refused = may_begin(&before).expect_err("refused");
            assert!(
                refused.message().contains(why) && !refused.guidance().is_empty(),
                "{refused}"
            );
        }
    }

    #[test]
    fn there_is_a_token_once_nothing_changes_any_more() {
        let files = Some((Digest::of(b"set"), 5));
        let seen = |sessions, flushed: &str, inserted: &str| Database::Seen {
            sessions,
            flushed: position(flushed),
            inserted: inserted.parse().expect("a position"),
        };
        let made = |files, writing, database: &Database| token((ME, &epoch(2)), files, writing, database);
        for (files, writing, database, why) in [
            (None, None, Database::NotWatched, "not been read"),
            (files, Some("a.jar"), Database::NotWatched, "a.jar is being written"),
            (
                files,
                None,
                Database::NotKnown("it is silent".to_owned()),
                "it is silent",
            ),
            (files, None, seen(1, "0/30", "0/30"), "1 sessions"),
            (files, None, seen(0, "0/30", "0/58"), "to its disk"),
        ] {
            let waits = made(files, writing, &database).expect_err("waits");
            assert!(waits.contains(why), "{waits}");
        }
        let with = made(files, None, &seen(0, "0/30", "0/30")).expect("certain");
        assert_eq!(with, of_files(b"set"));
        // A page begins there, and nothing is in it.
        made(files, None, &seen(0, "0/4000", "0/4018")).expect("certain");
        assert_eq!(
            made(files, None, &Database::NotWatched).expect("certain").database,
            None
        );
        assert_eq!(
            read_sessions("2 0/30 1/0"),
            Some((2, "0/30".parse().expect("one"), "1/0".parse().expect("one")))
        );
        for odd in ["", "0 0/30", "0 0/30 1/0 x", "-1 0/30 1/0"] {
            assert_eq!(read_sessions(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_the_same_state_counts_as_reached() {
        let wanted = of_files(b"set");
        files_reached(&wanted, Some((Digest::of(b"set"), 9))).expect("the same bytes under another number");
        for live in [None, Some((Digest::of(b"older"), 5))] {
            let error = files_reached(&wanted, live).expect_err("not there");
            assert!(error.guidance().contains("`gocd-bc sync`"), "{error}");
        }
    }

    #[test]
    fn whoever_is_promoted_goes_on_only_where_the_primary_hands_over_still_or_is_fenced() {
        let wanted = of_files(b"set");
        confirmed(&wanted, &at(node(Role::Primary, 2, Some(wanted.clone())))).expect("still");
        confirmed(&wanted, &at(node(Role::Fenced, 2, None))).expect("fenced by it");
        for heard in [
            node(Role::Primary, 2, None),
            node(Role::Primary, 2, Some(of_files(b"edited since"))),
            node(Role::Primary, 3, Some(wanted.clone())),
            node(Role::Standby, 2, None),
            Heard::Silence("refused".to_owned()),
            Heard::Unproven("another key".to_owned()),
        ] {
            let refused = confirmed(&wanted, &at(heard.clone())).expect_err("not certain");
            assert!(
                refused.guidance().contains("`gocd-bc promote` again"),
                "{heard:?}: {refused}"
            );
        }
        let followed = (ME, &epoch(2));
        assert!(super::heard(Some(followed), &at(node(Role::Primary, 2, Some(wanted.clone())))).is_some());
        assert!(super::heard(Some((ME, &epoch(1))), &at(node(Role::Primary, 2, Some(wanted)))).is_none());
    }

    #[test]
    fn one_that_nobody_takes_for_long_is_critical_and_says_what_to_type() {
        for (age_ms, wanted) in [
            (0, Severity::Warning),
            (LONG_MS - 1, Severity::Warning),
            (LONG_MS, Severity::Critical),
        ] {
            let (severity, message) = handing_over_message(age_ms);
            assert_eq!(severity, wanted);
            assert!(
                message.contains("`gocd-bc promote` on the standby") && message.contains("take it back"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_hand_over_is_taken_back_only_where_every_other_node_answers_and_none_was_promoted() {
        const PEER: &str = "https://standbygo:8155";
        let other = |role, number| Heard::Node {
            node_id: "f".repeat(32),
            role,
            waits: false,
            after_fence: None,
            hands_over: None,
            epoch: epoch(number),
            highest: None,
            run: None,
        };
        let judged = |peers: &[&str], answers: Vec<(&str, Heard)>| {
            let run = "ab".repeat(16).try_into().expect("an id");
            let peers = peers.iter().map(|peer| (*peer).to_owned());
            let mut guard = Guard::new(ME.parse().expect("id"), run, Some(epoch(2)), peers);
            for (peer, heard) in answers {
                guard.hear(peer, vec![(peer.to_owned(), heard)]);
            }
            may_take_back(&guard)
        };
        judged(&[PEER], vec![(PEER, other(Role::Standby, 1))]).expect("it follows still");
        for (peers, answers, way) in [
            (&[PEER][..], vec![(PEER, other(Role::Standby, 3))], "gocd-bc demote"),
            (&[PEER], vec![(PEER, other(Role::Primary, 1))], "gocd-bc demote"),
            (
                &[PEER],
                vec![(PEER, Heard::Silence("refused".to_owned()))],
                "--take-over",
            ),
            (
                &[PEER],
                vec![(PEER, Heard::Unproven("a key".to_owned()))],
                "--take-over",
            ),
            (&[PEER], vec![], "--take-over"),
            (&[], vec![], "--take-over"),
            (
                &[PEER, "https://thirdgo:8155"],
                vec![(PEER, other(Role::Standby, 1))],
                "--take-over",
            ),
            (&[PEER], vec![(PEER, Heard::Itself)], "--take-over"),
        ] {
            let refused = judged(peers, answers).expect_err("refused");
            assert!(refused.guidance().contains(way), "{refused}");
        }
    }
}
