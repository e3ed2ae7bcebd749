//! Keeps GoCD's health messages equal to what the status says is wrong.

use std::sync::Arc;

use bc_core::{
    clock::Clock,
    event::{Event, Events},
    status::StatusBoard,
};
use tokio_util::sync::CancellationToken;

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// Posts them for as long as the node lives.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) {
    let (board, events) = (Arc::clone(&assembly.board), Arc::clone(&assembly.events));
    let (clock, stop) = (Arc::clone(&assembly.clock), assembly.stop.clone());
    let part = Part {
        name: "health",
        does: "posts GoCD's health messages",
    };
    supervisor.keep(part, move || {
        run(
            Arc::clone(&board),
            Arc::clone(&events),
            Arc::clone(&clock),
            stop.clone(),
        )
    });
}

/// Posts the whole list whenever it differs from the one posted last, until `stop`.
async fn run(board: Arc<StatusBoard>, events: Arc<Events>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut changes = board.changes();
    let mut posted = Vec::new();
    loop {
        changes.mark_unchanged();
        let messages = board.picture(clock.now_ms()).health_messages();
        if messages != posted {
            events.push(Event::Health(messages.clone()));
            posted = messages;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}
