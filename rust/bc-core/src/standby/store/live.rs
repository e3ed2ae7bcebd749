//! The live files of a standby as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    basics::{Error, Kind},
    files,
    files::{
        FileCache, Jar, Stamp,
        file_cache::{Detail, Observed},
        plugin_folder::{self, Listed},
    },
    generation::{Entry, JarName, Layout, Name, PluginIdentity},
};

/// How often a file that somebody writes is looked at before that is an error.
const TRIES: u32 = 20;
/// The time in between.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// What is live.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Files that could be synced, with digests, size and age here.
    pub(super) files: BTreeMap<Name, Entry>,
    /// Jars of our own plugin, which are never touched.
    pub(super) own_jars: BTreeMap<JarName, PluginIdentity>,
    /// What is in the way of a file: a folder, a device.
    pub(super) irregular: BTreeMap<Name, &'static str>,
    /// What is odd about a jar that is carried all the same, to be read after its name.
    pub(super) odd: BTreeMap<Name, String>,
    /// Jars that are left out for their names.
    pub(super) warnings: Vec<String>,
    /// The folder of the jars before it was listed, if another stamp of it says that names have changed since.
    pub(super) folder: Option<Stamp>,
}

impl Live {
    /// Whether the live plugin folder has no other names than those that were listed.
    pub(super) fn is_listed(&self, folder: &Path) -> bool {
        let stamp = || Some(Stamp::of(&fs::metadata(folder).ok()?));
        self.folder.is_some() && self.folder == stamp()
    }

    /// The names of all live jars, as their folder lists them.
    pub(super) fn jars(&self) -> BTreeSet<JarName> {
        let names = self.files.keys().chain(self.irregular.keys());
        let jars = names.filter_map(|name| match name {
            Name::Plugin(jar) => Some(jar),
            _ => None,
        });
        jars.chain(self.own_jars.keys()).cloned().collect()
    }
}

/// Reads the live files; those that the cache knows are only looked at.
///
/// # Errors
/// [`Kind::File`] when a folder or file cannot be read, [`Kind::Busy`] when somebody is writing one.
pub(super) fn read(layout: &Layout, cache: &mut FileCache) -> Result<Live, Error> {
    let mut live = Live::default();
    cache.begin_round();
    let folder = layout.plugins_external();
    let stamp = fs::metadata(folder).map(|metadata| Stamp::of(&metadata));
    live.folder = stamp.ok().filter(|stamp| cache.is_settled(stamp));
    let listing = plugin_folder::list(folder).map_err(Error::cannot("read the folder", folder))?;
    for Listed { name, path, metadata } in listing.map_or_else(Vec::new, |listing| {
        live.warnings = listing.warnings;
        listing.jars
    }) {
        observe(layout, &mut live, cache, Name::Plugin(name), &path, metadata)?;
    }
    look_again(layout, cache, &mut live, layout.config_names())?;
    cache.end_round();
    Ok(live)
}

/// Looks at these live files once more.
///
/// # Errors
/// As [`read`].
pub(super) fn look_again(
    layout: &Layout,
    cache: &mut FileCache,
    live: &mut Live,
    names: impl IntoIterator<Item = Name>,
) -> Result<(), Error> {
    for name in names {
        let path = layout.path_of(&name);
        live.files.remove(&name);
        live.irregular.remove(&name);
        live.odd.remove(&name);
        if let Name::Plugin(jar) = &name {
            live.own_jars.remove(jar);
        }
        observe(layout, live, cache, name, &path, None)?;
    }
    Ok(())
}

/// Notes what is at the path of a live file; `listed` is what its folder said of it just now, for a plugin.
fn observe(
    layout: &Layout,
    live: &mut Live,
    cache: &mut FileCache,
    name: Name,
    path: &Path,
    listed: Option<Metadata>,
) -> Result<(), Error> {
    let detail = match name {
        Name::Plugin(_) => Detail::Jar,
        _ => Detail::Digests,
    };
    if let Name::Extra(extra) = &name
        && layout
            .leads_out(extra)
            .map_err(Error::cannot("look at the folder of", path))?
    {
        live.irregular
            .insert(name, "is in a folder that leads out of the configuration folder");
        return Ok(());
    }
    let mut listed = listed;
    for _ in 0..TRIES {
        match cache.observe_listed(path, listed.take(), detail) {
            Ok(Observed::Absent) => {}
            Ok(Observed::Dangling) => {
                live.irregular.insert(name, "is a symbolic link to nothing");
            }
            Ok(Observed::Irregular(what)) => {
                live.irregular.insert(name, what);
            }
            Ok(Observed::Own(identity)) => {
                if let Name::Plugin(jar) = name {
                    live.own_jars.insert(jar, identity);
                }
            }
            Ok(Observed::File(known)) => {
                if let Some(warning) = known.jar.as_ref().and_then(Jar::warning) {
                    live.odd.insert(name.clone(), warning);
                }
                live.files.insert(name, files::entry(&known));
            }
            Ok(Observed::Changing) => {
                thread::sleep(BETWEEN_TRIES);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(Error::io("read", path, &error)),
        }
        return Ok(());
    }
    Err(Error::new(
        Kind::Busy,
        format!("{} is being written by somebody else", path.display()),
        "Edit the files on the primary; this standby only follows it.",
    ))
}
