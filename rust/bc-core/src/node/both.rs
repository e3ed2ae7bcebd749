//! The files of both nodes at one moment, for those who compare them by MD5.
//!
//! A standby's live files are looked at anew for each answer, and not taken from the status board: somebody may be
//! applying a change, or editing a file, meanwhile. MD5s belong to bytes ([`crate::generation::md5`]), so that a file
//! which is replaced while it is read is looked at once more, and never gets the MD5 of what it was.

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    basics::{Digest, Error},
    generation::{
        Md5, Md5s, Name,
        md5::{Learnt, Unread},
    },
    primary::{Offer, Offered},
    standby::{
        pull::{compare, newest::Newest},
        store::disk::DiskStore,
    },
    status::{FileState, FileStatus, FileVersion, files},
};

/// How long a file that is being replaced is looked at once more.
const REPLACED_WITHIN: Duration = Duration::from_secs(2);
/// The time between two of these looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Looks at the files of both nodes. All calls block.
pub trait BothNodes: Send + Sync {
    /// Every file that either node has, the live ones as they are now. None before the primary has said what it has.
    ///
    /// # Errors
    /// A live folder or file cannot be looked at.
    fn look(&self) -> Result<Vec<FileStatus>, Error>;

    /// Opens a live file of this node to learn its MD5.
    ///
    /// # Errors
    /// Those of opening.
    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>>;

    /// Opens bytes of this node that are kept under their digest, to learn their MD5.
    ///
    /// # Errors
    /// Those of opening; [`NotFound`](io::ErrorKind::NotFound) where they are not kept.
    fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>>;
}

/// A standby's store, held against the newest document of its primary.
pub struct Followed {
    /// Where the live files are.
    pub store: Arc<DiskStore>,
    /// What the primary has.
    pub newest: Newest,
}

impl BothNodes for Followed {
    fn look(&self) -> Result<Vec<FileStatus>, Error> {
        // In this order: what is live is never newer than the document that it is held against.
        let live = self.store.live()?;
        let newest = self.newest.get();
        Ok(newest.map_or_else(Vec::new, |newest| {
            compare::compare(&newest.files, &newest.withheld, &live)
        }))
    }

    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        self.store.open_live(name)
    }

    fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>> {
        self.store.open_kept(sha256)
    }
}

/// Which node's version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The primary's.
    Primary,
    /// The standby's.
    Standby,
}

/// The files of one moment, and their MD5s as far as they are known.
#[derive(Debug)]
pub struct Both {
    /// The files.
    pub files: Arc<[FileStatus]>,
    learnt: Learnt,
    /// Why nobody knows what is live.
    unseen: Option<String>,
}

impl Both {
    /// Looks at the files of a standby, and reads those whose MD5 is not known. Where they cannot be looked at, the
    /// answer is `shown`, what the status shows of them, without an MD5 of a live file. May take minutes; ends early
    /// once `stopped` says so.
    pub fn of_standby(
        nodes: &dyn BothNodes,
        shown: &Arc<[FileStatus]>,
        md5s: &Md5s,
        stopped: &dyn Fn() -> bool,
    ) -> Self {
        until_still(stopped, || {
            let (files, unseen) = match nodes.look() {
                Ok(files) => (files.into(), None),
                Err(error) => (Arc::clone(shown), Some(error.message().to_owned())),
            };
            let live: HashMap<Digest, &Name> = match unseen {
                None => versions(&files, Side::Standby)
                    .map(|(name, version)| (version.sha256, name))
                    .collect(),
                Some(_) => HashMap::new(),
            };
            let theirs = versions(&files, Side::Primary).map(|(_, version)| version.sha256);
            let open = |sha256: &Digest| match live.get(sha256) {
                Some(name) => nodes.open_live(name).map_err(|error| match error.kind() {
                    // It was there a moment ago.
                    io::ErrorKind::NotFound => io::ErrorKind::InvalidData.into(),
                    _ => error,
                }),
                None => nodes.open_kept(sha256),
            };
            let learnt = md5s.learn(live.keys().copied().chain(theirs), open, stopped);
            Self { learnt, unseen, files }
        })
    }

