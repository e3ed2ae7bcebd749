//! What the puller needs of a connection to the primary, and nothing more.

use std::{future::Future, time::Duration};

use bytes::Bytes;

use crate::{
    basics::{Digest, Error, Fingerprint},
    generation::{Envelope, ManifestDocument},
    status::{Report, ReportReply},
};

/// The answer to a long poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestReply {
    /// The primary still has the generation that we know; the envelope is fresh.
    Unchanged(Envelope),
    /// A generation that we do not know yet.
    Changed(ManifestDocument),
}

/// What a connection shows of the primary's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerKey {
    /// The key that was shown last, accepted or not.
    pub seen: Option<Fingerprint>,
    /// How it is trusted, in words.
    pub trust: String,
    /// Whether the connection had a key at all: in the clear nobody proves anything.
    pub is_proven: bool,
}

/// A way to ask the primary. Every error says by its kind whether a retry may help.
pub trait Transport: Send + Sync + 'static {
    /// Asks for the manifest; with a `known` generation waits up to `wait` for another one.
    fn manifest(
        &self,
        known: Option<Digest>,
        wait: Duration,
    ) -> impl Future<Output = Result<ManifestReply, Error>> + Send;

    /// Fetches over the transport the bytes with this digest from `offset` on and hands them to `sink` in order. The
    /// caller checks length and digest.
    fn blob(
        &self,
        digest: Digest,
        offset: u64,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send),
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Asks for what leads from the bytes with the digest `former` to those with `digest`
    /// ([`crate::generation::delta`]). None where the primary has none: they are then fetched whole.
    fn delta(&self, digest: Digest, former: Digest) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send {
        let _ = (digest, former);
        std::future::ready(Ok(None))
    }

    /// Tells the primary with the node id `to` how far this standby is; whoever else answers there says nothing. None
    /// where the primary takes no reports.
    fn report(&self, report: &Report, to: &str) -> impl Future<Output = Result<Option<ReportReply>, Error>> + Send {
        let _ = (report, to);
        std::future::ready(Ok(None))
    }

    /// The primary's key as of the newest connection.
    fn peer_key(&self) -> PeerKey {
        PeerKey::default()
    }

    /// The address at which the primary has answered this transport, once it has, where it may have several.
    fn address(&self) -> Option<String> {
        None
    }
}
