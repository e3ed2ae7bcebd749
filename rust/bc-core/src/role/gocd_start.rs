//! How GoCD's last start in this folder went: `gocd-start.json` in the state folder.
//!
//! It is written when GoCD is let run, and again once GoCD itself has answered for long enough
//! ([`crate::gocd::health`]). What is found at the next start, of a process that has gone and never answered, is a start
//! that failed: the next start and `gocd-bc status` say so, with the end of GoCD's log, until one succeeds. Nothing
//! waits for the file. One thing is decided by it: where GoCD refused the configuration that it was promoted with, the next
//! start goes back to one that GoCD has accepted ([`GocdStart::refused`]).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error, Kind, process::ProcessId, regular_file, words},
    durable::{atomic, seal},
    generation::Layout,
    gocd::log,
    role::artifacts_folder,
};

mod promoted;
mod went_back;

pub use promoted::Promoted;
pub use went_back::WentBack;

/// The name of the file in the state folder.
pub const FILE: &str = "gocd-start.json";
/// The version of the file.
const FORMAT: u32 = 1;

/// How the last start went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GocdStart {
    format: u32,
    /// When GoCD was let run, milliseconds since 1970 by this node's clock.
    pub began_ms: i64,
    /// The process that it runs in.
    pub process: ProcessId,
    /// Its log.
    pub log: String,
    /// How long that was when it began.
    pub log_from: u64,
    /// When it had answered for long enough; none before.
    pub healthy_ms: Option<i64>,
    /// With what it was promoted by this start; none where it was not.
    #[serde(default)]
    pub promoted: Option<Promoted>,
    /// Whether GoCD was told to start in its maintenance mode.
    #[serde(default)]
    pub maintenance: bool,
    /// Where it keeps artifacts, by the configuration that it was let run on; none where that is not known.
    #[serde(default)]
    pub artifacts: Option<PathBuf>,
    /// The start before, where that failed and none has succeeded since.
    pub failed: Option<FailedStart>,
    /// To what this server went back by itself, until a person has seen it.
    #[serde(default)]
    pub went_back: Option<WentBack>,
}

/// A start of which GoCD ended before it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStart {
    /// When it began.
    pub began_ms: i64,
    /// GoCD's log.
    pub log: String,
    /// The last errors and causes in it since then; none where it cannot be read.
    pub errors: Option<Vec<String>>,
}

impl GocdStart {
    /// A start of GoCD in this process, now.
    pub fn now(log: &Path, now_ms: i64) -> Self {
        Self {
            format: FORMAT,
            began_ms: now_ms,
            process: ProcessId::own(),
            log: log.display().to_string(),
            log_from: log::end(log),
            healthy_ms: None,
            promoted: None,
            maintenance: false,
            artifacts: None,
            failed: None,
            went_back: None,
        }
    }

    /// The same start, by whoever lets GoCD run: it will read its configuration soon, and where it keeps artifacts this
    /// once. Reads the configuration.
    pub fn about_to_read(self, layout: &Layout) -> Self {
        Self {
            artifacts: artifacts_folder::configured(layout),
            ..self
        }
    }

    /// A start of GoCD in this process, now, by a promotion of this server, which told it to start in its maintenance mode
    /// or not. It reads the configuration.
    pub fn promoted(layout: &Layout, maintenance: bool, now_ms: i64) -> Self {
        Self {
            promoted: Some(Promoted::look(layout)),
            maintenance,
            ..Self::now(&layout.gocd_log(), now_ms).about_to_read(layout)
        }
    }

    /// Says what is not as it was when this start promoted the server, now that GoCD runs, and what to do.
    pub fn differences(&self, layout: &Layout) -> Vec<String> {
        let promoted = self.promoted.as_ref();
        promoted.map_or_else(Vec::new, |promoted| {
            promoted.differences(layout, self.began_ms, self.log_from)
        })
    }

