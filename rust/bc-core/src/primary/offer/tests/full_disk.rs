//! A primary whose state folder cannot be written: what it gives out meanwhile is known after a restart, and a snapshot
//! that was restored is still known for one. These tests mount, so they need root.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    basics::{
        Kind, Properties,
        mount::private::{Mounts, fill},
    },
    generation::{Epoch, own_files::GIVEN_OUT_FILE},
};

/// A primary with its state folder on a disk of its own.
struct Primary {
    folder: tempfile::TempDir,
    layout: Layout,
    mounts: Mounts,
    given_out: Vec<(u64, Digest)>,
    edits: u64,
}

impl Primary {
    fn on(options: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        // Names in the mount table have no links.
        let user_dir = folder.path().canonicalize().expect("there");
        let properties = Properties::from_iter([("user.dir", user_dir.to_str().expect("UTF-8"))]);
        let layout = Layout::from_properties(&properties);
        for folder in [layout.state_dir(), layout.cruise_config_dir()] {
            fs::create_dir_all(folder).expect("folder");
        }
        let mounts = Mounts::private();
        mounts.disk(layout.state_dir(), options);
        Self {
            folder,
            layout,
            mounts,
            given_out: Vec::new(),
            edits: 0,
        }
    }

    fn start(&self) -> Offer {
        let state = Arc::new(StateDir::open(self.layout.state_dir()).expect("open"));
        Offer::new(state, None, 60_000).expect("offer").of(&self.layout)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.layout.state_dir().join(name)
    }

    fn second(&self) -> PathBuf {
        self.layout.given_out()
    }

    /// Another edit, which must be on offer after it, above all others.
    fn edit(&mut self, offer: &Offer) {
        self.edits += 1;
        assert!(offer.publish(snapshot(&self.edits.to_le_bytes())).expect("offered"));
        self.note(offer);
    }

    fn note(&mut self, offer: &Offer) {
        let offered = offer.current().expect("offered");
        if let Some((last, generation)) = self.given_out.last() {
            let is_other = *generation != offered.snapshot.generation;
            assert!(offered.sequence > *last || !is_other && offered.sequence == *last);
        }
        self.given_out.push((offered.sequence, offered.snapshot.generation));
    }

    /// The newest files are offered again by a primary that was started again, in a way that every standby of those
    /// that saw anything takes for what it is.
    fn assert_goes_on(&mut self, offer: &Offer) {
        let edits = self.edits;
        assert!(
            !offer.publish(snapshot(&edits.to_le_bytes())).expect("offered"),
            "the same"
        );
        self.note(offer);
        // Also one that does not look before the next edit.
        self.edit(offer);
        let offered = offer.current().expect("offered");
        for (sequence, generation) in &self.given_out {
            let descent = offered.lineage.descent(*sequence, generation);
            assert_ne!(descent, Descent::Foreign, "{sequence}");
            let reach = self.given_out.len() - crate::generation::lineage::KEPT.min(self.given_out.len());
            assert!(
                descent == Descent::Known || self.given_out[..=reach].iter().any(|(known, _)| known == sequence),
                "{sequence}"
            );
        }
    }
}

/// Makes files until there is no inode for another one.
fn use_up_inodes(folder: &Path) -> PathBuf {
    let filler = folder.join("filler");
    fs::create_dir(&filler).expect("a folder");
    let made = (0..).map_while(|number| fs::File::create(filler.join(format!("{number}"))).ok());
    assert!(made.count() > 0);
    filler
}

fn remove(filler: &Path) {
    let removed = match filler.is_dir() {
        true => fs::remove_dir_all(filler),
        false => fs::remove_file(filler),
    };
    removed.expect("removed");
}

/// Edits, restarts, and room again: nothing is lost and nothing given out twice.
fn edits_cross(options: &str, use_up: fn(&Path) -> PathBuf, named: &str) {
    let mut primary = Primary::on(options);
    let offer = primary.start();
    for _ in 0..3 {
        primary.edit(&offer);
    }
    assert_eq!(offer.unwritten(), None);
    let filler = use_up(primary.layout.state_dir());
    let ledger = fs::read(primary.state("ledger.json")).expect("written");
    // More than were reserved.
    for _ in 0..BLOCK + 10 {
        primary.edit(&offer);
        let unwritten = offer.unwritten().expect("it is said at once");
        assert_eq!(unwritten.error.kind(), Kind::DiskFull, "{unwritten:?}");
        assert!(unwritten.message().contains(named), "{unwritten:?}");
        assert_eq!(unwritten.kept_in, Some(primary.state(FILE)));
        assert!(
            unwritten.message().contains("Edits still reach the standbys"),
            "{unwritten:?}"
        );
    }
    assert_eq!(fs::read(primary.state("ledger.json")).expect("as it was"), ledger);
    drop(offer);

    let offer = primary.start();
    primary.assert_goes_on(&offer);
    assert!(offer.unwritten().is_some(), "the disk is still full");
    drop(offer);

    let offer = primary.start();
    primary.assert_goes_on(&offer);
    remove(&filler);
    offer.catch_up();
    assert_eq!(offer.unwritten(), None, "it ended by itself");
    assert_ne!(fs::read(primary.state("ledger.json")).expect("written"), ledger);
    drop(offer);
    // The ledger alone says all of it.
    fs::remove_file(primary.state(FILE)).expect("there");
    let offer = primary.start();
    primary.assert_goes_on(&offer);
    assert!(!primary.second().exists());
}

