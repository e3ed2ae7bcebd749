//! Since when something is amiss with a file.

use std::collections::HashMap;

use crate::generation::Name;

/// How long a file that is not whole is taken for one that somebody is writing. After that a jar or the feature
/// toggles are carried as they are, since GoCD tolerates them; XML files never are.
pub(super) const PATIENCE_MS: i64 = 30_000;

/// Since when each file is not as it should be.
#[derive(Default)]
pub(super) struct AmissSince {
    since_ms: HashMap<Name, i64>,
}

impl AmissSince {
    /// Since when something is amiss with this file; a clock that was set back begins anew.
    pub(super) fn since(&mut self, name: &Name, now_ms: i64) -> i64 {
        let since = self.since_ms.entry(name.clone()).or_insert(now_ms);
        *since = (*since).min(now_ms);
        *since
    }

    /// Notes that nothing is amiss with this file any more.
    pub(super) fn end(&mut self, name: &Name) {
        self.since_ms.remove(name);
    }
}
