//! Decisions about both nodes: the one here, and what the other one says.

use std::collections::BTreeSet;

use super::{
    check::Check,
    facts::{Facts, Other, Silence},
    finding::{Seen, Verdict},
    level::Level,
    node::said,
};
use crate::{
    basics::{Severity, clock},
    generation::Role,
    gocd::version,
    status::Status,
};

/// Whether the other node answers.
pub(super) fn answers(facts: &Facts) -> Verdict {
    let Some(status) = facts.status() else {
        return Verdict::Elsewhere;
    };
    if facts.others.is_empty() {
        return Verdict::wrong(no_other(status));
    }
    let mut seen = Vec::new();
    let mut unknown = None;
    for other in &facts.others {
        match &other.node {
            Err(Silence::Unreachable(why)) => {
                let live = format!("{}/go/add-on/business-continuity/live", other.url);
                seen.push(Seen::new(why).mend(format!("curl --insecure --max-time 5 {live}")));
            }
            Err(Silence::Unknown(why)) => unknown = Some(why.clone()),
            Err(Silence::Untrusted(_) | Silence::TokenRefused(_)) | Ok(_) => {}
        }
    }
    match (seen.is_empty(), unknown) {
        (true, Some(why)) => Verdict::Unknown(why),
        _ => Verdict::of(seen),
    }
}

/// Where no other node is known.
fn no_other(status: &Status) -> Seen {
    match status.role {
        Role::Primary => Seen::new("no standby has reported to this primary: nothing protects it")
            .level(Level::Warning)
            .mend("gocd-bc status    # on the standby"),
        _ => Seen::new("bc.primary.url names no primary, so nothing is synced").mend(
            "wrapper.java.additional.101=-Dbc.primary.url=https://primarygo:8155    # in wrapper-properties.conf",
        ),
    }
}

/// What the other nodes say of themselves.
pub(super) fn says(facts: &Facts) -> Verdict {
    each(facts, |other, status, seen| {
        for problem in &status.problems {
            if problem.severity > Severity::Ok {
                let said = Seen::said(problem.severity, &problem.message);
                seen.push(Seen {
                    what: format!("{} says: {}", other.url, said.what),
                    commands: vec!["gocd-bc doctor    # on that host".to_owned()],
                    ..said
                });
            }
        }
    })
}

/// Whether both trust each other.
pub(super) fn trust(facts: &Facts) -> Verdict {
    let Some(own) = facts.status() else {
        return Verdict::Elsewhere;
    };
    let mut seen = said(facts, Check::Trust);
    let mut asked = false;
    for other in &facts.others {
        match &other.node {
            Err(Silence::Untrusted(why)) => seen.push(Seen::said(Severity::Critical, why)),
            Err(Silence::TokenRefused(_)) => asked = true,
            Ok(there) => {
                asked = true;
                seen.extend(stranger_there(own, other, there));
            }
            Err(_) => {}
        }
    }
    known(facts, seen, asked)
}

/// This standby, where its primary does not trust it.
fn stranger_there(own: &Status, other: &Other, there: &Status) -> Option<Seen> {
    let is_own = |fingerprint| own.fingerprint.is_some() && own.fingerprint == fingerprint;
    let stranger = there.strangers.iter().find(|stranger| is_own(stranger.fingerprint))?;
    let key = stranger.fingerprint?;
    Some(
        Seen::new(format!(
            "{} does not trust this node: its key waits there for somebody to compare it",
            other.url
        ))
        .level(Level::Warning)
        .mend(format!("gocd-bc trust {key}    # on that host")),
    )
}

/// Whether both have the same token.
pub(super) fn token(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    let mut seen = said(facts, Check::Token);
    match &here.token {
        Ok(Some(_)) => {}
        Ok(None) if seen.is_empty() => seen.push(
            Seen::new("there is no file business-continuity-token here")
                .mend("gocd-bc token generate    # on the primary, once; then copy the file to the standby"),
        ),
        Err(why) if seen.is_empty() && facts.others.is_empty() => return Verdict::Unknown(why.clone()),
        Ok(None) | Err(_) => {}
    }
    let mut asked = false;
    for other in &facts.others {
        match &other.node {
            Ok(_) => asked = true,
            Err(Silence::TokenRefused(why)) => seen.push(
                Seen::new(why)
                    .mend("sha256sum business-continuity-token    # in the configuration folder of both hosts"),
            ),
            Err(_) => {}
        }
    }
    known(facts, seen, asked)
}

