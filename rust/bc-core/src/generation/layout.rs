//! Where GoCD keeps things.
//!
//! GoCD has two folders that it calls its configuration folder (`SystemEnvironment`):
//! `getConfigDir()` is the property `cruise.config.dir`, and `configDir()` is the parent of
//! `cruise.config.file`. The packages set both to the same place; an installation that sets only
//! the first one has its `db.properties` and feature toggles elsewhere than its `cipher.aes`.
//! Everything relative is relative to the JVM's working directory.
//!
//! The Java agent works out state folder and configuration folder itself where the library cannot be asked
//! (`Layout.java`); both are tested with `tests/fixtures/hold/folders.txt`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    basics::{Properties, spelling, stray_ends::without_stray_ends},
    generation::{
        extra_name::ExtraName,
        name::Name,
        own_files::{GIVEN_OUT_FILE, PEERS_FILE, START_IN_STANDBY_FILE, TOKEN_FILE},
    },
};

/// The state folder, relative to the JVM's working directory, unless `bc.state.dir` names another.
const USUAL_STATE_DIR: &str = "db/business-continuity";

/// The folders and files of one GoCD installation. All paths are absolute if the working directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    working_dir: PathBuf,
    config_dir: PathBuf,
    config_file: PathBuf,
    cruise_config_dir: PathBuf,
    feature_toggles: PathBuf,
    plugins_external: PathBuf,
    log_dir: PathBuf,
    state_dir: PathBuf,
    extra: Vec<ExtraName>,
    extra_is_unknown: bool,
}

impl Layout {
    /// Works the layout out from the JVM's system properties; `user.dir` is the working directory. Names lose their
    /// stray ends ([`without_stray_ends`]), GoCD's own as well: a standby that is asked for where the administrator
    /// meant it must not start because of a quote.
    pub fn from_properties(properties: &Properties) -> Self {
        // The JVM's own word, which nobody typed.
        let working_dir = properties.get("user.dir").filter(|folder| !folder.is_empty());
        let working_dir = PathBuf::from(working_dir.unwrap_or("."));
        let path = |name: &str, default: &Path| match given(properties, name) {
            Some(value) => working_dir.join(value),
            None => working_dir.join(default),
        };
        let config_dir = path("cruise.config.dir", Path::new("config"));
        let config_file = path("cruise.config.file", &config_dir.join("cruise-config.xml"));
        // With only cruise.config.dir set, GoCD's configDir() stays `config`: it takes the parent of the
        // property's own default.
        let cruise_config_dir = match given(properties, "cruise.config.file") {
            Some(_) => folder_of(&config_file).map_or_else(|| working_dir.clone(), Path::to_owned),
            None => working_dir.join("config"),
        };
        let feature_toggles =
            cruise_config_dir.join(given(properties, "user.toggles.path").unwrap_or("go.feature.toggles"));
        Self {
            plugins_external: path("plugins.external.provided.path", Path::new("plugins/external")),
            log_dir: path("gocd.server.log.dir", Path::new("logs")),
            state_dir: path("bc.state.dir", Path::new(USUAL_STATE_DIR)),
            working_dir,
            config_dir,
            config_file,
            cruise_config_dir,
            feature_toggles,
            extra: Vec::new(),
            extra_is_unknown: false,
        }
    }

    /// The layout with further files to sync.
    #[must_use]
    pub(crate) fn with_extra(self, extra: Vec<ExtraName>) -> Self {
        Self { extra, ..self }
    }

    /// The layout without further files, since the list that should name them is wrong.
    #[must_use]
    pub(crate) fn with_unknown_extra(self) -> Self {
        Self {
            extra: Vec::new(),
            extra_is_unknown: true,
            ..self
        }
    }

    /// Whether the layout may have further files to sync that nobody can name: none of them counts as removed.
    pub(crate) fn extra_is_unknown(&self) -> bool {
        self.extra_is_unknown
    }

    /// The configuration files that may be synced in this layout, in the order in which they are applied:
    /// `cruise-config.xml` last.
    pub(crate) fn config_names(&self) -> impl Iterator<Item = Name> {
        let (last, first) = Name::CONFIG.split_last().expect("there are some");
        let extra = self.extra.iter().cloned().map(Name::Extra);
        first.iter().cloned().chain(extra).chain([last.clone()])
    }

    /// Whether an installation with this layout syncs a file of this name.
    pub(crate) fn syncs(&self, name: &Name) -> bool {
        match name {
            Name::Extra(extra) => self.extra.contains(extra),
            _ => true,
        }
    }

