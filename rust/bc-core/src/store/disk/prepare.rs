//! What an apply writes: finds the new bytes of each file, looks at plugins and room, and stages everything beside its
//! place. No live file is touched here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{DiskStore, take_back};
use crate::{
    error::{Error, Kind},
    extra_name::ExtraName,
    manifest::{Entry, Name},
    regular_file,
    scan::{self, descriptor::Jar},
    store::{
        apply::Moment,
        blobs, filesystem,
        journal::Step,
        live::Live,
        obstacles,
        plan::Plan,
        rules,
        stage::{self, Source},
    },
};

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
    /// Finds the new bytes of every file, and judges the plugins.
    pub(super) fn writes(&self, plan: &Plan, live: &Live) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        for (name, entry) in &plan.write {
            let path = scan::path_of(&self.layout, name);
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
                let jar = jar.map_err(|error| Error::io("read", file, &error))?;
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
        leads_out.map_err(|error| Error::io("look at the folder of", path, &error))
    }

    /// Another live file that has the bytes: the primary renamed a jar.
    fn live_source(&self, name: &Name, entry: &Entry, live: &Live) -> Result<PathBuf, Error> {
        live.files
            .iter()
            .find(|(_, here)| here.sha256 == entry.sha256)
            .map(|(other, _)| scan::path_of(&self.layout, other))
            .ok_or_else(|| {
                Error::new(
                    Kind::Superseded,
                    format!("the bytes of {name} are not in the store any more"),
                    "",
                )
            })
    }

    /// Whether what will be copied fits.
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

    /// Stages every file; when one cannot be staged, nothing is left.
    pub(super) fn stage(&self, writes: &[Write], serial: u64) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (number, write) in writes.iter().enumerate() {
            match self.stage_one(write, serial, number) {
                Ok(staged) => steps.push(Step::Write {
                    name: write.name.clone(),
                    staged,
                    target: write.target.clone(),
                    sha256: write.entry.sha256,
                    size: write.entry.size,
                }),
                Err(error) => {
                    self.remove_staged(&steps);
                    return Err(error);
                }
            }
        }
        Ok(steps)
    }

    fn stage_one(&self, write: &Write, serial: u64, number: usize) -> Result<PathBuf, Error> {
        let mut staged = take_back::temporary(&write.target, serial, number);
        let folder = obstacles::check_folder(staged.parent().unwrap_or(Path::new("/")));
        if let Err(error) = &folder {
            // What is staged there could neither be renamed nor removed.
            obstacles::check_name(&write.target)?;
            stage::check_writable(&write.target, io::ErrorKind::NotFound.into()).map_err(|_| error.clone())?;
        }
        let beside = folder
            .map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error.message()))
            .and_then(|()| (self.probe)(&Moment::Stage(write.name.clone())))
            .and_then(|()| stage::stage(&*self.system, &write.source, &write.name, &staged, &write.target));
        match beside {
            Ok(()) => {
                // Known now, a file that can neither be replaced nor written stops the set before any of it is live.
                if let Err(error) = stage::check_not_read_only(&write.target) {
                    let _ = self.system.remove(&staged);
                    return Err(Error::io("write", &write.target, &error));
                }
            }
            // The file itself may be writable all the same.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                stage::check_writable(&write.target, error)
                    .map_err(|error| Error::io("write", &write.target, &error))?;
                filesystem::own_folder(&*self.system, &self.files.staged, 0o700)?;
                staged = take_back::temporary(&self.files.staged.join("any"), serial, number);
                stage::stage(&*self.system, &write.source, &write.name, &staged, &write.target)
                    .map_err(|error| Error::io("write", &staged, &error))?;
            }
            Err(error) => return Err(Error::io("write", &write.target, &error)),
        }
        if write.is_live {
            let digest = blobs::sha256(&staged).map_err(|error| Error::io("read", &staged, &error))?;
            if digest != write.entry.sha256 {
                let _ = self.system.remove(&staged);
                return Err(Error::new(
                    Kind::Busy,
                    format!("what has the bytes of {} changed while it was copied", write.name),
                    "",
                ));
            }
        }
        Ok(staged)
    }

    pub(super) fn remove_staged(&self, steps: &[Step]) {
        for step in steps {
            if let Step::Write { staged, .. } = step {
                // What stays is swept at the next start.
                let _ = self.system.remove(staged);
            }
        }
    }
}

/// Whether a file can be another name of one in the other folder.
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
