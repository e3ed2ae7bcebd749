//! Reading the primary's files without ever trusting a read that a writer may have crossed.
//!
//! GoCD truncates and rewrites cruise-config.xml in place (`GoConfigFileWriter`), so a reader can meet any part
//! of it. No lock is taken. A file counts only if nothing about it changed while it was read and, for XML, if it
//! is whole; one file that does not count makes the whole reading [`Reading::Unstable`].
//!
//! - [`watch`]: hints that something changed, so that nobody has to wait for the next regular reading;
//! - [`snapshot`]: the result;
//! - `file_cache`, [`stamp`]: which files need not be read again;
//! - [`xml`], [`descriptor`]: what is looked for inside the files;
//! - `plugin_folder`, `acceptance`: the jars, and what GoCD has accepted.
//!
//! One limit remains: a program that overwrites cruise-config.xml in place without truncating it, pauses in the
//! middle, and leaves a well-formed mixture cannot be told from one that is done. GoCD, editors and copying tools
//! truncate or rename.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Clock,
    digest::Digest,
    error::{Error, Kind},
    jar_name::JarName,
    layout::Layout,
    manifest::{Entry, Manifest, Name, PluginIdentity},
    scan::{
        acceptance::Acceptor,
        descriptor::Jar,
        file_cache::{FileCache, Keep, Known, Observed},
        snapshot::{Snapshot, Source},
        xml::Outline,
    },
};

mod acceptance;
pub mod descriptor;
pub(crate) mod file_cache;
pub(crate) mod plugin_folder;
pub mod snapshot;
pub mod stamp;
pub mod watch;
pub mod xml;

/// How long a file that is not whole is taken for one that somebody is writing. After that a jar or the feature
/// toggles are carried as they are, since GoCD tolerates them; XML files never are.
const PATIENCE_MS: i64 = 30_000;
/// A file of which nothing is known but its bytes is offered after so long without a change.
const SETTLED_MS: i64 = 250;
/// How long a configuration file must be missing before it counts as removed: some editors remove it for a moment.
const MISSING_MS: i64 = 2_000;

/// What a scanner is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether the DES key `cipher` is synced: only where GoCD is older than 21.1.
    pub include_des_cipher: bool,
    /// A file of ours that keeps the digests of jars over a restart.
    pub cache_file: Option<PathBuf>,
    /// The newest cruise-config.xml that GoCD is known to have accepted, over a restart.
    pub accepted_config: Option<Digest>,
    /// Set when nobody waits for the result any more: a reading then ends after the jar that is being read.
    pub stopped: Arc<AtomicBool>,
}

/// What came of one reading.
#[derive(Debug)]
pub enum Reading {
    /// Every file was read while nobody wrote it.
    Ready(Box<Snapshot>),
    /// A file is being written: offer the former generation, and read again after [`retry_after`].
    Unstable {
        /// The file.
        name: Name,
        /// What is the matter, to be read after the file's name.
        reason: String,
    },
}

/// How long to wait before the next reading, after so many unstable ones in a row: 2 ms at first, half a second
/// at last. [`SAY_AFTER`] of them are worth a warning.
pub fn retry_after(unstable_in_a_row: u32) -> Duration {
    Duration::from_millis(500.min(2_u64 << unstable_in_a_row.min(8)))
}

/// After so many unstable readings in a row (about five seconds) the file should be named in a warning.
pub const SAY_AFTER: u32 = 16;

/// Where this installation has a synced file.
pub fn path_of(layout: &Layout, name: &Name) -> PathBuf {
    match name {
        Name::Plugin(jar) => layout.plugins_external().join(jar.as_str()),
        Name::CipherAes => layout.cipher_aes(),
        Name::CipherDes => layout.cipher_des(),
        Name::JettyXml => layout.jetty_xml(),
        Name::FeatureToggles => layout.feature_toggles().to_owned(),
        Name::Extra(extra) => layout.extra(extra),
        Name::CruiseConfig => layout.cruise_config().to_owned(),
    }
}

