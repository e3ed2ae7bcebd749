//! Two real GoCD servers with our jar, two PostgreSQL that stream, and one agent.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Built, api::Api};
use crate::{
    demo::{
        Stop,
        databases::{DATABASE, Databases, Tables},
        folders::{self, GocdFolder},
        jvm::Jvm,
        node::{Node, Ports, Start},
        postgres::Postgres,
    },
    natives::place,
    ports,
    project::{JAR, Project, Variant},
    tools::Jdk,
};

/// How long a real server may take to start, on a machine that is busy with other things.
const START: Duration = Duration::from_secs(300);
/// Both servers keep artifacts in one folder of this machine, which looks like their own.
pub(crate) const SHARED: &str = "-Dbc.artifacts.shared=yes";
/// Tables of GoCD that only grow while pipelines run.
const GROWING: [&str; 5] = [
    "pipelines",
    "stages",
    "builds",
    "buildstatetransitions",
    "modifications",
];
/// Packages into which GoCD and its libraries look.
const OPENED: [&str; 27] = [
    "java.base/java.lang",
    "java.base/java.util",
    "java.base/java.io",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.text",
    "java.base/java.lang.reflect",
    "java.base/java.lang.invoke",
    "java.base/java.lang.ref",
    "java.base/sun.nio.ch",
    "java.base/sun.net.www.protocol.jar",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
    "java.base/java.util.regex",
    "java.base/java.util.jar",
    "java.base/java.util.zip",
    "java.base/java.nio",
    "java.base/java.nio.file",
    "java.base/java.nio.charset",
    "java.base/java.security",
    "java.base/javax.crypto",
    "java.base/java.time",
    "java.base/java.time.format",
    "java.base/java.time.zone",
    "java.desktop/java.beans",
    "java.sql/java.sql",
];

/// Both servers and all that is theirs. Dropped, everything ends.
pub(crate) struct Servers {
    pub(crate) standby: Node,
    pub(crate) primary: Node,
    pub(crate) databases: Databases,
    /// How long the primary needed from nothing running to healthy, on a database that it had migrated before.
    pub(crate) cold_start: Duration,
}

impl Servers {
    /// Sets both up in `root` in the order of the installation guide, until the standby follows.
    pub(crate) fn start(project: &Project, built: &Built, root: &Path, stop: &Stop) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let [gocd, sync, standby_gocd, standby_sync] = ports::free()?;
        let databases = Databases::start(project, Tables::None)?;
        let server = |name: &'static str, ports: Ports, asked: &[String]| {
            let folder = GocdFolder::at(root.join(name));
            for part in ["logs", "tmp", "plugins/external", "config"] {
                let path = folder.root().join(part);
                fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            }
            place(&project.jar(Variant::Product), &folder.plugins().join(JAR))?;
            let start = Start {
                name,
                program: built.jdk.program("java"),
                pid_file: None,
                words: words(&built.go_jar, ports, asked),
            };
            Ok::<_, anyhow::Error>((folder, start))
        };

        let ports = Ports { gocd, sync };
        let agent = format!("-javaagent:plugins/external/{JAR}");
        let (folder, start) = server("primary", ports, std::slice::from_ref(&agent))?;
        databases.name_to(&folder, &databases.primary)?;
        folders::make_token(&folder)?;
        let mut primary = run(folder, ports, start, root)?;
        stop.wait_until("the primary's GoCD is healthy", START, || {
            primary.is_said_to_be_healthy(project)
        })?;
        // The first start migrates the database; the second one is what a promotion is measured by.
        primary.jvm.kill()?;
        share_artifacts(&primary.folder, &root.join("artifacts"))?;
        let begin = Instant::now();
        primary.start_again()?;
        stop.wait_until("the primary's GoCD is healthy again", START, || {
            primary.is_said_to_be_healthy(project)
        })?;
        let cold_start = begin.elapsed();

        let ports = Ports {
            gocd: standby_gocd,
            sync: standby_sync,
        };
        let asked = [
            agent,
            "-Dgo.server.mode=standby".to_owned(),
            format!("-Dbc.primary.url={}", primary.url()),
        ];
        let (folder, start) = server("standby", ports, &asked)?;
        for entry in fs::read_dir(primary.folder.config())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                place(&entry.path(), &folder.config().join(entry.file_name()))?;
            }
        }
        databases.name_to(&folder, &databases.standby)?;
        let standby = run(folder, ports, start, root)?;
        Ok(Self {
            standby,
            primary,
            databases,
            cold_start,
        })
    }

    /// How many rows GoCD's tables have on the first primary.
    pub(crate) fn rows_of_primary(&self) -> Result<usize> {
        rows(&self.databases.primary)
    }

    /// How many changes of its tables GoCD has made in this database.
    pub(crate) fn migrations_of_standby(&self) -> Result<usize> {
        count(&self.databases.standby, "select count(*) from databasechangelog")
    }

    /// How many they have on the first standby.
    pub(crate) fn rows_of_standby(&self) -> Result<usize> {
        rows(&self.databases.standby)
    }

    /// The API of the primary's GoCD.
    pub(crate) fn primary_api(&self) -> Api {
        Api {
            port: self.primary.ports.gocd,
        }
    }

    /// The API of the standby's GoCD, once that runs.
    pub(crate) fn standby_api(&self) -> Api {
        Api {
            port: self.standby.ports.gocd,
        }
    }
}

