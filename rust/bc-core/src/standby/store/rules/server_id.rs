//! Whether a configuration is of the server that this one stands by for.
//!
//! GoCD makes a `serverId` at its first start and keeps it. Two configurations with different ones are of two
//! servers, and the one here would be lost.

use crate::{
    basics::{Error, words},
    standby::store::rules::refused,
};

/// The longest id that is shown; GoCD's have 36 characters.
const MAX_SHOWN: usize = 60;

/// The live cruise-config.xml, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::standby::store) struct Ours {
    /// Its id.
    pub(in crate::standby::store) server_id: Option<String>,
    /// Whether it is a configuration that nobody would miss: GoCD's own template, with the id of its first start.
    pub(in crate::standby::store) is_template: bool,
}

/// Checks the `serverId` of a generation; `ours` is none where no configuration is live.
///
/// # Errors
/// [`crate::basics::Kind::Refused`] naming both ids.
pub(super) fn check(ours: Option<&Ours>, theirs: Option<&str>) -> Result<(), Error> {
    // Without an id GoCD has never started on it.
    let Some(Ours {
        server_id: Some(here),
        is_template,
    }) = ours
    else {
        return Ok(());
    };
    match theirs {
        Some(theirs) if theirs == here || *is_template => Ok(()),
        Some(theirs) => Err(refused(
            format!(
                "cruise-config.xml from the primary has the serverId {}, the one here has {}: they are of two GoCD \
                 servers",
                shown(theirs),
                shown(here)
            ),
            "If this server is to become a copy of that primary, run `gocd-bc sync --adopt-server-id` here; else \
             correct bc.primary.url.",
        )),
        None => Err(refused(
            format!(
                "cruise-config.xml from the primary has no serverId, the one here has {}",
                shown(here)
            ),
            "GoCD writes one at its start: check that cruise.config.file on the primary names the file that its GoCD \
             uses. If it does, run `gocd-bc sync --adopt-server-id` here.",
        )),
    }
}

/// A `serverId` as it may be shown.
fn shown(id: &str) -> String {
    words::shown(id, MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Kind;

    fn ours(server_id: Option<&str>, is_template: bool) -> Ours {
        Ours {
            server_id: server_id.map(str::to_owned),
            is_template,
        }
    }

    #[test]
    fn only_the_same_server_a_template_or_one_without_id_is_replaced() {
        for (ours, theirs) in [
            (None, Some("a")),
            (None, None),
            (Some(ours(Some("a"), false)), Some("a")),
            (Some(ours(Some("b"), true)), Some("a")),
            (Some(ours(None, false)), None),
            (Some(ours(None, false)), Some("a")),
        ] {
            assert_eq!(check(ours.as_ref(), theirs), Ok(()), "{ours:?} {theirs:?}");
        }
        for (ours, theirs) in [
            (ours(Some("b"), false), Some("a")),
            (ours(Some("b"), false), None),
            (ours(Some("b"), true), None),
        ] {
            let error = check(Some(&ours), theirs).expect_err("refused");
            assert_eq!(error.kind(), Kind::Refused);
            assert!(error.guidance().contains("gocd-bc sync --adopt-server-id"), "{error}");
        }
    }

    #[test]
    fn both_ids_are_named() {
        let error = check(Some(&ours(Some("mine\u{1b}[2J"), false)), Some(&"x".repeat(1000))).expect_err("refused");
        assert!(error.message().contains("the one here has mine [2J:"), "{error}");
        assert!(error.message().len() < 250, "{error}");
    }
}
