//! One round: from a generation that is offered to the files that are live after it.
//!
//! A round owns what it saw. It is begun with a generation, and knows by what was applied last which bytes are not
//! here. While these are fetched it looks at the live files, once. Applying looks once more only at what it would
//! replace and somebody could have changed meanwhile, so that no edit is lost. What is live in the end is told of what
//! it knows then.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::Arc,
    thread,
};

use super::{DiskStore, Inner, go_live::Change, jars, prepare::Write};
use crate::{
    basics::{Digest, Error, Kind},
    files::Jar,
    generation::{ManifestDocument, Name},
    standby::store::{
        Applied, Look, Permit, Wanted,
        live::{self, Live},
        plan::{self, Plan},
        record::Record,
        rules,
    },
};

/// What a standby does about one generation. All calls block. What survives a crash is what [`Round::apply`] has made
/// durable.
pub struct Round {
    /// The generation, with what stays here under names that the primary withholds.
    whole: Arc<ManifestDocument>,
    /// Of that, the files that this node syncs.
    own: Arc<ManifestDocument>,
    /// What to say of the others.
    not_here: Option<String>,
    /// What is live, once that was looked at.
    pub(super) live: Option<Live>,
    /// The serial of the record on which the round goes on.
    serial: u64,
}

impl Round {
    /// Begins a round with one generation. Looks at the live files only where it is not known what was applied last.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the manifest alone shows that the set must not become live; others when the store or a
    /// live folder cannot be read.
    pub fn begin(store: &DiskStore, generation: Arc<ManifestDocument>) -> Result<Self, Error> {
        let round = Self::of(store, generation)?;
        store.generations().pin(&round.own);
        Ok(round)
    }

    /// Begins a round that makes good again what is applied. What is on its way of a newer generation stays: bytes of
    /// what is applied are kept anyway.
    ///
    /// # Errors
    /// As [`Round::begin`].
    pub(super) fn of_applied(store: &DiskStore, applied: ManifestDocument) -> Result<Self, Error> {
        Self::of(store, Arc::new(applied))
    }

    /// A round with this generation, as this node syncs it.
    fn of(store: &DiskStore, generation: Arc<ManifestDocument>) -> Result<Self, Error> {
        let mut inner = store.lock();
        // Not even what a crash left half done may be finished under a GoCD that starts; applying is refused then.
        if inner.rests == 0 {
            store.finish_journal(&mut inner)?;
        }
        let whole = match store.retaining(&generation) {
            Cow::Owned(more) => Arc::new(more),
            Cow::Borrowed(_) => generation,
        };
        let (own, not_here) = store.of_this_node(&whole);
        let own = match own {
            Cow::Owned(fewer) => Arc::new(fewer),
            Cow::Borrowed(_) => Arc::clone(&whole),
        };
        rules::manifest(&own)?;
        let mut round = Self {
            whole,
            own,
            not_here,
            live: None,
            serial: inner.record.serial,
        };
        if store.generations().applied().is_none() {
            round.live = Some(round.look_at_all(store, &mut inner)?);
        }
        Ok(round)
    }

    /// Looks at the live files in a round, unless that was done.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the set must not become live beside what is here; others when a live folder or file
    /// cannot be read.
    pub fn look(&mut self, store: &DiskStore) -> Result<(), Error> {
        if self.live.is_none() {
            self.live = Some(self.look_at_all(store, &mut store.lock())?);
        }
        Ok(())
    }

    /// The bytes that a round has to fetch: those that are neither kept nor live. Before the look at the live files
    /// these are taken to be what was applied last.
    ///
    /// # Errors
    /// The store cannot be read, or the bytes would not fit onto the disk.
    pub fn missing(&self, store: &DiskStore) -> Result<Vec<Wanted>, Error> {
        let mut missing = self.lacking(store)?;
        missing.retain(|wanted| !self.own.retained.contains(&wanted.name));
        let needed = missing
            .iter()
            .map(|wanted| wanted.size.saturating_sub(store.blobs.partial_size(&wanted.sha256)))
            .sum();
        store.make_room(store.blobs.folder(), needed)?;
        Ok(missing)
    }

