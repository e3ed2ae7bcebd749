//! What a primary remembers over its end, and what a standby makes of one that lost a part of it, as whole nodes.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use pair::{
    PRIMARY_STATE, STANDBY_STATE, comment, config, gocd, pair, primary, standby, status, wait_for,
    wait_until_on_standby,
};
use support::{NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// Edits, and waits until the primary offers it.
fn edit_and_offer(place: &Place, text: &str) {
    let sequence = |place: &Place| status(place, "primary")["generation"]["sequence"].as_u64();
    let before = sequence(place);
    comment(place, text);
    wait_for("it is offered", || (sequence(place) > before).then_some(()));
}

/// All files of the primary's configuration and state, as a snapshot of its disk has them.
struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    fn of(place: &Place) -> Self {
        let files = files(place).into_iter().map(|path| {
            let content = fs::read(&path).expect("read");
            (path, content)
        });
        Self(files.collect())
    }

    fn restore(&self, place: &Place) {
        for path in files(place) {
            match self.0.get(&path) {
                // In place: the owner stays.
                Some(content) => fs::write(&path, content).expect("write"),
                None => fs::remove_file(&path).expect("remove"),
            }
        }
    }
}

fn files(place: &Place) -> Vec<PathBuf> {
    let entries = ["primary/config", PRIMARY_STATE].map(|folder| fs::read_dir(place.path(folder)).expect("a folder"));
    entries
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn a_primary_that_was_restored_from_a_snapshot_and_edited_on_is_refused_until_it_is_accepted() {
    let place = Place::new();
    let (first_life, following, address) = pair(&place);
    wait_until_on_standby(&place, &comment(&place, "before the snapshot"));
    let snapshot = Snapshot::of(&place);
    let newest = comment(&place, "after the snapshot");
    wait_until_on_standby(&place, &newest);
    // It is live a moment before the standby has it on record, and what is not on record was changed by somebody else.
    let generation = |face| Some(status(&place, face)["generation"]["id"].as_str()?.to_owned());
    wait_for("it is on record", || {
        (generation("standby")? == generation("primary")?).then_some(())
    });
    drop(following);
    drop(first_life);

    snapshot.restore(&place);
    let restored = primary(&place, &address);
    wait_for("the restored primary offers", || {
        status(&place, "primary")["generation"]["sequence"].as_u64()
    });
    for number in 0..100 {
        edit_and_offer(&place, &format!("edit {number} after the restore"));
    }
    let url = format!("https://{address}");
    let following = standby(&place, &url, &[]);
    let refusal = wait_for("it is refused", || {
        status(&place, "standby")["sync"]["refusal"]["message"]
            .as_str()
            .map(str::to_owned)
    });
    assert!(refusal.contains("went back in time"), "{refusal}");
    assert!(refusal.contains("gocd-bc sync --accept-rollback"), "{refusal}");
    drop(following);

    let _following = standby(&place, &url, &[]);
    wait_for("it answers", || status(&place, "standby")["role"].as_str().map(drop));
    let refused = place.run(&["sync", "--state-dir", STANDBY_STATE]);
    assert!(
        refused.code != 0 && refused.stderr.contains("went back in time"),
        "{refused:?}"
    );
    assert_eq!(config(&place, "standby"), newest);
    let accepted = place.run(&["sync", "--accept-rollback", "--state-dir", STANDBY_STATE]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert_eq!(config(&place, "standby"), config(&place, "primary"));
    wait_until_on_standby(&place, &comment(&place, "after it was accepted"));
    drop(restored);
    let edited = comment(&place, "while it was down");
    let _again = primary(&place, &address);
    wait_until_on_standby(&place, &edited);
}

#[test]
fn a_primary_that_is_killed_again_and_again_is_followed() {
    let place = Place::new();
    let (mut running, _following, address) = pair(&place);
    for number in 0..25 {
        // Killed in the moment in which the change has just arrived, then edited while it is down.
        wait_until_on_standby(&place, &comment(&place, &format!("edit {number}")));
        drop(running);
        let edited = comment(&place, &format!("edit {number} while it was down"));
        running = primary(&place, &address);
        wait_until_on_standby(&place, &edited);
    }
    let status = wait_for("it is in sync", || {
        Some(status(&place, "standby")).filter(|status| status["sync"]["in_sync"] == true)
    });
    assert_eq!(status["problems"], serde_json::json!([]));
}

#[test]
fn what_gocd_accepted_stays_accepted_while_its_merge_is_in_the_working_copy() {
    let place = Place::new();
    gocd(&place, "primary");
    let generated = place.run(&["token", "generate", "--config", "primary/config"]);
    assert_eq!(generated.code, 0, "{generated:?}");
    place.folder("primary/db/config.git", NOBODY);
    let working_copy = "primary/db/config.git/cruise-config.xml";
    place.file(working_copy, &config(&place, "primary"), NOBODY);
    let acceptance = |word: &str| {
        wait_for(word, || {
            let status = status(&place, "primary");
            (status["generation"]["acceptance"] == word).then_some(())
        });
    };
    let first_life = primary(&place, "127.0.0.1:0");
    acceptance("accepted");
    drop(first_life);
    place.file(working_copy, "<another branch/>", NOBODY);
    let _second_life = primary(&place, "127.0.0.1:0");
    acceptance("accepted");
    comment(&place, "by hand");
    acceptance("pending");
}
