//! The peers file as a running node uses it, and what is said where it cannot.
//!
//! Reading and writing fail for different reasons, and one that works again says nothing about the other. So each
//! has its own topic on the board.

use std::sync::Arc;

use bc_core::{
    clock::Clock,
    error::Error,
    peers::{Peer, Peers, PeersFile},
    settings::Settings,
    status::{Severity, StatusBoard},
    trust::Judge,
};
use tracing::warn;

use super::Assembly;
use crate::{off_worker, tls::client::TrustSource};

/// The board's topic for a file that cannot be read.
const TOPIC_READ: &str = "peers file";
/// The board's topic for a file that this node's own key cannot be written to.
const TOPIC_JOIN: &str = "own key in the peers file";

/// Adds a key of this node's own, whatever was said of it. A file that cannot be written is a WARNING until a later call
/// can write it.
pub(super) fn join(file: &PeersFile, own: Peer, board: &StatusBoard, clock: &dyn Clock) {
    match file.change(|peers| peers.trust(own)) {
        Ok(_) => board.clear(TOPIC_JOIN),
        Err(error) => {
            if board.raise(TOPIC_JOIN, Severity::Warning, error.to_string(), clock.now_ms()) {
                warn!("{error}");
            }
        }
    }
}

/// The peers as they are now. A file that cannot be read is CRITICAL until it can be, and nobody is to be trusted.
///
/// # Errors
/// As [`PeersFile::load`].
fn read(file: &PeersFile, board: &StatusBoard, clock: &dyn Clock) -> Result<Peers, Error> {
    file.load().inspect(|_| board.clear(TOPIC_READ)).inspect_err(|error| {
        board.raise(TOPIC_READ, Severity::Critical, error.to_string(), clock.now_ms());
    })
}

/// How the primary of these settings is judged, anew at each connection: the peers file may change while we run. One that
/// cannot be read trusts nobody.
pub(super) fn trust_source(assembly: &Assembly, settings: Arc<Settings>) -> TrustSource {
    let own = Arc::clone(&assembly.own);
    let (board, clock) = (Arc::clone(&assembly.board), Arc::clone(&assembly.clock));
    let file = PeersFile::of(&settings.layout);
    Arc::new(move || {
        // In the middle of a handshake, on whatever thread that is.
        let peers = off_worker::run(|| read(&file, &board, &*clock));
        Judge::of(&settings, peers, &own)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bc_core::{
        clock::SystemClock,
        fingerprint::Fingerprint,
        manifest::Role,
        status::{Phase, Status},
    };

    use super::*;

    fn topics(board: &StatusBoard) -> Vec<String> {
        let mut topics: Vec<_> =
            board.look(|status| status.problems.iter().map(|problem| problem.topic.clone()).collect());
        topics.sort_unstable();
        topics
    }

    #[test]
    fn reading_and_writing_clear_only_what_they_raised() {
        let folder = tempfile::tempdir().expect("folder");
        let board = StatusBoard::new(Status::new("me", Role::Standby, Phase::Holding, 0));
        let own = || Peer {
            fingerprint: Fingerprint::of_public_key(b"own"),
            node_id: None,
        };
        // Nothing can be written below a file, and nothing is there to be read.
        let blocked = folder.path().join("config");
        fs::write(&blocked, "").expect("write");
        let at = |path: &Path| PeersFile::new(path, None);
        join(&at(&blocked.join("peers")), own(), &board, &SystemClock);
        assert_eq!(topics(&board), [TOPIC_JOIN]);

        let readable = folder.path().join("readable");
        read(&at(&readable), &board, &SystemClock).expect("missing is empty");
        assert_eq!(
            topics(&board),
            [TOPIC_JOIN],
            "a file that can be read may still not be writable"
        );
        fs::write(&readable, "no key\n").expect("write");
        read(&at(&readable), &board, &SystemClock).expect_err("malformed");
        assert_eq!(topics(&board), [TOPIC_JOIN, TOPIC_READ]);

        join(&at(&folder.path().join("writable")), own(), &board, &SystemClock);
        assert_eq!(topics(&board), [TOPIC_READ]);
        fs::write(&readable, "").expect("write");
        read(&at(&readable), &board, &SystemClock).expect("well-formed");
        assert!(topics(&board).is_empty());
    }
}
