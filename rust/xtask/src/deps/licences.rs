//! The licences of everything that is compiled, from `cargo metadata`.

use anyhow::{Context, Result};
use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

/// Licences that ask for no more than their text, or (MPL-2.0) for nothing beyond the files under it.
const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A crate that is accepted although its licence is not in the list.
struct Exception {
    name: &'static str,
    /// Why; shown to nobody but the reader of this file.
    #[expect(dead_code, reason = "an exception without a reason must not compile")]
    reason: &'static str,
}

const EXCEPTIONS: [Exception; 0] = [];

/// Every crate whose licence is not allowed, or that states none.
pub(crate) fn violations(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    Ok(packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str().unwrap_or("?");
            let version = package["version"].as_str().unwrap_or("?");
            let complaint = complaint(package["license"].as_str())?;
            let excepted = EXCEPTIONS.iter().any(|exception| exception.name == name);
            (!excepted).then(|| format!("{name} {version} {complaint}"))
        })
        .collect())
}

fn complaint(licence: Option<&str>) -> Option<String> {
    let Some(text) = licence else {
        return Some("states no licence".to_owned());
    };
    match Expression::parse_mode(text, ParseMode::LAX) {
        Err(error) => Some(format!(
            "has the licence `{text}`, which is no SPDX expression: {}",
            error.reason
        )),
        Ok(expression) if expression.evaluate(is_allowed) => None,
        Ok(_) => Some(format!(
            "stands under `{text}`, which is not in the list of allowed licences"
        )),
    }
}

/// An additional permission (`WITH …`) only ever adds to what a licence allows.
fn is_allowed(requirement: &LicenseReq) -> bool {
    requirement.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for allowed in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "Apache-2.0 AND ISC",
        ] {
            assert_eq!(complaint(Some(allowed)), None, "{allowed}");
        }
        for refused in [
            "GPL-3.0-only",
            "MIT AND OpenSSL",
            "LGPL-2.1-or-later OR AGPL-3.0",
            "nonsense licence",
            "",
        ] {
            assert!(complaint(Some(refused)).is_some(), "{refused}");
        }
        assert_eq!(complaint(None).as_deref(), Some("states no licence"));
    }
}
