//! The two servers, from nothing to a standby that is in sync.

use std::time::Duration;

use anyhow::Result;

use crate::{
    demo::{
        Stop,
        databases::{Databases, Tables},
        folders::{self, GocdFolder, Login},
        node::{Node, Ports, Start},
        primary_files, wrapper,
    },
    ports,
    project::{JAR, Project},
    tools::Jdk,
};

/// How long a server may take to start, on a machine that is busy with builds.
const START: Duration = Duration::from_secs(120);

/// GoCD looks for edits of cruise-config.xml every few seconds and writes the file once more. The demo saves in
/// its place, and a poll that falls on a change would write the text before it.
const NO_POLL: &str = "-Dcruise.config.refresh.interval=86400000";
/// Nobody wants the artifacts of the demo, which are in the folder of each server.
const NO_ARTIFACTS: &str = "-Dbc.artifacts.shared=no";

/// What the servers of a pair have beside them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    /// A PostgreSQL each, one of which follows the other.
    pub(crate) databases: bool,
    /// The wrapper around each JVM.
    pub(crate) wrapper: bool,
}

/// A running primary and a standby that is held and in sync.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) project: Project,
    pub(crate) login: Login,
    // Dropped first, so that it does not complain about a primary that is gone.
    pub(crate) standby: Node,
    pub(crate) primary: Node,
    /// Of both, where they have any.
    pub(crate) databases: Option<Databases>,
}

impl Pair {
    /// Makes the folders and starts both servers in the order of the installation guide: primary with jar and
    /// token, copy of its configuration folder, standby. Where each has a database, these come first.
    pub(crate) fn start(project: &Project, jdk: &Jdk, beside: Beside, stop: &Stop) -> Result<Self> {
        let [primary_ports, standby_ports] = free_ports()?;
        folders::make_anew(project)?;
        let databases = match beside.databases {
            true => Some(Databases::start(project, Tables::OfDemo)?),
            false => None,
        };
        // Without one there would be GoCD's own, which is not copied.
        let watch = (!beside.databases).then(|| "-Dbc.db.watch=off".to_owned());

        let (folder, login) = folders::make_primary(project)?;
        if let Some(databases) = &databases {
            databases.name_to(&folder, &databases.primary)?;
        }
        // With databases the primary has it as well, as the guide says: for the day when the roles change.
        let agent = format!("-javaagent:plugins/external/{JAR}");
        let asked = [
            Some(NO_POLL.to_owned()),
            Some(NO_ARTIFACTS.to_owned()),
            beside.databases.then(|| agent.clone()),
            watch.clone(),
        ];
        let asked: Vec<String> = asked.into_iter().flatten().collect();
        let mut primary = start(project, jdk, "primary", folder, primary_ports, &asked, beside.wrapper)?;
        stop.wait_until("the primary's GoCD answers and our port is open", START, || {
            primary.jvm.must_run()?;
            Ok(primary.gocd_is_healthy()
                && primary.folder.peers().is_file()
                && primary.status(project)?["listening"].is_string())
        })?;
        if beside.databases {
            primary_files::keep_history(&primary.folder)?;
        }

        let folder = folders::make_standby(project, &primary.folder)?;
        if let Some(databases) = &databases {
            databases.name_to(&folder, &databases.standby)?;
        }
        let asked = [
            agent,
            "-Dgo.server.mode=standby".to_owned(),
            NO_ARTIFACTS.to_owned(),
            format!("-Dbc.primary.url={}", primary.url()),
        ];
        let asked: Vec<String> = asked.into_iter().chain(watch).collect();
        let standby = start(project, jdk, "standby", folder, standby_ports, &asked, beside.wrapper)?;
        let mut pair = Self {
            project: project.clone(),
            login,
            standby,
            primary,
            databases,
        };
        stop.wait_until("the standby is held and has all files", START, || {
            pair.must_run()?;
            let status = pair.standby.status(project)?;
            Ok(status["phase"] == "holding" && primary_files::are_equal(&pair.primary.folder, &pair.standby.folder)?)
        })?;
        Ok(pair)
    }

    /// # Errors
    /// One of the JVMs has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        self.primary.jvm.must_run()?;
        self.standby.jvm.must_run()
    }
}

fn start(
    project: &Project,
    jdk: &Jdk,
    name: &'static str,
    folder: GocdFolder,
    ports: Ports,
    asked: &[String],
    is_wrapped: bool,
) -> Result<Node> {
    let mut words = vec![
        format!("-Dcruise.server.port={}", ports.gocd),
        "-Dcruise.listen.host=127.0.0.1".to_owned(),
        format!("-Dbc.listen=127.0.0.1:{}", ports.sync),
    ];
    words.extend_from_slice(asked);
    if !nix::unistd::geteuid().is_root() {
        // Both the server and whoever runs the demo are the same user here.
        words.push("-Dbc.operator=owner".to_owned());
    }
    let java = jdk.program("java");
    let log = folders::log(project, name);
    let start = if is_wrapped {
        let (conf, pid) = (log.with_extension("conf"), log.with_extension("pid"));
        wrapper::write_conf(&conf, &pid, project, &java, &folder, &words)?;
        Start {
            name,
            program: wrapper::PROGRAM.into(),
            words: vec!["-c".to_owned(), conf.display().to_string()],
            pid_file: Some(pid),
        }
    } else {
        words.extend(["-jar".to_owned(), project.host_jar().display().to_string()]);
        Start {
            name,
            program: java,
            words,
            pid_file: None,
        }
    };
    start.node(folder, ports, log)
}

fn free_ports() -> Result<[Ports; 2]> {
    let [gocd, sync, standby_gocd, standby_sync] = ports::free()?;
    Ok([
        Ports { gocd, sync },
        Ports {
            gocd: standby_gocd,
            sync: standby_sync,
        },
    ])
}
