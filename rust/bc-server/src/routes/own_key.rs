//! What is said to whoever has proven to hold this node's own key: it is this process, a copy of its server, or another
//! node to which the same key was given.
//!
//! A copy that is started as a standby of its original refuses that one in the handshake, and could not tell it from
//! itself. So it asks once more, without the token ([`crate::client`]), says in a header which run of which node it is,
//! and hears in one which this is; a primary remembers it ([`bc_core::primary::standbys`]). Nobody else is told or
//! listened to.

use axum::{
    extract::{Request, State},
    http::HeaderValue,
    middleware::Next,
    response::Response,
};
use bc_core::{
    basics::NodeId,
    generation::{KeyHolder, Run},
};

use super::v2::ascii_json;
use crate::{context::Context, listener::Connection};

/// Carries a run and the id of its node, as compact JSON in ASCII.
pub const RUN_HEADER: &str = "gocd-bc-run";

/// Middleware of the port: whoever holds this node's own key is told in the answer which run this is.
pub(super) async fn tell(State(context): State<Context>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>();
    let shown = connection.and_then(|connection| Some((connection.client_key()?, connection.peer().ip())));
    let shown = shown.filter(|(key, _)| context.status.look(|status| status.fingerprint == Some(*key)));
    let Some((key, address)) = shown else {
        return next.run(request).await;
    };
    if let (Some(standbys), Some(header)) = (&context.standbys, request.headers().get(RUN_HEADER))
        && let Some(holder) = KeyHolder::from_header(header.as_bytes())
    {
        standbys.shown(&key, holder.at(Some(address)));
    }
    let mut response = next.run(request).await;
    let own = KeyHolder {
        run: Run::clone(&context.run),
        node_id: context.status.look(|status| NodeId::as_kept(&status.node_id)),
    };
    if let Some(header) = header(&own) {
        response.headers_mut().insert(RUN_HEADER, header);
    }
    response
}

/// Makes the header that tells the run of a node.
pub(crate) fn header(holder: &KeyHolder) -> Option<HeaderValue> {
    HeaderValue::from_str(&ascii_json(holder)).ok()
}
