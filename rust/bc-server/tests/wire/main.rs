//! Our port and our client over real TLS on loopback, with real identities, offers and files.

mod client;
mod common;
mod dashboard;
mod held;
mod limits;
#[cfg(unix)]
mod network;
mod routes;
#[cfg(unix)]
mod whole;
