//! That GoCD runs is what GoCD itself says: starts that fail after the plugin was loaded, and after the first answer.

use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

use bc_testkit::{gocd_dir::GocdDir, http, process::Process, secrets};
use bc_tests::{Pair, authorized};

const START: Duration = Duration::from_secs(60);
/// What the database said in the end.
const CAUSE: &str = "cannot execute UPDATE in a read-only transaction";

/// A primary and a held standby whose GoCD will fail as `how` says.
fn pair_that_fails(how: &str) -> Pair {
    Pair::start_with(17, &[&format!("-Dgocd.host.fail={how}")])
}

fn promote(standby: &GocdDir, more: &[&str]) -> (Output, String, Duration) {
    let begun = Instant::now();
    let output = standby.cli(&[&["promote", "--without-database"], more].concat());
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    (output, said, begun.elapsed())
}

/// The server again, as a service is restarted, with whatever its JVM is told besides.
fn start_again(standby: &GocdDir, primary_port: u16, more: &[&str]) -> Process {
    let mut java = standby.java(17);
    java.args(GocdDir::standby_arguments(primary_port)).args(more);
    standby.launch("started again", &mut java)
}

#[test]
fn a_gocd_that_fails_after_its_plugins_is_no_success_and_its_next_start_says_why() {
    let mut pair = pair_that_fails("database");
    let (output, said, took) = promote(&pair.standby, &[]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "its process",
        "GoCD does not run",
        CAUSE,
        "go-server.log",
        "no second promotion",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(took < START, "the process went, and it was waited on: {took:?}");
    pair.standby_jvm.wait_for_end(START);

    let nobody = pair.standby.cli(&["status"]);
    let text = String::from_utf8_lossy(&nobody.stdout);
    assert_eq!(nobody.status.code(), Some(2), "{text}");
    assert!(
        text.starts_with("CRITICAL  GoCD was started at ") && text.contains(CAUSE),
        "{text}"
    );

    let again = start_again(&pair.standby, pair.primary.port, &["-Dgocd.host.start.delay=10000"]);
    let starting = pair.standby.wait_for_status("it says what failed", START, |status| {
        status["face"] == "plugin" && status["problems"].to_string().contains(CAUSE)
    });
    assert_eq!(starting["gocd"]["state"], "starting", "{starting}");
    let healthy = pair
        .standby
        .wait_for_status("it runs", START, |status| status["gocd"]["state"] == "healthy");
    assert!(!healthy["problems"].to_string().contains(CAUSE), "{healthy}");
    drop(again);
    let text = pair.standby.cli(&["status"]);
    assert_eq!(text.status.code(), Some(3), "it ran, and was ended later: {text:?}");
}

#[test]
fn a_gocd_that_gives_its_secrets_away_on_its_own_port_is_critical_on_every_face() {
    let primary = GocdDir::with_jar();
    let _jvm = primary.launch("primary", primary.java(17).arg("-Dgocd.host.gives.away=true"));
    primary.wait_for_gocd();
    let port = primary.gocd_port;
    let cipher = http::get(port, "/go/add-on/business-continuity/api/cipher.aes").expect("the stand-in answers");
    assert_eq!(cipher.status, 200, "anybody has it");
    let status = primary.wait_for_status("it is said", START, |status| {
        status["problems"].to_string().contains("CVE-2021-43287")
    });
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("21.3") && problems.contains(&format!(":{port}/go/add-on/")),
        "{problems}"
    );
    assert_eq!(primary.cli(&["status"]).status.code(), Some(2));
    let doctor = primary.cli(&["doctor"]);
    let found = String::from_utf8_lossy(&doctor.stdout);
    assert!(
        found.contains("old-gocd") && found.contains("CVE-2021-43287"),
        "{found}"
    );
    let page = authorized(primary.port, "/admin/dashboard").text().expect("text");
    assert!(page.contains("CVE-2021-43287"), "{page}");
    let metrics = authorized(primary.port, "/metrics").text().expect("text");
    assert!(
        metrics.contains("gocd_bc_problems{severity=\"critical\"} 1"),
        "{metrics}"
    );
    bc_testkit::wait::until("GoCD's own pages say it", START, || {
        let messages = http::get(port, "/go/api/server_health_messages")?.body;
        messages.contains("CVE-2021-43287").then_some(())
    });
}

