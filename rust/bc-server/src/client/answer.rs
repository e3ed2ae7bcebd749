//! Answers that are not the ones hoped for: the primary's own, and those of whoever stands between.
//!
//! A proxy, a load balancer or a portal answers in words of its own. Ours say of every answer that it may not be stored
//! and is of the type that it says (`routes`), and are never a page; whatever is otherwise is somebody else's. Only its
//! head is looked at, and what is shown of that is one bounded line.

use bc_core::basics::{Error, Kind, words};
use reqwest::{
    Response, StatusCode, Url,
    header::{
        CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER, SERVER, VIA, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::failure::{Failure, not_ours};

/// How much of a foreign header is shown, in characters.
const LONGEST_WORD: usize = 60;

/// Says what it means that the primary's address answered with this status.
pub(super) fn refused(base: &str, response: &Response) -> Failure {
    let (status, headers) = (response.status(), response.headers());
    if base.starts_with("http://") && status == StatusCode::BAD_REQUEST {
        let error = Error::new(
            Kind::Protocol,
            format!("{base} refuses plain HTTP (status 400): it is a port for HTTPS, as it seems"),
            "Write https:// into bc.primary.url, or the port of bc.listen.plain.",
        );
        return error.into();
    }
    let own = match status {
        StatusCode::UNAUTHORIZED if is_ours(headers) => Error::new(
            Kind::Trust,
            format!("the primary at {base} refuses our token"),
            "Make the file business-continuity-token the same in both configuration folders.",
        ),
        StatusCode::CONFLICT if is_ours(headers) => Error::new(
            Kind::Refused,
            format!("the node at {base} is not a primary, so there is nothing to follow"),
            "Point bc.primary.url at the server where GoCD runs.",
        ),
        StatusCode::SERVICE_UNAVAILABLE if is_ours(headers) => Error::new(
            Kind::Unreachable,
            format!("the primary at {base} has not read its files yet"),
            "It is tried again by itself.",
        ),
        _ => return somebody_elses(base, status, headers).into(),
    };
    Failure {
        error: own,
        is_ours: true,
    }
}

/// Tells an answer of another server that looks well, but is none of ours, as an error.
pub(super) fn foreign(base: &str, status: StatusCode, headers: &HeaderMap) -> Option<Error> {
    if !status.is_success() {
        return None;
    }
    let kind = text(headers, &CONTENT_TYPE)?.to_ascii_lowercase();
    if kind.starts_with("application/grpc") {
        return Some(not_ours(base, "an answer of gRPC"));
    }
    if !is_a_page(headers) {
        return None;
    }
    Some(Error::new(
        Kind::Protocol,
        format!("{} at {base} in the primary's place, with a web page", answers(headers)),
        "It may be the page of a portal that wants somebody to log in, of a proxy, or of another server. See it with a browser \
         on this server, and let its address through to the primary.",
    ))
}

/// Whether an HTTP answer has what all of ours have, also once a proxy has passed it on.
pub(super) fn is_ours(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, word: &str| text(headers, name).is_some_and(|value| value.contains(word));
    says(&CACHE_CONTROL, "no-store") && says(&X_CONTENT_TYPE_OPTIONS, "nosniff") && !is_a_page(headers)
}

/// Whether an HTTP answer is a page for people, which our answers to each other never are.
fn is_a_page(headers: &HeaderMap) -> bool {
    text(headers, &CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
}

/// The text of a field in the head of an HTTP answer.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Names the server that answered in the primary's place, as far as it says so.
fn answers(headers: &HeaderMap) -> String {
    match text(headers, &SERVER).or_else(|| text(headers, &VIA)) {
        Some(name) => format!(
            "something that calls itself {} answers",
            words::shown(name, LONGEST_WORD)
        ),
        None => "something else answers".to_owned(),
    }
}

/// Says what it means that a proxy, a load balancer, a portal or another server answered in the primary's place.
fn somebody_elses(base: &str, status: StatusCode, headers: &HeaderMap) -> Error {
    let number = status.as_u16();
    let tried_again = "It is tried again by itself.";
    let (kind, what, guidance) = match number {
        304 => return not_ours(base, "status 304, where nothing was known"),
        300..=399 => return redirect(base, number, headers),
        403 => (
            Kind::Protocol,
            "it forbids the request (status 403)".to_owned(),
            "Let this server's address, and all paths below /go/add-on/business-continuity, through that proxy or firewall."
                .to_owned(),
        ),
        401 | 407 => (
            Kind::Protocol,
            format!("it wants a login of its own (status {number})"),
            "The token is the only login: turn the other one off for the paths below /go/add-on/business-continuity, or name \
             the primary's own port in bc.primary.url."
                .to_owned(),
        ),
        404 => (
            Kind::Protocol,
            "it has no such path (status 404), so it is no Business Continuity port".to_owned(),
            "Check bc.primary.url; the port is 8155 unless bc.listen of the primary says otherwise. 8153 and 8154 are GoCD's \
             own, and a proxy must pass on /go/add-on/business-continuity."
                .to_owned(),
        ),
        413 => (
            Kind::Protocol,
            "it takes no request as large as ours (status 413)".to_owned(),
            "A report has up to 16 KiB: raise what that proxy takes; in nginx client_max_body_size 1m.".to_owned(),
        ),
        415 => (
            Kind::Protocol,
            "it takes no request of that type (status 415), as a server of gRPC does".to_owned(),
            "Name the primary's own port in bc.primary.url, or a proxy that passes on HTTP/1.1.".to_owned(),
        ),
        421 | 426 | 505 => (
            Kind::Protocol,
            format!("it does not take HTTP/1.1 there (status {number})"),
            "Let that proxy take HTTP/1.1 for the host name in bc.primary.url.".to_owned(),
        ),
        429 => (
            Kind::Unreachable,
            format!("it limits how often this server may ask (status 429{})", wait(headers)),
            "Exempt this server's address there.".to_owned(),
        ),
        502 => (
            Kind::Unreachable,
            "it gets no right answer from the primary behind it (status 502)".to_owned(),
            format!(
                "Check that the primary runs, and that the proxy speaks TLS to its port; in nginx proxy_pass https://PRIMARY:8155 \
                 (http:// to the port of bc.listen.plain alone). Its error log says more. {tried_again}"
            ),
        ),
        503 => (
            Kind::Unreachable,
            format!("it has no server behind it that it takes to be alive (status 503{})", wait(headers)),
            format!(
                "Let it check /go/add-on/business-continuity/live on the primary's port 8155, over HTTPS. {tried_again}"
            ),
        ),
        408 | 504 => (
            Kind::Unreachable,
            format!("it did not wait long enough for the primary behind it (status {number})"),
            format!(
                "An answer may take 25 s and more: let it wait for 60 s; in nginx proxy_read_timeout 60s, in HAProxy timeout \
                 server 60s. {tried_again}"
            ),
        ),
        511 => (
            Kind::Protocol,
            "it wants somebody to log in to the network first (status 511)".to_owned(),
            "See it with a browser on this server.".to_owned(),
        ),
        520..=530 => (
            Kind::Unreachable,
            format!("it cannot reach the primary behind it (status {number})"),
            format!("Its own page or log says more. {tried_again}"),
        ),
        _ => return not_ours(base, &format!("status {number}")),
    };
    Error::new(
        kind,
        format!("{} at {base} in the primary's place: {what}", answers(headers)),
        guidance,
    )
}

/// Says what it means that the primary's address answers with a redirect.
fn redirect(base: &str, number: u16, headers: &HeaderMap) -> Error {
    let target = text(headers, &LOCATION).unwrap_or_default();
    let to = match place(target) {
        Some(place) => format!(": to {place}"),
        None => String::new(),
    };
    // What stands behind the path may speak of anything.
    let end = target.find(['?', '#', ';']).unwrap_or(target.len());
    let lower = target[..end].to_ascii_lowercase();
    let is_login = ["login", "signin", "sign-in", "sso", "saml", "oauth", "auth", "portal"]
        .iter()
        .any(|word| lower.contains(word));
    let (whither, guidance) = if is_login {
        (
            ", where somebody is to log in",
            "A proxy with a login of its own, or the portal of a network, stands between the two servers: let the paths below \
             /go/add-on/business-continuity through it.",
        )
    } else {
        (
            "",
            "Write the primary's own address into bc.primary.url; the port is 8155 unless bc.listen of the primary says \
             otherwise.",
        )
    };
    Error::new(
        Kind::Protocol,
        format!(
            "{} at {base} in the primary's place: it sent a redirect ({number}), which is never followed{to}{whither}",
            answers(headers)
        ),
        guidance,
    )
}

/// Scheme and host of the address that a redirect leads to: all else, credentials and path too, may be a secret of
/// somebody's session.
fn place(address: &str) -> Option<String> {
    let address = Url::parse(address).ok()?;
    let host = address.host_str()?;
    let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
    let place = format!("{}://{host}{port}", address.scheme());
    Some(words::shown(&place, 2 * LONGEST_WORD))
}

/// How long an answer says to wait before the next request (`Retry-After`), in words.
fn wait(headers: &HeaderMap) -> String {
    match text(headers, &RETRY_AFTER).and_then(|seconds| seconds.parse::<u32>().ok()) {
        Some(seconds) => format!("; again in {seconds} s"),
        None => String::new(),
    }
}
