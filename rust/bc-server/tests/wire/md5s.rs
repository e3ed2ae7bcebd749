//! The MD5s that `dashboard.json` and the old protocol have, as those who compare them meet them.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bc_core::{
    basics::{Digest, Error},
    generation::{Md5, Name},
    node::both::BothNodes,
    status::{FileState, FileStatus, FileVersion, PrimaryStatus, SyncStatus},
};
use bc_testkit::wait;
use serde_json::{Value, json};

use crate::common::{self, Kind, Node, PREFIX, jar};

const JSON: &str = "/admin/dashboard.json";
/// Longest wait for an answer, whatever the disks do; the machine may be busy.
const IN_TIME: Duration = Duration::from_secs(60);

async fn dashboard(node: &Node) -> Value {
    let path = format!("{PREFIX}{JSON}");
    let answer = tokio::time::timeout(IN_TIME, node.get(&path, "")).await;
    answer.expect("an answer in time").json()
}

fn md5(bytes: &[u8]) -> String {
    Md5::of(bytes).to_string()
}

/// A standby and its primary with one configuration and one plugin each, the same on both.
struct Nodes {
    config: Mutex<Vec<u8>>,
    jar: Vec<u8>,
    /// What stands in the place of the plugin's bytes.
    fails: Mutex<Option<io::ErrorKind>>,
    /// How often the configuration is replaced in the moment before it is opened.
    replaced: AtomicUsize,
    opened: AtomicUsize,
    /// A disk that hangs.
    hangs: AtomicBool,
}

impl Nodes {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            config: Mutex::new(b"<cruise/>".to_vec()),
            jar: b"a jar".to_vec(),
            fails: Mutex::new(None),
            replaced: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
        })
    }

    async fn start(self: &Arc<Self>) -> Node {
        let node = Node::held_beside(Arc::clone(self) as Arc<dyn BothNodes>).await;
        let files = self.look().expect("it has some");
        node.context.status.update(|status| {
            status.files = files.into();
            status.sync = Some(SyncStatus::default());
            status.primary = Some(PrimaryStatus {
                last_exchange_ms: Some(1),
                ..PrimaryStatus::new("https://primarygo:8155", "pinned", 0)
            });
        });
        node
    }

    fn config(&self) -> Vec<u8> {
        self.config.lock().expect("no panic").clone()
    }
}

