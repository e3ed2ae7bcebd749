//! Reading the jars in `plugins/external`.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    basics::{Clock, Error, Kind, spelling},
    files::{
        FileCache, Jar, Stamp,
        file_cache::{Detail, KnownFile, Observed},
        plugin_folder::{self, Listed, Listing},
    },
    generation::{JarName, Name, Reason, document::MAX_FILES, own_files::OWN_JAR},
    primary::scan::{
        absence,
        folder_mount::FolderMount,
        gathered::{Gathered, Stop},
        mounts_file::PluginMount,
        unfinished::{Unfinished, Wait},
        watch::Hints,
    },
};

/// How many of the synced files may be configuration files.
const MAX_CONFIG_FILES: usize = 1000;

/// The plugin folder, read again and again.
pub(super) struct Plugins {
    folder: PathBuf,
    cache: FileCache,
    /// Where the cache is over a restart.
    cache_file: Option<PathBuf>,
    unfinished: Unfinished,
    /// Where the folder was when it was read last, and the jars that it had there.
    last: PluginMount,
    /// The names under which our own jar was seen.
    own: HashSet<JarName>,
    /// Whether the folder was there once, also before a restart.
    was_there: bool,
    /// Set when nobody waits for the result any more.
    stopped: Arc<AtomicBool>,
}

impl Plugins {
    /// The primary's plugin folder, not read yet. The options are those of [`super::Options`], and `last` is where the
    /// folder was before a restart, and which jars it had.
    pub(super) fn new(
        folder: PathBuf,
        cache_file: Option<PathBuf>,
        stopped: Arc<AtomicBool>,
        clock: Arc<dyn Clock>,
        last: PluginMount,
    ) -> Self {
        let mut cache = FileCache::new(clock);
        if let Some(saved) = &cache_file {
            cache.load(saved);
        }
        Self {
            was_there: cache.knows_any_in(&folder),
            cache,
            cache_file,
            unfinished: Unfinished::default(),
            last: last.filter(|(mount, _)| mount.is_of(&folder)),
            own: HashSet::new(),
            stopped,
            folder,
        }
    }

    /// The mount on which the plugin folder was when it was read last, and the jars that it had there.
    pub(super) fn mount(&self) -> &PluginMount {
        &self.last
    }

    /// Reads the primary's plugin folder once. A jar that is not finished is left as it was, and keeps nothing else
    /// waiting.
    ///
    /// # Errors
    /// Why nothing can be said of the jars now.
    pub(super) fn read(&mut self, gathered: &mut Gathered, hints: &mut dyn Hints, now_ms: i64) -> Result<(), Stop> {
        let listing = match plugin_folder::list(&self.folder) {
            Ok(Some(listing)) => listing,
            Ok(None) => {
                match absence::missing_folder(&self.folder) {
                    Some(reason) => gathered.withhold_plugins(&self.folder, reason, None),
                    // A mount that was lost, most likely. The standby must not lose its plugins with it.
                    None if self.was_there => gathered.withhold_plugins(&self.folder, Reason::Missing, None),
                    None => gathered
                        .warnings
                        .push(format!("the plugin folder {} does not exist", self.folder.display())),
                }
                return Ok(());
            }
            Err(error) => {
                gathered.withhold_plugins(&self.folder, absence::because(&error), Some(&error));
                return Ok(());
            }
        };
        self.cache.begin_round();
        self.collect(listing, gathered, hints, now_ms)?;
        self.cache.end_round();
        if let Some(saved) = &self.cache_file {
            self.cache.save(saved);
        }
        Ok(())
    }

