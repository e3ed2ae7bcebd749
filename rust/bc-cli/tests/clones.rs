//! Servers that were cloned with their state folder, as whole nodes: who says so, and what goes on.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, process::Command, thread::sleep, time::Duration};

use forwarder::Forwarder;
use pair::{
    Foreground, PRIMARY_STATE, change, comment, comment_of, config, folders, key_of_primary, listening, listening_of,
    pair, primary, primary_in, standby, standby_in, status, wait_for, wait_until_in_sync, wait_until_on_standby,
};
use serde_json::Value;
use support::Place;

#[path = "support/forwarder.rs"]
mod forwarder;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

const CLONE_STATE: &str = "clone/db/business-continuity";

/// Copies all that a server has.
fn clone(place: &Place, node: &str) {
    let copied = Command::new("cp")
        .args(["-a", node, "clone"])
        .current_dir(place.path(""))
        .status();
    assert!(copied.expect("cp runs").success());
}

/// What a node says that is CRITICAL.
fn critical(place: &Place, node: &str) -> Vec<String> {
    let status = status(place, node);
    let problems = status["problems"].as_array().into_iter().flatten();
    let critical = problems.filter(|problem| problem["severity"] == "CRITICAL");
    critical
        .filter_map(|problem| Some(problem["message"].as_str()?.to_owned()))
        .collect()
}

/// Waits until a node says something CRITICAL that has all of these in it.
fn until_critical(place: &Place, node: &str, parts: &[&str]) -> String {
    wait_for(&format!("{node} says {parts:?}"), || {
        let mut said = critical(place, node).into_iter();
        said.find(|message| parts.iter().all(|part| message.contains(part)))
    })
}

/// The standbys of the primary, once it says of them what is asked for.
fn until_listed(place: &Place, what: &str, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    wait_for(what, || {
        let listed = status(place, "primary")["standbys"].as_array()?.clone();
        is_so(&listed).then_some(listed)
    })
}

/// Gives the clone, which has ended, an identity of its own, and returns its new key.
fn renew(place: &Place) -> String {
    let renewed = place.run(&["identity", "new", "--state-dir", CLONE_STATE]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    let key = place
        .run(&["identity", "show", "--json", "--state-dir", CLONE_STATE])
        .json();
    let key = key["fingerprint"].as_str().expect("text").to_owned();
    assert!(renewed.stderr.contains("bc.tls.certificate"), "{renewed:?}");
    assert!(renewed.stdout.contains(&key) && renewed.stderr.contains(&format!("gocd-bc trust {key}")));
    key
}

#[test]
fn two_standbys_with_one_identity_are_named_on_the_primary_and_each_says_it() {
    let place = Place::new();
    let (_primary, _standby, address) = pair(&place);
    until_listed(&place, "the standby has reported", |listed| listed.len() == 1);
    clone(&place, "standby");
    let url = format!("https://{address}");
    let copied = standby_in(&place, "clone", &url, &[]);
    // A report comes with each change, besides those that come by themselves every half minute.
    for number in 0..600 {
        let said = |node: &str| !critical(&place, node).is_empty();
        if ["primary", "standby", "clone"].into_iter().all(said) {
            break;
        }
        comment(&place, &format!("while both follow: {number}"));
        sleep(Duration::from_millis(500));
    }
    let folder = |name: &str| place.path(name).canonicalize().expect("there").display().to_string();
    let [original, copy] = [folder("standby/db/business-continuity"), folder(CLONE_STATE)];
    let said = until_critical(
        &place,
        "primary",
        &["2 servers report as one standby", &original, &copy],
    );
    assert!(
        said.contains("127.0.0.1") && said.contains("gocd-bc identity new"),
        "{said}"
    );
    until_critical(&place, "standby", &["with the identity of this one", &copy]);
    until_critical(&place, "clone", &["with the identity of this one", &original]);
    let listed = until_listed(&place, "each has a place of its own", |listed| listed.len() == 2);
    assert_eq!(listed[0]["node_id"], listed[1]["node_id"]);

    let edited = comment(&place, "and both go on");
    wait_for("both follow all the same", || {
        (config(&place, "standby") == edited && config(&place, "clone") == edited).then_some(())
    });
    let key = key_of_primary(&place);
    let trusted = place.run(&["trust", "--json", "--state-dir", PRIMARY_STATE]).json();
    assert_eq!(trusted["removed"], serde_json::json!([]), "nobody's trust has ended");
    assert_eq!(key, key_of_primary(&place));

    let running = place.run(&["identity", "new", "--state-dir", CLONE_STATE]);
    assert_ne!(running.code, 0, "{running:?}");
    assert!(running.stderr.contains("stop GoCD"), "{running:?}");
    copied.end();
    let key = renew(&place);
    let _copied = standby_in(&place, "clone", &url, &[]);
    wait_for("it is seen under its own key", || {
        let strangers = status(&place, "primary")["strangers"].as_array()?.clone();
        strangers
            .iter()
            .any(|stranger| stranger["fingerprint"] == *key)
            .then_some(())
    });
    let trusted = place.run(&["trust", &key, "--state-dir", PRIMARY_STATE]);
    assert_eq!(trusted.code, 0, "{trusted:?}");
    comment(&place, "three servers with three identities");
    until_listed(&place, "two standbys", |listed| {
        let mut nodes: Vec<_> = listed.iter().map(|standby| standby["node_id"].to_string()).collect();
        nodes.sort();
        nodes.dedup();
        nodes.len() == 2
    });
}

#[test]
fn a_standby_that_is_started_again_and_again_is_one_server() {
    let place = Place::new();
    let (_primary, mut following, address) = pair(&place);
    let run_of = |listed: &[Value]| {
        listed
            .first()
            .and_then(|standby| Some(standby["run"]["id"].as_str()?.to_owned()))
    };
    let mut runs = vec![run_of(&until_listed(&place, "it has reported", |listed| {
        run_of(listed).is_some()
    }))];
    for number in 0..4 {
        drop(following);
        following = standby(&place, &format!("https://{address}"), &[]);
        wait_until_in_sync(&place);
        for edit in 0..2 {
            let edited = comment(&place, &format!("{number} {edit}"));
            wait_until_on_standby(&place, &edited);
        }
        let known = runs.clone();
        let listed = until_listed(&place, "the next run", |listed| !known.contains(&run_of(listed)));
        runs.push(run_of(&listed));
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0]["doubled"], false);
    }
    for node in ["primary", "standby"] {
        assert_eq!(critical(&place, node), [""; 0], "{node}");
    }
}

