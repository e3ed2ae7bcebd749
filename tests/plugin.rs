//! The jar as a plugin of a running GoCD.

use std::{
    collections::BTreeSet,
    fs,
    thread::sleep,
    time::{Duration, SystemTime},
};

use bc_core::role::StateDir;
use bc_testkit::{artefacts, gocd_dir::GocdDir, http, wait};
use bc_tests::authorized;

const PLUGIN: &str = "cd.go.contrib.business-continuity";
const START: Duration = Duration::from_secs(60);

fn plugin_info(dir: &GocdDir) -> serde_json::Value {
    let answer = http::get(dir.gocd_port, "/go/api/admin/plugin_info?include_bad=true").expect("the stand-in answers");
    serde_json::from_str(&answer.body).expect("JSON")
}

fn health(dir: &GocdDir) -> String {
    http::get(dir.gocd_port, "/go/api/server_health_messages")
        .expect("the stand-in answers")
        .body
}

fn wait_for_health(dir: &GocdDir, text: &str) {
    wait::until(&format!("a health message with `{text}`"), START, || {
        health(dir).contains(text).then_some(())
    });
}

fn ask(dir: &GocdDir, request: &str) -> String {
    let path = format!("/gocd-host/plugin-request?plugin={PLUGIN}&name={request}");
    http::plain(dir.gocd_port, "POST", &path, &[], "")
        .expect("the stand-in answers")
        .body
}

fn wait_for_plugin(dir: &GocdDir) {
    wait::until("the plugin is active", START, || {
        plugin_info(dir).to_string().contains("\"active\"").then_some(())
    });
}

/// Threads of the process whose name begins with `bc-`, native ones included.
fn our_threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process lives");
    let mut names: Vec<_> = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("bc-"))
        .collect();
    names.sort();
    names
}

/// More than one node ever has at rest, and fewer than the workers alone of twenty.
const MOST_THREADS: usize = 20;

fn kinds(threads: &[String]) -> BTreeSet<&str> {
    threads.iter().map(String::as_str).collect()
}

/// Copies of our library that are mapped: each has an inode of its own.
fn mapped_libraries(process: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("the process lives");
    let mut copies: Vec<_> = maps
        .lines()
        .filter(|line| line.contains("gocd_bc"))
        .filter_map(|line| line.split_whitespace().nth(4).map(str::to_owned))
        .collect();
    copies.sort();
    copies.dedup();
    copies.len()
}

