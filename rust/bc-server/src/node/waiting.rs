//! A plugin's node that finds its state folder locked, or no threads or descriptors, and an agent's that cannot be opened
//! for whatever reason: it opens once it can be.
//!
//! Usually the agent's node of the same JVM still has the folder, which was told to close and has not ended yet. GoCD
//! loads a plugin once, so a node that gave up here would be missing until the next restart. And an agent's node that gave
//! up would let GoCD run unasked: it says meanwhile that GoCD must wait.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use bc_core::{
    basics::{Error, Kind},
    node::{Event, Events},
    settings::Face,
};
use tracing::{Dispatch, error, info};

use super::{Parts, health::Posted, reopen};

/// Wait between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// The same where the operating system has no more of something.
const PAUSE_IN_SHORTAGE: Duration = Duration::from_secs(5);
/// And where an agent's node holds GoCD meanwhile, which is said as often.
const PAUSE_HELD: Duration = Duration::from_secs(5);
/// How often it is said again.
const REMINDER: Duration = Duration::from_secs(60);

/// A node that is yet to open.
pub(super) struct Waiting {
    thread: thread::JoinHandle<Option<Parts>>,
    stop: mpsc::Sender<()>,
}

impl Waiting {
    /// Ends the wait for a node to open; returns its parts if it has opened meanwhile.
    pub(super) fn end(self) -> Option<Parts> {
        drop(self.stop);
        // A panic of that thread was printed when it happened.
        self.thread.join().ok().flatten()
    }
}

/// Tries to open a node of this face again with `open` until that succeeds. Returns at once.
///
/// # Errors
/// `reason`, where no thread can be started.
pub(super) fn start(
    open: impl Fn() -> Result<Parts, Error> + Send + 'static,
    face: Face,
    reason: Error,
    events: Arc<Events>,
    dispatch: Dispatch,
) -> Result<Waiting, Error> {
    let (stop, stopped) = mpsc::channel::<()>();
    let mut complaint = Complaint::new(events, face);
    complaint.hold(&reason);
    let first = reason.clone();
    let work = move || {
        super::log::adopt(&dispatch);
        complaint.say(&first);
        let mut pause = complaint.pause_after(&first);
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            // A panic in it is one more reason to try again: nobody else would.
            let opened = panic::catch_unwind(AssertUnwindSafe(&open)).unwrap_or_else(|_| Err(failed()));
            match opened {
                Ok(parts) => {
                    complaint.withdraw();
                    return reopen::look_after(parts, &stopped, &open);
                }
                Err(error) => {
                    complaint.say(&error);
                    pause = complaint.pause_after(&error);
                }
            }
        }
        None
    };
    let thread = thread::Builder::new().name("bc-waiting".to_owned()).spawn(work);
    thread.map(|thread| Waiting { thread, stop }).map_err(|_| reason)
}

/// The error of a program that failed while its node opened.
pub(super) fn failed() -> Error {
    Error::new(
        Kind::File,
        "this program failed while the node opened",
        "Report it with what this server's standard error says.",
    )
}

/// What keeps the node from opening, in the log and in GoCD's health messages.
struct Complaint {
    posted: Posted,
    events: Arc<Events>,
    face: Face,
    said: Option<(Error, Instant)>,
}

impl Complaint {
    /// What GoCD is told while the node does not open: nothing yet.
    fn new(events: Arc<Events>, face: Face) -> Self {
        Self {
            posted: Posted::new(Arc::clone(&events)),
            events,
            face,
            said: None,
        }
    }

    /// How long to wait before the next try to open a node that has not opened yet.
    fn pause_after(&self, error: &Error) -> Duration {
        match (self.face, error.kind()) {
            (Face::Agent, _) => PAUSE_HELD,
            (_, Kind::Exhausted) => PAUSE_IN_SHORTAGE,
            _ => PAUSE,
        }
    }

    /// Says that GoCD must wait for a node that does not open, where that one decides whether it may run.
    fn hold(&self, reason: &Error) {
        if self.face == Face::Agent {
            self.events.push(Event::Hold(self.why(reason)));
        }
    }

    fn why(&self, reason: &Error) -> String {
        let comes_of_it = if self.face == Face::Agent {
            "GoCD stays held, since "
        } else {
            ""
        };
        format!("{comes_of_it}this node does not open yet, and tries again: {reason}")
    }

