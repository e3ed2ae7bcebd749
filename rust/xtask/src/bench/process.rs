//! What the kernel says of a process.

use std::{collections::HashMap, ffi::OsString, fs, path::Path};

use anyhow::{Context, Result};

/// Adds up the processor time of those threads of a process whose name begins with a prefix. Threads end, and their
/// time with them, so it must be looked at often: what a thread used after the last look before its end is missing.
pub(crate) struct Meter {
    pid: u32,
    prefix: &'static str,
    /// By thread, what it had used when last looked at.
    known: HashMap<OsString, u64>,
    nanoseconds: u64,
}

impl Meter {
    /// Begins to count now.
    ///
    /// # Errors
    /// There is no such process.
    pub(crate) fn new(pid: u32, prefix: &'static str) -> Result<Self> {
        let mut meter = Self {
            pid,
            prefix,
            known: HashMap::new(),
            nanoseconds: 0,
        };
        meter.look()?;
        meter.nanoseconds = 0;
        Ok(meter)
    }

    /// Takes up what was used since the last look.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn look(&mut self) -> Result<()> {
        let folder = format!("/proc/{}/task", self.pid);
        for thread in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
            let thread = thread?;
            let path = thread.path();
            // A thread may end while they are listed.
            let Ok(name) = fs::read_to_string(path.join("comm")) else {
                continue;
            };
            if name.starts_with(self.prefix)
                && let Some(now) = on_cpu(&path)
            {
                let before = self.known.insert(thread.file_name(), now).unwrap_or(0);
                self.nanoseconds += now.saturating_sub(before);
            }
        }
        Ok(())
    }

    /// What was used since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .with_context(|| format!("{path} has no VmRSS"))
}

/// The first field of `schedstat`: nanoseconds.
fn on_cpu(thread: &Path) -> Option<u64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_process_has_memory_and_what_its_ended_threads_used_stays_counted() {
        assert!(resident_kib(std::process::id()).expect("it runs") > 100.0);
        let mut meter = Meter::new(std::process::id(), "busy").expect("it runs");
        assert_eq!(meter.seconds(), 0.0);
        let (stop, stopped) = mpsc::channel::<()>();
        let busy = thread::Builder::new().name("busy".to_owned()).spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(50) {}
            let _ = stopped.recv();
        });
        thread::sleep(Duration::from_millis(200));
        meter.look().expect("it runs");
        let used = meter.seconds();
        assert!(used > 0.0, "{used}");
        drop(stop);
        busy.expect("a thread").join().expect("it ends");
        meter.look().expect("it runs");
        assert!(meter.seconds() >= used);
    }
}
