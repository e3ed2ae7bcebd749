//! Another key for a node, as whole nodes: who is told of it, who follows, and who has to be told by hand.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::time::{Duration, Instant};

use pair::{
    PRIMARY_STATE, STANDBY_STATE, comment, config, key_of_primary, pair, standby, status, wait_for,
    wait_until_on_standby,
};
use support::Place;

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The primary's key that the standby saw last.
fn seen(place: &Place) -> Option<String> {
    status(place, "standby")["primary"]["seen_fingerprint"]
        .as_str()
        .map(str::to_owned)
}

#[test]
fn a_standby_follows_to_the_next_key_of_its_primary() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    let first = key_of_primary(&place);
    wait_for("the standby has reported", || {
        status(&place, "primary")["standbys"][0]["confirms"][0]
            .as_str()
            .map(str::to_owned)
    });
    // The standby has nothing else to report: it hears of the next key while it waits for a change.
    let begun = Instant::now();
    let rotated = place.run(&["identity", "rotate", "--state-dir", PRIMARY_STATE]);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let next = key_of_primary(&place);
    assert_ne!(next, first);
    let said = format!("{}{}", rotated.stdout, rotated.stderr);
    assert!(said.contains(&next), "{said}");
    wait_until_on_standby(&place, &comment(&place, "under the next key"));
    wait_for("the standby is connected under the next key", || {
        (seen(&place).as_deref() == Some(next.as_str())).then_some(())
    });
    let standby = status(&place, "standby");
    assert_eq!(standby["sync"]["refusal"], serde_json::Value::Null, "{standby}");
}

#[test]
fn who_was_not_there_is_named_and_trusts_the_next_key_by_hand() {
    let place = Place::new();
    let (_primary, following, address) = pair(&place);
    wait_for("the standby has reported", || {
        status(&place, "primary")["standbys"][0]["node_id"]
            .as_str()
            .map(str::to_owned)
    });
    drop(following);
    let first = key_of_primary(&place);
    let rotated = place.run(&["identity", "rotate", "--now", "--state-dir", PRIMARY_STATE]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let next = key_of_primary(&place);
    assert_ne!(next, first);
    let said = format!("{}{}", rotated.stdout, rotated.stderr);
    assert!(said.contains(&format!("gocd-bc trust {next}")), "{said}");

    let edited = comment(&place, "while nobody followed");
    let _following = standby(&place, &format!("https://{address}"), &[]);
    wait_for("the next key is refused and shown", || {
        (seen(&place).as_deref() == Some(next.as_str())).then_some(())
    });
    assert_ne!(
        config(&place, "standby"),
        edited,
        "nothing is taken from a key that nobody trusts"
    );
    let trusted = place.run(&[
        "trust",
        &next,
        "--state-dir",
        STANDBY_STATE,
        "--config",
        "standby/config",
    ]);
    assert_eq!(trusted.code, 0, "{trusted:?}");
    wait_until_on_standby(&place, &edited);
}

#[test]
fn a_standby_keeps_its_key_and_says_when_it_can_have_another() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    let refused = place.run(&["identity", "rotate", "--state-dir", STANDBY_STATE]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("primary"), "{refused:?}");
}
