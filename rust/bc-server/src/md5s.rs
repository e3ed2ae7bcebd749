//! MD5s for whoever asks with the token: computed off the threads that answer, one after another, and at most for so
//! long.
//!
//! Whoever asks while somebody else's are computed waits for those, and finds them known. A disk that hangs keeps one
//! thread, and everybody else is told that there was no time.

use std::{sync::Arc, time::Duration};

use bc_core::{
    md5::Md5s,
    offer::Offered,
    pull::both::{Both, BothNodes},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

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
    /// One that knows nothing yet, and reads nothing more after `stop`; `nodes` looks at the files of a standby.
    pub fn new(nodes: Option<Arc<dyn BothNodes>>, stop: CancellationToken) -> Self {
        Self {
            nodes,
            stop,
            ..Self::default()
        }
    }
}

impl Context {
    /// The files of this node and of its primary, with their MD5s as far as they can be told now.
    pub(crate) async fn both_nodes(&self) -> Both {
        let shown = self.status.look(|status| Arc::clone(&status.files));
        if self.offer.is_some() {
            if let Some((_, both)) = self.offered_with_md5s().await {
                return both;
            }
        } else if let Some(nodes) = self.md5s.nodes.clone()
            && !shown.is_empty()
        {
            let known = Arc::clone(&shown);
            let work = move |md5s: &Md5s, stopped: &dyn Fn() -> bool| Both::of_standby(&*nodes, &known, md5s, stopped);
            if let Some(both) = self.in_turn(work).await {
                return both;
            }
        }
        Both::known(shown, &self.md5s.known)
    }

    /// What this primary offers, with the MD5s as far as they can be told now. None before the first reading, and where
    /// there was no time.
    pub(crate) async fn offered_with_md5s(&self) -> Option<(Arc<Offered>, Both)> {
        let offer = Arc::clone(self.offer.as_ref()?);
        let work = move |md5s: &Md5s, stopped: &dyn Fn() -> bool| Both::of_primary(&offer, md5s, stopped);
        self.in_turn(work).await.flatten()
    }

    /// Does the work where it may wait for disks, when nobody else does. None where that is not over in time; then it goes
    /// on, whether or not anybody waits.
    async fn in_turn<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Md5s, &dyn Fn() -> bool) -> R + Send + 'static,
    ) -> Option<R> {
        let Md5Desk { known, turn, stop, .. } = self.md5s.clone();
        let done = async {
            let turn = turn.lock_owned().await;
            let working = self.files.spawn_blocking(move || {
                let _turn = turn;
                work(&known, &|| stop.is_cancelled())
            });
            // A panic in it was printed when it happened.
            working.await.ok()
        };
        timeout(PATIENCE, done).await.ok().flatten()
    }
}
