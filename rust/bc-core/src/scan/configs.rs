//! Reading the configuration files.

use std::{collections::HashSet, path::Path, sync::Arc};

use crate::{
    clock::Clock,
    digest::Digest,
    layout::Layout,
    manifest::Name,
    scan::{
        absence::{self, Absence},
        file_cache::{FileCache, Keep, Known, Observed},
        found::{Found, Stop, being_written},
        patience::Patience,
        seat::Seat,
        seats::ConfigSeats,
        xml::Outline,
    },
    withheld::Reason,
};

/// A file of which nothing is known but its bytes is offered after so long without a change.
pub(super) const SETTLED_MS: i64 = 250;
/// How long a configuration file must be missing before it counts as removed: some editors remove it for a moment.
pub(super) const MISSING_MS: i64 = 2_000;

/// The configuration files, read again and again.
pub(super) struct Configs {
    layout: Layout,
    include_des_cipher: bool,
    cache: FileCache,
    patience: Patience,
    /// Those that the last reading found, or could not see.
    last: HashSet<Name>,
    /// Where each file was when it was read last.
    seats: ConfigSeats,
    outline: Option<(Arc<Known>, Outline)>,
}

impl Configs {
    /// Files that were not read yet; `seats` is where they were before a restart.
    pub(super) fn new(layout: Layout, include_des_cipher: bool, clock: Arc<dyn Clock>, seats: ConfigSeats) -> Self {
        Self {
            layout,
            include_des_cipher,
            cache: FileCache::new(clock),
            patience: Patience::default(),
            last: HashSet::new(),
            seats,
            outline: None,
        }
    }

    /// Reads them once.
    ///
    /// # Errors
    /// Why nothing can be said of one of them now.
    pub(super) fn read(&mut self, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        self.cache.begin_round();
        for name in self.layout.clone().config_names() {
            if name == Name::CipherDes && !self.include_des_cipher {
                continue;
            }
            self.config_file(&name, found, now_ms)?;
        }
        self.cache.end_round();
        self.last = found
            .config
            .keys()
            .chain(found.withheld.files.keys())
            .cloned()
            .collect();
        Ok(())
    }

    /// Where each file was when it was read last.
    pub(super) fn seats(&self) -> &ConfigSeats {
        &self.seats
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

    fn config_file(&mut self, name: &Name, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let path = super::path_of(&self.layout, name);
        let keep = Keep::Bytes {
            largest: name.largest(),
        };
        if let Name::Extra(extra) = name
            && matches!(self.layout.leads_out(extra), Ok(true))
        {
            found.withhold(name.clone(), Reason::Outside, None);
            return Ok(());
        }
        let known = match self.cache.observe(&path, keep) {
            Ok(Observed::File(known)) => known,
            Ok(Observed::Changing) => return Err(being_written(name.clone())),
            Ok(Observed::Absent) => {
                if let Some(reason) = self.missing(name, &path, now_ms)? {
                    found.withhold(name.clone(), reason, None);
                } else if let Name::Extra(_) = name {
                    found.warnings.push(format!(
                        "bc.sync.extra names {name}, but there is no {}",
                        path.display()
                    ));
                }
                return Ok(());
            }
            Ok(Observed::Dangling) => {
                found.withhold(name.clone(), Reason::Dangling, None);
                return Ok(());
            }
            Ok(Observed::Irregular(_)) => {
                found.withhold(name.clone(), Reason::Irregular, None);
                return Ok(());
            }
            Ok(Observed::Own(_)) => unreachable!("only jars are our own plugin"),
            Err(error) => {
                found.withhold(name.clone(), Reason::of(&error), Some(&error));
                return Ok(());
            }
        };
        self.check(name, &known, found, now_ms)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let seat = Seat::of(folder, self.seats.get(name));
        self.seats.insert(name.clone(), seat);
        found.add(name.clone(), &known, &path);
        found.config.insert(name.clone(), known);
        Ok(())
    }

    /// Whether a configuration file is all there.
    fn check(&mut self, name: &Name, known: &Arc<Known>, found: &mut Found, now_ms: i64) -> Result<(), Stop> {
        let bytes = known.bytes.as_ref().expect("configuration files are kept in memory");
        let unstable = |reason: String| Stop::Unstable {
            name: name.clone(),
            reason,
        };
        match name {
            Name::CruiseConfig => {
                let is_known = self.outline.as_ref().is_some_and(|(of, _)| of.digests == known.digests);
                if !is_known {
                    let outline = Outline::skim(bytes).map_err(unstable)?;
                    self.outline = Some((Arc::clone(known), outline));
                }
            }
            Name::JettyXml => drop(Outline::read(bytes).map_err(unstable)?),
            Name::CipherAes | Name::CipherDes => {
                if bytes.trim_ascii().is_empty() {
                    return Err(unstable("is empty".to_owned()));
                }
            }
            Name::FeatureToggles => {
                if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err() {
                    self.patience.wait(name, known, now_ms, "is not whole")?;
                    found
                        .warnings
                        .push(format!("{name} is not JSON; it is synced as it is"));
                    return Ok(());
                }
            }
            // Nothing tells whether it is whole, but that nobody has written into it for a while.
            Name::Extra(_) => {
                if (0..SETTLED_MS).contains(&(now_ms - known.stamp.changed_ms())) {
                    return Err(unstable("was written a moment ago".to_owned()));
                }
            }
            Name::Plugin(_) => unreachable!("plugins are checked where they are listed"),
        }
        self.patience.end(name);
        Ok(())
    }

    /// Whether nothing can be said about a file without its folder. That of the feature toggles may be missing, where with
    /// only cruise.config.dir set GoCD looks for them elsewhere, and so may a folder of further files.
    fn needs_folder(&self, name: &Name, path: &Path) -> bool {
        let pair_dir = self.layout.pair_dir();
        match name {
            Name::FeatureToggles => path.parent() == Some(pair_dir),
            Name::Extra(extra) => !extra.has_folder() || !pair_dir.is_dir(),
            _ => true,
        }
    }

    /// Why a file that is not found may be there all the same; none where it was removed.
    fn missing(&mut self, name: &Name, path: &Path, now_ms: i64) -> Result<Option<Reason>, Stop> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let is_left = || self.seats.get(name).is_some_and(|seat| seat.is_left(folder));
        match absence::judge(path) {
            Absence::Gone if *name != Name::CruiseConfig && is_left() => return Ok(Some(Reason::Unmounted)),
            Absence::Gone => {}
            Absence::Doubtful(reason) => return Ok(Some(reason)),
            Absence::WithFolder if self.needs_folder(name, path) => return Ok(Some(Reason::Missing)),
            // A folder that was on the mount went with it. Elsewhere than on UNIX every folder that is gone would look so.
            Absence::WithFolder if cfg!(unix) && is_left() => return Ok(Some(Reason::Unmounted)),
            Absence::WithFolder => {}
        }
        let is_fresh =
            self.last.contains(name) && (0..MISSING_MS).contains(&(now_ms - self.patience.since(name, now_ms)));
        if *name == Name::CruiseConfig || is_fresh {
            return Err(Stop::Unstable {
                name: name.clone(),
                reason: "does not exist".to_owned(),
            });
        }
        self.patience.end(name);
        self.seats.remove(name);
        Ok(None)
    }
}
