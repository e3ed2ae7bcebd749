//! What both nodes cost while nothing happens, with 200 plugins.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    Bench,
    numbers::{Goal, Numbers},
    process,
    site::Site,
};

/// Until work after a start is done: GoCD's own, and ours that waits for quiet.
const SETTLE: Duration = Duration::from_secs(15);

/// The two ways to run our nodes, and which of their threads are ours.
const KINDS: [(&str, &str); 2] = [("ours", ""), ("ours-jvm", "bc-")];

pub(crate) fn measure(bench: &Bench<'_>, numbers: &mut Numbers) -> Result<()> {
    let (megabytes, seconds) = if bench.scope.is_quick { (20, 10) } else { (600, 60) };
    for (contestant, prefix) in KINDS {
        let site = Site::prepare(bench, contestant, megabytes)?;
        let pids = site.start()?;
        ensure!(pids.len() == 2, "{contestant} did not start two nodes");
        thread::sleep(SETTLE);
        for _ in 0..bench.scope.runs {
            let mut meters = Vec::new();
            for pid in &pids {
                meters.push((*pid, process::Meter::new(*pid, prefix)?, process::resident_kib(*pid)?));
            }
            for _ in 0..seconds {
                thread::sleep(Duration::from_secs(1));
                meters.iter_mut().try_for_each(|(_, meter, _)| meter.look())?;
            }
            for (node, (pid, meter, before)) in ["primary", "standby"].iter().zip(meters) {
                let after = process::resident_kib(pid)?;
                let a_minute = meter.seconds() * 60.0 / seconds as f64;
                numbers.add(
                    &format!("{contestant}: idle {node}, our threads"),
                    "CPU s a minute",
                    Goal::Under(0.05),
                    a_minute,
                );
                if contestant == "ours" {
                    numbers.add(
                        &format!("{contestant}: idle {node}, memory"),
                        "MiB",
                        Goal::None,
                        after / 1024.0,
                    );
                    numbers.add(
                        &format!("{contestant}: idle {node}, memory grown"),
                        "KiB",
                        Goal::Under(256.0),
                        after - before,
                    );
                }
            }
        }
    }
    Ok(())
}