    /// The bytes that a round lacks, with those that the primary cannot offer.
    pub(super) fn lacking(&self, store: &DiskStore) -> Result<Vec<Wanted>, Error> {
        let applied = match &self.live {
            Some(_) => None,
            None => store.generations().applied().cloned(),
        };
        let known = self.live.as_ref().map(|live| &live.files);
        let known = known.or(applied.as_ref().map(|applied| &applied.files));
        let here: HashSet<Digest> = known.into_iter().flatten().map(|(_, entry)| entry.sha256).collect();
        let config = known.and_then(|known| known.get(&Name::CruiseConfig));
        let mut lacking: BTreeMap<Digest, Wanted> = BTreeMap::new();
        for (name, entry) in &self.own.files {
            if here.contains(&entry.sha256) || store.blobs.has(&entry.sha256, entry.size)? {
                continue;
            }
            lacking
                .entry(entry.sha256)
                .or_insert_with(|| Wanted::new(name, entry, config.map(|config| &config.sha256)));
        }
        Ok(lacking.into_values().collect())
    }

    /// Applies the generation of a round: plugins before configuration, all or nothing also across a crash. Everything
    /// that [`Round::missing`] named must have been received.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the set must not become live, saying why; [`Kind::Superseded`] when bytes are not here
    /// after all, or somebody made another set live since the round began; others when the disk fails. The live files
    /// are then as before: where a step fails in the middle of a set, the old one comes back from its blobs, and the
    /// error says so. Only where that fails as well they are a part of each, which the error says too, until the next
    /// call or start finishes what was begun or takes it back.
    pub fn apply(&mut self, store: &DiskStore, allowed: Permit) -> Result<Applied, Error> {
        let whole = Arc::clone(&self.whole);
        // A large configuration takes a few milliseconds to read through: meanwhile the disk is busy with its copy.
        let applied = thread::scope(|scope| {
            let reader = thread::Builder::new()
                .name("bc-judge".to_owned())
                .spawn_scoped(scope, || store.read_ahead(&whole));
            self.apply_once_read(store, allowed, || {
                // Without a thread, and after a panic in it, the check reads the files itself.
                let _ = reader.map(|reader| reader.join());
            })
        });
        // What was fetched for one that failed may be applied yet. Where that cannot be written, it stays in memory.
        let _ = store.blobs.write_out();
        applied
    }

    /// Ends a round with what people are told of the files that are live now. After an apply nothing is looked at for
    /// it.
    ///
    /// # Errors
    /// As [`DiskStore::look`].
    pub fn end(self, store: &DiskStore) -> Result<Look, Error> {
        match self.live {
            Some(live) => store.looked(&store.lock(), live, Vec::new()),
            None => store.look(),
        }
    }

