//! GoCD's own port while GoCD is held.
//!
//! | path | answer | why |
//! |---|---|---|
//! | `/go/remoting/**` | the connection is closed without a byte | GoCD's agents keep the output of a build after an I/O error and lose it after any HTTP status (`ConsoleOutputTransmitter`) |
//! | `/go/admin/agent*`, `/go/admin/latest-agent.status`, `tfs-impl.jar` | 503, plain text | an agent takes a 200, also after a redirect, for its token, and deletes its token after a 403 (`TokenRequester`, `SslInfrastructureService`) |
//! | `/go/api/v1/health` | 503 `{"health":"STANDBY"}`, or `bc.held.health` | a load balancer must not send people here |
//! | `…/business-continuity/live`, `/ready` | 200, 503 | separate probes |
//! | `…/business-continuity/admin/**` | the dashboard for this host itself, a redirect to the TLS port for others | |
//! | anything else | 503, HTML or JSON, saying what this node is | |
//!
//! Every answer closes its connection, may not be stored, and carries neither `Content-MD5` nor HSTS: GoCD will
//! answer on this port later.

use std::net::SocketAddr;

use askama::Template;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::map_response,
    response::{Html, IntoResponse, Response},
};
use bc_core::{
    basics::Error,
    settings::Property,
    status::{Status, Topic},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    auth::Gate,
    context::Context,
    dashboard,
    listener::{self, BoundListener, Connection},
    origin,
    paths::PREFIX,
};

/// Takes GoCD's own port while GoCD is held.
///
/// # Errors
/// As [`listener::bind`]; the port is named by GoCD's property.
pub async fn bind(address: SocketAddr) -> Result<BoundListener, Error> {
    listener::bind(address, "cruise.server.port").await
}

/// Answers on GoCD's own port until `stop`; it then refuses, and every connection is closed.
pub async fn serve(bound: BoundListener, context: Context, stop: CancellationToken) {
    let bound = bound.with_rejections(context.rejections.clone());
    bound.serve(router(context), None, stop).await;
}

/// Makes the routes of GoCD's own port while GoCD is held.
pub(crate) fn router(context: Context) -> Router {
    let dashboard = dashboard::router(
        context.clone(),
        Gate::new(context.token.clone(), context.rejections.clone()),
    );
    Router::new()
        .fallback(answer)
        .layer(map_response(with_common_headers))
        .with_state(Held { context, dashboard })
}

#[derive(Clone)]
struct Held {
    context: Context,
    dashboard: Router,
}

/// Answers one request on GoCD's held port, or closes the connection of an agent.
async fn answer(State(held): State<Held>, request: Request) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let path = plain_path(request.uri());
    if is_below(&path, "/go/remoting") {
        // Whatever the agent sends now fails as if the server had died.
        connection.cut();
        return std::future::pending().await;
    }
    if is_for_agents(&path) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "this GoCD server is a standby and is held\n",
        )
            .into_response();
    }
    match request.uri().path() {
        "/go/api/v1/health" => health(held.context.settings.held_health),
        path if path == format!("{PREFIX}/live") => StatusCode::OK.into_response(),
        path if path == format!("{PREFIX}/ready") => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        path if is_below(path, &format!("{PREFIX}/admin")) => to_dashboard(&held, &connection, request).await,
        _ => explain(&held.context, request.headers()),
    }
}

/// Whether a problem of this topic is why the dashboard cannot be reached from the held port.
fn keeps_the_port_closed(topic: &Topic) -> bool {
    match topic {
        Topic::Port(_) => true,
        Topic::Setting(property) => property == Property::Listen.name(),
        _ => false,
    }
}

/// Answers on the held port like GoCD's health API, but for the word.
fn health(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "30")];
    (status, headers, "{\"health\":\"STANDBY\"}").into_response()
}

