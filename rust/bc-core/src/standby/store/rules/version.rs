//! Whether both nodes have the same GoCD.
//!
//! A configuration with a `schemaVersion` that GoCD does not know cannot be loaded (`GoConfigMigration`), and another
//! version may not start on the primary's database.

use crate::{basics::Error, standby::store::rules::refused};

/// Checks that GoCD's versions on both nodes fit, by both launchers (`Implementation-Version`). Where one of them is
/// not known nothing is said here: `pull::judge` warns of it for as long as it is so.
///
/// # Errors
/// [`crate::basics::Kind::Refused`] naming both.
pub(super) fn check(primary: Option<&str>, own: Option<&str>) -> Result<(), Error> {
    match (primary, own) {
        (Some(primary), Some(own)) if primary != own => Err(refused(
            format!("the primary runs GoCD {primary}, this server has GoCD {own}"),
            "Install the same version of GoCD on both servers: this one keeps the files that it has until then.",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Kind;

    #[test]
    fn only_two_known_and_different_versions_are_refused() {
        for (primary, own) in [
            (None, None),
            (Some("26.1.0-1"), None),
            (None, Some("26.1.0-1")),
            (Some("26.1.0-1"), Some("26.1.0-1")),
        ] {
            assert_eq!(check(primary, own), Ok(()));
        }
        let error = check(Some("26.1.0-1"), Some("25.4.0-2")).expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(
            error.message(),
            "the primary runs GoCD 26.1.0-1, this server has GoCD 25.4.0-2"
        );
    }
}
