//! Since when something is amiss with a file.

use std::collections::HashMap;

use crate::manifest::Name;

/// How long a file that is not whole is taken for one that somebody is writing. After that a jar or the feature
/// toggles are carried as they are, since GoCD tolerates them; XML files never are.
pub(super) const PATIENCE_MS: i64 = 30_000;

/// The files that are not as they should be.
#[derive(Default)]
pub(super) struct Patience {
    amiss: HashMap<Name, i64>,
}

impl Patience {
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
