//! The newest document of the primary, for those who hold the live files against it.

use std::sync::{Arc, Mutex};

use crate::{basics::lock, generation::ManifestDocument};

/// The primary's newest document that was judged fit to be followed. Clones share it; it outlives a puller that fails.
#[derive(Debug, Clone, Default)]
pub struct Newest(Arc<Mutex<Option<Arc<ManifestDocument>>>>);

impl Newest {
    /// Sets the newest document of the primary that was judged fit to be followed.
    pub(crate) fn set(&self, document: &Arc<ManifestDocument>) {
        *lock(&self.0) = Some(Arc::clone(document));
    }

    /// The newest document of the primary that was judged fit to be followed; none before the first.
    pub(crate) fn get(&self) -> Option<Arc<ManifestDocument>> {
        lock(&self.0).clone()
    }
}