#[test]
fn one_answer_is_not_enough() {
    let mut pair = pair_that_fails("late");
    let (output, said, _) = promote(&pair.standby, &[]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("GoCD does not run") && said.contains(CAUSE), "{said}");
    pair.standby_jvm.wait_for_end(START);
}

#[test]
fn a_gocd_that_takes_its_time_is_starting_until_it_answers() {
    let pair = Pair::start_with(17, &["-Dgocd.host.start.delay=6000"]);
    let (output, said, took) = promote(&pair.standby, &[]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("GoCD is healthy, answers at http://127.0.0.1:"), "{said}");
    assert!(took >= Duration::from_secs(8), "it was called a success after {took:?}");
}

#[test]
fn a_gocd_that_runs_on_another_configuration_than_it_was_promoted_with_is_told() {
    let pair = Pair::start_with(17, &["-Dgocd.host.start.delay=12000"]);
    let standby = &pair.standby;
    let (output, said) = std::thread::scope(|scope| {
        let promoting = scope.spawn(|| promote(standby, &[]));
        standby.wait_for_status("GoCD starts", START, |status| status["gocd"]["state"] == "starting");
        // As GoCD does with a configuration that it dislikes.
        let config = fs::read_to_string(standby.config().join("cruise-config.xml")).expect("read");
        fs::write(standby.config().join("cruise-config.xml.invalid.1"), &config).expect("write");
        standby.rewrite_config(&config.replacen("serverId=\"", "serverId=\"other-", 1));
        let (output, said, _) = promoting.join().expect("it comes to an end");
        (output, said)
    });
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in [
        "GoCD runs, and this node",
        "serverId is other-",
        "cruise-config.xml.invalid.1",
        "landing done",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let status = standby.status().expect("it answers");
    assert!(
        status["problems"].to_string().contains("not all is as it was promoted"),
        "{status}"
    );
    assert!(standby.cli(&["landing", "done"]).status.success());
    standby.wait_for_status("somebody has seen it", START, |status| {
        !status["problems"].to_string().contains("not all is as it was promoted")
    });
}

#[test]
fn a_promotion_in_maintenance_mode_tells_gocd_so_at_its_start() {
    let pair = Pair::start(17);
    let (output, said, _) = promote(&pair.standby, &["--maintenance"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("released in maintenance mode") && said.contains("Admin >"),
        "{said}"
    );
    let seen = http::get(pair.standby.gocd_port, "/gocd-host/launch").expect("the stand-in answers");
    let seen: serde_json::Value = serde_json::from_str(&seen.body).expect("JSON");
    assert_eq!(seen["gocd.server.start.in.maintenance.mode"], "Y", "{seen}");
    pair.standby
        .wait_for_status("it is said in the status", START, |status| {
            status["face"] == "plugin" && status["gocd"]["maintenance"] == true
        });
}

#[test]
fn a_promoted_gocd_is_asked_for_its_agents_with_the_token_that_an_administrator_gives() {
    const TOKEN: &str = "an-access-token-of-gocd";
    secrets::register("access token of GoCD", TOKEN.as_bytes());
    let gocds = tempfile::NamedTempFile::new().expect("a file");
    fs::write(gocds.path(), TOKEN).expect("write");
    let arguments = [
        "-Dbc.gocd.token.file=gocd-token",
        &format!("-Dgocd.host.token.file={}", gocds.path().display()),
        "-Dgocd.host.agents=builder1:Idle,builder2:Missing",
    ];
    let pair = Pair::start_with(17, &arguments);
    let standby = &pair.standby;
    let (output, said, _) = promote(standby, &[]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    standby.wait_for_status("the missing file is named", START, |status| {
        status["agents"]["unknown"].to_string().contains("bc.gocd.token.file")
    });
    fs::write(standby.path().join("gocd-token"), format!("{TOKEN}\n")).expect("write");
    standby.wait_for_status("it says who is back", START, |status| status["agents"]["back"] == 1);
    let landing = standby.cli(&["landing"]);
    let landing = String::from_utf8_lossy(&landing.stdout);
    assert!(
        landing.contains("agents that are back: 1; missing: 1: builder2"),
        "{landing}"
    );
}
