//! Whether an answer may be followed.

use super::Options;
use crate::{
    basics::{Error, Kind, NodeId, clock},
    generation::{Envelope, Role, Run, RunId},
    gocd::version,
    keys::own_keys::ONE_KEY_EACH,
    role::ledger::MAX_COUNT,
    status::files,
};

/// Judges by its envelope who answers: only a primary passes, and never ourselves, nor a server with our own identity.
///
/// # Errors
/// [`Kind::Refused`], [`Kind::Trust`] for our own identity, or [`Kind::Protocol`] for nonsense, saying what
/// `bc.primary.url` leads to.
pub(super) fn envelope(envelope: &Envelope, own_node_id: &NodeId, own_run: Option<&RunId>) -> Result<(), Error> {
    if envelope.node_id == *own_node_id {
        let answers = envelope.run.as_ref();
        if let Some(other) = answers.filter(|run| own_run.is_some_and(|own| *own != run.id)) {
            return Err(own_identity(other));
        }
        return Err(Error::new(
            Kind::Refused,
            "bc.primary.url leads to this node itself",
            "Set it to the other server. If this server was cloned with its db folder, stop GoCD here, run \
             `gocd-bc identity new` and start it again.",
        ));
    }
    if let Some(name) = envelope.odd_text() {
        return Err(Error::new(
            Kind::Protocol,
            format!("the primary's {name} is not one"),
            "Check that bc.primary.url leads to the primary's Business Continuity port.",
        ));
    }
    // It is written down and shown.
    let promotion = &envelope.epoch.promotion;
    if promotion.len() > 64 || !promotion.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::new(
            Kind::Protocol,
            "the primary's promotion id is not one",
            "Run the same version of the plugin on both servers.",
        ));
    }
    if envelope.epoch.number.max(envelope.sequence) > MAX_COUNT {
        return Err(Error::new(
            Kind::Protocol,
            "the primary's epoch or sequence is higher than any node counts",
            "Check that bc.primary.url leads to the primary's Business Continuity port.",
        ));
    }
    if envelope.role != Role::Primary {
        return Err(Error::new(
            Kind::Refused,
            format!("bc.primary.url leads to a node whose role is {}", envelope.role),
            "Set it to the server that runs GoCD.",
        ));
    }
    Ok(())
}

/// What to warn of where the answer of a primary passes, each none where nothing is to be said.
pub(super) struct Remarks {
    pub(super) versions: Option<String>,
    pub(super) clocks: Option<String>,
    pub(super) overdue_reading: Option<String>,
    pub(super) overdue_acceptance: Option<String>,
}

impl Remarks {
    /// What is to be remarked on an envelope that came at `now_ms`, once its sender is judged.
    pub(super) fn on(envelope: &Envelope, options: &Options, now_ms: i64) -> Self {
        Self {
            versions: versions(envelope, options.gocd_version.as_deref()),
            clocks: clocks(envelope, now_ms),
            overdue_reading: reading(envelope),
            overdue_acceptance: files::overdue_acceptance(envelope, options.accept_wait),
        }
    }
}

/// What to say of another server that has the identity of this one and answers where the primary should.
pub fn own_identity(other: &Run) -> Error {
    Error::new(
        Kind::Trust,
        format!(
            "the server to which bc.primary.url leads has the identity of this one: {}. One is a copy of the other, with \
             its state folder",
            other.description()
        ),
        "If this server is the copy, stop GoCD here, run `gocd-bc identity new`, which makes another node id and key, and \
         start it again; then run `gocd-bc trust` with the new key on the other server.",
    )
}

/// What to say of another node that shows the key of this one and answers where the primary should.
pub fn own_key(other: &Run) -> Error {
    Error::new(
        Kind::Trust,
        format!(
            "the server to which bc.primary.url leads is another node and shows the key of this one: {}",
            other.description()
        ),
        ONE_KEY_EACH,
    )
}

/// What to warn of when the clocks of both servers differ: times that one of them tells are then wrong on the other.
fn clocks(envelope: &Envelope, now_ms: i64) -> Option<String> {
    let ahead_ms = envelope.now_ms.saturating_sub(now_ms);
    let seconds = ahead_ms.unsigned_abs() / 1000;
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    (seconds >= clock::APART_S).then(|| {
        format!(
            "the primary's clock is {seconds} s {direction} that of this server, so times that are shown for it are \
             wrong here. Let both servers take their time from NTP."
        )
    })
}

/// What to warn of when the primary answers but has not read its files for long: a change there is not seen. By the
/// primary's clock alone.
fn reading(envelope: &Envelope) -> Option<String> {
    let age_ms = u64::try_from(envelope.now_ms.saturating_sub(envelope.scanned_ms)).unwrap_or(0);
    let longest_ms = envelope.file_check_interval_ms.saturating_mul(3).saturating_add(30_000);
    // Before the first reading there is nothing on offer, and so no answer.
    (age_ms > longest_ms).then(|| {
        format!(
            "the primary answers, but has not had a whole set of files to read for {} s, so newer changes are not \
             here. Its own status says why.",
            age_ms / 1000
        )
    })
}

