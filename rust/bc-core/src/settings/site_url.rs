//! Where people reach GoCD, whichever server it runs on.

use std::{fmt, str::FromStr};

use super::PrimaryUrl;

/// The address of the site: scheme, host and perhaps a port. In the clear too, since nothing is sent there but a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteUrl {
    is_secure: bool,
    base: String,
}

impl SiteUrl {
    /// Whether the site is reached over TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Where GoCD says at its site whether it runs.
    pub fn health(&self) -> String {
        format!("{self}/go/api/v1/health")
    }
}

impl fmt::Display for SiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl FromStr for SiteUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let is_secure = lower.starts_with("https://");
        if !is_secure && !lower.starts_with("http://") {
            return Err("it begins neither with https:// nor with http://".to_owned());
        }
        // What is an address is one for both.
        let (_, rest) = text.split_once("://").expect("just seen");
        let base = format!("https://{rest}").parse::<PrimaryUrl>();
        let base = base.map_err(|_| "it is no address".to_owned())?.written();
        Ok(Self {
            is_secure,
            base: if is_secure {
                base
            } else {
                base.replacen("https", "http", 1)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_reached_with_tls_or_without() {
        for (written, health) in [
            ("https://ci.example.com", "https://ci.example.com/go/api/v1/health"),
            (
                "https://ci.example.com:8443/",
                "https://ci.example.com:8443/go/api/v1/health",
            ),
            (
                "http://ci.example.com:8153",
                "http://ci.example.com:8153/go/api/v1/health",
            ),
        ] {
            let site: SiteUrl = written.parse().expect("an address");
            assert_eq!(site.health(), health);
            assert_eq!(site.is_secure(), written.starts_with("https"));
        }
        for wrong in ["ci.example.com", "ftp://ci.example.com", "https://a:b@ci", "http://"] {
            assert!(wrong.parse::<SiteUrl>().is_err(), "{wrong}");
        }
    }
}
