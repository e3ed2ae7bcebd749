//! Reads `wrapper.conf` as the Tanuki wrapper does, for what it tells of GoCD's JVM.
//!
//! Lines are `name=value`; a later line wins. `#` begins a comment, `##` is a `#`. `%NAME%` is replaced by what a
//! `set.NAME=` line or the environment says. Files are included by `#include FILE`, `#include.required FILE`,
//! `@include FILE`, `@include.optional FILE` and `@include.required FILE`; GoCD's own last line is
//! `@include.optional ../wrapper-config/wrapper-properties.conf`, where administrators write.
//!
//! Relative paths count from the folder of the wrapper's binary: `wrapper/` beside `wrapper-config/` in every
//! installation that GoCD makes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{Properties, regular_file, stray_ends::without_stray_ends},
    settings::wrapper_conf::{included, pair},
};

/// Looks a variable of the environment up.
pub(crate) type Environment = fn(&str) -> Option<String>;

/// What a `wrapper.conf` and its includes say.
#[derive(Debug, Clone)]
pub(crate) struct WrapperConf {
    base: PathBuf,
    values: BTreeMap<String, String>,
    unread: Vec<String>,
    files: Vec<PathBuf>,
}

/// The name of the file that GoCD's `wrapper.conf` includes last, and in which administrators write.
const FOR_ADMINISTRATORS: &str = "wrapper-properties.conf";

/// Includes in includes: deeper ones are a circle.
const DEEPEST_INCLUDE: usize = 10;

