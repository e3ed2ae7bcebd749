//! Bounds what a node keeps of memory that it needs no more.
//!
//! glibc gives each thread a heap of its own, up to eight for each processor, and hands back only what is free at the
//! end of one: after a first sync more than half of what a node had in memory were such remains. One heap for all
//! threads costs no time that can be measured. glibc takes that from the environment alone, and once, at the start of a
//! program (glibc manual, "Memory Allocation Tunables"): so the program starts once more, in its own place.
//!
//! In a JVM nothing of this happens: there the heap is the JVM's.

use std::env;

/// What glibc reads. Whoever has set it himself knows better.
const VARIABLE: &str = "GLIBC_TUNABLES";

/// One heap, of which what is free at its end goes back beyond 8 MiB. A configuration of some megabytes is in it: each
/// page of a block that is mapped by itself costs a fault, and with those a change of 2 MB took 3 ms more.
const TUNABLES: &str =
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=4194304:glibc.malloc.trim_threshold=8388608";

/// Starts this program once more with bounds for its heap, with the same words, where it has not been started in this
/// way yet. It keeps its process id. Where that is impossible all goes on with more memory.
pub(super) fn bound() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) || env::var_os(VARIABLE).is_some() {
        return;
    }
    #[cfg(unix)]
    {
        use std::{os::unix::process::CommandExt, process::Command};
        let mut words = env::args_os();
        let Some(own_name) = words.next() else { return };
        if let Ok(program) = env::current_exe() {
            // It returns only where it has failed.
            let _ = Command::new(program)
                .arg0(own_name)
                .args(words)
                .env(VARIABLE, TUNABLES)
                .exec();
        }
    }
}
