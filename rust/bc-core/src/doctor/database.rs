//! Decisions about GoCD's database: what the node that watches it says of it, and what is seen of it on this host. The host
//! of a database needs no GoCD for that: one look at each server is judged by the rules of the node.

use std::time::Duration;

use super::{
    check::Check,
    cluster::{Cluster, Inside},
    facts::Facts,
    finding::{Seen, Verdict},
    node::said,
};
use crate::{
    basics::{Properties, Severity, words::size},
    database::{
        answer::Answer,
        configured::{self, Configured, Login},
        facts::Facts as ServerFacts,
        finding::{Fault, Finding},
        following::Following,
        look::{Look, Role},
        picture::Picture,
        url::Server,
        watch::Watch,
    },
    generation,
};

/// What a watch says only of what lasts is said of one look: it is taken twice, with this time between. A start of a
/// standby, or its way to a new timeline, is over by then.
const LASTS: Duration = Duration::from_secs(60);
/// The same for a standby, whose replay may stand still for longer than that.
const LASTS_ON_STANDBY: Duration = Duration::from_secs(20);

/// What is found of GoCD's database by one of its checks.
pub(super) fn judge(check: Check, facts: &Facts) -> Verdict {
    let node = facts.database();
    let looked = looked(facts);
    let by_node = node.is_some() && is_matter_of_node(check, facts);
    let by_look = looked.iter().any(|looked| looked.is_matter(check));
    if !by_node && !by_look {
        return Verdict::Elsewhere;
    }
    let found: Vec<&Finding> = looked.iter().flat_map(|looked| &looked.findings).collect();
    let of_node = node.map_or(&[][..], |node| &node.findings);
    // Who looks into the server knows the reason, and the node does not.
    let only_of_node = |finding: &&Finding| !found.iter().any(|other| other.name == finding.name);
    let all: Vec<&Finding> = of_node
        .iter()
        .filter(only_of_node)
        .chain(found.iter().copied())
        .collect();
    let mut seen: Vec<Seen> = all
        .iter()
        .filter(|finding| check_of(finding.name) == check)
        .map(|finding| Seen::said(finding.severity, &finding.message))
        .collect();
    if all.is_empty() {
        // A node of the version before says all of it in one problem.
        seen.extend(said(facts, check));
    }
    if !seen.is_empty() || is_about_the_way(check) {
        return Verdict::of(seen);
    }
    if !by_look {
        return match node {
            // There is no PostgreSQL that anybody could look at.
            Some(node) if !node.findings.is_empty() && node.servers.is_empty() => Verdict::Elsewhere,
            Some(node)
                if !answers(node)
                    && node
                        .findings
                        .iter()
                        .any(|finding| is_about_the_way(check_of(finding.name))) =>
            {
                Verdict::Unknown("GoCD's database did not answer".to_owned())
            }
            _ => Verdict::Well,
        };
    }
    let is_comparison = matches!(check, Check::DatabaseMajor | Check::DatabaseCopy);
    match is_comparison && !by_node && looked.iter().any(|looked| looked.is_alone) {
        true => Verdict::Unknown("the server that this standby follows did not say what it is".to_owned()),
        false => Verdict::Well,
    }
}

/// What one look at GoCD's database says, by the login of GoCD and the rules of its node. Whether it is a standby's is told
/// by the servers that answer, and where none does by `is_standby`.
pub fn of_one_look(login: &Login, answers: &[Answer], is_standby: bool) -> Picture {
    let has = |role| {
        let looks = answers.iter().filter_map(|answer| answer.look.as_ref().ok());
        looks.into_iter().any(|look| look.role == role)
    };
    let is_standby = match (has(Role::Primary), has(Role::Standby)) {
        (false, false) => is_standby,
        (is_primary, _) => !is_primary,
    };
    // Nobody says where the primary's is.
    let primary = is_standby.then_some(None);
    let mut watch = Watch::default();
    watch.note(login, answers, primary, Duration::ZERO);
    let lasts = if is_standby { LASTS_ON_STANDBY } else { LASTS };
    watch.note(login, answers, primary, lasts)
}

