//! `gocd-bc landing`: what a server found when it had been promoted.

use bc_core::{
    basics::{Clock, SystemClock},
    gocd::agents::Agents,
    node::Order,
    role::landing::Landing,
};

use crate::{client, exit_code::ExitCode, failure::Failure, find::Search, output};

/// Runs `gocd-bc landing`: shows what this server found, until a person has seen it.
pub(crate) fn show(search: &Search, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let mut agents = None;
    let landing = match client::status(&node.state_dir)? {
        Some(status) => {
            agents = status.agents;
            status.landing
        }
        None => {
            output::say("No node answers; this is what its files say.\n");
            Landing::load(&node.state_dir)?.filter(|landing| !landing.is_done)
        }
    };
    if json {
        output::print_json(&landing)?;
        return Ok(ExitCode::Ok);
    }
    match landing {
        Some(landing) => output::print(&render(&landing, agents.as_ref(), SystemClock.now_ms()))?,
        None => {
            output::say("There is nothing to show: this server was not promoted lately, or somebody has seen it.\n")
        }
    }
    Ok(ExitCode::Ok)
}

/// Runs `gocd-bc landing done`: has the node show it no more.
pub(crate) fn done(search: &Search) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::LandingDone)
}

/// What a server found when it had been promoted, for people.
pub(super) fn render(landing: &Landing, agents: Option<&Agents>, now_ms: i64) -> String {
    let mut text = String::new();
    for line in landing.lines(now_ms).into_iter().chain(agents.map(Agents::line)) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}