/// Leads from the held port to the dashboard: shows it to this host itself, redirects others to the TLS port.
async fn to_dashboard(held: &Held, connection: &Connection, request: Request) -> Response {
    let context = &held.context;
    if context.token.borrow().is_none() {
        // Without a token nobody can log in, and the TLS port is closed.
        return explain(context, request.headers());
    }
    let encrypted = origin::is_encrypted(connection, request.headers(), &context.settings);
    if encrypted || origin::is_local(connection, request.headers()) {
        return held
            .dashboard
            .clone()
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {});
    }
    let picture = context.status.picture();
    match encrypted_address(&picture, request.headers()) {
        Some(base) => {
            let path = request.uri().path_and_query().map_or(PREFIX, |path| path.as_str());
            let Ok(target) = HeaderValue::try_from(format!("{base}{path}")) else {
                return explain(context, request.headers());
            };
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, target)]).into_response()
        }
        None => explain(context, request.headers()),
    }
}

/// The address of our TLS port as a client of the held port can reach it: scheme, host and port.
fn encrypted_address(status: &Status, headers: &HeaderMap) -> Option<String> {
    if let Some(external) = &status.external_url {
        return Some(external.clone());
    }
    let port = status.listening.as_ref()?.parse::<SocketAddr>().ok()?.port();
    Some(format!("https://{}:{port}", origin::host(headers)?))
}

/// The page has its few lines of style in itself and needs nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
                      frame-ancestors 'none'; base-uri 'none'";

#[derive(Template)]
#[template(path = "held.html")]
struct HeldPage<'a> {
    status: &'a Status,
    dashboard: String,
}

/// Tells on the held port what this node is, as a page or as JSON. What is wrong with it stands on the dashboard; here
/// stands only what keeps people from that, and everything where there is no token: then nobody can log in anywhere.
fn explain(context: &Context, headers: &HeaderMap) -> Response {
    let mut status = context.status.picture();
    let has_token = context.token.borrow().is_some();
    let is_open = status.listening.is_some();
    status
        .problems
        .retain(|problem| !has_token || !is_open && keeps_the_port_closed(&problem.topic));
    let dashboard = encrypted_address(&status, headers)
        .map(|base| format!("{base}{PREFIX}/admin/dashboard"))
        .unwrap_or_default();
    let wants_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let code = StatusCode::SERVICE_UNAVAILABLE;
    let retry = [(header::RETRY_AFTER, "30")];
    if wants_html {
        let page = HeldPage {
            status: &status,
            dashboard,
        };
        return match page.render() {
            Ok(html) => (code, retry, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response(),
            Err(_) => code.into_response(),
        };
    }
    let problems: Vec<&str> = status.problems.iter().map(|problem| problem.message.as_str()).collect();
    let body = serde_json::json!({
        "message": format!("{}. GoCD does not run on this server.", status.headline()),
        "role": status.role,
        "dashboard": dashboard,
        "problems": problems,
    });
    (code, retry, axum::Json(body)).into_response()
}

/// The path of a request to the held port as a careless server might read it: percent signs decoded, parameters and
/// doubled slashes dropped. Only for finding out that a path is one of an agent's; nothing is served by it.
fn plain_path(uri: &Uri) -> String {
    let mut path = uri.path().to_owned();
    for _ in 0..3 {
        let decoded = decoded(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            plain => segments.push(plain),
        }
    }
    format!("/{}", segments.join("/")).to_ascii_lowercase()
}

/// The path of a request to the held port with its percent signs decoded, as far as they can be.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match value {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether an agent of GoCD asks the held port for this path.
fn is_for_agents(path: &str) -> bool {
    path.starts_with("/go/admin/agent") || path == "/go/admin/latest-agent.status" || path.ends_with("/tfs-impl.jar")
}

/// Whether a path on the held port is this folder or below it.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Gives an answer of the held port the headers that all of them have.
async fn with_common_headers(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_paths_are_known_however_they_are_written() {
        for path in [
            "/go/admin/agent",
            "/go/admin/agent/token?uuid=1",
            "//go//admin/agent",
            "/go/admin/%61gent",
            "/go/admin/%2561gent-plugins.zip",
            "/go/admin;x=y/agent-launcher.jar",
            "/go/x/../admin/agent",
            "/go/admin/latest-agent.status",
            "/go/admin/tfs-impl.jar",
        ] {
            assert!(is_for_agents(&plain_path(&path.parse().expect("a path"))), "{path}");
        }
        assert!(is_below(
            &plain_path(&"/go/%72emoting/api/x".parse().expect("a path")),
            "/go/remoting"
        ));
        assert!(!is_below("/go/remotings", "/go/remoting"));
    }
}
