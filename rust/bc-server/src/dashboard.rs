//! The page for pages, and the same as JSON for scripts.
//!
//! | path below the prefix | answer |
//! |---|---|
//! | `/admin/dashboard` | the page |
//! | `/admin/dashboard/fragment` | its changing part, which the page's script fetches every few seconds |
//! | `/admin/dashboard.json` | the fields of the original product, and ours beside them |
//! | `/admin/login`, `/admin/logout` | a form for the token; the session it opens |
//! | `/admin/assets/{name}` | style and script |
//!
//! A person who typed only host and port means the page: `/` leads there, and whoever is not known yet goes on to the
//! form. Pages have a session or the token; scripts have the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Form, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bc_core::status::{Status, Topic};
use serde::Deserialize;

use crate::{
    auth::{self, Gate},
    context::Context,
    credentials::basic_credentials,
    listener::Connection,
    origin,
    paths::PREFIX,
    session::Sessions,
};

mod original;
mod page;

/// Makes the routes of the dashboard: everything below `/admin`.
pub(crate) fn router(context: Context, gate: Gate) -> Router {
    let sessions = Sessions::new(&context.status.picture().node_id);
    let pages = Pages {
        context,
        gate,
        sessions,
    };
    let path = |tail: &str| format!("{PREFIX}/admin{tail}");
    let for_people = Router::new()
        .route(&path("/dashboard"), get(show))
        .route(&path("/dashboard/fragment"), get(show_fragment))
        .route(&path("/dashboard.json"), get(show_json))
        .layer(from_fn_with_state(pages.clone(), require_person));
    let for_anybody = Router::new()
        .route(&path("/login"), get(ask_for_token).post(log_in))
        .route(&path("/logout"), post(log_out))
        .route(&path("/assets/{name}"), get(asset))
        .route("/", get(lead_from_root));
    for_people
        .merge(for_anybody)
        .layer(DefaultBodyLimit::max(4 * 1024))
        .layer(map_response(with_headers))
        .with_state(pages)
}

/// Style and script, by the name in their address.
const ASSETS: [(&str, &str, &str); 2] = [
    (
        "dashboard.css",
        "text/css; charset=utf-8",
        include_str!("../templates/dashboard.css"),
    ),
    (
        "dashboard.js",
        "text/javascript; charset=utf-8",
        include_str!("../templates/dashboard.js"),
    ),
];

#[derive(Clone)]
/// What all pages share.
struct Pages {
    context: Context,
    gate: Gate,
    sessions: Sessions,
}

impl Pages {
    /// A picture of the status for a page of the dashboard.
    fn picture(&self) -> Status {
        self.context.status.picture()
    }
}

/// Redirects to the dashboard; nothing in the answer is said by whoever asks.
pub(crate) async fn lead() -> Redirect {
    Redirect::to(&format!("{PREFIX}/admin/dashboard"))
}

/// Redirects `/`, asked for by host and port alone, to the dashboard. A whole address in the first line is for a proxy,
/// which this is not.
async fn lead_from_root(
    State(pages): State<Pages>,
    Extension(connection): Extension<Connection>,
    target: Uri,
) -> Response {
    if target.authority().is_some() {
        return pages.gate.asks_for_credentials(connection.peer().ip());
    }
    lead().await.into_response()
}

/// Answers with the whole page of the dashboard.
async fn show(State(pages): State<Pages>, session: Option<Extension<InSession>>) -> Response {
    page::whole(&pages.picture(), session.is_some())
}

/// Answers with the part of the dashboard that changes, for the page's own script.
async fn show_fragment(State(pages): State<Pages>) -> Response {
    page::fragment(&pages.picture())
}

/// Answers with the dashboard as JSON, in the form of the original product.
async fn show_json(State(pages): State<Pages>) -> Response {
    let both = pages.context.both_nodes().await;
    let status = Status {
        files: Arc::clone(&both.files),
        ..pages.picture()
    };
    let json = original::json(&status, &both);
    let text = serde_json::to_string_pretty(&json).expect("a status has only plain fields");
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response()
}

