//! Writes down what was ordered of the node, and says so where that cannot be.
//!
//! An order waits for none of it: a disk that is full or hangs keeps nobody from promoting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bc_core::{
    basics::{Clock, Severity},
    node::audit::{Audit, Entry, Ordered, Who},
    status::{StatusBoard, Topic},
};
use tokio::{task::spawn_blocking, time::timeout};
use tracing::warn;

/// How long a disk may take before it is said that it hangs.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// Lines that wait for a disk that hangs: further ones are said to be lost.
const WAITING: usize = 4;

/// Writes the audit of a node.
#[derive(Clone)]
pub(crate) struct AuditWriter {
    audit: Arc<Audit>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    waiting: Arc<AtomicUsize>,
}

impl AuditWriter {
    /// Makes the writer of this audit, which says on the board where it cannot write.
    pub(crate) fn new(audit: Audit, board: Arc<StatusBoard>, clock: Arc<dyn Clock>) -> Self {
        Self {
            audit: Arc::new(audit),
            board,
            clock,
            waiting: Arc::default(),
        }
    }

    /// Writes what was ordered into the audit, by whom or by the node itself. It ends once the line is durable, or it is
    /// said that it is not.
    pub(crate) async fn write(self, who: Option<Who>, ordered: Ordered) {
        let epoch = self.board.look(|status| status.epoch.number);
        let entry = Entry::new(who, ordered, self.clock.now_ms(), epoch);
        let lost = format!(
            "it is not in the audit that {} ordered `{}`",
            entry.whom(),
            entry.what()
        );
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return self.say(Some(format!("{lost}: the disk of the state folder hangs")));
        }
        let this = self.clone();
        let mut writing = spawn_blocking(move || {
            let written = this.audit.write(&entry);
            this.waiting.fetch_sub(1, Ordering::AcqRel);
            written
        });
        let written = match timeout(WRITTEN_WITHIN, &mut writing).await {
            Ok(written) => written,
            Err(_) => {
                self.say(Some(format!("{lost} yet: the disk of the state folder hangs")));
                writing.await
            }
        };
        match written {
            Ok(Ok(())) => self.say(None),
            Ok(Err(error)) => self.say(Some(format!("{lost}: {error}"))),
            // The node closes.
            Err(_) => {}
        }
    }

    /// Says on the board what is not in the audit, or that the last line is.
    fn say(&self, problem: Option<String>) {
        if let Some(problem) = &problem {
            warn!("{problem}");
        }
        self.board.set(&Topic::Audit, Severity::Warning, problem);
    }
}
