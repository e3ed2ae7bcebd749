//! Probes: a status and nothing else, since anybody may ask.

use axum::{extract::State, http::StatusCode};
use bc_core::status::Status;

use crate::context::Context;

/// Answers the probe whether this process lives.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Answers the probe whether this node is ready.
pub(super) async fn ready(State(context): State<Context>) -> StatusCode {
    match context.status.look(Status::runs_as_primary) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}
