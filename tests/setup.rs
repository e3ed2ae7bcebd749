//! Set-up by the command, and then the real wrapper: what it wrote is what holds GoCD, and what brings a server back held that
//! another one has replaced, or has ordered to stop.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use bc_testkit::{
    artefacts,
    fault_proxy::{Fault, FaultProxy},
    gocd_dir::GocdDir,
    http,
    postgres::{DATABASE, Postgres, USER},
    process::Process,
    wait,
};

/// Printed by the stand-in when GoCD's launcher runs.
const LAUNCHED: &str = "gocd-host: launcher runs";
const START: Duration = Duration::from_secs(120);

const HEALTH: &str = "/go/api/v1/health";

/// How long after the line has healed a replaced server may run.
const FENCED_WITHIN: Duration = Duration::from_secs(15);

/// An installation that never ran, with the `wrapper.conf` of GoCD's packages: its numbers have a gap, and its last line
/// includes the file in which administrators write. Others reach it over a line that can be cut.
fn bare() -> (GocdDir, FaultProxy) {
    let server = GocdDir::new();
    let line = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port)));
    fs::remove_dir_all(server.config()).expect("removed");
    for folder in ["config", "wrapper", "wrapper-config"] {
        fs::create_dir(server.path().join(folder)).expect("folder");
    }
    let lines = server.path().join("wrapper-config/wrapper-properties.conf");
    fs::write(&lines, "# Lines of one's own.\n").expect("write");
    let conf = [
        format!("wrapper.java.command={}", artefacts::java(17).display()),
        "wrapper.java.mainclass=org.tanukisoftware.wrapper.WrapperJarApp".to_owned(),
        format!("wrapper.app.parameter.1={}", artefacts::host_jar().display()),
        "wrapper.java.classpath.1=/usr/share/java/wrapper.jar".to_owned(),
        format!("wrapper.java.classpath.2={}", artefacts::host_jar().display()),
        "wrapper.java.library.path.1=/usr/lib/jni".to_owned(),
        format!("wrapper.working.dir={}", server.path().display()),
        "wrapper.console.format=M".to_owned(),
        "wrapper.console.flush=TRUE".to_owned(),
        "wrapper.logfile=".to_owned(),
        "wrapper.java.additional.1=-Xmx256m".to_owned(),
        format!("wrapper.java.additional.2=-Dcruise.server.port={}", server.gocd_port),
        format!("wrapper.java.additional.3=-Dbc.listen=127.0.0.1:{}", server.port),
        format!("wrapper.java.additional.4=-Dbc.external.url=https://{}", line.address()),
        format!("#include {}", lines.display()),
    ];
    fs::write(conf_of(&server), conf.join("\n") + "\n").expect("wrapper.conf");
    (server, line)
}

fn conf_of(server: &GocdDir) -> std::path::PathBuf {
    server.path().join("wrapper-config/wrapper.conf")
}

fn setup(server: &GocdDir, node: &str, arguments: &[&str]) -> String {
    let output = Command::new(artefacts::cli())
        .args(["setup", node, "--write", "--gocd"])
        .arg(server.path())
        .arg("--jar")
        .arg(artefacts::jar())
        .args(arguments)
        .output()
        .expect("the companion command starts");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    bc_testkit::secrets::said("gocd-bc", said.as_bytes());
    said
}

