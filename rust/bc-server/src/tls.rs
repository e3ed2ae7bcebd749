//! TLS of both sides: rustls with ring.
//!
//! The provider is named in every configuration. A process-wide default would be wrong here: several copies of
//! this library may follow each other in one JVM, beside others that use rustls.
//!
//! - [`node_key`]: what a node shows, whoever began the connection.
//! - [`server`]: what it asks its clients to show.
//! - [`client`]: a standby judges what the primary shows; with `bc.tls.ca` by `authority`.
//! - `pem`, `certificate`, `public_key`: files, certificates and keys as administrators have them, in words.
//! - `failure`: what a failed handshake means, in words.

use std::sync::Arc;

use bc_core::basics::{Error, Fingerprint, Kind};
use rustls::{
    DigitallySignedStruct,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key},
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};

/// How every verifier of ours has the signature of a TLS handshake checked, by its field `provider`: rustls asks for it
/// in three methods, which are the same whoever judges the certificate.
macro_rules! check_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &rustls_pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            crate::tls::signed(
                crate::tls::Version::Tls12,
                message,
                certificate,
                signature,
                &self.provider,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &rustls_pki_types::CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            crate::tls::signed(
                crate::tls::Version::Tls13,
                message,
                certificate,
                signature,
                &self.provider,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.provider
                .signature_verification_algorithms
                .supported_schemes()
        }
    };
}
pub(crate) use check_signatures;

mod authority;
mod certificate;
pub mod client;
pub(crate) mod failure;
pub mod node_key;
mod pem;
mod public_key;
pub mod server;

pub(crate) use certificate::{Dates, Untimely};
pub use pem::{PemFile, Unusable};

/// What to type for a key that can be used.
const ANOTHER_KEY: &str = "Make another key and certificate: openssl req -x509 -newkey ec -pkeyopt \
                           ec_paramgen_curve:P-256 -nodes -keyout node.key -out node.pem -days 825 -subj /CN=HOST -addext \
                           subjectAltName=DNS:HOST";

/// The fingerprint of the public key in a DER certificate.
///
/// # Errors
/// [`Kind::Protocol`] when the bytes are not an X.509 certificate.
pub(crate) fn fingerprint_of_certificate(certificate: &CertificateDer<'_>) -> Result<Fingerprint, Error> {
    let key = key_of(certificate).map_err(|error| {
        let reason = match error {
            webpki::Error::UnsupportedCriticalExtension => "has an extension that is critical and not known here",
            _ => "is damaged, or is not of the form X.509 has",
        };
        Error::new(
            Kind::Protocol,
            format!("the certificate {reason}"),
            "See what it is with `openssl x509 -noout -text`.",
        )
    })?;
    Ok(Fingerprint::of_public_key(&key))
}

/// The public key in a DER certificate, also where it is of version 1, which webpki reads as that of an authority
/// alone.
fn key_of(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, webpki::Error> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(certificate) => Ok(certificate.subject_public_key_info()),
        Err(webpki::Error::UnsupportedCertVersion) => {
            webpki::anchor_from_trusted_cert(certificate).map(|anchor| webpki::spki_for_anchor(&anchor))
        }
        Err(error) => Err(error),
    }
}

/// Which version of TLS a signature was made for.
#[derive(Clone, Copy)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

/// Reads a DER certificate and says whether it is for this name, as an administrator would read it.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    certificate::Certificate::read(certificate).is_some_and(|certificate| certificate.is_for(name))
}

/// Checks that whoever shows this certificate has signed the TLS handshake with its key.
pub(crate) fn signed(
    version: Version,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    provider: &CryptoProvider,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider.signature_verification_algorithms;
    if let Err(webpki::Error::UnsupportedCertVersion) = webpki::EndEntityCert::try_from(certificate) {
        return signed_with_bare_key(version, message, certificate, signature, provider);
    }
    match version {
        Version::Tls12 => verify_tls12_signature(message, certificate, signature, algorithms),
        Version::Tls13 => verify_tls13_signature(message, certificate, signature, algorithms),
    }
}

/// Checks the signature of a TLS handshake by the key alone, for a certificate of version 1.
fn signed_with_bare_key(
    version: Version,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    provider: &CryptoProvider,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let refused = || rustls::Error::from(rustls::CertificateError::BadSignature);
    let algorithms = &provider.signature_verification_algorithms;
    let key = key_of(certificate).map_err(|_| refused())?;
    if let Version::Tls13 = version {
        return verify_tls13_signature_with_raw_key(message, &key, signature, algorithms);
    }
    let bare = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| refused())?;
    let possible = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signature.scheme)
        .ok_or_else(refused)?;
    let mut tried = possible.1.iter();
    match tried.any(|algorithm| {
        bare.verify_signature(*algorithm, message, signature.signature())
            .is_ok()
    }) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(refused()),
    }
}

/// The provider of cryptography for every TLS configuration: ring.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use bc_core::keys::Identity;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_certificate_has_the_fingerprint_of_its_identity() {
        let folder = tempfile::tempdir().expect("folder");
        let identity = Identity::load_or_create(folder.path()).expect("identity");
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem().as_bytes()).expect("PEM");
        assert_eq!(fingerprint_of_certificate(&certificate), Ok(identity.fingerprint()));
        fingerprint_of_certificate(&CertificateDer::from(vec![0x30, 0])).expect_err("no certificate");
    }
}