#[test]
fn edits_cross_while_the_disk_is_full_and_are_known_after_a_restart() {
    edits_cross("size=200k", fill, "Free some space on the disk");
}

#[test]
fn edits_cross_while_there_is_no_inode_and_are_known_after_a_restart() {
    edits_cross("nr_inodes=30", use_up_inodes, "has no inodes left of 30, although");
}

#[test]
fn edits_cross_while_the_state_folder_is_read_only_and_are_known_after_a_restart() {
    let mut primary = Primary::on("size=1m");
    let offer = primary.start();
    primary.edit(&offer);
    primary.mounts.read_only(primary.layout.state_dir());
    for _ in 0..BLOCK + 10 {
        primary.edit(&offer);
        let unwritten = offer.unwritten().expect("it is said at once");
        assert_eq!(unwritten.error.kind(), Kind::File, "{unwritten:?}");
        assert!(unwritten.message().contains("read-only"), "{unwritten:?}");
        assert_eq!(unwritten.kept_in, Some(primary.second()));
    }
    // Its process ends, and it is mounted writable at last.
    drop(offer);
    primary.mounts.undo(primary.layout.state_dir());
    let offer = primary.start();
    primary.assert_goes_on(&offer);
    assert_eq!(offer.unwritten(), None);
    drop(offer);
    assert!(!primary.second().exists(), "or the next one that is read would be this");
    let offer = primary.start();
    primary.assert_goes_on(&offer);
}

#[test]
fn a_state_folder_whose_disk_went_is_not_begun_anew() {
    let mut primary = Primary::on("size=1m");
    let offer = primary.start();
    primary.edit(&offer);
    // Another disk lies over it; the folder without its disk would be no other case.
    primary.mounts.disk(primary.layout.state_dir(), "size=1m");
    for _ in 0..3 {
        primary.edit(&offer);
        let unwritten = offer.unwritten().expect("it is said");
        assert!(
            unwritten.message().contains("is another folder than when"),
            "{unwritten:?}"
        );
        assert_eq!(unwritten.kept_in, Some(primary.second()));
        assert_eq!(fs::read_dir(primary.layout.state_dir()).expect("there").count(), 0);
    }
    primary.mounts.undo(primary.layout.state_dir());
    primary.edit(&offer);
    assert_eq!(offer.unwritten(), None);
    drop(offer);
    let offer = primary.start();
    primary.assert_goes_on(&offer);
}

#[test]
fn what_nothing_could_prove_is_not_offered() {
    let mut primary = Primary::on("size=1m");
    let offer = primary.start();
    primary.edit(&offer);
    let before = offer.current().expect("offered");
    primary.mounts.read_only(primary.layout.state_dir());
    primary.mounts.read_only(primary.layout.cruise_config_dir());
    for _ in 0..3 {
        let error = offer
            .publish(snapshot(b"of which nobody would know"))
            .expect_err("refused");
        assert!(
            error
                .message()
                .contains("is not offered, since nothing could prove it later"),
            "{error}"
        );
        let unwritten = offer.unwritten().expect("it is said");
        assert_eq!(unwritten.kept_in, None);
        assert!(
            unwritten.message().contains("newer edits reach no standby"),
            "{unwritten:?}"
        );
        let offered = offer.current().expect("still");
        assert_eq!(
            (offered.sequence, offered.snapshot.generation),
            (before.sequence, before.snapshot.generation)
        );
    }
    primary.mounts.undo(primary.layout.cruise_config_dir());
    primary.edit(&offer);
    primary.mounts.undo(primary.layout.state_dir());
    primary.edit(&offer);
    assert_eq!(offer.unwritten(), None);
    drop(offer);
    let offer = primary.start();
    primary.assert_goes_on(&offer);
}

