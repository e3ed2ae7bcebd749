//! What differs between two sets of files of a standby, as an administrator may see it.
//!
//! | module | does |
//! |---|---|
//! | this one | finds the two sets and compares their files |
//! | `readable` | writes cruise-config.xml anew without its secrets |
//!
//! Changes nothing, and needs no open store: it reads beside a node that runs, and without one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::{
    basics::{Clock, Digest, Error, Kind, regular_file, words},
    files::FileCache,
    generation::{Entry, Layout, Name},
    standby::store::{
        blobs,
        generations::{self, KeptGeneration},
        live,
    },
};

mod readable;
#[cfg(test)]
mod tests;

use readable::Readable;

/// How a person calls the files that are live now.
pub const LIVE: &str = "live";

/// As many changed lines are shown in short, and as many characters of each.
const SHOWN_IN_SHORT: usize = 4;
const LONGEST_IN_SHORT: usize = 100;
/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// How long the shortest difference is looked for. After that it may be longer than it had to be.
const SHORTEST_WITHIN: Duration = Duration::from_secs(3);

/// Two sets of files and what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The one side; none for the live files.
    pub from: Option<KeptGeneration>,
    /// The other side.
    pub to: Option<KeptGeneration>,
    /// What differs in cruise-config.xml.
    pub configuration: ConfigurationDiff,
    /// All files that differ, cruise-config.xml too.
    pub files: Vec<FileDiff>,
}

impl Diff {
    /// What the generation on the other side has changed, in a line for people: the first lines of its configuration that
    /// are new or gone, without secrets, and its other files.
    pub fn in_short(&self) -> String {
        let is_other = |file: &&FileDiff| file.name != Name::CruiseConfig;
        let mut parts: Vec<String> = match &self.configuration {
            ConfigurationDiff::Same => Vec::new(),
            ConfigurationDiff::Shown { difference } => {
                let is_change =
                    |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---");
                let lines: Vec<&str> = difference.lines().filter(is_change).collect();
                let more = lines.len().saturating_sub(SHOWN_IN_SHORT);
                let shown = lines.iter().take(SHOWN_IN_SHORT);
                let mut shown: Vec<String> = shown
                    .map(|line| format!("{}{}", &line[..1], words::shown(line[1..].trim(), LONGEST_IN_SHORT)))
                    .collect();
                if more > 0 {
                    shown.push(format!("{more} more lines"));
                }
                vec![format!("cruise-config.xml {}", shown.join(" "))]
            }
            ConfigurationDiff::OnlyLayout => vec!["blanks in cruise-config.xml".to_owned()],
            ConfigurationDiff::NotWhole => vec!["a cruise-config.xml that is not whole".to_owned()],
        };
        parts.extend(self.files.iter().filter(is_other).map(|file| file.name.to_string()));
        match parts.is_empty() {
            true => "nothing".to_owned(),
            false => parts.join(", "),
        }
    }
}

/// What differs in cruise-config.xml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ConfigurationDiff {
    /// Both sides have the same bytes, or none has one.
    Same,
    /// Something that may be shown.
    Shown {
        /// In unified form. One tag is on a line, every secret is masked, and one that differs says so.
        difference: String,
    },
    /// Nothing but blanks, line ends and other ways to write the same.
    OnlyLayout,
    /// One side is no whole XML file: what in it is secret cannot be told, so nothing of it is shown.
    NotWhole,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// Which one.
    pub name: Name,
    /// What it is on the one side; none where it is not there.
    pub from: Option<Entry>,
    /// What it is on the other.
    pub to: Option<Entry>,
}

