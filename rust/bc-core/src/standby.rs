//! What only a standby does: it hears of a primary's files, fetches and judges them, and makes them live.
//!
//! | for | see |
//! |---|---|
//! | what a connection to the primary must be able to do | [`transport`] |
//! | the loop: ask, judge, fetch, apply, tell | [`pull`] |
//! | whether an answer may be followed; whether its files are older than those that are live | `pull::judge`, `pull::history` |
//! | the primary's files compared with the live ones, line by line for people | `pull::compare` |
//! | bytes that are fetched; files that differ from what was applied | `pull::fetch`, `pull::live_files` |
//! | what a round leaves on the status board; what the primary is told | `pull::notes`, `pull::reporter` |
//! | what an administrator orders | `pull::ordered` |
//! | one generation on its way to the live files: look, plan, check, stage, rename, take back | [`store`], `store::disk::round` |
//! | the rules of a set: by its manifest alone, by what is in its files, run at the apply | `store::rules`, `store::rules::set`, `store::disk::set_check` |
//! | owner, mode, access list and extended attributes that a replaced file hands on | `store::attributes` |
//! | bytes by their digest; bytes on their way | `store::blobs`, `store::receiving` |
//! | generations to go back to, and what differs between them | `store::generations`, `store::diff` |
//!
//! Stands on the rooms below, and imports nothing of [`crate::primary`].

pub mod pull;
pub mod store;
pub mod transport;

pub use self::transport::{ManifestReply, PeerKey, Transport};
