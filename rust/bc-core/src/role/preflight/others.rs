//! Whether another node is the primary.

use super::{About, Check, Facts, Site};
use crate::{
    generation::Role,
    role::{claim::Holder, inquiry::Heard},
};

/// Whether another node answers as the primary: what of all its addresses says most decides.
pub(super) fn primary(facts: &Facts) -> Check {
    const ABOUT: About = About::OtherPrimary;
    if let Some(hands_over) = super::hands_over(facts) {
        return match super::token(facts) {
            Some(token) => Check::fine(ABOUT, format!("the primary hands over: {token}")),
            None => Check::refuses(
                ABOUT,
                format!(
                    "the primary hands over and is not ready yet: {}",
                    hands_over.waits_for.as_deref().unwrap_or("it does not say why")
                ),
                "Run the command again in a moment. `gocd-bc status` there says what it waits for.",
            ),
        };
    }
    if let Some(malformed) = malformed_site(facts) {
        return malformed;
    }
    if let Some(stopping) = super::stops(facts) {
        return Check::warns(
            ABOUT,
            format!(
                "{}: it is ordered to stop, and nothing is done here before it has",
                stopping.seen()
            ),
            "What is saved there meanwhile may be lost. `gocd-bc demote --handover` there loses nothing.",
        );
    }
    let find = |wanted: fn(&Heard) -> bool| facts.heard.iter().find(|(_, heard)| wanted(heard));
    if let Some((address, Heard::Node { node_id, epoch, .. })) = find(|heard| {
        matches!(
            heard,
            Heard::Node {
                role: Role::Primary,
                ..
            }
        )
    }) {
        return Check::refuses(
            ABOUT,
            format!(
                "{address} answers as the primary (node {node_id:.8}, epoch {})",
                epoch.number
            ),
            match facts.forces {
                false => {
                    "Run `gocd-bc demote --handover` there first, which loses nothing; or have it ordered to stop from here \
                     with `gocd-bc promote --force`, which may lose its last edits: two active servers deploy everything \
                     twice."
                }
                true => {
                    "Another node is seen as the primary too, and one order would not stop both: stop GoCD there, and keep \
                     it from starting again."
                }
            },
        );
    }
    match &facts.site {
        Some((address, Site::Runs)) => {
            return Check::refuses(
                ABOUT,
                format!("GoCD runs at {address} (bc.site.url)"),
                "Stop it there first, and keep it from starting again: two active servers deploy everything twice.",
            );
        }
        Some((_, Site::Not(_) | Site::Unproven(_) | Site::Malformed)) | None => {}
    }
    let of_another = facts.locks.iter().find_map(|(server, holder)| match holder {
        Holder::Other(node) => Some((server, node)),
        Holder::Nobody | Holder::Own | Holder::Stranger => None,
    });
    if let Some((server, node)) = of_another {
        return Check::refuses(
            ABOUT,
            format!(
                "node {node:.8} has the primary's lock in the database at {server}: GoCD runs there, or did a moment ago"
            ),
            "Stop GoCD there first. If that server is off, its session is what is left of it: `select pg_terminate_backend(pid) \
             from pg_locks where locktype = 'advisory' and classid = 1735353188` on that database ends it.",
        );
    }
    let is_unproven = |heard: &Heard| matches!(heard, Heard::Unproven(_) | Heard::OwnKey { .. });
    if let Some((address, Heard::Unproven(how) | Heard::OwnKey { how, .. })) = find(is_unproven) {
        return Check::refuses(
            ABOUT,
            format!("{address} answers, and it cannot be proven who that is: {how}"),
            "Make sure that no GoCD runs there. If it is no server of this pair, correct bc.primary.url; to promote without \
             asking anybody, promote the database yourself and run `gocd-bc promote --without-database`.",
        );
    }
    if let Some((address, Site::Unproven(how))) = &facts.site {
        return Check::warns(
            ABOUT,
            format!("something answers at {address} (bc.site.url), and nobody vouches for who that is: {how}"),
            "Make sure that no GoCD runs there; bc.tls.ca names an authority that counts there too.",
        );
    }
    if let Some((address, Heard::Mute(how))) = find(|heard| matches!(heard, Heard::Mute(_))) {
        return Check::warns(
            ABOUT,
            format!("something is at {address} and does not answer: {how}"),
            "A server that is frozen may go on: make sure that it is off.",
        );
    }
    if let Some((address, Heard::NotAsked(why))) = find(|heard| matches!(heard, Heard::NotAsked(_))) {
        return Check::warns(
            ABOUT,
            format!("{address} could not be asked: {why}"),
            "Make sure that no other primary runs.",
        );
    }
    if facts.heard.iter().all(|(_, heard)| *heard == Heard::Itself) {
        return Check::warns(
            ABOUT,
            "nobody could be asked, since bc.primary.url names no other server",
            "Make sure that no other primary runs.",
        );
    }
    let silent: Vec<String> = facts
        .heard
        .iter()
        .map(|(address, heard)| said(address, heard))
        .collect();
    Check::fine(ABOUT, format!("none answers: {}", silent.join("; ")))
}

/// The refusal where nobody can say whether GoCD runs at its site.
fn malformed_site(facts: &Facts) -> Option<Check> {
    let (address, _) = facts.site.as_ref().filter(|(_, site)| *site == Site::Malformed)?;
    Some(Check::refuses(
        About::OtherPrimary,
        format!("{address} is malformed, so nobody could ask whether GoCD runs there"),
        "Correct it, or take it away, and restart this server.",
    ))
}

/// What an address said that is no primary.
fn said(address: &str, heard: &Heard) -> String {
    match heard {
        Heard::Node { role, epoch, .. } => format!("{address} is a {role} in epoch {}", epoch.number),
        Heard::Silence(how)
        | Heard::Unproven(how)
        | Heard::OwnKey { how, .. }
        | Heard::Mute(how)
        | Heard::NotAsked(how) => {
            format!("{address}: {how}")
        }
        Heard::Itself => format!("{address} leads to this server itself"),
    }
}
