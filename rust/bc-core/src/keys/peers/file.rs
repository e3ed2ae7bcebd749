//! `business-continuity-peers`: the text of it, and how it is changed.
//!
//! No secret. It lies beside the token, so that it comes along when the administrator copies the primary's
//! configuration folder. One node a line, `fingerprint node-id`, with `#` comments; `#removed fingerprint node-id` for
//! a key whose trust has ended.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::{Peer, Peers, removed};
use crate::{
    basics::{Error, Fingerprint, Kind, if_there, lock, regular_file},
    durable::atomic,
    generation::Layout,
};

/// Begins the line of a key whose trust has ended.
const REMOVED: &str = "#removed ";

const HEAD: &str = "\
# Public keys of all nodes of this GoCD Business Continuity pair: SHA-256 fingerprint, node id.
# No secret. Copy it with the configuration folder; change it with `gocd-bc trust`. A key in a line that begins with
# `#removed` is trusted by no node that reads this, whoever names it.
";

/// Where a node keeps whom it trusts: the peers file, and the removed keys of its state folder.
#[derive(Debug, Clone)]
pub struct PeersFile {
    path: PathBuf,
    state_dir: Option<PathBuf>,
}

impl PeersFile {
    /// The peers file at `path`, of the node with this state folder; none where no node ever ran or it is not known.
    pub fn new(path: &Path, state_dir: Option<&Path>) -> Self {
        Self {
            path: path.to_owned(),
            state_dir: state_dir.map(Path::to_owned),
        }
    }

    /// The peers file of the node with this layout.
    pub fn of(layout: &Layout) -> Self {
        Self::new(&layout.peers(), Some(layout.state_dir()))
    }

    /// The path of the peers file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Loads the peers, from the peers file and the list of removed keys; a missing file is empty.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read, [`Kind::Setting`] naming the first line that is not understood. Then
    /// nobody is to be trusted.
    pub fn load(&self) -> Result<Peers, Error> {
        self.read().map(|read| read.peers())
    }

    /// Changes the peers file: reads it, changes what was read, and writes whatever differs then, durably. Gives what
    /// `change` gave, and the content. Changes of one process wait for each other. After a crash a key that was being
    /// removed or trusted again is removed.
    ///
    /// # Errors
    /// As [`PeersFile::load`], and those of writing; what was to be removed may count as removed then already.
    pub fn change<R>(&self, change: impl FnOnce(&mut Peers) -> R) -> Result<(R, Peers), Error> {
        static CHANGING: Mutex<()> = Mutex::new(());
        let _changing = lock(&CHANGING);
        let read = self.read()?;
        let mut peers = read.peers();
        let result = change(&mut peers);
        let is_lifted = read.kept.iter().any(|kept| !peers.is_removed(&kept.fingerprint));
        let kept = self.state_dir.as_deref().filter(|_| peers.removed != read.kept);
        let keep = |state_dir: &Path| removed::save(state_dir, &peers.removed);
        if !is_lifted {
            kept.map_or(Ok(()), keep)?;
        }
        if read.file != peers {
            atomic::write(&self.path, text(&peers).as_bytes(), 0o644)?;
        }
        if is_lifted {
            kept.map_or(Ok(()), keep)?;
        }
        Ok((result, peers))
    }

    /// Carries out an administrator's word on one key in the peers file: trusts it, or removes it. Says what has
    /// happened in words.
    ///
    /// # Errors
    /// As [`PeersFile::change`].
    pub fn change_key(&self, fingerprint: Fingerprint, remove: bool) -> Result<String, Error> {
        let (was_so, _) = self.change(|peers| {
            if remove {
                let was_removed = peers.is_removed(&fingerprint);
                (!peers.remove(&fingerprint), was_removed)
            } else {
                let was_removed = peers.is_removed(&fingerprint);
                let peer = Peer {
                    fingerprint,
                    node_id: None,
                };
                (!peers.trust(peer), was_removed)
            }
        })?;
        Ok(said(fingerprint, remove, was_so))
    }

