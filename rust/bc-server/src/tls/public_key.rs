//! Which kinds of keys can be used, and how the others are called.
//!
//! ring signs with the first and checks with a few more: an RSA key of 8192 bits may be the other side's, but not ours.

use std::fmt;

use rustls_pki_types::PrivateKeyDer;
use x509_parser::{
    der_parser::{ber::BerObject, der::parse_der},
    x509::SubjectPublicKeyInfo,
};

/// The kinds that a node can show, for a message.
pub(super) const USABLE: &str = "ECDSA on P-256 or P-384, RSA of 2048 to 4096 bits, and Ed25519";

/// The kind of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// With its length in bits.
    Rsa(usize),
    /// RSA that is for PSS signatures alone.
    RsaPss,
    /// On this curve.
    Ec(Curve),
    Ed25519,
    Ed448,
    Dsa,
    /// Its object identifier.
    Other(String),
}

/// A curve of ECDSA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    /// Its object identifier, where it has one.
    Other(String),
}

impl Kind {
    /// The kind of the key in a certificate (RSA, EC and so on).
    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        let curve = curve.map(|oid| oid.to_id_string());
        Self::named(&key.algorithm.algorithm.to_id_string(), curve, || {
            let (_, numbers) = parse_der(&key.subject_public_key.data).ok()?;
            bits(numbers.as_sequence().ok()?.first()?)
        })
    }

    /// The kind of a private key; none where its form is not understood.
    pub(super) fn of_private(key: &PrivateKeyDer<'_>) -> Option<Self> {
        let (_, outer) = parse_der(key.secret_der()).ok()?;
        let fields = outer.as_sequence().ok()?;
        match key {
            PrivateKeyDer::Pkcs1(_) => Some(Kind::Rsa(bits(fields.get(1)?)?)),
            PrivateKeyDer::Sec1(_) => {
                // Version, key, and the curve in [0].
                let (_, curve) = parse_der(fields.get(2)?.as_slice().ok()?).ok()?;
                Some(Kind::Ec(Curve::of(Some(curve.as_oid().ok()?.to_id_string()))))
            }
            PrivateKeyDer::Pkcs8(_) => {
                let algorithm = fields.get(1)?.as_sequence().ok()?;
                let kind = algorithm.first()?.as_oid().ok()?.to_id_string();
                let curve = algorithm.get(1).and_then(|curve| curve.as_oid().ok());
                let key = fields.get(2)?.as_slice().ok()?;
                Some(Self::named(&kind, curve.map(|oid| oid.to_id_string()), || {
                    bits(parse_der(key).ok()?.1.as_sequence().ok()?.get(1)?)
                }))
            }
            _ => None,
        }
    }

    /// The kind of a public key by the name and curve in its algorithm.
    fn named(kind: &str, curve: Option<String>, rsa_bits: impl Fn() -> Option<usize>) -> Self {
        match kind {
            "1.2.840.113549.1.1.1" => Kind::Rsa(rsa_bits().unwrap_or(0)),
            "1.2.840.113549.1.1.10" => Kind::RsaPss,
            "1.2.840.10045.2.1" => Kind::Ec(Curve::of(curve)),
            "1.2.840.10040.4.1" => Kind::Dsa,
            "1.3.101.112" => Kind::Ed25519,
            "1.3.101.113" => Kind::Ed448,
            other => Kind::Other(other.to_owned()),
        }
    }

    /// Whether a node can show a certificate with a key of this kind.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Kind::Rsa(bits) => (2048..=4096).contains(bits),
            Kind::Ec(curve) => matches!(curve, Curve::P256 | Curve::P384),
            Kind::Ed25519 => true,
            _ => false,
        }
    }

    /// Whether what is signed with a key of this kind can be checked.
    pub(super) fn is_understood(&self) -> bool {
        self.is_usable() || matches!(self, Kind::Rsa(bits) if (2048..=8192).contains(bits))
    }
}

impl Curve {
    /// The curve of a public key by its object identifier.
    fn of(oid: Option<String>) -> Self {
        match oid.as_deref() {
            Some("1.2.840.10045.3.1.7") => Curve::P256,
            Some("1.3.132.0.34") => Curve::P384,
            Some("1.3.132.0.35") => Curve::P521,
            _ => Curve::Other(oid.unwrap_or_default()),
        }
    }
}

/// As administrators know it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Rsa(bits) => write!(f, "RSA of {bits} bits"),
            Kind::RsaPss => f.write_str("RSA for PSS alone"),
            Kind::Ec(Curve::P256) => f.write_str("ECDSA on P-256"),
            Kind::Ec(Curve::P384) => f.write_str("ECDSA on P-384"),
            Kind::Ec(Curve::P521) => f.write_str("ECDSA on P-521 (secp521r1)"),
            Kind::Ec(Curve::Other(oid)) if oid.is_empty() => f.write_str("ECDSA on a curve that is not named"),
            Kind::Ec(Curve::Other(oid)) => write!(f, "ECDSA on the curve {oid}"),
            Kind::Ed25519 => f.write_str("Ed25519"),
            Kind::Ed448 => f.write_str("Ed448"),
            Kind::Dsa => f.write_str("DSA"),
            Kind::Other(oid) => write!(f, "a key of the kind {oid}"),
        }
    }
}

/// The length of an RSA key's number in bits.
fn bits(number: &BerObject<'_>) -> Option<usize> {
    let bytes = number.as_slice().ok()?;
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    Some(bytes.len() * 8 - bytes.first()?.leading_zeros() as usize)
}
