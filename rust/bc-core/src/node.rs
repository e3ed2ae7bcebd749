//! What a whole node says: to the command line, to the process that it lives in, and to those who ask for the files of
//! both nodes.
//!
//! | module | says |
//! |---|---|
//! | `audit` | to whoever asks later: who ordered what of it |
//! | `both` | to those who compare MD5s: the files of both nodes |
//! | `control` | to the command line: orders and replies on the local socket |
//! | `named_files` | to the doctor of the other node: what the files are that the configuration names |
//! | `event` | to the process that the node lives in: events for Java |
//!
//! Stands on all other rooms.

pub mod audit;
pub mod both;
pub mod control;
pub mod event;
pub mod named_files;

pub use self::{
    control::{Order, Reply},
    event::{Event, Events},
};
