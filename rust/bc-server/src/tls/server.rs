//! What a node shows to those who connect.

use std::sync::Arc;

use bc_core::{
    error::{Error, Kind},
    identity::Identity,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::provider;

/// TLS 1.2 or 1.3 with the node's own key and certificate.
///
/// # Errors
/// [`Kind::File`] when the identity's key and certificate do not belong together.
pub fn config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let unusable = |error: &dyn std::fmt::Display| {
        Error::new(
            Kind::File,
            format!("the TLS key and certificate of this node cannot be used: {error}"),
            "Restore identity.pem of the state folder from a backup.",
        )
    };
    let certificates = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
