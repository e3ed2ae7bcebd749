//! Real things for tests: JVMs of every supported version, the stand-in GoCD, the Tanuki wrapper, the companion
//! command, a browser, a network that fails.
//!
//! Built artefacts come from environment variables that `cargo xtask ci` and `cargo xtask env` set; without them
//! the usual places in the checkout are looked at. A missing one fails the test that needs it, with the command
//! that makes it.

pub mod artefacts;
pub mod browser;
pub mod fault_proxy;
pub mod gocd_dir;
pub mod http;
pub mod process;
pub mod secrets;
pub mod wait;

/// A port on loopback that was free a moment ago.
///
/// # Panics
/// Loopback has no free port.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