/// Reads the synced files of one GoCD installation, again and again.
pub struct Scanner {
    layout: Layout,
    options: Options,
    clock: Arc<dyn Clock>,
    cache: FileCache,
    acceptor: Acceptor,
    /// Since when a file is not as it should be.
    amiss: HashMap<Name, i64>,
    /// The configuration files of the last snapshot.
    last: HashSet<Name>,
    /// Whether the plugin folder was there once.
    saw_plugins: bool,
    outline: Option<(Arc<Known>, Outline)>,
}

impl Scanner {
    /// A scanner that has read nothing yet.
    pub fn new(layout: Layout, options: Options, clock: Arc<dyn Clock>) -> Self {
        let mut cache = FileCache::new(Arc::clone(&clock));
        if let Some(saved) = &options.cache_file {
            cache.load(saved);
        }
        Self {
            acceptor: Acceptor::new(layout.accepted_config(), options.accepted_config),
            layout,
            options,
            clock,
            cache,
            amiss: HashMap::new(),
            last: HashSet::new(),
            saw_plugins: false,
            outline: None,
        }
    }

    /// Reads everything once. Files that are known and have not changed are only looked at.
    ///
    /// # Errors
    /// [`Kind::File`] naming the folder or file that cannot be read.
    pub fn scan(&mut self) -> Result<Reading, Error> {
        match self.collect() {
            Ok(snapshot) => Ok(Reading::Ready(Box::new(snapshot))),
            Err(Stop::Unstable { name, reason }) => Ok(Reading::Unstable { name, reason }),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn collect(&mut self) -> Result<Snapshot, Stop> {
        let now_ms = self.clock.now_ms();
        self.cache.begin_round();
        let mut found = Found::default();
        // In the order in which a standby applies them, so that the configuration is the freshest.
        self.plugins(&mut found, now_ms)?;
        for name in self.layout.clone().config_names() {
            if name == Name::CipherDes && !self.options.include_des_cipher {
                continue;
            }
            self.config_file(&name, &mut found, now_ms)?;
        }
        self.cache.end_round();
        if let Some(saved) = &self.options.cache_file {
            self.cache.save(saved);
        }
        self.last = found.config.keys().cloned().collect();
        self.snapshot(found, now_ms)
    }

    fn snapshot(&mut self, found: Found, now_ms: i64) -> Result<Snapshot, Stop> {
        let config = found.config.get(&Name::CruiseConfig).ok_or_else(|| Stop::Unstable {
            name: Name::CruiseConfig,
            reason: "does not exist".to_owned(),
        })?;
        let bytes = config.bytes.as_ref().expect("configuration files are kept in memory");
        let acceptance = self.acceptor.judge(&config.digests.sha256, bytes, now_ms);
        let outline = self.outline.as_ref().map(|(_, outline)| outline);
        let manifest = Manifest { files: found.files };
        Ok(Snapshot {
            generation: manifest.generation(),
            manifest,
            own_jars: found.own_jars,
            server_id: outline.and_then(|outline| outline.server_id.clone()),
            schema_version: outline.and_then(|outline| outline.schema_version.clone()),
            acceptance,
            scanned_ms: now_ms,
            warnings: found.warnings,
            sources: found.sources,
        })
    }

    fn plugins(&mut self, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let folder = self.layout.plugins_external().to_owned();
        let listing = plugin_folder::list(&folder).map_err(|error| Error::io("read the folder", &folder, &error))?;
        let Some(listing) = listing else {
            if self.saw_plugins {
                // A mount that was lost, most likely. The standby must not lose its plugins with it.
                return Err(Error::new(
                    Kind::File,
                    format!("the plugin folder {} does not exist any more", folder.display()),
                    "Put it back: until then the standby keeps the files that it has.",
                )
                .into());
            }
            found
                .warnings
                .push(format!("the plugin folder {} does not exist", folder.display()));
            return Ok(());
        };
        self.saw_plugins = true;
        found.warnings.extend(listing.warnings);
        let stopped = Arc::clone(&self.options.stopped);
        self.cache
            .read_ahead(listing.jars.iter().map(|(_, path)| path.as_path()), Keep::Jar, || {
                stopped.load(Ordering::Relaxed)
            });
        for (jar, path) in listing.jars {
            let name = Name::Plugin(jar.clone());
            if self.options.stopped.load(Ordering::Relaxed) {
                return Err(Stop::Unstable {
                    name,
                    reason: "is not read any more: the node is being closed".to_owned(),
                });
            }
            let skipped = |why: &str| format!("{name} {why} and is not synced");
            match self.cache.observe(&path, Keep::Jar) {
                // It was removed since the folder was listed.
                Ok(Observed::Absent) => {}
                Ok(Observed::Irregular(what)) => found.warnings.push(skipped(what)),
                Ok(Observed::Changing) => return Err(being_written(name)),
                Ok(Observed::Own(identity)) => {
                    found.own_jars.insert(jar, identity);
                }
                Ok(Observed::File(known)) => {
                    if known.jar == Some(Jar::Broken) {
                        self.be_patient(&name, &known, now_ms, "is not a whole jar")?;
                        found
                            .warnings
                            .push(format!("{name} is not a jar that can be read; it is synced as it is"));
                    } else {
                        self.amiss.remove(&name);
                    }
                    found.add(name, &known, &path);
                }
                // GoCD runs as the same user and cannot read it either.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    found.warnings.push(skipped("cannot be read by this user"));
                }
                Err(error) => return Err(Error::io("read", &path, &error).into()),
            }
        }
        Ok(())
    }

    fn config_file(&mut self, name: &Name, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let path = path_of(&self.layout, name);
        let observed = self
            .cache
            .observe(&path, Keep::Bytes)
            .map_err(|error| unreadable(&path, &error))?;
        let known = match observed {
            Observed::File(known) => known,
            Observed::Changing => return Err(being_written(name.clone())),
            Observed::Absent => {
                self.missing(name, &path, now_ms)?;
                if let Name::Extra(_) = name {
                    found.warnings.push(format!(
                        "bc.sync.extra names {name}, but there is no {}",
                        path.display()
                    ));
                }
                return Ok(());
            }
            Observed::Irregular(what) if *name == Name::CruiseConfig => {
                return Err(Error::new(
                    Kind::File,
                    format!("{} {what}", path.display()),
                    "Put GoCD's configuration file there, or set cruise.config.file.",
                )
                .into());
            }
            Observed::Irregular(what) => {
                found.warnings.push(format!("{name} {what} and is not synced"));
                return Ok(());
            }
            Observed::Own(_) => unreachable!("only jars are our own plugin"),
        };
        self.check(name, &known, found, now_ms)?;
        found.add(name.clone(), &known, &path);
        found.config.insert(name.clone(), known);
        Ok(())
    }

    /// Whether a configuration file is all there.
    fn check(&mut self, name: &Name, known: &Arc<Known>, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let bytes = known.bytes.as_ref().expect("configuration files are kept in memory");
        let unstable = |reason: String| Stop::Unstable {
            name: name.clone(),
            reason,
        };
        match name {
            Name::CruiseConfig => {
                let is_known = self.outline.as_ref().is_some_and(|(of, _)| of.digests == known.digests);
                if !is_known {
                    let outline = Outline::skim(bytes).map_err(unstable)?;
                    self.outline = Some((Arc::clone(known), outline));
                }
            }
            Name::JettyXml => drop(Outline::read(bytes).map_err(unstable)?),
            Name::CipherAes | Name::CipherDes => {
                if bytes.trim_ascii().is_empty() {
                    return Err(unstable("is empty".to_owned()));
                }
            }
            Name::FeatureToggles => {
                if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err() {
                    self.be_patient(name, known, now_ms, "is not whole")?;
                    found
                        .warnings
                        .push(format!("{name} is not JSON; it is synced as it is"));
                    return Ok(());
                }
            }
            // Nothing tells whether it is whole, but that nobody has written into it for a while.
            Name::Extra(_) => {
                if (0..SETTLED_MS).contains(&(now_ms - known.stamp.changed_ms())) {
                    return Err(unstable("was written a moment ago".to_owned()));
                }
            }
            Name::Plugin(_) => unreachable!("plugins are checked where they are listed"),
        }
        self.amiss.remove(name);
        Ok(())
    }

    /// Stops as long as somebody may still be writing the file.
    fn be_patient(&mut self, name: &Name, known: &Known, now_ms: i64, reason: &str) -> Result<(), Stop> {
        let young = 0..PATIENCE_MS;
        let is_new = young.contains(&(now_ms - known.stamp.changed_ms()));
        if is_new && young.contains(&(now_ms - self.amiss_since(name, now_ms))) {
            return Err(Stop::Unstable {
                name: name.clone(),
                reason: reason.to_owned(),
            });
        }
        Ok(())
    }

    fn missing(&mut self, name: &Name, path: &Path, now_ms: i64) -> Result<(), Stop> {
        // Without its folder nothing can be said about the file. That of the feature toggles alone may be missing:
        // with only cruise.config.dir set GoCD looks for them elsewhere.
        let folder = path.parent().unwrap_or(Path::new("."));
        match fs::read_dir(folder) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && *name == Name::FeatureToggles => {}
            Err(error) => return Err(Error::io("read the folder", folder, &error).into()),
        }
        let is_fresh = self.last.contains(name) && (0..MISSING_MS).contains(&(now_ms - self.amiss_since(name, now_ms)));
        if *name == Name::CruiseConfig || is_fresh {
            return Err(Stop::Unstable {
                name: name.clone(),
                reason: "does not exist".to_owned(),
            });
        }
        self.amiss.remove(name);
        Ok(())
    }

