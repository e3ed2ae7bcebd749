//! What every request handler may see of its node.

use std::sync::Arc;

use bc_core::{
    clock::Clock, offer::Offer, run::Run, settings::Settings, standbys::Standbys, status::StatusBoard, token::Token,
};
use tokio::{runtime::Handle, sync::watch};

use crate::{md5s::Md5Desk, rejection_log::RejectionLog};

/// Shared by all handlers of one node; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The node's settings.
    pub settings: Arc<Settings>,
    /// The one picture of the node.
    pub status: Arc<StatusBoard>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The token; none while its file is missing or bad.
    pub token: watch::Receiver<Option<Token>>,
    /// What this node offers; none on a held node, which is no source.
    pub offer: Option<Arc<Offer>>,
    /// Whom its ports turned away.
    pub rejections: RejectionLog,
    /// Who follows this node; none on a held node.
    pub standbys: Option<Arc<Standbys>>,
    /// Which run of the node this is.
    pub run: Arc<Run>,
    /// Where handlers let files be read: never on the threads that answer, nor on those of the local socket.
    pub files: Handle,
    /// The MD5s of its files, for whoever compares them.
    pub md5s: Md5Desk,
}
