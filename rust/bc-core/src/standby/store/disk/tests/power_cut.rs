//! The power is cut at every instant of a standby's life, and what it can leave is started on.
//!
//! A kill loses nothing that was written, so it shows no sync that is missing. Here a life is recorded once on real
//! files ([`recorder`], [`life`]); for each prefix of that record [`model`] says what a disk may have kept of it, and
//! the store opens on that.

use std::collections::{BTreeMap, BTreeSet};

use self::{
    kinds::kind_of_sync,
    life::{Chapter, Life},
    model::Disk,
};
use super::*;
use crate::{role::Ledger, standby::store::generations};

mod kinds;
mod life;
mod model;
mod recorder;

/// After each of so many power cuts the standby goes on.
const GOING_ON: usize = 8;

impl Life {
    /// Cuts the power at every instant; returns what is wrong afterwards, each thing once in a chapter, but `most`
    /// things at most. The syncs that are `forgotten`, by the number of the change, do not happen.
    fn cut_power(&self, most: usize, forgotten: &BTreeSet<usize>) -> Vec<String> {
        let changes = self.recorder.changes();
        let root = self.place.folder.path().canonicalize().expect("there");
        let mut disk = Disk::new(&root);
        let mut wrong = BTreeMap::new();
        let mut seen = BTreeSet::new();
        'life: for (number, change) in changes.iter().enumerate() {
            if !forgotten.contains(&number) {
                disk.advance(change);
            }
            // Before that all is as if nothing were forgotten.
            if forgotten.first().is_some_and(|first| number < *first) {
                continue;
            }
            let done = number + 1;
            let Some(chapter) = self
                .chapters
                .iter()
                .find(|chapter| (chapter.from + 1..=chapter.to).contains(&done))
            else {
                continue;
            };
            if chapter.is_foreign {
                continue;
            }
            for remains in disk.power_cuts(done as u64) {
                if !seen.insert((chapter.to, done == chapter.to, remains.clone())) {
                    continue;
                }
                remains.put_back(&root);
                let mut checked = self.check(chapter, done == chapter.to);
                if seen.len() % GOING_ON == 0 {
                    checked = checked.and_then(|()| self.go_on());
                }
                if let Err(what) = checked {
                    wrong
                        .entry((chapter.to, what))
                        .or_insert_with(|| format!("{}: {number}, {change}", chapter.what));
                }
                if wrong.len() == most {
                    break 'life;
                }
            }
        }
        wrong
            .into_iter()
            .map(|((_, what), at)| format!("{at}: {what}"))
            .collect()
    }

    /// Starts on what a power cut has left.
    fn check(&self, chapter: &Chapter, is_over: bool) -> Result<(), String> {
        let Place { layout, .. } = &self.place;
        let Chapter { before, after, .. } = chapter;
        let options = Options::default();
        let store = DiskStore::open(layout.state_dir(), layout, Arc::new(SystemClock), options)
            .map_err(|error| format!("it does not start: {error}"))?;
        store.half_live().map_or(Ok(()), |half_live| {
            Err(format!("it does not come to an end: {half_live}"))
        })?;
        let is_new = self.place.is_live(&after.live);
        let is_old = self.place.is_live(&before.live);
        let position = store.position().map(|at| (at.generation, at.sequence));
        let other = chapter.other.as_ref().filter(|_| !is_over);
        let is_other = other.is_some_and(|(live, _)| self.place.is_live(live));
        ensure(is_new || is_other || is_old && !is_over, || {
            "the live files are no whole set".to_owned()
        })?;
        let is_told = is_new && position == after.position
            || is_other && position == other.map(|(_, position)| *position)
            || !is_over && position == before.position;
        ensure(is_told, || format!("it says that {position:?} is applied"))?;
        if is_over {
            match store.altered() {
                Ok(drifted) => ensure(drifted.is_empty(), || format!("{drifted:?} count as changed here"))?,
                // The list of what was applied is kept after the apply: without it nothing is said to be right.
                Err(_) if store.applied().is_none() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let kept = if is_over || !is_old { after } else { before };
        for id in before.whole.union(&kept.whole) {
            // What is being removed may be there still, but only with all its bytes.
            let is_promised = kept.whole.contains(id) && after.whole.contains(id);
            self.check_kept(id, is_promised)?;
        }
        let foreign = if is_over { &after.foreign } else { &before.foreign };
        let is_found = |bytes: &Vec<u8>| {
            let aside = [self.place.state("aside"), self.place.state("aside/edited")];
            let folders = aside.iter().map(PathBuf::as_path);
            let folders = folders.chain([layout.cruise_config_dir(), layout.plugins_external()]);
            let files = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
            files
                .into_iter()
                .any(|file| fs::read(file.path()).is_ok_and(|found| found == *bytes))
        };
        ensure(foreign.iter().all(is_found), || {
            "what somebody else wrote is gone".to_owned()
        })?;
        let is_paused = store.paused().is_some();
        let is_left = is_paused == before.is_paused && !is_over && is_old;
        ensure(is_paused == after.is_paused || is_left, || {
            "it forgot whether it is paused".to_owned()
        })?;
        let ledger = fs::read(self.place.state("ledger.json")).ok();
        let ledger = ledger.map(|text| serde_json::from_slice::<Ledger>(&text).map_err(|error| error.to_string()));
        let sequence = ledger.transpose()?.map_or(0, |ledger| ledger.sequence);
        ensure(
            sequence == after.sequence || !is_over && sequence == before.sequence,
            || format!("the ledger is at {sequence}"),
        )?;
        Ok(())
    }

    /// Goes on with another generation: whatever bytes are left, torn ones must not be taken for whole ones.
    fn go_on(&self) -> Result<(), String> {
        let another = next().with(Name::CipherAes, b"fedcba9876543210fedcba9876543210");
        let applied = another.apply(&self.place.open(), 99);
        applied.map_err(|error| format!("nothing can be applied any more: {error}"))?;
        ensure(self.place.is_live(&another), || {
            "what is applied is not live".to_owned()
        })
    }

    /// Whether a generation has all its bytes, if it is there, as it must be if that is promised.
    fn check_kept(&self, id: &str, is_promised: bool) -> Result<(), String> {
        let files = match generations::show(self.place.layout.state_dir(), id) {
            Ok((_, files)) => files,
            Err(error) if is_promised => return Err(error.to_string()),
            Err(_) => return Ok(()),
        };
        for (name, entry) in files {
            let blob = fs::read(self.place.state("blobs").join(entry.sha256.to_string()));
            ensure(blob.is_ok_and(|bytes| Digest::of(&bytes) == entry.sha256), || {
                format!("the bytes of {name} in generation {id:.6} are gone")
            })?;
        }
        Ok(())
    }
}

fn ensure(is_right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(what()) }
}

