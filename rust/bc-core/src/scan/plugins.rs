//! Reading the jars in `plugins/external`.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    clock::Clock,
    error::{Error, Kind},
    manifest::{MAX_FILES, Name, OWN_JAR},
    scan::{
        absence,
        descriptor::Jar,
        file_cache::{FileCache, Keep, Observed},
        found::{Found, Stop, being_written},
        patience::Patience,
        plugin_folder::{self, Listed, Listing},
    },
    withheld::Reason,
};

/// So many of the files that are synced may be configuration files.
const MAX_CONFIG_FILES: usize = 1000;

/// The plugin folder, read again and again.
pub(super) struct Plugins {
    folder: PathBuf,
    cache: FileCache,
    /// Where the cache is over a restart.
    cache_file: Option<PathBuf>,
    patience: Patience,
    /// Whether the folder was there once, also before a restart.
    was_there: bool,
    /// Set when nobody waits for the result any more.
    stopped: Arc<AtomicBool>,
}

impl Plugins {
    /// A folder that was not read yet; the options are those of [`super::Options`].
    pub(super) fn new(
        folder: PathBuf,
        cache_file: Option<PathBuf>,
        stopped: Arc<AtomicBool>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut cache = FileCache::new(clock);
        if let Some(saved) = &cache_file {
            cache.load(saved);
        }
        Self {
            was_there: cache.knows_any_in(&folder),
            folder,
            cache,
            cache_file,
            patience: Patience::default(),
            stopped,
        }
    }

    /// Reads the folder once.
    ///
    /// # Errors
    /// Why nothing can be said of the jars now.
    pub(super) fn read(&mut self, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let listing = match plugin_folder::list(&self.folder) {
            Ok(Some(listing)) => listing,
            Ok(None) => {
                match absence::missing_folder(&self.folder) {
                    Some(reason) => found.withhold_plugins(&self.folder, reason, None),
                    // A mount that was lost, most likely. The standby must not lose its plugins with it.
                    None if self.was_there => found.withhold_plugins(&self.folder, Reason::Missing, None),
                    None => found
                        .warnings
                        .push(format!("the plugin folder {} does not exist", self.folder.display())),
                }
                return Ok(());
            }
            Err(error) => {
                found.withhold_plugins(&self.folder, absence::because(&error), Some(&error));
                return Ok(());
            }
        };
        self.cache.begin_round();
        self.collect(listing, found, now_ms)?;
        self.cache.end_round();
        if let Some(saved) = &self.cache_file {
            self.cache.save(saved);
        }
        Ok(())
    }

    fn collect(&mut self, listing: Listing, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let folder = &self.folder;
        self.was_there = true;
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
        found.warnings.extend(listing.warnings);
        let stopped = Arc::clone(&self.stopped);
        self.cache
            .read_ahead(listing.jars.iter().map(|jar| jar.path.as_path()), Keep::Jar, || {
                stopped.load(Ordering::Relaxed)
            });
        for Listed {
            name: jar,
            path,
            metadata,
        } in listing.jars
        {
            let name = Name::Plugin(jar.clone());
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Stop::Unstable {
                    name,
                    reason: "is not read any more: the node is being closed".to_owned(),
                });
            }
            let observed = self.cache.observe_listed(&path, metadata, Keep::Jar);
            if !matches!(observed, Ok(Observed::File(_) | Observed::Own(_) | Observed::Absent)) {
                // What is known of it stays known, so that it need not be read again.
                self.cache.remember(&path);
            }
            match observed {
                // It was removed since the folder was listed.
                Ok(Observed::Absent) => {}
                Ok(Observed::Dangling) => withhold(found, name, Reason::Dangling, None),
                Ok(Observed::Irregular(_)) => withhold(found, name, Reason::Irregular, None),
                Ok(Observed::Changing) => return Err(being_written(name)),
                Ok(Observed::Own(identity)) => {
                    found.own_jars.insert(jar, identity);
                }
                Ok(Observed::File(known)) => {
                    // Only one that is not all there may become whole yet.
                    if known.jar == Some(Jar::Broken) {
                        self.patience.wait(&name, &known, now_ms, "is not a whole jar")?;
                    } else {
                        self.patience.end(&name);
                    }
                    let warning = known.jar.as_ref().and_then(Jar::warning);
                    found
                        .warnings
                        .extend(warning.map(|warning| format!("{name} {warning}")));
                    found.add(name, &known, &path);
                }
                Err(error) => withhold(found, name, Reason::of(&error), Some(&error)),
            }
        }
        Ok(())
    }
}

/// Our own jar is never synced, so that no standby has to hear of it.
fn withhold(found: &mut Found, name: Name, reason: Reason, error: Option<&io::Error>) {
    if matches!(&name, Name::Plugin(jar) if jar.as_str() == OWN_JAR) {
        return found.warnings.push(format!("{name} {reason}"));
    }
    found.withhold(name, reason, error);
}
