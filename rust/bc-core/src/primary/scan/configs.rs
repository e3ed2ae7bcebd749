//! Reading the configuration files.
//!
//! | what is being written, or is not whole | what becomes of it |
//! |---|---|
//! | cruise-config.xml, the ciphers | the whole reading waits: no configuration goes beside a cipher that may not fit |
//! | jetty.xml | withheld until it is well-formed |
//! | the feature toggles | withheld, after [`PATIENCE_MS`] carried as they are, since GoCD tolerates them |
//! | a further file | withheld until nobody has written it for [`UNTOUCHED_MS`] |
//!
//! What is withheld holds nothing up, and standbys keep what they have of it, also where this is the first reading. For
//! [`MOMENT_MS`] everything waits, so that files which are saved one after the other come together.

use std::{borrow::Cow, collections::HashSet, path::Path, sync::Arc};

use crate::{
    basics::{Clock, Digest},
    files::{
        FileCache,
        file_cache::{Detail, KnownFile, Observed},
    },
    generation::{Layout, Name, Reason},
    gocd::xml::Outline,
    primary::scan::{
        absence::{self, Absence},
        amiss::{AmissSince, PATIENCE_MS},
        folder_mount::FolderMount,
        gathered::{Gathered, Stop},
        mounts_file::ConfigMounts,
        unfinished::Wait,
    },
};

/// A further file counts once nobody has written it for so long: nothing else tells whether it is whole.
pub(super) const UNTOUCHED_MS: i64 = 250;
/// How long a configuration file must be missing before it counts as removed: some editors remove it for a moment.
pub(super) const MISSING_MS: i64 = 2_000;
/// How long the whole reading waits for any file that is being written: most writers need less.
pub(super) const MOMENT_MS: i64 = 250;
/// How often at least a file that is not whole is looked at again, without any hint that it was written.
const AGAIN_MS: i64 = 5_000;

/// The configuration files, read again and again.
pub(super) struct Configs {
    layout: Layout,
    include_des_cipher: bool,
    cache: FileCache,
    /// Those that are not whole.
    amiss: AmissSince,
    /// Those that are not there.
    missing: AmissSince,
    /// Those that the last reading found, or could not see.
    last: HashSet<Name>,
    /// Where each file was when it was read last.
    mounts: ConfigMounts,
    outline: Option<(Arc<KnownFile>, Outline)>,
}

impl Configs {
    /// The primary's configuration files, not read yet; `mounts` is where they were before a restart.
    pub(super) fn new(layout: Layout, include_des_cipher: bool, clock: Arc<dyn Clock>, mounts: ConfigMounts) -> Self {
        Self {
            layout,
            include_des_cipher,
            cache: FileCache::new(clock),
            amiss: AmissSince::default(),
            missing: AmissSince::default(),
            last: HashSet::new(),
            mounts,
            outline: None,
        }
    }

    /// Reads the primary's configuration files once.
    ///
    /// # Errors
    /// Why nothing can be said of one of them now.
    pub(super) fn read(&mut self, gathered: &mut Gathered, now_ms: i64) -> Result<(), Stop> {
        self.cache.begin_round();
        for name in self.layout.clone().config_names() {
            if name == Name::CipherDes && !self.include_des_cipher {
                continue;
            }
            self.config_file(&name, gathered, now_ms)?;
        }
        self.cache.end_round();
        self.last = gathered
            .config
            .keys()
            .chain(gathered.withheld.files.keys())
            .cloned()
            .collect();
        Ok(())
    }

    /// The mounts on which each configuration file was when it was read last.
    pub(super) fn mounts(&self) -> &ConfigMounts {
        &self.mounts
    }

    /// What the last cruise-config.xml says.
    pub(super) fn outline(&self) -> Option<&Outline> {
        self.outline.as_ref().map(|(_, outline)| outline)
    }