/// Compares two sets of files. Each is what [`generations::show`] takes, or [`LIVE`]. Without `to` it is the generation
/// that was applied last, without `from` the one that was applied before `to`. `layout` is where the live files are.
///
/// # Errors
/// [`Kind::Refused`] when no such generation is kept here, [`Kind::File`] when a file cannot be read, [`Kind::Busy`]
/// when one is being written or a generation goes meanwhile.
pub fn compare(
    state_dir: &Path,
    layout: Option<&Layout>,
    clock: &Arc<dyn Clock>,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Diff, Error> {
    let side = |id: &str| {
        if id == LIVE {
            Side::live(layout, clock)
        } else {
            Side::kept(state_dir, id)
        }
    };
    let to = match to {
        Some(id) => side(id)?,
        None => side(&applied(state_dir)?)?,
    };
    let from = match from {
        Some(id) => side(id)?,
        None => side(&before(state_dir, to.generation.as_ref())?)?,
    };
    Ok(Diff {
        configuration: configuration(&from, &to)?,
        files: files(&from.files, &to.files),
        from: from.generation,
        to: to.generation,
    })
}

/// What a kept generation has changed in another one, in a line for people; that it is not known, and why, where they cannot
/// be compared.
pub fn changed(state_dir: &Path, clock: &Arc<dyn Clock>, from: &Digest, to: &Digest) -> String {
    let [from, to] = [from, to].map(Digest::to_string);
    compare(state_dir, None, clock, Some(&from), Some(&to)).map_or_else(
        |error| format!("not known: {error}"),
        |difference| difference.in_short(),
    )
}

/// One of both sets.
struct Side {
    /// None for the live files.
    generation: Option<KeptGeneration>,
    files: BTreeMap<Name, Entry>,
    /// The bytes of its cruise-config.xml, where it has one.
    configuration: Option<Vec<u8>>,
}

impl Side {
    /// The side of a diff that is a kept generation.
    fn kept(state_dir: &Path, id: &str) -> Result<Self, Error> {
        let (generation, files) = generations::show(state_dir, id)?;
        let configuration = files.get(&Name::CruiseConfig).map(|entry| {
            let path = state_dir.join(blobs::FOLDER).join(entry.sha256.to_string());
            regular_file::read(&path, Name::CruiseConfig.largest()).map_err(Error::cannot("read", &path))
        });
        Ok(Self {
            configuration: configuration.transpose()?,
            generation: Some(generation),
            files,
        })
    }

    /// The side of a diff that is the live files.
    fn live(layout: Option<&Layout>, clock: &Arc<dyn Clock>) -> Result<Self, Error> {
        let layout = layout.ok_or_else(|| {
            Error::new(
                Kind::Refused,
                "where the live files are is not known",
                "Name the installation with --gocd DIR, or run the command while the node runs.",
            )
        })?;
        let live = live::read(layout, &mut FileCache::new(Arc::clone(clock)))?;
        let path = layout.path_of(&Name::CruiseConfig);
        let there = live.files.contains_key(&Name::CruiseConfig);
        let configuration = there
            .then(|| regular_file::read(&path, Name::CruiseConfig.largest()).map_err(Error::cannot("read", &path)));
        Ok(Self {
            generation: None,
            files: live.files,
            configuration: configuration.transpose()?,
        })
    }
}

/// The id of the generation that was applied last, to compare with.
fn applied(state_dir: &Path) -> Result<String, Error> {
    let applied = generations::applied(state_dir)?;
    applied.map(|id| id.to_string()).ok_or_else(|| {
        Error::new(
            Kind::Refused,
            "no generation is applied here, so there is nothing to compare",
            "Run the command on a standby that has synced.",
        )
    })
}

/// The id of the generation that was live before this one; before the live files, that of the one applied last.
fn before(state_dir: &Path, to: Option<&KeptGeneration>) -> Result<String, Error> {
    let Some(to) = to else { return applied(state_dir) };
    let all = generations::list(state_dir)?;
    if let Some(unread) = all.iter().find_map(|kept| kept.unread.as_ref()) {
        return Err(Error::new(
            Kind::File,
            format!("which generation was before {to} is not known: {unread}"),
            "Name two of them.",
        ));
    }
    let mut older = all.iter().skip_while(|kept| *kept != to).skip(1);
    let before = older.next().ok_or_else(|| {
        Error::new(
            Kind::Refused,
            format!("no generation before {to} is kept here"),
            "See `gocd-bc generations list`, and name two of them.",
        )
    })?;
    Ok(if before.is_first {
        generations::FIRST.to_owned()
    } else {
        before.id.to_string()
    })
}

/// The files that differ between both sides of a diff.
fn files(from: &BTreeMap<Name, Entry>, to: &BTreeMap<Name, Entry>) -> Vec<FileDiff> {
    let names: BTreeSet<&Name> = from.keys().chain(to.keys()).collect();
    let differs = |name: &&&Name| {
        let digest = |files: &BTreeMap<Name, Entry>| files.get(**name).map(|entry| entry.sha256);
        digest(from) != digest(to)
    };
    let differing = names.iter().filter(differs);
    differing
        .map(|name| FileDiff {
            name: (*name).clone(),
            from: from.get(*name).cloned(),
            to: to.get(*name).cloned(),
        })
        .collect()
}

/// What differs in the configurations of both sides of a diff.
fn configuration(from: &Side, to: &Side) -> Result<ConfigurationDiff, Error> {
    if from.configuration == to.configuration {
        return Ok(ConfigurationDiff::Same);
    }
    let read = |side: &Side| match &side.configuration {
        Some(bytes) => Readable::read(bytes),
        None => Some(Readable::nothing()),
    };
    let (Some(before), Some(after)) = (read(from), read(to)) else {
        return Ok(ConfigurationDiff::NotWhole);
    };
    let (before, after) = Readable::both(&before, &after);
    if before == after {
        return Ok(ConfigurationDiff::OnlyLayout);
    }
    let (before, after): (Vec<&str>, Vec<&str>) = (
        before.iter().map(String::as_str).collect(),
        after.iter().map(String::as_str).collect(),
    );
    let difference = TextDiff::configure()
        .timeout(SHORTEST_WITHIN)
        .newline_terminated(false)
        .diff_slices(&before, &after)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&title(from), &title(to))
        .to_string();
    Ok(ConfigurationDiff::Shown { difference })
}

/// What a side of a diff is called above it.
fn title(side: &Side) -> String {
    match &side.generation {
        Some(generation) => format!("cruise-config.xml of {generation}"),
        None => "cruise-config.xml that is live".to_owned(),
    }
}
