//! Set-up by the command, and then the real wrapper: what it wrote is what holds GoCD, and what brings a server back held that
//! another one has replaced.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use bc_testkit::{
    artefacts,
    fault_proxy::{Fault, FaultProxy},
    gocd_dir::GocdDir,
    http,
    process::Process,
};

/// Printed by the stand-in when GoCD's launcher runs.
const LAUNCHED: &str = "gocd-host: launcher runs";
const START: Duration = Duration::from_secs(120);

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

#[test]
fn what_set_up_wrote_holds_gocd_under_the_wrapper_and_brings_one_back_held_that_was_replaced() {
    let (primary, to_primary) = bare();
    let sample = GocdDir::new();
    primary.copy_config_of(&sample);
    let said = setup(&primary, "primary", &[]);
    for line in ["wrapper.ignore_sequence_gaps", "wrapper.on_exit.75"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let mut primary_jvm = wrapper("primary", &conf_of(&primary));
    primary.wait_for_status("the plugin's node runs", START, |status| {
        status["face"] == "plugin" && status["listening"].is_string()
    });

    let (standby, to_standby) = bare();
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
    let jvm = wrapper("standby", &conf_of(&standby));
    let status = standby.wait_for_status("held and in sync under the wrapper", START, |status| {
        status["holding"].is_string() && status["sync"]["in_sync"] == true
    });
    assert_eq!((&status["face"], &status["role"]), (&"agent".into(), &"standby".into()));
    assert!(!jvm.output().contains(LAUNCHED), "{}", jvm.output());
    let again = setup(&standby, "standby", &["--primary", &url]);
    assert!(again.contains("Nothing to change."), "{again}");

    primary.wait_for_status("the primary asks its standby", START, |status| {
        status["peers"][0]["said"] == "agrees"
    });
    for line in [&to_primary, &to_standby] {
        line.set(Fault::Cut);
    }
    let promoted = standby.cli(&["promote", "--without-database", "--wait", "60"]);
    assert!(promoted.status.success(), "{promoted:?}");
    standby.wait_for_gocd();
    primary.wait_for_gocd();
    for line in [&to_primary, &to_standby] {
        line.set(Fault::None);
    }
    let healed = Instant::now();
    // What it says itself goes to GoCD's log.
    primary_jvm.wait_for("Restarting the JVM.  (Exit code: 75)", FENCED_WITHIN);
    let status = primary.wait_for_status("the wrapper's next JVM is held as fenced", START, |status| {
        status["face"] == "agent" && status["role"] == "fenced" && status["holding"].is_string()
    });
    println!("fenced_ms {}", healed.elapsed().as_millis());
    assert_eq!(status["fenced_by"]["epoch"]["number"], 2, "{status}");
    assert!(
        primary_jvm.is_running(),
        "the wrapper has ended: {}",
        primary_jvm.output()
    );
    let health = http::get(primary.gocd_port, "/go/api/v1/health").expect("the held port answers");
    assert_eq!(health.status, 503);
    assert_eq!(primary_jvm.output().matches(LAUNCHED).count(), 1);
}
