//! The live files of a standby as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::Metadata,
    io,
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    error::{Error, Kind},
    jar_name::JarName,
    layout::Layout,
    manifest::{Entry, Name, PluginIdentity},
    scan::{
        self,
        descriptor::Jar,
        file_cache::{FileCache, Keep, Observed},
        plugin_folder::{self, Listed},
    },
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
}

impl Live {
    /// The names of all jars that are there, as their folder lists them.
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
    let listing = plugin_folder::list(folder).map_err(|error| Error::io("read the folder", folder, &error))?;
    for Listed { name, path, metadata } in listing.map_or_else(Vec::new, |listing| {
        live.warnings = listing.warnings;
        listing.jars
    }) {
        observe(layout, &mut live, cache, Name::Plugin(name), &path, metadata)?;
    }
    let live = read_config(layout, cache, live)?;
    cache.end_round();
    Ok(live)
}

/// Reads the configuration files again, for what is known of the plugins.
///
/// # Errors
/// As [`read`].
pub(super) fn read_config(layout: &Layout, cache: &mut FileCache, plugins: Live) -> Result<Live, Error> {
    let mut live = plugins;
    for name in layout.config_names() {
        let path = scan::path_of(layout, &name);
        live.files.remove(&name);
        live.irregular.remove(&name);
        observe(layout, &mut live, cache, name, &path, None)?;
    }
    Ok(live)
}

/// Reads one live file alone.
///
/// # Errors
/// As [`read`].
pub(super) fn read_one(layout: &Layout, cache: &mut FileCache, name: Name) -> Result<Live, Error> {
    let mut live = Live::default();
    let path = scan::path_of(layout, &name);
    observe(layout, &mut live, cache, name, &path, None)?;
    Ok(live)
}

/// Notes what is at a path; `listed` is what its folder said of it just now, for a plugin.
fn observe(
    layout: &Layout,
    live: &mut Live,
    cache: &mut FileCache,
    name: Name,
    path: &Path,
    listed: Option<Metadata>,
) -> Result<(), Error> {
    let keep = match name {
        Name::Plugin(_) => Keep::Jar,
        _ => Keep::Digests,
    };
    if let Name::Extra(extra) = &name
        && layout
            .leads_out(extra)
            .map_err(|error| Error::io("look at the folder of", path, &error))?
    {
        live.irregular
            .insert(name, "is in a folder that leads out of the configuration folder");
        return Ok(());
    }
    let mut listed = listed;
    for _ in 0..TRIES {
        match cache.observe_listed(path, listed.take(), keep) {
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
                live.files.insert(name, scan::entry(&known));
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
