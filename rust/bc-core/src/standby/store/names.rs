//! Jars whose names differ and which are one file here all the same.
//!
//! Which names a file system takes for one, it alone knows: upper and lower case, letters with accents that are written
//! in two ways, short names of Windows. So it is asked before anything is planned:
//!
//! - whether a name that no jar has here leads to a file nevertheless: [`Folder::check`] refuses a generation that
//!   would replace our own jar by it, or two of whose jars would be one file; [`Folder::respell`] takes a jar that is
//!   here under another spelling for the jar that it is;
//! - whether two new names can be beside each other, by trying it with empty files in a folder of its own that goes
//!   again. Only names that could be alike somewhere are worth that ([`spelling`]): it costs the usual change nothing.
//!
//! On a file system that tells all names apart, all are carried as they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
};

use super::{live::Live, stage};
use crate::durable::{FileSystem, atomic, filesystem};
use crate::{
    basics::{Error, Kind, if_there, spelling},
    generation::{JarName, Name, PluginIdentity},
};

/// The folder of the jars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folder<'a> {
    pub(super) system: &'a dyn FileSystem,
    pub(super) path: &'a Path,
}

impl Folder<'_> {
    /// Checks the names of a generation's jars against those of the plugin folder. `here` are all that were listed
    /// there and `own` those of our own plugin among them.
    ///
    /// # Errors
    /// [`Kind::Refused`] when one would replace our own jar, or two would be one file; others when the folder cannot be
    /// asked, or a file of this name cannot be.
    pub(super) fn check<'n>(
        &self,
        there: impl IntoIterator<Item = &'n JarName>,
        here: &BTreeSet<JarName>,
        own: &BTreeMap<JarName, PluginIdentity>,
    ) -> Result<(), Error> {
        let there: BTreeSet<&JarName> = there.into_iter().collect();
        let mut new = Vec::new();
        let mut taken: HashMap<JarName, &JarName> = HashMap::new();
        for name in there.iter().filter(|name| !here.contains(**name)) {
            let Some(found) = self.entry(name)? else {
                new.push(*name);
                continue;
            };
            let known = found.parse::<JarName>().ok().filter(|known| here.contains(known));
            let Some(known) = known else {
                return Err(Error::new(
                    Kind::Refused,
                    format!(
                        "{} is in the place of {name} from the primary",
                        self.path.join(found).display()
                    ),
                    "Remove or rename it: GoCD does not load it, and for this disk both are one file.",
                ));
            };
            if own.contains_key(&known) {
                return Err(Error::new(
                    Kind::Refused,
                    format!("{name} from the primary would replace our own jar here, {known}: both names are one file"),
                    "Rename the jar in plugins/external on the primary.",
                ));
            }
            let other = there.get(&known).copied().or(taken.insert(known.clone(), *name));
            if let Some(other) = other {
                return Err(self.are_one(name, other));
            }
        }
        self.try_together(&there, &new, own)
    }

    /// Calls the jars that are here under another spelling as `wanted` has them. Earlier ones come first where two of
    /// these are one file.
    ///
    /// # Errors
    /// The folder cannot be asked.
    pub(super) fn respell<'n>(
        &self,
        live: &mut Live,
        wanted: impl IntoIterator<Item = &'n JarName>,
    ) -> Result<(), Error> {
        let here = live.jars();
        let mut called = BTreeSet::new();
        for name in wanted {
            if here.contains(name) || !called.insert(name) {
                continue;
            }
            let Some(found) = self.entry(name)?.and_then(|found| found.parse::<JarName>().ok()) else {
                continue;
            };
            let (from, to) = (Name::Plugin(found), Name::Plugin(name.clone()));
            if let Some(entry) = live.files.remove(&from) {
                live.files.insert(to, entry);
            } else if let Some(what) = live.irregular.remove(&from) {
                live.irregular.insert(to, what);
            }
        }
        Ok(())
    }

    /// How a file is really called that a name leads to which its folder does not list; none where nothing is there.
    fn entry(&self, name: &JarName) -> Result<Option<String>, Error> {
        let path = self.path.join(name.as_str());
        let failed = Error::cannot("look at", &path);
        match filesystem::is_there(self.system, &path) {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            // The folder itself is none.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let entries = self.system.list(self.path).map_err(failed)?;
        let of = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let names: Vec<String> = entries.iter().filter_map(|entry| of(entry)).collect();
        if names.iter().any(|other| other == name.as_str()) {
            return Err(Error::new(
                Kind::Busy,
                format!("{} has just been put there by somebody else", path.display()),
                "",
            ));
        }
        let folded = spelling::folded(name.as_str());
        let mut of_another_case = names.iter().filter(|other| spelling::folded(other) == folded);
        if let (Some(only), None) = (of_another_case.next(), of_another_case.next()) {
            return Ok(Some(only.clone()));
        }
        let mut same = entries.iter().filter(|entry| self.is_same_file(entry, &path));
        match (same.next(), same.next()) {
            (Some(only), None) => Ok(of(only)),
            _ => Err(Error::new(
                Kind::Refused,
                format!("{} is there, but its folder does not list it", path.display()),
                "Look which jar of that folder it is, and rename the one here or on the primary.",
            )),
        }
    }

    /// Whether two names in the plugin folder lead to one file.
    fn is_same_file(&self, one: &Path, other: &Path) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let identity = |path: &Path| self.system.look(path).ok().map(|file| (file.dev(), file.ino()));
            identity(one).is_some() && identity(one) == identity(other)
        }
        #[cfg(not(unix))]
        {
            // This gives a file its long name in its own case.
            let real = |path: &Path| std::fs::canonicalize(path).ok();
            real(one).is_some() && real(one) == real(other)
        }
    }

    /// Whether the new jars can be beside all others of the generation and our own.
    fn try_together(
        &self,
        there: &BTreeSet<&JarName>,
        new: &[&JarName],
        own: &BTreeMap<JarName, PluginIdentity>,
    ) -> Result<(), Error> {
        let mut all: Vec<&JarName> = own.keys().chain(there.iter().copied()).collect();
        let mut of_case: HashMap<String, usize> = HashMap::new();
        for name in &all {
            *of_case.entry(spelling::folded(name.as_str())).or_default() += 1;
        }
        let is_sure =
            |name: &&&JarName| !spelling::is_doubtful(name.as_str()) && of_case[&spelling::folded(name.as_str())] == 1;
        if new.iter().all(|name| is_sure(&name)) {
            return Ok(());
        }
        // A short name is given to a file as it comes, and must not be taken before.
        all.sort_by_key(|name| name.as_str().contains('~'));
        let trial = self
            .path
            .join(format!("{}names{}", atomic::TEMPORARY_PREFIX, atomic::TEMPORARY_SUFFIX));
        let failed = Error::cannot("try names in", &trial);
        stage::make_folder(self.system, self.path)?;
        self.remove(&trial).map_err(failed)?;
        match self.system.create_folder(&trial) {
            Ok(()) => {}
            // Nothing new can come into a folder that nobody can write.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        }
        let tried = self.try_in(&trial, &all);
        self.remove(&trial).map_err(failed)?;
        tried
    }

    /// Tries in a folder beside the plugin folder whether these names are different files there.
    fn try_in(&self, trial: &Path, all: &[&JarName]) -> Result<(), Error> {
        for (number, name) in all.iter().enumerate() {
            let path: PathBuf = trial.join(name.as_str());
            match self.system.create(&path, 0o600) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let before = &all[..number];
                    let is_it = |other: &&&JarName| self.is_same_file(&trial.join(other.as_str()), &path);
                    let other = before.iter().find(is_it);
                    let same_case = || {
                        let folded = spelling::folded(name.as_str());
                        before.iter().find(|other| spelling::folded(other.as_str()) == folded)
                    };
                    let other = other.or_else(same_case).copied().unwrap_or(name);
                    return Err(self.are_one(name, other));
                }
                Err(error) => {
                    return Err(Error::io(
                        "create a file with the name of",
                        &self.path.join(name.as_str()),
                        &error,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Removes the folder in which names were tried.
    fn remove(&self, trial: &Path) -> io::Result<()> {
        if_there(self.system.remove_folder(trial)).map(drop)
    }

    /// The refusal of two names of jars that are one file on this disk.
    fn are_one(&self, name: &JarName, other: &JarName) -> Error {
        Error::new(
            Kind::Refused,
            format!(
                "{name} and {other} from the primary are one file in {}",
                self.path.display()
            ),
            "Rename one of them in plugins/external on the primary.",
        )
    }
}
