//! What every room stands on: errors, digests, texts, the clock, and what the operating system says.
//!
//! Stands on no other room.
//!
//! | for | see |
//! |---|---|
//! | errors and how bad something is | [`error`], [`severity`], [`shortage`] |
//! | texts of others in one safe line; numbers, sizes and times as people read them | [`words`] |
//! | what deceives the eye, what stands at the ends of a copied value, what may be understood or not | `characters`, [`stray_ends`], `lenient` |
//! | ids | [`fingerprint`], [`digest`], [`node_id`], [`process`] |
//! | file names that a disk takes for one: letter case, accents, Windows' short names | `spelling` |
//! | addresses | [`host`], [`percent`], [`network`] |
//! | what several threads share | [`lock()`] |
//! | what is handed in | [`clock`], [`random`], [`properties`] |
//! | reading a regular file whole, within bounds | [`regular_file`] |
//! | what chattr(1) has set on a file; which disk holds it, and what that has left | `attributes`, `mount` |
//! | a path short enough for a socket | [`short_path`] |

pub(crate) mod attributes;
pub(crate) mod characters;
pub mod clock;
pub mod digest;
pub mod error;
pub mod fingerprint;
pub mod host;
pub(crate) mod lenient;
mod lock;
pub(crate) mod mount;
pub mod network;
pub mod node_id;
pub mod percent;
pub mod process;
pub mod properties;
pub mod random;
pub mod regular_file;
pub mod severity;
pub mod short_path;
pub mod shortage;
pub(crate) mod spelling;
pub mod stray_ends;
pub mod words;

pub(crate) use self::digest::Hasher;
pub use self::{
    clock::{Clock, SystemClock},
    digest::{Digest, Digests},
    error::{Error, Kind},
    fingerprint::Fingerprint,
    host::Host,
    lock::lock,
    network::Network,
    node_id::NodeId,
    properties::Properties,
    regular_file::if_there,
    severity::Severity,
    short_path::ShortPath,
    shortage::Shortage,
};
