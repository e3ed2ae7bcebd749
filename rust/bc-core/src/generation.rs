//! One state of the synced files, and what is said with it.
//!
//! | for | see |
//! |---|---|
//! | which files, and where GoCD keeps them | [`name`], [`jar_name`], `extra_name`, [`own_files`], [`layout`] |
//! | the list of them | [`manifest`], [`withheld`], [`lineage`] |
//! | the manifest as it is sent and kept, who sends it, in which epoch and run | [`document`], [`envelope`], [`epoch`], [`run`] |
//! | what the primary said to be wrong with its offer | [`concern`] |
//! | that it hands over, and what whoever takes over must have | [`handover`] |
//! | its bytes | [`delta`], [`md5`] |
//!
//! Stands on [`crate::basics`] and [`crate::database`].

pub mod concern;
pub mod delta;
pub mod document;
pub mod envelope;
pub mod epoch;
pub(crate) mod extra_name;
pub mod handover;
pub mod jar_name;
pub mod layout;
pub mod lineage;
pub mod manifest;
pub mod md5;
pub mod name;
pub mod own_files;
pub mod run;
pub mod withheld;

pub use self::{
    concern::Concern,
    document::ManifestDocument,
    envelope::{Acceptance, AfterFence, Envelope},
    epoch::{Epoch, Highest, Role},
    handover::{HandoverToken, HandsOver},
    jar_name::JarName,
    layout::Layout,
    lineage::Lineage,
    manifest::{Entry, Manifest, PluginIdentity},
    md5::{Md5, Md5s},
    name::Name,
    run::{KeyHolder, Run, RunId},
    withheld::{Reason, Withheld},
};
pub(crate) use self::{extra_name::ExtraName, lineage::Descent};
