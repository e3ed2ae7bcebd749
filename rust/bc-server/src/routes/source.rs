//! What this node has on offer, or why it has nothing.

use std::sync::Arc;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bc_core::{
    generation::Role,
    primary::{Offer, Offered},
};

use crate::context::Context;

/// Why a node gives out no files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSource {
    /// It is held: only a primary is a source.
    NotPrimary,
    /// It stood still for a while, and has not asked yet whether it was replaced meanwhile.
    StoodStill,
    /// Its folders have not been read yet.
    TooEarly,
    /// It cannot read some of them, and whoever asks takes what is not named for removed.
    Withheld,
}

impl IntoResponse for NoSource {
    fn into_response(self) -> Response {
        match self {
            NoSource::NotPrimary => (
                StatusCode::CONFLICT,
                "this node is not a primary, and only a primary gives out files",
            )
                .into_response(),
            NoSource::StoodStill => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::RETRY_AFTER, "1")],
                "this server stood still for a while, and asks first whether it was replaced; ask again soon",
            )
                .into_response(),
            NoSource::TooEarly => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::RETRY_AFTER, "1")],
                "the files have not been read yet; ask again soon",
            )
                .into_response(),
            NoSource::Withheld => (
                StatusCode::SERVICE_UNAVAILABLE,
                "some of the files cannot be read here, so that a list of them would lack them",
            )
                .into_response(),
        }
    }
}

/// The source of what a request asks for: the offer of a primary; the refusal where this node is none, or none any more, or
/// may not be one any more.
pub(super) fn offer(context: &Context) -> Result<&Arc<Offer>, NoSource> {
    let is_primary = context.status.look(|status| status.role == Role::Primary);
    let offer = context
        .offer
        .as_ref()
        .filter(|_| is_primary)
        .ok_or(NoSource::NotPrimary)?;
    match context.still.has_to_ask(context.status.now_ms()) {
        true => Err(NoSource::StoodStill),
        false => Ok(offer),
    }
}

/// The source of what a request asks for: the newest generation that this node offers; the refusal where there is none
/// yet.
pub(super) fn offered(context: &Context) -> Result<Arc<Offered>, NoSource> {
    offer(context)?.current().ok_or(NoSource::TooEarly)
}
