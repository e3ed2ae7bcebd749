//! What a promotion starts GoCD on, and what it leaves, as whole nodes without a JVM.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::fs;

use bc_testkit::gocd_dir::write_launcher_jar;
use pair::{
    CONFIG, STANDBY_STATE, comment, config, folders, pair, pair_with, primary, standby, status, wait_for,
    wait_until_on_standby,
};
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

fn on_standby(place: &Place, arguments: &[&str]) -> Answer {
    place.run(&[arguments, &["--state-dir", STANDBY_STATE]].concat())
}

const PROMOTE: [&str; 4] = ["promote", "--without-database", "--wait", "60"];

#[test]
fn a_live_file_that_was_edited_or_is_half_a_copy_is_mended_before_gocd_starts() {
    let place = Place::new();
    let (first, _following, _) = pair(&place);
    let right = config(&place, "standby");
    first.end();
    place.file(&format!("standby/{CONFIG}"), &right[..right.len() / 2], NOBODY);
    fs::remove_file(place.path("standby/config/jetty.xml")).expect("remove");
    let promoted = on_standby(&place, &PROMOTE);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    // Each file is mended by the promotion, or a moment before by the standby, which watches them.
    assert!(promoted.stderr.contains("3 verified files"), "{promoted:?}");
    assert_eq!(config(&place, "standby"), right);
    assert!(place.path("standby/config/jetty.xml").exists());
}

#[test]
fn what_cannot_be_mended_is_refused_by_name_and_started_only_as_it_is() {
    let place = Place::new();
    let (first, _following, _) = pair(&place);
    first.end();
    place.file(&format!("standby/{CONFIG}"), "<cruise>mine</cruise>", NOBODY);
    for blob in fs::read_dir(place.path(STANDBY_STATE).join("blobs"))
        .expect("list")
        .flatten()
    {
        fs::write(blob.path(), "rotten").expect("write");
    }
    let refused = on_standby(&place, &PROMOTE);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("cruise-config.xml") && refused.stderr.contains("--as-it-is"),
        "{refused:?}"
    );
    let after = status(&place, "standby");
    assert_eq!(
        (&after["role"], &after["phase"]),
        (&"standby".into(), &"holding".into())
    );
    assert_eq!(after["epoch"]["number"], 1, "no epoch begins");

    let promoted = on_standby(&place, &[&PROMOTE[..], &["--as-it-is"]].concat());
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert!(
        promoted.stderr.contains("left as it is: cruise-config.xml"),
        "{promoted:?}"
    );
    assert_eq!(config(&place, "standby"), "<cruise>mine</cruise>");
}

#[test]
fn a_standby_with_a_newer_gocd_follows_and_says_that_an_upgrade_is_under_way() {
    let place = Place::new();
    let newer = place.path("newer.jar");
    write_launcher_jar(&newer, "26.10.0-1");
    let launcher = format!("bc.launcher={}", newer.display());
    let (_primary, _standby, _) = pair_with(&place, &["--property", &launcher]);
    wait_until_on_standby(&place, &comment(&place, "from the older one"));
    let problems = status(&place, "standby")["problems"].to_string();
    for part in ["an upgrade is under way", "26.10.0-1", "26.1.0-1", "WARNING"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    let primary = wait_for("the primary says it too", || {
        let problems = status(&place, "primary")["problems"].to_string();
        problems.contains("an upgrade is under way").then_some(problems)
    });
    for part in ["26.10.0-1", "26.1.0-1", "WARNING", "on this server"] {
        assert!(primary.contains(part), "{part}: {primary}");
    }
    let promoted = on_standby(&place, &PROMOTE);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert!(promoted.stderr.contains("no way back to 26.1.0-1"), "{promoted:?}");
}

#[test]
fn a_standby_to_which_nothing_ever_came_is_promoted_only_as_it_is() {
    let place = Place::new();
    folders(&place);
    place.file(&format!("standby/{CONFIG}"), "<cruise>mine</cruise>", NOBODY);
    let _standby = standby(&place, "https://127.0.0.1:1", &[]);
    wait_for("it holds", || status(&place, "standby")["sync"].as_object().map(drop));
    let refused = on_standby(&place, &PROMOTE);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("no byte of it was ever verified") && refused.stderr.contains("--as-it-is"),
        "{refused:?}"
    );
    let promoted = on_standby(&place, &[&PROMOTE[..], &["--as-it-is"]].concat());
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert_eq!(config(&place, "standby"), "<cruise>mine</cruise>");
}