    /// Reads the jars of the primary's plugin folder that is listed.
    fn collect(
        &mut self,
        listing: Listing,
        gathered: &mut Gathered,
        hints: &mut dyn Hints,
        now_ms: i64,
    ) -> Result<(), Stop> {
        self.was_there = true;
        self.withhold_left_behind(&listing, gathered);
        let folder = &self.folder;
        if listing.jars.len() > MAX_FILES - MAX_CONFIG_FILES {
            return Err(Error::new(
                Kind::File,
                format!(
                    "the plugin folder {} has {} jars, more than the {} that are synced",
                    folder.display(),
                    listing.jars.len(),
                    MAX_FILES - MAX_CONFIG_FILES
                ),
                "Remove what is no plugin: until then the standby keeps the files that it has.",
            )
            .into());
        }
        gathered.warnings.extend(listing.warnings);
        let names: HashSet<&JarName> = listing.jars.iter().map(|jar| &jar.name).collect();
        self.unfinished.begin(|jar| names.contains(jar));
        let waits: Vec<_> = listing
            .jars
            .iter()
            .map(|jar| self.before_reading(jar, hints, now_ms))
            .collect();
        let readable = listing.jars.iter().zip(&waits).filter(|(_, wait)| wait.is_ok());
        let stopped = Arc::clone(&self.stopped);
        self.cache
            .read_ahead(readable.map(|(jar, _)| jar.path.as_path()), Detail::Jar, || {
                stopped.load(Ordering::Relaxed)
            });
        for (listed, wait) in listing.jars.into_iter().zip(waits) {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Stop::Unstable {
                    name: Name::Plugin(listed.name),
                    reason: "is not read any more: the node is being closed".to_owned(),
                });
            }
            match wait {
                Ok(()) => self.jar(listed, gathered, hints, now_ms),
                Err(wait) => self.wait(listed.name, &listed.path, wait, gathered, now_ms),
            }
        }
        if let Some((_, jars)) = &mut self.last {
            let own = &self.own;
            jars.retain(|jar| !is_own_name(jar) && !own.contains(jar));
        }
        Ok(())
    }

    /// Withholds the jars that were on a mount which the folder is not on any more, also before a restart. That ends
    /// when all of them are in the folder as it is now, or when it is on that mount again.
    fn withhold_left_behind(&mut self, listing: &Listing, gathered: &mut Gathered) {
        let listed: BTreeSet<JarName> = listing.jars.iter().map(|jar| jar.name.clone()).collect();
        if let Some((mount, before)) = &self.last
            && mount.is_left(&self.folder)
        {
            let left_behind: Vec<&JarName> = before.difference(&listed).collect();
            if !left_behind.is_empty() {
                for jar in left_behind {
                    gathered.withhold(Name::Plugin(jar.clone()), Reason::Unmounted, None);
                }
                return;
            }
        }
        let former = self.last.take();
        let mount = FolderMount::of(&self.folder, former.as_ref().map(|(mount, _)| mount));
        self.last = Some((mount, listed));
    }

    /// Whether somebody is writing a jar of the plugin folder that would have to be read.
    fn before_reading(&mut self, listed: &Listed, hints: &mut dyn Hints, now_ms: i64) -> Result<(), Wait> {
        let path = &listed.path;
        // What cannot be looked at, or is no file, is not written either.
        let metadata = match &listed.metadata {
            Some(metadata) => Some(metadata.clone()),
            None => fs::metadata(path).ok(),
        };
        let Some(metadata) = metadata.filter(fs::Metadata::is_file) else {
            return Ok(());
        };
        let stamp = Stamp::of(&metadata);
        let cache = &self.cache;
        self.unfinished.look(&listed.name, stamp, || cache.known(path), now_ms);
        // Our own jar is never synced.
        if self.cache.knows(path, &stamp, Detail::Jar) || self.is_ours(&listed.name) {
            return Ok(());
        }
        self.unfinished.before_reading(&listed.name, hints.writer(path), now_ms)
    }

    /// Reads one jar of the primary's plugin folder.
    fn jar(&mut self, listed: Listed, gathered: &mut Gathered, hints: &mut dyn Hints, now_ms: i64) {
        let Listed {
            name: jar,
            path,
            metadata,
        } = listed;
        let name = Name::Plugin(jar.clone());
        let observed = self.cache.observe_listed(&path, metadata, Detail::Jar);
        if !matches!(observed, Ok(Observed::File(_) | Observed::Own(_) | Observed::Absent)) {
            // What is known of it stays known, so that it need not be read again.
            self.cache.remember(&path);
        }
        match observed {
            // It was removed since the folder was listed.
            Ok(Observed::Absent) => {}
            Ok(Observed::Dangling) => self.withhold(gathered, jar, Reason::Dangling, None),
            Ok(Observed::Irregular(_)) => self.withhold(gathered, jar, Reason::Irregular, None),
            Ok(Observed::Changing) => {
                let wait = Wait {
                    reason: "is being written".into(),
                    again_ms: 0,
                };
                self.wait(jar, &path, wait, gathered, now_ms);
            }
            Ok(Observed::Own(identity)) => {
                self.own.insert(jar.clone());
                gathered.own_jars.insert(jar, identity);
            }
            Ok(Observed::File(known)) => {
                let writer = || hints.writer(&path);
                match self.unfinished.after_reading(&jar, &known, writer, now_ms) {
                    Ok(()) if self.is_in_place_of_ours(&jar, &known) => {
                        gathered.warnings.push(format!("{name} {}", in_place_of_ours(&known)));
                    }
                    Ok(()) => {
                        self.own.remove(&jar);
                        let warning = known.jar.as_ref().and_then(Jar::warning);
                        gathered
                            .warnings
                            .extend(warning.map(|warning| format!("{name} {warning}")));
                        gathered.add(name, &known, &path);
                    }
                    Err(wait) => self.wait(jar, &path, wait, gathered, now_ms),
                }
            }
            Err(error) => self.withhold(gathered, jar, Reason::of(&error), Some(&error)),
        }
    }

    /// Whether our own jar has this name, or had it when it was read last.
    fn is_ours(&self, jar: &JarName) -> bool {
        is_own_name(jar) || self.own.contains(jar)
    }

    /// Whether a jar that is none of ours has the name of ours, or is what is left of one that was ours. A standby
    /// refuses every generation that has another file under the name of its own jar.
    fn is_in_place_of_ours(&self, jar: &JarName, known: &KnownFile) -> bool {
        is_own_name(jar) || (known.jar == Some(Jar::Broken) && self.own.contains(jar))
    }

    /// Withholds a jar of which nothing is known; no standby has to hear of our own one.
    fn withhold(&self, gathered: &mut Gathered, jar: JarName, reason: Reason, error: Option<&io::Error>) {
        let name = Name::Plugin(jar);
        if matches!(&name, Name::Plugin(jar) if self.is_ours(jar)) {
            return gathered.warnings.push(format!("{name} {reason}"));
        }
        gathered.withhold(name, reason, error);
    }

    /// Withholds a jar of the plugin folder that is not finished: standbys keep what they have of it.
    fn wait(&mut self, jar: JarName, path: &Path, wait: Wait, gathered: &mut Gathered, now_ms: i64) {
        self.cache.remember(path);
        if self.is_ours(&jar) {
            return;
        }
        let since_ms = self.unfinished.waits(&jar, now_ms);
        gathered.wait(Name::Plugin(jar), since_ms, wait, now_ms);
    }
}

/// Whether a standby may have our own jar under this name, however its disk spells it.
fn is_own_name(jar: &JarName) -> bool {
    spelling::folded(jar.as_str()) == OWN_JAR
}

/// What is the matter with a jar that is not ours and has its name, to be read after that.
fn in_place_of_ours(known: &KnownFile) -> &'static str {
    match known.jar {
        Some(Jar::Broken) => "is the jar of this plugin and not whole: put it there once more. It is never synced",
        _ => "has the name of this plugin's own jar and is another one: it is not synced under that name",
    }
}
