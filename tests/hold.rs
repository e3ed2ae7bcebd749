//! The hold: GoCD waits on a standby, runs on a primary, and nothing but a release ends the wait.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use bc_testkit::{artefacts, gocd_dir::GocdDir, http, process::Process, wait};
use bc_tests::{Pair, authorized, start_standby, wait_for_sync};

/// Printed by the stand-in when GoCD's launcher runs.
const LAUNCHED: &str = "gocd-host: launcher runs";
/// Printed by the stand-in when GoCD is up.
const STARTED: &str = "GoCD server started successfully.";
const START: Duration = Duration::from_secs(60);

fn promote(standby: &GocdDir) {
    promote_with(standby, &["promote", "--without-database"]);
}

/// A standby that never met a primary has nothing that was verified.
fn promote_as_it_is(standby: &GocdDir) {
    promote_with(standby, &["promote", "--without-database", "--as-it-is"]);
}

fn promote_with(standby: &GocdDir, arguments: &[&str]) {
    let output = standby.cli(arguments);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Held, answered as held, promoted, running as primary with the plugin's node: on one Java.
fn holds_and_releases(java: u32) {
    let pair = Pair::start(java);
    let standby = &pair.standby;
    assert!(!pair.standby_jvm.output().contains(LAUNCHED));
    let health = http::get(standby.gocd_port, "/go/api/v1/health").expect("the held port answers");
    assert_eq!((health.status, health.body.trim()), (503, "{\"health\":\"STANDBY\"}"));

    promote(standby);
    pair.standby_jvm.wait_for(LAUNCHED, START);
    standby.wait_for_gocd();
    let status = standby.wait_for_status("the plugin's node runs", START, |status| {
        status["face"] == "plugin" && status["role"] == "primary" && status["phase"] == "running"
    });
    assert_eq!(status["holding"], serde_json::Value::Null);
    let seen = http::get(standby.gocd_port, "/gocd-host/launch")
        .expect("the stand-in answers")
        .body;
    let seen: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(
        seen,
        serde_json::json!({"go.server.mode": "production", "go.server.state": "active"})
    );
    standby.wait_for_port();
    let node: serde_json::Value = authorized(standby.port, "/api/v2/node").json().expect("JSON");
    assert_eq!(node["role"], "primary");
}

#[test]
fn holds_and_releases_on_java_11() {
    holds_and_releases(11);
}

#[test]
fn holds_and_releases_on_java_17() {
    holds_and_releases(17);
}

#[test]
fn holds_and_releases_on_java_21() {
    holds_and_releases(21);
}

#[test]
fn holds_and_releases_on_java_25() {
    holds_and_releases(25);
}

#[test]
fn a_promoted_standby_starts_as_primary_under_the_same_flag_and_a_new_flag_is_an_order() {
    let mut pair = Pair::start(17);
    promote(&pair.standby);
    pair.standby.wait_for_gocd();
    pair.standby_jvm.signal(nix::sys::signal::Signal::SIGTERM);
    pair.standby_jvm.wait_for_end(START);
    let again = start_standby(&pair.standby, pair.primary.port, 17);
    again.wait_for(STARTED, START);
    drop(again);
    fs::write(pair.standby.config().join("start.in.standby"), "").expect("flag file");
    let java = &mut pair.standby.java(17);
    let by_file = pair.standby.launch(
        "standby by file",
        java.arg("-javaagent:plugins/external/gocd-business-continuity.jar")
            .arg(format!("-Dbc.primary.url=https://127.0.0.1:{}", pair.primary.port)),
    );
    pair.standby.wait_for_status("held again", START, |status| {
        status["flag"] == "file" && status["role"] == "standby"
    });
    assert!(!by_file.output().contains(LAUNCHED));
}

#[test]
fn a_server_that_nothing_asks_to_be_a_standby_starts_at_once_with_the_agent() {
    let primary = GocdDir::with_jar();
    let begun = Instant::now();
    let jvm = primary.launch(
        "primary with agent",
        primary
            .java(17)
            .arg("-javaagent:plugins/external/gocd-business-continuity.jar"),
    );
    jvm.wait_for(STARTED, START);
    primary.wait_for_port();
    assert!(begun.elapsed() < START);
    let status = primary.wait_for_status("the plugin's node runs", START, |status| status["face"] == "plugin");
    assert_eq!(status["role"], "primary");
}

#[test]
fn promotion_without_the_option_is_refused_and_says_what_is_missing() {
    let pair = Pair::start(17);
    let output = pair.standby.cli(&["promote"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("database") && said.contains("--without-database"),
        "{said}"
    );
    assert!(!pair.standby_jvm.output().contains(LAUNCHED));
}

#[test]
fn a_standby_without_an_address_holds_and_says_so_in_all_places() {
    let standby = GocdDir::with_jar();
    let jvm = standby.launch(
        "standby without address",
        standby
            .java(17)
            .args([
                "-javaagent:plugins/external/gocd-business-continuity.jar",
                "-Dgo.server.mode=standby",
            ])
            .env("GOCD_SERVER_JVM_OPTIONS", "-Dx=y"),
    );
    let status = standby.wait_for_status("the mistake is shown", START, |status| {
        status["problems"].to_string().contains("bc.primary.url")
    });
    assert!(
        status["problems"].to_string().contains("GOCD_SERVER_JVM_OPTS"),
        "{status}"
    );
    jvm.wait_for("bc.primary.url", START);
    standby.wait_for_port();
    let page = authorized(standby.port, "/admin/dashboard").text().expect("text");
    assert!(page.contains("bc.primary.url"));
    assert!(!jvm.output().contains(LAUNCHED));
}

/// A server with the library that misbehaves as `how` says.
fn provoked(how: &str, standby: bool, more: &[&str]) -> (GocdDir, Process) {
    let dir = GocdDir::new();
    dir.install(&artefacts::provoke_jar());
    let mut java = dir.java(17);
    java.arg("-javaagent:plugins/external/gocd-business-continuity.jar")
        .arg(format!("-Dbc.provoke={how}"))
        .args(more);
    if standby {
        java.args(["-Dgo.server.mode=standby", "-Dbc.primary.url=https://127.0.0.1:1"]);
    }
    let process = dir.launch(&format!("{how}, standby {standby}"), &mut java);
    (dir, process)
}

#[test]
fn a_standby_stays_held_whatever_goes_wrong() {
    let kinds = [
        "open-throw",
        "open-oom",
        "open-panic",
        "open-panic-formatted",
        "open-hang",
        "next-throw",
        "next-panic",
        "next-hang",
        "next-oom",
    ];
    let running: Vec<_> = kinds
        .iter()
        .map(|how| (how, provoked(how, true, &["-Dgocd.host.interrupt=true"])))
        .collect();
    // Longer than the ten seconds after which a primary would be let go.
    sleep(Duration::from_secs(14));
    for (how, (_dir, mut process)) in running {
        let output = process.output();
        assert!(process.is_running(), "{how}: the JVM ended:\n{output}");
        assert!(!output.contains(LAUNCHED), "{how}: GoCD was started:\n{output}");
        if !how.ends_with("hang") {
            assert!(
                output.contains("provoked"),
                "{how}: the reason is not on stderr:\n{output}"
            );
        }
    }
}

#[test]
fn a_primary_is_let_go_whatever_goes_wrong_before_the_decision() {
    for how in [
        "open-throw",
        "open-oom",
        "open-panic",
        "open-panic-formatted",
        "open-hang",
    ] {
        let (_dir, process) = provoked(how, false, &[]);
        process.wait_for(LAUNCHED, Duration::from_secs(40));
        if how == "open-panic-formatted" {
            assert!(process.output().contains("provoked panic in"), "{}", process.output());
        }
    }
}

/// The guard's wait is the library's own: nothing that an administrator sets makes silence a decision earlier or later.
#[test]
fn a_primary_that_hears_no_decision_is_let_go_in_the_end() {
    let begun = Instant::now();
    let (_dir, process) = provoked("next-hang", false, &["-Dbc.guard.wait=600000"]);
    process.wait_for(LAUNCHED, Duration::from_secs(120));
    assert!(begun.elapsed() >= Duration::from_secs(25), "{:?}", begun.elapsed());
}

/// Rust reads a flag here that Java does not see: nothing but what Rust says can hold this node.
#[test]
fn what_the_library_holds_no_clock_releases() {
    let (standby, told) = provoked("hold-unseen", false, &["-Dbc.guard.wait=1000"]);
    let (_dir, silent) = provoked("hold-then-hang", false, &["-Dbc.guard.wait=1000"]);
    standby.wait_for_status("held", START, |status| status["holding"].is_string());
    // The 30 s in which a silent library is given up have long passed by then.
    silent.wait_for("has not said so again", Duration::from_secs(100));
    for held in [&told, &silent] {
        assert!(!held.output().contains(LAUNCHED), "{}", held.output());
    }
    assert!(!told.output().contains("has not said so again"), "{}", told.output());
    promote_as_it_is(&standby);
    told.wait_for(LAUNCHED, START);
}

/// The jar without these classes, as after a damage or a mixed upgrade: an Error wherever they are needed.
fn jar_without(classes: &[&str], folder: &Path) -> PathBuf {
    let mut whole = zip::ZipArchive::new(fs::File::open(artefacts::jar()).expect("the jar")).expect("a zip");
    let path = folder.join("incomplete.jar");
    let mut jar = zip::ZipWriter::new(fs::File::create(&path).expect("create"));
    for index in 0..whole.len() {
        let entry = whole.by_index_raw(index).expect("an entry");
        let name = entry.name().expect("a name").into_owned();
        if !classes.iter().any(|class| name.ends_with(&format!("/{class}.class"))) {
            jar.raw_copy_file(entry).expect("copied");
        }
    }
    jar.finish().expect("finish");
    path
}

#[test]
fn a_premain_that_fails_before_the_hold_waits_where_a_standby_may_be_asked_for() {
    let launch = |missing: &[&str], more: &[&str]| {
        let dir = GocdDir::new();
        dir.install(&jar_without(missing, dir.path()));
        let mut java = dir.java(17);
        java.arg("-javaagent:plugins/external/gocd-business-continuity.jar")
            .args(more);
        let process = dir.launch(&format!("without {missing:?}, {more:?}"), &mut java);
        (dir, process)
    };
    let released = launch(&["Hold"], &[]);
    released.1.wait_for(LAUNCHED, START);
    let mut held = [
        launch(&["Hold"], &["-Dgo.server.mode=standby"]),
        // Neither flag nor record can be read.
        launch(&["LastKnownRole"], &[]),
        launch(&["StandbyFlag"], &[]),
    ];
    for (_, process) in &held {
        process.wait_for("GoCD stays held: the agent could not be prepared", START);
    }
    sleep(Duration::from_secs(3));
    for (_, process) in &mut held {
        assert!(
            process.is_running() && !process.output().contains(LAUNCHED),
            "{}",
            process.output()
        );
    }
}

#[test]
fn a_node_that_finds_no_thread_can_be_released_nevertheless() {
    let standby = GocdDir::with_jar();
    let mut java = standby.java(17);
    java.args(GocdDir::standby_arguments(1)).args([
        "-Djava.security.manager=gocdhost.boot.ThreadShortage",
        "-Dgocd.host.shortage=bc-",
    ]);
    let jvm = standby.launch("short of threads", &mut java);
    standby.wait_for_status("held", START, |status| status["holding"].is_string());
    for thread in ["bc-open", "bc-events", "bc-shutdown"] {
        jvm.wait_for(&format!("no thread for {thread}"), START);
    }
    assert!(!jvm.output().contains(LAUNCHED), "{}", jvm.output());
    promote_as_it_is(&standby);
    jvm.wait_for(STARTED, START);
    assert!(jvm.output().contains("no thread for bc-close"), "{}", jvm.output());
}

#[test]
fn a_standby_that_could_not_open_does_once_the_cause_is_gone() {
    let standby = GocdDir::with_jar();
    fs::create_dir_all(standby.path().join("db")).expect("folder");
    fs::write(standby.state(), "in the way").expect("file");
    let jvm = start_standby(&standby, 1, 17);
    jvm.wait_for("GoCD stays held", START);
    fs::remove_file(standby.state()).expect("removed");
    standby.wait_for_status("held by the library", START, |status| status["holding"].is_string());
    promote_as_it_is(&standby);
    jvm.wait_for(LAUNCHED, START);
}

#[test]
fn without_a_library_the_record_decides_under_its_own_flag_only() {
    let (dir, process) = provoked("open-throw", true, &[]);
    sleep(Duration::from_secs(5));
    assert!(!process.output().contains(LAUNCHED));
    drop(process);
    fs::create_dir_all(dir.state()).expect("state folder");
    fs::write(dir.state().join("role"), "role=primary\nflag=property\n").expect("record");
    let mut java = dir.java(17);
    java.args([
        "-javaagent:plugins/external/gocd-business-continuity.jar",
        "-Dbc.provoke=open-throw",
        "-Dgo.server.mode=standby",
    ]);
    let promoted = dir.launch("promoted, without library", &mut java);
    promoted.wait_for(LAUNCHED, START);
    drop(promoted);
    fs::write(dir.state().join("role"), "role=primary\nflag=none\nhold=no\n").expect("record");
    let ordered = dir.launch("record of another flag", &mut java);
    sleep(Duration::from_secs(5));
    assert!(!ordered.output().contains(LAUNCHED));
}

#[test]
fn twenty_handovers_leave_the_port_free_and_the_plugin_in_charge() {
    for round in 1..=20 {
        // Each is told of the new epoch, and gives out nothing after that.
        let primary = GocdDir::with_jar();
        let _primary_jvm = primary.launch("primary", &mut primary.java(17));
        primary.wait_for_port();
        let standby = GocdDir::with_jar();
        standby.copy_config_of(&primary);
        let jvm = start_standby(&standby, primary.port, 17);
        standby.wait_for_status("held", START, |status| status["holding"].is_string());
        promote(&standby);
        jvm.wait_for(STARTED, START);
        standby.wait_for_status(&format!("round {round}: the plugin's node runs"), START, |status| {
            status["face"] == "plugin" && status["listening"].is_string()
        });
    }
}

#[test]
fn holds_for_forty_seconds_under_the_wrapper_and_is_then_released() {
    let primary = GocdDir::with_jar();
    let _primary_jvm = primary.launch("primary", &mut primary.java(17));
    primary.wait_for_port();
    let standby = GocdDir::with_jar();
    standby.copy_config_of(&primary);
    let conf = standby.path().join("wrapper.conf");
    let mut lines = vec![
        format!("wrapper.java.command={}", artefacts::java(17).display()),
        "wrapper.java.mainclass=org.tanukisoftware.wrapper.WrapperJarApp".to_owned(),
        format!("wrapper.app.parameter.1={}", artefacts::host_jar().display()),
        "wrapper.java.classpath.1=/usr/share/java/wrapper.jar".to_owned(),
        format!("wrapper.java.classpath.2={}", artefacts::host_jar().display()),
        "wrapper.java.library.path.1=/usr/lib/jni".to_owned(),
        format!("wrapper.working.dir={}", standby.path().display()),
        "wrapper.startup.timeout=15".to_owned(),
        "wrapper.console.format=M".to_owned(),
        "wrapper.console.flush=TRUE".to_owned(),
        "wrapper.logfile=".to_owned(),
        "wrapper.java.additional.1=-Xmx256m".to_owned(),
        format!("wrapper.java.additional.2=-Dcruise.server.port={}", standby.gocd_port),
        format!("wrapper.java.additional.3=-Dbc.listen=127.0.0.1:{}", standby.port),
    ];
    for (number, argument) in (4..).zip(GocdDir::standby_arguments(primary.port)) {
        lines.push(format!("wrapper.java.additional.{number}={argument}"));
    }
    fs::write(&conf, lines.join("\n") + "\n").expect("wrapper.conf");
    let mut wrapper = Process::start("wrapper", Command::new("/usr/sbin/wrapper").arg("-c").arg(&conf));
    standby.wait_for_status("held under the wrapper", START, |status| status["holding"].is_string());
    sleep(Duration::from_secs(40));
    assert!(wrapper.is_running());
    let output = wrapper.output();
    assert!(!output.contains(LAUNCHED), "{output}");
    assert!(!output.to_lowercase().contains("startup failed"), "{output}");
    promote(&standby);
    wrapper.wait_for(LAUNCHED, START);
    standby.wait_for_gocd();
    standby.wait_for_status("the plugin's node runs", START, |status| status["face"] == "plugin");
    wrapper.signal(nix::sys::signal::Signal::SIGTERM);
    wrapper.wait_for_end(START);
}

#[test]
fn a_held_port_in_use_is_named_and_taken_once_it_is_free() {
    let standby = GocdDir::with_jar();
    let blocker = std::net::TcpListener::bind(("0.0.0.0", standby.gocd_port)).expect("block the port");
    let jvm = start_standby(&standby, 1, 17);
    jvm.wait_for("cruise.server.port", START);
    drop(blocker);
    wait::until("the held port answers", START, || {
        http::get(standby.gocd_port, "/go/api/v1/health")
    });
    assert!(!jvm.output().contains(LAUNCHED));
}

/// The standby's server, started again without its flag and without what else its JVM was told: only the agent is left.
fn start_without_flag(standby: &GocdDir) -> Process {
    let mut java = standby.java(17);
    java.args([
        "-javaagent:plugins/external/gocd-business-continuity.jar",
        "-Dbc.guard.wait=4000",
    ]);
    standby.launch("standby without its flag", &mut java)
}

#[test]
fn a_standby_whose_flag_is_removed_stays_held_while_its_primary_lives() {
    let mut pair = Pair::start(17);
    pair.standby_jvm.signal(nix::sys::signal::Signal::SIGTERM);
    pair.standby_jvm.wait_for_end(START);
    let jvm = start_without_flag(&pair.standby);
    let status = pair
        .standby
        .wait_for_status("it says that it stays held", START, |status| {
            status["problems"].to_string().contains("stays held, since")
        });
    let problems = status["problems"].to_string();
    for part in [
        "answers as the primary",
        "-Dgo.server.mode=standby",
        "gocd-bc promote",
        "gocd-bc demote --forget",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    jvm.wait_for("stays held, since", START);
    wait_for_sync(&pair.standby);
    let health = http::get(pair.standby.gocd_port, "/go/api/v1/health").expect("the held port answers");
    assert_eq!(health.status, 503);
    // Longer than Java waits for a decision that it does not hear.
    sleep(Duration::from_secs(40));
    assert!(!jvm.output().contains(LAUNCHED), "{}", jvm.output());
    promote(&pair.standby);
    jvm.wait_for(STARTED, START);
}

#[test]
fn a_standby_whose_flag_is_removed_and_whose_primary_is_dead_promotes_itself_on_mended_files_and_says_so_in_gocd() {
    let mut pair = Pair::start(17);
    let config = pair.standby.config().join("cruise-config.xml");
    let right = fs::read_to_string(&config).expect("read");
    for jvm in [&mut pair.standby_jvm, &mut pair.primary_jvm] {
        jvm.signal(nix::sys::signal::Signal::SIGTERM);
        jvm.wait_for_end(START);
    }
    fs::write(&config, &right[..right.len() / 2]).expect("half a copy");
    let jvm = start_without_flag(&pair.standby);
    jvm.wait_for("asking the primary that it followed", START);
    jvm.wait_for("CRITICAL this server promoted itself", START);
    jvm.wait_for(STARTED, START);
    assert_eq!(
        fs::read_to_string(&config).expect("read"),
        right,
        "mended before GoCD read it"
    );
    let status = pair
        .standby
        .wait_for_status("the plugin's node says it", START, |status| {
            status["face"] == "plugin" && status["problems"].to_string().contains("promoted itself")
        });
    assert_eq!(
        (&status["role"], &status["epoch"]["number"]),
        (&"primary".into(), &2.into())
    );
    let said = wait::until("GoCD shows it", START, || {
        let health = http::get(pair.standby.gocd_port, "/go/api/server_health_messages")?;
        health
            .body
            .contains("CRITICAL this server promoted itself")
            .then_some(health.body)
    });
    assert!(said.contains("gocd-bc acknowledge"), "{said}");
    let acknowledged = pair.standby.cli(&["acknowledge"]);
    assert!(acknowledged.status.success(), "{acknowledged:?}");
    pair.standby.wait_for_status("it is over", START, |status| {
        !status["problems"].to_string().contains("promoted itself")
    });
}
