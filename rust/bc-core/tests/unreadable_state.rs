//! Files of a node's state folder that are there and cannot be read for a while: each is named, none is made anew, and
//! when it can be read again the node is who it was.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "files are arranged from outside")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use bc_core::{
    basics::{Error, Fingerprint},
    generation::{Epoch, Role},
    keys::{Identity, PeersFile},
    primary::Offer,
    role::{Ledger, Recorded, StateDir},
    settings::Flag,
};

/// What stands in the place of a file, and gives an error to whoever reads it, root as well.
#[derive(Debug, Clone, Copy)]
enum InTheWay {
    /// `EIO`: nothing is mapped where a process's memory begins.
    FailingDisk,
    /// `EISDIR`.
    Folder,
    /// `ELOOP`.
    Circle,
}

impl InTheWay {
    const ALL: [Self; 3] = [Self::FailingDisk, Self::Folder, Self::Circle];

    fn put(self, path: &Path) {
        let put = match self {
            Self::FailingDisk => symlink("/proc/self/mem", path),
            Self::Folder => fs::create_dir(path),
            Self::Circle => symlink(path.file_name().expect("a name"), path),
        };
        put.expect("put");
    }

    /// Only what was put there can be taken away like this.
    fn take_away(self, path: &Path) {
        match self {
            Self::Folder => fs::remove_dir(path),
            Self::FailingDisk | Self::Circle => fs::read_link(path).and_then(|_| fs::remove_file(path)),
        }
        .expect("nobody else has put anything there");
    }
}

/// Everything that a node reads of its state folder when it opens.
#[derive(Debug, PartialEq, Eq)]
struct Opened {
    node_id: String,
    fingerprint: String,
    next: Option<String>,
    recorded: Option<Recorded>,
    ledger: Ledger,
    sequence: u64,
}

fn open(state_dir: &Path) -> Result<Opened, Error> {
    let state = Arc::new(StateDir::open(state_dir)?);
    let identity = Identity::load_or_create(state_dir)?;
    let next = Identity::next(state_dir)?;
    let recorded = Recorded::load(state_dir)?;
    let ledger = state.change_ledger(|_| {})?;
    let offer = Offer::new(Arc::clone(&state), None, 60_000)?;
    Ok(Opened {
        node_id: state.node_id().to_string(),
        fingerprint: identity.fingerprint().to_string(),
        next: next.map(|next| next.fingerprint().to_string()),
        recorded,
        sequence: ledger.sequence.max(offer.epoch().number),
        ledger,
    })
}

#[test]
fn a_node_is_who_it_was_when_its_files_can_be_read_again() {
    let folder = tempfile::tempdir().expect("folder");
    let state_dir = folder.path();
    open(state_dir).expect("made");
    Identity::next_or_create(state_dir).expect("made");
    let recorded = Recorded::new(Role::Standby, Flag::File, 0);
    recorded.save(state_dir).expect("written");
    let ledger = Ledger {
        epoch: Epoch {
            number: 7,
            promotion: "x".to_owned(),
        },
        sequence: 11,
        ..Ledger::default()
    };
    ledger.save(&state_dir.join("ledger.json")).expect("written");
    // As primary: what was given out last, as this version keeps it and the one before.
    for name in ["given-out", "offered"] {
        fs::write(state_dir.join(name), "").expect("written");
    }
    let before = open(state_dir).expect("open");
    for name in [
        "given-out",
        "node-id",
        "identity.pem",
        "identity-next.pem",
        "role",
        "ledger.json",
        "offered",
    ] {
        for in_the_way in InTheWay::ALL {
            let (path, aside) = (state_dir.join(name), state_dir.join("aside"));
            fs::rename(&path, &aside).expect("moved");
            in_the_way.put(&path);
            let error = open(state_dir).expect_err("it cannot be read");
            assert!(error.message().contains(name), "{in_the_way:?}: {error}");
            in_the_way.take_away(&path);
            fs::rename(&aside, &path).expect("moved back");
            assert_eq!(open(state_dir).expect("open"), before, "{name}, {in_the_way:?}");
        }
    }
}

#[test]
fn keys_that_cannot_be_read_are_not_none() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, state_dir) = (
        folder.path().join("business-continuity-peers"),
        folder.path().join("state"),
    );
    fs::create_dir(&state_dir).expect("folder");
    let file = PeersFile::new(&path, Some(&state_dir));
    let key = Fingerprint::of_public_key(b"stolen");
    file.change_key(key, true).expect("removed");
    let before = file.load().expect("readable");
    assert!(before.is_removed(&key));
    let kept = fs::read_dir(&state_dir)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let files: Vec<PathBuf> = kept.chain([path]).filter(|path| path.is_file()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for path in files {
        for in_the_way in InTheWay::ALL {
            let aside = folder.path().join("aside");
            fs::rename(&path, &aside).expect("moved");
            in_the_way.put(&path);
            let error = file.load().expect_err("it cannot be read");
            assert!(
                error.message().contains(&*path.display().to_string()),
                "{in_the_way:?}: {error}"
            );
            file.change(|_| {}).expect_err("nor is it written anew");
            in_the_way.take_away(&path);
            fs::rename(&aside, &path).expect("moved back");
            assert_eq!(file.load().as_ref(), Ok(&before), "{in_the_way:?}");
        }
    }
}
