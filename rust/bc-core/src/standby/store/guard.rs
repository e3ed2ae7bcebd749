//! The guard against mass deletion: an empty, unmounted or vanished plugin folder on the primary empties no standby.
//!
//! The live plugins, and each set of them that was live in the last [`WINDOW`], are what a generation is held
//! against, so that a folder that empties one jar at a time is noticed too. Where too many plugins are lost the jars
//! stay and everything else goes on. A kept jar is held until an administrator allows the deletion or the primary
//! has the plugin again, however long that takes; it stays ours meanwhile, so that it can go then.
//!
//! What counts is the plugin's id, ignoring case as GoCD does: a renamed or upgraded jar is no loss. A jar without a
//! readable id counts by its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::words,
    generation::{Entry, ManifestDocument, Name},
};

/// How long a set of plugins that was live is remembered.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// So many lost plugins are too many.
const TOO_MANY: usize = 3;

/// What the guard remembers; part of the record, so that a restart does not forget it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guard {
    /// Jars that the primary no longer has and that are held.
    kept: BTreeSet<Name>,
    /// Sets that were live, each fuller than all later ones.
    past: Vec<Past>,
}

/// Plugins that were live together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    /// When another set took its place, by this node's clock.
    until_ms: i64,
    plugins: BTreeSet<String>,
}

impl Guard {
    /// The jars that the guard holds.
    pub(super) fn kept(&self) -> &BTreeSet<Name> {
        &self.kept
    }

    /// Which of the live jars in `lacking`, which are ours and which the generation has no file for, have to stay.
    /// `live` are the files that are ours, `lacking` among them.
    pub(super) fn jars_that_stay(
        &self,
        generation: &ManifestDocument,
        live: &BTreeMap<&Name, &Entry>,
        lacking: &[Name],
        now_ms: i64,
    ) -> Vec<Name> {
        let there = plugins(generation.files.iter());
        let here = plugins(live.iter().map(|(name, entry)| (*name, *entry)));
        let is_lost = |plugin: &String| !there.contains(plugin) && !is_unreadable_there(generation, live, plugin);
        let fullest = self
            .past
            .iter()
            .filter(|past| past.is_recent(now_ms))
            .map(|past| &past.plugins)
            .chain([&here])
            .max_by_key(|plugins| plugins.len());
        let lost = fullest.map_or(0, |plugins| plugins.iter().filter(|plugin| is_lost(plugin)).count());
        // What is there and has no bytes on offer yet may be any of them.
        let to_come = withheld_there(generation);
        let is_mass = lost >= TOO_MANY + to_come || (lost > 0 && there.is_empty() && to_come == 0);
        lacking
            .iter()
            .filter(|name| matches!(name, Name::Plugin(_)) && (is_mass || self.kept.contains(*name)))
            // What the primary has under another name is no loss, and GoCD would load either.
            .filter(|name| live.get(name).is_some_and(|entry| ids(name, entry).iter().any(is_lost)))
            .cloned()
            .collect()
    }

    /// The guard as it is after a generation became live in the place of `live`, with the jars in `kept` beside it.
    pub(super) fn after(&self, live: &BTreeMap<&Name, &Entry>, kept: &[Name], now_ms: i64) -> Self {
        let mut past: Vec<Past> = self.past.clone();
        past.push(Past {
            until_ms: now_ms,
            plugins: plugins(live.iter().map(|(name, entry)| (*name, *entry))),
        });
        // Of two sets the later one is remembered for longer; an earlier one counts only where it is fuller.
        let mut fullest = 0;
        let mut fuller: Vec<Past> = past
            .into_iter()
            .rev()
            .filter(|past| {
                let counts = past.is_recent(now_ms) && past.plugins.len() > fullest;
                fullest = fullest.max(past.plugins.len());
                counts
            })
            .collect();
        fuller.reverse();
        Self {
            kept: kept.iter().cloned().collect(),
            past: fuller,
        }
    }
}

impl Past {
    /// A clock that was set back makes nothing recent for longer than [`WINDOW`] either way.
    fn is_recent(&self, now_ms: i64) -> bool {
        u128::from(now_ms.abs_diff(self.until_ms)) < WINDOW.as_millis()
    }
}