#[test]
fn a_snapshot_that_was_restored_is_known_for_one_also_after_a_full_disk() {
    let mut primary = Primary::on("size=300k");
    let files = [primary.state("ledger.json"), primary.state(FILE)];
    let offer = primary.start();
    primary.edit(&offer);
    let filler = fill(primary.layout.state_dir());
    for _ in 0..5 {
        primary.edit(&offer);
    }
    // Taken while the disk was full.
    let taken = files.each_ref().map(|file| fs::read(file).expect("written"));
    let kept = primary.given_out.clone();
    for _ in 0..5 {
        primary.edit(&offer);
    }
    let lost: Vec<_> = primary.given_out[kept.len()..].to_vec();
    drop(offer);
    remove(&filler);
    for (file, content) in files.iter().zip(taken) {
        fs::write(file, content).expect("restored");
    }
    let offer = primary.start();
    for number in 1000..1100_u64 {
        offer.publish(snapshot(&number.to_le_bytes())).expect("edited on");
        let lineage = &offer.current().expect("offered").lineage;
        for (sequence, generation) in &kept {
            assert_eq!(lineage.descent(*sequence, generation), Descent::Known);
        }
        for (sequence, generation) in &lost {
            assert_eq!(lineage.descent(*sequence, generation), Descent::Foreign);
        }
    }
}

#[test]
fn more_than_are_remembered_are_said_to_be_forgotten() {
    let mut primary = Primary::on("size=200k");
    let offer = primary.start();
    for _ in 0..3 {
        primary.edit(&offer);
    }
    fill(primary.layout.state_dir());
    for _ in 0..crate::generation::lineage::KEPT + 20 {
        primary.edit(&offer);
    }
    drop(offer);
    let offer = primary.start();
    primary.assert_goes_on(&offer);
}

#[test]
fn a_list_of_another_node_or_epoch_says_nothing() {
    let mut primary = Primary::on("size=300k");
    let offer = primary.start();
    primary.edit(&offer);
    fill(primary.layout.state_dir());
    for _ in 0..BLOCK + 10 {
        primary.edit(&offer);
    }
    drop(offer);
    let list = fs::read(primary.state(FILE)).expect("written");
    for is_promoted in [false, true] {
        // The configuration folder was copied to another server, or the state folder is that of an epoch since.
        let other = Primary::on("size=300k");
        fs::write(other.second(), &list).expect("copied");
        if is_promoted {
            fs::write(
                other.state("node-id"),
                fs::read(primary.state("node-id")).expect("there"),
            )
            .expect("write");
            fs::write(other.state(FILE), &list).expect("write");
            let state = StateDir::open(other.layout.state_dir()).expect("open");
            state
                .change_ledger(|ledger| ledger.begin_epoch("promoted", 7))
                .expect("written");
        }
        let offer = other.start();
        offer.publish(snapshot(b"other")).expect("offered");
        let offered = offer.current().expect("offered");
        assert!(offered.sequence <= 8, "{}", offered.sequence);
        assert_eq!(offer.epoch() == Epoch::default(), !is_promoted);
        assert!(offered.lineage.descent(3, &primary.given_out[2].1) != Descent::Known);
        assert!(other.folder.path().exists());
    }
}

#[test]
fn what_the_version_before_wrote_last_is_read_once() {
    let primary = Primary::on("size=1m");
    let offer = primary.start();
    offer.publish(snapshot(b"1")).expect("offered");
    let first = offer.current().expect("offered");
    drop(offer);
    fs::remove_file(primary.state(FILE)).expect("it had none");
    let newer = snapshot(b"2").generation;
    let sequence = first.sequence + 1;
    fs::write(primary.state("offered"), format!("{sequence:020} {newer}\n")).expect("write");
    let offer = primary.start();
    offer.publish(snapshot(b"3")).expect("offered");
    let offered = offer.current().expect("offered");
    assert_eq!(offered.lineage.descent(sequence, &newer), Descent::Known);
    assert_eq!(
        offered.lineage.descent(first.sequence, &first.snapshot.generation),
        Descent::Known
    );
    assert!(!primary.state("offered").exists(), "the ledger says it now");
}

#[test]
fn a_list_that_cannot_be_read_is_not_an_empty_one() {
    let primary = Primary::on("size=1m");
    let offer = primary.start();
    offer.publish(snapshot(b"1")).expect("offered");
    drop(offer);
    fs::create_dir(primary.second()).expect("in the way");
    let offer = primary.start();
    let error = offer.publish(snapshot(b"2")).expect_err("who knows what was given out");
    assert!(error.message().contains(GIVEN_OUT_FILE), "{error}");
    assert!(offer.current().is_none());
    fs::remove_dir(primary.second()).expect("there");
    offer.publish(snapshot(b"2")).expect("offered");
    assert!(offer.current().expect("offered").sequence > 1);
}
