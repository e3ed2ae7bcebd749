//! What a node shows to those who connect, and what it asks them to show.
//!
//! A client may show a certificate and needs none: browsers and old standbys have no such thing. Whoever shows one
//! must sign the handshake with its key; who issued it does not matter, since a node is known by its key alone.
//! The hint that goes with the question names only the issuer of our own self-signed certificates, so that browsers
//! do not ask people to choose one of theirs.

use std::sync::Arc;

use bc_core::{basics::Error, keys::Identity};
use rustls::{
    DistinguishedName, ServerConfig,
    crypto::CryptoProvider,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    fingerprint_of_certificate,
    node_key::{NodeKey, Shown},
    provider,
};

/// Makes the TLS configuration of a port with the node's own key and certificate: TLS 1.2 or 1.3.
///
/// # Errors
/// [`bc_core::basics::Kind::File`] when the identity's key and certificate do not belong together.
pub fn config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    Ok(config_of(NodeKey::new(Shown::identity(identity)?), identity))
}

/// Makes the TLS configuration of a port with whatever `key` shows at the moment, TLS 1.2 or 1.3; `identity` is the
/// node's self-signed certificate.
pub fn config_of(key: Arc<NodeKey>, identity: &Identity) -> Arc<ServerConfig> {
    let hints = Shown::identity(identity).ok().and_then(|own| own.issuer());
    let clients = AnyKey {
        provider: provider(),
        hints: hints.into_iter().collect(),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(key);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Accepts every key that a client proves to hold.
#[derive(Debug)]
struct AnyKey {
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        fingerprint_of_certificate(end_entity)
            .map(|_| ClientCertVerified::assertion())
            .map_err(|_| rustls::CertificateError::BadEncoding.into())
    }

    check_signatures!();
}