#[test]
fn a_power_cut_at_any_instant_leaves_a_whole_set_and_breaks_no_promise() {
    let life = Life::whole();
    let wrong = life.cut_power(usize::MAX, &BTreeSet::new());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Were one kind of sync left out everywhere, a power cut would do harm: this shows that the test above would notice,
/// and that nothing is waited for in vain.
#[test]
fn no_kind_of_sync_could_be_left_out() {
    let life = Life::whole();
    let mut kinds: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let changes = life.recorder.changes();
    for number in 0..changes.len() {
        if let Some(kind) = kind_of_sync(&changes, number) {
            kinds.entry(kind).or_default().insert(number);
        }
    }
    for needless in NEEDLESS {
        kinds.remove(needless).expect(needless);
    }
    kinds.retain(|_, forgotten| life.cut_power(1, forgotten).is_empty());
    assert!(kinds.is_empty(), "nobody misses {:#?}", kinds.keys());
}

/// Syncs that this life could do without: the names of these folders become durable in time with that of a file beside
/// them, the rename with the folder that the jar was taken from, the name of one file that is kept aside with that of the
/// next, and a torn pause still is one, only of nobody knows which generation.
const NEEDLESS: [&str; 6] = [
    "db/business-continuity after business-continuity/aside is made",
    "aside/edited after edited/cipher.aes is renamed",
    "db/business-continuity after business-continuity/blobs is made",
    "db/business-continuity after business-continuity/generations is made",
    "business-continuity/aside after aside/local.jar is renamed",
    "the bytes of business-continuity/paused.json",
];