/// Answers with the form in which a person logs in to the dashboard.
async fn ask_for_token(State(pages): State<Pages>) -> Response {
    match pages.context.token.borrow().as_ref() {
        Some(_) => page::login(None, StatusCode::OK),
        None => no_token(&pages),
    }
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

/// Logs a person in to the dashboard who has given the token, and sets the cookie.
async fn log_in(
    State(pages): State<Pages>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    if !origin::is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "log in on this server's own page").into_response();
    }
    if pages.context.token.borrow().is_none() {
        return no_token(&pages);
    }
    let address = connection.peer().ip();
    if !pages.gate.admits(given.user.trim(), &given.password, address).await {
        return page::login(Some("User or password is wrong."), StatusCode::UNAUTHORIZED);
    }
    connection.mark_proven();
    let encrypted = origin::is_encrypted(&connection, &headers, &pages.context.settings);
    let cookie = pages
        .context
        .token
        .borrow()
        .as_ref()
        .and_then(|token| pages.sessions.begin(token, encrypted));
    match cookie {
        Some(cookie) => see_other("/dashboard", &cookie),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Logs a person out of the dashboard, and takes the cookie back.
async fn log_out(
    State(pages): State<Pages>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    if !origin::is_same_origin(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let encrypted = origin::is_encrypted(&connection, &headers, &pages.context.settings);
    see_other("/login", &pages.sessions.end(&headers, encrypted))
}

/// Redirects within the dashboard, and sets a cookie.
fn see_other(tail: &str, cookie: &str) -> Response {
    let target = format!("{PREFIX}/admin{tail}");
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, target.as_str()), (header::SET_COOKIE, cookie)],
    )
        .into_response()
}

/// Answers with the style or the script of the dashboard.
async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Marks a request that a session admitted: only then is there something to log out of.
#[derive(Clone, Copy)]
struct InSession;

/// Middleware of the dashboard: lets through who has a session or the token. Credentials that are brought are judged,
/// whatever the session.
async fn require_person(State(pages): State<Pages>, mut request: Request, next: Next) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let address = connection.peer().ip();
    let headers = request.headers();
    if pages.context.token.borrow().is_none() {
        return no_token(&pages);
    }
    if headers.contains_key(header::AUTHORIZATION) {
        let Some((user, password)) = basic_credentials(headers) else {
            return pages.gate.asks_for_credentials(address);
        };
        if !pages.gate.admits(&user, &password, address).await {
            return auth::refusal();
        }
    } else {
        let is_open = pages
            .context
            .token
            .borrow()
            .as_ref()
            .is_some_and(|token| pages.sessions.is_open(request.headers(), token));
        if !is_open {
            return ask_who(&pages.gate, address, request.headers());
        }
        request.extensions_mut().insert(InSession);
    }
    connection.mark_proven();
    next.run(request).await
}

/// Answers who comes to the dashboard without a session: browsers get the form, scripts are told what to bring.
fn ask_who(gate: &Gate, address: IpAddr, headers: &HeaderMap) -> Response {
    let accepts = |kind| {
        headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains(kind))
    };
    if accepts("text/html") {
        return Redirect::to(&format!("{PREFIX}/admin/login")).into_response();
    }
    let mut refusal = gate.asks_for_credentials(address);
    if accepts(FRAGMENT) {
        // The page's own script goes to the form by itself; at Basic the browser would open a window of its own.
        let challenge = HeaderValue::from_static("Session realm=\"GoCD Business Continuity\"");
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    refusal
}

/// What the page's own script accepts; nobody else asks for it.
const FRAGMENT: &str = "text/x-fragment";

/// Answers on the dashboard while the token file is missing or bad, with the original product's status.
fn no_token(pages: &Pages) -> Response {
    let picture = pages.picture();
    let why = picture.problem(&Topic::Token);
    let text = why
        .map_or("there is no valid token on this node", |problem| {
            problem.message.as_str()
        })
        .to_owned();
    (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
}

/// Gives an answer of the dashboard the headers that all of them have.
async fn with_headers(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 5] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
