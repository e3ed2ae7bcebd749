//! What the doctor sees: everything is asked at once, and nobody is waited for longer than his deadline.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bc_core::{
    doctor::facts::{Facts, Here, Wrapper},
    generation::{Layout, layout::may_be_there},
    keys::Token,
    settings::{Flag, Settings},
};

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::{Installation, Node, Search, WrapperConf},
};

mod clusters;
mod database;
mod files;
mod old_ports;
mod others;
mod processes;
mod token;

/// The script that GoCD's Helm chart runs after each start, and what it leaves once it is done.
const HELM_SCRIPT: &str = "/preconfigure_server.sh";
const HELM_DONE: &str = "/godata/logs/preconfigure_complete.log";

/// The node here answers within this time, or is said not to.
const NODE_WITHIN: Duration = Duration::from_secs(3);
/// Another node answers within this time.
const OTHERS_WITHIN: Duration = Duration::from_secs(3);
/// The PostgreSQL clusters of this host are found and looked at within this time.
const CLUSTERS_WITHIN: Duration = Duration::from_secs(8);
/// Each of them answers within this time, with what it says of the server that it follows.
#[cfg(target_os = "linux")]
const CLUSTER_WITHIN: Duration = Duration::from_secs(5);
/// The name of a database's host leads somewhere within this time.
const NAMES_WITHIN: Duration = Duration::from_secs(1);
/// Files are read within this time: a disk may hang.
const FILES_WITHIN: Duration = Duration::from_secs(3);

/// Gathers all that can be seen from this host.
///
/// # Errors
/// It is not known which node is meant.
pub(super) fn facts(search: &Search, data: Option<PathBuf>) -> Result<Facts, Failure> {
    let is_given = data.is_some();
    let looking = within(CLUSTERS_WITHIN, move || clusters::all(data));
    let facts = of_gocd(search)?;
    let mut clusters = looking
        .wait()
        .unwrap_or_else(|late| Err(late.of("PostgreSQL on this host")));
    if let (Ok(found), false) = (&mut clusters, is_given) {
        let (found, has_gocd) = (std::mem::take(found), facts.here.is_some());
        let status = facts.here.as_ref().and_then(|here| here.node.clone().ok().flatten());
        let meant = within(NAMES_WITHIN, move || {
            clusters::of_the_pair(found, has_gocd, status.as_ref())
        });
        clusters = meant.wait().map_err(|late| late.of("the resolver of names"));
    }
    Ok(Facts {
        clusters: Some(clusters),
        ..facts
    })
}

/// What can be seen of GoCD.
fn of_gocd(search: &Search) -> Result<Facts, Failure> {
    let node = match search.node(ExitCode::Unknown) {
        Ok(node) => Arc::new(node),
        // A database host, or nothing of ours.
        Err(failure) if failure.exit() == ExitCode::Unknown => return Ok(Facts::default()),
        Err(failure) => return Err(failure),
    };
    let installation = search.installation_of(&node);
    let asked = within(NODE_WITHIN, {
        let node = Arc::clone(&node);
        move || client::status(&node.state_dir).map_err(|failure| failure.message().to_owned())
    });
    let read = within(FILES_WITHIN, {
        let (node, installation) = (Arc::clone(&node), installation.clone());
        move || here(&node, installation.as_ref())
    });
    let (mut here, token) = read.wait().unwrap_or_else(|late| {
        let why = late.of("the disk");
        (nothing_seen(&node, &why), None)
    });
    // They may lie on a disk of their own, which may hang.
    let named = within(FILES_WITHIN, {
        let (layout, token) = (node.layout.clone(), token.clone());
        move || files::named(layout.as_ref(), token.as_ref())
    });
    here.node = asked.wait().unwrap_or_else(|late| Err(late.of("the node here")));
    let looking = match &here.node {
        Ok(Some(_)) => None,
        _ => database::begin(&node, installation.as_ref()),
    };
    let mut others = Vec::new();
    if let Ok(Some(status)) = &here.node {
        others = others::ask(&node, status, token.as_ref());
        here.old_ports = others::old_ports(status, &others);
    }
    here.named_files = named
        .wait()
        .unwrap_or_else(|late| Err(late.of("the disk of the files that the configuration names")));
    Ok(Facts {
        here: Some(here),
        others,
        database: looking.and_then(database::heard),
        clusters: None,
    })
}