    /// The start of GoCD in this process, where this is what is known of the last one: that same one, or one that begins
    /// now and knows whether the one before failed.
    pub fn after(before: Option<Self>, log: &Path, now_ms: i64) -> Self {
        match before {
            Some(before) if before.process == ProcessId::own() => before,
            Some(before) => Self {
                failed: before.failure(),
                went_back: before.went_back.clone(),
                ..Self::now(log, now_ms)
            },
            None => Self::now(log, now_ms),
        }
    }

    /// Says what is to be said of the last start, by a process of which it is known whether it is that one: none where
    /// GoCD answered, or may yet. Reads GoCD's log.
    pub fn failure(&self) -> Option<FailedStart> {
        if self.process == ProcessId::own() {
            return self.failed.clone();
        }
        self.healthy_ms.is_none().then(|| FailedStart {
            began_ms: self.began_ms,
            log: self.log.clone(),
            errors: log::errors_since(Path::new(&self.log), self.log_from).ok(),
        })
    }

    /// The configuration from which the next start is to go back: GoCD was promoted with it, ended since it refused it, and
    /// nobody has changed it since. Only the start after that of a promotion goes back. Reads GoCD's log and the live
    /// configuration; what cannot be read changes nothing.
    pub fn refused(&self, layout: &Layout) -> Option<Digest> {
        let config = self.promoted.as_ref()?.config?;
        let is_over = self.process != ProcessId::own() && self.healthy_ms.is_none();
        let is_refused = || log::refuses_configuration_since(Path::new(&self.log), self.log_from).unwrap_or(false);
        let is_live = || Promoted::look(layout).config == Some(config);
        (is_over && is_refused() && is_live()).then_some(config)
    }

    /// Notes that GoCD has answered for long enough: what failed before is over. Where it keeps artifacts is not known
    /// if the configuration names another folder than before it: GoCD may have read either. Reads the configuration.
    pub fn succeeds(&mut self, layout: &Layout, now_ms: i64) {
        self.artifacts = self.artifacts.take().filter(|folder| {
            let now = artifacts_folder::configured(layout);
            now.as_ref() == Some(folder)
        });
        self.healthy_ms = Some(now_ms);
        self.failed = None;
    }

    /// Where the GoCD in this process keeps artifacts since its start; none where it has not started yet, or that is
    /// not known.
    pub fn artifacts_in_use(&self) -> Option<&Path> {
        let runs = self.process == ProcessId::own() && self.healthy_ms.is_some();
        self.artifacts.as_deref().filter(|_| runs)
    }

    /// Loads what is known of the last start of GoCD; none where there was none.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged: then nothing is known of it.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(None);
        };
        seal::read(&text).map(Some).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!("{} is damaged; it tells how GoCD's last start went", path.display()),
                "Look at go-server.log. The next start of GoCD writes it anew.",
            )
        })
    }

    /// Saves what is known of the last start of GoCD, durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a start has only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }
}

impl FailedStart {
    /// What to say of a start of GoCD that failed, and what to do.
    pub fn message(&self) -> String {
        format!(
            "GoCD was started at {} and ended before it answered. {}",
            words::moment(self.began_ms),
            why(self.errors.as_deref(), &self.log)
        )
    }
}

