//! What a node tells the process that it lives in.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    basics::lock,
    settings::{Flag, OVERRIDDEN_FLAG},
};

/// One thing for the process around a node to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Log this line.
    Log {
        /// How important it is.
        level: tracing::Level,
        /// The line.
        message: String,
    },
    /// Post these as the plugin's server health messages, in the place of all earlier ones, and forget them: they come
    /// again. GoCD knows only the type `warning` (its message processor refuses any other), so each begins with CRITICAL
    /// or WARNING.
    Health(Vec<String>),
    /// GoCD must wait, for this reason. Said again every few seconds for as long as the node holds: whoever heard it
    /// lets GoCD run on a release alone, and sees when nobody is there any more to give one.
    Hold(String),
    /// Set these system properties and let GoCD run.
    Release(Vec<(String, String)>),
    /// End the process with this code.
    Exit(i32),
}

impl Event {
    /// Lets GoCD run, with what it must see in the place of this flag: 20.6 to 22.3 would start passive otherwise. The
    /// plugin's node must still know which flag was overridden, or it would record another one.
    pub fn release(flag: Flag) -> Self {
        Self::Release(properties_past(flag))
    }

    /// Lets GoCD run as [`Event::release`] does, in its maintenance mode: it reads that property at its start.
    pub fn release_in_maintenance(flag: Flag) -> Self {
        let mut properties = properties_past(flag);
        properties.push(("gocd.server.start.in.maintenance.mode".to_owned(), "Y".to_owned()));
        Self::Release(properties)
    }

    /// The form in which Java takes an event: one word, a newline and the payload.
    pub fn to_text(&self) -> String {
        match self {
            Event::Log { level, message } => format!("log\n{level} {message}"),
            Event::Health(messages) => {
                let body: Vec<_> = messages
                    .iter()
                    .map(|message| serde_json::json!({"type": "warning", "message": message}))
                    .collect();
                format!("health\n{}", serde_json::Value::Array(body))
            }
            // One line, whatever the reason is made of.
            Event::Hold(reason) => format!("hold\n{}", reason.replace(char::is_control, " ")),
            Event::Release(properties) => {
                let pairs = properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                format!("release\n{}", crate::basics::properties::to_text(pairs))
            }
            Event::Exit(code) => format!("exit\n{code}"),
        }
    }
}

/// What GoCD and the plugin's node must see in the place of a flag that a release goes past.
fn properties_past(flag: Flag) -> Vec<(String, String)> {
    if flag == Flag::None {
        return Vec::new();
    }
    let properties = [
        ("go.server.mode", "production"),
        ("go.server.state", "active"),
        (OVERRIDDEN_FLAG, flag.word()),
    ];
    properties
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// A bounded queue of events. Log lines beyond the bound are counted and said later; everything else always
/// finds room, since there are few.
#[derive(Debug, Default)]
pub struct Events {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    dropped: u64,
    closed: bool,
}

/// Log lines that wait at most.
const MAX_WAITING: usize = 1000;

impl Events {
    /// Adds an event for Java to the queue.
    pub fn push(&self, event: Event) {
        let mut queue = lock(&self.queue);
        if matches!(event, Event::Log { .. }) && queue.events.len() >= MAX_WAITING {
            queue.dropped += 1;
            return;
        }
        // Only the newest list of health messages counts.
        if matches!(event, Event::Health(_)) {
            queue.events.retain(|waiting| !matches!(waiting, Event::Health(_)));
        }
        // A hold goes first: whoever heard anything else before it knows that nothing was decided.
        if matches!(event, Event::Hold(_)) {
            queue.events.retain(|waiting| !matches!(waiting, Event::Hold(_)));
            queue.events.push_front(event);
        } else {
            queue.events.push_back(event);
        }
        self.changed.notify_one();
    }

    /// Waits for the next event for Java, at most `wait`. None when there was none or the queue is closed and empty.
    pub fn next(&self, wait: Duration) -> Option<Event> {
        let queue = lock(&self.queue);
        let nothing = |queue: &mut Queue| queue.events.is_empty() && queue.dropped == 0 && !queue.closed;
        let (mut queue, _) = self
            .changed
            .wait_timeout_while(queue, wait, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = queue.events.pop_front() {
            return Some(event);
        }
        if queue.dropped == 0 {
            return None;
        }
        let message = format!(
            "{} log lines were dropped, since nobody read them in time",
            queue.dropped
        );
        queue.dropped = 0;
        Some(Event::Log {
            level: tracing::Level::WARN,
            message,
        })
    }

    /// Puts an event back that could not be delivered to Java: it is the next one again. A release must not be lost
    /// because the JVM had no memory for its text.
    pub fn put_back(&self, event: Event) {
        lock(&self.queue).events.push_front(event);
        self.changed.notify_one();
    }

    /// Closes the queue of events: whoever waits is woken.
    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_health_list_replaces_an_older_one() {
        let events = Events::default();
        events.push(Event::Health(vec!["WARNING old".to_owned()]));
        events.push(Event::Health(vec![]));
        assert_eq!(events.next(Duration::ZERO), Some(Event::Health(vec![])));
        assert_eq!(events.next(Duration::ZERO), None);
    }

    #[test]
    fn a_hold_goes_first_and_never_waits_twice() {
        let events = Events::default();
        events.push(Event::Log {
            level: tracing::Level::INFO,
            message: "line".to_owned(),
        });
        for number in 0..5 {
            events.push(Event::Hold(format!("reason {number}")));
        }
        assert_eq!(events.next(Duration::ZERO), Some(Event::Hold("reason 4".to_owned())));
        assert!(matches!(events.next(Duration::ZERO), Some(Event::Log { .. })));
        assert_eq!(events.next(Duration::ZERO), None);
    }

    #[test]
    fn too_many_log_lines_are_counted() {
        let events = Events::default();
        for number in 0..MAX_WAITING + 5 {
            events.push(Event::Log {
                level: tracing::Level::INFO,
                message: number.to_string(),
            });
        }
        events.push(Event::Exit(3));
        let all: Vec<_> = std::iter::from_fn(|| events.next(Duration::ZERO)).collect();
        assert_eq!(all.len(), MAX_WAITING + 2);
        assert!(matches!(all.last(), Some(Event::Log { message, .. }) if message.starts_with("5 log lines")));
    }

    #[test]
    fn texts_that_java_takes() {
        assert_eq!(
            Event::Health(vec!["WARNING \"x\"".to_owned()]).to_text(),
            "health\n[{\"message\":\"WARNING \\\"x\\\"\",\"type\":\"warning\"}]"
        );
        assert_eq!(
            Event::Hold("held\nrelease\r\nx".to_owned()).to_text(),
            "hold\nheld release  x"
        );
        let release = Event::Release(vec![("go.server.mode".to_owned(), "production".to_owned())]);
        assert_eq!(release.to_text(), "release\ngo.server.mode=production\n");
    }

    #[test]
    fn maintenance_mode_is_one_property_more() {
        let Event::Release(usual) = Event::release(Flag::Property) else {
            panic!("a release")
        };
        let Event::Release(mut more) = Event::release_in_maintenance(Flag::Property) else {
            panic!("a release")
        };
        let last = more.pop().expect("one");
        assert_eq!(last.0, "gocd.server.start.in.maintenance.mode");
        assert_eq!((more, last.1.as_str()), (usual, "Y"));
    }

    #[test]
    fn closing_wakes_a_waiter() {
        let events = Events::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| events.next(Duration::from_secs(60)));
            events.close();
            assert_eq!(waiter.join().expect("no panic"), None);
        });
    }
}
