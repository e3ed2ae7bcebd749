//! Our port and our client over real TLS on loopback, with real identities, offers and files.

mod authority;
mod client;
mod common;
#[cfg(unix)]
mod concerns;
mod contract;
mod corpus;
mod dashboard;
#[cfg(target_os = "linux")]
mod full_disk;
mod held;
#[cfg(unix)]
mod idle;
mod jars;
#[cfg(unix)]
mod liar;
mod limits;
mod md5s;
mod messages;
mod metrics;
#[cfg(unix)]
mod mistakes;
#[cfg(unix)]
mod network;
mod reports;
mod routes;
#[cfg(unix)]
mod strangers;
#[cfg(unix)]
mod unreadable;
mod whole;
#[cfg(unix)]
mod withheld;