impl BothNodes for Nodes {
    fn look(&self) -> Result<Vec<FileStatus>, Error> {
        let files = [(Name::CruiseConfig, self.config()), (jar("a.jar"), self.jar.clone())];
        let file = |(name, bytes): (Name, Vec<u8>)| {
            let version = FileVersion {
                sha256: Digest::of(&bytes),
                size: bytes.len() as u64,
                modified_ms: 1,
            };
            FileStatus {
                name,
                plugin: None,
                primary: Some(version.clone()),
                standby: Some(version),
                state: FileState::InSync,
            }
        };
        Ok(files.map(file).to_vec())
    }

    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        while self.hangs.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        if *name == Name::CruiseConfig {
            let is_left = |left: usize| left.checked_sub(1);
            if let Ok(left) = self
                .replaced
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_left)
            {
                *self.config.lock().expect("no panic") = format!("<cruise number=\"{left}\"/>").into_bytes();
            }
            return Ok(Box::new(io::Cursor::new(self.config())));
        }
        match *self.fails.lock().expect("no panic") {
            Some(kind) => Err(kind.into()),
            None => Ok(Box::new(io::Cursor::new(self.jar.clone()))),
        }
    }

    fn open_kept(&self, _: &Digest) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_right_in_the_first_answer_after_each_change_of_a_primary() {
    let node = Node::start(Kind::Primary).await;
    for number in 0..3 {
        let (config, plugin) = (format!("<cruise number=\"{number}\"/>"), format!("jar {number}"));
        node.publish(&[
            (Name::CruiseConfig, config.as_bytes()),
            (jar("a.jar"), plugin.as_bytes()),
        ]);
        let json = dashboard(&node).await;
        let details = &json["primaryServerDetails"];
        assert_eq!(details["CRUISE_CONFIG_XML"], json!({"md5": md5(config.as_bytes())}));
        assert_eq!(details["pluginStatus"], format!("a.jar={}", md5(plugin.as_bytes())));
        assert_eq!(json.get("unknownMd5s"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primarys_plugin_that_is_not_what_was_listed_has_none_and_an_old_standby_waits() {
    let node = Node::start(Kind::Primary).await;
    let files: [(Name, &[u8]); 2] = [(Name::CruiseConfig, b"<cruise/>"), (jar("a.jar"), b"a jar")];
    node.publish(&files);
    let plugin = node.folder.path().join("a.jar");
    for change in [
        (|path| fs::write(path, b"other")) as fn(&Path) -> io::Result<()>,
        |path| fs::remove_file(path),
    ] {
        change(&plugin).expect("changed");
        let json = dashboard(&node).await;
        assert_eq!(json["primaryServerDetails"]["pluginStatus"], "a.jar=unknown-on-primary");
        assert_eq!(
            json["primaryServerDetails"]["CRUISE_CONFIG_XML"],
            json!({"md5": md5(b"<cruise/>")})
        );
        assert_eq!(
            json["unknownMd5s"],
            json!(["plugins/external/a.jar on the primary: it is being replaced"])
        );
        for path in ["/api/plugin_files_status", "/api/config_files_status"] {
            let answer = node.get(&format!("{PREFIX}{path}"), "").await;
            assert_eq!(answer.status(), 503, "it would take the plugin for removed");
        }
    }
    node.publish(&files);
    let plugins = node.get(&format!("{PREFIX}/api/plugin_files_status"), "").await;
    assert_eq!(
        plugins.json()["external"],
        json!([{"name": "a.jar", "md5": md5(b"a jar")}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_for_strangers_or_for_those_who_only_look_at_the_page() {
    let nodes = Nodes::new();
    let node = nodes.start().await;
    for request in [
        format!("GET {PREFIX}{JSON} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        format!(
            "GET {PREFIX}{JSON} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c3RhbmRieTp3cm9uZw==\r\n\
             Connection: close\r\n\r\n"
        ),
        format!("GET {PREFIX}{JSON} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n"),
    ] {
        assert!([401, 303].contains(&node.raw(&request).await.status()), "{request}");
    }
    for page in ["/admin/dashboard", "/admin/dashboard/fragment", "/metrics"] {
        assert_eq!(node.get(&format!("{PREFIX}{page}"), "").await.status(), 200, "{page}");
    }
    assert_eq!(nodes.opened.load(Ordering::Relaxed), 0);
    dashboard(&node).await;
    assert_eq!(nodes.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_meanwhile_shares_what_is_computed() {
    let nodes = Nodes::new();
    let node = Arc::new(nodes.start().await);
    nodes.hangs.store(true, Ordering::Relaxed);
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { dashboard(&node).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    nodes.hangs.store(false, Ordering::Relaxed);
    for asked in asking {
        let json = asked.await.expect("no panic");
        assert_eq!(json["standbyServerDetails"]["CRUISE_CONFIG_XML"], md5(b"<cruise/>"));
    }
    assert_eq!(nodes.opened.load(Ordering::Relaxed), 2, "each file is read once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_said_and_equals_nothing() {
    let nodes = Nodes::new();
    let node = nodes.start().await;
    *nodes.fails.lock().expect("no panic") = Some(io::ErrorKind::PermissionDenied);
    let json = dashboard(&node).await;
    let plugins = |side: &str| json[side]["pluginStatus"].clone();
    assert_eq!(plugins("primaryServerDetails"), "a.jar=unknown-on-primary");
    assert_eq!(plugins("standbyServerDetails"), "a.jar=unknown-on-standby");
    assert_eq!(
        json["unknownMd5s"],
        json!([
            "plugins/external/a.jar on the primary: it cannot be read: permission denied",
            "plugins/external/a.jar on the standby: it cannot be read: permission denied",
        ])
    );
    let config = md5(b"<cruise/>");
    assert_eq!(
        json["primaryServerDetails"]["CRUISE_CONFIG_XML"],
        json!({ "md5": config })
    );
    assert_eq!(json["standbyServerDetails"]["CRUISE_CONFIG_XML"], config);
    *nodes.fails.lock().expect("no panic") = None;
    let json = dashboard(&node).await;
    assert_eq!(
        json["standbyServerDetails"]["pluginStatus"],
        format!("a.jar={}", md5(b"a jar"))
    );
    assert_eq!(json.get("unknownMd5s"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_while_it_is_read_is_looked_at_once_more() {
    let nodes = Nodes::new();
    let node = nodes.start().await;
    nodes.replaced.store(3, Ordering::Relaxed);
    let json = dashboard(&node).await;
    let now = md5(&nodes.config());
    assert_ne!(now, md5(b"<cruise/>"));
    assert_eq!(json["primaryServerDetails"]["CRUISE_CONFIG_XML"], json!({ "md5": now }));
    assert_eq!(json["standbyServerDetails"]["CRUISE_CONFIG_XML"], now);
    let shown = &json["status"]["files"][0]["standby"]["sha256"];
    assert_eq!(*shown, Digest::of(&nodes.config()).to_string(), "it is one picture");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_keeps_nobody_waiting() {
    let nodes = Nodes::new();
    let node = nodes.start().await;
    nodes.hangs.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let json = dashboard(&node).await;
        assert_eq!(json["standbyServerDetails"]["CRUISE_CONFIG_XML"], "unknown-on-standby");
        let unknown = json["unknownMd5s"].as_array().expect("a list");
        assert_eq!(unknown.len(), 4);
        let all_say = |text: &str| {
            unknown
                .iter()
                .all(|line| line.as_str().is_some_and(|line| line.contains(text)))
        };
        assert!(all_say("no time to read it"), "{unknown:?}");
    }
    nodes.hangs.store(false, Ordering::Relaxed);
    let json = dashboard(&node).await;
    assert_eq!(json["standbyServerDetails"]["CRUISE_CONFIG_XML"], md5(b"<cruise/>"));
}

#[cfg(unix)]
#[test]
fn both_fields_are_right_on_a_standby_as_soon_as_a_change_is_live() {
    use crate::whole::{SOON, Whole};

    const CONFIG: &str = "config/cruise-config.xml";
    let primary = Whole::primary();
    let standby = Whole::standby(primary.address(), primary.key(), SOON);
    standby.until_equal(&primary.dir, CONFIG);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ask = |node: &Whole| -> Value {
        let answer = runtime.block_on(common::get_of_whole(node, &format!("{PREFIX}{JSON}")));
        answer.json()
    };
    let first = fs::read_to_string(primary.dir.path().join(CONFIG)).expect("read");
    for number in 0..4 {
        let text = first.replace("up42", &format!("up{number}"));
        primary.dir.rewrite_config(&text);
        wait::until("the edit is live", SOON, || {
            (fs::read(standby.dir.path().join(CONFIG)).ok()? == text.as_bytes()).then_some(())
        });
        let expected = md5(text.as_bytes());
        let json = ask(&standby);
        assert_eq!(
            json["primaryServerDetails"]["CRUISE_CONFIG_XML"],
            json!({ "md5": expected })
        );
        assert_eq!(json["standbyServerDetails"]["CRUISE_CONFIG_XML"], expected);
        assert_eq!(json.get("unknownMd5s"), None);
        let json = ask(&primary);
        assert_eq!(
            json["primaryServerDetails"]["CRUISE_CONFIG_XML"],
            json!({ "md5": expected })
        );
    }
}
