//! What a node does once another one has a higher epoch: it writes that down, and says so.
//!
//! In this order, so that a crash in between asks again and finds the same: the highest epoch in the ledger, from whom it
//! is known, and the role last.

use std::sync::Arc;

use bc_core::{
    basics::{Error, Severity},
    generation::{Highest, Role},
    node::audit::Ordered,
    role::{Recorded, Source, StateDir, guard::Winner, signpost},
    settings::{Face, Settings},
    status::{Phase, StatusBoard, Topic, peers::fenced_message},
};
use tracing::{error, warn};

use super::{Assembly, RoleFile, audit_writer::AuditWriter, peer_book::PeerBook, supervisor::blocking};

/// What is fenced.
#[derive(Clone)]
pub(crate) struct Fenced {
    pub(crate) state: Arc<StateDir>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) book: Arc<PeerBook>,
    pub(crate) audit: AuditWriter,
}

impl Fenced {
    /// What of a node is fenced where another one has a higher epoch.
    pub(crate) fn of(assembly: &Assembly, book: &Arc<PeerBook>) -> Self {
        Self {
            state: Arc::clone(&assembly.state),
            settings: Arc::clone(&assembly.settings),
            board: Arc::clone(&assembly.board),
            book: Arc::clone(book),
            audit: assembly.audit.clone(),
        }
    }

    /// Writes down that this node is fenced by `winner`, and says so. What cannot be written is on the board: the next
    /// start asks again, and this one gives out nothing whatever was written.
    pub(crate) async fn fence(&self, winner: &Winner, phase: Phase) {
        let (fenced, of_winner) = (self.clone(), winner.clone());
        if let Err(problem) = blocking(move || fenced.record(&of_winner)).await {
            error!("{problem}");
            self.board.raise(&Topic::Role, Severity::Critical, problem.to_string());
        }
        self.show(Some(winner), phase);
        // What is said does not wait for a disk.
        tokio::spawn(self.audit.clone().write(None, Ordered::fence(winner)));
    }

    /// Writes into the audit that this node is fenced, where it finds that when it opens and `before` it was not: by its own
    /// files, so that nobody was asked. The next start finds it fenced already.
    pub(crate) async fn found_at_open(self, before: RoleFile) {
        if matches!(before, Ok(Some(before)) if before.role == Role::Fenced) {
            return;
        }
        let by = self.book.highest();
        let winner = Winner {
            node_id: by.as_ref().and_then(|by| by.node_id.clone()),
            address: by
                .as_ref()
                .map_or_else(|| "its own files".to_owned(), |by| by.address.clone()),
            is_there: false,
            epoch: by.map_or_else(|| self.board.look(|status| status.highest().epoch), |by| by.epoch),
        };
        self.audit.clone().write(None, Ordered::fence(&winner)).await;
    }

    /// Says on the board that this node is fenced and in which phase it is: from here on it gives out nothing.
    pub(crate) fn show(&self, winner: Option<&Winner>, phase: Phase) {
        let by = self.book.highest();
        let message = fenced_message(by.as_ref());
        error!("CRITICAL {message}");
        self.board.update(|status| {
            status.role = Role::Fenced;
            status.phase = phase;
            status.deciding = None;
            status.fenced_by = by;
            if let Some(winner) = winner {
                status.highest_epoch = Some(Highest {
                    epoch: winner.epoch.clone(),
                    node_id: winner.node_id.clone(),
                });
            }
        });
        self.board.clear(&Topic::Guard);
        self.board.raise(&Topic::Fenced, Severity::Critical, message);
    }

    /// Writes down that this node is fenced by `winner`. It touches files.
    ///
    /// # Errors
    /// Something could not be written. The next start asks again then.
    fn record(&self, winner: &Winner) -> Result<(), Error> {
        self.book.won(winner);
        self.state.change_ledger(|ledger| {
            if ledger.highest_epoch.number < winner.epoch.number {
                ledger.highest_epoch = winner.epoch.clone();
            }
        })?;
        let before = Recorded::load(self.state.path()).ok().flatten();
        let source = winner
            .is_there
            .then(|| winner.address.parse().ok())
            .flatten()
            .map(|url| Source {
                url,
                fingerprint: None,
                authority: None,
            });
        let now_ms = self.board.now_ms();
        let recorded = Recorded::next(before.as_ref(), Role::Fenced, self.settings.flag, source, now_ms);
        self.state.with_epochs(recorded).save(self.state.path())?;
        if self.settings.face != Face::Cli
            && let Err(problem) = signpost::leave(&self.settings.layout)
        {
            warn!("{problem}");
        }
        Ok(())
    }
}
