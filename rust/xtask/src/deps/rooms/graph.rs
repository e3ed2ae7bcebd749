//! Which of the modules that stand side by side import which.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{ModulePath, Sources};

/// From one module to one beside it, and who makes it so.
type Arrows = BTreeMap<(String, String), ModulePath>;

/// The arrows below each module.
pub(crate) struct Graph {
    below: BTreeMap<ModulePath, Arrows>,
}

impl Graph {
    /// That of a crate.
    pub(crate) fn of(sources: &Sources) -> Self {
        let modules: BTreeSet<&[String]> = sources.modules.iter().map(Vec::as_slice).collect();
        let mut below: BTreeMap<ModulePath, Arrows> = BTreeMap::new();
        for (by, path) in &sources.named {
            let Some(target) = target(by, path, &modules) else {
                continue;
            };
            let shared = by.iter().zip(&target).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (by.get(shared), target.get(shared)) {
                let arrows = below.entry(by[..shared].to_vec()).or_default();
                arrows.entry((from.clone(), to.clone())).or_insert_with(|| by.clone());
            }
        }
        Self { below }
    }

    /// A line for each module in which modules stand in a circle.
    pub(crate) fn circles(&self) -> Vec<String> {
        let circles = self.below.iter().filter_map(|(module, arrows)| {
            let left = in_circles(arrows);
            let place = if module.is_empty() {
                "the crate".to_owned()
            } else {
                module.join("::")
            };
            let arrow =
                |((from, to), by): (&(String, String), &ModulePath)| format!("{from} -> {to} (in {})", by.join("::"));
            let words: Vec<String> = left.iter().map(arrow).collect();
            (!words.is_empty()).then(|| format!("a circle in {place}: {}", words.join(", ")))
        });
        circles.collect()
    }

    /// A line for each arrow between the crate's own modules that goes against their order, or joins what stands apart.
    pub(crate) fn against<'a>(
        &self,
        order: impl Iterator<Item = &'a str> + Clone,
        (one, other): (&str, &str),
    ) -> Vec<String> {
        let floor = |name: &str| order.clone().position(|listed| listed == name);
        let Some(arrows) = self.below.get(&Vec::new()) else {
            return Vec::new();
        };
        let lines = arrows.iter().filter_map(|((from, to), by)| {
            let is_apart = [(one, other), (other, one)].contains(&(from.as_str(), to.as_str()));
            let why = if is_apart {
                "and neither may know the other"
            } else if floor(to) > floor(from) {
                "which stands above it"
            } else {
                return None;
            };
            Some(format!("{from} imports {to}, {why} (in {})", by.join("::")))
        });
        lines.collect()
    }
}

/// The module that a path means, where it is one of this crate's.
fn target(by: &ModulePath, path: &[String], modules: &BTreeSet<&[String]>) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    let mut full: ModulePath = match first.as_str() {
        "crate" => rest.to_vec(),
        "self" | "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            let from_here = path
                .iter()
                .skip_while(|name| ["self", "super"].contains(&name.as_str()));
            let base = &by[..by.len().checked_sub(ups)?];
            base.iter().chain(from_here).cloned().collect()
        }
        _ => {
            let full = [by.as_slice(), path].concat();
            modules.contains(&full[..=by.len()]).then_some(full)?
        }
    };
    while !modules.contains(full.as_slice()) {
        full.pop()?;
    }
    Some(full)
}

/// The arrows that are left when whatever imports nothing, or is imported by nothing, is taken away time after time.
fn in_circles(arrows: &Arrows) -> Arrows {
    let mut left = arrows.clone();
    loop {
        let before = left.len();
        let from: BTreeSet<String> = left.keys().map(|(from, _)| from.clone()).collect();
        let to: BTreeSet<String> = left.keys().map(|(_, to)| to.clone()).collect();
        left.retain(|(one, other), _| from.contains(other) && to.contains(one));
        if left.len() == before {
            return left;
        }
    }
}