    /// Looks at the files of a primary and their MD5s: what it offers, and which generation that is. None before its
    /// first reading.
    pub fn of_primary(offer: &Offer, md5s: &Md5s, stopped: &dyn Fn() -> bool) -> Option<(Arc<Offered>, Self)> {
        offer.current()?;
        let mut offered = None;
        let both = until_still(stopped, || {
            let current = offer.current().expect("what is on offer stays there, or is replaced");
            let snapshot = &current.snapshot;
            let wanted = snapshot.manifest.files.values().map(|entry| entry.sha256);
            let learnt = md5s.learn(
                wanted,
                |sha256| match snapshot.open(sha256) {
                    Some(opened) => opened.map_err(|error| match error.kind() {
                        // The next reading names it no longer.
                        io::ErrorKind::NotFound => io::ErrorKind::InvalidData.into(),
                        _ => error,
                    }),
                    None => Err(io::ErrorKind::NotFound.into()),
                },
                stopped,
            );
            let files = files::offered(&snapshot.manifest);
            offered = Some(current);
            Self {
                files,
                learnt,
                unseen: None,
            }
        });
        offered.map(|offered| (offered, both))
    }

    /// What is known of both nodes' MD5s without looking at anything: of files that the status shows, MD5s of bytes
    /// that were read before.
    pub fn known(shown: Arc<[FileStatus]>, md5s: &Md5s) -> Self {
        let both = [Side::Primary, Side::Standby];
        let wanted = both.into_iter().flat_map(|side| versions(&shown, side));
        let learnt = md5s.learn(
            wanted.map(|(_, version)| version.sha256),
            |_| Err::<io::Empty, _>(io::ErrorKind::NotFound.into()),
            || true,
        );
        let standby_side = versions(&shown, Side::Standby).next();
        Self {
            unseen: standby_side.map(|_| Unread::TooLate.to_string()),
            learnt,
            files: shown,
        }
    }

    /// The MD5 of a file on one node, or why it is not known. None where the file is not there.
    pub fn md5(&self, side: Side, file: &FileStatus) -> Option<Result<Md5, String>> {
        if side == Side::Primary && file.state == FileState::Withheld {
            return Some(Err(
                "the primary has it and does not offer it now; it says there why".to_owned()
            ));
        }
        let version = version(file, side)?;
        if side == Side::Standby
            && let Some(unseen) = &self.unseen
        {
            return Some(Err(unseen.clone()));
        }
        let unread = || match self.learnt.unread.get(&version.sha256) {
            Some(unread) => unread.to_string(),
            None => Unread::TooLate.to_string(),
        };
        Some(self.learnt.known.get(&version.sha256).copied().ok_or_else(unread))
    }

    /// Whether the MD5 of every file of both nodes is known.
    pub fn is_whole(&self) -> bool {
        self.unseen.is_none() && self.learnt.unread.is_empty()
    }
}

/// The version of a file on one of both nodes.
fn version(file: &FileStatus, side: Side) -> Option<&FileVersion> {
    match side {
        Side::Primary => file.primary.as_ref(),
        Side::Standby => file.standby.as_ref(),
    }
}

/// The versions of all files on one of both nodes.
fn versions(files: &[FileStatus], side: Side) -> impl Iterator<Item = (&Name, &FileVersion)> {
    files
        .iter()
        .filter_map(move |file| Some((&file.name, version(file, side)?)))
}

/// Looks at both nodes' files, and looks once more while files are replaced that were being read.
fn until_still(stopped: &dyn Fn() -> bool, mut look: impl FnMut() -> Both) -> Both {
    let end = Instant::now() + REPLACED_WITHIN;
    loop {
        let both = look();
        if !both.learnt.is_outdated() || stopped() || Instant::now() >= end {
            return both;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}
