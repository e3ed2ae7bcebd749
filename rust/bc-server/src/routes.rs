//! What our port answers: the map of all paths.
//!
//! Below `/go/add-on/business-continuity`, all with GET, reports with POST:
//!
//! | path | who | answer |
//! |---|---|---|
//! | `/live` | anybody | 200: this process answers |
//! | `/ready` | anybody | 200 while GoCD runs here as primary, else 503 |
//! | `/metrics` | token | the status as OpenMetrics text, for Prometheus |
//! | `/api/v2/node` | token | the envelope: who this node is |
//! | `/api/v2/database` | token | where this node's database is, while it takes writes |
//! | `/api/v2/named-files` | token | keyed digests of the files that this node's configuration names, in every role |
//! | `/api/v2/manifest` | token | the files on offer; waits for a change if asked to |
//! | `/api/v2/blobs/{sha256}` | token | the bytes with this digest, whole or from an offset |
//! | `/api/v2/blobs/{sha256}/from/{former}` | token | what leads to them from those with the digest `former`, if that is short |
//! | `/api/v2/reports` | token | takes in how far a standby is; the nodes that this one knows |
//! | `/api/health-check` | token | for standbys of GoCD 20.6 to 22.3: `OK!` |
//! | `/api/latest_database_wal_location` | token | the same: write-ahead log position |
//! | `/api/config_files_status` | token | the same: digests of the configuration files |
//! | `/api/plugin_files_status` | token | the same: digests of the plugins |
//! | `/api/cruise_config` | token | the same: bytes of cruise-config.xml |
//! | `/api/jetty_config` | token | the same: bytes of jetty.xml |
//! | `/api/cipher.aes` | token | the same: bytes of cipher.aes |
//! | `/api/cipher` | token | the same: bytes of cipher, where a GoCD before 21.1 has it |
//! | `/api/user_feature_toggle` | token | the same: bytes of go.feature.toggles |
//! | `/api/plugin` | token | the same: bytes of one plugin |
//!
//! Besides there is what `crate::dashboard` has for people; the root of the port leads anybody to it, and it asks who
//! that is. Anything else is 404 for those with the token and 401 for others. The router is made from [`ROUTES`], so no
//! route of the protocol can exist beside it; `v1`, `v2`, `reports` and `probes` answer. A text from the wire is only
//! ever compared with what is on offer; no path of a file is made from it. Beside all that `own_key` says which run of
//! the node this is, to those alone who hold its key.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};

use crate::{
    auth::{self, Gate},
    context::Context,
    dashboard,
    paths::PREFIX,
};

mod content;
mod metrics;
mod own_key;
mod probes;
mod reports;
mod source;
mod v1;
mod v2;

pub use content::VERIFIES_HEADER;
pub use own_key::RUN_HEADER;
pub(crate) use own_key::header as run_header;
pub use v2::{CONCERNS_HEADER, ENVELOPE_HEADER, EPOCH_HEADER};

/// One path of our port.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The path below `PREFIX`, with axum's captures.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    /// How to ask.
    pub method: Asked,
    answer: fn() -> MethodRouter<Context>,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: the answer says nothing but its status.
    Anybody,
    /// Who has the token.
    Token,
}

/// With which method a path is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// GET alone, not even HEAD.
    Get,
    /// POST alone.
    Post,
}

/// All paths of the protocol, old and new.
pub const ROUTES: &[Route] = &[
    open("/live", || get(probes::live)),
    open("/ready", || get(probes::ready)),
    guarded("/metrics", || get(metrics::metrics)),
    guarded("/api/v2/node", || get(v2::node)),
    guarded("/api/v2/database", || get(v2::database)),
    guarded("/api/v2/named-files", || get(v2::named_files)),
    guarded("/api/v2/manifest", || get(v2::manifest)),
    guarded("/api/v2/blobs/{sha256}", || get(v2::blob)),
    guarded("/api/v2/blobs/{sha256}/from/{former}", || get(v2::delta)),
    Route {
        method: Asked::Post,
        ..guarded("/api/v2/reports", || post(reports::take))
    },
    guarded("/api/health-check", || get(v1::health_check)),
    guarded("/api/latest_database_wal_location", || get(v1::wal_location)),
    guarded("/api/config_files_status", || get(v1::config_files_status)),
    guarded("/api/plugin_files_status", || get(v1::plugin_files_status)),
    guarded("/api/cruise_config", || get(v1::cruise_config)),
    guarded("/api/jetty_config", || get(v1::jetty_config)),
    guarded("/api/cipher.aes", || get(v1::cipher_aes)),
    guarded("/api/cipher", || get(v1::cipher_des)),
    guarded("/api/user_feature_toggle", || get(v1::user_feature_toggle)),
    guarded("/api/plugin", || get(v1::plugin)),
];

/// Makes a route of our port that anybody may ask.
const fn open(path: &'static str, answer: fn() -> MethodRouter<Context>) -> Route {
    Route {
        path,
        access: Access::Anybody,
        method: Asked::Get,
        answer,
    }
}

/// Makes a route of our port that needs the token.
const fn guarded(path: &'static str, answer: fn() -> MethodRouter<Context>) -> Route {
    Route {
        path,
        access: Access::Token,
        method: Asked::Get,
        answer,
    }
}

/// Makes the routes of our own port, all that it answers, for [`crate::listener::BoundListener::serve`].
pub fn router(context: Context) -> Router {
    let gate = Gate::new(context.token.clone(), context.rejections.clone());
    let mut for_anybody = Router::new();
    let mut for_token = Router::new();
    for route in ROUTES {
        let path = format!("{PREFIX}{}", route.path);
        match route.access {
            Access::Anybody => for_anybody = for_anybody.route(&path, (route.answer)()),
            Access::Token => {
                let answer = match route.method {
                    // axum would answer HEAD by a GET whose bytes are thrown away.
                    Asked::Get => (route.answer)().head(wrong_method),
                    Asked::Post => (route.answer)(),
                };
                for_token = for_token.route(&path, answer);
            }
        }
    }
    let for_token = for_token
        .fallback(not_found)
        .layer(from_fn_with_state(gate.clone(), auth::require_token));
    for_anybody
        .merge(for_token)
        .layer(DefaultBodyLimit::max(16 * 1024))
        .layer(map_response(with_common_headers))
        .with_state(context.clone())
        .merge(dashboard::router(context.clone(), gate))
        .layer(from_fn_with_state(context, own_key::tell))
}

/// Answers who asks our port for a path that is none of ours.
async fn not_found(uri: Uri) -> Response {
    if matches!(uri.path(), "/go" | "/go/") {
        return dashboard::lead().await.into_response();
    }
    (StatusCode::NOT_FOUND, "there is nothing at this path").into_response()
}

/// Answers a request to our port with a method that its path does not have.
async fn wrong_method() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response()
}

/// Gives an answer of our port the headers that all of them have.
async fn with_common_headers(mut response: Response) -> Response {
    const COMMON: [(HeaderName, &str); 2] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in COMMON {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_documentation_is_the_table() {
        let documented: Vec<_> = include_str!("routes.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"))
            .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" "))
            .collect();
        let real: Vec<_> = ROUTES
            .iter()
            .map(|route| {
                let who = match route.access {
                    Access::Anybody => "anybody",
                    Access::Token => "token",
                };
                format!("{}` {who}", route.path)
            })
            .collect();
        assert_eq!(documented, real);
    }
}