/// What PostgreSQL on this host is now, for people.
pub(super) fn state(cluster: &Cluster) -> String {
    if !cluster.is_running {
        return "stopped".to_owned();
    }
    let senders = |inside: &Inside| inside.facts.as_ref().map(|facts| facts.senders);
    match (
        cluster.is_standby,
        Looked::of(cluster),
        cluster.inside.as_ref().ok().and_then(senders),
    ) {
        (true, Some(looked), _) => format!("a standby, {}", looked.line),
        (true, None, _) => "a standby".to_owned(),
        (false, _, None) => "a primary".to_owned(),
        (false, _, Some(0)) => "a primary, from which no standby receives".to_owned(),
        (false, _, Some(1)) => "a primary, from which one standby receives".to_owned(),
        (false, _, Some(several)) => format!("a primary, from which {several} standbys receive"),
    }
}

/// Whether a check is about the way to the database, and not about what is there.
fn is_about_the_way(check: Check) -> bool {
    matches!(
        check,
        Check::DatabaseSettings | Check::DatabaseCovered | Check::DatabaseHost | Check::DatabaseAnswers
    )
}

/// Whether a check is about a standby's database, or about a primary's; none where it is about both.
fn role_of(check: Check) -> Option<Role> {
    match check {
        Check::DatabaseMajor | Check::DatabaseCopy | Check::Replication => Some(Role::Standby),
        Check::SlotLost | Check::SlotFills | Check::Archiver => Some(Role::Primary),
        _ => None,
    }
}

/// Whether the node here would find what a check is about.
fn is_matter_of_node(check: Check, facts: &Facts) -> bool {
    match (role_of(check), facts.role()) {
        (Some(Role::Standby), role) => role == Some(generation::Role::Standby),
        (Some(_), role) => role == Some(generation::Role::Primary),
        (None, _) => true,
    }
}

/// Whether any server of GoCD's database answered.
fn answers(picture: &Picture) -> bool {
    picture.servers.iter().any(|server| server.role.is_some())
}

/// What one look at each server of this host says.
fn looked(facts: &Facts) -> Vec<Looked> {
    let clusters = facts.clusters.iter().flatten().flatten();
    clusters.filter_map(Looked::of).collect()
}

/// What one look at a server says.
struct Looked {
    role: Role,
    /// Whether it follows a server that was asked.
    follows: bool,
    findings: Vec<Finding>,
    /// What it does, for people.
    line: String,
    /// Whether it is a standby that neither receives nor heard what it should follow.
    is_alone: bool,
}

impl Looked {
    fn of(cluster: &Cluster) -> Option<Self> {
        let inside = cluster.inside.as_ref().ok()?;
        let look = inside.look.clone()?;
        let (role, receives) = (look.role, look.receiver.is_some());
        let login = login(cluster, inside)?;
        let answer = answer(cluster.port, look, inside.facts.clone());
        let upstream = inside.upstream.as_ref();
        let told = upstream.and_then(|upstream| upstream.told.as_ref());
        let follows = (role == Role::Standby).then_some(told);
        let mut watch = Watch::default();
        if upstream.is_some_and(|upstream| upstream.is_all) {
            watch.lacks_archive();
        }
        if let Some(told) = told {
            watch.hear(&told.position, Duration::ZERO);
        }
        let answers = [answer];
        let now = watch.note(&login, &answers, follows, Duration::ZERO);
        let line = match (now.following, now.behind_bytes) {
            (Some(following), Some(bytes)) => format!("{following}, {} behind", size(bytes)),
            (Some(following), None) => following.to_string(),
            (None, _) => "which is no copy of the server that it follows".to_owned(),
        };
        let lasts = if role == Role::Standby { LASTS_ON_STANDBY } else { LASTS };
        let picture = watch.note(&login, &answers, follows, lasts);
        let reason = upstream.and_then(|upstream| upstream.reason.as_deref());
        let findings = picture.findings.into_iter();
        let explained = |finding: Finding| match (finding.name, reason, picture.following) {
            (Fault::Disconnected | Fault::Flapping, Some(reason), Some(following)) => {
                let message = format!("{} is {following}: {reason}", cluster.name);
                Finding::new(finding.name, finding.severity, message)
            }
            _ => finding,
        };
        let mut findings: Vec<Finding> = findings.map(explained).collect();
        if let (true, None, Some(reason)) = (picture.following.is_some_and(Following::is_well), told, reason) {
            // A server that is frozen, or a network that drops, is noticed by who receives after a minute.
            let message = format!("the server that {} follows does not answer: {reason}", cluster.name);
            let severity = match upstream.is_some_and(|upstream| upstream.is_silent) {
                true => Severity::Critical,
                false => Severity::Warning,
            };
            findings.push(Finding::new(Fault::Unreachable, severity, message));
        }
        Some(Self {
            role,
            follows: upstream.is_some_and(|upstream| upstream.told.is_some() || upstream.reason.is_some()),
            findings,
            line,
            is_alone: role == Role::Standby
                && told.is_none()
                && !receives
                && picture.following != Some(Following::Restoring),
        })
    }

