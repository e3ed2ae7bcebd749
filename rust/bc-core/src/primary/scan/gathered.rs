//! What one reading gathers on its way, and why it may end early.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::Arc,
};

use crate::{
    basics::{Digest, Error},
    files::{entry, file_cache::KnownFile},
    generation::{Entry, JarName, Name, PluginIdentity, Reason, Withheld, withheld::LONG_MS},
    primary::scan::{snapshot::Source, unfinished::Wait},
};

/// A file that was caught in the middle of being written is looked at again after this.
const SOONEST_MS: i64 = 50;

/// What one reading has gathered so far.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) files: BTreeMap<Name, Entry>,
    /// What is there, or may be there, and is not offered.
    pub(super) withheld: Withheld,
    /// The same for people.
    pub(super) withheld_lines: Vec<String>,
    pub(super) config: HashMap<Name, Arc<KnownFile>>,
    pub(super) own_jars: BTreeMap<JarName, PluginIdentity>,
    pub(super) sources: HashMap<Digest, Source>,
    pub(super) warnings: Vec<String>,
    /// When to look again although nobody tells of a change.
    pub(super) again_ms: Option<i64>,
}

impl Gathered {
    /// Withholds a name from what was gathered, since nothing is known of what is there, and says why: standbys keep
    /// what they have. `detail` is what more there is to say on this node.
    pub(super) fn withhold(&mut self, name: Name, reason: Reason, detail: Option<&io::Error>) {
        if !reason.is_passing() {
            self.withheld_lines.push(line(&name.to_string(), &reason, detail));
        }
        self.withheld.files.insert(name, reason);
    }

    /// Withholds the plugin folder as a whole from what was gathered, and says why.
    pub(super) fn withhold_plugins(&mut self, folder: &Path, reason: Reason, detail: Option<&io::Error>) {
        self.withheld_lines
            .push(line(&folder.display().to_string(), &reason, detail));
        self.withheld.plugins = Some(reason);
    }

    /// Adds a file that was read to what was gathered.
    pub(super) fn add(&mut self, name: Name, known: &KnownFile, path: &Path) {
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

    /// The gathered files whose names are among these, and their digests.
    pub(super) fn digests(&self, is_among: impl Fn(&Name) -> bool) -> Vec<(Name, Digest)> {
        let files = self.files.iter().filter(|(name, _)| is_among(name));
        files.map(|(name, entry)| (name.clone(), entry.sha256)).collect()
    }

    /// Withholds a gathered name whose file has not counted since `since_ms`, and notes when to look at it again.
    pub(super) fn wait(&mut self, name: Name, since_ms: i64, wait: Wait, now_ms: i64) {
        let until_said = LONG_MS - (now_ms - since_ms);
        let again_ms = if until_said > 0 {
            self.withheld.files.insert(name, Reason::BeingWritten);
            wait.again_ms.min(until_said)
        } else {
            let reason = Reason::Unfinished;
            self.withheld_lines.push(format!("{name} {reason}: it {}", wait.reason));
            self.withheld.files.insert(name, reason);
            wait.again_ms
        };
        let again_ms = again_ms.max(SOONEST_MS);
        self.again_ms = Some(self.again_ms.map_or(again_ms, |sooner| sooner.min(again_ms)));
    }
}

/// The line that says why something was withheld from what was gathered.
fn line(what: &str, reason: &Reason, detail: Option<&io::Error>) -> String {
    let detail = detail.map(|error| format!(": {error}")).unwrap_or_default();
    format!("{what} {reason}{detail}")
}

/// Why a reading ended before its end.
pub(super) enum Stop {
    /// A file is not as it should be, most likely because somebody is writing it.
    Unstable { name: Name, reason: String },
    /// A file cannot be read.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}
