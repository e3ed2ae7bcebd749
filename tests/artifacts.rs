//! Artifacts that would not be there after a promotion are said to be so before, on both servers.

use std::{fs, path::Path, process::Output, time::Duration};

use bc_testkit::{gocd_dir::GocdDir, http, mounts::Mounts, process::Process};
use bc_tests::wait_for_sync;
use serde_json::Value;

const START: Duration = Duration::from_secs(60);
const AGENT: &str = "-javaagent:plugins/external/gocd-business-continuity.jar";
/// As on a server where nobody has set it.
const NOT_SET: &str = "-Dbc.artifacts.shared=";
const CONSOLE: &str = "up/1/build/1/job/cruise-output/console.log";

fn start_primary(primary: &GocdDir) -> Process {
    let process = primary.launch("primary", primary.java(17).args([AGENT, NOT_SET]));
    primary.wait_for_gocd();
    primary.wait_for_port();
    process
}

/// What a node says of artifacts; none where it says that nothing is wrong.
fn said(status: &Value) -> Option<&str> {
    let problems = status["problems"].as_array()?;
    let problem = problems.iter().find(|problem| problem["topic"] == "artifacts")?;
    assert_eq!(problem["severity"], "WARNING", "{problem}");
    problem["message"].as_str()
}

fn wait_until_said(server: &GocdDir, parts: &[&str]) {
    server.wait_for_status(&format!("it says {parts:?}"), START, |status| {
        said(status).is_some_and(|said| parts.iter().all(|part| said.contains(part)))
    });
}

fn wait_until_well(server: &GocdDir, in_use: &Value) {
    server.wait_for_status("it says nothing", START, |status| {
        let folder = &status["artifacts"];
        said(status).is_none() && folder["state"] == "apart" && folder["in_use"] == *in_use
    });
}

/// Names another folder in place of the one in the sample configuration.
fn name(primary: &GocdDir, folder: &Path) {
    let config = fs::read_to_string(primary.config().join("cruise-config.xml")).expect("read");
    let named = config.replace(
        "<artifactsDir>artifacts</artifactsDir>",
        &format!("<artifactsDir>{}</artifactsDir>", folder.display()),
    );
    assert_ne!(named, config);
    primary.rewrite_config(&named);
}

fn has_console(server: &GocdDir) -> bool {
    let answer = http::get(server.gocd_port, &format!("/go/files/{CONSOLE}")).expect("GoCD answers");
    answer.status == 200
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn artifacts_that_would_be_missing_after_a_promotion_are_a_warning_on_both_servers() {
    let mounts = Mounts::private();
    let place = tempfile::tempdir().expect("a folder");
    let share = place.path().join("share");
    fs::create_dir(&share).expect("a folder");
    mounts.disk(&share, "size=8m");

    let primary = GocdDir::with_jar();
    let primary_jvm = start_primary(&primary);
    let standby = GocdDir::with_jar();
    standby.copy_config_of(&primary);
    let mut java = standby.java(17);
    java.args(GocdDir::standby_arguments(primary.port)).arg(NOT_SET);
    let mut standby_jvm = standby.launch("standby", &mut java);
    wait_for_sync(&standby);

    // As a new GoCD has it.
    let [own, standbys] = [&primary, &standby].map(|server| server.path().join("artifacts"));
    let own = own.to_str().expect("UTF-8");
    wait_until_said(
        &primary,
        &[own, "relative path", "took the same", "bc.artifacts.shared"],
    );
    wait_until_said(&standby, &[standbys.to_str().expect("UTF-8"), "relative path"]);
    let health = http::get(primary.gocd_port, "/go/api/server_health_messages").expect("GoCD answers");
    assert!(health.body.contains("WARNING artifactsDir"), "{}", health.body);
    let doctor = text(&primary.cli(&["doctor"]));
    assert!(
        doctor.contains("BC144") && doctor.contains("gocd-bc explain artifacts"),
        "{doctor}"
    );
    let console = Path::new(own).join(CONSOLE);
    fs::create_dir_all(console.parent().expect("a folder")).expect("folders");
    fs::write(&console, "passed").expect("write");
    assert!(has_console(&primary));

    // Named, and GoCD goes on with the one of its start.
    let shared = share.to_str().expect("UTF-8");
    name(&primary, &share);
    wait_until_said(&primary, &[shared, own, "still uses"]);
    wait_until_well(&standby, &Value::Null);
    assert!(has_console(&primary));

    let there = share.join(CONSOLE);
    fs::create_dir_all(there.parent().expect("a folder")).expect("folders");
    fs::rename(&console, &there)
        .or_else(|_| fs::copy(&console, &there).map(drop))
        .expect("moved");
    drop(primary_jvm);
    let primary_jvm = start_primary(&primary);
    wait_until_well(&primary, &Value::from(shared));
    assert!(has_console(&primary));
    wait_for_sync(&standby);

    // The share is not mounted any more.
    mounts.undo(&share);
    wait_until_said(&standby, &[shared, "No share is mounted there"]);
    wait_until_said(&primary, &[shared, "No share is mounted there", "took the same"]);
    assert!(!has_console(&primary));

    // And again: the promoted server takes it at its start.
    mounts.disk(&share, "size=8m");
    wait_until_well(&standby, &Value::Null);
    drop(primary_jvm);
    let output = standby.cli(&["promote", "--without-database"]);
    assert!(output.status.success(), "{}", text(&output));
    wait_until_well(&standby, &Value::from(shared));
    assert!(standby_jvm.is_running());
}
