//! Says that GoCD must wait, and says it again for as long as this node lives and holds.
//!
//! On a thread of its own: neither a task nor a disk that is stuck may end it. Whoever holds GoCD for us (the Java
//! agent) lets it run on a release alone once it has heard this, and says so when it hears it no more.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use bc_core::{
    clock::Clock,
    event::{Event, Events},
    status::{Phase, StatusBoard},
};
use tracing::warn;

use super::Assembly;

/// Between two times. The agent complains after twelve of them.
const INTERVAL: Duration = Duration::from_secs(5);

/// The thread that says it. Ended by [`Renewal::end`].
pub(crate) struct Renewal {
    thread: thread::JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Renewal {
    /// Ends the thread and waits for it.
    pub(crate) fn end(self) {
        drop(self.stop);
        // A panic of that thread was printed when it happened.
        drop(self.thread.join());
    }
}

/// Says it at once, and from then on. None where no thread can be had: it stays said, and the agent holds on to it.
pub(crate) fn start(assembly: &Assembly) -> Option<Renewal> {
    let said = Said {
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        events: Arc::clone(&assembly.events),
    };
    said.say();
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name("bc-hold".to_owned()).spawn(move || {
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            said.say();
        }
    });
    match thread {
        Ok(thread) => Some(Renewal { thread, stop }),
        Err(error) => {
            warn!("the hold cannot be said again, since no thread can be started: {error}");
            None
        }
    }
}

struct Said {
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    events: Arc<Events>,
}

impl Said {
    fn say(&self) {
        let now_ms = self.clock.now_ms();
        if self.board.look(|status| status.phase == Phase::Holding) {
            self.events.push(Event::Hold(self.board.picture(now_ms).headline()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bc_core::properties::Properties;

    use crate::node::Node;

    use super::*;

    #[test]
    fn a_held_node_says_so_first_and_again_until_it_closes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut properties = Properties::from_iter([
            ("bc.face", "agent"),
            ("bc.listen", "127.0.0.1:0"),
            ("cruise.listen.host", "127.0.0.1"),
            ("cruise.server.port", "0"),
            ("go.server.mode", "standby\u{a0}"),
        ]);
        properties.set("user.dir", folder.path().display().to_string());
        let node = Node::open(&properties).expect("opens");
        assert!(matches!(node.next_event(Duration::ZERO), Some(Event::Hold(_))));
        let end = Instant::now() + 6 * INTERVAL;
        while !matches!(node.next_event(INTERVAL), Some(Event::Hold(reason)) if reason.starts_with("Standby")) {
            assert!(Instant::now() < end, "it was not said again");
        }
        node.close();
        while node.next_event(Duration::ZERO).is_some() {}
        assert_eq!(
            node.next_event(INTERVAL + Duration::from_secs(1)),
            None,
            "said after the end"
        );
    }
}