/// Says why GoCD ended, by the last errors in its log, and what to do; none of them where it cannot be read.
pub fn why(errors: Option<&[String]>, log: &str) -> String {
    const THEN: &str = "Mend that, then start GoCD again.";
    match errors {
        Some([]) => format!(
            "Its log {log} has no error of that start: somebody stopped it, or the log of the wrapper says more. {THEN}"
        ),
        Some(errors) => format!("The last errors in its log {log}: {}. {THEN}", errors.join(" | ")),
        None => format!("Its log {log} cannot be read from here: look at its last ERROR. {THEN}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::basics::Properties;

    fn layout_of(folder: &Path) -> Layout {
        Layout::from_properties(&Properties::from_iter([("user.dir", folder.to_str().expect("UTF-8"))]))
    }

    /// A start in a process that has ended.
    fn of_another(log: &Path) -> GocdStart {
        let mut start = GocdStart::now(log, 1_000);
        start.process.id = u32::MAX;
        start
    }

    #[test]
    fn a_start_that_never_answered_has_failed_until_one_answers() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("go-server.log");
        fs::write(&log, "2026-11-29 10:00:00,1 ERROR [main] Old - of another start\n").expect("write");
        assert_eq!(GocdStart::load(folder.path()), Ok(None));
        let first = of_another(&log);
        first.save(folder.path()).expect("saved");
        let text = fs::read_to_string(&log).expect("text");
        fs::write(
            &log,
            text + "2026-11-29 10:00:00,1 ERROR [main] X - why\nCaused by: the deepest\n",
        )
        .expect("write");

        let found = GocdStart::load(folder.path()).expect("readable");
        let mut second = GocdStart::after(found, &log, 5_000);
        let said = second.failure().expect("it failed").message();
        for part in [
            "1970-01-01 00:00:01 UTC",
            "ERROR [main] X - why | Caused by: the deepest",
            "go-server.log",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("another start"), "{said}");
        second.save(folder.path()).expect("saved");
        let found = GocdStart::load(folder.path()).expect("readable");
        assert_eq!(
            GocdStart::after(found, &log, 9_000),
            second,
            "the agent and the plugin are one process"
        );
        second.succeeds(&layout_of(folder.path()), 6_000);
        assert_eq!(second.failure(), None);
        let later = GocdStart {
            process: of_another(&log).process,
            ..second
        };
        assert_eq!(
            GocdStart::after(Some(later), &log, 9_000).failure(),
            None,
            "it ran, and ended later"
        );
    }

    #[test]
    fn where_gocd_keeps_artifacts_is_known_where_nobody_edited_it_during_its_start() {
        let folder = tempfile::tempdir().expect("folder");
        let layout = layout_of(folder.path());
        fs::create_dir(folder.path().join("config")).expect("folder");
        let name = |dir: &str| {
            let named = format!("<artifacts><artifactsDir>{dir}</artifactsDir></artifacts>");
            let config = format!("<cruise><server>{named}</server></cruise>");
            fs::write(layout.cruise_config(), config).expect("write");
        };
        let unread = GocdStart::now(&layout.gocd_log(), 1_000).about_to_read(&layout);
        assert_eq!(unread.artifacts, None, "there is no configuration yet");
        name("kept");
        let mut start = GocdStart::now(&layout.gocd_log(), 1_000).about_to_read(&layout);
        assert_eq!(start.artifacts_in_use(), None, "it may not have read it yet");
        let mut edited = start.clone();
        start.succeeds(&layout, 2_000);
        let kept = folder.path().join("kept");
        assert_eq!(start.artifacts_in_use(), Some(kept.as_path()));
        name("/elsewhere");
        assert_eq!(start.artifacts_in_use(), Some(kept.as_path()));
        edited.succeeds(&layout, 2_000);
        assert_eq!(edited.artifacts_in_use(), None);
        start.process.id = u32::MAX;
        assert_eq!(start.artifacts_in_use(), None, "that was another GoCD");
        let mut promoted = GocdStart::promoted(&layout, false, 3_000);
        promoted.succeeds(&layout, 4_000);
        assert_eq!(promoted.artifacts_in_use(), Some(Path::new("/elsewhere")));
    }

    #[test]
    fn without_a_log_or_an_error_that_is_said() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("go-server.log");
        let said = |start: &GocdStart| start.failure().expect("it failed").message();
        assert!(said(&of_another(&log)).contains("cannot be read"));
        fs::write(&log, "INFO\n").expect("write");
        assert!(said(&of_another(&log)).contains("no error of that start"));
        fs::write(folder.path().join(FILE), "{\"format\":1}").expect("write");
        let error = GocdStart::load(folder.path()).expect_err("damaged");
        assert!(error.to_string().contains("is damaged"), "{error}");
    }
}