    /// The last cruise-config.xml that could be read, also where it cannot be now.
    pub(super) fn last_config(&self) -> Option<(&Digest, &[u8])> {
        let (known, _) = self.outline.as_ref()?;
        Some((&known.digests.sha256, known.bytes.as_deref()?))
    }

    /// Reads one of the primary's configuration files.
    fn config_file(&mut self, name: &Name, gathered: &mut Gathered, now_ms: i64) -> Result<(), Stop> {
        let path = self.layout.path_of(name);
        let detail = Detail::Bytes {
            largest: name.largest(),
        };
        if let Name::Extra(extra) = name
            && matches!(self.layout.leads_out(extra), Ok(true))
        {
            gathered.withhold(name.clone(), Reason::Outside, None);
            return Ok(());
        }
        let known = match self.cache.observe(&path, detail) {
            Ok(Observed::File(known)) => known,
            Ok(Observed::Changing) => {
                let wait = Wait {
                    reason: "is being written".into(),
                    again_ms: 0,
                };
                let since_ms = self.amiss.since(name, now_ms);
                return hold_up(name, wait, since_ms, gathered, now_ms);
            }
            Ok(Observed::Absent) => {
                return self.missing(name, &path, gathered, now_ms);
            }
            Ok(Observed::Dangling) => {
                gathered.withhold(name.clone(), Reason::Dangling, None);
                return Ok(());
            }
            Ok(Observed::Irregular(_)) => {
                gathered.withhold(name.clone(), Reason::Irregular, None);
                return Ok(());
            }
            Ok(Observed::Own(_)) => unreachable!("only jars are our own plugin"),
            Err(error) => {
                gathered.withhold(name.clone(), Reason::of(&error), Some(&error));
                return Ok(());
            }
        };
        self.missing.end(name);
        let folder = path.parent().unwrap_or(Path::new("."));
        let mount = FolderMount::of(folder, self.mounts.get(name));
        self.mounts.insert(name.clone(), mount);
        if let Err(wait) = self.check(name, &known, gathered, now_ms) {
            // Nobody has written it since its last change, also where this node has started only now.
            let since_ms = self.amiss.since(name, now_ms).min(known.stamp.changed_ms());
            return hold_up(name, wait, since_ms, gathered, now_ms);
        }
        gathered.add(name.clone(), &known, &path);
        gathered.config.insert(name.clone(), known);
        Ok(())
    }

    /// Whether a configuration file is all there.
    fn check(&mut self, name: &Name, known: &Arc<KnownFile>, gathered: &mut Gathered, now_ms: i64) -> Result<(), Wait> {
        let bytes = known.bytes.as_ref().expect("configuration files are kept in memory");
        let amiss_ms = now_ms - self.amiss.since(name, now_ms);
        let wait = |reason: Cow<'static, str>, again_ms: i64| Wait { reason, again_ms };
        // What waits for longer is looked at less often.
        let unfinished = |reason: String| wait(reason.into(), amiss_ms.min(AGAIN_MS));
        match name {
            Name::CruiseConfig => {
                let is_known = self.outline.as_ref().is_some_and(|(of, _)| of.digests == known.digests);
                if !is_known {
                    let outline = Outline::skim(bytes).map_err(unfinished)?;
                    self.outline = Some((Arc::clone(known), outline));
                }
            }
            Name::JettyXml => drop(Outline::read(bytes).map_err(unfinished)?),
            Name::CipherAes | Name::CipherDes => {
                if bytes.trim_ascii().is_empty() {
                    return Err(unfinished("is empty".to_owned()));
                }
            }
            Name::FeatureToggles => {
                if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err() {
                    // The file system's clock may be ahead.
                    let age_ms = (now_ms - known.stamp.changed_ms()).max(0);
                    let is_young = |ms: i64| (0..PATIENCE_MS).contains(&ms);
                    if is_young(age_ms) && is_young(amiss_ms) {
                        let rest_ms = PATIENCE_MS - age_ms.max(amiss_ms);
                        return Err(wait("is not JSON".into(), rest_ms.min(amiss_ms.min(AGAIN_MS))));
                    }
                    gathered
                        .warnings
                        .push(format!("{name} is not JSON; it is synced as it is"));
                    return Ok(());
                }
            }
            // Nothing tells whether it is whole, but that nobody has written into it for a while.
            Name::Extra(_) => {
                let age_ms = now_ms - known.stamp.changed_ms();
                if (0..UNTOUCHED_MS).contains(&age_ms) {
                    return Err(wait("was written a moment ago".into(), UNTOUCHED_MS - age_ms));
                }
            }
            Name::Plugin(_) => unreachable!("plugins are checked where they are listed"),
        }
        self.amiss.end(name);
        Ok(())
    }

