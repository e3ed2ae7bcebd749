//! What GoCD was promoted with, and whether it runs with that.
//!
//! GoCD that dislikes its configuration falls back to the one in its own `db/config.git`, keeps the other one as
//! `cruise-config.xml.invalid.*`, and starts: its health says nothing of that.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, clock::millis, regular_file, words},
    generation::Layout,
    gocd::{log, xml::Outline},
};

/// The beginning of the names under which GoCD keeps what it refuses.
const INVALID: &str = "cruise-config.xml.invalid";
/// File systems keep times less exactly than the clock tells them, in milliseconds.
const INEXACT_MS: i64 = 2_000;
/// So many of each are named.
const NAMED: usize = 3;

/// The configuration with which GoCD was promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// The digest of `cruise-config.xml`; none where it could not be read.
    pub config: Option<Digest>,
    /// The `serverId` in it.
    pub server_id: Option<String>,
}

impl Promoted {
    /// Looks at the configuration that is live.
    pub fn look(layout: &Layout) -> Self {
        let text = regular_file::read(layout.cruise_config(), regular_file::LARGEST_OF_OURS).ok();
        Self {
            config: text.as_deref().map(Digest::of),
            server_id: text.and_then(|text| Outline::read(&text).ok()?.server_id),
        }
    }

    /// Says what is not as it was when GoCD was promoted at `began_ms` with its log at `log_from`, and what to do. What
    /// cannot be looked at is not said to be wrong.
    pub fn differences(&self, layout: &Layout, began_ms: i64, log_from: u64) -> Vec<String> {
        let (now, file) = (Self::look(layout), layout.cruise_config().display());
        let mut lines = Vec::new();
        if let (Some(before), Some(now)) = (&self.server_id, &now.server_id)
            && before != now
        {
            let shown = |id: &str| words::shown(id, 64);
            lines.push(format!(
                "GoCD's serverId is {} and was promoted as {}: agents of the former do not know this server. Stop GoCD, put \
                 the promoted {file} back (`gocd-bc generations`) and start it",
                shown(now),
                shown(before)
            ));
        }
        if let (Some(before), Some(now)) = (self.config, now.config)
            && before != now
        {
            lines.push(format!(
                "GoCD runs on another {file} than it was promoted with: it wrote that one anew, or fell back to the one in \
                 its own db/config.git. Compare them (`gocd-bc generations`, and GoCD's Config XML page with its history), and \
                 put right what is missing"
            ));
        }
        let invalid = invalid_since(layout.cruise_config(), began_ms.saturating_sub(INEXACT_MS));
        if !invalid.is_empty() {
            lines.push(format!(
                "GoCD refused the configuration that it was promoted with, and kept it as {}: go-server.log says why; mend \
                 it on GoCD's Config XML page",
                words::list(invalid.iter().take(NAMED).map(|file| file.display()))
            ));
        }
        let log_file = layout.gocd_log();
        let plugins = log::plugins_refused_since(&log_file, log_from).unwrap_or_default();
        if !plugins.is_empty() {
            lines.push(format!(
                "GoCD did not load a plugin, by {}: {}. Look at Admin > Plugins",
                log_file.display(),
                plugins
                    .iter()
                    .take(NAMED)
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(" | ")
            ));
        }
        lines
    }
}

/// What GoCD has refused since then, beside its configuration.
fn invalid_since(config: &Path, since_ms: i64) -> Vec<PathBuf> {
    let entries = config.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut found: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(INVALID))
        .filter(|entry| {
            let written = entry.metadata().and_then(|file| file.modified());
            written.is_ok_and(|written| millis(written) >= since_ms)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Properties;

    #[test]
    fn what_gocd_made_of_its_configuration_is_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let layout = Layout::from_properties(&Properties::from_iter([(
            "user.dir",
            folder.path().to_str().expect("UTF-8"),
        )]));
        fs::create_dir(folder.path().join("config")).expect("folder");
        fs::create_dir(folder.path().join("logs")).expect("folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("write");
        let of = |id: &str| format!("<cruise><server serverId=\"{id}\"/></cruise>");
        write("config/cruise-config.xml", &of("one"));
        write("config/cruise-config.xml.invalid.old", "");
        write(
            "logs/go-server.log",
            "ERROR Class [a.B] could not be loaded. Message: [x].\n",
        );
        let began_ms = millis(std::time::SystemTime::now()) + 60_000;
        let promoted = Promoted::look(&layout);
        assert_eq!(promoted.server_id.as_deref(), Some("one"));
        let log_from = log::end(&layout.gocd_log());
        assert_eq!(promoted.differences(&layout, began_ms, log_from), [""; 0]);

        write("config/cruise-config.xml", &of("two"));
        let lines = promoted.differences(&layout, 0, 0);
        let parts = [
            "serverId is two and was promoted as one",
            "another",
            "invalid.old",
            "could not be loaded",
        ];
        assert_eq!(lines.len(), parts.len(), "{lines:#?}");
        for (line, part) in lines.iter().zip(parts) {
            assert!(line.contains(part), "{part}: {line}");
        }
        fs::remove_dir_all(folder.path().join("config")).expect("gone");
        assert_eq!(
            promoted.differences(&layout, began_ms, log_from),
            [""; 0],
            "nothing is known"
        );
    }
}