    /// Tells GoCD why the node does not open, for as long as it lasts, and the log when it is new, and again each
    /// minute.
    fn say(&mut self, reason: &Error) {
        self.hold(reason);
        let message = if reason.kind() == Kind::Busy && self.face != Face::Agent {
            format!(
                "{} (after a release that is the agent's node, while it closes). This node tries again until it has the \
                 folder, and offers nothing until then. If that lasts: {}",
                reason.message(),
                reason.guidance()
            )
        } else {
            self.why(reason)
        };
        if self.face == Face::Plugin {
            self.posted.post(vec![format!("CRITICAL {message}")]);
        }
        let is_known = |(said, at): &(Error, Instant)| said == reason && at.elapsed() < REMINDER;
        if !self.said.as_ref().is_some_and(is_known) {
            error!("{message}");
            self.said = Some((reason.clone(), Instant::now()));
        }
    }

    /// Takes back from GoCD that the node does not open. The node that has opened posts what it finds wrong itself, and
    /// only if it finds something.
    fn withdraw(&mut self) {
        self.posted.post(Vec::new());
        info!("this node has opened now");
    }
}

#[cfg(test)]
mod tests {
    use bc_core::{
        basics::{Properties, Shortage},
        node::Event,
        role::StateDir,
    };

    use crate::node::Node;

    use super::*;

    fn properties(folder: &std::path::Path, face: &str) -> Properties {
        let mut properties = Properties::from_iter([("bc.face", face), ("bc.listen", "127.0.0.1:0")]);
        properties.set("user.dir", folder.display().to_string());
        properties
    }

    fn wait_for(node: &Node, wanted: impl Fn(&Event) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !node.next_event(PAUSE).is_some_and(|event| wanted(&event)) {
            assert!(Instant::now() < end, "it did not come");
        }
    }

    #[test]
    fn a_panic_while_it_opens_is_said_and_does_not_end_the_wait() {
        let events = Arc::new(Events::default());
        let dispatch = crate::node::log::dispatch(Arc::clone(&events), tracing::Level::ERROR);
        let tries = std::sync::atomic::AtomicU32::new(0);
        let open = move || {
            let number = tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            assert!(number > 0, "a mistake of ours");
            Err(Error::new(Kind::File, "the second reason", ""))
        };
        let first = Error::new(Kind::File, "the first reason", "");
        let waiting = start(open, Face::Plugin, first, Arc::clone(&events), dispatch).expect("a thread");
        let (end, mut said) = (Instant::now() + Duration::from_secs(30), Vec::new());
        while said.len() < 3 {
            assert!(Instant::now() < end, "{said:?}");
            if let Some(Event::Health(messages)) = events.next(PAUSE) {
                said.extend(messages);
            }
        }
        for (message, reason) in said
            .iter()
            .zip(["the first reason", "this program failed", "the second reason"])
        {
            assert!(message.contains(reason), "{said:?}");
        }
        assert!(waiting.end().is_none());
    }

    #[test]
    fn a_plugins_node_takes_over_once_the_state_folder_is_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("db/business-continuity");
        let holder = StateDir::open(&state).expect("locked");
        let refused = Node::open(&properties(folder.path(), "cli"))
            .err()
            .expect("only a plugin waits");
        assert_eq!(refused.kind(), Kind::Busy);

        let node = Node::open(&properties(folder.path(), "plugin")).expect("waits");
        let waits = |messages: &[String]| {
            messages
                .iter()
                .any(|message| message.contains("tries again until it has the folder"))
        };
        wait_for(
            &node,
            |event| matches!(event, Event::Health(messages) if waits(messages)),
        );
        drop(holder);
        // The node that opened may have messages of its own by then.
        wait_for(
            &node,
            |event| matches!(event, Event::Health(messages) if !waits(messages)),
        );
        assert_eq!(StateDir::open(&state).expect_err("the node has it").kind(), Kind::Busy);
        node.close();
        StateDir::open(&state).expect("free again");
    }

    #[test]
    fn a_plugins_node_opens_once_there_are_threads_and_descriptors() {
        let folder = tempfile::tempdir().expect("a folder");
        let without_room = |face| {
            Node::open_as(&properties(folder.path(), face), |assembly| {
                assembly.room = || Err(Shortage::Threads.error("start the node"));
            })
        };
        let refused = without_room("cli").err().expect("only a plugin waits");
        assert_eq!(refused.kind(), Kind::Exhausted);
        let node = without_room("plugin").expect("waits");
        wait_for(&node, |event| {
            let is_said = |message: &String| message.starts_with("CRITICAL") && message.contains("gives no thread");
            matches!(event, Event::Health(messages) if messages.iter().any(is_said))
        });
        wait_for(
            &node,
            |event| matches!(event, Event::Log { message, .. } if message == "this node has opened now"),
        );
        node.close();
    }

    #[test]
    fn a_node_that_still_waits_closes_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let _holder = StateDir::open(&folder.path().join("db/business-continuity")).expect("locked");
        let node = Node::open(&properties(folder.path(), "plugin")).expect("waits");
        let begun = Instant::now();
        node.close();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