impl WrapperConf {
    /// Reads the `wrapper.conf` at `path` and what it includes. An include that cannot be read is remembered as
    /// [`WrapperConf::unread`]: a missing one is usual.
    ///
    /// # Errors
    /// The file itself cannot be read.
    pub(crate) fn read(path: &Path, environment: Environment) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let beside = folder.parent().unwrap_or(Path::new(".")).join("wrapper");
        let mut conf = Self {
            base: if beside.is_dir() { beside } else { folder.to_owned() },
            values: BTreeMap::new(),
            unread: Vec::new(),
            files: vec![path.to_owned()],
        };
        let text = regular_file::read(path, regular_file::LARGEST_OF_A_FEW_LINES)?;
        conf.take(&String::from_utf8_lossy(&text), environment, 0);
        Ok(conf)
    }

    /// The JVM's working directory by a `wrapper.conf`.
    pub(crate) fn working_dir(&self) -> PathBuf {
        let given = self
            .values
            .get("wrapper.working.dir")
            .map_or("", |value| without_stray_ends(value));
        let joined = self.base.join(given);
        // `<install>/wrapper/..` is `<install>` to everybody who reads it.
        fs::canonicalize(&joined).unwrap_or(joined)
    }

    /// The JVM's arguments by a `wrapper.conf`, in their order.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        let mut arguments: Vec<(u32, &str)> = self
            .values
            .iter()
            .filter_map(|(name, value)| {
                let number = name.strip_prefix("wrapper.java.additional.")?.parse().ok()?;
                Some((number, without_stray_ends(value)))
            })
            .collect();
        arguments.sort_by_key(|(number, _)| *number);
        arguments.into_iter().map(|(_, argument)| argument).collect()
    }

    /// The files that make up a `wrapper.conf`, as they are read; an include that is missing is among them.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The JVM's system properties by a `wrapper.conf`, with the working directory as `user.dir` and GoCD's launcher as
    /// `bc.launcher`.
    pub(crate) fn properties(&self) -> Properties {
        let mut properties = Properties::default();
        for argument in self.arguments() {
            if let Some((name, value)) = argument.strip_prefix("-D").and_then(|pair| pair.split_once('=')) {
                properties.set(name, without_stray_ends(value));
            }
        }
        properties.set("user.dir", self.working_dir().display().to_string());
        if let Some(jar) = self.launcher_jar() {
            properties.set("bc.launcher", jar.display().to_string());
        }
        properties
    }

    /// The jar that a `wrapper.conf` starts: GoCD's installers write `lib/go.jar` there.
    fn launcher_jar(&self) -> Option<PathBuf> {
        let given = without_stray_ends(self.values.get("wrapper.app.parameter.1")?);
        let jar = fs::canonicalize(self.base.join(given)).ok()?;
        jar.extension()
            .is_some_and(|extension| extension == "jar")
            .then_some(jar)
    }

    /// Includes of a `wrapper.conf` that are there but could not be read, each with the reason.
    pub(crate) fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The file of a `wrapper.conf` in which administrators write their lines; where it includes none, the
    /// `wrapper.conf` itself.
    pub(crate) fn for_administrators(&self) -> &Path {
        let is_theirs = |path: &&PathBuf| path.file_name().is_some_and(|name| name == FOR_ADMINISTRATORS);
        self.files.iter().rfind(is_theirs).unwrap_or(&self.files[0])
    }

    /// Takes over the lines of a `wrapper.conf` or of a file that it includes.
    fn take(&mut self, text: &str, environment: Environment, depth: usize) {
        for line in text.lines() {
            let line = line.trim();
            if let Some(file) = included(line) {
                let file = self.expanded(file, environment);
                self.include(&file, environment, depth + 1);
            } else if let Some((name, value)) = pair(line) {
                let value = self.expanded(&value, environment);
                self.values.insert(name.to_owned(), value);
            }
        }
    }

    /// Reads a file that a `wrapper.conf` includes.
    fn include(&mut self, file: &str, environment: Environment, depth: usize) {
        if depth > DEEPEST_INCLUDE {
            return;
        }
        let path = self.base.join(file);
        self.files.push(path.clone());
        match regular_file::read(&path, regular_file::LARGEST_OF_A_FEW_LINES) {
            Ok(text) => self.take(&String::from_utf8_lossy(&text), environment, depth),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.unread.push(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// Replaces each `%NAME%` in a `wrapper.conf` that is known.
    fn expanded(&self, value: &str, environment: Environment) -> String {
        let known = |name: &str| {
            let set = |prefix: &str| self.values.get(&format!("{prefix}{name}")).cloned();
            set("set.")
                .or_else(|| environment(name))
                .or_else(|| set("set.default."))
        };
        let mut text = String::new();
        let mut rest = value;
        while let Some(start) = rest.find('%') {
            let (before, after) = (&rest[..start], &rest[start + 1..]);
            text.push_str(before);
            let replaced = after
                .find('%')
                .and_then(|end| Some((known(&after[..end])?, &after[end + 1..])));
            match replaced {
                Some((replacement, behind)) => {
                    text.push_str(&replacement);
                    rest = behind;
                }
                None => {
                    text.push('%');
                    rest = after;
                }
            }
        }
        text + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        (name == "GO_STATE").then(|| "/srv/state".to_owned())
    }

    /// An installation with `wrapper/` and `wrapper-config/`.
    fn install(main: &str, included: Option<&str>) -> (tempfile::TempDir, WrapperConf) {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("wrapper")).expect("folder");
        let config = folder.path().join("wrapper-config");
        fs::create_dir(&config).expect("folder");
        fs::write(config.join("wrapper.conf"), main).expect("write");
        if let Some(text) = included {
            fs::write(config.join("wrapper-properties.conf"), text).expect("write");
        }
        let conf = WrapperConf::read(&config.join("wrapper.conf"), environment).expect("read");
        (folder, conf)
    }

    #[test]
    fn every_form_of_include() {
        for form in [
            "#include",
            "#include.required",
            "@include",
            "@include.optional",
            "@include.required",
        ] {
            let main = format!("a=1\n{form} ../wrapper-config/wrapper-properties.conf\n");
            let (_folder, conf) = install(&main, Some("wrapper.java.additional.100=-Dbc.state.dir=/x\n"));
            assert_eq!(conf.properties().get("bc.state.dir"), Some("/x"), "{form}");
        }
        let (_folder, conf) = install(
            "#includes ../wrapper-config/wrapper-properties.conf\n#included\n",
            Some("a=1\n"),
        );
        assert!(conf.values.is_empty(), "comments include nothing");
    }

    #[test]
    fn a_missing_include_is_usual_and_a_circle_ends() {
        let (_folder, conf) = install("@include.optional ../wrapper-config/wrapper-properties.conf\nb=2", None);
        assert_eq!(conf.values["b"], "2");
        assert!(conf.unread().is_empty());
        let circle = "#include ../wrapper-config/wrapper-properties.conf\n";
        install(circle, Some(circle));
    }

    #[test]
    fn a_later_line_and_a_higher_number_win() {
        let (_folder, conf) = install(
            "wrapper.java.additional.9=-Da=nine\nwrapper.java.additional.10=-Da=ten\n\
             wrapper.java.additional.100=-Db=old\nwrapper.java.additional.100=-Db=new\n\
             wrapper.java.additional.11=-Xmx1g\n",
            None,
        );
        let properties = conf.properties();
        assert_eq!(properties.get("a"), Some("ten"));
        assert_eq!(properties.get("b"), Some("new"));
    }

    #[test]
    fn comments_quotes_and_variables() {
        let (_folder, conf) = install(
            "set.HOME=/home/go\n# wrapper.java.additional.1=-Da=1\n\
             wrapper.java.additional.2=-Db=x##y # why\n\
             wrapper.java.additional.3=\"-Dc=%HOME%/a b\"\n\
             wrapper.java.additional.4=-Dbc.state.dir=\"%GO_STATE%\"\n\
             wrapper.java.additional.5=-Dd=50%\n",
            None,
        );
        let properties = conf.properties();
        assert_eq!(properties.get("a"), None);
        assert_eq!(properties.get("b"), Some("x#y"));
        assert_eq!(properties.get("c"), Some("/home/go/a b"));
        assert_eq!(properties.get("bc.state.dir"), Some("/srv/state"));
        assert_eq!(properties.get("d"), Some("50%"));
    }

    #[test]
    fn the_launcher_is_what_the_wrapper_starts_if_it_is_there() {
        let (folder, _) = install("", None);
        let jar = folder.path().join("go.jar");
        let conf = format!("wrapper.app.parameter.1=\"{}\"\n", jar.display());
        assert_eq!(install(&conf, None).1.properties().get("bc.launcher"), None);
        fs::write(&jar, "").expect("write");
        let canonical = fs::canonicalize(&jar).expect("exists");
        assert_eq!(
            install(&conf, None).1.properties().get("bc.launcher"),
            canonical.to_str()
        );
    }

    #[test]
    fn the_working_directory_counts_from_the_wrapper() {
        let (folder, conf) = install("wrapper.working.dir=..\n", None);
        assert_eq!(conf.working_dir(), fs::canonicalize(folder.path()).expect("exists"));
        let (folder, conf) = install("", None);
        assert_eq!(
            conf.working_dir(),
            fs::canonicalize(folder.path().join("wrapper")).expect("exists")
        );
        let (_folder, conf) = install("wrapper.working.dir=/var/lib/no-such-go-server\n", None);
        assert_eq!(conf.working_dir(), Path::new("/var/lib/no-such-go-server"));
    }
}
