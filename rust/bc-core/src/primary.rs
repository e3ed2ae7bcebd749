//! What only a primary does: it reads its files, offers them, and lists who follows.
//!
//! | module | does |
//! |---|---|
//! | `scan` | reads all files once |
//! | `offer` | puts what was read on offer under a sequence |
//! | `standbys` | lists who follows |
//! | `standbys::file` | `standbys.json`, where that list is kept |
//! | `standbys::runs` | the runs of one standby, and which are alive at the same time |
//!
//! Stands on the rooms below, and imports nothing of [`crate::standby`].

pub mod offer;
pub mod scan;
pub mod standbys;

pub use self::{
    offer::{Offer, Offered},
    standbys::{Sender, Standbys},
};
