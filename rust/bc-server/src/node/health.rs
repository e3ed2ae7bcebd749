//! Keeps GoCD's health messages equal to what the status says is wrong.

use std::sync::Arc;

use bc_core::{
    clock::Clock,
    event::{Event, Events},
    status::StatusBoard,
};
use tokio_util::sync::CancellationToken;

/// Posts the whole list whenever it differs from the one posted last, until `stop`.
pub(crate) async fn run(board: Arc<StatusBoard>, events: Arc<Events>, clock: Arc<dyn Clock>, stop: CancellationToken) {
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
