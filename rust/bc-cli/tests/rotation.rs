//! Another key for a node, as whole nodes: who is told of it, who follows, and who has to be told by hand.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use pair::{
    PRIMARY_STATE, STANDBY_STATE, comment, comment_of, config, key_of_primary, pair, primary_in, standby, status,
    wait_for, wait_until_on_standby,
};
use support::{NOBODY, Place};

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

/// An order to the running standby, or to its files.
fn trust(place: &Place, arguments: &[&str]) -> support::Answer {
    let answer = place.run(&[&["trust"], arguments, &["--state-dir", STANDBY_STATE]].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    answer
}

/// The keys that the standby trusts, and those that were removed there.
fn keys(place: &Place) -> (Vec<String>, Vec<String>) {
    let listed = trust(place, &["--json"]).json();
    let of = |kind: &str| {
        let keys = listed[kind].as_array().expect("a list").iter();
        keys.map(|key| key["fingerprint"].as_str().expect("text").to_owned())
            .collect()
    };
    (of("keys"), of("removed"))
}

/// Waits until the standby says why it refuses what answers at its primary's address, for which nothing but its trust
/// is the reason.
fn until_refused(place: &Place, why: &str) {
    wait_for("the standby refuses", || {
        let status = status(place, "standby");
        let problems = status["problems"].as_array()?.iter();
        let mut messages = problems.filter_map(|problem| problem["message"].as_str());
        (status["primary"]["trusted"] == false && messages.any(|message| message.contains(why))).then_some(())
    });
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
    let (trusted, removed) = keys(&place);
    assert!(trusted.contains(&next) && !trusted.contains(&first));
    assert_eq!(removed, [first], "the rotation has ended the former key here too");
}

#[test]
fn a_stolen_key_leads_nobody_once_the_primary_has_another() {
    let place = Place::new();
    let (real, following, address) = pair(&place);
    let stolen = key_of_primary(&place);
    wait_for("the standby has reported", || {
        status(&place, "primary")["standbys"][0]["confirms"][0]
            .as_str()
            .map(str::to_owned)
    });
    // All that the primary has: key, node id, token, ledger, configuration.
    let copied = Command::new("cp")
        .args(["-a", "primary", "thief"])
        .current_dir(place.path(""))
        .status();
    assert!(copied.expect("cp runs").success());
    let yesterday = fs::read_to_string(place.path("standby/config/business-continuity-peers")).expect("read");
    assert!(yesterday.contains(&stolen));
    let rotated = place.run(&["identity", "rotate", "--now", "--state-dir", PRIMARY_STATE]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    assert!(
        rotated
            .stdout
            .contains(&format!("the former one, {stolen}, is trusted no longer")),
        "{rotated:?}"
    );
    wait_for("the standby is told", || keys(&place).1.contains(&stolen).then_some(()));

    drop(real);
    let _thief = primary_in(&place, "thief", &address, &[]);
    let planted = comment_of(&place, "thief", "what the thief would have GoCD run");
    until_refused(&place, "trusted no longer");
    drop(following);
    // After a restart, with yesterday's list of keys, and where a pin still names it.
    place.file("standby/config/business-continuity-peers", &yesterday, NOBODY);
    let url = format!("https://{address}");
    let pin = format!("bc.primary.fingerprint={stolen}");
    for settings in [&[][..], &["--property", &pin]] {
        let _following = standby(&place, &url, settings);
        until_refused(&place, "trusted no longer");
        assert_ne!(config(&place, "standby"), planted);
    }
    // Nothing else stands in his way: by an administrator's word the stolen key would lead again.
    let _following = standby(&place, &url, &[]);
    until_refused(&place, "trusted no longer");
    let said = trust(&place, &[&stolen]).stdout;
    assert!(said.contains("is trusted again"), "{said}");
    wait_until_on_standby(&place, &planted);
    let said = trust(&place, &["--remove", &stolen]).stdout;
    assert!(said.contains("nothing is pulled from it any more"), "{said}");
    comment_of(&place, "thief", "over the connection that is open");
    until_refused(&place, "trusted no longer");
    assert_eq!(config(&place, "standby"), planted);
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

    // It was not there to be told, so the former key would lead it still.
    let removed = place.run(&[
        "trust",
        "--remove",
        &first,
        "--state-dir",
        STANDBY_STATE,
        "--config",
        "standby/config",
    ]);
    assert_eq!(removed.code, 0, "{removed:?}");
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
    trust(&place, &[&next]);
    wait_until_on_standby(&place, &edited);
    wait_for("a report is answered", || {
        status(&place, "primary")["standbys"][0]["confirms"][0]
            .as_str()
            .filter(|confirmed| *confirmed == next)
            .map(drop)
    });
    let (trusted, removed) = keys(&place);
    assert!(trusted.contains(&next) && !trusted.contains(&first));
    assert_eq!(removed, [first], "no answer has brought it back");
}

#[test]
fn a_removed_key_does_not_come_back_from_the_primarys_list() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    let own = key_of_primary(&place);
    let refused = place.run(&["trust", "--remove", &own, "--state-dir", PRIMARY_STATE]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("this node's own key"), "{refused:?}");
    let [other, removed_there] = ["ab", "cd"].map(|byte| byte.repeat(32));
    let said = trust(&place, &["--remove", &other]).stdout;
    assert!(said.contains("it does not come into it any more"), "{said}");
    for arguments in [&["trust", &other][..], &["trust", "--remove", &removed_there]] {
        let said = place.run(&[arguments, &["--state-dir", PRIMARY_STATE]].concat());
        assert_eq!(said.code, 0, "{said:?}");
    }
    // The answer to the next report has the primary's list, and what the primary has removed.
    comment(&place, "something to report");
    wait_for("the standby is told", || {
        keys(&place).1.contains(&removed_there).then_some(())
    });
    let (trusted, removed) = keys(&place);
    assert!(!trusted.contains(&other), "{trusted:?}");
    assert!(removed.contains(&other), "{removed:?}");
}

#[test]
fn a_standby_keeps_its_key_and_says_when_it_can_have_another() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    let refused = place.run(&["identity", "rotate", "--state-dir", STANDBY_STATE]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("primary"), "{refused:?}");
}
