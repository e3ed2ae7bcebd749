//! The key that a node shows on every connection, to those who connect to it and to whom it connects.
//!
//! It may change while the node runs: connections that are open go on, later ones see the new one.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bc_core::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    identity::Identity,
};
use rustls::{
    DistinguishedName, SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{fingerprint_of_certificate, provider};

/// A private key with its certificates, ready for handshakes.
#[derive(Clone)]
pub struct Shown {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl Shown {
    /// From PEM texts: the certificates of the chain, the node's own first, and its private key.
    ///
    /// # Errors
    /// What is wrong with them, as a fragment: one of them is no PEM, of an unknown kind, or they do not belong
    /// together. It never holds a part of the key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the certificate is not understood: {error}"))?;
        let first = certificates.first().ok_or("there is no certificate")?;
        let fingerprint = fingerprint_of_certificate(first).map_err(|error| error.message().to_owned())?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "there is no private key in PEM form")?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| "the private key is of a kind that is not understood")?;
        let certified = CertifiedKey::new(certificates, key);
        certified
            .keys_match()
            .map_err(|_| "certificate and private key do not belong together")?;
        Ok(Self {
            certified: Arc::new(certified),
            fingerprint,
        })
    }

    /// The node's own self-signed certificate.
    ///
    /// # Errors
    /// [`Kind::File`] when key and certificate of the identity do not belong together.
    pub fn identity(identity: &Identity) -> Result<Self, Error> {
        Self::from_pem(identity.certificate_pem().as_bytes(), identity.key_pem().as_bytes()).map_err(|reason| {
            Error::new(
                Kind::File,
                format!("the TLS key and certificate of this node cannot be used: {reason}"),
                "Restore identity.pem of the state folder from a backup.",
            )
        })
    }

    /// The fingerprint of the key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Who issued the certificate; with a self-signed one, its own name.
    pub(super) fn issuer(&self) -> Option<DistinguishedName> {
        let certificate = webpki::EndEntityCert::try_from(self.certified.end_entity_cert().ok()?).ok()?;
        Some(DistinguishedName::in_sequence(certificate.issuer()))
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fingerprint, f)
    }
}

/// What a node shows now; shared by its listener and its client.
#[derive(Debug)]
pub struct NodeKey {
    shown: Mutex<Shown>,
}

impl NodeKey {
    /// A node that shows this.
    pub fn new(shown: Shown) -> Arc<Self> {
        Arc::new(Self {
            shown: Mutex::new(shown),
        })
    }

    /// What new connections see.
    pub fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows something else from the next connection on.
    pub fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

impl ResolvesServerCert for NodeKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().certified)
    }
}

impl ResolvesClientCert for NodeKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Whatever authorities the other side hints at: it knows keys, not authorities.
        Some(self.shown().certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let folder = tempfile::tempdir().expect("folder");
        Identity::load_or_create(folder.path()).expect("identity")
    }

    #[test]
    fn a_pair_that_does_not_belong_together_is_refused() {
        let (one, two) = (identity(), identity());
        let pair = |certificate: &str, key: &str| Shown::from_pem(certificate.as_bytes(), key.as_bytes());
        let shown = pair(one.certificate_pem(), one.key_pem()).expect("a pair");
        assert_eq!(shown.fingerprint(), one.fingerprint());
        assert!(!format!("{shown:?}").contains("PRIVATE"));
        for (certificate, key, reason) in [
            (one.certificate_pem(), two.key_pem(), "do not belong together"),
            ("", one.key_pem(), "no certificate"),
            (one.certificate_pem(), "", "no private key"),
            (one.certificate_pem(), one.certificate_pem(), "no private key"),
            (
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                one.key_pem(),
                "not understood",
            ),
        ] {
            let refused = pair(certificate, key).expect_err("refused");
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
