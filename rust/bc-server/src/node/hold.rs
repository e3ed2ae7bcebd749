//! Says that GoCD must wait, and says it again for as long as this node lives and holds.
//!
//! On a thread of its own: neither a task nor a disk that is stuck may end it. Whoever holds GoCD for us (the Java
//! agent) lets it run on a release alone once it has heard this, and says so when it hears it no more.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use bc_core::{
    basics::Shortage,
    node::{Event, Events},
    status::{Phase, StatusBoard},
};
use tracing::warn;

use super::Assembly;

/// How often it is said. The agent complains when it has heard nothing for twelve times as long.
const INTERVAL: Duration = Duration::from_secs(5);

/// A failure is over when none followed for so long.
const PROVEN: Duration = Duration::from_secs(60);
/// The name of this part where it fails.
const PART: &str = "hold";

/// The thread that says it. Ended by [`Renewal::end`].
pub(crate) struct Renewal {
    thread: thread::JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Renewal {
    /// Ends the thread that says that GoCD must wait.
    pub(crate) fn end(self) {
        drop(self.stop);
        // It catches its own panics.
        drop(self.thread.join());
    }
}

/// Says that GoCD must wait, at once and again every [`INTERVAL`]. None where no thread can be had: it was said once
/// then, and the agent goes on holding.
pub(crate) fn start(assembly: &Assembly) -> Option<Renewal> {
    let said = Said {
        board: Arc::clone(&assembly.board),
        events: Arc::clone(&assembly.events),
    };
    said.say();
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name("bc-hold".to_owned()).spawn(move || {
        said.say_again(&stopped, INTERVAL, PROVEN);
    });
    match thread {
        Ok(thread) => Some(Renewal { thread, stop }),
        Err(_) => {
            let shortage = Shortage::Threads;
            warn!(
                "that GoCD is held cannot be said again: {shortage}. {}",
                shortage.advice()
            );
            None
        }
    }
}

struct Said {
    board: Arc<StatusBoard>,
    events: Arc<Events>,
}

impl Said {
    /// Says again and again that GoCD must wait, until the other end of the channel is gone. A failure is said, and
    /// does not end it: nobody else could start it again where a task is stuck.
    fn say_again(&self, stopped: &Receiver<()>, interval: Duration, proven: Duration) {
        let mut failed: Option<Instant> = None;
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            match panic::catch_unwind(AssertUnwindSafe(|| self.say())) {
                Ok(()) if failed.is_some_and(|at| at.elapsed() >= proven) => {
                    failed = None;
                    self.board.part_runs(PART);
                }
                Ok(()) => {}
                Err(_) => {
                    failed = Some(Instant::now());
                    let message = "the part of this node that says again and again that GoCD is held has failed, and is \
                                   tried again. GoCD stays held. This is a mistake in the program: report it with what \
                                   this server's standard error says.";
                    self.board.part_failed(PART, message);
                }
            }
        }
    }

    /// Says that GoCD must wait, where the node still holds it.
    fn say(&self) {
        if self
            .board
            .look(|status| matches!(status.phase, Phase::Holding | Phase::Starting))
        {
            self.events.push(Event::Hold(self.board.picture().headline()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bc_core::{
        basics::{Clock, Properties, SystemClock},
        generation::Role,
        status::Status,
    };

    use crate::node::Node;

    use super::*;

    /// Tells the time but the first time.
    struct FailsOnce(std::sync::atomic::AtomicBool);

    impl Clock for FailsOnce {
        fn now_ms(&self) -> i64 {
            assert!(
                self.0.swap(true, std::sync::atomic::Ordering::SeqCst),
                "a mistake of ours"
            );
            SystemClock.now_ms()
        }
    }

    #[test]
    fn a_hold_that_fails_once_is_named_and_said_again_until_it_is_relied_upon() {
        let board = Arc::new(StatusBoard::new(
            Status::new("node", Role::Standby, Phase::Holding, 0),
            Arc::new(FailsOnce(false.into())),
        ));
        let events = Arc::new(Events::default());
        let said = Said {
            board: Arc::clone(&board),
            events: Arc::clone(&events),
        };
        let (stop, stopped) = mpsc::channel::<()>();
        let (interval, proven) = (Duration::from_millis(20), Duration::from_millis(500));
        let saying = thread::spawn(move || said.say_again(&stopped, interval, proven));
        assert!(matches!(events.next(Duration::from_secs(20)), Some(Event::Hold(_))));
        assert_eq!(board.look(|status| status.failed_parts.clone()), [PART]);
        let end = Instant::now() + Duration::from_secs(20);
        while board.look(|status| !status.failed_parts.is_empty() || !status.problems.is_empty()) {
            assert!(Instant::now() < end, "it is never forgiven");
            drop(events.next(interval));
        }
        drop(stop);
        saying.join().expect("it ends without a panic");
    }

    /// What the agent's node of a GoCD in `folder` is told, without a flag.
    fn of_agent(folder: &std::path::Path) -> Properties {
        let mut properties = Properties::from_iter([
            ("bc.face", "agent"),
            ("bc.listen", "127.0.0.1:0"),
            ("cruise.listen.host", "127.0.0.1"),
            ("cruise.server.port", "0"),
        ]);
        properties.set("user.dir", folder.display().to_string());
        properties
    }

    #[test]
    fn a_held_node_says_so_first_and_again_until_it_closes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut properties = of_agent(folder.path());
        properties.set("go.server.mode", "standby\u{a0}");
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

    #[test]
    fn a_standby_that_lost_its_flag_and_its_state_folder_at_once_is_held() {
        let folder = tempfile::tempdir().expect("a folder");
        let properties = of_agent(folder.path());
        let mut standby = properties.clone();
        standby.set("go.server.mode", "standby");
        standby.set("bc.state.dir", "elsewhere");
        Node::open(&standby).expect("opens").close();
        let node = Node::open(&properties).expect("opens");
        let begun = Instant::now();
        let mut is_held = false;
        while begun.elapsed() < Duration::from_secs(1) {
            match node.next_event(Duration::from_millis(100)) {
                Some(Event::Hold(_)) => is_held = true,
                Some(Event::Release(_)) => panic!("GoCD would start"),
                _ => {}
            }
        }
        assert!(is_held);
    }
}
