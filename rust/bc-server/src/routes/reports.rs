//! Takes in the reports of standbys.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bc_core::{
    basics::{Error, Kind},
    primary::Sender,
    status::{Rejection, Report, ReportReply, Status, report::MAX_REPORT_SIZE},
};
use tracing::warn;

use super::source;
use crate::{context::Context, listener::Connection};

/// Takes the report of a standby, as JSON, and replies with what it is to know. The standby's key is that of its
/// connection, and nothing that the report says.
pub(super) async fn take(
    State(context): State<Context>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(standbys) = context.standbys.clone() else {
        return source::NoSource::NotPrimary.into_response();
    };
    let report = match understood(&headers, &body) {
        Ok(report) => report,
        Err((code, reason)) => {
            if let Some(Extension(connection)) = connection {
                connection.reject(Rejection::Malformed, &reason);
            }
            return (code, reason).into_response();
        }
    };
    let connection = connection.map(|Extension(connection)| connection);
    let sender = Sender {
        key: connection.as_ref().and_then(Connection::client_key),
        address: connection.as_ref().map(|connection| connection.peer().ip()),
    };
    let now_ms = context.status.now_ms();
    let taken = context
        .files
        .spawn_blocking(move || standbys.report(report, sender, now_ms))
        .await;
    match taken {
        Ok(Ok(reply)) => Json(ReportReply {
            database: context.status.look(Status::database_position),
            ..reply
        })
        .into_response(),
        Ok(Err(error)) if error.kind() == Kind::Refused => {
            // Whoever has the token can do this all day: it is counted, and said once a burst.
            if let Some(connection) = connection {
                connection.reject(Rejection::Malformed, &error);
            }
            (StatusCode::FORBIDDEN, error.message().to_owned()).into_response()
        }
        Ok(Err(error)) => not_taken(&error),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Reads a standby's report from a request, and refuses any other type than JSON. A browser can be made to send other
/// types from any page, but not this one.
fn understood(headers: &HeaderMap, body: &[u8]) -> Result<Report, (StatusCode, String)> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        let message = "a report is application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if body.len() > MAX_REPORT_SIZE {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "a report is smaller".to_owned()));
    }
    let refused = |reason: String| {
        (
            StatusCode::BAD_REQUEST,
            format!("the report is not understood: {reason}"),
        )
    };
    let report: Report = serde_json::from_slice(body).map_err(|error| refused(error.to_string()))?;
    report.check().map_err(|reason| refused(reason.to_owned()))?;
    Ok(report)
}

/// Answers a standby whose report cannot be taken since the peers file cannot be used: its own words say where, and are
/// for this server's log.
fn not_taken(error: &Error) -> Response {
    warn!("a report of a standby: {error}");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "the primary cannot use its peers file; its log says why",
    )
        .into_response()
}
