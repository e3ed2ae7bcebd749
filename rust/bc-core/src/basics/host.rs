//! The host in an address: an IP address that is parsed as one, or a name.
//!
//! Nothing is compared as text that a resolver reads as a number: `127.0.0.1.example.org` is a name like any other, and
//! `127.1`, `0x7f.1` and `2130706433`, which some resolvers take for addresses and others for names, are neither.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use crate::basics::percent;

/// A host name in lower case, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// The text is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no host name or address")]
pub struct NotAHost;

/// The longest name that the domain name system has.
const LONGEST_NAME: usize = 253;
/// The longest part of one.
const LONGEST_LABEL: usize = 63;

impl Host {
    /// Whether what is sent to this host stays on this machine: a loopback address, as IPv6 may write it too, or
    /// `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.to_canonical().is_loopback(),
        }
    }

    /// Takes `host`, `host:port` or `[address]:port` apart; the port is not judged.
    ///
    /// # Errors
    /// The host is none.
    pub fn with_port(text: &str) -> Result<(Self, Option<&str>), NotAHost> {
        let end = match text.strip_prefix('[') {
            Some(_) => text.find(']').ok_or(NotAHost)? + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, rest) = text.split_at(end);
        let port = match rest.strip_prefix(':') {
            // Another colon: an IPv6 address without brackets.
            Some(port) if !port.contains(':') => Some(port),
            None if rest.is_empty() => None,
            _ => return Err(NotAHost),
        };
        Ok((host.parse()?, port))
    }

    /// The form that the domain name system has for a name with letters beyond ASCII: `xn--mller-kva.test` for
    /// `müller.test`, and for `m%C3%BCller.test`, as browsers copy it. None for a name that has this form already, and
    /// for what is no name.
    ///
    /// It is only shown to a person and never used in place of what was written: two names that look alike differ in
    /// this form.
    pub(crate) fn international(text: &str) -> Option<Self> {
        let text = match text.contains('%') {
            true => percent::decoded(text)?,
            false => text.to_owned(),
        };
        if text.is_ascii() {
            return None;
        }
        idna::domain_to_ascii(&text).ok()?.parse().ok()
    }
}

/// As it stands in an address: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Address(IpAddr::V4(address)) => address.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        if let Some(rest) = text.strip_prefix('[') {
            let address: Ipv6Addr = rest
                .strip_suffix(']')
                .and_then(|inner| inner.parse().ok())
                .ok_or(NotAHost)?;
            return Ok(Host::Address(address.into()));
        }
        if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Host::Address(address.into()));
        }
        // A full stop at the end makes a name absolute.
        let bare = text.strip_suffix('.').unwrap_or(text);
        let is_name = bare.len() <= LONGEST_NAME && bare.split('.').all(is_label) && !ends_in_a_number(bare);
        is_name.then(|| Host::Name(text.to_ascii_lowercase())).ok_or(NotAHost)
    }
}

/// Whether a text may be one label of a host's name, between its dots.
fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether resolvers may take a host name for an IPv4 address: no name of a domain has such an end.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_loopback() {
        for own in [
            "localhost",
            "LocalHost",
            "127.0.0.1",
            "127.8.9.10",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(own.parse::<Host>().expect(own).is_loopback(), "{own}");
        }
        for foreign in [
            "127.0.0.1.example.org",
            "localhost.example.org",
            "localhost.",
            "a.localhost",
            "127-0-0-1.example.org",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "128.0.0.1",
        ] {
            assert!(!foreign.parse::<Host>().expect(foreign).is_loopback(), "{foreign}");
        }
    }

    #[test]
    fn what_is_neither_a_name_nor_an_address() {
        let long = "a.".repeat(130);
        for text in [
            "",
            ".",
            "a..b",
            "-a b",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "127.0.0.1.",
            "256.0.0.1",
            "1.2.3.4.5",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "::1",
            "[::1%eth0]",
            "[a]",
            "a@b",
            "a\\b",
            "a/b",
            "b\u{fc}cher",
            "a%2e",
            "127.0.0.1\u{a0}",
            "127.0.0.1\0",
            &long,
            &"a".repeat(64),
        ] {
            assert_eq!(text.parse::<Host>(), Err(NotAHost), "{text}");
        }
    }

    #[test]
    fn names_with_other_letters_have_a_form_that_resolvers_know() {
        for (text, form) in [
            ("müller.test", "xn--mller-kva.test"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("go。例え", "go.xn--r8jz45g"),
            ("m%C3%BCller.test", "xn--mller-kva.test"),
            ("primary\u{200b}go", "primarygo"),
            ("straße.test.", "xn--strae-oqa.test."),
        ] {
            let found = Host::international(text).map(|host| host.to_string());
            assert_eq!(found.as_deref(), Some(form), "{text}");
        }
        for text in [
            "primarygo",
            "a%2e",
            "a%2",
            "müller test",
            "müller..test",
            "\u{fffd}",
            "ü@b",
            "ü\\b",
            "[::1%ü]",
            &"ü".repeat(300),
        ] {
            assert_eq!(Host::international(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_is_what_follows_the_host_alone() {
        let apart = |text| Host::with_port(text).map(|(host, port)| (host.to_string(), port));
        assert_eq!(
            apart("Primary-Go_1:8155"),
            Ok(("primary-go_1".to_owned(), Some("8155")))
        );
        assert_eq!(apart("[FD00::1]:1"), Ok(("[fd00::1]".to_owned(), Some("1"))));
        assert_eq!(apart("10.0.0.7"), Ok(("10.0.0.7".to_owned(), None)));
        for text in ["[::1]evil:1", "[::1]1", "fd00::1", ":1", ""] {
            assert_eq!(apart(text), Err(NotAHost), "{text}");
        }
    }
}
