//! Reading single properties.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CertificateFiles, DEFAULT_PORT, Flag, Mistake};
use crate::{percent, primary_url::PrimaryUrl, properties::Properties};

/// Reads properties, and gathers the mistakes in them.
pub(super) struct Reader<'a> {
    pub(super) properties: &'a Properties,
    pub(super) mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.properties
            .get(name)
            .map(without_stray_quotes)
            .filter(|value| !value.is_empty())
    }

    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        parse: impl Fn(&'a str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(text);
        if parsed.is_none() {
            self.mistake(name, format!("`{text}` is not {wanted}"));
        }
        parsed
    }

    pub(super) fn mistake(&mut self, property: &'static str, message: String) {
        self.mistakes.push(Mistake { property, message });
    }

    pub(super) fn milliseconds(&mut self, name: &'static str, default: u64) -> Duration {
        let parse = |text: &str| text.parse().ok().filter(|milliseconds| *milliseconds > 0);
        let given = self.parsed(name, "a whole number of milliseconds above 0", parse);
        Duration::from_millis(given.unwrap_or(default))
    }

    /// GoCD binds `cruise.listen.host` (all addresses by default) and `cruise.server.port`.
    pub(super) fn gocd_listen(&mut self) -> SocketAddr {
        let port = self
            .parsed("cruise.server.port", "a port number", |text| text.parse().ok())
            .unwrap_or(8153);
        let host = self
            .parsed("cruise.listen.host", "an IP address", |text| match text {
                "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                other => other.parse().ok(),
            })
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        SocketAddr::new(host, port)
    }

    pub(super) fn certificate_files(&mut self, working_dir: &Path) -> Option<CertificateFiles> {
        const CERTIFICATE: &str = "bc.tls.certificate";
        const PRIVATE_KEY: &str = "bc.tls.private.key";
        match (self.text(CERTIFICATE), self.text(PRIVATE_KEY)) {
            (Some(certificate), Some(private_key)) => Some(CertificateFiles {
                certificate: working_dir.join(certificate),
                private_key: working_dir.join(private_key),
            }),
            (None, None) => None,
            (certificate, _) => {
                let (missing, given) = if certificate.is_none() {
                    (CERTIFICATE, PRIVATE_KEY)
                } else {
                    (PRIVATE_KEY, CERTIFICATE)
                };
                self.mistake(missing, format!("is missing beside {given}; give both or none"));
                None
            }
        }
    }

    pub(super) fn primary_url(&mut self, flag: Flag) -> Option<PrimaryUrl> {
        const NAME: &str = "bc.primary.url";
        match self.text(NAME) {
            Some(text) => match text.parse() {
                Ok(url) => Some(url),
                Err(reason) => {
                    self.mistake(
                        NAME,
                        format!("`{text}` {reason}; write the primary's address, such as https://primarygo:8155"),
                    );
                    None
                }
            },
            None => {
                if flag != Flag::None {
                    self.mistake(
                        NAME,
                        "is missing on this standby; add -Dbc.primary.url=https://primarygo:8155 with your primary's name \
                         beside -Dgo.server.mode=standby"
                            .to_owned(),
                    );
                }
                None
            }
        }
    }
}

/// Drops blanks and quotes at both ends: the examples of the original set-up page have stray ones, and
/// wrappers before Tanuki 3.6 hand quotes through on UNIX.
pub fn without_stray_quotes(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
}

/// A size: bytes, or a number with KiB, MiB or GiB.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// An address with or without a port.
pub(super) fn listen_address(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT)))
}

/// The file of `jar:file:/usr/share/go-server/lib/go.jar!/com/…`, or the path as it is.
pub(super) fn launcher_jar(text: &str) -> Option<PathBuf> {
    if Path::new(text).is_absolute() {
        return Some(PathBuf::from(text));
    }
    let path = text.strip_prefix("jar:file:")?.split_once("!/")?.0;
    Some(PathBuf::from(percent::decoded(path)?))
}
