//! How a standby judges the primary during the handshake, before anything of ours crosses the wire.
//!
//! Two things are checked on every connection: that the [`Judge`] accepts the key (or, with `bc.tls.ca`, that an
//! authority vouches for key and name), and that the other side signs the handshake with that key. A relay that
//! shows the genuine certificate fails the second. Sessions are never resumed, since a resumed one skips both.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bc_core::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    trust::{Judge, Trust},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    Version,
    authority::{self, Presented},
    certificate::Certificate,
    failure::{self, causes},
    fingerprint_of_certificate,
    node_key::NodeKey,
    provider, public_key, signed,
};

/// Tells how the primary is proven right now; asked once a handshake, since the peers file may change.
pub type TrustSource = Arc<dyn Fn() -> Judge + Send + Sync>;

/// Which key is this node's own.
#[derive(Clone)]
enum OwnKey {
    Fixed(Fingerprint),
    Shown(Arc<NodeKey>),
}

/// Judges the certificates of one address and remembers the key it saw last.
pub struct Verifier {
    trust: TrustSource,
    own: OwnKey,
    /// Whether it is our own key that is asked for, and no other.
    wants_own: bool,
    seen: Mutex<Option<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// A verifier for a node whose own key is `own`: an address that leads back to it is refused.
    /// It shows no certificate.
    pub fn new(trust: TrustSource, own: Fingerprint) -> Arc<Self> {
        Self::with(trust, OwnKey::Fixed(own))
    }

    /// A verifier for a node that shows `key`, to the other side too.
    pub fn of_node(trust: TrustSource, key: Arc<NodeKey>) -> Arc<Self> {
        Self::with(trust, OwnKey::Shown(key))
    }

    /// A verifier that lets nobody pass but whoever holds the very key of this node, which shows it too.
    pub fn of_own(key: Arc<NodeKey>) -> Arc<Self> {
        let own = Arc::clone(&key);
        let trust: TrustSource = Arc::new(move || Trust::Pinned(own.shown().fingerprint()).into());
        Arc::new(Self {
            wants_own: true,
            ..Self::made(trust, OwnKey::Shown(key))
        })
    }

    fn with(trust: TrustSource, own: OwnKey) -> Arc<Self> {
        Arc::new(Self::made(trust, own))
    }

    fn made(trust: TrustSource, own: OwnKey) -> Self {
        Self {
            trust,
            own,
            wants_own: false,
            seen: Mutex::new(None),
            provider: provider(),
        }
    }

    fn is_own(&self, shown: &Fingerprint) -> bool {
        match &self.own {
            OwnKey::Fixed(own) => own == shown,
            OwnKey::Shown(key) => key.shown().fingerprint() == *shown,
        }
    }

    /// The key that was shown in the newest handshake, accepted or not.
    pub fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that was this node's own one.
    pub fn saw_own(&self) -> bool {
        self.seen().is_some_and(|seen| self.is_own(&seen))
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let shown = fingerprint_of_certificate(end_entity)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        if !self.wants_own && self.is_own(&shown) {
            return Err(Error::new(
                Kind::Refused,
                "bc.primary.url leads back to this node: the key shown there is this node's own",
                "Write the primary's address into bc.primary.url. If this node's state folder was copied from the \
                 primary, stop GoCD here, run `gocd-bc identity new` and start it again.",
            ));
        }
        let judge = (self.trust)();
        if let Trust::Authority(authority) = &judge.trust {
            let presented = Presented {
                key: shown,
                certificate: end_entity,
                intermediates,
                name,
                now,
            };
            authority::vouches(authority, &presented, &self.provider)?;
        }
        judge.key(&shown)?;
        // Otherwise its signature would be refused, as if it were that of somebody who has not the key.
        match Certificate::read(end_entity).map(|certificate| certificate.key()) {
            Some(kind) if !kind.is_understood() => Err(Error::new(
                Kind::Trust,
                format!(
                    "the primary shows a certificate with a key that cannot be used, {kind}; those that can are {}",
                    public_key::USABLE
                ),
                "Give the primary, or the proxy in front of it, a certificate with such a key.",
            )),
            _ => Ok(()),
        }
    }
}

/// A client configuration that asks `verifier`, and shows the key of its node where it has one.
pub fn config(verifier: Arc<Verifier>) -> ClientConfig {
    let own = verifier.own.clone();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        OwnKey::Fixed(_) => builder.with_no_client_auth(),
        OwnKey::Shown(key) => builder.with_client_cert_resolver(key),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Why TLS failed, if that is the reason anywhere behind `error`: the verifier's own refusal as it was, or what
/// the failure means.
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error).find_map(|cause| cause.downcast_ref()).map(meaning)
}

fn meaning(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            inner.downcast_ref::<Error>().cloned().unwrap_or_else(not_proven)
        }
        rustls::Error::InvalidCertificate(_) => not_proven(),
        other => Error::new(
            Kind::Protocol,
            format!(
                "the other side does not speak TLS as we do: {}",
                failure::described(other)
            ),
            "Check that bc.primary.url leads to the primary's Business Continuity port, 8155 unless bc.listen says otherwise.",
        ),
    }
}

fn not_proven() -> Error {
    Error::new(
        Kind::Trust,
        "the other side shows a certificate but does not prove that it holds its key",
        "Something between the two servers may be pretending to be the primary. Check what bc.primary.url leads to.",
    )
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signed(Version::Tls12, message, certificate, signature, &self.provider)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signed(Version::Tls13, message, certificate, signature, &self.provider)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("seen", &self.seen())
            .finish_non_exhaustive()
    }
}
