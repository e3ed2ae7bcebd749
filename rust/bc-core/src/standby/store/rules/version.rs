//! Whether the GoCD of this node can start on the primary's files.
//!
//! A configuration with a `schemaVersion` that GoCD does not know cannot be loaded (`GoConfigMigration`), and an older one
//! does not start on the primary's database. A newer one migrates both at its start: that is how a pair is upgraded.

use crate::{basics::Error, gocd::version, standby::store::rules::refused};

/// Checks that GoCD's versions on both nodes fit, by both launchers (`Implementation-Version`): the same, or this one newer.
/// Of the latter, and where one of them is not known, `pull::judge` warns for as long as it is so.
///
/// # Errors
/// [`crate::basics::Kind::Refused`] naming both.
pub(super) fn check(primary: Option<&str>, own: Option<&str>) -> Result<(), Error> {
    match (primary, own) {
        (Some(primary), Some(own)) if primary != own && version::is_newer(own, primary) != Some(true) => Err(refused(
            format!("the primary runs GoCD {primary}, this server has GoCD {own}"),
            "Install the same version of GoCD on both servers: this one keeps the files that it has until then. Only a newer \
             one can follow.",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Kind;

    #[test]
    fn an_older_gocd_or_one_that_cannot_be_compared_is_refused() {
        for (primary, own) in [
            (None, None),
            (Some("26.1.0-1"), None),
            (None, Some("26.1.0-1")),
            (Some("26.1.0-1"), Some("26.1.0-1")),
            (Some("21.9.0-1"), Some("21.10.0-1")),
        ] {
            assert_eq!(check(primary, own), Ok(()));
        }
        check(Some("26.1.0-1"), Some("nightly")).expect_err("nobody knows which is newer");
        let error = check(Some("26.1.0-1"), Some("25.4.0-2")).expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(
            error.message(),
            "the primary runs GoCD 26.1.0-1, this server has GoCD 25.4.0-2"
        );
    }
}