    /// Reads both places that say who the peers are: the peers file, and the list of removed keys.
    fn read(&self) -> Result<BothPlaces, Error> {
        let kept = match &self.state_dir {
            Some(state_dir) => removed::load(state_dir)?,
            None => Vec::new(),
        };
        let text = if_there(regular_file::read_text(
            &self.path,
            regular_file::LARGEST_OF_A_FEW_LINES,
        ));
        let file = match text.map_err(Error::cannot("read the peers file", &self.path))? {
            Some(text) => parse(&text, &self.path)?,
            None => Peers::default(),
        };
        Ok(BothPlaces { file, kept })
    }
}

/// What each of the two places says.
struct BothPlaces {
    file: Peers,
    kept: Vec<Peer>,
}

impl BothPlaces {
    /// The peers that both places together make: what either of them says is removed is.
    fn peers(&self) -> Peers {
        let mut peers = self.file.clone();
        for kept in &self.kept {
            if !peers.is_removed(&kept.fingerprint) {
                peers.remove(&kept.fingerprint);
            }
        }
        peers
    }
}

/// `(was_so, was_removed)`: whether nothing had to be done, and whether the key had been removed before.
fn said(fingerprint: Fingerprint, remove: bool, (was_so, was_removed): (bool, bool)) -> String {
    match (remove, was_so, was_removed) {
        (false, _, true) => format!("{fingerprint} is trusted again"),
        (false, false, false) => format!("{fingerprint} is trusted now"),
        (false, true, false) => format!("{fingerprint} was trusted already"),
        (true, false, _) => format!("{fingerprint} is not trusted any more"),
        (true, true, true) => format!("{fingerprint} was removed already"),
        (true, true, false) => format!("{fingerprint} was not in the peers file; it does not come into it any more"),
    }
}

/// The text of a peers file with these peers.
fn text(peers: &Peers) -> String {
    let mut text = HEAD.to_owned();
    let mut line = |begins: &str, peer: &Peer| {
        let node_id = peer.node_id.as_deref().unwrap_or_default();
        text.push_str(&format!("{begins}{} {node_id}\n", peer.fingerprint));
    };
    peers.trusted.iter().for_each(|peer| line("", peer));
    peers.removed.iter().for_each(|peer| line(REMOVED, peer));
    text
}

