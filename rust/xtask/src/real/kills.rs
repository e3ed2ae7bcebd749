//! The primary's JVM is killed again and again while its configuration is changed five times a second, and is promoted away
//! from in the end.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    outcome::Outcome,
    scene::{LONG, Scene},
};
use crate::demo::numbers::milliseconds;

/// How often it is killed.
const KILLS: u32 = 20;
/// From one edit to the next.
const BETWEEN: Duration = Duration::from_millis(200);
/// The longest time of edits before a kill.
const LONGEST: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    kills: u32,
    /// Edits that GoCD took.
    edits: usize,
    /// Edits that it had taken and that were not on the standby when its JVM was gone.
    lost_edits: usize,
    /// The oldest of them, at the kill.
    lost_age_ms_max: f64,
    /// The standby's configuration was a whole one after every kill.
    whole: bool,
    /// Everything that was there in the end is there on the promoted server.
    promoted_with_all: bool,
    two_active_ms: Option<u64>,
}

impl Outcome for Findings {
    fn wishes(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.kills == KILLS, "not all kills were made"),
            // Replication that does not wait may lose what is on its way.
            (
                self.lost_age_ms_max < 1000.0,
                "an edit was lost that was older than a second",
            ),
            (self.whole, "the standby had half a configuration"),
            (self.promoted_with_all, "the promoted server lacks edits"),
            (self.two_active_ms == Some(0), "GoCD answered on both servers at once"),
        ]
    }
}

/// Plays it.
pub(crate) fn play(scene: &mut Scene<'_>, findings: &mut Findings) -> Result<()> {
    let live = scene.servers.standby.folder.cruise_config();
    findings.whole = true;
    for kill in 1..=KILLS {
        let lasts = LONGEST.mul_f64(fraction(kill));
        let began = Instant::now();
        let mut made: Vec<(String, Instant)> = Vec::new();
        while began.elapsed() < lasts {
            let next = Instant::now() + BETWEEN;
            let name = format!("kill-{kill}-{}", made.len());
            scene.primary().make_environment(&name)?;
            made.push((name, Instant::now()));
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        scene.servers.primary.jvm.kill()?;
        let killed = Instant::now();
        let text = fs::read_to_string(&live)?;
        findings.whole &= text.trim_end().ends_with("</cruise>");
        for (name, at) in &made {
            if !text.contains(&format!("\"{name}\"")) {
                findings.lost_edits += 1;
                let age = milliseconds(killed.duration_since(*at));
                findings.lost_age_ms_max = findings.lost_age_ms_max.max(age);
            }
        }
        findings.kills = kill;
        findings.edits += made.len();
        scene.servers.primary.start_again()?;
        let primary = &mut scene.servers.primary;
        scene.stop.wait_until("GoCD is healthy again", LONG, || {
            primary.jvm.must_run()?;
            Ok(primary.gocd_is_healthy())
        })?;
    }
    scene.standby_follows()?;
    let edited = fs::read(scene.servers.primary.folder.cruise_config())?;
    ensure!(!edited.is_empty(), "the primary has no configuration");
    scene.servers.primary.jvm.kill()?;
    scene.servers.databases.primary.crash()?;
    scene.promote(&["--yes"])?;
    findings.promoted_with_all = fs::read(&live)? == edited;
    findings.two_active_ms = Some(scene.watch.both_ms());
    Ok(())
}

/// Part of the longest time, from 0.02 on, the same in each run: multiples of the golden ratio without their whole part,
/// which are spread as evenly as numbers drawn at random would be in the long run.
fn fraction(kill: u32) -> f64 {
    (f64::from(kill) * 0.618_033_988_749_895).fract().max(0.02)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_kills_are_spread() {
        let mut fractions: Vec<f64> = (1..=KILLS).map(fraction).collect();
        fractions.sort_by(f64::total_cmp);
        assert!(fractions.windows(2).all(|pair| pair[1] - pair[0] < 0.1));
        assert!(fractions.iter().all(|fraction| (0.0..1.0).contains(fraction)));
    }
}
