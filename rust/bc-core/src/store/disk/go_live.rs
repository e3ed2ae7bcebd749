//! Making a generation live: all of it, or nothing.

use super::{DiskStore, FRESH, Inner, jars, prepare::Write};
use crate::{
    digest::Digests,
    error::Error,
    manifest::{ManifestDocument, Name},
    scan::{self, descriptor::Jar, file_cache::FileCache},
    store::{
        Allowed, Applied, aside,
        journal::{Journal, Step},
        live::{self, Live},
        plan::{self, Plan},
        record::Record,
        rules, stage,
    },
};

/// A change of the live files that is about to happen.
pub(super) struct Change<'a> {
    pub(super) plan: &'a Plan,
    pub(super) live: &'a Live,
    /// What will have been applied then.
    pub(super) record: Record,
    /// The generation that is live then; none where it is the one that is live already.
    pub(super) document: Option<&'a ManifestDocument>,
    pub(super) now_ms: i64,
}

impl DiskStore {
    /// Applies a generation. `wait_for_reader` returns when the files that are judged have been read ahead.
    pub(super) fn apply_once_read(
        &self,
        generation: &ManifestDocument,
        allowed: Allowed,
        wait_for_reader: impl FnOnce(),
    ) -> Result<Applied, Error> {
        let mut inner = self.lock();
        inner.seen = None;
        self.finish_journal(&mut inner)?;
        let mut live = match inner.ahead.take().filter(|(at, _)| at.elapsed() < FRESH) {
            // The files that are edited are looked at once more.
            Some((_, ahead)) => live::read_config(&self.layout, &mut inner.cache, ahead)?,
            None => live::read(&self.layout, &mut inner.cache)?,
        };
        let (own, not_here) = self.of_this_node(generation);
        let whole = generation;
        let generation = own.as_ref();
        rules::manifest(generation, &live.own_jars)?;
        let names = jars(generation.files.keys());
        self.plugin_names().judge(names, &live.jars(), &live.own_jars)?;
        let names = jars(generation.files.keys().chain(&inner.record.ours));
        self.plugin_names().respell(&mut live, names)?;
        self.generations().pin(generation);
        let now_ms = self.clock.now_ms();
        let Record { ours, guard, .. } = &inner.record;
        let plan = plan::plan(generation, &live.files, ours, guard, allowed.deletions, now_ms);
        let record = inner.record.next(generation, &plan.guard, now_ms);
        let mut applied = Applied {
            written: plan.write.iter().map(|(name, _)| name.clone()).collect(),
            removed: plan.remove.clone(),
            kept: plan.kept.clone(),
            drift: Vec::new(),
            warnings: live
                .warnings
                .iter()
                .chain(&plan.warnings)
                .chain(&not_here)
                .cloned()
                .collect(),
        };
        let allowed = allowed.for_repair(inner.record.generation == Some(generation.generation));
        if plan.is_empty() && record.says_the_same(&inner.record) {
            wait_for_reader();
            applied.warnings.extend(odd_jars(generation, &live, &[]));
            applied.warnings.extend(self.judge(generation, &live, &[], allowed)?);
            self.keep_or_warn(&mut inner, whole, &mut applied);
            return Ok(applied);
        }
        let change = Change {
            plan: &plan,
            live: &live,
            record,
            document: Some(whole),
            now_ms,
        };
        let (warnings, drift) = self.make_live(&mut inner, change, |inner, writes| {
            wait_for_reader();
            let mut warnings = odd_jars(generation, &live, writes);
            warnings.extend(self.judge(generation, &live, writes, allowed)?);
            Ok((warnings, self.keep_before(inner, &plan, &live, now_ms)?))
        })?;
        applied.warnings.extend(warnings);
        applied.drift = drift;
        // A blob that cannot be written is made of the live file, or else nothing is kept.
        let _ = self.blobs.settle();
        self.keep_or_warn(&mut inner, whole, &mut applied);
        Ok(applied)
    }

