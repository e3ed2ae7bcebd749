//! Reading the primary's files without ever trusting a read that a writer may have crossed.
//!
//! GoCD truncates and rewrites cruise-config.xml in place (`GoConfigFileWriter`), so a reader can meet any part of it.
//! No lock is taken. A file counts only if nothing about it changed while it was read and, for XML, if it is whole; a
//! cruise-config.xml or cipher that does not count makes the whole reading [`Reading::Unstable`]. Any other file that
//! does not count keeps nothing else waiting for longer than a moment: it is [`withheld`](crate::generation::withheld),
//! as is what cannot be read or looked at, which is no file that was removed.
//!
//! - [`watch`]: hints that something changed, so that nobody has to wait for the next regular reading;
//! - [`snapshot`]: the result;
//! - `file_cache`, `crate::files::stamp`: which files need not be read again;
//! - [`crate::gocd::xml`], [`crate::files::descriptor`]: what is looked for inside the files;
//! - `plugins` with `plugin_folder`, `configs`, `acceptance`: the jars, the configuration files, and what GoCD has
//!   accepted; `unfinished`: when a jar counts; `amiss`: since when something is amiss with one of them;
//! - `absence`, `folder_mount`, `mounts_file`: whether what is not found is known to be gone, also over a restart;
//! - `gathered`: what a reading has gathered, or why it ended.
//!
//! One limit remains: a program that overwrites cruise-config.xml in place without truncating it, pauses in the
//! middle, and leaves a well-formed mixture cannot be told from one that is done. GoCD, editors and copying tools
//! truncate or rename.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use crate::{
    basics::{Clock, Digest, Error},
    generation::{Acceptance, Layout, Manifest, Name},
    primary::scan::{
        acceptance::AcceptedConfig,
        configs::Configs,
        gathered::{Gathered, Stop},
        mounts_file::MountsFile,
        plugins::Plugins,
        snapshot::Snapshot,
        watch::Hints,
    },
};

mod absence;
mod acceptance;
mod amiss;
mod configs;
mod folder_mount;
mod gathered;
mod mounts_file;
mod plugins;
pub mod snapshot;
mod unfinished;
pub mod watch;

/// What a scanner is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether the DES key `cipher` is synced: only where GoCD is older than 21.1.
    pub include_des_cipher: bool,
    /// A file of ours that keeps the digests of jars over a restart.
    pub cache_file: Option<PathBuf>,
    /// A file of ours that keeps on which mounts files were seen, over a restart.
    pub mounts_file: Option<PathBuf>,
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
    /// cruise-config.xml or a cipher is being written, or another file since a moment ago: the former generation stays
    /// on offer, and the next reading is due after [`retry_after`].
    Unstable {
        /// The file.
        name: Name,
        /// What is the matter, to be read after the file's name.
        reason: String,
    },
}

/// How long a scan is to wait before the next reading, after so many unstable ones in a row: 2 ms at first, half a
/// second at last. [`SAY_AFTER`] of them are worth a warning.
pub fn retry_after(unstable_in_a_row: u32) -> Duration {
    Duration::from_millis(500.min(2_u64 << unstable_in_a_row.min(8)))
}

/// After so many unstable readings in a row (about five seconds) the file should be named in a warning.
pub const SAY_AFTER: u32 = 16;

/// How often at most jars are read once more since some came while the configuration was read.
const TOGETHER: usize = 3;

/// Whether this name is a jar's.
fn is_jar(name: &Name) -> bool {
    matches!(name, Name::Plugin(_))
}

/// Reads the synced files of one GoCD installation, again and again.
pub struct Scanner {
    clock: Arc<dyn Clock>,
    plugins: Plugins,
    configs: Configs,
    accepted: AcceptedConfig,
    mounts: MountsFile,
    /// The configuration files of the reading before.
    configs_before: Vec<(Name, Digest)>,
}