    /// Where the layout has a further file: beside `cruise-config.xml`, or in a folder there.
    pub fn extra(&self, name: &ExtraName) -> PathBuf {
        self.cruise_config_dir.join(name.path())
    }

    /// What makes a further file one that must not be synced on this installation; none where nothing does. By paths
    /// alone, without regard to upper and lower case: what is a file of another kind, or lies in a folder of our own or
    /// of GoCD's.
    pub(crate) fn objection_to_extra(&self, name: &ExtraName) -> Option<&'static str> {
        let folded = |path: &Path| PathBuf::from(spelling::folded(&path.to_string_lossy()));
        let path = folded(&self.extra(name));
        let database = self.working_dir.join("db");
        let own = [self.state_dir(), self.plugins_external(), &database];
        if own.iter().any(|folder| path.starts_with(folded(folder))) {
            return Some("lies in a folder that every server has for itself, or that is synced anyway");
        }
        let named = [
            self.cipher_aes(),
            self.cipher_des(),
            self.jetty_xml(),
            self.feature_toggles.clone(),
            self.config_file.clone(),
        ];
        named
            .iter()
            .any(|other| folded(other) == path)
            .then_some("is synced without being named")
    }

    /// Whether the folder of a further file is not in the folder of `cruise-config.xml`, since a link on the way leads
    /// out of it. What such a link leads to belongs to somebody else.
    ///
    /// # Errors
    /// A folder cannot be looked at.
    pub(crate) fn leads_out(&self, name: &ExtraName) -> io::Result<bool> {
        if !name.has_folder() {
            return Ok(false);
        }
        let path = self.extra(name);
        for folder in path
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.cruise_config_dir)
        {
            match fs::canonicalize(folder) {
                Ok(real) => return Ok(!real.starts_with(fs::canonicalize(&self.cruise_config_dir)?)),
                // What is not there leads nowhere.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Where the layout has a synced file.
    pub(crate) fn path_of(&self, name: &Name) -> PathBuf {
        match name {
            Name::Plugin(jar) => self.plugins_external().join(jar.as_str()),
            Name::CipherAes => self.cipher_aes(),
            Name::CipherDes => self.cipher_des(),
            Name::JettyXml => self.jetty_xml(),
            Name::FeatureToggles => self.feature_toggles().to_owned(),
            Name::Extra(extra) => self.extra(extra),
            Name::CruiseConfig => self.cruise_config().to_owned(),
        }
    }

    /// Where GoCD runs: the JVM's working directory.
    pub fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// Where the layout has `cruise-config.xml`, whatever it is called here.
    pub fn cruise_config(&self) -> &Path {
        &self.config_file
    }

    /// Where the layout has `cipher.aes`, the key that decrypts every secret of the configuration.
    pub fn cipher_aes(&self) -> PathBuf {
        self.config_dir.join("cipher.aes")
    }

    /// Where the layout has the DES key of GoCD before 21.1.
    pub fn cipher_des(&self) -> PathBuf {
        self.config_dir.join("cipher")
    }

    /// Where the layout has `jetty.xml`; GoCD resets the property for its name to this (`JettyServer`).
    pub fn jetty_xml(&self) -> PathBuf {
        self.config_dir.join("jetty.xml")
    }

    /// Where the layout has `go.feature.toggles`; GoCD reads it from `configDir()` (`FeatureToggleRepository`).
    pub(crate) fn feature_toggles(&self) -> &Path {
        &self.feature_toggles
    }

    /// Where the layout has `cruise-config.xml`: the folder in which token, peers file and `start.in.standby`
    /// live.
    pub fn cruise_config_dir(&self) -> &Path {
        &self.cruise_config_dir
    }

    /// Where the layout has GoCD's log.
    pub fn gocd_log(&self) -> PathBuf {
        self.log_dir.join("go-server.log")
    }

    /// Where the layout has the token file.
    pub fn token(&self) -> PathBuf {
        self.cruise_config_dir().join(TOKEN_FILE)
    }

    /// Where the layout has the peers file.
    pub fn peers(&self) -> PathBuf {
        self.cruise_config_dir().join(PEERS_FILE)
    }

    /// Where the layout has the file for what a primary gives out while its state folder cannot be written.
    pub(crate) fn given_out(&self) -> PathBuf {
        self.cruise_config_dir().join(GIVEN_OUT_FILE)
    }

    /// Where the layout has the file whose presence asks for a standby.
    pub(crate) fn start_in_standby(&self) -> PathBuf {
        self.cruise_config_dir().join(START_IN_STANDBY_FILE)
    }

    /// Where the layout has the folder of user plugins.
    pub fn plugins_external(&self) -> &Path {
        &self.plugins_external
    }

    /// Where the layout has what GoCD accepted last: the plain file that it keeps in its configuration
    /// repository's working copy.
    pub fn accepted_config(&self) -> PathBuf {
        self.working_dir.join("db/config.git/cruise-config.xml")
    }

    /// Where the layout has the node-local folder when `bc.state.dir` names no other.
    pub(crate) fn usual_state_dir(&self) -> PathBuf {
        self.working_dir.join(USUAL_STATE_DIR)
    }

    /// Where the layout has the node-local folder, which is never synced.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }
}

/// Whether the file at a path may exist. Only what is known to be missing, as any name below a plain file is, does not;
/// what cannot be looked at may exist. So a standby that is asked for by a file stays one while its file system does
/// not answer.
pub fn may_be_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// What a system property says of this installation's layout; none where it is empty.
fn given<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
    let value = without_stray_ends(properties.get(name)?);
    (!value.is_empty()).then_some(value)
}

