//! Log lines of a node's threads become its events.
//!
//! The subscriber is set for each thread of the node, never globally: a JVM may hold two nodes, and a global one
//! could not be taken back.

use std::{fmt::Write, sync::Arc};

use bc_core::event::{Event, Events};
use tracing::{
    Dispatch, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// A subscriber that hands lines of at least `level` to `events`.
pub(crate) fn dispatch(events: Arc<Events>, level: Level) -> Dispatch {
    Dispatch::new(ToEvents { events, level })
}

/// Makes `dispatch` the subscriber of the calling thread until the thread ends.
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
        let message = line.message + &line.fields;
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
}
