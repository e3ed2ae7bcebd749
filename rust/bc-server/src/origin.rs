//! Where a request came from, as far as it can be believed.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use bc_core::settings::Settings;

use crate::listener::Connection;

/// Whether the client's own connection was encrypted: ours is, or a proxy that is believed says so. Only loopback
/// and `bc.trusted.proxies` are believed.
pub fn is_encrypted(connection: &Connection, headers: &HeaderMap, settings: &Settings) -> bool {
    connection.is_encrypted()
        || is_believed(connection.peer().ip(), settings)
            && text(headers, "x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// Whether the request comes from this host itself and not through a proxy on it.
pub fn is_local(connection: &Connection, headers: &HeaderMap) -> bool {
    connection.peer().ip().to_canonical().is_loopback()
        && !headers.contains_key("x-forwarded-for")
        && !headers.contains_key("x-forwarded-proto")
        && !headers.contains_key(header::FORWARDED)
}

/// Whether a request that changes something was made by a page of ours. Browsers tell; scripts, which say
/// nothing, bring their own credentials.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text(headers, "origin"), text(headers, "host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

/// The host of the `Host` header without its port, if it is a plain name or address.
pub fn host(headers: &HeaderMap) -> Option<&str> {
    let value = text(headers, "host")?;
    let host = match value.strip_prefix('[') {
        Some(rest) => &value[..rest.find(']')? + 2],
        None => value.split(':').next()?,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let plain = bare
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (!bare.is_empty() && (plain || bare.parse::<IpAddr>().is_ok())).then_some(host)
}

fn is_believed(peer: IpAddr, settings: &Settings) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || settings.trusted_proxies.contains(&peer)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
            .collect()
    }

    #[test]
    fn hosts_that_may_go_into_a_redirect() {
        for (value, expected) in [
            ("standbygo:8153", Some("standbygo")),
            ("[fd00::1]:8153", Some("[fd00::1]")),
            ("10.0.0.7", Some("10.0.0.7")),
            ("evil.example/path", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(host(&headers(&[("host", value)])), expected, "{value}");
        }
    }

    #[test]
    fn a_foreign_page_is_not_same_origin() {
        assert!(is_same_origin(&headers(&[("host", "go:8155")])));
        assert!(is_same_origin(&headers(&[
            ("host", "go:8155"),
            ("origin", "https://go:8155")
        ])));
        assert!(!is_same_origin(&headers(&[
            ("host", "go:8155"),
            ("origin", "https://evil.example")
        ])));
        assert!(!is_same_origin(&headers(&[("host", "go:8155"), ("origin", "null")])));
        assert!(!is_same_origin(&headers(&[("sec-fetch-site", "cross-site")])));
    }
}
