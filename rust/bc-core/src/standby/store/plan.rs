//! What has to be done so that the live files are those of a generation.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    files::descriptor,
    generation::{Entry, JarName, ManifestDocument, Name},
    standby::store::guard::Guard,
};

/// Everything that differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files that are missing or have other bytes, in the order in which they are written: plugins first,
    /// cruise-config.xml last.
    pub(super) write: Vec<(Name, Entry)>,
    /// Our files that the generation lacks.
    pub(super) remove: Vec<Name>,
    /// Our jars that the generation lacks and that stay, since too many plugins would go at once.
    pub(super) kept: Vec<Name>,
    /// What the guard is to remember once the plan is carried out.
    pub(super) guard: Guard,
    /// Local jars that GoCD would take for a plugin of the generation; it would load either
    /// (`DefaultPluginRegistry`).
    pub(super) set_aside: Vec<JarName>,
    /// For people.
    pub(super) warnings: Vec<String>,
}

impl Plan {
    /// Whether the plan changes nothing: the live files are the generation already.
    pub(super) fn is_empty(&self) -> bool {
        self.write.is_empty() && self.remove.is_empty() && self.set_aside.is_empty()
    }

    /// The names of the files that the plan changes.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        let write = self.write.iter().map(|(name, _)| name.clone());
        let set_aside = self.set_aside.iter().cloned().map(Name::Plugin);
        write.chain(self.remove.iter().cloned()).chain(set_aside)
    }
}

/// Plans what has to change for a generation to be live. `ours` are the names that the last applied generation had, and
/// the jars that were kept beside it; nothing else is ever removed. With `may_delete` many plugins may go at once, and
/// the guard begins anew.
pub(super) fn plan(
    generation: &ManifestDocument,
    live: &BTreeMap<Name, Entry>,
    ours: &BTreeSet<Name>,
    guard: &Guard,
    may_delete: bool,
    now_ms: i64,
) -> Plan {
    let mut plan = Plan::default();
    for (name, entry) in &generation.files {
        if live.get(name).is_none_or(|here| here.sha256 != entry.sha256) {
            plan.write.push((name.clone(), entry.clone()));
        }
    }
    plan.warnings.extend(doubled(generation));
    let mut unknown = Vec::new();
    for (name, here) in live.iter().filter(|(name, _)| !generation.files.contains_key(*name)) {
        // What the primary could not look at was not removed there.
        if generation.withheld.reason(name).is_some() {
            if ours.contains(name) {
                if !guard.kept().contains(name) {
                    plan.warnings.push(format!(
                        "{name} stays as it is and was not verified: it came from the primary, which does not offer its own \
                         now, and it is lost here what was in it then"
                    ));
                }
                unknown.push(name.clone());
            } else {
                plan.warnings.push(format!(
                    "{name} stays as it is and was not verified: it did not come from the primary, which does not offer \
                     its own"
                ));
            }
            continue;
        }
        if ours.contains(name) {
            if generation.extra_is_unknown && matches!(name, Name::Extra(_)) {
                plan.warnings.push(format!(
                    "{name} stays as it is, since bc.sync.extra of the primary is wrong and does not say whether it is \
                     still there"
                ));
            } else {
                plan.remove.push(name.clone());
            }
            continue;
        }
        let Name::Plugin(jar) = name else { continue };
        match duplicated(generation, here, |_| true) {
            Some((other, id)) => {
                plan.warnings.push(format!(
                    "{name} was kept aside in the state folder, since the primary has the plugin {id} as {other}"
                ));
                plan.set_aside.push(jar.clone());
            }
            None => plan
                .warnings
                .push(format!("{name} is only here and not on the primary")),
        }
    }
    if !may_delete {
        let ours: BTreeMap<&Name, &Entry> = live.iter().filter(|(name, _)| ours.contains(*name)).collect();
        plan.kept = guard.jars_that_stay(generation, &ours, &plan.remove, now_ms);
        plan.remove.retain(|name| !plan.kept.contains(name));
        // What waits for an administrator goes on waiting.
        plan.kept
            .extend(unknown.into_iter().filter(|name| guard.kept().contains(name)));
        plan.guard = guard.after(&ours, &plan.kept, now_ms);
    }
    plan
}

/// What a plan says of jars that are kept since the primary cannot offer them, where it offers the same plugin under
/// another name: nobody can tell whether it still has both.
pub(super) fn doubled(generation: &ManifestDocument) -> Vec<String> {
    let is_offered = |name: &Name| !generation.retained.contains(name);
    let double = |name: &Name| {
        let (other, id) = duplicated(generation, generation.files.get(name)?, is_offered)?;
        Some(format!(
            "{name} and {other} are both the plugin {id}, and GoCD would load either: the primary cannot offer {name}, so it \
             stays here until it is mended or removed there"
        ))
    };
    generation.retained.iter().filter_map(double).collect()
}

/// Which of the jars that count is the same plugin as this one.
fn duplicated<'a>(
    generation: &'a ManifestDocument,
    here: &Entry,
    counts: impl Fn(&Name) -> bool,
) -> Option<(&'a Name, &'a str)> {
    let here = &here.plugin.as_ref()?.id;
    let mut files = generation.files.iter().filter(|(name, _)| counts(name));
    files.find_map(|(name, entry)| {
        let there = &entry.plugin.as_ref()?.id;
        descriptor::shares_an_id(here, there).then_some((name, there.as_str()))
    })
}
