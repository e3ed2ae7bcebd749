//! Log lines of a node's threads become its events.
//!
//! The subscriber is set for each thread of the node, never globally: a JVM may hold two nodes, and a global one
//! could not be taken back.

use std::{fmt::Write, sync::Arc};

use bc_core::{
    basics::words,
    node::{Event, Events},
};
use tracing::{
    Dispatch, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Longer lines are cut, in characters: an error with its guidance fits, and what is said about it.
const LONGEST_LINE: usize = 2 * words::LONGEST_MESSAGE + 1000;

/// Makes the log subscriber that hands lines of at least `level` to `events`.
pub(crate) fn dispatch(events: Arc<Events>, level: Level) -> Dispatch {
    Dispatch::new(ToEvents { events, level })
}

/// Makes `dispatch` the log subscriber of the calling thread until the thread ends.
pub(crate) fn adopt(dispatch: &Dispatch) {
    // The guard would give the thread back its former subscriber; a thread of ours has none.
    std::mem::forget(tracing::dispatcher::set_default(dispatch));
}

struct ToEvents {
    events: Arc<Events>,
    level: Level,
}

impl Subscriber for ToEvents {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries below us speak of their own matters; ours are the crates named bc_….
        metadata.is_event() && *metadata.level() <= self.level && metadata.target().starts_with("bc_")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        // Whatever a line quotes, it stays one.
        let message = words::shown(&(line.message + &line.fields), LONGEST_LINE);
        self.events.push(Event::Log {
            level: *event.metadata().level(),
            message,
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message first, then ` name=value` for each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
        written.expect("writing to a String does not fail");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_of_ours_become_events() {
        let events = Arc::new(Events::default());
        let dispatch = dispatch(Arc::clone(&events), Level::INFO);
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(files = 2, "applied");
            tracing::debug!("too fine");
            tracing::info!(target: "hyper", "not ours");
        });
        assert_eq!(
            events.next(Duration::ZERO),
            Some(Event::Log {
                level: Level::INFO,
                message: "applied files=2".to_owned()
            })
        );
        assert_eq!(events.next(Duration::ZERO), None);
    }

    #[test]
    fn what_a_line_quotes_begins_no_other_and_commands_no_terminal() {
        let events = Arc::new(Events::default());
        let dispatch = dispatch(Arc::clone(&events), Level::INFO);
        let quoted = "x\r\n2026-01-01 INFO forged\u{1b}]0;title\u{7}\u{202e}";
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::warn!("{quoted}");
            tracing::warn!(quoted, name = %quoted, "said");
            tracing::warn!("{}", "y".repeat(1_000_000));
        });
        let lines: Vec<_> = std::iter::from_fn(|| events.next(Duration::ZERO)).collect();
        assert_eq!(lines.len(), 3);
        for line in lines {
            let Event::Log { message, .. } = line else {
                panic!("{line:?}")
            };
            assert!(
                !message.contains(char::is_control) && !message.contains('\u{202e}'),
                "{message:?}"
            );
            assert!(message.chars().count() <= LONGEST_LINE);
        }
    }
}