/// What the files, disks and processes here tell, and the token.
fn here(node: &Node, installation: Option<&Installation>) -> (Here, Option<Token>) {
    let mut here = nothing_seen(
        node,
        "which GoCD the node belongs to is not known: name its folder with --gocd DIR",
    );
    here.process = processes::of_node(&node.state_dir);
    here.agents = processes::agents();
    here.volume = files::volume(&node.state_dir);
    here.helm_waits = Path::new(HELM_SCRIPT).exists().then(|| !Path::new(HELM_DONE).exists());
    here.flag = Ok(installation.map(|installation| {
        let (settings, _) = Settings::parse(&installation.properties, may_be_there);
        settings.flag != Flag::None
    }));
    here.wrapper = installation
        .and_then(|installation| installation.conf.as_ref())
        .map(|wrapper| {
            let folder = node.layout.as_ref().map(Layout::working_dir);
            seen_wrapper(wrapper, folder.unwrap_or(Path::new(".")))
        });
    let token = token::read(node);
    here.token = token
        .as_ref()
        .map(|token| token.as_ref().map(|token| token.user().to_owned()))
        .map_err(Clone::clone);
    if let Some(layout) = &node.layout {
        here.config_dir = Some(layout.cruise_config_dir().display().to_string());
        here.plugins_dir = Some(layout.plugins_external().display().to_string());
        here.files = files::files(layout);
        here.disks = files::disks(layout);
        here.config_git = files::config_git(layout);
    }
    (here, token.ok().flatten())
}

/// A host of which nothing is known yet, and why.
fn nothing_seen(node: &Node, why: &str) -> Here {
    Here {
        state_dir: node.state_dir.display().to_string(),
        config_dir: None,
        plugins_dir: None,
        node: Err(why.to_owned()),
        token: Err(why.to_owned()),
        flag: Err(why.to_owned()),
        wrapper: None,
        process: Err(why.to_owned()),
        files: Err(why.to_owned()),
        named_files: Err(why.to_owned()),
        disks: Err(why.to_owned()),
        agents: Err(why.to_owned()),
        volume: Err(why.to_owned()),
        config_git: Err(why.to_owned()),
        helm_waits: None,
        old_ports: Vec::new(),
    }
}

/// What a `wrapper.conf` gives a JVM that works in `folder`.
fn seen_wrapper(wrapper: &WrapperConf, folder: &Path) -> Wrapper {
    let arguments: Vec<String> = wrapper.arguments().into_iter().map(str::to_owned).collect();
    let agent = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("-javaagent:"));
    Wrapper {
        file: wrapper.for_administrators().display().to_string(),
        agent_jar: agent.map(|agent| {
            let jar = folder.join(agent.split('=').next().unwrap_or_default());
            let is_there = jar.exists();
            (jar.display().to_string(), is_there)
        }),
        arguments,
    }
}

/// Something that is under way on a thread of its own.
struct UnderWay<T> {
    answer: mpsc::Receiver<T>,
    limit: Duration,
    begun: Instant,
}

/// Nobody answered in time, and this was the time.
struct Late(Duration);

impl Late {
    /// The time.
    #[cfg(target_os = "linux")]
    fn seconds(&self) -> u64 {
        self.0.as_secs()
    }

    /// Says who was too late.
    fn of(self, who: &str) -> String {
        format!("{who} did not answer within {} s", self.0.as_secs())
    }
}

/// Begins something that is to be over within this time. What is not is left to itself: it ends with the process.
fn within<T: Send + 'static>(limit: Duration, doing: impl FnOnce() -> T + Send + 'static) -> UnderWay<T> {
    let (told, answer) = mpsc::channel();
    // Without a thread nobody answers, and that is said.
    drop(
        thread::Builder::new()
            .name("bc-doctor".to_owned())
            .spawn(move || drop(told.send(doing()))),
    );
    UnderWay {
        answer,
        limit,
        begun: Instant::now(),
    }
}

impl<T> UnderWay<T> {
    /// Waits for the end of what is under way.
    fn wait(self) -> Result<T, Late> {
        let left = self.limit.saturating_sub(self.begun.elapsed());
        self.answer.recv_timeout(left).map_err(|_| Late(self.limit))
    }
}
