//! Decisions about the node on this host.

use super::{
    check::Check,
    facts::Facts,
    finding::{Seen, Verdict},
};
use crate::status::{Problem, Topic};

/// Whether a node answers here.
pub(super) fn answers(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    match &here.node {
        Ok(Some(_)) => Verdict::Well,
        Ok(None) => Verdict::wrong(
            Seen::new(format!("no node answers in {}", here.state_dir))
                .mend("systemctl start go-server")
                .mend(format!("gocd-bc status --state-dir {}", here.state_dir)),
        ),
        Err(why) => Verdict::Unknown(why.clone()),
    }
}

/// What the node here says of itself that no other check is about.
pub(super) fn says(facts: &Facts) -> Verdict {
    match facts.status() {
        Some(_) => Verdict::of(said(facts, Check::NodeSays)),
        None => Verdict::Elsewhere,
    }
}

/// Whether artifacts of earlier runs will be there after a promotion, by the node here: it alone sees what GoCD sees.
pub(super) fn artifacts(facts: &Facts) -> Verdict {
    let seen = said(facts, Check::Artifacts);
    let folder = facts.status().and_then(|status| status.artifacts.as_ref());
    match folder.map(|folder| folder.unknown.clone()) {
        _ if !seen.is_empty() => Verdict::Wrong(seen),
        Some(Some(why)) => Verdict::Unknown(why),
        Some(None) => Verdict::Well,
        // Without a JVM nobody looks, and the version before does not.
        None => Verdict::Elsewhere,
    }
}

/// What the node here says that is about this check.
pub(super) fn said(facts: &Facts, check: Check) -> Vec<Seen> {
    let problems = facts.status().map_or(&[][..], |status| &status.problems);
    let of_check = problems.iter().filter(|problem| check_of(problem) == check);
    of_check
        .map(|problem| Seen::said(problem.severity, &problem.message))
        .collect()
}

/// The check that a problem of a node belongs to.
pub(super) fn check_of(problem: &Problem) -> Check {
    match &problem.topic {
        Topic::Primary => Check::OtherNode,
        Topic::PeersFile | Topic::OwnKey => Check::Trust,
        Topic::Token => Check::Token,
        Topic::Versions => Check::PluginVersion,
        Topic::GocdVersion => Check::GocdVersion,
        Topic::Unprotected => Check::Agent,
        Topic::GocdGivesAway => Check::OldGocd,
        Topic::Flag | Topic::NextStart | Topic::UnorderedPromotion => Check::Flag,
        Topic::MissingFiles => Check::NamedFiles,
        Topic::Artifacts => Check::Artifacts,
        Topic::Disk => Check::FreeSpace,
        Topic::Database => Check::DatabaseAnswers,
        Topic::Clocks => Check::Clocks,
        _ => Check::NodeSays,
    }
}
