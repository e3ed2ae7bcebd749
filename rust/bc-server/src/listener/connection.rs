//! One connection, and what is known of who is at its other end.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bc_core::{basics::Fingerprint, status::Rejection};
use tokio_util::sync::CancellationToken;

use crate::rejection_log::RejectionLog;

/// One connection, as its requests see it.
#[derive(Debug, Clone)]
pub struct Connection {
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    peer: SocketAddr,
    encrypted: bool,
    client_key: OnceLock<Fingerprint>,
    asked: AtomicBool,
    proven: AtomicBool,
    closing: CancellationToken,
    evicted: CancellationToken,
    rejections: Option<RejectionLog>,
}

impl Connection {
    /// Makes what is known of a connection that has just been accepted. `closing` is the listener's.
    pub(super) fn new(
        peer: SocketAddr,
        encrypted: bool,
        closing: CancellationToken,
        rejections: Option<RejectionLog>,
    ) -> Self {
        Self {
            facts: Arc::new(Facts {
                peer,
                encrypted,
                client_key: OnceLock::new(),
                asked: AtomicBool::new(false),
                proven: AtomicBool::new(false),
                closing,
                evicted: CancellationToken::new(),
                rejections,
            }),
        }
    }

    /// The address of whoever is at the other end of this connection to our port.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.facts.peer
    }

    /// Whether this connection to our port is TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.facts.encrypted
    }

    /// The key that the client of this connection has proven to hold in the handshake, if it showed one.
    pub(crate) fn client_key(&self) -> Option<Fingerprint> {
        self.facts.client_key.get().copied()
    }

    /// Marks a connection over which right credentials came: it may stay, however many others come.
    pub(crate) fn mark_proven(&self) {
        self.facts.proven.store(true, Ordering::Relaxed);
    }

    /// Closes this connection without another byte. A handler that calls it must not answer.
    pub fn cut(&self) {
        self.facts.evicted.cancel();
    }

    /// Waits until the port of this connection closes: whoever makes a client wait must answer then.
    pub async fn closing(&self) {
        self.facts.closing.cancelled().await;
    }

    /// Waits until this connection is to be closed without another byte.
    pub(super) async fn evicted(&self) {
        self.facts.evicted.cancelled().await;
    }

    /// Notes the key that the client of this connection has proven to hold.
    pub(super) fn set_client_key(&self, key: Fingerprint) {
        self.facts.client_key.get_or_init(|| key);
    }

    /// Notes that a request has come over this connection.
    pub(super) fn mark_asked(&self) {
        self.facts.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the port of this connection closes.
    pub(super) fn is_closing(&self) -> bool {
        self.facts.closing.is_cancelled()
    }

    /// Whether right credentials came over this connection.
    pub(super) fn is_proven(&self) -> bool {
        self.facts.proven.load(Ordering::Relaxed)
    }

    /// Whether a request has come over this connection.
    pub(super) fn has_asked(&self) -> bool {
        self.facts.asked.load(Ordering::Relaxed)
    }

    /// Counts that the peer of this connection was turned away, and says it once a burst.
    pub(crate) fn reject(&self, rejection: Rejection, detail: impl fmt::Display) {
        if let Some(rejections) = &self.facts.rejections {
            rejections.note_with(rejection, self.peer().ip(), detail);
        }
    }
}
