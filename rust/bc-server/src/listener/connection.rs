//! One connection, and what is known of who is at its other end.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bc_core::{counters::Rejection, fingerprint::Fingerprint};
use tokio_util::sync::CancellationToken;

use crate::rejection_log::RejectionLog;

/// One connection, as its requests see it.
#[derive(Debug, Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
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
    /// One that has just been accepted. `closing` is the listener's.
    pub(super) fn new(
        peer: SocketAddr,
        encrypted: bool,
        closing: CancellationToken,
        rejections: Option<RejectionLog>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
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

    /// Who connected.
    pub fn peer(&self) -> SocketAddr {
        self.inner.peer
    }

    /// Whether it is TLS.
    pub fn is_encrypted(&self) -> bool {
        self.inner.encrypted
    }

    /// The key that the client has proven to hold in the handshake, if it showed one.
    pub fn client_key(&self) -> Option<Fingerprint> {
        self.inner.client_key.get().copied()
    }

    /// Right credentials came over it: it may stay, however many others come.
    pub fn mark_proven(&self) {
        self.inner.proven.store(true, Ordering::Relaxed);
    }

    /// Closes this connection without another byte. A handler that calls it must not answer.
    pub fn cut(&self) {
        self.inner.evicted.cancel();
    }

    /// Resolves when the listener closes: whoever makes a client wait must answer then.
    pub async fn closing(&self) {
        self.inner.closing.cancelled().await;
    }

    /// Resolves once the connection is to be closed without another byte.
    pub(super) async fn evicted(&self) {
        self.inner.evicted.cancelled().await;
    }

    /// Notes the key that the client has proven to hold.
    pub(super) fn set_client_key(&self, key: Fingerprint) {
        self.inner.client_key.get_or_init(|| key);
    }

    /// Notes that a request has come.
    pub(super) fn mark_asked(&self) {
        self.inner.asked.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    pub(super) fn is_proven(&self) -> bool {
        self.inner.proven.load(Ordering::Relaxed)
    }

    pub(super) fn has_asked(&self) -> bool {
        self.inner.asked.load(Ordering::Relaxed)
    }

    /// Counts that this peer was turned away, and says it once a burst.
    pub(crate) fn reject(&self, rejection: Rejection, detail: impl fmt::Display) {
        if let Some(rejections) = &self.inner.rejections {
            rejections.note_with(rejection, self.peer().ip(), detail);
        }
    }
}
