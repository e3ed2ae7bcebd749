//! The address of a node as administrators write it.

use std::{fmt, str::FromStr};

use crate::settings::DEFAULT_PORT;

/// `https://host[:port]`, or `http://` for a loopback host. A path, a slash at the end and the original
/// product's `/go` are dropped; a query, a user or a fragment is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryUrl {
    secure: bool,
    host: String,
    port: Option<u16>,
}

impl PrimaryUrl {
    /// Scheme, host and port; without a port of its own, ours.
    pub fn base(&self) -> String {
        self.with_port(self.port.unwrap_or(DEFAULT_PORT))
    }

    /// The addresses to try, in order: our port first, then the URL's own where it is another one
    /// (an administrator may have written GoCD's own address, or that of a proxy in front of us).
    pub fn candidates(&self) -> Vec<String> {
        let mut bases = vec![self.with_port(DEFAULT_PORT)];
        match self.port {
            Some(port) => bases.insert(0, self.with_port(port)),
            None => bases.push(self.with_port(if self.secure { 443 } else { 80 })),
        }
        bases.dedup();
        bases
    }

    /// The host name or address, without the brackets of an IPv6 one.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether the connection is encrypted; a plain one is accepted to loopback only.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    fn with_port(&self, port: u16) -> String {
        format!("{}://{}:{port}", if self.secure { "https" } else { "http" }, self.host)
    }
}

impl fmt::Display for PrimaryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base())
    }
}

/// Why a text is no such address; reads after the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlMistake {
    /// Neither `https://` nor `http://`.
    #[error("does not begin with https://")]
    Scheme,
    /// Token and secrets would cross the network readable.
    #[error("is not encrypted, which is refused for any host but loopback")]
    Plain,
    /// No host, or one with characters that no host has.
    #[error("has no host name or address after https://")]
    Host,
    /// The part after the colon is no port.
    #[error("has no valid port number after the colon")]
    Port,
    /// A user, query or fragment.
    #[error("has more than a host and a port")]
    Extra,
}

impl FromStr for PrimaryUrl {
    type Err = UrlMistake;

    fn from_str(text: &str) -> Result<Self, UrlMistake> {
        let (secure, rest) = match (
            strip_prefix_ignore_case(text, "https://"),
            strip_prefix_ignore_case(text, "http://"),
        ) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(UrlMistake::Scheme),
        };
        if rest.contains(['?', '#', '@']) {
            return Err(UrlMistake::Extra);
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        let loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        if !secure && !loopback {
            return Err(UrlMistake::Plain);
        }
        Ok(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlMistake> {
    let colon = match authority.strip_prefix('[') {
        Some(_) => {
            let end = authority.find(']').ok_or(UrlMistake::Host)?;
            authority[end..].find(':').map(|offset| end + offset)
        }
        None => authority.find(':'),
    };
    let (host, port) = match colon {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let valid = !bare.is_empty()
        && (bare.parse::<std::net::IpAddr>().is_ok()
            || bare
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')));
    if !valid {
        return Err(UrlMistake::Host);
    }
    let port = port
        .map(|text| text.parse().ok().filter(|port| *port != 0).ok_or(UrlMistake::Port))
        .transpose()?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_administrators_write() {
        for (text, base) in [
            ("https://primarygo", "https://primarygo:8155"),
            ("https://primarygo/go/", "https://primarygo:8155"),
            ("HTTPS://PrimaryGo:9000", "https://primarygo:9000"),
            ("https://[fd00::1]:8155", "https://[fd00::1]:8155"),
            ("http://127.0.0.1:8156", "http://127.0.0.1:8156"),
        ] {
            assert_eq!(text.parse::<PrimaryUrl>().map(|url| url.base()), Ok(base.to_owned()));
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        for (text, mistake) in [
            ("primarygo", UrlMistake::Scheme),
            ("http://primarygo", UrlMistake::Plain),
            ("https://", UrlMistake::Host),
            ("https://primary go", UrlMistake::Host),
            ("https://primarygo:x", UrlMistake::Port),
            ("https://user:pw@primarygo", UrlMistake::Extra),
        ] {
            assert_eq!(text.parse::<PrimaryUrl>(), Err(mistake), "{text}");
        }
    }

    #[test]
    fn our_port_is_tried_beside_the_urls_own() {
        let candidates = |text: &str| text.parse::<PrimaryUrl>().expect("valid").candidates();
        assert_eq!(
            candidates("https://primarygo"),
            ["https://primarygo:8155", "https://primarygo:443"]
        );
        assert_eq!(
            candidates("https://primarygo:8154"),
            ["https://primarygo:8154", "https://primarygo:8155"]
        );
        assert_eq!(candidates("https://primarygo:8155"), ["https://primarygo:8155"]);
    }
}