/// What the guard says to an administrator; none where nothing is held.
pub(super) fn warning(kept: &[Name]) -> Option<String> {
    (!kept.is_empty()).then(|| {
        format!(
            "{} plugins are gone on the primary at once and are kept here: {}. Check that the primary's plugin folder \
             is mounted and whole; if they were removed on purpose, run gocd-bc sync --allow-deletions here.",
            kept.len(),
            words::list(kept)
        )
    })
}

/// The plugin ids of all jars, for the guard.
fn plugins<'a>(files: impl Iterator<Item = (&'a Name, &'a Entry)>) -> BTreeSet<String> {
    files
        .filter(|(name, _)| matches!(name, Name::Plugin(_)))
        .flat_map(|(name, entry)| ids(name, entry))
        .collect()
}

/// The plugin ids of a jar, of which a bundle has several, or its name, which no id is like.
fn ids(name: &Name, entry: &Entry) -> Vec<String> {
    match &entry.plugin {
        Some(plugin) => plugin.id.split(',').map(str::to_ascii_lowercase).collect(),
        None => vec![name.to_string()],
    }
}

/// Whether a live jar with this plugin is there on the primary under its name, but cannot be read there: it is
/// being written, and replaced here, not removed.
fn is_unreadable_there(generation: &ManifestDocument, live: &BTreeMap<&Name, &Entry>, plugin: &String) -> bool {
    live.iter().any(|(name, entry)| {
        let there = generation.files.get(*name);
        there.is_some_and(|there| there.plugin.is_none()) && ids(name, entry).contains(plugin)
    })
}

