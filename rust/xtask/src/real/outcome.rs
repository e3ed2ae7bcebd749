//! What a scenario came to.

use serde::Serialize;
use serde_json::Value;

/// What a scenario came to: a line for machines, and what is not right.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) line: Value,
    pub(crate) complaints: Vec<String>,
}

/// What a scenario finds out.
pub(crate) trait Outcome: Serialize {
    /// What an error in a log has that is as it should be.
    const WANTED: Option<&'static str> = None;

    /// What should be, and what to say where it is not.
    fn wishes(&self) -> Vec<(bool, &'static str)>;
}
