//! The network face of a node.

pub mod auth;
pub mod client;
pub mod context;
pub mod control;
pub mod listener;
pub mod routes;
pub mod tls;