    /// Whether a look at this server would find what a check is about.
    fn is_matter(&self, check: Check) -> bool {
        let is_of_node = is_about_the_way(check) || matches!(check, Check::MigrationLock | Check::Pooler);
        match check {
            Check::DatabaseAnswers => self.follows,
            _ => !is_of_node && role_of(check).is_none_or(|role| role == self.role),
        }
    }
}

fn answer(port: u16, look: Look, facts: Option<ServerFacts>) -> Answer {
    let server = Server {
        host: "localhost".to_owned(),
        port,
    };
    Answer {
        facts: facts.map(Into::into),
        is_local: true,
        ..Answer::of(server, Ok(look))
    }
}

/// What names the database in messages.
fn login(cluster: &Cluster, inside: &Inside) -> Option<Login> {
    let (database, owner) = match &inside.gocd {
        Some(gocd) => (gocd.name.as_str(), gocd.owner.as_str()),
        None => ("gocd", "gocd"),
    };
    let mut properties = Properties::default();
    // Neither is more than a name in a message here.
    let name = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let database = Some(database).filter(name).unwrap_or("gocd");
    let port = cluster.port;
    properties.set("db.url", format!("jdbc:postgresql://localhost:{port}/{database}"));
    properties.set("db.user", owner);
    match configured::read(None, &properties, None).ok()? {
        Configured::PostgreSql(login) => Some(*login),
        Configured::NotCovered(_) => None,
    }
}

/// The check that finds a fault.
fn check_of(fault: Fault) -> Check {
    match fault {
        Fault::Settings | Fault::OddUrl | Fault::LocalHost => Check::DatabaseSettings,
        Fault::NotCovered => Check::DatabaseCovered,
        Fault::NoSuchHost | Fault::SeveralMachines => Check::DatabaseHost,
        Fault::Unreachable
        | Fault::Frozen
        | Fault::NotReady
        | Fault::Ending
        | Fault::Full
        | Fault::Password
        | Fault::NotAllowed
        | Fault::NoDatabase
        | Fault::Tls
        | Fault::Managed
        | Fault::Answer => Check::DatabaseAnswers,
        Fault::IsStandby | Fault::TakesWrites | Fault::SameServer | Fault::Fenced | Fault::NoStandby => {
            Check::DatabaseRole
        }
        Fault::OtherMajor => Check::DatabaseMajor,
        Fault::OtherSystem | Fault::OtherTimeline | Fault::Ahead => Check::DatabaseCopy,
        Fault::Disconnected
        | Fault::Stuck
        | Fault::Paused
        | Fault::Flapping
        | Fault::LowerSettings
        | Fault::SlotMissing => Check::Replication,
        Fault::SlotLost => Check::SlotLost,
        Fault::SlotFills | Fault::SlotInactive => Check::SlotFills,
        Fault::ArchiverFails => Check::Archiver,
        Fault::CommitsWait | Fault::SynchronousNames => Check::Synchronous,
        Fault::DamagedPages => Check::DamagedPages,
        Fault::Collations => Check::Collations,
        Fault::MissingExtensions => Check::Extensions,
        Fault::Locked => Check::MigrationLock,
        Fault::Pooled => Check::Pooler,
    }
}
