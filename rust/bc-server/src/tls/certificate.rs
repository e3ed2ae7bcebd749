//! What a certificate says, as people read it: whose it is, who issued it, from when to when, for which names and of
//! which kind its key is.
//!
//! webpki judges chains and tells little of this; here nothing is judged but dates and names of a certificate that an
//! administrator has named whole.

use std::{fmt, net::IpAddr};

use bc_core::basics::words::{self, minute};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    x509::{X509Name, X509Version},
};

use super::public_key::Kind;

/// How much of a foreign name is shown, in characters.
const LONGEST_NAME: usize = 120;
/// How many names of a certificate are shown.
const MOST_NAMES: usize = 8;

/// A certificate that was taken apart.
pub(super) struct Certificate<'a> {
    der: &'a CertificateDer<'a>,
    parsed: X509Certificate<'a>,
}

/// From when to when a certificate counts, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dates {
    pub(crate) begin: i64,
    pub(crate) end: i64,
}

/// Why a certificate does not count at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untimely {
    /// It ended at this time.
    Expired(i64),
    /// It begins at this time.
    NotYet(i64),
}

impl Dates {
    /// Checks the dates of a certificate at `now`, seconds since 1970.
    pub(crate) fn check(self, now: i64) -> Result<(), Untimely> {
        if now < self.begin {
            Err(Untimely::NotYet(self.begin))
        } else if now > self.end {
            Err(Untimely::Expired(self.end))
        } else {
            Ok(())
        }
    }
}

/// What is the matter: `expired on 2026-03-01 12:00 UTC`.
impl fmt::Display for Untimely {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Untimely::Expired(end) => write!(f, "expired on {}", minute(*end)),
            Untimely::NotYet(begin) => write!(f, "is not valid before {}", minute(*begin)),
        }
    }
}

/// Seconds since 1970, of the time at which a certificate is judged.
pub(super) fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl<'a> Certificate<'a> {
    /// Reads a certificate from its DER bytes; none where it is damaged, or something else.
    pub(super) fn read(der: &'a CertificateDer<'a>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some(Self { der, parsed })
    }

    /// The DER bytes of the whole certificate.
    pub(super) fn der(&self) -> &CertificateDer<'a> {
        self.der
    }

    /// Whose the certificate is, for people.
    pub(super) fn subject(&self) -> String {
        named(self.parsed.subject())
    }

    /// Who issued the certificate, for people.
    pub(super) fn issuer(&self) -> String {
        named(self.parsed.issuer())
    }

    /// Whether the certificate names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.parsed.subject().as_raw() == self.parsed.issuer().as_raw()
    }

    /// Whether the certificate `other` has the name of this one's issuer.
    pub(super) fn may_be_issued_by(&self, other: &Certificate<'_>) -> bool {
        self.parsed.issuer().as_raw() == other.parsed.subject().as_raw()
    }

    /// Whether both certificates are for the same key.
    pub(super) fn has_key_of(&self, other: &Certificate<'_>) -> bool {
        self.parsed.public_key().raw == other.parsed.public_key().raw
    }

    /// Whether the certificate says that it may issue others: its key alone would say nothing of the kind.
    pub(super) fn is_authority(&self) -> bool {
        let may_sign = self.parsed.key_usage();
        self.is_of_version_3()
            && self.parsed.is_ca()
            && may_sign.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
    }

    /// Whether the certificate is of version 3, and so may have extensions.
    pub(super) fn is_of_version_3(&self) -> bool {
        self.parsed.version() == X509Version::V3
    }

    /// From when to when a certificate counts, by its own words.
    pub(super) fn dates(&self) -> Dates {
        let validity = self.parsed.validity();
        Dates {
            begin: validity.not_before.timestamp(),
            end: validity.not_after.timestamp(),
        }
    }

    /// The kind of the key that the certificate is for.
    pub(super) fn key(&self) -> Kind {
        Kind::of(self.parsed.public_key())
    }

    /// Which algorithm the issuer signed the certificate with, where that is a weak one.
    pub(super) fn weak_signature(&self) -> Option<&'static str> {
        match self.parsed.signature_algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.4" => Some("MD5"),
            "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
            _ => None,
        }
    }

    /// Whether the certificate is for the server `name`. What its subjectAltName says counts; the common name of its
    /// subject only where it has no DNS name and no address there, and only letter by letter: a certificate of plain
    /// `openssl req -x509` has no other.
    pub(super) fn is_for(&self, name: &ServerName<'_>) -> bool {
        if self.has_alternative_names() {
            return webpki::EndEntityCert::try_from(self.der)
                .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(name).is_ok());
        }
        let Some(common) = self.common_name() else {
            return false;
        };
        match name {
            ServerName::DnsName(asked) => {
                let absolute = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                absolute(asked.as_ref()) == absolute(common)
            }
            ServerName::IpAddress(asked) => common.parse() == Ok(IpAddr::from(*asked)),
            _ => false,
        }
    }

    /// Lists the names that the certificate is for, for people.
    pub(super) fn names(&self) -> String {
        let alternative = self.alternative_names();
        if alternative.is_empty() {
            return match self.common_name() {
                Some(common) => format!(
                    "{} (its common name; it has no subjectAltName)",
                    words::shown(common, LONGEST_NAME)
                ),
                None => "no name at all".to_owned(),
            };
        }
        let more = alternative.len().saturating_sub(MOST_NAMES);
        let mut shown = alternative[..alternative.len() - more].join(", ");
        if more > 0 {
            shown.push_str(&format!(" and {more} more"));
        }
        shown
    }

    /// Whether the certificate has DNS names or addresses in its subjectAltName.
    fn has_alternative_names(&self) -> bool {
        !self.alternative_names().is_empty()
    }

    /// The DNS names and addresses in the certificate's subjectAltName.
    fn alternative_names(&self) -> Vec<String> {
        let Ok(Some(extension)) = self.parsed.subject_alternative_name() else {
            return Vec::new();
        };
        let names = extension.value.general_names.iter();
        names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(words::shown(name, LONGEST_NAME)),
                GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
                _ => None,
            })
            .collect()
    }

    /// The most specific common name of the certificate, which stands last.
    fn common_name(&self) -> Option<&str> {
        let name = self.parsed.subject().iter_common_name().last()?;
        name.as_str().ok()
    }
}

/// The address in a certificate's subjectAltName.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The part of a certificate's X.509 name that says most.
fn named(name: &X509Name<'_>) -> String {
    let most = (name.iter_common_name().last())
        .or_else(|| name.iter_organizational_unit().last())
        .or_else(|| name.iter_organization().last());
    match most.and_then(|part| part.as_str().ok()) {
        Some(text) => format!("\"{}\"", words::shown(text, LONGEST_NAME)),
        None => "somebody without a name".to_owned(),
    }
}