    /// `wait_for_reader` returns when the files that are checked have been read ahead.
    fn apply_once_read(
        &mut self,
        store: &DiskStore,
        allowed: Permit,
        wait_for_reader: impl FnOnce(),
    ) -> Result<Applied, Error> {
        let inner = &mut *store.lock();
        store.check_restless(inner)?;
        store.finish_journal(inner)?;
        if inner.record.serial != self.serial {
            return Err(Error::new(
                Kind::Superseded,
                "another set of files was made live meanwhile",
                "",
            ));
        }
        let mut live = self.look_again(store, inner)?;
        let now_ms = store.clock.now_ms();
        let plan = self.plan(store, &inner.record, &live, allowed, now_ms)?;
        let record = inner.record.next(&self.own, &plan.guard, now_ms);
        let mut applied = self.in_words(&plan, &live);
        // The id of what is live was checked when it came: what an edit here made of it since has no say.
        let allowed = Permit {
            server_id: allowed.server_id || inner.record.generation == Some(self.own.generation),
            ..allowed
        };
        let check = |live: &Live, writes: &[Write]| {
            wait_for_reader();
            let mut warnings = odd_jars(&self.own, live, writes);
            warnings.extend(store.check_set(&self.own, live, writes, allowed)?);
            Ok::<_, Error>(warnings)
        };
        if plan.is_empty() && record.says_the_same(&inner.record) {
            applied.warnings.extend(check(&live, &[])?);
        } else {
            let change = Change {
                plan: &plan,
                live: &live,
                record,
                document: Some(&self.whole),
                now_ms,
            };
            let (warnings, drift) = store.make_live(inner, change, |inner, writes| {
                Ok((check(&live, writes)?, store.keep_before(inner, &plan, &live, now_ms)?))
            })?;
            applied.warnings.extend(warnings);
            applied.drift = drift;
            // A blob that cannot be written is made of the live file, or else nothing is kept.
            let _ = store.blobs.write_out();
        }
        store.keep_or_warn(inner, &self.whole, &mut applied);
        self.serial = inner.record.serial;
        let changed = plan.names();
        let looked = live::look_again(&store.layout, &mut inner.cache, &mut live, changed);
        self.live = looked.is_ok().then_some(live);
        Ok(applied)
    }

    /// Looks at all live files for a round.
    fn look_at_all(&self, store: &DiskStore, inner: &mut Inner) -> Result<Live, Error> {
        let mut live = live::read(&store.layout, &mut inner.cache)?;
        rules::own_jars(&self.own, &live.own_jars)?;
        let names = store.plugin_names();
        names.check(jars(self.own.files.keys()), &live.jars(), &live.own_jars)?;
        names.respell(&mut live, jars(self.own.files.keys().chain(&inner.record.ours)))?;
        Ok(live)
    }

    /// The live files as a round sees them once more, just before something is written.
    fn look_again(&mut self, store: &DiskStore, inner: &mut Inner) -> Result<Live, Error> {
        let looked = self.live.take();
        let Some(mut live) = looked.filter(|live| live.is_listed(store.layout.plugins_external())) else {
            return self.look_at_all(store, inner);
        };
        let is_replaced = |name: &Name, here: &Digest| {
            let there = self.own.files.get(name);
            matches!(name, Name::Plugin(_)) && there.is_none_or(|there| there.sha256 != *here)
        };
        let replaced = live.files.iter().filter(|(name, here)| is_replaced(name, &here.sha256));
        let names: Vec<Name> = replaced.map(|(name, _)| name.clone()).collect();
        let own_jars = live.own_jars.len();
        let names = names.into_iter().chain(store.layout.config_names());
        live::look_again(&store.layout, &mut inner.cache, &mut live, names)?;
        if live.own_jars.len() != own_jars {
            return self.look_at_all(store, inner);
        }
        Ok(live)
    }

    /// Plans what a round has to change.
    fn plan(
        &self,
        store: &DiskStore,
        record: &Record,
        live: &Live,
        allowed: Permit,
        now_ms: i64,
    ) -> Result<Plan, Error> {
        let Record { ours, guard, .. } = record;
        let mut plan = plan::plan(&self.own, &live.files, ours, guard, allowed.deletions, now_ms);
        for name in &self.own.retained {
            if store.is_out_of_reach(&self.own, name)? {
                // It stays as somebody made it: the look at what is live says so for as long as that is so.
                plan.write.retain(|(other, _)| other != name);
            }
        }
        Ok(plan)
    }

    /// What a round is about to change, for people.
    fn in_words(&self, plan: &Plan, live: &Live) -> Applied {
        let warnings = live.warnings.iter().chain(&plan.warnings).chain(&self.not_here);
        Applied {
            written: plan.write.iter().map(|(name, _)| name.clone()).collect(),
            removed: plan.remove.clone(),
            kept: plan.kept.clone(),
            drift: Vec::new(),
            warnings: warnings.cloned().collect(),
        }
    }
}

/// What is odd about the jars of a round's generation: they are carried all the same, so whoever looks here should
/// know.
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
