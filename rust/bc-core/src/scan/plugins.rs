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
    manifest::{MAX_FILES, Name},
    scan::{
        descriptor::Jar,
        file_cache::{FileCache, Keep, Observed},
        found::{Found, Stop, being_written},
        patience::Patience,
        plugin_folder::{self, Listed},
    },
};

/// What is wrong with a link to something that is not there.
const DANGLING: &str = "is a symbolic link to nothing";

/// So many of the files that are synced may be configuration files.
const MAX_CONFIG_FILES: usize = 1000;

/// The plugin folder, read again and again.
pub(super) struct Plugins {
    folder: PathBuf,
    cache: FileCache,
    /// Where the cache is over a restart.
    cache_file: Option<PathBuf>,
    patience: Patience,
    /// Whether the folder was there once.
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
            folder,
            cache,
            cache_file,
            patience: Patience::default(),
            was_there: false,
            stopped,
        }
    }

    /// Reads the folder once.
    ///
    /// # Errors
    /// Why nothing can be said of the jars now.
    pub(super) fn read(&mut self, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        self.cache.begin_round();
        self.collect(found, now_ms)?;
        self.cache.end_round();
        if let Some(saved) = &self.cache_file {
            self.cache.save(saved);
        }
        Ok(())
    }

    fn collect(&mut self, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let folder = &self.folder;
        let listing = plugin_folder::list(folder).map_err(|error| Error::io("read the folder", folder, &error))?;
        let Some(listing) = listing else {
            if self.was_there {
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
            let skipped = |why: &str| format!("{name} {why} and is not synced");
            let mut observed = self.cache.observe_listed(&path, metadata, Keep::Jar);
            let unseen = match &observed {
                Ok(Observed::Dangling) => Some(DANGLING.to_owned()),
                Err(error) => Some(format!("cannot be read: {error}")),
                Ok(_) => None,
            };
            // What cannot be seen was not removed: standbys would lose it.
            if let Some(why) = unseen
                && let Some(remembered) = self.cache.remembered(&path)
            {
                found
                    .warnings
                    .push(format!("{name} {why}; it is offered as it was when it was read last"));
                observed = Ok(remembered);
            }
            match observed {
                // It was removed since the folder was listed.
                Ok(Observed::Absent) => {}
                Ok(Observed::Dangling) => found.warnings.push(skipped(DANGLING)),
                Ok(Observed::Irregular(what)) => found.warnings.push(skipped(what)),
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
                // GoCD runs as the same user and cannot read it either.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    found.warnings.push(skipped("cannot be read by this user"));
                }
                Err(error) => return Err(Error::io("read", &path, &error).into()),
            }
        }
        Ok(())
    }
}
