//! Reading the primary's files without ever trusting a read that a writer may have crossed.
//!
//! GoCD truncates and rewrites cruise-config.xml in place (`GoConfigFileWriter`), so a reader can meet any part
//! of it. No lock is taken. A file counts only if nothing about it changed while it was read and, for XML, if it
//! is whole; a cruise-config.xml or cipher that does not count makes the whole reading [`Reading::Unstable`]. Any other file
//! that does not count keeps nothing else waiting for longer than a moment: it is [`withheld`](crate::withheld), as is what cannot be read or looked
//! at, which is no file that was removed.
//!
//! - [`watch`]: hints that something changed, so that nobody has to wait for the next regular reading;
//! - [`snapshot`]: the result;
//! - `file_cache`, [`stamp`]: which files need not be read again;
//! - [`xml`], [`descriptor`]: what is looked for inside the files;
//! - `plugins` with `plugin_folder`, `configs`, `acceptance`: the jars, the configuration files, and what GoCD has
//!   accepted; `unfinished`: when a jar counts; `patience`: since when something is amiss with one of them;
//! - `absence`, `seat`, `seats`: whether what is not found is known to be gone, also over a restart;
//! - `found`: what a reading has gathered, or why it ended.
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
    clock::Clock,
    digest::Digest,
    error::Error,
    layout::Layout,
    manifest::{Acceptance, Manifest, Name},
    scan::{
        acceptance::Acceptor,
        configs::Configs,
        found::{Found, Stop},
        plugins::Plugins,
        seats::Seats,
        snapshot::Snapshot,
        watch::Hints,
    },
};

mod absence;
mod acceptance;
mod configs;
pub mod descriptor;
pub(crate) mod file_cache;
mod found;
mod patience;
pub(crate) mod plugin_folder;
mod plugins;
mod seat;
mod seats;
pub mod snapshot;
pub mod stamp;
mod unfinished;
pub mod watch;
pub mod xml;

pub(crate) use found::entry;

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
    /// cruise-config.xml or a cipher is being written, or another file since a moment ago: offer the former generation, and read again after [`retry_after`].
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

/// So often at most is looked whether jars came while the configuration was read.
const TOGETHER: usize = 3;

fn is_jar(name: &Name) -> bool {
    matches!(name, Name::Plugin(_))
}

/// Reads the synced files of one GoCD installation, again and again.
pub struct Scanner {
    clock: Arc<dyn Clock>,
    plugins: Plugins,
    configs: Configs,
    acceptor: Acceptor,
    seats: Seats,
    /// The configuration files of the reading before.
    configs_before: Vec<(Name, Digest)>,
}

impl Scanner {
    /// A scanner that has read nothing yet.
    pub fn new(layout: Layout, options: Options, clock: Arc<dyn Clock>) -> Self {
        let seats = Seats::load(options.mounts_file);
        Self {
            acceptor: Acceptor::new(layout.accepted_config(), options.accepted_config),
            plugins: Plugins::new(
                layout.plugins_external().to_owned(),
                options.cache_file,
                options.stopped,
                Arc::clone(&clock),
                seats.plugins().clone(),
            ),
            configs: Configs::new(
                layout,
                options.include_des_cipher,
                Arc::clone(&clock),
                seats.configs().clone(),
            ),
            seats,
            clock,
            configs_before: Vec::new(),
        }
    }

    /// Reads everything once. Files that are known and have not changed are only looked at. `hints` say of jars whether
    /// somebody is writing them.
    ///
    /// # Errors
    /// [`crate::error::Kind::File`] naming the folder or file that cannot be read.
    pub fn scan(&mut self, hints: &mut dyn Hints) -> Result<Reading, Error> {
        match self.collect(hints) {
            Ok(snapshot) => Ok(Reading::Ready(Box::new(snapshot))),
            Err(Stop::Unstable { name, reason }) => Ok(Reading::Unstable { name, reason }),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn collect(&mut self, hints: &mut dyn Hints) -> Result<Snapshot, Stop> {
        let now_ms = self.clock.now_ms();
        let mut heard = hints.heard_of_jars();
        // In the order in which a standby applies them, so that the configuration is the freshest.
        let mut found = Found::default();
        self.plugins.read(&mut found, hints, now_ms)?;
        self.configs.read(&mut found, now_ms)?;
        let configs = found.digests(|name| !is_jar(name));
        // A configuration may need a plugin that came beside it: while the jars are the same before and after it was
        // read, they belong together.
        for _ in 0..TOGETHER {
            let still_heard = hints.heard_of_jars();
            if configs == self.configs_before || (heard.is_some() && heard == still_heard) {
                break;
            }
            heard = still_heard;
            let mut again = Found::default();
            self.plugins.read(&mut again, hints, now_ms)?;
            if again.digests(is_jar) == found.digests(is_jar) {
                break;
            }
            self.configs.read(&mut again, now_ms)?;
            found = again;
        }
        self.configs_before = found.digests(|name| !is_jar(name));
        self.seats.keep(self.configs.seats(), self.plugins.seat());
        self.snapshot(found, now_ms)
    }

    fn snapshot(&mut self, found: Found, now_ms: i64) -> Result<Snapshot, Stop> {
        let (acceptance, outline) = match found.config.get(&Name::CruiseConfig) {
            Some(config) => {
                let bytes = config.bytes.as_ref().expect("configuration files are kept in memory");
                let acceptance = self.acceptor.judge(&config.digests.sha256, bytes, now_ms);
                (acceptance, self.configs.outline())
            }
            // The standbys keep the one that was read last, of which GoCD goes on to say whether it takes it.
            None if found.withheld.files.contains_key(&Name::CruiseConfig) => {
                let acceptance = self
                    .configs
                    .last_config()
                    .map_or(Acceptance::Unknown, |(digest, bytes)| {
                        self.acceptor.judge(digest, bytes, now_ms)
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
            files: found.files,
            withheld: found.withheld,
        };
        Ok(Snapshot {
            generation: manifest.generation(),
            manifest,
            own_jars: found.own_jars,
            server_id: outline.and_then(|outline| outline.server_id.clone()),
            schema_version: outline.and_then(|outline| outline.schema_version.clone()),
            acceptance,
            scanned_ms: now_ms,
            warnings: found.warnings,
            withheld_lines: found.withheld_lines,
            sources: found.sources,
            read_again: found
                .again_ms
                .map(|again_ms| Duration::from_millis(again_ms.unsigned_abs())),
        })
    }
}

#[cfg(test)]
mod tests;
