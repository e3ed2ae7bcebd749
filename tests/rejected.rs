//! A configuration that GoCD rejects: two pipeline groups of one name, well-formed, so that it crosses to the standby.

use std::{fs, process::Output, time::Duration};

use bc_testkit::gocd_dir::GocdDir;
use bc_tests::{Pair, wait_for_sync};

const START: Duration = Duration::from_secs(60);
const REJECTED: &str = "<pipelines group=\"twice\"/><pipelines group=\"twice\"/></cruise>";

/// A pair whose primary was given what its GoCD rejects, and which has crossed; with the configuration from before.
fn pair_with_what_is_rejected() -> (Pair, Vec<u8>) {
    let pair = Pair::start(17);
    pair.standby
        .wait_for_status("GoCD has accepted what is live", START, |status| {
            status["generation"]["acceptance"] == "accepted"
        });
    let accepted = live(&pair.standby);
    let text = String::from_utf8(accepted.clone()).expect("UTF-8");
    let before = pair.standby.status().expect("it answers")["generation"]["sequence"].clone();
    pair.primary.rewrite_config(&text.replace("</cruise>", REJECTED));
    pair.standby.wait_for_status("it crosses", START, |status| {
        status["generation"]["sequence"] != before && status["generation"]["acceptance"] == "pending"
    });
    wait_for_sync(&pair.standby);
    (pair, accepted)
}

fn live(server: &GocdDir) -> Vec<u8> {
    fs::read(server.config().join("cruise-config.xml")).expect("read")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn what_gocd_has_rejected_is_set_aside_at_a_promotion_and_named() {
    let (pair, accepted) = pair_with_what_is_rejected();
    let standby = &pair.standby;
    bc_testkit::wait::until("it is listed as rejected", START, || {
        let listed = said(&standby.cli(&["generations", "list"]));
        (listed.contains("rejected") && listed.contains("accepted")).then_some(())
    });
    let status = standby.status().expect("it answers");
    assert!(status["problems"].to_string().contains("has rejected it"), "{status}");
    let output = standby.cli(&["promote", "--without-database"]);
    let said_of_it = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said_of_it}");
    for part in ["set aside", "+<pipelines group=\"twice\"", "GoCD runs, and this node"] {
        assert!(said_of_it.contains(part), "{part}: {said_of_it}");
    }
    assert_eq!(live(standby), accepted);
}

#[test]
fn a_gocd_that_ended_on_its_configuration_goes_back_once_and_says_so_until_somebody_looks() {
    let (mut pair, accepted) = pair_with_what_is_rejected();
    let standby = &pair.standby;
    // Its GoCD had no time to look.
    let output = standby.cli(&["promote", "--without-database"]);
    let said_of_it = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said_of_it}");
    assert!(said_of_it.contains("is invalid"), "{said_of_it}");
    pair.standby_jvm.wait_for_end(START);
    assert_ne!(live(standby), accepted);

    let mut java = standby.java(17);
    java.args(GocdDir::standby_arguments(pair.primary.port));
    let again = standby.launch("started again", &mut java);
    let status = standby.wait_for_status("it runs", START, |status| status["gocd"]["state"] == "healthy");
    assert_eq!(live(standby), accepted);
    let problems = status["problems"].to_string();
    for part in ["CRITICAL", "went back by itself", "group=\\\"twice\\\"", "landing done"] {
        assert!(problems.contains(part), "{part}: {status}");
    }
    drop(again);
    let mut java = standby.java(17);
    java.args(GocdDir::standby_arguments(pair.primary.port));
    let again = standby.launch("started once more", &mut java);
    let is_said = |status: &serde_json::Value| status["problems"].to_string().contains("went back by itself");
    standby.wait_for_status("nobody has looked yet", START, |status| {
        status["gocd"]["state"] == "healthy" && is_said(status)
    });
    assert!(standby.cli(&["landing", "done"]).status.success());
    standby.wait_for_status("somebody has", START, |status| !is_said(status));
    drop(again);
}
