//! Going back to a kept generation on a whole standby, and forward again.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use pair::{
    CONFIG, STANDBY_STATE, change, comment, config, pair, pair_with, status, wait_for, wait_until_in_sync,
    wait_until_on_standby,
};
use support::{Answer, NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
mod support;

fn on_standby(place: &Place, arguments: &[&str]) -> Answer {
    place.run(&[arguments, &["--state-dir", STANDBY_STATE]].concat())
}

/// Edits the primary's configuration and waits until the standby has it and has noted that.
fn edit(place: &Place, from: &str, to: &str) -> String {
    let edited = change(place, from, to);
    wait_until_on_standby(place, &edited);
    wait_until_in_sync(place);
    edited
}

#[test]
fn a_restored_generation_stays_over_edits_and_a_restart_until_it_is_resumed() {
    let place = Place::new();
    let (_primary, standby, address) = pair(&place);
    let first = config(&place, "standby");
    wait_until_on_standby(&place, &comment(&place, "second"));

    let restored = on_standby(&place, &["generations", "restore", "#1"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(restored.stdout.contains("#1"), "{restored:?}");
    assert_eq!(config(&place, "standby"), first);
    let unknown = on_standby(&place, &["generations", "restore", "#77"]);
    assert!(
        unknown.code == 1 && unknown.stderr.contains("no generation \"#77\""),
        "{unknown:?}"
    );
    let refused = on_standby(&place, &["sync"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("sync --resume"),
        "{refused:?}"
    );

    let third = config(&place, "primary").replace("second", "third");
    place.file(&format!("primary/{CONFIG}"), &third, NOBODY);
    let (code, log) = standby.end();
    assert_eq!(code, Some(0), "{log}");
    let offline = on_standby(&place, &["generations", "list", "--json"]).json();
    assert_eq!(
        (&offline[0]["is_applied"], &offline[0]["sequence"]),
        (&true.into(), &1.into()),
        "files tell it too: {offline}"
    );

    let standby = pair::standby(&place, &format!("https://{address}"), &[]);
    let paused = wait_for("the standby runs again", || {
        let sync = status(&place, "standby")["sync"].take();
        sync["paused"].is_object().then_some(sync)
    });
    assert_eq!(paused["in_sync"], false);
    let shown = on_standby(&place, &["status"]);
    assert!(
        shown.code == 1 && shown.stdout.contains("is held in place"),
        "WARNING: {shown:?}"
    );
    assert_eq!(config(&place, "standby"), first);

    let resumed = on_standby(&place, &["sync", "--resume"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(config(&place, "standby"), third);
    edit(&place, "third", "fourth");
    let after = status(&place, "standby");
    assert!(
        after["sync"]["paused"].is_null() && after["problems"] == serde_json::json!([]),
        "{after}"
    );
    let (code, log) = standby.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_paused_standby_is_promoted_on_what_was_restored() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    let first = config(&place, "standby");
    wait_until_on_standby(&place, &comment(&place, "second"));
    assert_eq!(on_standby(&place, &["generations", "restore", "#1"]).code, 0);
    let promoted = on_standby(&place, &["promote", "--without-database", "--wait", "60"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert!(promoted.stderr.contains("held in place"), "{promoted:?}");
    assert_eq!(config(&place, "standby"), first);
}

#[test]
fn what_differs_is_shown_without_a_secret_by_the_node_and_by_its_files() {
    let place = Place::new();
    let (_primary, standby, _) = pair(&place);
    // Into the sample configuration go a secret and an open value, and then only the secret changes.
    let variables = |secret: &str| {
        format!(
            "<environmentvariables><variable secure=\"true\" name=\"v\"><value><![CDATA[{secret}]]></value></variable>\
             <variable name=\"open\"><value>plain</value></variable>"
        )
    };
    edit(&place, "<environmentvariables>", &variables("hunter2-hunter2"));
    edit(&place, "hunter2-hunter2", "correct-horse-battery");

    let newest = on_standby(&place, &["generations", "diff"]);
    assert_eq!(newest.code, 0, "{newest:?}");
    let changes = |answer: &Answer| {
        let lines = answer.stdout.lines();
        let changed = lines.filter(|line| line.starts_with(['-', '+']) && !line.contains("cruise-config.xml"));
        changed.map(|line| line.replace(' ', "")).collect::<Vec<_>>()
    };
    assert_eq!(
        changes(&newest),
        [
            "-<value>[secret:formervalue]</value>",
            "+<value>[secret:newvalue]</value>"
        ],
        "{newest:?}"
    );
    assert!(newest.stdout.contains("\ncruise-config.xml  changed"), "{newest:?}");

    let first = on_standby(&place, &["generations", "diff", "#1", "live"]);
    assert!(
        changes(&first).contains(&"+<value>plain</value>".to_owned()),
        "{first:?}"
    );
    let nothing = on_standby(&place, &["generations", "diff", "#3", "live"]);
    assert!(nothing.stdout.starts_with("Nothing differs between"), "{nothing:?}");
    let data = on_standby(&place, &["generations", "diff", "#1", "--json"]);
    let json = data.json();
    assert_eq!(json["from"]["sequence"], 1, "{json}");
    assert_eq!(json["to"]["sequence"], 3, "{json}");
    assert_eq!(json["configuration"]["state"], "shown", "{json}");
    assert_eq!(json["files"].as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(json["files"][0]["name"], "cruise-config.xml", "{json}");
    let unknown = on_standby(&place, &["generations", "diff", "#77"]);
    assert!(
        unknown.code == 1 && unknown.stderr.contains("no generation \"#77\""),
        "{unknown:?}"
    );
    if is_root() {
        let stranger = place.run_as(NOBODY - 1, &["generations", "diff", "--state-dir", STANDBY_STATE]);
        assert!(stranger.code == 1 && stranger.stdout.is_empty(), "{stranger:?}");
    }

    let (code, log) = standby.end();
    assert_eq!(code, Some(0), "{log}");
    let offline = on_standby(&place, &["generations", "diff", "#2", "live"]);
    assert_eq!((offline.code, changes(&offline)), (0, changes(&newest)), "{offline:?}");
    for answer in [&newest, &first, &data, &offline] {
        for secret in ["hunter2", "correct-horse", "AES:", "323040d4", "3d5cd2f5", "8c3c8dc9"] {
            assert!(!format!("{answer:?}").contains(secret), "{secret} in {answer:?}");
        }
    }
}

#[test]
fn a_file_that_is_edited_on_the_standby_is_mended_and_said() {
    let place = Place::new();
    let (_primary, _standby, _) = pair_with(&place, &["--property", "bc.reverify.interval=1000"]);
    let right = config(&place, "standby");
    place.file(&format!("standby/{CONFIG}"), "<cruise>mine</cruise>", NOBODY);
    let said = wait_for("it is said", || {
        let status = status(&place, "standby");
        let problems = status["problems"].as_array()?;
        let drift = problems.iter().find(|problem| problem["topic"] == "drift")?;
        drift["message"].as_str().map(str::to_owned)
    });
    assert!(said.contains("cruise-config.xml was changed on this standby"), "{said}");
    assert_eq!(config(&place, "standby"), right);
    wait_for("the next look finds nothing", || {
        (status(&place, "standby")["problems"] == serde_json::json!([])).then_some(())
    });
}

#[test]
fn verify_reads_all_names_what_is_wrong_and_has_it_mended() {
    let place = Place::new();
    let (_primary, _standby, _) = pair(&place);
    let right = config(&place, "standby");
    let verified = on_standby(&place, &["verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(
        verified.stdout.starts_with("OK  3 live files and 3 kept ones"),
        "{verified:?}"
    );
    place.file(&format!("standby/{CONFIG}"), "<cruise>mine</cruise>", NOBODY);
    let verified = on_standby(&place, &["verify", "--json"]);
    assert_eq!(verified.code, 2, "{verified:?}");
    let files = verified.json()["files"].take();
    let wrong: Vec<_> = files
        .as_array()
        .expect("a list")
        .iter()
        .filter(|file| file["state"] != "ok")
        .map(|file| (&file["name"], &file["state"]))
        .collect();
    assert_eq!(wrong, [(&"cruise-config.xml".into(), &"differs".into())]);
    wait_for("it is mended", || (config(&place, "standby") == right).then_some(()));
    assert_eq!(place.run(&["verify", "--state-dir", "nowhere"]).code, 3);
}