#[test]
fn generations_stay_after_a_promotion_until_a_person_or_their_time_lets_them_go() {
    let place = Place::new();
    let keep = ["--property", "bc.generations.keep.after.promotion=0"];
    let (first, following, address) = pair_with(&place, &keep);
    wait_until_on_standby(&place, &comment(&place, "second"));
    first.end();
    assert_eq!(on_standby(&place, &PROMOTE).code, 0);
    let sequences = || {
        // A node that has just been promoted, or ends, is being closed for a moment.
        let kept = wait_for("they are listed", || {
            let answer = on_standby(&place, &["generations", "list", "--json"]);
            (answer.code == 0).then(|| answer.json())
        });
        let kept = kept.as_array().expect("a list");
        kept.iter()
            .filter_map(|one| one["sequence"].as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!(sequences(), [2, 1]);
    let dropped = on_standby(&place, &["generations", "drop", "#1"]);
    assert_eq!(dropped.code, 0, "{dropped:?}");
    assert_eq!(sequences(), [2]);
    assert_eq!(on_standby(&place, &["generations", "drop"]).code, 64, "which one?");
    following.end();

    // The same with an end to it: a start as a primary removes nothing by itself.
    let url = format!("https://{address}");
    // The former primary is not there any more, and nothing here is about whom this server asks.
    let after = |ms: &str| {
        let keep = format!("bc.generations.keep.after.promotion={ms}");
        standby(&place, &url, &["--property", &keep, "--property", "bc.guard.wait=1000"])
    };
    let still = after("3600000");
    wait_for("it offers", || {
        status(&place, "standby")["generation"]["sequence"].as_u64()
    });
    assert_eq!(sequences(), [2]);
    still.end();
    let _ends = after("500");
    wait_for("their time is over", || sequences().is_empty().then_some(()));
    // The list goes first, so that none names bytes that are gone.
    let blobs = place.path(STANDBY_STATE).join("blobs");
    wait_for("their bytes are gone", || (!blobs.exists()).then_some(()));
}

#[test]
fn a_standby_drops_no_generation_on_order() {
    let place = Place::new();
    let (_primary, _following, _) = pair(&place);
    let refused = on_standby(&place, &["generations", "drop", "--all"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("is a standby"),
        "{refused:?}"
    );
}

#[test]
fn what_a_demoted_primary_wrote_is_kept_when_it_follows_again() {
    let place = Place::new();
    // Nobody can ask it, so that the other one is not fenced by its higher epoch.
    let nowhere = ["--property", "bc.external.url=https://127.0.0.1:9"];
    let (first, following, address) = pair_with(&place, &nowhere);
    first.end();
    assert_eq!(on_standby(&place, &PROMOTE).code, 0);
    let mine = config(&place, "standby").replace("</cruise>", "<!-- as a primary --></cruise>");
    place.file(&format!("standby/{CONFIG}"), &mine, NOBODY);
    let demoted = on_standby(&place, &["demote"]);
    assert_eq!(demoted.code, 0, "{demoted:?}");
    assert!(demoted.stdout.contains("restart it"), "{demoted:?}");
    following.end();

    let _primary = primary(&place, &address);
    let _again = standby(&place, &format!("https://{address}"), &nowhere);
    // It has the higher epoch, so the other one is in the past until somebody says otherwise.
    wait_for("it is refused", || {
        status(&place, "standby")["sync"]["refusal"]["message"]
            .as_str()
            .map(drop)
    });
    assert_eq!(
        config(&place, "standby"),
        mine,
        "nobody takes it for an edit on a standby"
    );
    let accepted = on_standby(&place, &["sync", "--accept-rollback"]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(config(&place, "standby"), config(&place, "primary"));
    let restored = on_standby(&place, &["generations", "restore", "0"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(config(&place, "standby"), mine);
}
