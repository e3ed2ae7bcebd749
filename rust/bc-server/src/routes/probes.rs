//! Probes: a status and nothing else, since anybody may ask.

use axum::{extract::State, http::StatusCode};
use bc_core::{manifest::Role, status::Phase};

use crate::context::Context;

pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

pub(super) async fn ready(State(context): State<Context>) -> StatusCode {
    let status = context.status.picture(context.clock.now_ms());
    match (status.role, status.phase) {
        (Role::Primary, Phase::Running) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
