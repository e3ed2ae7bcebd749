//! Since when something is amiss with a file.

use std::collections::HashMap;

use crate::{
    manifest::Name,
    scan::{file_cache::Known, found::Stop},
};

/// How long a file that is not whole is taken for one that somebody is writing. After that a jar or the feature
/// toggles are carried as they are, since GoCD tolerates them; XML files never are.
pub(super) const PATIENCE_MS: i64 = 30_000;

/// The files that are not as they should be.
#[derive(Default)]
pub(super) struct Patience {
    amiss: HashMap<Name, i64>,
}

impl Patience {
    /// Stops as long as somebody may still be writing the file.
    pub(super) fn wait(&mut self, name: &Name, known: &Known, now_ms: i64, reason: &str) -> Result<(), Stop> {
        let young = 0..PATIENCE_MS;
        let is_new = young.contains(&(now_ms - known.stamp.changed_ms()));
        if is_new && young.contains(&(now_ms - self.since(name, now_ms))) {
            return Err(Stop::Unstable {
                name: name.clone(),
                reason: reason.to_owned(),
            });
        }
        Ok(())
    }

    /// Since when something is wrong with this file; a clock that was set back begins anew.
    pub(super) fn since(&mut self, name: &Name, now_ms: i64) -> i64 {
        let since = self.amiss.entry(name.clone()).or_insert(now_ms);
        *since = (*since).min(now_ms);
        *since
    }

    /// Nothing is wrong with this file.
    pub(super) fn end(&mut self, name: &Name) {
        self.amiss.remove(name);
    }
}
