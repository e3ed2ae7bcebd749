//! The standby is promoted while its database, forgotten, is still a standby, so that GoCD ends seconds after it has loaded
//! its plugins. That is no success, and it is said at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    outcome::Outcome,
    scene::{LONG, Scene},
};
use crate::demo::{databases::DATABASE, numbers::milliseconds};

/// The longest time from the end of a GoCD until that is said.
const SAID_WITHIN: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// `gocd-bc promote` said that it failed.
    failure_said: bool,
    /// It said what GoCD's log has of it.
    cause_said: bool,
    /// From the end of the JVM until the command had ended.
    said_after_ms: Option<f64>,
    /// With the database promoted, the next start is healthy.
    next_start_is_healthy: bool,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    /// What the next start says of this one, until GoCD is healthy.
    const WANTED: Option<&'static str> = Some("and ended before it answered");

    fn wishes(&self) -> Vec<(bool, &'static str)> {
        let is_soon = |ms: f64| ms < milliseconds(SAID_WITHIN);
        vec![
            (self.failure_said, "a promotion was claimed that was none"),
            (self.cause_said, "it was not said why GoCD ended"),
            (
                self.said_after_ms.is_some_and(is_soon),
                "it was said late that GoCD had ended",
            ),
            (
                self.next_start_is_healthy,
                "the next start, on a promoted database, is not healthy",
            ),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    scene.servers.primary.jvm.kill()?;
    scene.servers.databases.primary.crash()?;
    let standby = &mut scene.servers.standby;
    let mut promote = standby.companion(scene.project, &["promote", "--without-database", "--yes"]);
    let (jvm, stop) = (&mut standby.jvm, scene.stop);
    let (output, ended) = std::thread::scope(|scope| {
        let output = scope.spawn(|| promote.output().map(|output| (output, Instant::now())));
        let ended = stop.wait_until("GoCD ends", LONG, || Ok(jvm.must_run().is_err()));
        let ended = ended.map(|_| Instant::now());
        (output.join(), ended)
    });
    let (output, said) = match output {
        Ok(output) => output.context("gocd-bc promote")?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    let ended = ended?;
    findings.said_after_ms = Some(milliseconds(said.saturating_duration_since(ended)));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    eprintln!("{text}");
    findings.failure_said = !output.status.success();
    findings.cause_said = text.contains("read-only transaction");

    let database = &scene.servers.databases.standby;
    database.session(DATABASE)?.ask("select pg_promote()")?;
    let standby = &mut scene.servers.standby;
    standby.start_again()?;
    stop.wait_until("the next start is healthy", LONG, || {
        standby.is_said_to_be_healthy(scene.project)
    })?;
    findings.next_start_is_healthy = true;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}
