//! TLS of both sides: rustls with ring.
//!
//! The provider is named in every configuration. A process-wide default would be wrong here: several copies of
//! this library may follow each other in one JVM, beside others that use rustls.
//!
//! - [`node_key`]: what a node shows, whoever began the connection.
//! - [`server`]: what it asks its clients to show.
//! - [`client`]: a standby judges what the primary shows.

use std::sync::Arc;

use bc_core::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;

pub mod client;
pub mod node_key;
pub mod server;

/// The fingerprint of the key in a DER certificate.
///
/// # Errors
/// [`Kind::Protocol`] when the bytes are not an X.509 certificate of version 3.
pub fn fingerprint_of_certificate(certificate: &CertificateDer<'_>) -> Result<Fingerprint, Error> {
    let certificate = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| Error::new(Kind::Protocol, format!("a certificate is not understood: {error}"), ""))?;
    Ok(Fingerprint::of_public_key(&certificate.subject_public_key_info()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use bc_core::identity::Identity;
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