/// What to warn of when the versions of this plugin differ, or those of GoCD cannot be compared.
fn versions(envelope: &Envelope, own_gocd: Option<&str>) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    if envelope.product_version != own {
        return Some(format!(
            "the primary runs version {} of this plugin, this node {own}. Install the same jar on both servers.",
            envelope.product_version
        ));
    }
    let unknown = match (envelope.gocd_version.as_deref(), own_gocd) {
        // Others that differ are refused where the set is judged.
        (Some(theirs), Some(own)) => {
            return version::migrates(own, theirs).map(|migrates| {
                format!(
                    "an upgrade is under way: {migrates}. This standby follows all the same. Hand over when it is in sync \
                     (`gocd-bc demote --handover` on the primary, `gocd-bc promote` here), then install GoCD {own} on the other \
                     server."
                )
            });
        }
        (Some(_), None) => "this server",
        (None, Some(_)) => "the primary",
        (None, None) => "the primary and on this server",
    };
    Some(format!(
        "the version of GoCD is not known on {unknown}, so nobody but you can check that both servers have the same \
         one. Set bc.launcher there to the path of GoCD's lib/go.jar, which tells it."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: &str) -> NodeId {
        digit.repeat(32).parse().expect("id")
    }

    fn envelope() -> Envelope {
        Envelope {
            sequence: 1,
            product_version: "0.1.0".to_owned(),
            scanned_ms: 1_000_000,
            now_ms: 1_000_000,
            file_check_interval_ms: 60_000,
            ..Envelope::of(&"a".repeat(32), Role::Primary)
        }
    }

    #[test]
    fn clocks_that_differ_are_warned_of_in_both_directions() {
        assert_eq!(clocks(&envelope(), 1_029_999), None);
        let behind = clocks(&envelope(), 4_600_000).expect("an hour");
        assert!(
            behind.starts_with("the primary's clock is 3600 s behind that of this server"),
            "{behind}"
        );
        let ahead = clocks(&envelope(), -2_600_000).expect("an hour");
        assert!(ahead.contains("3600 s ahead of"), "{ahead}");
        let absurd = Envelope {
            now_ms: i64::MIN,
            ..envelope()
        };
        clocks(&absurd, i64::MAX).expect("no overflow");
    }

    #[test]
    fn a_version_of_gocd_that_is_unknown_anywhere_is_warned_of() {
        let primary = |gocd_version: Option<&str>| Envelope {
            gocd_version: gocd_version.map(str::to_owned),
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..envelope()
        };
        let known = Some("26.1.0-1");
        assert_eq!(versions(&primary(known), known), None);
        assert_eq!(versions(&primary(known), Some("25.4.0-1")), None, "refused elsewhere");
        let newer = versions(&primary(known), Some("99.1.0-1")).expect("an upgrade is under way");
        for part in [
            "upgrade is under way",
            "99.1.0-1",
            "26.1.0-1",
            "demote --handover",
            "no way back",
        ] {
            assert!(newer.contains(part), "{part}: {newer}");
        }
        for (theirs, ours, place) in [
            (known, None, "on this server, so"),
            (None, known, "on the primary, so"),
            (None, None, "on the primary and on this server, so"),
        ] {
            let warning = versions(&primary(theirs), ours).expect("a warning");
            assert!(
                warning.contains(place) && warning.contains("Set bc.launcher"),
                "{warning}"
            );
        }
    }

    #[test]
    fn a_primary_that_no_longer_reads_is_noticed_by_its_own_clock() {
        let read_ago = |age_ms: i64| {
            reading(&Envelope {
                now_ms: 1_000_000 + age_ms,
                ..envelope()
            })
        };
        assert_eq!(read_ago(200_000), None);
        assert_eq!(read_ago(-5_000_000), None, "its clock was set back");
        assert!(read_ago(300_000).expect("five minutes").contains("for 300 s"));
    }

    #[test]
    fn our_own_identity_is_ourselves_or_a_copy() {
        let own = crate::generation::run::tests::run("standbygo");
        let judged = |run: Option<&Run>| {
            let envelope = Envelope {
                run: run.cloned(),
                ..envelope()
            };
            super::envelope(&envelope, &id("a"), Some(&own.id)).expect_err("never followed")
        };
        for ourselves in [None, Some(&own)] {
            assert!(judged(ourselves).message().contains("leads to this node itself"));
        }
        let copy = judged(Some(&crate::generation::run::tests::run("clonego")));
        assert_eq!(copy.kind(), Kind::Trust, "CRITICAL at once");
        assert!(copy.message().contains("clonego"), "{copy}");
        assert!(copy.guidance().contains("gocd-bc identity new"), "{copy}");
    }

    #[test]
    fn a_text_that_no_node_says_is_refused() {
        assert_eq!(super::envelope(&envelope(), &id("b"), None), Ok(()));
        for odd in ["\u{1b}[2J".to_owned(), "x".repeat(5000)] {
            let envelope = Envelope {
                gocd_version: Some(odd),
                ..envelope()
            };
            let error = super::envelope(&envelope, &id("b"), None).expect_err("refused");
            assert_eq!(error.message(), "the primary's GoCD version is not one");
        }
        let endless = Envelope {
            sequence: u64::MAX,
            ..envelope()
        };
        let error = super::envelope(&endless, &id("b"), None).expect_err("refused");
        assert!(error.message().contains("higher than any node counts"), "{error}");
    }
}
