//! Whether the database can be promoted, and what that would lose.

use super::{About, Check, Facts};
use crate::{
    basics::words,
    database::{
        finding::{Fault, Finding},
        following::Following,
        look::Role,
        picture::{Picture, ServerPicture},
        position::Position,
        promotion::{self, Way},
    },
};

/// How to promote without it.
const WITHOUT: &str = "run `gocd-bc promote --without-database`";

/// The lines of the preflight about the database.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let Some(picture) = &facts.database else {
        return vec![Check::refuses(
            About::Database,
            "GoCD's database is not watched, so nobody knows what it is",
            format!(
                "Wait a moment if this node has just started, or remove bc.db.watch=off. To leave the database to somebody \
                 else, {WITHOUT}."
            ),
        )];
    };
    if let Some(what) = &picture.not_covered {
        return vec![Check::refuses(
            About::Database,
            format!("GoCD's database is {what}, which Business Continuity does not cover"),
            format!("See to it that this server's database has what it is to have, then {WITHOUT}."),
        )];
    }
    let Some(own) = promotion::own(picture) else {
        return vec![no_server(picture)];
    };
    let Some(role) = own.role else {
        return vec![no_answer(own)];
    };
    let mut checks = vec![who_promotes(facts, picture, own, role)];
    if role != Role::Standby {
        return checks;
    }
    checks.push(lineage(facts, picture, own));
    checks.push(replay(picture));
    checks.push(match super::token(facts) {
        Some(token) => handed_over(facts, token.database.as_ref(), own),
        None => lag(facts, picture),
    });
    checks
}

/// How long before the primary was last heard of it wrote what the database here has not received, in seconds.
pub(super) fn seconds(picture: &Picture) -> Option<u64> {
    Some(picture.loss_s?.saturating_sub(picture.heard_s?))
}

fn no_server(picture: &Picture) -> Check {
    let way = format!("Mend that, or promote the database yourself and {WITHOUT}.");
    match picture.findings.first() {
        Some(finding) => Check::refuses(About::Database, finding.message.clone(), way),
        None => Check::refuses(
            About::Database,
            "which of the servers in db.url is this node's own is not to be told",
            "Name it with bc.db.local.host, and restart this server.",
        ),
    }
}

fn no_answer(own: &ServerPicture) -> Check {
    let why = own
        .error
        .clone()
        .unwrap_or_else(|| format!("{} was not asked yet", own.address));
    Check::refuses(
        About::Database,
        format!("the database cannot be reached: {why}"),
        "See to it that it runs and lets this node in (`gocd-bc doctor`), then run the command again.",
    )
}

/// What the database is, and who promotes it.
fn who_promotes(facts: &Facts, picture: &Picture, own: &ServerPicture, role: Role) -> Check {
    let name = &own.address;
    let version = own.version.as_deref().unwrap_or("of a version that it does not tell");
    match role {
        Role::Primary if facts.resumes => {
            return Check::fine(
                About::Database,
                format!("{name} takes writes: an earlier promotion of this server promoted it"),
            );
        }
        Role::Primary if matches!(facts.way, Some(Way::Wait | Way::None)) => {
            return Check::fine(About::Database, format!("{name} takes writes already"));
        }
        Role::Primary | Role::ReadOnly => {
            let seen = found(picture, &[Fault::SameServer, Fault::Fenced, Fault::TakesWrites]);
            let seen = seen.map_or_else(
                || format!("{name} is no standby: it is {role}"),
                |finding| finding.message.clone(),
            );
            let way = format!("If somebody has promoted it for this server, {WITHOUT}.");
            return Check::refuses(About::Database, seen, way);
        }
        Role::Standby => {}
    }
    let Some(way) = &facts.way else {
        return Check::refuses(
            About::Database,
            "who promotes the database is not understood (bc.db.promote)",
            "Correct bc.db.promote as `gocd-bc status` says, and restart this server.",
        );
    };
    match promotion::method(way, own, facts.trigger.as_ref(), &facts.user) {
        Ok(Some(method)) => {
            let seen = format!("{name} is a standby, PostgreSQL {version}, promoted by {method}");
            match found(picture, &[Fault::SynchronousNames]) {
                Some(finding) => Check::warns(About::Database, seen, finding.message.clone()),
                None => Check::fine(About::Database, seen),
            }
        }
        Ok(None) => Check::fine(
            About::Database,
            format!("{name} is a standby, and is left alone as bc.db.promote=none says"),
        ),
        Err(error) => Check::refuses(About::Database, error.message(), error.guidance()),
    }
}

