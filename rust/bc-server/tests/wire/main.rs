//! Our port and our client over real TLS on loopback, with real identities, offers and files.

mod client;
mod common;
mod limits;
mod routes;
