//! Reading everything that GoCD is about to start on, and mending it from the kept bytes.
//!
//! What was applied is known by digest, so nothing here trusts a size, a time or an earlier look. The bytes that mend
//! were judged when they came, and are not judged again: another GoCD that was installed meanwhile is no reason to
//! start on a file that rotted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use tracing::{info, warn};

use super::{DiskStore, Inner, edited::Aside, go_live::Change, jars};
use crate::{
    basics::{Digest, Digests, Error, Kind, digest, regular_file, words},
    generation::{Entry, JarName, Name, Withheld},
    standby::store::{
        MadeWhole,
        generations::{self, Kept, Stored},
        journal::Journal,
        live::{self, Live},
        plan::{self, Plan},
        record::Record,
    },
};

/// What is to be done about a refusal.
const GUIDANCE: &str = "Mend these files and run the command again, go back to a kept generation with `gocd-bc \
                        generations restore`, or let GoCD start on the files as they are with `gocd-bc promote \
                        --without-database --as-it-is`.";

/// The live files, held against what they should be.
#[derive(Default)]
struct Found {
    right: BTreeMap<Name, Entry>,
    /// Files that have other bytes, with these, or are missing.
    wrong: BTreeMap<Name, (Entry, Option<Entry>)>,
    /// What cannot be mended, each a full sentence part.
    faults: Vec<String>,
    /// Files of which nobody knows what should be in them, each a full sentence part.
    unknown: Vec<String>,
}

/// What mending came to.
#[derive(Default)]
struct Mended {
    right: usize,
    told: Vec<String>,
    faults: Vec<String>,
}

impl DiskStore {
    /// Makes the live files whole, so that they are, byte for byte, what was applied last: finishes a set that is half
    /// live or takes it back, reads every live file whole, and mends from verified kept bytes what differs or is
    /// missing. What was there instead is kept aside first, however much that is; a live file is replaced, never
    /// removed for a while. To be called before GoCD starts on the live files, when nothing is applied any more. A
    /// crash at any instant leaves each file as it was or mended; calling it again goes on.
    ///
    /// With `as_it_is`, what cannot be mended is left and named in [`MadeWhole::left`].
    ///
    /// # Errors
    /// [`crate::basics::Kind::Refused`] naming every file that cannot be mended or read, and what to do; also
    /// where nothing was ever applied here, or nobody knows any more what. No live file has changed then, except where
    /// the disk fails while mending. With `as_it_is` there is no error.
    pub fn make_whole(&self, as_it_is: bool) -> Result<MadeWhole, Error> {
        let mut inner = self.lock();
        let mut made = MadeWhole::default();
        let was_half_live = Journal::is_open(&*self.system, &self.files.journal).unwrap_or(true);
        let expected = match self.finish_journal(&mut inner) {
            Ok(()) => {
                made.finished_interrupted = was_half_live;
                self.expected()
            }
            Err(error) => Err(format!(
                "a set is half live and can be neither finished nor taken back: {error}"
            )),
        };
        let expected = match expected {
            Ok(expected) => expected,
            Err(fault) => return or_refuse(made, vec![fault], as_it_is),
        };
        let mut found = self.read_whole(&expected);
        found.unknown = self.not_offered(&inner.record);
        self.read_held(&inner, &mut found);
        let doubled = self.only_here(&mut inner, &mut found);
        let write = self.mendable(&mut found);
        if !found.faults.is_empty() && !as_it_is {
            return or_refuse(made, found.faults, as_it_is);
        }
        let plan = Plan { write, ..doubled };
        let mut faults = std::mem::take(&mut found.faults);
        let mended = self.mend_all(&mut inner, plan, &found, as_it_is);
        faults.extend(mended.faults);
        made.mended = mended.told;
        made.right = found.right.len() + mended.right;
        made.left = std::mem::take(&mut found.unknown);
        self.adopt_right(&mut inner, &found.right);
        or_refuse(made, faults, as_it_is)
    }

    /// The entry that every live file should match, as far as the applied generation says.
    fn expected(&self) -> Result<BTreeMap<Name, Entry>, String> {
        let generations = self.generations();
        let applied = generations.applied_or_why_not().map_err(|error| error.to_string())?;
        let applied = applied.ok_or_else(|| {
            if generations.is_empty() {
                "nothing was ever applied here".to_owned()
            } else {
                "it is lost which files the generation has that was applied last".to_owned()
            }
        })?;
        Ok(applied
            .files
            .iter()
            .filter(|(name, _)| self.layout.syncs(name))
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect())
    }

