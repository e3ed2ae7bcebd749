//! A primary and a standby without a JVM, each in a process of its own.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use bc_testkit::gocd_dir::write_launcher_jar;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Answer, NOBODY, Place, is_root};

pub const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/data/config");
pub const CONFIG: &str = "config/cruise-config.xml";
pub const PRIMARY_STATE: &str = "primary/db/business-continuity";
pub const STANDBY_STATE: &str = "standby/db/business-continuity";

/// A node in the foreground of another process; killed when dropped.
pub struct Foreground(Child);

impl Foreground {
    pub fn start(mut command: Command) -> Self {
        Self(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the command starts"),
        )
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end; its exit code and what it logged.
    pub fn end(mut self) -> (Option<i32>, String) {
        let id = i32::try_from(self.0.id()).expect("process ids are small");
        kill(Pid::from_raw(id), Signal::SIGTERM).expect("it runs");
        let mut log = String::new();
        self.0
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut log)
            .expect("text");
        (self.0.wait().expect("it ends").code(), log)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn status(place: &Place, node: &str) -> Value {
    let answer = place.run(&[
        "status",
        "--json",
        "--state-dir",
        &format!("{node}/db/business-continuity"),
    ]);
    serde_json::from_str::<Value>(&answer.stdout)
        .map(|mut json| json["status"].take())
        .unwrap_or_default()
}

pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// A GoCD folder of nobody where we may give it away. The primary's holds the sample configuration.
pub fn gocd(place: &Place, node: &str) {
    for folder in ["", "config", "plugins", "plugins/external", "db"] {
        place.folder(&format!("{node}/{folder}"), NOBODY);
    }
    // The sample configuration mentions it, and it is not synced unless it is named.
    place.file(&format!("{node}/config/password.properties"), "", NOBODY);
    if node == "primary" {
        for name in ["cruise-config.xml", "cipher.aes", "jetty.xml"] {
            let text = fs::read_to_string(format!("{FIXTURE}/{name}")).expect("the sample configuration");
            place.file(&format!("{node}/config/{name}"), &text, NOBODY);
        }
    }
}

pub fn primary(place: &Place, listen: &str) -> Foreground {
    primary_with(place, listen, &[])
}

/// The same, with further settings as `--property` and `NAME=VALUE`.
pub fn primary_with(place: &Place, listen: &str, settings: &[&str]) -> Foreground {
    primary_in(place, "primary", listen, settings)
}

/// The same in another folder.
pub fn primary_in(place: &Place, node: &str, listen: &str, settings: &[&str]) -> Foreground {
    Foreground::start(primary_command(place, node, listen, settings))
}

/// The command that starts it.
pub fn primary_command(place: &Place, node: &str, listen: &str, settings: &[&str]) -> Command {
    let launcher = launcher(place);
    let arguments = ["primary", "--working-dir", node, "--listen", listen];
    let rest = [
        "--property",
        operator(),
        "--property",
        &launcher,
        "--property",
        database(place, node),
        // Standbys of a test end without a word, and nobody is to wait for them for a minute.
        "--property",
        "bc.guard.wait=2500",
    ];
    place.command(&[&arguments[..], &rest, settings].concat())
}

/// The setting that lets the test give orders: who is not root needs one.
fn operator() -> &'static str {
    if is_root() { "bc.operator=" } else { "bc.operator=owner" }
}

/// The setting by which a node says nothing of a database, where a test gives it none.
fn database(place: &Place, node: &str) -> &'static str {
    match place.path(&format!("{node}/config/db.properties")).exists() {
        true => "bc.db.watch=",
        false => "bc.db.watch=off",
    }
}

/// The setting that tells a node which GoCD is beside it.
fn launcher(place: &Place) -> String {
    let jar = place.path("go.jar");
    if !jar.exists() {
        write_launcher_jar(&jar, "26.1.0-1");
    }
    format!("bc.launcher={}", jar.display())
}

/// A primary and a standby in sync, and where the primary listens.
pub fn pair(place: &Place) -> (Foreground, Foreground, String) {
    pair_with(place, &[])
}

/// The same, with further settings of the standby as `--property` and `NAME=VALUE`.
pub fn pair_with(place: &Place, settings: &[&str]) -> (Foreground, Foreground, String) {
    folders(place);
    let primary = primary(place, "127.0.0.1:0");
    let address = listening(place);
    let trusted = place.run(&["trust", &key_of_primary(place), "--config", "standby/config"]);
    assert_eq!(trusted.code, 0, "{trusted:?}");

    let url = format!("https://{address}");
    let standby = standby(place, &url, settings);
    wait_until_in_sync(place);
    (primary, standby, address)
}

/// The folders of both, with the same token.
pub fn folders(place: &Place) {
    gocd(place, "primary");
    gocd(place, "standby");
    let generated = place.run(&["token", "generate", "--config", "primary/config"]);
    assert_eq!(generated.code, 0, "{generated:?}");
    let token = fs::read_to_string(place.path("primary/config/business-continuity-token")).expect("made");
    place.file("standby/config/business-continuity-token", &token, NOBODY);
}

