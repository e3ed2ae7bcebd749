//! Where a request came from, as far as it can be believed.

use std::net::IpAddr;

use axum::http::HeaderMap;
use bc_core::{basics::Host, settings::Settings};

use crate::listener::Connection;

/// Whether a request's own client has an encrypted connection: ours is, or a proxy that is believed says so. Only
/// loopback and `bc.trusted.proxies` are believed.
pub(crate) fn is_encrypted(connection: &Connection, headers: &HeaderMap, settings: &Settings) -> bool {
    connection.is_encrypted() || is_believed(connection.peer().ip(), settings) && was_encrypted_all_the_way(headers)
}

/// Whether the request was made on this host itself, or through a tunnel that ends here, and not through a proxy
/// on it. A proxy is known by the headers it adds, or by passing on the name that its client asked for.
pub(crate) fn is_local(connection: &Connection, headers: &HeaderMap) -> bool {
    connection.peer().ip().to_canonical().is_loopback() && asks_for_loopback(headers)
}

/// Whether a request that changes something was made by a page of ours, and not of another site. Browsers tell;
/// scripts, which say nothing, bring their own credentials.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text(headers, "origin"), text(headers, "host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

/// The host of a request's `Host` header without its port, if it is a plain name or address.
pub(crate) fn host(headers: &HeaderMap) -> Option<Host> {
    let (host, _port) = Host::with_port(text(headers, "host")?).ok()?;
    Some(host)
}

/// Whether each word of a proxy's header says `https`. A proxy that appends to the header leaves what its own client
/// claimed in front, so every word must agree.
fn was_encrypted_all_the_way(headers: &HeaderMap) -> bool {
    let mut words = headers
        .get_all("x-forwarded-proto")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .peekable();
    words.peek().is_some() && words.all(|word| word.trim().eq_ignore_ascii_case("https"))
}

/// Whether a request asks for a loopback address, or `localhost`, and no proxy has left a header in it.
fn asks_for_loopback(headers: &HeaderMap) -> bool {
    const LEFT_BY_PROXIES: [&str; 7] = [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
    ];
    !LEFT_BY_PROXIES.iter().any(|name| headers.contains_key(*name))
        && host(headers).is_some_and(|host| host.is_loopback())
}

/// Whether the word of this proxy on a request's origin counts.
fn is_believed(peer: IpAddr, settings: &Settings) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || settings.trusted_proxies.contains(&peer)
}

/// The text of a request's header; none where it is missing or no text.
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
            ("[fd00::1]evil.example", None),
            ("10.0.0.7@evil.example", None),
            ("evil.example/path", None),
            ("a b", None),
            ("", None),
        ] {
            let found = host(&headers(&[("host", value)])).map(|host| host.to_string());
            assert_eq!(found.as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_proxy_on_this_host_is_not_this_host() {
        for own in [
            "localhost",
            "LocalHost:8153",
            "127.0.0.1:18153",
            "[::1]:8153",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(asks_for_loopback(&headers(&[("host", own)])), "{own}");
        }
        for foreign in [
            "standbygo:8153",
            "10.0.0.7",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "127.1",
            "a.localhost",
            "localhost.",
            "",
        ] {
            assert!(!asks_for_loopback(&headers(&[("host", foreign)])), "{foreign}");
        }
        for left in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert!(
                !asks_for_loopback(&headers(&[("host", "localhost"), (left, "")])),
                "{left}"
            );
        }
    }

    #[test]
    fn a_claim_of_the_client_before_the_word_of_the_proxy_does_not_count() {
        for (values, expected) in [
            (vec!["https"], true),
            (vec!["HTTPS, https"], true),
            (vec!["https, http"], false),
            (vec!["https", "http"], false),
            (vec![""], false),
            (vec![], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append("x-forwarded-proto", value.parse().expect("value"));
            }
            assert_eq!(was_encrypted_all_the_way(&headers), expected, "{values:?}");
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