    /// Since when something is wrong with this file; a clock that was set back begins anew.
    fn amiss_since(&mut self, name: &Name, now_ms: i64) -> i64 {
        let since = self.amiss.entry(name.clone()).or_insert(now_ms);
        *since = (*since).min(now_ms);
        *since
    }
}

/// What one reading has gathered so far.
#[derive(Default)]
struct Found {
    files: BTreeMap<Name, Entry>,
    config: HashMap<Name, Arc<Known>>,
    own_jars: BTreeMap<JarName, PluginIdentity>,
    sources: HashMap<Digest, Source>,
    warnings: Vec<String>,
}

impl Found {
    fn add(&mut self, name: Name, known: &Known, path: &Path) {
        let source = match &known.bytes {
            Some(bytes) => Source::Memory(bytes.clone()),
            None => Source::File {
                path: path.to_owned(),
                size: known.digests.size,
            },
        };
        self.sources.insert(known.digests.sha256, source);
        self.files.insert(name, entry(known));
    }
}

/// How a manifest names a file that was read.
pub(crate) fn entry(known: &Known) -> Entry {
    let plugin = known.jar.as_ref().and_then(Jar::identity).cloned();
    Entry::new(known.digests.clone(), known.stamp.modified_ms(), plugin)
}

/// Why a reading ended before its end.
enum Stop {
    Unstable { name: Name, reason: String },
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

fn being_written(name: Name) -> Stop {
    Stop::Unstable {
        name,
        reason: "is being written".to_owned(),
    }
}

/// Names the folder where that is what cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> Error {
    let folder = path.parent().unwrap_or(Path::new("."));
    match fs::read_dir(folder) {
        Ok(_) => Error::io("read", path, error),
        Err(error) => Error::io("read the folder", folder, &error),
    }
}

#[cfg(test)]
mod tests;
