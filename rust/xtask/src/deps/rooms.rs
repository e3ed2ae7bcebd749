//! In which direction the modules of a crate import each other.
//!
//! Modules that stand side by side import each other in one direction only, each counted with all that is below it. The
//! modules of a crate whose `lib.rs` lists them from the ground up import only what is listed before them. A module and
//! those below it may use each other, and tests may use everything.

mod graph;
mod source;

use std::path::Path;

use anyhow::Result;

use self::{graph::Graph, source::Sources};
use crate::project::Project;

/// The crates that are looked at.
const CRATES: [&str; 6] = ["bc-core", "bc-server", "bc-jni", "bc-cli", "bc-testkit", "xtask"];
/// The one that lists its modules from the ground up.
const IN_ORDER: &str = "bc-core";
/// Modules of it that import nothing of each other, whichever is listed first.
const APART: (&str, &str) = ("primary", "standby");

/// Every import in the wrong direction.
pub(crate) fn violations(project: &Project) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for name in CRATES {
        let found = of_crate(&project.path(&format!("rust/{name}/src")), name == IN_ORDER)?;
        violations.extend(found.into_iter().map(|violation| format!("{name}: {violation}")));
    }
    Ok(violations)
}

fn of_crate(folder: &Path, in_order: bool) -> Result<Vec<String>> {
    let sources = Sources::read(folder)?;
    let graph = Graph::of(&sources);
    let mut violations = graph.circles();
    if in_order {
        violations.extend(graph.against(sources.roots(), APART));
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Violations of a crate with these files.
    fn of_files(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("make a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("is in a folder")).expect("make a folder");
            fs::write(path, text).expect("write a file");
        }
        of_crate(folder.path(), true).expect("can be read")
    }

    const MAP: (&str, &str) = ("lib.rs", "mod ground; mod primary; mod standby;");

    #[test]
    fn what_stands_on_what_is_listed_before_it_is_in_order() {
        let files = [
            MAP,
            ("ground.rs", "#[cfg(test)] mod tests { use crate::standby::Any; }"),
            ("primary.rs", "use crate::ground::{Any, Other};"),
            (
                "standby.rs",
                "#[cfg(test)] use crate::primary; fn it(any: &crate::ground::Any) {}",
            ),
        ];
        assert_eq!(of_files(&files), [""; 0]);
    }

    #[test]
    fn an_import_of_what_is_listed_later_is_named_with_its_file() {
        for imports in [
            "use crate::standby::Any;",
            "use super::{standby::Any};",
            "fn any() -> crate::standby::Any {}",
            "fn any() { println!(\"{}\", crate::standby::ANY); }",
        ] {
            let files = [MAP, ("ground.rs", imports), ("primary.rs", ""), ("standby.rs", "")];
            assert_eq!(
                of_files(&files),
                ["ground imports standby, which stands above it (in ground)"],
                "{imports}"
            );
        }
    }

    #[test]
    fn primary_and_standby_import_nothing_of_each_other() {
        let files = [
            MAP,
            ("ground.rs", ""),
            ("primary.rs", ""),
            ("standby.rs", "mod pull;"),
            ("standby/pull.rs", "use crate::primary;"),
        ];
        assert_eq!(
            of_files(&files),
            ["standby imports primary, and neither may know the other (in standby::pull)"]
        );
    }

    #[test]
    fn modules_side_by_side_make_no_circle_and_a_module_and_those_below_it_may() {
        let files = [
            ("lib.rs", "mod ground;"),
            ("ground.rs", "mod one; mod other; mod third; use one::Any;"),
            ("ground/one.rs", "mod deep;"),
            ("ground/one/deep.rs", "use crate::ground::other::Any; use super::Any;"),
            ("ground/other.rs", "use super::third::Any; use super::*;"),
            ("ground/third.rs", ""),
        ];
        assert_eq!(of_files(&files), [""; 0]);
        let mut files = files.to_vec();
        files[5].1 = "fn any() { super::one::any() }";
        assert_eq!(
            of_files(&files),
            [
                "a circle in ground: one -> other (in ground::one::deep), other -> third (in ground::other), third -> one (in ground::third)"
            ]
        );
    }
}