/// Reads the text of a peers file.
fn parse(text: &str, path: &Path) -> Result<Peers, Error> {
    let mut peers = Peers::default();
    let mut removed = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (is_removed, line) = match line.trim_start().strip_prefix(REMOVED) {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let first = match words.next() {
            Some(first) => first,
            None if is_removed => "",
            None => continue,
        };
        let fingerprint = first.parse().map_err(|reason| {
            Error::new(
                Kind::Setting,
                format!(
                    "line {} of the peers file {}: `{first}` {reason}",
                    index + 1,
                    path.display()
                ),
                "Copy the file from the other server again, or remove that line.",
            )
        })?;
        let peer = Peer {
            fingerprint,
            node_id: words.next().map(str::to_owned),
        };
        if is_removed {
            removed.push(peer);
        } else {
            peers.add(peer);
        }
    }
    for peer in removed {
        peers.remove(&peer.fingerprint);
        if let Some(known) = peers
            .removed
            .iter_mut()
            .find(|known| known.fingerprint == peer.fingerprint)
        {
            known.node_id = peer.node_id.or(known.node_id.take());
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::keys::own_keys::OwnKeys;

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of_public_key(name.as_bytes())
    }

    fn peer(name: &str, node_id: Option<&str>) -> Peer {
        Peer {
            fingerprint: key(name),
            node_id: node_id.map(str::to_owned),
        }
    }

    struct Place {
        folder: tempfile::TempDir,
        file: PeersFile,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let state_dir = folder.path().join("state");
            fs::create_dir(&state_dir).expect("state folder");
            let file = PeersFile::new(&folder.path().join("business-continuity-peers"), Some(&state_dir));
            Self { folder, file }
        }

        fn state_dir(&self) -> PathBuf {
            self.folder.path().join("state")
        }
    }

    #[test]
    fn survives_its_file() {
        let place = Place::new();
        assert_eq!(place.file.load(), Ok(Peers::default()), "missing is empty");
        let node = "ab".repeat(16);
        let (changed, peers) = place
            .file
            .change(|peers| {
                let changed = peers.add(peer("1", Some(&node))) && peers.add(peer("2", None));
                changed && !peers.add(peer("1", None))
            })
            .expect("written");
        assert!(changed);
        assert_eq!(place.file.load(), Ok(peers.clone()));
        let own = OwnKeys::new("a".repeat(32).parse().expect("id"), key("1"));
        assert_eq!(peers.others(&own).len(), 1);
        place.file.change_key(key("1"), true).expect("removed");
        let read = place.file.load().expect("read");
        assert_eq!(
            (read.all(), read.removed()),
            (&[peer("2", None)][..], &[peer("1", Some(&node))][..])
        );
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let place = Place::new();
        for (text, line) in [
            ("# head\nnonsense\n", 2),
            ("#removed nonsense\n", 1),
            ("#removed \n", 1),
        ] {
            fs::write(place.file.path(), text).expect("write");
            let error = place.file.load().expect_err("refused");
            let named = format!("line {line} of the peers file");
            assert!(error.message().starts_with(&named), "{error}");
        }
        fs::write(place.file.path(), "# removed by me\n#removedness\n").expect("write");
        assert_eq!(place.file.load(), Ok(Peers::default()), "a comment of a person");
    }

    #[test]
    fn removed_stays_removed_whichever_of_the_two_places_is_lost() {
        let place = Place::new();
        let before = format!("{} {}\n", key("thief"), "ab".repeat(16));
        fs::write(place.file.path(), &before).expect("write");
        place.file.change_key(key("thief"), true).expect("removed");
        let is_removed = || {
            let peers = place.file.load().expect("read");
            peers.is_removed(&key("thief")) && !peers.contains(&key("thief"))
        };
        assert!(is_removed());
        // Yesterday's configuration folder, or that of a primary that was not told.
        fs::write(place.file.path(), &before).expect("write");
        assert!(is_removed());
        place.file.change(|_| ()).expect("both say it again");
        fs::remove_dir_all(place.state_dir()).expect("the state folder goes");
        fs::create_dir(place.state_dir()).expect("and is made anew");
        assert!(is_removed());
        assert_eq!(
            place.file.change_key(key("thief"), false).expect("trusted"),
            format!("{} is trusted again", key("thief"))
        );
        assert!(!is_removed() && place.file.load().expect("read").contains(&key("thief")));
    }

    #[test]
    fn a_version_before_reads_what_is_left() {
        let place = Place::new();
        place.file.change_key(key("left"), false).expect("trusted");
        place.file.change_key(key("gone"), true).expect("removed");
        let text = fs::read_to_string(place.file.path()).expect("read");
        // As that version does it: everything behind a `#` is a comment.
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.split('#').next()?.split_whitespace().next())
            .collect();
        assert_eq!(lines, [key("left").to_string()]);
    }

    #[test]
    fn removed_keys_that_cannot_be_read_leave_nobody_trusted() {
        let place = Place::new();
        place.file.change_key(key("a"), false).expect("trusted");
        place.file.change_key(key("b"), true).expect("removed");
        let path = place.state_dir().join(removed::FILE);
        let whole = fs::read_to_string(&path).expect("read");
        fs::write(&path, whole.replace(&key("b").to_string(), &key("c").to_string())).expect("damage");
        let error = place.file.load().expect_err("its checksum is wrong");
        assert!(error.message().contains(removed::FILE), "{error}");
        place
            .file
            .change_key(key("a"), false)
            .expect_err("nothing is written either");
        fs::remove_file(&path).expect("remove");
        fs::create_dir(&path).expect("something that cannot be read");
        assert_eq!(place.file.load().expect_err("a read error").kind(), Kind::File);
    }
}
