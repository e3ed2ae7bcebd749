//! Gives a primary another key: carries out what `bc_core::keys::rotation` says is next, and writes it down.
//!
//! `order` answers the administrator who asked for it.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bc_core::{
    basics::{Error, Fingerprint, Severity, lock},
    keys::{
        Identity, OwnKeys, PeersFile,
        rotation::{Rotation as Change, Step},
    },
    primary::{Offer, Standbys},
    role::StateDir,
    status::{StatusBoard, Topic},
};
use tokio::time::sleep;
use tracing::info;

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};
use crate::tls::node_key::{NodeKey, Shown};

mod order;

/// How often is looked whether all have confirmed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The change of one node's key.
pub(crate) struct Rotation {
    state: Arc<StateDir>,
    peers: PeersFile,
    key: Arc<NodeKey>,
    own: Arc<OwnKeys>,
    board: Arc<StatusBoard>,
    standbys: Arc<Standbys>,
    offer: Arc<Offer>,
    /// How far it has come; held while anything of it is done.
    change: Mutex<Change>,
}

/// Goes on with a change of this node's key that was begun before, and switches when it may, for as long as the node
/// lives.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    standbys: &Arc<Standbys>,
    offer: &Arc<Offer>,
) -> Arc<Rotation> {
    let rotation = Arc::new(Rotation {
        state: Arc::clone(&assembly.state),
        peers: PeersFile::of(&assembly.settings.layout),
        key: Arc::clone(&assembly.key),
        own: Arc::clone(&assembly.own),
        board: Arc::clone(&assembly.board),
        standbys: Arc::clone(standbys),
        offer: Arc::clone(offer),
        change: Mutex::new(Change::new(assembly.settings.tls_certificate.is_some())),
    });
    let kept = Arc::clone(&rotation);
    let part = Part {
        name: "rotation",
        does: "gives it another key once its standbys have confirmed it",
    };
    supervisor.supervise(part, move || Arc::clone(&kept).go_on_for_ever());
    rotation
}

impl Rotation {
    /// The change of this node's key as it stands, locked.
    fn locked(&self) -> MutexGuard<'_, Change> {
        lock(&self.change)
    }

    /// Does again and again what is next in the change of this node's key.
    async fn go_on_for_ever(self: Arc<Self>) {
        loop {
            self.look();
            sleep(LOOK_EVERY).await;
        }
    }

    /// Does what is next in the change of this node's key. What fails is done again at the next look.
    fn look(&self) {
        let change = self.locked().clone();
        let done = match change.next(|next| self.missing(next).is_empty()) {
            Step::GoOn => self.go_on(),
            Step::Switch => self.switch(),
            Step::EndFormer => self.end_former(),
            Step::Wait | Step::Rest => Ok(()),
        };
        if let Err(error) = done {
            self.fail(&error);
        }
    }

    /// Goes on with a change of this node's key where a former process stopped.
    fn go_on(&self) -> Result<(), Error> {
        if Identity::next(self.state.path())?.is_some() {
            self.publish()?;
        }
        self.locked().gone_on();
        self.end_former()
    }

    /// Makes the next key of this node unless it is there, and lets its standbys know.
    fn publish(&self) -> Result<Fingerprint, Error> {
        let mut change = self.locked();
        let fingerprint = Identity::next_or_create(self.state.path())?.fingerprint();
        let peer = self.own.peer(fingerprint);
        self.peers.change(|peers| peers.trust(peer))?;
        if change.published(fingerprint) {
            info!("the next key of this node is {fingerprint}");
        }
        self.own.set(self.own.shown(), [fingerprint]);
        self.offer.announce(Some(fingerprint));
        Ok(fingerprint)
    }

    /// Shows the next key of this node, confirmed or not; nothing to do where another call was quicker.
    fn switch(&self) -> Result<(), Error> {
        let mut change = self.locked();
        if change.next(|_| true) != Step::Switch {
            return Ok(());
        }
        let Some(identity) = Identity::next(self.state.path())? else {
            change.given_up();
            return Ok(());
        };
        let shown = Shown::identity(&identity)?;
        Identity::switch(self.state.path())?;
        let fingerprint = shown.fingerprint();
        self.key.show(shown);
        self.own.set(fingerprint, []);
        self.offer.announce(None);
        info!("this node shows the key {fingerprint} from now on");
        self.board.clear(&Topic::Identity);
        self.board.update(|status| status.fingerprint = Some(fingerprint));
        change.switched();
        drop(change);
        // The key is shown whatever becomes of this, and it is done again.
        if let Err(error) = self.end_former() {
            self.fail(&error);
        }
        Ok(())
    }

    /// Removes the keys that this node showed before from the peers file, where any may be left.
    fn end_former(&self) -> Result<(), Error> {
        let mut change = self.locked();
        if change.next(|_| false) != Step::EndFormer {
            return Ok(());
        }
        let (ended, _) = self.peers.change(|peers| peers.end_former_keys(&self.own))?;
        change.former_ended();
        for key in ended {
            info!("the key {key}, which this node showed before, is trusted no longer");
        }
        Ok(())
    }

    /// Names the standbys that are trusted, are not silent, and have not confirmed the next key.
    fn missing(&self, next: &Fingerprint) -> Vec<String> {
        self.standbys
            .picture(None)
            .iter()
            .filter(|standby| !standby.silent && !standby.confirms.contains(next))
            .map(|standby| standby.name())
            .collect()
    }

    /// Says on the board why the change of this node's key does not go on.
    fn fail(&self, error: &Error) {
        self.board
            .warn(&Topic::Identity, Severity::Warning, Some(error.to_string()));
    }
}

#[cfg(test)]
mod tests;
