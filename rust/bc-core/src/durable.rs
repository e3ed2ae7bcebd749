//! What survives a power cut: a file that is replaced whole or not at all, the checksum at its end, a file of lines that
//! only grows, and the trait through which a disk is changed.
//!
//! | module | knows |
//! |---|---|
//! | `atomic` | replaces a file of ours whole or not at all |
//! | `seal` | the checksum at the end of a JSON file |
//! | `line_log` | a file of lines that only grows, kept by size |
//! | `filesystem` | the trait: one call for each change of a disk |
//!
//! Stands on [`crate::basics`].

pub mod atomic;
pub(crate) mod filesystem;
pub(crate) mod line_log;
pub(crate) mod seal;

pub(crate) use self::filesystem::{FileSystem, OperatingSystem};