/// Whether it is a copy of the database that the primary used.
fn lineage(facts: &Facts, picture: &Picture, own: &ServerPicture) -> Check {
    let others = [
        Fault::OtherMajor,
        Fault::OtherSystem,
        Fault::OtherTimeline,
        Fault::Ahead,
    ];
    if let Some(finding) = found(picture, &others) {
        let way = "A promotion would go on with other data than the primary had.";
        return Check::refuses(About::Lineage, finding.message.clone(), way);
    }
    if let Some(wanted) = super::token(facts).and_then(|token| token.database.as_ref())
        && (own.system != Some(wanted.system) || own.timeline.is_some() && own.timeline != wanted.timeline)
    {
        return Check::refuses(
            About::Lineage,
            format!(
                "the primary hands over its database at {wanted}, and {} is no copy of that",
                own.address
            ),
            "Make it one with `gocd-bc setup database-standby --reseed`.",
        );
    }
    let number = |known: Option<String>| known.unwrap_or_else(|| "unknown".to_owned());
    let seen = format!(
        "system {}, timeline {}",
        number(own.system.map(|system| system.to_string())),
        number(own.timeline.map(|timeline| timeline.to_string()))
    );
    match picture.primary_written {
        Some(_) => Check::fine(About::Lineage, format!("{seen}, as the primary's")),
        None => Check::warns(
            About::Lineage,
            format!("{seen}; the primary has not said what its own is since this node started"),
            "Make sure that it is a copy of the primary's.",
        ),
    }
}

/// Whether it replays.
fn replay(picture: &Picture) -> Check {
    match picture.following {
        Some(Following::Paused) => {
            let finding = found(picture, &[Fault::Paused, Fault::LowerSettings]);
            Check::refuses(
                About::Replay,
                finding.map_or_else(|| "its replay is paused".to_owned(), |finding| finding.message.clone()),
                "Until it replays, version 11 and 12 do not promote, and nobody sees what it holds.",
            )
        }
        Some(following) => Check::fine(About::Replay, following.to_string()),
        None => Check::warns(
            About::Replay,
            "not known yet",
            "Run the command again in a few seconds.",
        ),
    }
}

/// What would be lost where the primary hands over: nothing, since that is waited for.
fn handed_over(facts: &Facts, wanted: Option<&Position>, own: &ServerPicture) -> Check {
    let Some(wanted) = wanted else {
        let seen = "the primary hands over its files alone: it does not watch its database";
        return match facts.accepts_loss {
            true => Check::warns(About::Lag, seen, "You have accepted that."),
            false => Check::refuses(
                About::Lag,
                seen,
                format!("See to it that this server's database has all that the primary's has, then {WITHOUT}."),
            ),
        };
    };
    let there = own.position.max(own.received);
    match there.map(|there| wanted.written.bytes_since(there)) {
        Some(0) => Check::fine(About::Lag, format!("nothing: all up to {} is here", wanted.written)),
        Some(bytes) => Check::warns(
            About::Lag,
            format!("{} of the log are on their way, and waited for", words::size(bytes)),
            "",
        ),
        None => Check::warns(About::Lag, format!("all up to {} is waited for", wanted.written), ""),
    }
}

/// What would be lost.
fn lag(facts: &Facts, picture: &Picture) -> Check {
    let accept = "To go on all the same, run the command with --accept-loss.";
    let (Some(bytes), Some(seconds)) = (picture.loss_bytes, seconds(picture)) else {
        let seen = "nobody knows how much would be lost: since this node started the primary has not said where its \
                    database is";
        return match facts.accepts_loss {
            true => Check::warns(About::Lag, seen, "You have accepted that."),
            false => Check::refuses(About::Lag, seen, accept),
        };
    };
    let heard = match picture.heard_s {
        Some(heard) if picture.is_unheard => format!("; the primary was last heard of {heard} s ago"),
        _ => String::new(),
    };
    if bytes == 0 {
        return Check::fine(
            About::Lag,
            format!("nothing that the primary is known to have written{heard}"),
        );
    }
    let seen = format!("{} of the log, written within {seconds} s{heard}", words::size(bytes));
    let max = facts.max_lag;
    let is_too_much = bytes > max.bytes || seconds > max.seconds;
    match (is_too_much, facts.accepts_loss) {
        (false, _) => Check::warns(About::Lag, seen, ""),
        (true, true) => Check::warns(About::Lag, seen, "You have accepted that."),
        (true, false) => Check::refuses(
            About::Lag,
            format!("{seen}: more than {max} (bc.promote.max.lag)"),
            format!("Where the primary's database still runs, let this one catch up first. {accept}"),
        ),
    }
}

/// The first finding of the watch that has one of these names.
fn found<'a>(picture: &'a Picture, names: &[Fault]) -> Option<&'a Finding> {
    picture.findings.iter().find(|finding| names.contains(&finding.name))
}
