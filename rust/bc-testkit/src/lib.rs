//! Real things for tests: JVMs of every supported version, the stand-in GoCD, the Tanuki wrapper, the companion
//! command, a browser, a network that fails.
//!
//! Built artefacts come from environment variables that `cargo xtask ci` and `cargo xtask env` set; without them
//! the usual places in the checkout are looked at. A missing one fails the test that needs it, with the command
//! that makes it.

#![forbid(unsafe_code)]

pub mod artefacts;
pub mod browser;
pub mod documented;
pub mod fault_proxy;
pub mod gocd_dir;
pub mod http;
#[cfg(target_os = "linux")]
pub mod machine;
pub mod messages;
#[cfg(target_os = "linux")]
pub mod mounts;
pub mod openssl;
pub mod postgres;
pub mod process;
pub mod secrets;
pub mod wait;

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

/// A port that was free a moment ago, and is given to no other test of this process. It lies below those that the
/// kernel gives to clients, and to whoever asks for any port, so that none of them takes it while a JVM starts.
///
/// # Panics
/// There is no free port.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_240;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Not where the process before began.
    let begin = std::process::id().wrapping_mul(997) % COUNT;
    (0..COUNT)
        .map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .map(|port| u16::try_from(port).expect("below 32768"))
        .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .expect("there is a free port")
}