impl Scanner {
    /// A scanner of the primary's files that has read nothing yet.
    pub fn new(layout: Layout, options: Options, clock: Arc<dyn Clock>) -> Self {
        let mounts = MountsFile::load(options.mounts_file);
        Self {
            accepted: AcceptedConfig::new(layout.accepted_config(), options.accepted_config),
            plugins: Plugins::new(
                layout.plugins_external().to_owned(),
                options.cache_file,
                options.stopped,
                Arc::clone(&clock),
                mounts.plugins().clone(),
            ),
            configs: Configs::new(
                layout,
                options.include_des_cipher,
                Arc::clone(&clock),
                mounts.configs().clone(),
            ),
            mounts,
            clock,
            configs_before: Vec::new(),
        }
    }

    /// Scans all of the primary's files once. Files that are known and have not changed are only looked at. `hints` say
    /// of jars whether somebody is writing them.
    ///
    /// # Errors
    /// [`crate::basics::Kind::File`] naming the folder or file that cannot be read.
    pub fn scan(&mut self, hints: &mut dyn Hints) -> Result<Reading, Error> {
        match self.collect(hints) {
            Ok(snapshot) => Ok(Reading::Ready(Box::new(snapshot))),
            Err(Stop::Unstable { name, reason }) => Ok(Reading::Unstable { name, reason }),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Collects all of the primary's files for one scan.
    fn collect(&mut self, hints: &mut dyn Hints) -> Result<Snapshot, Stop> {
        let now_ms = self.clock.now_ms();
        let mut heard = hints.heard_of_jars();
        // In the order in which a standby applies them, so that the configuration is the freshest.
        let mut gathered = Gathered::default();
        self.plugins.read(&mut gathered, hints, now_ms)?;
        self.configs.read(&mut gathered, now_ms)?;
        let configs = gathered.digests(|name| !is_jar(name));
        // A configuration may need a plugin that came beside it: while the jars are the same before and after it was
        // read, they belong together.
        for _ in 0..TOGETHER {
            let still_heard = hints.heard_of_jars();
            if configs == self.configs_before || (heard.is_some() && heard == still_heard) {
                break;
            }
            heard = still_heard;
            let mut again = Gathered::default();
            self.plugins.read(&mut again, hints, now_ms)?;
            if again.digests(is_jar) == gathered.digests(is_jar) {
                break;
            }
            self.configs.read(&mut again, now_ms)?;
            gathered = again;
        }
        self.configs_before = gathered.digests(|name| !is_jar(name));
        self.mounts.save(self.configs.mounts(), self.plugins.mount());
        self.snapshot(gathered, now_ms)
    }

    /// Makes a snapshot of what one scan has gathered.
    fn snapshot(&mut self, gathered: Gathered, now_ms: i64) -> Result<Snapshot, Stop> {
        let (acceptance, outline) = match gathered.config.get(&Name::CruiseConfig) {
            Some(config) => {
                let bytes = config.bytes.as_ref().expect("configuration files are kept in memory");
                let acceptance = self.accepted.acceptance_of(&config.digests.sha256, bytes, now_ms);
                (acceptance, self.configs.outline())
            }
            // The standbys keep the one that was read last, of which GoCD goes on to say whether it takes it.
            None if gathered.withheld.files.contains_key(&Name::CruiseConfig) => {
                let acceptance = self
                    .configs
                    .last_config()
                    .map_or(Acceptance::Unknown, |(digest, bytes)| {
                        self.accepted.acceptance_of(digest, bytes, now_ms)
                    });
                (acceptance, None)
            }
            None => {
                return Err(Stop::Unstable {
                    name: Name::CruiseConfig,
                    reason: "does not exist".to_owned(),
                });
            }
        };
        let manifest = Manifest {
            files: gathered.files,
            withheld: gathered.withheld,
        };
        Ok(Snapshot {
            generation: manifest.generation(),
            manifest,
            own_jars: gathered.own_jars,
            server_id: outline.and_then(|outline| outline.server_id.clone()),
            schema_version: outline.and_then(|outline| outline.schema_version.clone()),
            acceptance,
            scanned_ms: now_ms,
            warnings: gathered.warnings,
            withheld_lines: gathered.withheld_lines,
            sources: gathered.sources,
            read_again: gathered
                .again_ms
                .map(|again_ms| Duration::from_millis(again_ms.unsigned_abs())),
        })
    }
}

#[cfg(test)]
mod tests;