/// The folder of a path, as GoCD and `File.getParent` see it: a last `.` is a name there.
fn folder_of(file: &Path) -> Option<&Path> {
    let mut ends = file.as_os_str().as_encoded_bytes().iter().rev();
    let is_separator = |byte: &u8| std::path::is_separator(char::from(*byte));
    let last = ends.find(|byte| !is_separator(byte));
    if last == Some(&b'.') && ends.next().is_none_or(is_separator) {
        return Some(file);
    }
    file.parent()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(pairs: &[(&str, &str)]) -> Layout {
        let mut properties = Properties::from_iter(pairs.iter().copied());
        properties.set("user.dir", "/go");
        Layout::from_properties(&properties)
    }

    #[test]
    fn defaults_are_relative_to_the_working_directory() {
        let layout = layout(&[]);
        assert_eq!(layout.cruise_config(), Path::new("/go/config/cruise-config.xml"));
        assert_eq!(layout.token(), Path::new("/go/config/business-continuity-token"));
        assert_eq!(layout.state_dir(), Path::new("/go/db/business-continuity"));
    }

    #[test]
    fn the_config_dir_alone_moves_the_cipher_but_not_the_toggles() {
        let layout = layout(&[("cruise.config.dir", "/etc/go")]);
        assert_eq!(layout.cruise_config(), Path::new("/etc/go/cruise-config.xml"));
        assert_eq!(layout.cipher_aes(), Path::new("/etc/go/cipher.aes"));
        assert_eq!(layout.feature_toggles(), Path::new("/go/config/go.feature.toggles"));
    }

    #[test]
    fn a_quote_or_a_blank_at_an_end_moves_no_folder() {
        let layout = layout(&[
            ("bc.state.dir", "\u{a0}/srv/state\""),
            ("cruise.config.file", "'/etc/go/cruise-config.xml\u{200b}"),
            ("cruise.config.dir", "\u{202f}"),
        ]);
        assert_eq!(layout.state_dir(), Path::new("/srv/state"));
        assert_eq!(layout.cruise_config_dir(), Path::new("/etc/go"));
        assert_eq!(layout.cipher_aes(), Path::new("/go/config/cipher.aes"));
    }

    #[test]
    #[cfg(unix)]
    fn what_cannot_be_looked_at_may_be_there() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").expect("written");
        std::os::unix::fs::symlink("loop", path("loop")).expect("linked");
        std::os::unix::fs::symlink("nowhere", path("dangling")).expect("linked");
        for there in ["file", "dangling", "loop", "loop/start.in.standby"] {
            assert!(may_be_there(&path(there)), "{there}");
        }
        for absent in ["nothing", "nothing/start.in.standby", "file/start.in.standby"] {
            assert!(!may_be_there(&path(absent)), "{absent}");
        }
    }

    #[test]
    fn the_packages_set_both() {
        let layout = layout(&[
            ("cruise.config.dir", "/etc/go"),
            ("cruise.config.file", "/etc/go/cruise-config.xml"),
            ("user.dir", "/var/lib/go-server"),
        ]);
        assert_eq!(layout.feature_toggles(), Path::new("/etc/go/go.feature.toggles"));
        assert_eq!(layout.peers(), Path::new("/etc/go/business-continuity-peers"));
    }
}
