//! How a standby judges the primary during the handshake, before anything of ours crosses the wire.
//!
//! Two things are checked on every connection: that the [`Judge`] accepts the key (or, with `bc.tls.ca`, that an
//! authority vouches for key and name), and that the other side signs the handshake with that key. A relay that
//! shows the genuine certificate fails the second. Sessions are never resumed, since a resumed one skips both.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex},
};

use bc_core::{
    basics::{Error, Fingerprint, Kind, lock},
    keys::{Trust, trust::Judge},
};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, OtherError,
    client::{
        Resumption, WantsClientCert,
        danger::{ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    authority::{self, Presented},
    certificate::Certificate,
    failure::{self, causes},
    fingerprint_of_certificate,
    node_key::NodeKey,
    provider, public_key,
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
    /// Makes what judges the primary's key for a node whose own key is `own`: an address that leads back to it is
    /// refused. It shows no certificate.
    pub fn new(trust: TrustSource, own: Fingerprint) -> Arc<Self> {
        Self::with(trust, OwnKey::Fixed(own))
    }

    /// Makes what judges the primary's key for a node that shows `key`, to the primary too.
    pub(crate) fn of_node(trust: TrustSource, key: Arc<NodeKey>) -> Arc<Self> {
        Self::with(trust, OwnKey::Shown(key))
    }

    /// Makes a verifier that lets nobody pass but whoever holds the very key of this node, which shows it too.
    pub(crate) fn of_own(key: Arc<NodeKey>) -> Arc<Self> {
        let own = Arc::clone(&key);
        let trust: TrustSource = Arc::new(move || Trust::Pinned(own.shown().fingerprint()).into());
        Arc::new(Self {
            wants_own: true,
            ..Self::made(trust, OwnKey::Shown(key))
        })
    }

    /// A verifier of the primary's key with this trust and own key, shared.
    fn with(trust: TrustSource, own: OwnKey) -> Arc<Self> {
        Arc::new(Self::made(trust, own))
    }

    /// A verifier of the primary's key with this trust and own key.
    fn made(trust: TrustSource, own: OwnKey) -> Self {
        Self {
            trust,
            own,
            wants_own: false,
            seen: Mutex::new(None),
            provider: provider(),
        }
    }

    /// Whether the key that was shown to this verifier is the node's own.
    fn is_own(&self, shown: &Fingerprint) -> bool {
        match &self.own {
            OwnKey::Fixed(own) => own == shown,
            OwnKey::Shown(key) => key.shown().fingerprint() == *shown,
        }
    }

    /// The key that the other side showed this verifier in the newest handshake, accepted or not.
    pub fn seen(&self) -> Option<Fingerprint> {
        *lock(&self.seen)
    }

    /// Whether the newest handshake of this verifier showed this node's own key.
    pub(crate) fn saw_own(&self) -> bool {
        self.seen().is_some_and(|seen| self.is_own(&seen))
    }

    /// Judges the certificate that the primary shows in a handshake, by its key and where so set by `bc.tls.ca`.
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let shown = fingerprint_of_certificate(end_entity)?;
        *lock(&self.seen) = Some(shown);
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

/// Begins the TLS configuration of a client that lets `verifier` judge what the other side shows.
pub(crate) fn builder(verifier: Arc<dyn ServerCertVerifier>) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// Makes the TLS configuration of a client that asks `verifier`, and shows the key of its node where it has one.
pub fn config(verifier: Arc<Verifier>) -> ClientConfig {
    let own = verifier.own.clone();
    let builder = builder(verifier);
    let mut config = match own {
        OwnKey::Fixed(_) => builder.with_no_client_auth(),
        OwnKey::Shown(key) => builder.with_client_cert_resolver(key),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Says why TLS with the primary failed, if that is the reason anywhere behind `error`: the verifier's own refusal as
/// it was, or what the failure means.
pub(crate) fn refusal(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error).find_map(|cause| cause.downcast_ref()).map(meaning)
}

/// Says what an error of rustls on the client's side means.
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

/// Says that the primary's address shows a certificate but does not prove its key.
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

    check_signatures!();
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("seen", &self.seen())
            .finish_non_exhaustive()
    }
}
