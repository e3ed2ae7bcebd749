//! The peers file as a running node uses it, and what is said where it cannot.
//!
//! Reading and writing fail for different reasons, and one that works again says nothing about the other. So each
//! has its own topic on the board.

use std::sync::Arc;

use bc_core::{
    basics::{Error, Severity},
    keys::{OwnKeys, Peer, Peers, PeersFile, trust::Judge},
    settings::Settings,
    status::{StatusBoard, Topic},
};

use super::Assembly;
use crate::{off_worker, tls::client::TrustSource};

/// Adds a key of this node's own to the peers file, whatever was said of it. A file that cannot be written is a WARNING
/// until a later call can write it.
pub(super) fn join(file: &PeersFile, own: Peer, board: &StatusBoard) {
    let written = file.change(|peers| peers.trust(own));
    let problem = written.err().map(|error| error.to_string());
    board.warn(&Topic::OwnKey, Severity::Warning, problem);
}

/// Reads the peers file as it is now, and says on the board where it cannot be read. A file that cannot be read is
/// CRITICAL until it can be, and nobody is to be trusted.
///
/// # Errors
/// As [`PeersFile::load`].
fn read(file: &PeersFile, board: &StatusBoard) -> Result<Peers, Error> {
    file.load()
        .inspect(|_| board.clear(&Topic::PeersFile))
        .inspect_err(|error| {
            board.raise(&Topic::PeersFile, Severity::Critical, error.to_string());
        })
}

/// Makes what tells how the primary is judged, anew at each connection: the peers file may change while we run. One
/// that cannot be read trusts nobody.
pub(super) fn trust_source(assembly: &Assembly, settings: Arc<Settings>) -> TrustSource {
    trust_source_of(&assembly.own, &assembly.board, settings)
}

/// The same for a part that has no assembly any more.
pub(super) fn trust_source_of(own: &Arc<OwnKeys>, board: &Arc<StatusBoard>, settings: Arc<Settings>) -> TrustSource {
    let (own, board) = (Arc::clone(own), Arc::clone(board));
    let file = PeersFile::of(&settings.layout);
    Arc::new(move || {
        // In the middle of a handshake, on whatever thread that is.
        let peers = off_worker::run(|| read(&file, &board));
        Judge::of(&settings, peers, &own)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bc_core::{
        basics::{Fingerprint, SystemClock},
        generation::Role,
        status::{Phase, Status},
    };

    use super::*;

    fn topics(board: &StatusBoard) -> Vec<Topic> {
        let mut topics: Vec<_> =
            board.look(|status| status.problems.iter().map(|problem| problem.topic.clone()).collect());
        topics.sort_unstable();
        topics
    }

    #[test]
    fn reading_and_writing_clear_only_what_they_raised() {
        let folder = tempfile::tempdir().expect("folder");
        let board = StatusBoard::new(
            Status::new("me", Role::Standby, Phase::Holding, 0),
            Arc::new(SystemClock),
        );
        let own = || Peer {
            fingerprint: Fingerprint::of_public_key(b"own"),
            node_id: None,
        };
        // Nothing can be written below a file, and nothing is there to be read.
        let blocked = folder.path().join("config");
        fs::write(&blocked, "").expect("write");
        let at = |path: &Path| PeersFile::new(path, None);
        join(&at(&blocked.join("peers")), own(), &board);
        assert_eq!(topics(&board), [Topic::OwnKey]);

        let readable = folder.path().join("readable");
        read(&at(&readable), &board).expect("missing is empty");
        assert_eq!(
            topics(&board),
            [Topic::OwnKey],
            "a file that can be read may still not be writable"
        );
        fs::write(&readable, "no key\n").expect("write");
        read(&at(&readable), &board).expect_err("malformed");
        assert_eq!(topics(&board), [Topic::PeersFile, Topic::OwnKey]);

        join(&at(&folder.path().join("writable")), own(), &board);
        assert_eq!(topics(&board), [Topic::PeersFile]);
        fs::write(&readable, "").expect("write");
        read(&at(&readable), &board).expect("well-formed");
        assert!(topics(&board).is_empty());
    }
}
