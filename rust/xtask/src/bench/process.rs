//! What the kernel says of a process.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Seconds of processor time of those threads of a process whose name begins with `prefix`, in nanosecond steps.
pub(crate) fn cpu_seconds(pid: u32, prefix: &str) -> Result<f64> {
    let folder = format!("/proc/{pid}/task");
    let mut nanoseconds = 0_u64;
    for thread in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        let thread = thread?.path();
        // A thread may end while they are listed.
        let Ok(name) = fs::read_to_string(thread.join("comm")) else {
            continue;
        };
        if name.starts_with(prefix) {
            nanoseconds += on_cpu(&thread).unwrap_or(0);
        }
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// The first field of `schedstat`.
fn on_cpu(thread: &Path) -> Option<u64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .with_context(|| format!("{path} has no VmRSS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_its_processor() {
        assert!(resident_kib(std::process::id()).expect("it runs") > 100.0);
        assert!(cpu_seconds(std::process::id(), "").expect("it runs") > 0.0);
        assert_eq!(
            cpu_seconds(std::process::id(), "no thread of this name").expect("it runs"),
            0.0
        );
    }
}
