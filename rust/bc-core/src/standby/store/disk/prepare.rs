//! What an apply writes: finds the new bytes of each file, looks at plugins and room, and stages everything beside its
//! place. No live file is touched here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::DiskStore;
use crate::{
    basics::{Error, Kind, regular_file},
    durable::{FileSystem, filesystem},
    files::Jar,
    generation::{Entry, ExtraName, Name},
    standby::store::{
        blobs,
        journal::Step,
        live::Live,
        obstacles,
        plan::Plan,
        rules,
        stage::{self, Source},
    },
};

/// Staged files. They go with this, unless they are left to an open journal.
pub(super) struct Staged<'a> {
    system: &'a dyn FileSystem,
    paths: Vec<PathBuf>,
}

impl Staged<'_> {
    /// Leaves the staged files of an apply where they are.
    pub(super) fn leave(&mut self) {
        self.paths.clear();
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            // What stays is swept at the next start.
            let _ = self.system.remove(path);
        }
    }
}

/// A file to write, and what is known of its new bytes.
pub(super) struct Write {
    pub(super) name: Name,
    pub(super) entry: Entry,
    pub(super) source: Source,
    pub(super) target: PathBuf,
    /// For a plugin.
    pub(super) jar: Option<Jar>,
    /// Whether the source is another live file, which somebody could be writing.
    pub(super) is_live: bool,
}