/// Stops a server as its service is stopped, and starts it on another release.
pub(crate) fn install(node: &mut Node, built: &Built) -> Result<()> {
    node.jvm.end();
    node.start.program = built.jdk.program("java");
    // What `words` puts last.
    *node.start.words.last_mut().context("it is started with words")? = built.go_jar.display().to_string();
    node.start_again()
}

/// The rows of the tables that only grow while pipelines run.
fn rows(server: &Postgres) -> Result<usize> {
    let counted = |table: &&str| format!("(select count(*) from {table})");
    let sum = GROWING.iter().map(counted).collect::<Vec<_>>().join(" + ");
    count(server, &format!("select {sum}"))
}

fn count(server: &Postgres, query: &str) -> Result<usize> {
    let answer = server.session(DATABASE)?.ask(query)?;
    answer.trim().parse().context("the database counts no rows")
}

/// Names one folder outside both servers as that of the artifacts, as a pair must share it. GoCD reads that at its start.
fn share_artifacts(folder: &GocdFolder, shared: &Path) -> Result<()> {
    let file = folder.cruise_config();
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let named = text.replace(
        "<artifactsDir>artifacts</artifactsDir>",
        &format!("<artifactsDir>{}</artifactsDir>", shared.display()),
    );
    ensure!(named != text, "{} names no folder of artifacts", file.display());
    fs::create_dir_all(shared)?;
    fs::write(&file, named).with_context(|| format!("cannot write {}", file.display()))
}

/// Starts an agent that registers itself at the GoCD behind an address.
pub(crate) fn start_agent(jdk: &Jdk, built: &Built, root: &Path, port: u16, primary: &GocdFolder) -> Result<Jvm> {
    let folder = root.join("agent");
    fs::create_dir_all(folder.join("config")).with_context(|| format!("cannot make {}", folder.display()))?;
    let config = fs::read_to_string(primary.cruise_config())?;
    let (_, after) = config
        .split_once("agentAutoRegisterKey=\"")
        .context("the configuration has no key with which agents register")?;
    let key = after.split('"').next().unwrap_or_default();
    fs::write(
        folder.join("config/autoregister.properties"),
        format!("agent.auto.register.key={key}\n"),
    )?;
    // The bootstrapper starts a JVM of its own for each agent, which gets nothing but the environment.
    let words = [
        format!("JAVA_TOOL_OPTIONS={}", opened().join(" ")),
        jdk.program("java").display().to_string(),
        "-Xmx128m".to_owned(),
        "-jar".to_owned(),
        built.agent_bootstrapper.display().to_string(),
        "-serverUrl".to_owned(),
        format!("http://127.0.0.1:{port}/go"),
    ];
    Jvm::start(
        "agent",
        Path::new("/usr/bin/env"),
        &words,
        &folder,
        &root.join("agent.log"),
    )
}

/// A git repository with one commit.
pub(crate) fn make_repository(root: &Path) -> Result<PathBuf> {
    let folder = root.join("material");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("file"), "one\n")?;
    for words in [
        &["init", "--quiet", "--initial-branch=master"][..],
        &["add", "file"],
        &[
            "-c",
            "user.name=story",
            "-c",
            "user.email=story@localhost",
            "commit",
            "--quiet",
            "-m",
            "one",
        ],
    ] {
        crate::command::read(std::process::Command::new("git").arg("-C").arg(&folder).args(words))?;
    }
    Ok(folder)
}

fn opened() -> Vec<String> {
    let open = |package: &&str| format!("--add-opens={package}=ALL-UNNAMED");
    OPENED.iter().map(open).collect()
}

/// What a server is started with.
pub(crate) fn words(go_jar: &Path, ports: Ports, asked: &[String]) -> Vec<String> {
    let mut words = opened();
    words.extend([
        "-Xmx1024m".to_owned(),
        "-Dgo.console.stdout=true".to_owned(),
        "-Dgocd.server.log.dir=logs".to_owned(),
        "-Djava.io.tmpdir=tmp".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
        "-Dcruise.listen.host=127.0.0.1".to_owned(),
        format!("-Dcruise.server.port={}", ports.gocd),
        format!("-Dbc.listen=127.0.0.1:{}", ports.sync),
        SHARED.to_owned(),
    ]);
    words.extend_from_slice(asked);
    words.extend(["-jar".to_owned(), go_jar.display().to_string()]);
    words
}

fn run(folder: GocdFolder, ports: Ports, start: Start, root: &Path) -> Result<Node> {
    let log = root.join(format!("{}.log", start.name));
    start.node(folder, ports, log)
}