    /// Makes a change of the live files, and notes it as applied. `before` judges it and keeps what it replaces, once
    /// all that it writes is staged and nothing has changed yet.
    ///
    /// # Errors
    /// Those of `before`, and what [`crate::store::Store::apply`] says.
    pub(super) fn make_live<T>(
        &self,
        inner: &mut Inner,
        change: Change<'_>,
        before: impl FnOnce(&mut Inner, &[Write]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let writes = self.writes(change.plan, change.live)?;
        self.check_room(&writes)?;
        let staged = self.stage(&writes, change.record.serial)?;
        let kept = match before(inner, &writes) {
            Ok(kept) => kept,
            Err(error) => {
                self.remove_staged(&staged);
                return Err(error);
            }
        };
        let steps = self.steps(staged, change.plan, change.now_ms);
        let mut ready = steps.iter().try_for_each(check_can_go);
        if steps.len() > 1 {
            // With these a set that was begun can be finished even where staged files are lost.
            ready = ready.and_then(|()| self.blobs.settle());
        }
        if let Err(error) = ready {
            self.remove_staged(&steps);
            return Err(error);
        }
        let mut journal = Journal::new(steps, change.record, change.document);
        if let Err(error) = self.hands().carry_out(&mut journal, false) {
            // Without a journal no live file has changed; with one, the next call goes on with what is staged.
            if matches!(Journal::is_open(&*self.system, &self.files.journal), Ok(false)) {
                self.remove_staged(&journal.steps);
            }
            return Err(error);
        }
        inner.record = journal.record;
        self.remember(&mut inner.cache, writes);
        Ok(kept)
    }

    /// All steps in their order: plugins before the configuration that needs them.
    fn steps(&self, staged: Vec<Step>, plan: &Plan, now_ms: i64) -> Vec<Step> {
        let is_plugin = |name: &Name| matches!(name, Name::Plugin(_));
        let (mut steps, config): (Vec<_>, Vec<_>) = staged
            .into_iter()
            .partition(|step| matches!(step, Step::Write { name, .. } if is_plugin(name)));
        for jar in &plan.set_aside {
            let name = Name::Plugin(jar.clone());
            steps.push(Step::SetAside {
                from: scan::path_of(&self.layout, &name),
                to: aside::place(&self.files.aside, now_ms, jar.as_str()),
                name,
            });
        }
        let remove = |name: &Name| Step::Remove {
            path: scan::path_of(&self.layout, name),
            name: name.clone(),
        };
        let (plugins, others): (Vec<&Name>, Vec<&Name>) = plan.remove.iter().partition(|name| is_plugin(name));
        steps.extend(plugins.into_iter().map(remove));
        steps.extend(config);
        steps.extend(others.into_iter().map(remove));
        steps
    }

    /// Takes up what is now known without reading it.
    fn remember(&self, cache: &mut FileCache, writes: Vec<Write>) {
        for write in writes {
            let digests = Digests {
                sha256: write.entry.sha256,
                // Not computed here: it is only shown and compared by people.
                md5: write.entry.md5,
                size: write.entry.size,
            };
            // A file that is gone again is seen at the next look.
            let _ = cache.placed(&scan::path_of(&self.layout, &write.name), digests, write.jar);
            self.blobs.touched(&write.entry.sha256);
        }
        cache.save(&self.files.cache);
    }
}

/// What is odd about the jars of a generation: they are carried all the same, so whoever looks here should know.
fn odd_jars(generation: &ManifestDocument, live: &Live, writes: &[Write]) -> Vec<String> {
    let odd = |name: &Name| match writes.iter().find(|write| write.name == *name) {
        Some(write) => write.jar.as_ref().and_then(Jar::warning),
        None => live.odd.get(name).cloned(),
    };
    let names = generation.files.keys();
    names
        .filter_map(|name| odd(name).map(|warning| format!("{name} {warning}")))
        .collect()
}

/// Whether what a step takes away can go: known now, one that cannot stops the set before any of it is live.
fn check_can_go(step: &Step) -> Result<(), Error> {
    match step {
        Step::Remove { path, .. } | Step::SetAside { from: path, .. } => {
            stage::check_removable(path).map_err(|error| Error::io("remove", path, &error))
        }
        Step::Write { .. } => Ok(()),
    }
}
