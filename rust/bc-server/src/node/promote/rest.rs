//! A store that makes nothing live while a promotion is on its way, and never again once it is a primary's.

use std::sync::Arc;

use bc_core::standby::store::disk::DiskStore;

/// A store that makes nothing live. It does again when this goes, whatever became of the promotion.
pub(super) struct Rest {
    store: Arc<DiskStore>,
    ends: bool,
}

impl Rest {
    /// Keeps the store from making anything live, for a promotion. It may have to wait for a store that is busy, and so
    /// may its end.
    pub(super) fn begin(store: Arc<DiskStore>) -> Self {
        store.rest(true);
        Self { store, ends: true }
    }

    /// Lets the store rest for good, since this node is no standby any more.
    pub(super) fn for_good(mut self) {
        self.ends = false;
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.ends {
            self.store.rest(false);
        }
    }
}
