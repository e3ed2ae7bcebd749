//! The peers file as a running node uses it, and what is said where it cannot.
//!
//! Reading and writing fail for different reasons, and one that works again says nothing about the other. So each
//! has its own topic on the board.

use std::path::Path;

use bc_core::{
    clock::Clock,
    peers::{Peer, Peers},
    status::{Severity, StatusBoard},
};
use tracing::warn;

/// The board's topic for a file that cannot be read.
const TOPIC_READ: &str = "peers file";
/// The board's topic for a file that this node's own key cannot be written to.
const TOPIC_JOIN: &str = "own key in the peers file";

/// Adds a key of this node's own. A file that cannot be written is a WARNING until a later call can write it.
pub(super) fn join(path: &Path, own: Peer, board: &StatusBoard, clock: &dyn Clock) {
    match Peers::change(path, |peers| peers.add(own)) {
        Ok(_) => board.clear(TOPIC_JOIN),
        Err(error) => {
            if board.raise(TOPIC_JOIN, Severity::Warning, error.to_string(), clock.now_ms()) {
                warn!("{error}");
            }
        }
    }
}

/// The peers as they are now. A file that cannot be read trusts nobody, and is CRITICAL until it can be.
pub(super) fn read(path: &Path, board: &StatusBoard, clock: &dyn Clock) -> Peers {
    match Peers::load(path) {
        Ok(peers) => {
            board.clear(TOPIC_READ);
            peers
        }
        Err(error) => {
            board.raise(TOPIC_READ, Severity::Critical, error.to_string(), clock.now_ms());
            Peers::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let path = blocked.join("peers");
        join(&path, own(), &board, &SystemClock);
        assert_eq!(topics(&board), [TOPIC_JOIN]);

        let readable = folder.path().join("readable");
        read(&readable, &board, &SystemClock);
        assert_eq!(
            topics(&board),
            [TOPIC_JOIN],
            "a file that can be read may still not be writable"
        );
        fs::write(&readable, "no key\n").expect("write");
        assert!(read(&readable, &board, &SystemClock).all().is_empty());
        assert_eq!(topics(&board), [TOPIC_JOIN, TOPIC_READ]);

        join(&folder.path().join("writable"), own(), &board, &SystemClock);
        assert_eq!(topics(&board), [TOPIC_READ]);
        fs::write(&readable, "").expect("write");
        read(&readable, &board, &SystemClock);
        assert!(topics(&board).is_empty());
    }
}