    /// What the primary did not offer when it was asked last, each a full sentence part: GoCD starts without its newest
    /// bytes.
    fn not_offered(&self, record: &Record) -> Vec<String> {
        let generations = self.generations();
        let Some(applied) = generations.applied() else {
            return Vec::new();
        };
        let Withheld { files, plugins } = applied.withheld.of(|name| self.layout.syncs(name));
        let folder = plugins.map(|reason| {
            format!("the plugins are those that the primary could list last: its plugin folder {reason}")
        });
        let files = files.iter().map(|(name, reason)| {
            let what = if applied.files.contains_key(name) {
                "is what the primary could offer last"
            } else if record.ours.contains(name) {
                "came from the primary earlier, and it is lost here what was in it then, so nobody has verified it"
            } else {
                "never came from the primary"
            };
            format!("{name} {what}: there it {reason}")
        });
        folder.into_iter().chain(files).chain(plan::doubled(applied)).collect()
    }

    /// The jars that are kept beside the applied generation, by what an older one says of them.
    fn read_held(&self, inner: &Inner, found: &mut Found) {
        let held: Vec<&Name> = inner.record.guard.kept().iter().collect();
        if held.is_empty() {
            return;
        }
        let all = match generations::read_all(&*self.system, &self.files.folder).and_then(Stored::whole) {
            Ok(all) => all,
            Err(error) => return found.faults.push(error.to_string()),
        };
        let known = held
            .iter()
            .filter_map(|name| Some(((*name).clone(), newest(&all, name)?.clone())));
        let more = self.read_whole(&known.collect());
        for name in held {
            if newest(&all, name).is_none() {
                found.unknown.push(format!(
                    "{name} is kept although the primary lacks it, and no kept generation says what is in it"
                ));
            }
        }
        found.right.extend(more.right);
        found.wrong.extend(more.wrong);
        found.faults.extend(more.faults);
    }

    /// Reads every live file whole, and says which are wrong.
    fn read_whole(&self, expected: &BTreeMap<Name, Entry>) -> Found {
        let mut found = Found::default();
        for (name, entry) in expected {
            let path = self.layout.path_of(name);
            match digests_of(&path) {
                Ok(Some(here)) if here.sha256 == entry.sha256 => {
                    found.right.insert(name.clone(), entry.clone());
                }
                Ok(here) => {
                    let here = here.map(|digests| Entry::new(digests, 0, None));
                    found.wrong.insert(name.clone(), (entry.clone(), here));
                }
                Err(error) => found.faults.push(format!("{} cannot be read: {error}", path.display())),
            }
        }
        found
    }

    /// Local jars that would double a plugin, and what to say of them. GoCD starts on other files that are only here as
    /// well, so these are named.
    fn only_here(&self, inner: &mut Inner, found: &mut Found) -> Plan {
        for name in found.wrong.keys() {
            inner.cache.forget(&self.layout.path_of(name));
        }
        let mut live = match live::read(&self.layout, &mut inner.cache) {
            Ok(live) => live,
            Err(error) => {
                // A synced file is named already.
                if found.faults.is_empty() {
                    found.faults.push(error.message().to_owned());
                }
                return Plan::default();
            }
        };
        let Some(applied) = self.generations().applied().cloned() else {
            return Plan::default();
        };
        let Record { ours, guard, .. } = &inner.record;
        let names = jars(applied.files.keys().chain(ours));
        if let Err(error) = self.plugin_names().respell(&mut live, names) {
            found.faults.push(error.message().to_owned());
            return Plan::default();
        }
        let plan = plan::plan(&applied, &live.files, ours, guard, false, self.clock.now_ms());
        let is_told = |name: &Name| match name {
            Name::Plugin(jar) => plan.set_aside.contains(jar) || guard.kept().contains(name),
            _ => false,
        };
        for name in live.files.keys() {
            if !applied.files.contains_key(name) && !is_told(name) {
                found.unknown.push(format!(
                    "{name} is only here: the generation that was applied last does not have it, so nobody has verified it"
                ));
            }
        }
        let is_of_one = |line: &&String| plan.set_aside.iter().any(|jar| line.contains(jar.as_str()));
        Plan {
            warnings: plan.warnings.iter().filter(is_of_one).cloned().collect(),
            set_aside: plan.set_aside,
            ..Plan::default()
        }
    }

