//! The address of a node as administrators write it.

use std::{fmt, str::FromStr};

use crate::basics::Host;

/// The port of our TLS listener where none is named.
pub(crate) const DEFAULT_PORT: u16 = 8155;

/// `https://host[:port]`, or `http://` for a loopback host. A path, a slash at the end and the original
/// product's `/go` are dropped; a query, a user or a fragment is refused. So it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryUrl {
    secure: bool,
    host: Host,
    port: Option<u16>,
}

impl PrimaryUrl {
    /// Scheme, host and port of the primary's URL; without a port of its own, ours.
    pub fn base(&self) -> String {
        self.with_port(self.port.unwrap_or(DEFAULT_PORT))
    }

    /// The primary's URL as the administrator wrote it: with a port only where one was named. It stands for the same
    /// [`PrimaryUrl::candidates`].
    pub fn written(&self) -> String {
        match self.port {
            Some(port) => self.with_port(port),
            None => format!("{}://{}", if self.secure { "https" } else { "http" }, self.host),
        }
    }

    /// The addresses of the primary to try, in order: our port first, then the URL's own where it is another one (an
    /// administrator may have written GoCD's own address, or that of a proxy in front of us).
    pub fn candidates(&self) -> Vec<String> {
        let mut bases = vec![self.with_port(DEFAULT_PORT)];
        match self.port {
            Some(port) => bases.insert(0, self.with_port(port)),
            None => bases.push(self.with_port(if self.secure { 443 } else { 80 })),
        }
        bases.dedup();
        bases
    }

    /// The host name or address in the primary's URL.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether the connection to the primary's URL is encrypted; a plain one is accepted to loopback only.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The primary's URL with this port.
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// A host whose name the domain name system has in another form: the whole address in that form.
    #[error("has letters in its host name that are none there; the domain name system knows that name in another form")]
    International(String),
    /// The part after the colon is no port.
    #[error("has no valid port number after the colon")]
    Port,
    /// A query or fragment.
    #[error("has more than a host and a port")]
    Extra,
    /// A user, and perhaps a password.
    #[error(
        "names a user or a password, which is never sent and stands open in the list of processes: change that password"
    )]
    User,
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
        // Also behind a slash or backslash, before which some read the host and some do not.
        if rest.contains('@') {
            return Err(UrlMistake::User);
        }
        if rest.contains(['?', '#']) {
            return Err(UrlMistake::Extra);
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = Host::with_port(authority).map_err(|_| no_host(secure, authority))?;
        let port = port.map(|text| parse_port(text).ok_or(UrlMistake::Port)).transpose()?;
        if !secure && !host.is_loopback() {
            return Err(UrlMistake::Plain);
        }
        Ok(Self { secure, host, port })
    }
}

/// Why there is no host in the `authority` of a URL: perhaps there is one, in another spelling.
fn no_host(secure: bool, authority: &str) -> UrlMistake {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let port = port.map(|text| parse_port(text).ok_or(UrlMistake::Port)).transpose();
    match (Host::international(host), port) {
        (Some(_), Err(mistake)) => mistake,
        (Some(host), Ok(_)) if !secure && !host.is_loopback() => UrlMistake::Plain,
        (Some(host), Ok(port)) => UrlMistake::International(PrimaryUrl { secure, host, port }.written()),
        (None, _) => UrlMistake::Host,
    }
}

/// Reads the port in a primary's URL.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

/// What follows a scheme in the primary's URL, in whatever case that is written.
fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
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
            ("http://LOCALHOST", "http://localhost:8155"),
            ("http://[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1"),
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
            ("https://primarygo:+80", UrlMistake::Port),
            ("https://user:pw@primarygo", UrlMistake::User),
            ("https://user:pw@primarygo?x#y", UrlMistake::User),
            ("http://127.0.0.1@evil.example", UrlMistake::User),
            ("http://127.0.0.1\\@evil.example", UrlMistake::User),
            ("https://primarygo?x", UrlMistake::Extra),
            ("http://127.0.0.1.example.org", UrlMistake::Plain),
            ("http://localhost.example.org", UrlMistake::Plain),
            ("http://localhost.", UrlMistake::Plain),
            ("http://127.0.0.1.", UrlMistake::Host),
            ("http://127.1", UrlMistake::Host),
            ("http://0x7f.1", UrlMistake::Host),
            ("http://[::1]evil.example", UrlMistake::Host),
            ("http://[::ffff:10.0.0.1]", UrlMistake::Plain),
            ("http://m\u{fc}ller.test", UrlMistake::Plain),
            ("https://m\u{fc}ller.test:x", UrlMistake::Port),
            ("https://m\u{fc}ller test", UrlMistake::Host),
            ("https://m\u{fc}:geheim@primarygo", UrlMistake::User),
        ] {
            assert_eq!(text.parse::<PrimaryUrl>(), Err(mistake), "{text}");
        }
    }

    #[test]
    fn an_international_name_is_offered_in_the_form_that_works() {
        for (text, offered) in [
            ("https://m\u{fc}ller.test", "https://xn--mller-kva.test"),
            (
                "HTTPS://B\u{dc}CHER.example:9000/go/",
                "https://xn--bcher-kva.example:9000",
            ),
            ("https://m%C3%BCller.test:8155", "https://xn--mller-kva.test:8155"),
            ("https://primary\u{200b}go", "https://primarygo"),
        ] {
            let mistake = text.parse::<PrimaryUrl>().expect_err(text);
            assert_eq!(mistake, UrlMistake::International(offered.to_owned()), "{text}");
            let taken: PrimaryUrl = offered.parse().expect("what is offered is taken");
            assert_eq!(taken.written(), offered);
        }
    }

    #[test]
    fn what_is_written_down_stands_for_the_same_addresses() {
        for text in ["https://primarygo", "https://[fd00::1]:9000", "http://127.0.0.1:8156"] {
            let url: PrimaryUrl = text.parse().expect("valid");
            assert_eq!(url.written().parse(), Ok(url), "{text}");
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
