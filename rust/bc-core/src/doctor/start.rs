//! Decisions about how GoCD is started: our jar, the agent, the flag, and whether it runs with what is on the disk.

use std::collections::BTreeSet;

use super::{
    check::Check,
    facts::{Facts, Here, Wrapper},
    finding::{Seen, Verdict},
    level::Level,
    node::said,
};
use crate::{basics::stray_ends::without_stray_ends, generation::Role, settings::Face, status::Status};

/// The name that the documentation gives our jar.
const JAR: &str = "gocd-business-continuity.jar";
/// What begins the argument with the agent.
const AGENT: &str = "-javaagent:";

/// Whether there is one jar of ours.
pub(super) fn one_jar(facts: &Facts) -> Verdict {
    let (Some(here), Some(status)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    let folder = here.plugins_dir.as_deref().unwrap_or("plugins/external");
    let names: Vec<&str> = status.own_jars.iter().map(|jar| jar.name.as_str()).collect();
    match names.as_slice() {
        [] if status.face == Face::Cli => Verdict::Elsewhere,
        [] if status.scanned_ms.is_none() && status.generation.is_none() => {
            Verdict::Unknown("the node has not read the plugin folder yet".to_owned())
        }
        [] => Verdict::wrong(
            Seen::new(format!("no jar of this plugin is in {folder}"))
                .mend(format!("install -o go -g go -m 0644 {JAR} {folder}/")),
        ),
        [_] => Verdict::Well,
        several => {
            let kept = several.iter().find(|name| **name == JAR).unwrap_or(&several[0]);
            let seen = Seen::new(format!(
                "{} jars of this plugin are in {folder}: {}",
                several.len(),
                several.join(", ")
            ));
            let surplus = several.iter().filter(|name| *name != kept);
            Verdict::wrong(surplus.fold(seen, |seen, name| seen.mend(format!("rm '{folder}/{name}'"))))
        }
    }
}

/// Whether the agent is in both JVMs.
pub(super) fn agent(facts: &Facts) -> Verdict {
    let (Some(here), Some(status)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    let mut seen = said(facts, Check::Agent);
    let mut is_matter = false;
    let mut unknown = None;
    if status.face != Face::Cli {
        is_matter = true;
        match &status.surroundings {
            Some(surroundings) if !surroundings.agent && seen.is_empty() => seen.push(missing_here(here, status)),
            Some(_) => {}
            None => unknown = Some("this version of the plugin does not say whether the agent is there".to_owned()),
        }
    }
    if let Some(wrapper) = &here.wrapper {
        is_matter = true;
        seen.extend(of_wrapper(wrapper, !seen.is_empty()));
    }
    for other in &facts.others {
        let Ok(there) = &other.node else { continue };
        if there.face == Face::Cli {
            continue;
        }
        is_matter = true;
        match &there.surroundings {
            Some(surroundings) if surroundings.agent => {}
            Some(_) => seen.push(
                Seen::new(format!("{} runs without the Java agent", other.url))
                    .level(level_of(there))
                    .mend(format!("{}    # in wrapper-properties.conf on that host", line(None))),
            ),
            None => unknown = Some(format!("{} does not say whether the agent is there", other.url)),
        }
    }
    match (is_matter, seen.is_empty(), unknown) {
        (false, true, _) => Verdict::Elsewhere,
        (true, true, Some(why)) => Verdict::Unknown(why),
        _ => Verdict::of(seen),
    }
}

fn missing_here(here: &Here, status: &Status) -> Seen {
    let file = here
        .wrapper
        .as_ref()
        .map_or("wrapper-properties.conf", |wrapper| &wrapper.file);
    Seen::new("GoCD runs here without the Java agent")
        .level(level_of(status))
        .mend(format!("echo '{}' >>{file}", line(here.wrapper.as_ref())))
        .mend("systemctl restart go-server")
}

/// A primary needs it one day, a standby at once.
fn level_of(status: &Status) -> Level {
    match status.role {
        Role::Primary => Level::Warning,
        _ => Level::Critical,
    }
}

/// What is wrong with the line on the disk. Where the running JVM lacks the agent that was said already.
fn of_wrapper(wrapper: &Wrapper, is_said: bool) -> Option<Seen> {
    match &wrapper.agent_jar {
        Some((jar, false)) => Some(
            Seen::new(format!(
                "the JVM will not start: its argument {AGENT}... names {jar}, and there is no such file"
            ))
            .level(Level::Critical)
            .mend(format!("ls -l '{jar}'"))
            .mend(format!("editor {}", wrapper.file)),
        ),
        None if !is_said => Some(
            Seen::new(format!(
                "no line in {} names the Java agent: it is gone after the next start",
                wrapper.file
            ))
            .mend(format!("echo '{}' >>{}", line(Some(wrapper)), wrapper.file)),
        ),
        _ => None,
    }
}

/// The line with the agent, under a number that the wrapper does not use yet.
fn line(wrapper: Option<&Wrapper>) -> String {
    let used = wrapper.map_or(0, |wrapper| wrapper.arguments.len());
    format!("wrapper.java.additional.{}={AGENT}plugins/external/{JAR}", 100 + used)
}

/// Whether what is asked for is what the nodes are.
pub(super) fn flag(facts: &Facts) -> Verdict {
    let (Some(here), Some(status)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    let mut seen = said(facts, Check::Flag);
    if status.role == Role::Standby && here.flag == Ok(Some(false)) && seen.is_empty() {
        let file = here
            .wrapper
            .as_ref()
            .map_or("wrapper-properties.conf", |wrapper| &wrapper.file);
        seen.push(
            Seen::new(
                "this node is a standby, and its settings no longer ask for one: at its next start it asks the primary, and \
                 promotes itself where that does not answer",
            )
            .mend(format!("echo 'wrapper.java.additional.100=-Dgo.server.mode=standby' >>{file}")),
        );
    }
    for other in &facts.others {
        let Ok(there) = &other.node else { continue };
        match (status.role, there.role) {
            (Role::Primary, Role::Primary) => seen.push(
                Seen::new(format!("this node and {} are both primaries", other.url))
                    .mend("gocd-bc demote    # on the one whose data is not to be kept; then restart it"),
            ),
            (Role::Primary, _) | (_, Role::Primary) => {}
            _ => seen.push(
                Seen::new(format!(
                    "neither this node nor {} is a primary: GoCD runs nowhere",
                    other.url
                ))
                .mend("gocd-bc status    # on both, then `gocd-bc promote` on the one with the newest files"),
            ),
        }
    }
    match &here.flag {
        Err(why) if seen.is_empty() && status.role == Role::Standby => Verdict::Unknown(why.clone()),
        _ => Verdict::of(seen),
    }
}

/// Whether GoCD runs with what is on the disk.
pub(super) fn restart(facts: &Facts) -> Verdict {
    let (Some(here), Some(status)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    if status.face == Face::Cli {
        return Verdict::Elsewhere;
    }
    let mut seen = Vec::new();
    if let [jar] = status.own_jars.as_slice()
        && let Some(version) = &jar.version
        && *version != status.product_version
    {
        let running = &status.product_version;
        seen.push(
            Seen::new(format!("{} is version {version}, and version {running} runs", jar.name))
                .mend("systemctl restart go-server"),
        );
    }
    if let Some(wrapper) = &here.wrapper {
        match &here.process {
            Ok(Some(process)) => seen.extend(arguments_differ(wrapper, &process.arguments)),
            Ok(None) if seen.is_empty() => {
                return Verdict::Unknown("the process that has the node open is not in sight".to_owned());
            }
            Err(why) if seen.is_empty() => return Verdict::Unknown(why.clone()),
            Ok(None) | Err(_) => {}
        }
    }
    Verdict::of(seen)
}

/// What the JVM has not, or has no more on the disk. Only names are said: a value may be a secret.
fn arguments_differ(wrapper: &Wrapper, running: &[String]) -> Option<Seen> {
    let clean = |arguments: &[String]| -> BTreeSet<String> {
        arguments
            .iter()
            .map(|argument| without_stray_ends(argument).replace('"', ""))
            .collect()
    };
    let (on_disk, running) = (clean(&wrapper.arguments), clean(running));
    let is_ours = |argument: &&String| {
        ["-Dbc.", "-Dgo.server.mode=", AGENT]
            .iter()
            .any(|begin| argument.starts_with(begin))
    };
    let is_matter = |argument: &&String| argument.starts_with("-D") || argument.starts_with(AGENT);
    let name = |argument: &String| argument.split(['=', ':']).next().unwrap_or_default().to_owned();
    let new = on_disk.difference(&running).filter(is_matter);
    let gone = running.difference(&on_disk).filter(is_ours);
    let names: BTreeSet<String> = new.chain(gone).map(name).collect();
    (!names.is_empty()).then(|| {
        let names: Vec<String> = names.into_iter().collect();
        Seen::new(format!(
            "GoCD was started with other JVM arguments than {} has now: {}",
            wrapper.file,
            names.join(", ")
        ))
        .mend("systemctl restart go-server")
    })
}