    /// Which of the wrong files can be mended, in the order of an apply. The others become faults.
    fn mendable(&self, found: &mut Found) -> Vec<(Name, Entry)> {
        let here: BTreeSet<Digest> = found.right.values().map(|entry| entry.sha256).collect();
        let mut write = Vec::new();
        for (name, (entry, is)) in &found.wrong {
            // What damaged one may have damaged the other.
            self.blobs.forget(&entry.sha256);
            let what = if is.is_some() { "differs" } else { "is missing" };
            match self.blobs.has(&entry.sha256, entry.size) {
                Ok(has) if has || here.contains(&entry.sha256) => write.push((name.clone(), entry.clone())),
                Ok(_) => found
                    .faults
                    .push(format!("{name} {what}, and the kept bytes of it are lost or damaged")),
                Err(error) => found.faults.push(format!(
                    "{name} {what}, and the kept bytes of it are not to be had: {error}"
                )),
            }
        }
        write
    }

    /// Mends all wrong live files, after keeping aside what is there. Unless `as_it_is`, nothing changes where one file
    /// cannot be kept aside.
    fn mend_all(&self, inner: &mut Inner, plan: Plan, found: &Found, as_it_is: bool) -> Mended {
        let now_ms = self.clock.now_ms();
        let mut mended = Mended::default();
        let mut told = plan.warnings.clone();
        let mut plan = plan;
        plan.write.retain(|(name, _)| {
            let is_there = found.wrong.get(name).is_some_and(|(_, here)| here.is_some());
            let kept = is_there.then(|| self.keep_aside(name, now_ms, Aside::Whole));
            match kept {
                None => told.push(format!("{name} was missing")),
                Some(Ok(path)) => told.push(format!(
                    "{name} was not what was applied last; what was there is kept as {}",
                    path.display()
                )),
                Some(Err(error)) => {
                    let fault = format!("{name} differs, and what is there cannot be kept aside: {error}");
                    mended.faults.push(fault);
                    return false;
                }
            }
            true
        });
        if plan.is_empty() || !mended.faults.is_empty() && !as_it_is {
            return mended;
        }
        let wrong = found.wrong.iter();
        let here = wrong.filter_map(|(name, (_, here))| Some((name.clone(), here.clone()?)));
        let live = Live {
            files: found.right.clone().into_iter().chain(here).collect(),
            ..Live::default()
        };
        let change = Change {
            plan: &plan,
            live: &live,
            record: Record {
                serial: inner.record.serial + 1,
                ..inner.record.clone()
            },
            document: None,
            now_ms,
        };
        if let Err(error) = self.make_live(inner, change, |_, _| Ok(())) {
            let names = plan.write.iter().map(|(name, _)| name.to_string());
            let names = words::list(names.chain(plan.set_aside.iter().map(JarName::to_string)));
            mended.faults.push(format!("{names} cannot be mended: {error}"));
            return mended;
        }
        let again = self.read_whole(&plan.write.iter().cloned().collect());
        let still = again.wrong.keys();
        let still = still.map(|name| format!("{name} differs still after it was mended"));
        mended.faults.extend(still.chain(again.faults));
        mended.right = again.right.len();
        for line in &told {
            warn!("{line}; it is mended");
        }
        mended.told = told;
        mended
    }

    /// Makes sure that live files which are right can be gone back to. Nothing that GoCD starts on depends on it.
    fn adopt_right(&self, inner: &mut Inner, right: &BTreeMap<Name, Entry>) {
        for (name, entry) in right {
            if let Err(error) = self.adopt(inner, name, &entry.sha256, entry.size) {
                warn!("{name} cannot be kept to go back to: {error}");
            }
        }
    }
}

/// The newest word of a kept generation on a file.
fn newest<'a>(all: &'a [Kept], name: &Name) -> Option<&'a Entry> {
    let mut others = all.iter().filter(|kept| !kept.is_first());
    others.find_map(|kept| kept.document.files.get(name))
}

/// Reads a live file whole; none where nothing is. Anything but a file is not opened: a pipe would be waited for.
fn digests_of(path: &Path) -> io::Result<Option<Digests>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is no regular file")),
        Ok(_) => digest::hash(regular_file::open(path)?).map(Some),
    }
}

/// What was made whole, or the refusal where something is wrong that nobody accepted.
fn or_refuse(made: MadeWhole, faults: Vec<String>, as_it_is: bool) -> Result<MadeWhole, Error> {
    if faults.is_empty() {
        info!(
            "{} live files are what was applied last, {} of them mended",
            made.right,
            made.mended.len()
        );
        return Ok(made);
    }
    let message = format!("the live files are not what was verified: {}", faults.join("; "));
    if !as_it_is {
        return Err(Error::new(Kind::Refused, message, GUIDANCE));
    }
    warn!("{message}; they are left as they are");
    let mut made = made;
    made.left.extend(faults);
    Ok(made)
}