impl DiskStore {
    /// Prepares every file that an apply writes: finds its new bytes, and checks the plugins.
    pub(super) fn writes(&self, plan: &Plan, live: &Live) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        for (name, entry) in &plan.write {
            let path = self.layout.path_of(name);
            let leads_out = matches!(name, Name::Extra(extra) if self.leads_out(extra, &path)?);
            if let Some(what) = live.irregular.get(name)
                && (leads_out || !path.is_symlink())
            {
                return Err(Error::new(
                    Kind::File,
                    format!("{} {what}", path.display()),
                    "Move it away: the primary's file belongs there.",
                ));
            }
            if let Some(folder) = path.parent() {
                stage::make_folder(&*self.system, folder)?;
            }
            let is_live = !self.blobs.has(&entry.sha256, entry.size)?;
            let source = if is_live {
                Source::File(self.live_source(name, entry, live)?)
            } else {
                self.blobs.source(&entry.sha256)
            };
            let jar = if let (Name::Plugin(_), Source::File(file)) = (name, &source) {
                let jar = regular_file::open(file).and_then(Jar::read);
                let jar = jar.map_err(Error::cannot("read", file))?;
                rules::plugin(name, &jar)?;
                Some(jar)
            } else {
                None
            };
            writes.push(Write {
                name: name.clone(),
                entry: entry.clone(),
                target: stage::resolve(&path)?,
                source,
                jar,
                is_live,
            });
        }
        Ok(writes)
    }

    /// Whether a link on the way to a further file leads out of the configuration folder.
    fn leads_out(&self, extra: &ExtraName, path: &Path) -> Result<bool, Error> {
        let leads_out = self.layout.leads_out(extra);
        leads_out.map_err(Error::cannot("look at the folder of", path))
    }

    /// Finds another live file that has the bytes which an apply writes: the primary renamed a jar.
    fn live_source(&self, name: &Name, entry: &Entry, live: &Live) -> Result<PathBuf, Error> {
        live.files
            .iter()
            .find(|(_, here)| here.sha256 == entry.sha256)
            .map(|(other, _)| self.layout.path_of(other))
            .ok_or_else(|| {
                Error::new(
                    Kind::Superseded,
                    format!("the bytes of {name} are not in the store any more"),
                    "",
                )
            })
    }

    /// Checks that what an apply will copy fits, before it is staged.
    pub(super) fn check_room(&self, writes: &[Write]) -> Result<(), Error> {
        // What goes to folders of one disk has to fit there together.
        let mut needed: Vec<(&Path, u64)> = Vec::new();
        for write in writes {
            let folder = write.target.parent().unwrap_or(Path::new("/"));
            if matches!(write.name, Name::Plugin(_)) && is_same_disk(folder, self.blobs.folder()) {
                continue;
            }
            match needed.iter_mut().find(|(other, _)| is_same_disk(other, folder)) {
                Some((_, bytes)) => *bytes += write.entry.size,
                None => needed.push((folder, write.entry.size)),
            }
        }
        needed
            .into_iter()
            .try_for_each(|(folder, needed)| self.make_room(folder, needed))
    }

    /// Stages every file that an apply writes: the steps that make them live, and the files.
    pub(super) fn stage(&self, writes: &[Write], serial: u64) -> Result<(Vec<Step>, Staged<'_>), Error> {
        let mut staged = self.staged(&[]);
        let mut steps = Vec::new();
        for (number, write) in writes.iter().enumerate() {
            let path = self.stage_one(write, serial, number)?;
            staged.paths.push(path.clone());
            self.check_staged(write, &path)?;
            steps.push(Step::Write {
                name: write.name.clone(),
                staged: path,
                target: write.target.clone(),
                sha256: write.entry.sha256,
                size: write.entry.size,
            });
        }
        Ok((steps, staged))
    }

    /// The files that these steps of an apply have staged.
    pub(super) fn staged(&self, steps: &[Step]) -> Staged<'_> {
        let path = |step: &Step| match step {
            Step::Write { staged, .. } => Some(staged.clone()),
            _ => None,
        };
        Staged {
            system: &*self.system,
            paths: steps.iter().filter_map(path).collect(),
        }
    }

    /// Stages one file that an apply writes.
    fn stage_one(&self, write: &Write, serial: u64, number: usize) -> Result<PathBuf, Error> {
        let mut staged = stage::temporary(&write.target, serial, number);
        let folder = obstacles::check_folder(staged.parent().unwrap_or(Path::new("/")));
        if let Err(error) = &folder {
            // What is staged there could neither be renamed nor removed.
            obstacles::check_name(&write.target)?;
            stage::check_writable(&write.target, io::ErrorKind::NotFound.into()).map_err(|_| error.clone())?;
        }
        let beside = folder
            .map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error.message()))
            .and_then(|()| stage::stage(&*self.system, &write.source, &write.name, &staged, &write.target));
        match beside {
            Ok(()) => Ok(staged),
            // The file itself may be writable all the same.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                stage::check_writable(&write.target, error).map_err(Error::cannot("write", &write.target))?;
                filesystem::own_folder(&*self.system, &self.files.staged, 0o700)?;
                staged = stage::temporary(&self.files.staged.join("any"), serial, number);
                stage::stage(&*self.system, &write.source, &write.name, &staged, &write.target)
                    .map_err(Error::cannot("write", &staged))?;
                Ok(staged)
            }
            Err(error) => Err(Error::io("write", &write.target, &error)),
        }
    }

    /// Checks that a staged file can go to its place, and is what it should be.
    fn check_staged(&self, write: &Write, staged: &Path) -> Result<(), Error> {
        // Known now, a file that can neither be replaced nor written stops the set before any of it is live.
        stage::check_not_read_only(&write.target).map_err(Error::cannot("write", &write.target))?;
        if !write.is_live {
            return Ok(());
        }
        let digest = blobs::sha256(staged).map_err(Error::cannot("read", staged))?;
        if digest == write.entry.sha256 {
            return Ok(());
        }
        Err(Error::new(
            Kind::Busy,
            format!("what has the bytes of {} changed while it was copied", write.name),
            "",
        ))
    }
}

/// Whether a file that is prepared for an apply can be another name of one in the other folder.
pub(super) fn is_same_disk(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        device(one).is_some() && device(one) == device(other)
    }
    #[cfg(not(unix))]
    {
        one.components().next() == other.components().next()
    }
}