#[test]
fn loading_it_leaves_no_warning_in_gocds_log() {
    let dir = GocdDir::with_jar();
    let _jvm = dir.launch("primary", &mut dir.java(17));
    dir.wait_for_gocd();
    wait_for_plugin(&dir);
    let form = ask(&dir, "go.plugin-settings.get-configuration");
    let (code, form) = form.split_once('\n').expect("a code and a body");
    let form: serde_json::Value = serde_json::from_str(form).expect("JSON");
    assert_eq!(
        (code, form.as_object().map(serde_json::Map::len)),
        ("200", Some(1)),
        "an empty form is an error"
    );
    let view = ask(&dir, "go.plugin-settings.get-view");
    assert!(view.starts_with("200\n{\"template\":\"<p>"), "{view}");
    assert_eq!(ask(&dir, "go.plugin-settings.validate-configuration"), "200\n[]");
    let log = fs::read_to_string(dir.path().join("logs/go-server.log")).expect("the log");
    let is_bad = |line: &&str| ["WARN", "ERROR"].contains(&line.split_whitespace().nth(2).unwrap_or_default());
    let bad: Vec<_> = log.lines().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn is_active_and_asks_for_no_notifications() {
    let dir = GocdDir::with_jar();
    let jvm = dir.launch("primary", &mut dir.java(17));
    dir.wait_for_gocd();
    wait_for_plugin(&dir);
    dir.wait_for_port();
    let info = plugin_info(&dir);
    let plugin = &info["_embedded"]["plugin_info"][0];
    assert_eq!(
        (plugin["id"].as_str(), plugin["status"]["state"].as_str()),
        (Some(PLUGIN), Some("active")),
        "{info}"
    );
    assert_eq!(ask(&dir, "notifications-interested-in"), "200\n{\"notifications\":[]}");
    assert!(ask(&dir, "no-such-request").contains("UnhandledRequestTypeException"));
    let threads = our_threads(jvm.id());
    for wanted in ["bc-node", "bc-scan", "bc-events"] {
        assert!(
            threads.iter().any(|name| name == wanted),
            "{wanted} is not among {threads:?}"
        );
    }
    let node: serde_json::Value = authorized(dir.port, "/api/v2/node").json().expect("JSON");
    assert_eq!(node["gocd_version"], "26.1.0-22000");
}

#[test]
fn loads_on_every_supported_java() {
    for java in [11, 21, 25] {
        let dir = GocdDir::with_jar();
        let _jvm = dir.launch(&format!("primary on Java {java}"), &mut dir.java(java));
        dir.wait_for_gocd();
        dir.wait_for_port();
        wait_for_plugin(&dir);
    }
}

#[test]
fn twenty_reloads_leave_one_library_and_the_threads_of_one_node() {
    let dir = GocdDir::with_jar();
    let jvm = dir.launch("primary", dir.java(17).arg("-DpluginLocationMonitor.sleepTimeInSecs=1"));
    dir.wait_for_gocd();
    dir.wait_for_port();
    sleep(Duration::from_secs(1));
    let threads = our_threads(jvm.id());
    assert!(!threads.is_empty());
    let jar = dir.plugins().join("gocd-business-continuity.jar");
    for round in 1..=20 {
        let opened = dir.status().expect("the node answers")["opened_ms"].clone();
        dir.install(&artefacts::jar());
        let later = SystemTime::now() + Duration::from_secs(round);
        fs::File::options()
            .write(true)
            .open(&jar)
            .expect("open")
            .set_modified(later)
            .expect("touch");
        dir.wait_for_status(&format!("reload {round}"), START, |status| {
            status["opened_ms"] != opened && status["listening"].is_string()
        });
    }
    wait::until("one copy of the library is mapped", START, || {
        http::get(dir.gocd_port, "/gocd-host/collect");
        (mapped_libraries(jvm.id()) == 1).then_some(())
    });
    // How many threads wait for the disk is another number every second: that of one node is bounded.
    wait::until(
        &format!("the threads are of the kinds of {threads:?} again"),
        START,
        || {
            let now = our_threads(jvm.id());
            (kinds(&now) == kinds(&threads) && now.len() <= MOST_THREADS).then_some(())
        },
    );
}

#[test]
fn a_panic_becomes_an_exception_with_its_message_and_the_server_lives() {
    let dir = GocdDir::new();
    dir.install(&artefacts::provoke_jar());
    let mut jvm = dir.launch("panics in events", dir.java(17).arg("-Dbc.provoke=next-panic"));
    dir.wait_for_gocd();
    wait_for_plugin(&dir);
    let log = dir.path().join("logs").join(format!("plugin-{PLUGIN}.log"));
    wait::until("the plugin's log shows the panic", START, || {
        let log = fs::read_to_string(&log).ok()?;
        log.contains("provoked panic in nextEvent").then_some(())
    });
    assert!(jvm.is_running());
    dir.wait_for_gocd();

    let dir = GocdDir::new();
    dir.install(&artefacts::provoke_jar());
    let mut jvm = dir.launch("panics in open", dir.java(17).arg("-Dbc.provoke=open-panic-formatted"));
    dir.wait_for_gocd();
    wait::until("the plugin page shows the panic", START, || {
        plugin_info(&dir)
            .to_string()
            .contains("provoked panic in")
            .then_some(())
    });
    assert!(jvm.is_running());
}

#[test]
fn each_mistake_in_the_token_is_a_health_message_and_the_port_opens_once_it_is_mended() {
    let dir = GocdDir::with_jar();
    fs::remove_file(dir.config().join("business-continuity-token")).expect("remove");
    let _jvm = dir.launch("primary without token", &mut dir.java(17));
    dir.wait_for_gocd();
    wait_for_health(&dir, "gocd-bc token generate");
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", dir.port)).is_err(),
        "the port is open without a token"
    );
    assert!(
        dir.config().join("business-continuity-peers").exists(),
        "the peers file is made without a token"
    );
    for (text, message) in [
        ("# nothing\n", "holds no user and password"),
        ("a = b\nc = d\n", "holds 2 pairs"),
        ("user =\n", "has no password"),
        ("\\u12\n", "is not a Java properties text"),
    ] {
        dir.write_token(text);
        wait_for_health(&dir, message);
        assert!(
            std::net::TcpStream::connect(("127.0.0.1", dir.port)).is_err(),
            "the port is open with a bad token"
        );
    }
    dir.write_token("business-continuity = correct-horse-battery-staple\n");
    dir.wait_for_port();
    wait::until("the health message is gone", START, || {
        (!health(&dir).contains("token")).then_some(())
    });
}

