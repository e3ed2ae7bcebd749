//! MD5s for whoever asks with the token: computed off the threads that answer, one after another, and at most for so
//! long.
//!
//! Whoever asks while somebody else's are computed waits for those, and finds them known. A disk that hangs keeps one
//! thread, and everybody else is told that there was no time. The files are read on the runtime that is handed in.

use std::{sync::Arc, time::Duration};

use bc_core::{
    generation::Md5s,
    node::both::{Both, BothNodes},
    primary::{Offer, Offered},
    status::StatusBoard,
};
use tokio::{runtime::Handle, sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;

/// Longest wait of one who asks. Reading goes on after that, for the next one.
const PATIENCE: Duration = Duration::from_secs(8);

/// The MD5s of one node.
#[derive(Clone, Default)]
pub struct Md5Desk {
    known: Arc<Md5s>,
    turn: Arc<Mutex<()>>,
    /// Where a standby's files are looked at.
    nodes: Option<Arc<dyn BothNodes>>,
    stop: CancellationToken,
}

impl Md5Desk {
    /// Makes the desk for MD5s, which knows none yet, and reads nothing more after `stop`; `nodes` looks at the files
    /// of a standby.
    pub fn new(nodes: Option<Arc<dyn BothNodes>>, stop: CancellationToken) -> Self {
        Self {
            nodes,
            stop,
            ..Self::default()
        }
    }

    /// Lists the files of this node and of its primary, with their MD5s as far as they can be told now.
    pub(crate) async fn both_nodes(&self, files: &Handle, status: &StatusBoard, offer: Option<&Arc<Offer>>) -> Both {
        let shown = status.look(|status| Arc::clone(&status.files));
        if let Some(offer) = offer {
            if let Some((_, both)) = self.of_offer(files, offer).await {
                return both;
            }
        } else if let Some(nodes) = self.nodes.clone()
            && !shown.is_empty()
        {
            let known = Arc::clone(&shown);
            let work = move |md5s: &Md5s, stopped: &dyn Fn() -> bool| Both::of_standby(&*nodes, &known, md5s, stopped);
            if let Some(both) = self.in_turn(files, work).await {
                return both;
            }
        }
        Both::known(shown, &self.known)
    }

    /// Lists what a primary offers, with the MD5s as far as they can be told now. None before the first reading, and
    /// where there was no time.
    pub(crate) async fn of_offer(&self, files: &Handle, offer: &Arc<Offer>) -> Option<(Arc<Offered>, Both)> {
        let offer = Arc::clone(offer);
        let work = move |md5s: &Md5s, stopped: &dyn Fn() -> bool| Both::of_primary(&offer, md5s, stopped);
        self.in_turn(files, work).await.flatten()
    }

    /// Computes MD5s, or what else others ask of files, on a thread that may wait for disks, after whatever others asked for. None where it takes too
    /// long; it then goes on, whether or not anybody waits.
    pub(crate) async fn in_turn<R: Send + 'static>(
        &self,
        files: &Handle,
        work: impl FnOnce(&Md5s, &dyn Fn() -> bool) -> R + Send + 'static,
    ) -> Option<R> {
        let Md5Desk { known, turn, stop, .. } = self.clone();
        let done = async {
            let turn = turn.lock_owned().await;
            let working = files.spawn_blocking(move || {
                let _turn = turn;
                work(&known, &|| stop.is_cancelled())
            });
            // A panic in it was printed when it happened.
            working.await.ok()
        };
        timeout(PATIENCE, done).await.ok().flatten()
    }
}