#[test]
fn a_clone_of_the_primary_that_is_started_as_a_standby_is_said_by_both() {
    let place = Place::new();
    folders(&place);
    let _primary = primary(&place, "127.0.0.1:0");
    let url = format!("https://{}", listening(&place));
    clone(&place, "primary");
    let copied = standby_in(&place, "clone", &url, &[]);
    let folder = |name: &str| place.path(name).canonicalize().expect("there").display().to_string();
    let (original, copy) = (folder(PRIMARY_STATE), folder(CLONE_STATE));
    until_critical(
        &place,
        "clone",
        &["has the identity of this one", &original, "identity new"],
    );
    until_critical(
        &place,
        "primary",
        &["has the identity of this one", &copy, "identity new"],
    );
    let asked = status(&place, "primary");
    assert_eq!(asked["standbys"], serde_json::json!([]));
    copied.end();
    renew(&place);
    let _copied = standby_in(&place, "clone", &url, &[]);
    let edited = change(&place, "</cruise>", "<!-- with an identity of its own --></cruise>");
    wait_for("it is a standby like any other", || {
        (config(&place, "clone") == edited).then_some(())
    });
}

#[test]
fn two_primaries_with_one_identity_behind_one_address_are_named_and_not_mixed() {
    let place = Place::new();
    folders(&place);
    let original = primary(&place, "127.0.0.1:0");
    let address = listening(&place);
    let trusted = place.run(&["trust", &key_of_primary(&place), "--config", "standby/config"]);
    assert_eq!(trusted.code, 0, "{trusted:?}");
    let forwarder = Forwarder::to(&address);
    let _standby = standby(&place, &format!("https://{}", forwarder.address()), &[]);
    wait_until_in_sync(&place);
    wait_until_on_standby(&place, &comment(&place, "before"));
    original.end();
    clone(&place, "primary");
    let _original: Foreground = primary(&place, &address);
    wait_until_on_standby(&place, &comment(&place, "after a restart"));
    assert_eq!(critical(&place, "standby"), [""; 0], "a restart is no copy");

    // It would be held where it knew where it ran before, as a version before ours does not.
    let noted = place.path(&format!("{CLONE_STATE}/known-peers.json"));
    if noted.exists() {
        fs::remove_file(noted).expect("removed");
    }
    let copy: Foreground = primary_in(&place, "clone", "127.0.0.1:0", &[]);
    let elsewhere = listening_of(&place, "clone");
    let live = config(&place, "standby");
    forwarder.lead_to(&elsewhere);
    let foreign = comment_of(&place, "clone", "of the clone");
    wait_for("the clone has answered", || {
        let said = status(&place, "standby")["problems"].to_string();
        // Its history does not lead to what is live.
        said.contains("back in time").then_some(())
    });
    forwarder.lead_to(&address);
    let edited = comment(&place, "of the primary");
    let folder = |name: &str| place.path(name).canonicalize().expect("there").display().to_string();
    let (one, other) = (folder(PRIMARY_STATE), folder(CLONE_STATE));
    let named = ["2 servers answer as the one primary", &one, &other];
    until_critical(&place, "standby", &named);
    until_critical(&place, "primary", &named);
    assert_eq!(config(&place, "standby"), live, "nothing is taken from either");
    assert_ne!(live, foreign);
    assert_eq!(status(&place, "standby")["sync"]["in_sync"], false);

    copy.end();
    let accepted = place.run(&["sync", "--accept-rollback", "--state-dir", pair::STANDBY_STATE]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(config(&place, "standby"), edited);
    wait_until_in_sync(&place);
}
