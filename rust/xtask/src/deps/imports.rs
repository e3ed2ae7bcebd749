//! Which of our crates may name which other crate.
//!
//! A dependency between our crates is a decision, and so is who may speak HTTP, TLS, JNI or command line:
//! everything here is a direct dependency in a Cargo.toml.

use anyhow::{Context, Result};
use serde_json::Value;

/// One of our crates and the crates of ours that it may depend on.
struct Ours {
    name: &'static str,
    may_import: &'static [&'static str],
    /// What it may import besides for its own tests.
    tests_may_import: &'static [&'static str],
}

const OURS: [Ours; 8] = [
    Ours {
        name: "bc-core",
        may_import: &[],
        tests_may_import: &["bc-testkit"],
    },
    Ours {
        name: "bc-server",
        may_import: &["bc-core"],
        tests_may_import: &["bc-testkit"],
    },
    Ours {
        name: "bc-jni",
        may_import: &["bc-core", "bc-server"],
        tests_may_import: &["bc-testkit"],
    },
    Ours {
        name: "bc-cli",
        may_import: &["bc-core", "bc-server", "bc-setup"],
        tests_may_import: &["bc-testkit"],
    },
    // Changes machines: nothing that a JVM loads may.
    Ours {
        name: "bc-setup",
        may_import: &["bc-core", "bc-server"],
        tests_may_import: &["bc-testkit"],
    },
    Ours {
        name: "bc-testkit",
        may_import: &["bc-core"],
        tests_may_import: &[],
    },
    // Whole-system tests load built artefacts; of our crates they know only what they compare with.
    Ours {
        name: "bc-tests",
        may_import: &["bc-core", "bc-testkit"],
        tests_may_import: &[],
    },
    // Runs the built programs, as an administrator would.
    Ours {
        name: "xtask",
        may_import: &[],
        tests_may_import: &[],
    },
];

/// A crate that only some of ours may name.
struct Reserved {
    name: &'static str,
    only_for: &'static [&'static str],
}

const RESERVED: [Reserved; 15] = [
    Reserved {
        name: "jni",
        only_for: &["bc-jni", "bc-testkit"],
    },
    Reserved {
        name: "axum",
        only_for: &["bc-server"],
    },
    Reserved {
        name: "hyper",
        only_for: &["bc-server"],
    },
    Reserved {
        name: "hyper-util",
        // The test kit's browser driver is handed its connector.
        only_for: &["bc-server", "bc-testkit"],
    },
    Reserved {
        name: "tower",
        only_for: &["bc-server"],
    },
    Reserved {
        name: "askama",
        only_for: &["bc-server"],
    },
    Reserved {
        name: "reqwest",
        only_for: &["bc-server", "bc-testkit", "bc-tests"],
    },
    Reserved {
        name: "rustls",
        only_for: &["bc-server", "bc-testkit", "bc-tests"],
    },
    Reserved {
        name: "tokio-rustls",
        only_for: &["bc-server", "bc-testkit", "bc-tests"],
    },
    Reserved {
        name: "clap",
        only_for: &["bc-cli", "xtask"],
    },
    Reserved {
        name: "clap_complete",
        only_for: &["bc-cli"],
    },
    Reserved {
        name: "indicatif",
        only_for: &["bc-cli", "xtask"],
    },
    Reserved {
        name: "fantoccini",
        only_for: &["bc-testkit", "bc-tests"],
    },
    Reserved {
        name: "anyhow",
        only_for: &["bc-testkit", "bc-tests", "xtask"],
    },
    Reserved {
        name: "openssl",
        only_for: &[],
    },
];

/// One line in a Cargo.toml.
struct Import<'a> {
    by: &'a str,
    of: &'a str,
    only_for_tests: bool,
}

/// Every import that is against the rules, and every crate of ours that has none.
pub(crate) fn violations(metadata: &Value) -> Result<Vec<String>> {
    let imports = imports(metadata)?;
    let mut violations: Vec<String> = members(metadata)?
        .into_iter()
        .filter(|name| rules_of(name).is_none())
        .map(|name| format!("{name} is new: write down in rust/xtask/src/deps/imports.rs what it may import"))
        .collect();
    violations.extend(imports.iter().filter_map(violation));
    Ok(violations)
}

fn violation(import: &Import<'_>) -> Option<String> {
    let Import { by, of, only_for_tests } = import;
    if rules_of(of).is_some() {
        let rules = rules_of(by)?;
        let allowed = rules.may_import.contains(of) || (*only_for_tests && rules.tests_may_import.contains(of));
        return (!allowed).then(|| format!("{by} may not import {of}"));
    }
    let reserved = RESERVED.iter().find(|reserved| reserved.name == *of)?;
    (!reserved.only_for.contains(by)).then(|| match reserved.only_for {
        [] => format!("{by} imports {of}, which nobody may"),
        some => format!("{by} imports {of}, which only {} may", some.join(", ")),
    })
}

fn rules_of(name: &str) -> Option<&'static Ours> {
    OURS.iter().find(|ours| ours.name == name)
}

fn members(metadata: &Value) -> Result<Vec<&str>> {
    packages(metadata)?
        .filter(|package| package["source"].is_null())
        .map(|package| package["name"].as_str().context("a package without a name"))
        .collect()
}

fn imports(metadata: &Value) -> Result<Vec<Import<'_>>> {
    let mut imports = Vec::new();
    for package in packages(metadata)?.filter(|package| package["source"].is_null()) {
        let by = package["name"].as_str().context("a package without a name")?;
        for dependency in package["dependencies"]
            .as_array()
            .context("a package without dependencies")?
        {
            imports.push(Import {
                by,
                of: dependency["name"].as_str().context("a dependency without a name")?,
                only_for_tests: dependency["kind"] == "dev",
            });
        }
    }
    Ok(imports)
}

fn packages(metadata: &Value) -> Result<impl Iterator<Item = &Value>> {
    Ok(metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?
        .iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(by: &str, of: &str, only_for_tests: bool) -> Option<String> {
        violation(&Import { by, of, only_for_tests })
    }

    #[test]
    fn our_own_crates() {
        assert_eq!(check("bc-jni", "bc-server", false), None);
        assert_eq!(check("bc-core", "bc-testkit", true), None);
        assert!(check("bc-core", "bc-testkit", false).is_some());
        assert!(check("bc-core", "bc-server", true).is_some());
        assert!(check("xtask", "bc-core", false).is_some());
        for crate_of_ours in &OURS {
            assert!(
                check(crate_of_ours.name, "bc-jni", true).is_some(),
                "nobody imports bc-jni"
            );
        }
    }

    #[test]
    fn reserved_crates() {
        assert_eq!(check("bc-jni", "jni", false), None);
        assert_eq!(check("bc-core", "sha2", false), None);
        assert!(check("bc-core", "reqwest", false).is_some());
        assert!(check("bc-core", "axum", true).is_some());
        assert_eq!(
            check("bc-cli", "openssl", false).as_deref(),
            Some("bc-cli imports openssl, which nobody may")
        );
    }

    #[test]
    fn a_new_crate_needs_rules() {
        let metadata = serde_json::json!({ "packages": [{ "name": "bc-new", "source": null, "dependencies": [] }] });
        assert_eq!(violations(&metadata).expect("read").len(), 1);
    }
}
