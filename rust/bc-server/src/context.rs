//! What every request handler may see of its node.

use std::sync::Arc;

use bc_core::{
    basics::Error,
    generation::Run,
    keys::Token,
    node::{
        both::Both,
        named_files::{self, NamedFile},
    },
    primary::{Offer, Offered, Standbys},
    role::ticks::StoodStill,
    settings::Settings,
    status::StatusBoard,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

use crate::{md5s::Md5Desk, rejection_log::RejectionLog};

/// Shared by all handlers of one node; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The node's settings.
    pub settings: Arc<Settings>,
    /// The one picture of the node.
    pub status: Arc<StatusBoard>,
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
    /// Told where somebody says to have a higher epoch than this node.
    pub replaced: Arc<Notify>,
    /// Whether this node stood still and has not asked since whether it was replaced.
    pub still: Arc<StoodStill>,
    /// The MD5s of its files, for whoever compares them.
    pub md5s: Md5Desk,
}

impl Context {
    /// Lists the files of this node and of its primary in the context of a request, as [`Md5Desk::both_nodes`] does.
    pub(crate) async fn both_nodes(&self) -> Both {
        self.md5s
            .both_nodes(&self.files, &self.status, self.offer.as_ref())
            .await
    }

    /// Looks at the files that the configuration here names, in turn with those who want MD5s: a disk that hangs keeps one
    /// thread. None where there was no time, and none without a token.
    pub(crate) async fn named_files(&self) -> Option<Result<Vec<NamedFile>, Error>> {
        let token = self.token.borrow().clone()?;
        let settings = Arc::clone(&self.settings);
        self.md5s
            .in_turn(&self.files, move |_, _| named_files::look(&settings.layout, &token))
            .await
    }

    /// Lists what this node offers in the context of a request, with MD5s, as [`Md5Desk::of_offer`] does; none where it
    /// offers nothing.
    pub(crate) async fn offered_with_md5s(&self) -> Option<(Arc<Offered>, Both)> {
        self.md5s.of_offer(&self.files, self.offer.as_ref()?).await
    }
}