/// How many jars are there on the primary of which nothing is here yet, not even an earlier version: they are withheld
/// while somebody writes them.
fn withheld_there(generation: &ManifestDocument) -> usize {
    let names = generation.withheld.files.keys();
    names
        .filter(|name| matches!(name, Name::Plugin(_)) && !generation.files.contains_key(*name))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::descriptor::tests::plugin;
    use crate::{
        generation::Reason,
        standby::store::contract::{Files, jar},
    };

    const MINUTE: i64 = 60_000;

    /// Live files that follow a primary's.
    #[derive(Default)]
    struct Standby {
        guard: Guard,
        live: BTreeMap<Name, Entry>,
    }

    impl Standby {
        /// Follows these plugins; returns the jars that are kept.
        fn follow(&mut self, files: &Files, now_ms: i64) -> Vec<Name> {
            self.follow_withholding(files, &[], now_ms)
        }

        /// The same, where these names are there and withheld.
        fn follow_withholding(&mut self, files: &Files, withheld: &[&str], now_ms: i64) -> Vec<Name> {
            let mut document = files.document(1);
            let names = names(withheld).into_iter().map(|name| (name, Reason::BeingWritten));
            document.withheld.files.extend(names);
            let live: BTreeMap<&Name, &Entry> = self.live.iter().collect();
            let lacking: Vec<Name> = self
                .live
                .keys()
                .filter(|name| !document.files.contains_key(*name))
                .cloned()
                .collect();
            let kept = self.guard.jars_that_stay(&document, &live, &lacking, now_ms);
            self.guard = self.guard.after(&live, &kept, now_ms);
            self.live.retain(|name, _| kept.contains(name));
            self.live.extend(document.files);
            // What a restart leaves of it.
            let text = serde_json::to_string(&self.guard).expect("plain fields");
            self.guard = serde_json::from_str(&text).expect("as written");
            kept
        }
    }

    fn jars(ids: &[&str]) -> Files {
        ids.iter().fold(Files::default(), |files, id| {
            files.with(jar(&format!("{id}.jar")), &plugin(id, "1"))
        })
    }

    fn names(ids: &[&str]) -> Vec<Name> {
        ids.iter().map(|id| jar(&format!("{id}.jar"))).collect()
    }

    #[test]
    fn three_are_too_many_and_two_are_not() {
        for (left, kept) in [(&["a", "b"][..], &["c", "d", "e"][..]), (&["a", "b", "c"], &[])] {
            let mut standby = Standby::default();
            assert_eq!(standby.follow(&jars(&["a", "b", "c", "d", "e"]), 0), []);
            assert_eq!(standby.follow(&jars(left), MINUTE), names(kept));
        }
    }

    #[test]
    fn the_last_one_is_kept() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a"]), 0);
        assert_eq!(standby.follow(&Files::default(), 60 * MINUTE), names(&["a"]));
    }

    #[test]
    fn a_folder_that_empties_slowly_is_noticed() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d", "e"]), 0);
        assert_eq!(standby.follow(&jars(&["a", "b", "c", "d"]), MINUTE), []);
        assert_eq!(standby.follow(&jars(&["a", "b", "c"]), 2 * MINUTE), []);
        assert_eq!(standby.follow(&jars(&["a", "b"]), 3 * MINUTE), names(&["c"]));
    }

    #[test]
    fn plugins_that_go_over_an_hour_go() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d", "e"]), 0);
        for (number, left) in [&["a", "b", "c", "d"][..], &["a", "b", "c"], &["a", "b"]]
            .iter()
            .enumerate()
        {
            let now_ms = i64::try_from(number + 1).expect("small") * 20 * MINUTE;
            assert_eq!(standby.follow(&jars(left), now_ms), []);
        }
    }

    #[test]
    fn what_is_kept_stays_kept_until_the_primary_has_it_again() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d"]), 0);
        assert_eq!(standby.follow(&jars(&["a"]), MINUTE), names(&["b", "c", "d"]));
        assert_eq!(standby.follow(&jars(&["a"]), 90 * MINUTE), names(&["b", "c", "d"]));
        // Two lost ones would be few enough, but they were kept.
        assert_eq!(standby.follow(&jars(&["a", "b"]), 200 * MINUTE), names(&["c", "d"]));
        let upgraded = jars(&["a", "b"]).with(jar("c-2.jar"), &plugin("C", "2"));
        assert_eq!(standby.follow(&upgraded, 300 * MINUTE), names(&["d"]));
        assert_eq!(standby.follow(&jars(&["a", "b", "c", "d"]), 400 * MINUTE), []);
    }

    #[test]
    fn renamed_and_upgraded_jars_are_no_loss_and_unreadable_ones_count_by_name() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c"]), 0);
        let upgraded = ["a", "b", "c"].iter().fold(Files::default(), |files, id| {
            files.with(jar(&format!("{id}-2.jar")), &plugin(id, "2"))
        });
        assert_eq!(standby.follow(&upgraded, MINUTE), []);
        assert_eq!(standby.live.len(), 3);
        let opaque = ["x", "y", "z"].iter().fold(upgraded.clone(), |files, name| {
            files.with(jar(&format!("{name}.jar")), b"no zip")
        });
        assert_eq!(standby.follow(&opaque, 2 * MINUTE), []);
        assert_eq!(standby.follow(&upgraded, 3 * MINUTE), names(&["x", "y", "z"]));
    }

    #[test]
    fn what_is_on_its_way_under_a_name_is_no_loss() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d", "e"]), 0);
        standby.follow(&jars(&["a", "b", "c", "d"]), 1);
        standby.follow(&jars(&["a", "b", "c"]), 2);
        // Two are there again and not yet whole, and a third one goes.
        let rest = jars(&["a", "b"]);
        assert_eq!(standby.follow_withholding(&rest, &["d", "e"], 3), []);
        assert_eq!(standby.follow(&rest, 4), [], "it went by itself");
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d"]), 0);
        assert_eq!(
            standby.follow_withholding(&jars(&["a"]), &["e"], 1),
            [],
            "any of the three may be it"
        );
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d", "e"]), 0);
        assert_eq!(
            standby.follow_withholding(&jars(&["a"]), &["f"], 1),
            names(&["b", "c", "d", "e"]),
            "not all of them"
        );
    }

    #[test]
    fn jars_that_are_just_being_written_are_no_loss() {
        let mut standby = Standby::default();
        standby.follow(&jars(&["a", "b", "c", "d"]), 0);
        let torn = ["a", "b", "c"]
            .iter()
            .fold(jars(&["e"]), |files, id| files.with(jar(&format!("{id}.jar")), b"half"));
        assert_eq!(standby.follow(&torn, MINUTE), []);
    }
}