/// Whether both have the same version of GoCD.
pub(super) fn gocd_version(facts: &Facts) -> Verdict {
    let Some(own) = facts.status() else {
        return Verdict::Elsewhere;
    };
    let mut unknown = None;
    let verdict = each(facts, |other, there, seen| {
        match (&own.gocd_version, &there.gocd_version) {
            (Some(here), Some(far)) if here != far => {
                let newer = match version::is_newer(here, far) {
                    Some(true) => here,
                    Some(false) => far,
                    None => here.max(far),
                };
                // A standby with a newer one follows.
                let newer_follows = match own.role {
                    Role::Primary => version::is_newer(far, here) == Some(true),
                    _ => version::is_newer(here, far) == Some(true),
                };
                let (level, word) = match newer_follows {
                    true => (Level::Warning, ": an upgrade is under way"),
                    false => (Level::Critical, ""),
                };
                seen.push(
                    Seen::new(format!("GoCD is {here} here, and {far} at {}{word}", other.url))
                        .level(level)
                        .mend(format!("apt-get install go-server={newer}    # on the older one")),
                );
            }
            (Some(_), Some(_)) => {}
            (None, _) => unknown = Some("this node does not know which GoCD is beside it".to_owned()),
            (_, None) => unknown = Some(format!("{} does not know which GoCD is beside it", other.url)),
        }
    });
    match (verdict, unknown) {
        (Verdict::Well, Some(why)) => Verdict::Unknown(why),
        (verdict, _) => verdict,
    }
}

/// Whether both have the same version of this plugin.
pub(super) fn plugin_version(facts: &Facts) -> Verdict {
    let Some(own) = facts.status() else {
        return Verdict::Elsewhere;
    };
    each(facts, |other, there, seen| {
        if own.product_version != there.product_version {
            seen.push(
                Seen::new(format!(
                    "the plugin is {} here, and {} at {}",
                    own.product_version, there.product_version, other.url
                ))
                .mend("gocd-bc explain plugin-version"),
            );
        }
    })
}

/// Whether both have the same major version of Java.
pub(super) fn java_version(facts: &Facts) -> Verdict {
    let java = |status: &Status| status.surroundings.as_ref()?.java_version.clone();
    let Some(own) = facts.status().and_then(java) else {
        return Verdict::Elsewhere;
    };
    let mut compared = false;
    let verdict = each(facts, |other, there, seen| {
        let Some(there) = java(there) else { return };
        compared = true;
        if major(&own) != major(&there) {
            seen.push(
                Seen::new(format!("Java is {own} here, and {there} at {}", other.url))
                    .mend("gocd-bc explain java-version"),
            );
        }
    });
    match (verdict, compared) {
        // A node without a JVM, or of the version before.
        (Verdict::Well, false) => Verdict::Elsewhere,
        (verdict, _) => verdict,
    }
}

fn major(java: &str) -> &str {
    let java = java.strip_prefix("1.").unwrap_or(java);
    java.split(['.', '-', '+', '_']).next().unwrap_or_default()
}

/// Whether both clocks agree.
pub(super) fn clocks(facts: &Facts) -> Verdict {
    if facts.status().is_none() {
        return Verdict::Elsewhere;
    }
    let mut seen = Vec::new();
    let mut measured = false;
    for other in &facts.others {
        let Some(ahead_ms) = other.clock_ahead_ms else { continue };
        measured = true;
        let seconds = ahead_ms.unsigned_abs() / 1000;
        if seconds >= clock::APART_S {
            let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
            seen.push(
                Seen::new(format!(
                    "the clock of {} is {seconds} s {direction} that of this host",
                    other.url
                ))
                .mend("timedatectl set-ntp true    # on both hosts"),
            );
        }
    }
    if seen.is_empty() {
        seen = said(facts, Check::Clocks);
    }
    known(facts, seen, measured)
}

/// Whether both containers install the same plugins.
pub(super) fn plugin_installs(facts: &Facts) -> Verdict {
    let installs = |status: &Status| status.surroundings.as_ref().map(|all| all.plugin_installs.clone());
    let Some(own) = facts.status().and_then(installs) else {
        return Verdict::Elsewhere;
    };
    let mut is_matter = !own.is_empty();
    let verdict = each(facts, |other, there, seen| {
        let Some(there) = installs(there) else { return };
        is_matter |= !there.is_empty();
        let names = own
            .keys()
            .chain(there.keys())
            .filter(|name| own.get(*name) != there.get(*name));
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        if !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            seen.push(
                Seen::new(format!(
                    "other plugins are installed at the start of {} than here: {}",
                    other.url,
                    names.join(", ")
                ))
                .mend("env | grep GOCD_PLUGIN_INSTALL_    # in both containers"),
            );
        }
    });
    if is_matter { verdict } else { Verdict::Elsewhere }
}

/// Looks at each other node that answers. Where none does it is not known.
fn each(facts: &Facts, mut look: impl FnMut(&Other, &Status, &mut Vec<Seen>)) -> Verdict {
    if facts.status().is_none() {
        return Verdict::Elsewhere;
    }
    let mut seen = Vec::new();
    let mut asked = false;
    for other in &facts.others {
        if let Ok(status) = &other.node {
            asked = true;
            look(other, status, &mut seen);
        }
    }
    known(facts, seen, asked)
}

/// The verdict of what was seen; where nothing was and nobody was `asked`, it is not known.
fn known(facts: &Facts, seen: Vec<Seen>, asked: bool) -> Verdict {
    match (seen.is_empty() && !asked, facts.others.is_empty()) {
        // That is said once, by `other-node`.
        (true, true) => Verdict::Elsewhere,
        (true, false) => Verdict::Unknown("the other node did not say what it is".to_owned()),
        (false, _) => Verdict::of(seen),
    }
}