/// Where the primary listens, once it does.
pub fn listening(place: &Place) -> String {
    listening_of(place, "primary")
}

/// Where a primary listens, once it is decided that it is one: until then it has another free port.
pub fn listening_of(place: &Place, node: &str) -> String {
    wait_for("the primary listens", || {
        let status = status(place, node);
        let listening = status["listening"].as_str().filter(|_| status["phase"] != "starting");
        listening.map(str::to_owned)
    })
}

pub fn wait_until_in_sync(place: &Place) {
    wait_for("the standby is in sync", || {
        (status(place, "standby")["sync"]["in_sync"] == true).then_some(())
    });
}

pub fn key_of_primary(place: &Place) -> String {
    let arguments = ["identity", "show", "--json", "--state-dir", PRIMARY_STATE];
    let shown = place.run(&arguments).json();
    shown["fingerprint"].as_str().expect("text").to_owned()
}

pub fn config(place: &Place, node: &str) -> String {
    fs::read_to_string(place.path(&format!("{node}/{CONFIG}"))).expect("read")
}

/// Writes another configuration on the primary and returns it.
pub fn change(place: &Place, from: &str, to: &str) -> String {
    change_of(place, "primary", from, to)
}

/// The same on another node.
pub fn change_of(place: &Place, node: &str, from: &str, to: &str) -> String {
    let changed = config(place, node).replace(from, to);
    place.file(&format!("{node}/{CONFIG}"), &changed, NOBODY);
    changed
}

/// One more comment at the end of the primary's configuration.
pub fn comment(place: &Place, text: &str) -> String {
    comment_of(place, "primary", text)
}

/// The same on another node.
pub fn comment_of(place: &Place, node: &str, text: &str) -> String {
    change_of(place, node, "</cruise>", &format!("<!-- {text} --></cruise>"))
}

pub fn wait_until_on_standby(place: &Place, text: &str) {
    wait_for("the change is on the standby", || {
        (config(place, "standby") == text).then_some(())
    });
}

/// A standby of `url`.
pub fn standby(place: &Place, url: &str, settings: &[&str]) -> Foreground {
    standby_in(place, "standby", url, settings)
}

/// The same in another folder.
pub fn standby_in(place: &Place, node: &str, url: &str, settings: &[&str]) -> Foreground {
    Foreground::start(standby_command(place, node, url, settings))
}

/// The command that starts it.
pub fn standby_command(place: &Place, node: &str, url: &str, settings: &[&str]) -> Command {
    let arguments = ["standby", "--primary-url", url, "--gocd", node];
    let launcher = launcher(place);
    let rest = [
        "--listen",
        "127.0.0.1:0",
        "--property",
        operator(),
        "--property",
        &launcher,
        "--property",
        database(place, node),
    ];
    place.command(&[&arguments[..], &rest, settings].concat())
}

/// Makes the folders of two nodes whose GoCDs are on one database, which is named so in `db.properties`.
pub fn on_one_database(place: &Place, properties: &str) {
    for node in ["primary", "standby"] {
        place.folder(node, NOBODY);
        place.folder(&format!("{node}/config"), NOBODY);
        place.file(&format!("{node}/config/db.properties"), properties, NOBODY);
    }
}

/// The list of peers of the primary, once it names the standby.
pub fn knows_its_standby(place: &Place) -> String {
    wait_for("the primary knows where its standby is", || {
        let text = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/known-peers.json"))).ok()?;
        text.contains("\"url\"").then_some(text)
    })
}

/// Promotes the standby without its database.
pub fn promote(place: &Place) -> Answer {
    let promoted = place.run(&[
        "promote",
        "--without-database",
        "--wait",
        "60",
        "--state-dir",
        STANDBY_STATE,
    ]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    promoted
}

/// The status of a node that holds and is fenced.
pub fn fenced(place: &Place, node: &str) -> Value {
    wait_for("it is fenced", || {
        let status = status(place, node);
        (status["role"] == "fenced" && status["phase"] == "holding").then_some(status)
    })
}

/// Starts two nodes as after a power failure, whose folders and addresses these are, in either order: exactly the first one
/// runs, in this epoch, and the other one is fenced. `forget` is called between the two.
pub fn boot_in_either_order(place: &Place, nodes: [(&str, &str); 2], epoch: u64, forget: impl Fn()) {
    let [winner, other] = nodes;
    for order in [[other, winner], [winner, other]] {
        let wait = ["--property", "bc.guard.wait=30000"];
        let booted = order.map(|(node, address)| primary_in(place, node, address, &wait));
        fenced(place, other.0);
        let runs = wait_for("the one that took over runs", || {
            let status = status(place, winner.0);
            (status["role"] == "primary" && status["phase"] == "running").then_some(status)
        });
        assert_eq!(runs["epoch"]["number"], epoch);
        assert_eq!(status(place, other.0)["role"], "fenced");
        for node in booted {
            node.end();
        }
        forget();
    }
}
