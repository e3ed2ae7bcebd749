//! Probes: a status and nothing else, since anybody may ask.

use axum::{extract::State, http::StatusCode};
use bc_core::{generation::Role, status::Phase};

use crate::context::Context;

/// Answers the probe whether this process lives.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Answers the probe whether this node is ready.
pub(super) async fn ready(State(context): State<Context>) -> StatusCode {
    let status = context.status.picture();
    match (status.role, status.phase) {
        (Role::Primary, Phase::Running) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