fn key_of(server: &GocdDir) -> String {
    let output = server.cli(&["identity", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    shown["fingerprint"].as_str().expect("text").to_owned()
}

fn wrapper(name: &str, conf: &Path) -> Process {
    Process::start(name, Command::new("/usr/sbin/wrapper").arg("-c").arg(conf))
}

/// A primary and a held standby that was set up by the command, both under the wrapper and in sync.
struct Wrapped {
    primary: GocdDir,
    to_primary: FaultProxy,
    primary_jvm: Process,
    standby: GocdDir,
    to_standby: FaultProxy,
    standby_jvm: Process,
}

impl Wrapped {
    /// Both, where these lines are in the primary's file of one's own, and each has its `db.properties`, if any.
    fn start(lines: &str, databases: Option<[String; 2]>) -> Self {
        let (primary, to_primary) = bare();
        let sample = GocdDir::new();
        primary.copy_config_of(&sample);
        let own = primary.path().join("wrapper-config/wrapper-properties.conf");
        fs::write(own, lines).expect("write");
        let (standby, to_standby) = bare();
        for (server, properties) in [&primary, &standby].into_iter().zip(databases.iter().flatten()) {
            fs::write(server.config().join("db.properties"), properties).expect("write");
        }
        let said = setup(&primary, "primary", &[]);
        for line in ["wrapper.ignore_sequence_gaps", "wrapper.on_exit.75"] {
            assert!(said.contains(line), "{line}: {said}");
        }
        let primary_jvm = wrapper("primary", &conf_of(&primary));
        primary.wait_for_status("the plugin's node runs", START, |status| {
            status["face"] == "plugin" && status["listening"].is_string()
        });

        let token = primary.config().join("business-continuity-token");
        let url = format!("https://{}", to_primary.address());
        let said = setup(
            &standby,
            "standby",
            &[
                "--primary",
                &url,
                "--fingerprint",
                &key_of(&primary),
                "--token-file",
                token.to_str().expect("text"),
            ],
        );
        assert!(said.contains("In sync with the primary"), "{said}");
        let standby_jvm = wrapper("standby", &conf_of(&standby));
        let status = standby.wait_for_status("held and in sync under the wrapper", START, |status| {
            status["holding"].is_string() && status["sync"]["in_sync"] == true
        });
        assert_eq!((&status["face"], &status["role"]), (&"agent".into(), &"standby".into()));
        assert!(!standby_jvm.output().contains(LAUNCHED), "{}", standby_jvm.output());
        let again = setup(&standby, "standby", &["--primary", &url]);
        assert!(again.contains("Nothing to change."), "{again}");
        primary.wait_for_status("the primary asks its standby", START, |status| {
            status["peers"][0]["said"] == "agrees"
        });
        primary.wait_for_gocd();
        Self {
            primary,
            to_primary,
            primary_jvm,
            standby,
            to_standby,
            standby_jvm,
        }
    }
}

/// Waits until the wrapper has another JVM for a server that was replaced, which is held.
fn comes_back_held(server: &GocdDir, jvm: &mut Process, within: Duration) {
    // What it says itself goes to GoCD's log.
    jvm.wait_for("Restarting the JVM.  (Exit code: 75)", within);
    let status = server.wait_for_status("the wrapper's next JVM is held as fenced", START, |status| {
        status["face"] == "agent" && status["role"] == "fenced" && status["holding"].is_string()
    });
    assert_eq!(status["fenced_by"]["epoch"]["number"], 2, "{status}");
    assert!(jvm.is_running(), "the wrapper has ended: {}", jvm.output());
    let health = http::get(server.gocd_port, HEALTH).expect("the held port answers");
    assert_eq!(health.status, 503);
    assert_eq!(jvm.output().matches(LAUNCHED).count(), 1);
}

#[test]
fn what_set_up_wrote_holds_gocd_under_the_wrapper_and_brings_one_back_held_that_was_replaced() {
    let mut pair = Wrapped::start("# Lines of one's own.\n", None);
    for line in [&pair.to_primary, &pair.to_standby] {
        line.set(Fault::Cut);
    }
    let promoted = pair.standby.cli(&["promote", "--without-database", "--wait", "60"]);
    assert!(promoted.status.success(), "{promoted:?}");
    pair.standby.wait_for_gocd();
    pair.primary.wait_for_gocd();
    for line in [&pair.to_primary, &pair.to_standby] {
        line.set(Fault::None);
    }
    let healed = Instant::now();
    comes_back_held(&pair.primary, &mut pair.primary_jvm, FENCED_WITHIN);
    println!("fenced_ms {}", healed.elapsed().as_millis());
}

/// Asks a server's GoCD every few milliseconds until it is over; when it was first and last heard to run.
fn serves(server: &GocdDir, is_over: &AtomicBool) -> Option<(Instant, Instant)> {
    let mut heard = None;
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        if http::get(server.gocd_port, HEALTH).is_some_and(|answer| answer.status == 200) {
            heard = Some((heard.map_or(asked, |(first, _)| first), Instant::now()));
        }
        sleep(Duration::from_millis(2));
    }
    heard
}

#[test]
fn a_primary_that_is_ordered_to_stop_has_ended_before_the_other_gocd_starts_even_where_its_end_hangs() {
    let written = Postgres::primary();
    written.sql_in(
        DATABASE,
        &format!("grant execute on function pg_promote(boolean,integer) to {USER}; create table jobs (id int)"),
    );
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", written.port());
    let copy = Postgres::standby_with(&written, &[("primary_conninfo", &*conninfo)]);
    // A whole GoCD has hooks of others, and goes on working while one of them hangs.
    let hangs = "wrapper.java.additional.50=-Dgocd.host.end.delay=600000\n";
    let mut pair = Wrapped::start(hangs, Some([written.properties(), copy.properties()]));
    let locks = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1735353188";
    wait::until("it has the lock", START, || {
        (written.sql_in(DATABASE, locks) == "1").then_some(())
    });
    written.sql_in(DATABASE, "insert into jobs select generate_series(1, 1000)");
    let at = written.position();
    wait::until("the copy to have it", START, || {
        (copy.sql(&format!("select pg_last_wal_replay_lsn() >= '{at}'")) == "t").then_some(())
    });
    pair.standby
        .wait_for_status("the standby to know that nothing would be lost", START, |status| {
            let database = &status["database"];
            database["following"] == "streaming" && database["loss_bytes"] == 0
        });

    let wrapper = pair.primary_jvm.id();
    let children = fs::read_to_string(format!("/proc/{wrapper}/task/{wrapper}/children")).expect("read");
    let former = format!("/proc/{}/exe", children.trim());
    assert!(fs::read_link(&former).is_ok(), "{children}");
    let is_over = AtomicBool::new(false);
    let (of_primary, of_standby) = scope(|scope| {
        let watched = [&pair.primary, &pair.standby].map(|server| scope.spawn(|| serves(server, &is_over)));
        let promoted = pair.standby.cli(&["promote", "--force", "--yes", "--wait", "60"]);
        assert!(promoted.status.success(), "{promoted:?}");
        pair.standby_jvm.wait_for(LAUNCHED, START);
        // GoCD's main begins there once the former JVM is gone, not once that says that it goes.
        assert!(fs::read_link(&former).is_err(), "it runs still");
        pair.standby.wait_for_gocd();
        comes_back_held(&pair.primary, &mut pair.primary_jvm, FENCED_WITHIN);
        is_over.store(true, Ordering::Relaxed);
        let [of_primary, of_standby] = watched.map(|watched| watched.join().expect("no panic").expect("it served"));
        (of_primary, of_standby)
    });
    println!("handed_ms {}", (of_standby.0 - of_primary.1).as_millis());
    assert!(of_primary.1 <= of_standby.0, "both served");
    assert_eq!(
        copy.sql_in(DATABASE, "select pg_is_in_recovery() or count(*) <> 1000 from jobs"),
        "f"
    );
}
