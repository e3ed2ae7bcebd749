//! The page for people, and the same as JSON for scripts.
//!
//! | path below the prefix | answer |
//! |---|---|
//! | `/admin/dashboard` | the page |
//! | `/admin/dashboard/fragment` | its changing part, which the page's script fetches every few seconds |
//! | `/admin/dashboard.json` | the fields of the original product, and ours beside them |
//! | `/admin/login`, `/admin/logout` | a form for the token; the session it opens |
//! | `/admin/assets/{name}` | style and script |
//!
//! A person who typed only host and port means the page: `/` leads there, and whoever is not known yet goes on to the form.
//! People have a session or the token; scripts have the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Form, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bc_core::status::Status;
use serde::Deserialize;

use crate::{
    auth::{self, Gate, basic_credentials},
    context::Context,
    listener::Connection,
    origin,
    routes::PREFIX,
    session::Sessions,
};

mod original;
mod page;

/// Everything below `/admin`.
pub fn router(context: Context, gate: Gate) -> Router {
    let sessions = Sessions::new(&context.status.picture(context.clock.now_ms()).node_id);
    let people = People {
        context,
        gate,
        sessions,
    };
    let path = |tail: &str| format!("{PREFIX}/admin{tail}");
    let for_people = Router::new()
        .route(&path("/dashboard"), get(show))
        .route(&path("/dashboard/fragment"), get(show_fragment))
        .route(&path("/dashboard.json"), get(show_json))
        .layer(from_fn_with_state(people.clone(), require_person));
    let for_anybody = Router::new()
        .route(&path("/login"), get(ask_for_token).post(log_in))
        .route(&path("/logout"), post(log_out))
        .route(&path("/assets/{name}"), get(asset))
        .route("/", get(lead_from_root));
    for_people
        .merge(for_anybody)
        .layer(DefaultBodyLimit::max(4 * 1024))
        .layer(map_response(with_headers))
        .with_state(people)
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
struct People {
    context: Context,
    gate: Gate,
    sessions: Sessions,
}

impl People {
    fn picture(&self) -> Status {
        self.context.status.picture(self.context.clock.now_ms())
    }
}

/// The way to the page; nothing in it is said by whoever asks.
pub(crate) async fn lead() -> Redirect {
    Redirect::to(&format!("{PREFIX}/admin/dashboard"))
}

/// From host and port alone. A whole address in the first line is for a proxy, which this is not.
async fn lead_from_root(
    State(people): State<People>,
    Extension(connection): Extension<Connection>,
    target: Uri,
) -> Response {
    if target.authority().is_some() {
        return people.gate.asks_for_credentials(connection.peer().ip());
    }
    lead().await.into_response()
}

async fn show(State(people): State<People>, session: Option<Extension<InSession>>) -> Response {
    page::whole(&people.picture(), session.is_some())
}

async fn show_fragment(State(people): State<People>) -> Response {
    page::fragment(&people.picture())
}

async fn show_json(State(people): State<People>) -> Response {
    let both = people.context.both_nodes().await;
    let status = Status {
        files: Arc::clone(&both.files),
        ..people.picture()
    };
    let json = original::json(&status, &both);
    let text = serde_json::to_string_pretty(&json).expect("a status has only plain fields");
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response()
}

async fn ask_for_token(State(people): State<People>) -> Response {
    match people.context.token.borrow().as_ref() {
        Some(_) => page::login(None, StatusCode::OK),
        None => no_token(&people),
    }
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn log_in(
    State(people): State<People>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Form(given): Form<Credentials>,
) -> Response {
    if !origin::is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "log in on this server's own page").into_response();
    }
    if people.context.token.borrow().is_none() {
        return no_token(&people);
    }
    let address = connection.peer().ip();
    if !people.gate.admits(given.user.trim(), &given.password, address).await {
        return page::login(Some("User or password is wrong."), StatusCode::UNAUTHORIZED);
    }
    connection.mark_proven();
    let encrypted = origin::is_encrypted(&connection, &headers, &people.context.settings);
    let cookie = people
        .context
        .token
        .borrow()
        .as_ref()
        .and_then(|token| people.sessions.begin(token, encrypted));
    match cookie {
        Some(cookie) => see_other("/dashboard", &cookie),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn log_out(
    State(people): State<People>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    if !origin::is_same_origin(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let encrypted = origin::is_encrypted(&connection, &headers, &people.context.settings);
    see_other("/login", &people.sessions.end(&headers, encrypted))
}

fn see_other(tail: &str, cookie: &str) -> Response {
    let target = format!("{PREFIX}/admin{tail}");
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, target.as_str()), (header::SET_COOKIE, cookie)],
    )
        .into_response()
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Marks a request that a session admitted: only then is there something to log out of.
#[derive(Clone, Copy)]
struct InSession;

/// Lets through who has a session or the token. Credentials that are brought are judged, whatever the session.
async fn require_person(State(people): State<People>, mut request: Request, next: Next) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let address = connection.peer().ip();
    let headers = request.headers();
    if people.context.token.borrow().is_none() {
        return no_token(&people);
    }
    if headers.contains_key(header::AUTHORIZATION) {
        let Some((user, password)) = basic_credentials(headers) else {
            return people.gate.asks_for_credentials(address);
        };
        if !people.gate.admits(&user, &password, address).await {
            return auth::refusal();
        }
    } else {
        let is_open = people
            .context
            .token
            .borrow()
            .as_ref()
            .is_some_and(|token| people.sessions.is_open(request.headers(), token));
        if !is_open {
            return ask_who(&people.gate, address, request.headers());
        }
        request.extensions_mut().insert(InSession);
    }
    connection.mark_proven();
    next.run(request).await
}

/// Browsers get the form, scripts are told what to bring.
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

/// The original product's status for a token file that is missing or bad.
fn no_token(people: &People) -> Response {
    let picture = people.picture();
    let why = picture.problems.iter().find(|problem| problem.topic == "token");
    let text = why
        .map_or("there is no valid token on this node", |problem| {
            problem.message.as_str()
        })
        .to_owned();
    (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
}

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