    /// Whether nothing can be said about a configuration file without its folder. That of the feature toggles may be
    /// missing, where with only cruise.config.dir set GoCD looks for them elsewhere, and so may a folder of further
    /// files.
    fn needs_folder(&self, name: &Name, path: &Path) -> bool {
        let cruise_config_dir = self.layout.cruise_config_dir();
        match name {
            Name::FeatureToggles => path.parent() == Some(cruise_config_dir),
            Name::Extra(extra) => !extra.has_folder() || !cruise_config_dir.is_dir(),
            _ => true,
        }
    }

    /// Withholds a file that is not found and may be there all the same, or leaves it out where it was removed.
    fn missing(&mut self, name: &Name, path: &Path, gathered: &mut Gathered, now_ms: i64) -> Result<(), Stop> {
        if let Some(reason) = self.out_of_sight(name, path) {
            gathered.withhold(name.clone(), reason, None);
            return Ok(());
        }
        let since_ms = self.missing.since(name, now_ms);
        let rest_ms = MISSING_MS - (now_ms - since_ms);
        if *name == Name::CruiseConfig || (self.last.contains(name) && rest_ms > 0) {
            let wait = Wait {
                reason: "does not exist".into(),
                again_ms: rest_ms,
            };
            return hold_up(name, wait, since_ms, gathered, now_ms);
        }
        self.amiss.end(name);
        self.mounts.remove(name);
        if let Name::Extra(_) = name {
            gathered.warnings.push(format!(
                "bc.sync.extra names {name}, but there is no {}",
                path.display()
            ));
        }
        Ok(())
    }

    /// Why a configuration file that is not found may be there all the same, where nobody can tell.
    fn out_of_sight(&self, name: &Name, path: &Path) -> Option<Reason> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let is_left = || self.mounts.get(name).is_some_and(|mount| mount.is_left(folder));
        match absence::of(path) {
            Absence::Gone => (*name != Name::CruiseConfig && is_left()).then_some(Reason::Unmounted),
            Absence::Doubtful(reason) => Some(reason),
            Absence::WithFolder if self.needs_folder(name, path) => Some(Reason::Missing),
            // A folder that was on the mount went with it. Elsewhere than on UNIX every folder that is gone would look
            // so.
            Absence::WithFolder => (cfg!(unix) && is_left()).then_some(Reason::Unmounted),
        }
    }
}

/// Withholds a configuration file that has not been as it should be since `since_ms`.
///
/// # Errors
/// It has been so for a moment only, or nothing can be offered without it: a configuration needs the cipher that it was
/// written with.
fn hold_up(name: &Name, wait: Wait, since_ms: i64, gathered: &mut Gathered, now_ms: i64) -> Result<(), Stop> {
    let is_needed = matches!(name, Name::CruiseConfig | Name::CipherAes | Name::CipherDes);
    if is_needed || (0..MOMENT_MS).contains(&(now_ms - since_ms)) {
        return Err(Stop::Unstable {
            name: name.clone(),
            reason: wait.reason.into_owned(),
        });
    }
    gathered.wait(name.clone(), since_ms, wait, now_ms);
    Ok(())
}
