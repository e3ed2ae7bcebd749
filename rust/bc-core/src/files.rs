//! Looking at files, for both sides: which need not be read again, and which plugin is in a jar.
//!
//! | module | knows |
//! |---|---|
//! | this file | what a manifest says of a file that the cache knows |
//! | `stamp` | what the operating system says of a file, and whether that will show a change |
//! | `file_cache` | digests of files under their stamps: what need not be read again |
//! | `file_cache::read`, `file_cache::saved` | opens and reads a file; keeps what is known of jars over a restart |
//! | `plugin_folder` | lists the jars in `plugins/external` |
//! | `descriptor` | which plugin is in a jar |
//! | `descriptor::directory`, `descriptor::text` | the list at the end of a jar; the XML of a descriptor in it |
//! | `descriptor::faults` | tells a disk that fails from a jar that is broken |
//!
//! Stands on [`crate::basics`], [`crate::durable`] and [`crate::generation`].

pub mod descriptor;
pub(crate) mod file_cache;
pub(crate) mod plugin_folder;
pub(crate) mod stamp;

pub use self::descriptor::Jar;
pub(crate) use self::{file_cache::FileCache, stamp::Stamp};

use crate::{files::file_cache::KnownFile, generation::Entry};

/// The entry of a manifest for a file that the cache of files has read.
pub(crate) fn entry(known: &KnownFile) -> Entry {
    let plugin = known.jar.as_ref().and_then(Jar::identity).cloned();
    Entry::new(known.digests.clone(), known.stamp.modified_ms(), plugin)
}
