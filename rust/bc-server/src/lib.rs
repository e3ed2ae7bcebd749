//! The network face of a node.

mod accepting;
pub mod auth;
pub mod client;
pub mod context;
pub mod control;
pub mod dashboard;
mod first_bytes;
pub mod held;
pub mod listener;
pub mod md5s;
pub mod node;
mod off_worker;
pub mod origin;
pub mod rejection_log;
pub mod routes;
pub mod session;
pub mod tls;

pub use bc_core::error::Error;
