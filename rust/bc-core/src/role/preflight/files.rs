//! Whether GoCD could start on the files that are here.

use std::path::Path;

use super::{About, Check, Facts, Launcher, Secrets};
use crate::{
    basics::{mount::Room, regular_file, words},
    generation::Layout,
    gocd::{
        cipher::{Attempt, Key},
        cruise_config::{self, CruiseConfig},
        version,
    },
};

/// So many elements are named whose secrets cannot be decrypted.
const MOST_NAMED: usize = 5;

/// The lines of the preflight about the files.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![
        generation(facts),
        secrets(&facts.secrets),
        gocd_version(facts),
        launcher(facts.launcher),
        room(facts),
    ]
}

/// Tries, for the preflight of a promotion, which values of the live configuration the live key decrypts.
pub fn read_secrets(layout: &Layout) -> Secrets {
    let read = |path: &Path| {
        regular_file::read_if_there(path, regular_file::LARGEST_OF_OURS).map_err(|error| error.to_string())
    };
    let live = || {
        let path = layout.cruise_config();
        let text = read(path)?.ok_or_else(|| format!("there is no {}", path.display()))?;
        let config = CruiseConfig::read(&text).map_err(|why| format!("{} {why}", path.display()))?;
        let key = match config.secrets.is_empty() {
            true => None,
            false => read(&layout.cipher_aes())?.and_then(|key| Key::read(&key)),
        };
        let mut open = 0;
        let mut shut = Vec::new();
        for secret in &config.secrets {
            match key.as_ref().map_or(Attempt::OtherKey, |key| key.attempt(&secret.value)) {
                Attempt::Decrypts => open += 1,
                Attempt::OtherKey => shut.push(secret.end),
                // It says nothing of the key.
                Attempt::Malformed => {}
            }
        }
        let shut = cruise_config::paths(&text, &shut);
        Ok::<_, String>(Secrets::Read { open, shut })
    };
    live().unwrap_or_else(Secrets::Unread)
}

/// Bytes that are free, for the preflight of a promotion, on the disk of the state folder; none where nobody knows.
pub fn free(layout: &Layout) -> Option<u64> {
    Room::of(layout.state_dir()).map(|room| room.bytes)
}

fn generation(facts: &Facts) -> Check {
    match (facts.applied, facts.has_newest) {
        (None, _) => Check::refuses(
            About::Generation,
            "no generation of a primary was ever applied here: no byte that GoCD would start on was verified",
            "Let this server follow its primary first (`gocd-bc status`), or promote the database yourself and run `gocd-bc \
             promote --without-database --as-it-is`.",
        ),
        (Some(sequence), true) => Check::fine(
            About::Generation,
            format!("sequence {sequence}, the newest that the primary is known to have"),
        ),
        (Some(sequence), false) => Check::warns(
            About::Generation,
            format!("sequence {sequence}; whether that was the primary's newest is not known"),
            "Edits that were made since are on the primary's disk alone.",
        ),
    }
}

fn secrets(secrets: &Secrets) -> Check {
    const ABOUT: About = About::Secrets;
    let named = |shut: &[String]| {
        let mut named: Vec<String> = shut.iter().take(MOST_NAMED).cloned().collect();
        if shut.len() > MOST_NAMED {
            named.push(format!("{} more", shut.len() - MOST_NAMED));
        }
        named.join(", ")
    };
    match secrets {
        Secrets::Unread(why) => Check::refuses(
            ABOUT,
            format!("the live configuration cannot be read: {why}"),
            "Run `gocd-bc verify`, which mends what is not what was verified.",
        ),
        Secrets::Read { open: 0, shut } if shut.is_empty() => Check::fine(ABOUT, "none in the configuration"),
        Secrets::Read { open: 0, shut } => Check::refuses(
            ABOUT,
            format!(
                "none of the {} secrets of the configuration can be decrypted with the cipher.aes here",
                shut.len()
            ),
            "Run `gocd-bc verify`, which mends what is not what was verified; else put the primary's cipher.aes beside \
             cruise-config.xml.",
        ),
        Secrets::Read { open, shut } if shut.is_empty() => Check::fine(ABOUT, format!("all {open} can be decrypted")),
        Secrets::Read { open, shut } => Check::warns(
            ABOUT,
            format!("{open} can be decrypted, {} cannot: {}", shut.len(), named(shut)),
            "They may have been made with another cipher.aes: GoCD says the same on the primary.",
        ),
    }
}

fn gocd_version(facts: &Facts) -> Check {
    const ABOUT: About = About::GocdVersion;
    match (&facts.gocd, &facts.files_gocd) {
        (Some(own), Some(theirs)) if own == theirs => Check::fine(ABOUT, format!("{own} on both nodes")),
        (Some(own), Some(theirs)) => match version::migrates(own, theirs) {
            Some(migrates) => Check::warns(
                ABOUT,
                migrates,
                format!(
                    "Go on if this upgrade is meant, and has a backup; install GoCD {own} on the other server after it."
                ),
            ),
            None => Check::refuses(
                ABOUT,
                format!("GoCD here is {own}, and the files are of a primary with {theirs}"),
                format!("Install GoCD {theirs} on this server and restart it, then run the command again."),
            ),
        },
        (own, theirs) => {
            let word = |version: &Option<String>| version.clone().unwrap_or_else(|| "not known".to_owned());
            Check::warns(
                ABOUT,
                format!("here {}, on the primary {}", word(own), word(theirs)),
                "Both must be the same.",
            )
        }
    }
}

fn launcher(launcher: Launcher) -> Check {
    const ABOUT: About = About::Launcher;
    match launcher {
        Launcher::Same => Check::fine(ABOUT, "the one that this JVM was started with"),
        Launcher::Unknown => Check::fine(ABOUT, "there is no JVM here that waits with it"),
        Launcher::Replaced => Check::refuses(
            ABOUT,
            "GoCD's go.jar was replaced while this JVM waits, which has parts of the old one in memory",
            "Restart this server, which is held again, then run the command again.",
        ),
    }
}

fn room(facts: &Facts) -> Check {
    const ABOUT: About = About::Room;
    let size = words::size;
    match facts.free {
        None => Check::warns(ABOUT, "how much is free is not known", ""),
        Some(free) if free < facts.wanted_free => Check::refuses(
            ABOUT,
            format!(
                "{} are free on the disk of the state folder, and {} are to be",
                size(free),
                size(facts.wanted_free)
            ),
            "Make room there, or lower bc.free.space: GoCD stops scheduling where its disk is nearly full.",
        ),
        Some(free) => Check::fine(ABOUT, format!("{} are free", size(free))),
    }
}