#[test]
fn a_port_in_use_is_named() {
    let dir = GocdDir::with_jar();
    let blocker = std::net::TcpListener::bind(("127.0.0.1", dir.port)).expect("block the port");
    let _jvm = dir.launch("primary", &mut dir.java(17));
    dir.wait_for_gocd();
    wait_for_health(&dir, "bc.listen");
    drop(blocker);
    dir.wait_for_port();
    authorized(dir.port, "/api/health-check");
}

#[test]
fn a_running_server_that_should_be_a_standby_says_which_line_is_missing_and_never_pulls() {
    let primary = GocdDir::with_jar();
    let _primary_jvm = primary.launch("primary", &mut primary.java(17));
    primary.wait_for_port();
    let dir = GocdDir::with_jar();
    dir.copy_config_of(&primary);
    let arguments = GocdDir::standby_arguments(primary.port);
    let _jvm = dir.launch("standby without agent", dir.java(17).args(&arguments[1..]));
    dir.wait_for_gocd();
    wait_for_health(&dir, "-javaagent:plugins/external/gocd-business-continuity.jar");
    let text = fs::read_to_string(primary.config().join("cruise-config.xml")).expect("read");
    primary.rewrite_config(&text.replace("up42", "up77"));
    sleep(Duration::from_secs(3));
    let here = fs::read_to_string(dir.config().join("cruise-config.xml")).expect("read");
    assert!(
        !here.contains("up77"),
        "a running server was given another configuration"
    );
    let status = dir.status().expect("the node answers");
    assert_eq!(status["primary"], serde_json::Value::Null);
}

#[test]
fn a_server_whose_agent_let_it_go_before_the_order_came_is_told_to_restart_and_no_more() {
    let dir = GocdDir::with_jar();
    let mut java = dir.java(17);
    java.args([
        "-javaagent:plugins/external/gocd-business-continuity.jar",
        "-Dbc.primary.url=https://127.0.0.1:1",
        // Nobody answers there, and it starts at the end of the wait.
        "-Dbc.guard.wait=1000",
        "-Dgocd.host.start.delay=3000",
    ]);
    let jvm = dir.launch("standby that was asked for late", &mut java);
    jvm.wait_for("gocd-host: launcher runs", START);
    fs::write(dir.config().join("start.in.standby"), "").expect("flag file");
    dir.wait_for_gocd();
    wait_for_health(&dir, "Restart this server, and the agent holds it");
    let said = health(&dir);
    assert!(said.contains("start.in.standby"), "{said}");
    assert!(!said.contains("missing") && !said.contains("-javaagent"), "{said}");
}

#[test]
fn a_plugin_that_meets_a_locked_state_folder_takes_over_once_it_is_free() {
    let dir = GocdDir::with_jar();
    let holder = StateDir::open(&dir.state()).expect("locked, as by an agent's node that has not closed yet");
    let _jvm = dir.launch("primary", &mut dir.java(17));
    dir.wait_for_gocd();
    wait_for_plugin(&dir);
    wait_for_health(&dir, "tries again until it has the folder");
    drop(holder);
    dir.wait_for_port();
    wait::until("the health message is gone", START, || {
        (!health(&dir).contains("tries again")).then_some(())
    });
}

#[test]
fn a_state_folder_that_is_a_file_makes_the_plugin_invalid_with_a_message_that_names_it() {
    let dir = GocdDir::with_jar();
    fs::create_dir_all(dir.path().join("db")).expect("folder");
    fs::write(dir.state(), "in the way").expect("file");
    let mut jvm = dir.launch("primary", &mut dir.java(17));
    dir.wait_for_gocd();
    wait::until("the plugin is invalid", START, || {
        let info = plugin_info(&dir).to_string();
        (info.contains("invalid") && info.contains("business-continuity")).then_some(info)
    });
    // Nothing was loaded from there either, and one message says so.
    assert!(
        plugin_info(&dir).to_string().contains("-Dbc.state.dir"),
        "{}",
        plugin_info(&dir)
    );
    assert!(jvm.is_running());
}

#[test]
fn the_end_of_the_server_is_quick_and_leaves_no_copy_of_the_library() {
    let dir = GocdDir::with_jar();
    let mut jvm = dir.launch("primary", &mut dir.java(17));
    dir.wait_for_gocd();
    dir.wait_for_port();
    jvm.signal(nix::sys::signal::Signal::SIGTERM);
    let status = jvm.wait_for_end(Duration::from_secs(10));
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status).or(status.code()),
        Some(143)
    );
    let leftovers = fs::read_dir(dir.state().join("native")).map_or(0, Iterator::count);
    assert_eq!(leftovers, 0, "a copy of the library was left");
}
