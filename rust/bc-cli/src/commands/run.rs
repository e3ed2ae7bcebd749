//! `gocd-bc primary` and `gocd-bc standby`: a node without a JVM.
//!
//! The same node as in the plugin and the agent, opened with the same settings. Log lines go to stderr. A standby that
//! is promoted closes and opens again, as agent and plugin take over from each other in a JVM: the recorded role then
//! makes it a primary. So does a primary that another node has replaced: it is held then.

use std::{env, path::Path, time::Duration};

use bc_core::{basics::Properties, generation::layout::may_be_there, node::Event, settings::Settings};
use bc_server::node::Node;
use time::{OffsetDateTime, macros::format_description};

use crate::{args::NodeArguments, exit_code::ExitCode, failure::Failure, find::Search, output, owner, stop::Stop};

/// How soon a request to end is seen.
const INTERVAL: Duration = Duration::from_millis(200);

mod heap;

/// Runs `gocd-bc primary`: a primary without a JVM, until it is asked to end.
pub(crate) fn primary(search: &Search, arguments: &NodeArguments) -> Result<ExitCode, Failure> {
    heap::bound();
    let mut properties = properties(search, arguments)?;
    if !is_named(arguments, "go.server.mode") {
        // An installation's wrapper.conf may ask for a standby; the command says otherwise.
        properties.set("go.server.mode", "");
    }
    run(&properties)
}

/// Runs `gocd-bc standby`: a standby without a JVM, until it is asked to end.
pub(crate) fn standby(
    search: &Search,
    primary_url: Option<String>,
    arguments: &NodeArguments,
) -> Result<ExitCode, Failure> {
    heap::bound();
    let mut properties = properties(search, arguments)?;
    properties.set("go.server.mode", "standby");
    if let Some(url) = primary_url {
        properties.set("bc.primary.url", url);
    }
    run(&properties)
}

/// Makes the settings of a node without a JVM from the command line.
fn properties(search: &Search, arguments: &NodeArguments) -> Result<Properties, Failure> {
    let current = env::current_dir()
        .map_err(|error| Failure::new(ExitCode::Failed, format!("the current folder is gone: {error}"), ""))?;
    let absolute = |path: &Path| current.join(path).display().to_string();
    let mut properties = search.jvm_properties()?;
    properties.set("bc.face", "cli");
    if let Some(folder) = &arguments.working_dir {
        properties.set("user.dir", absolute(folder));
    }
    if let Some(folder) = &arguments.config_dir {
        properties.set("cruise.config.dir", absolute(folder));
        properties.set("cruise.config.file", absolute(&folder.join("cruise-config.xml")));
    }
    if let Some(folder) = &arguments.plugins_dir {
        properties.set("plugins.external.provided.path", absolute(folder));
    }
    if let Some(folder) = search.given_state_dir() {
        properties.set("bc.state.dir", absolute(folder));
    }
    if let Some(address) = &arguments.listen {
        properties.set("bc.listen", address);
    }
    for (name, value) in &arguments.property {
        properties.set(name, value);
    }
    Ok(properties)
}

/// Whether the arguments of `gocd-bc primary` and `standby` set this property.
fn is_named(arguments: &NodeArguments, name: &str) -> bool {
    arguments.property.iter().any(|(given, _)| given == name)
}

/// Runs a node without a JVM until the process is asked to end; where its role changes it opens again.
fn run(properties: &Properties) -> Result<ExitCode, Failure> {
    let stop = Stop::on_signals()?;
    let (settings, mistakes) = Settings::parse(properties, may_be_there);
    if !mistakes.is_empty() {
        let failure = Failure::new(
            ExitCode::Usage,
            "some settings are wrong",
            "Correct them and try again.",
        );
        return Err(mistakes.iter().fold(failure, Failure::caused_by));
    }
    owner::become_owner_of(settings.layout.cruise_config())?;
    let mut properties = properties.clone();
    let mut node = Node::open(&properties)?;
    while !stop.is_requested() {
        match node.next_event(INTERVAL) {
            Some(Event::Log { level, message }) => log(level, &message),
            Some(Event::Release(_)) => {
                log(tracing::Level::INFO, "this node goes on as the primary; start GoCD now");
                close(&node);
                // Whoever had to be asked was asked.
                properties.set("bc.guarded", "true");
                node = Node::open(&properties)?;
            }
            Some(Event::Exit(_)) => {
                // As a JVM that ends and is started again.
                log(
                    tracing::Level::ERROR,
                    "this node ends, and opens again as it is by now; stop GoCD beside it",
                );
                close(&node);
                properties.set("bc.guarded", "");
                node = Node::open(&properties)?;
            }
            // The dashboard and `gocd-bc status` show what is wrong.
            Some(Event::Health(_) | Event::Hold(_)) | None => {}
        }
    }
    log(tracing::Level::INFO, "asked to end");
    close(&node);
    Ok(ExitCode::Ok)
}

/// Closes a node without a JVM, and logs what it still had to say.
fn close(node: &Node) {
    node.close();
    while let Some(event) = node.next_event(Duration::ZERO) {
        if let Event::Log { level, message } = event {
            log(level, &message);
        }
    }
}

/// Writes a log line of a node without a JVM to stderr.
fn log(level: tracing::Level, message: &str) {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let now = OffsetDateTime::now_utc()
        .format(&form)
        .expect("the time has every part of the form");
    output::say(&format!("{now} {level:5} {message}\n"));
}
