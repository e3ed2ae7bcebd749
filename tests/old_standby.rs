//! The standby of GoCD 20.6 to 22.3, as its source does it (`StandbyFileSyncService`), against our primary.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use bc_core::generation::Md5;
use bc_testkit::{
    artefacts,
    gocd_dir::{GocdDir, TOKEN, write_plugin_jar},
    http,
    process::Process,
    wait,
};
use bc_tests::{authorized, nodes::Nodes};
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
};
use serde_json::Value;
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

const ARRIVES: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(60);

/// A constant of GoCD's `ConfigFileType`: its name, its path and its file.
type ConfigFileType = (&'static str, &'static str, &'static str);

/// GoCD 21.1 and later.
const FOUR: &[ConfigFileType] = &[
    ("CRUISE_CONFIG_XML", "/cruise_config", "cruise-config.xml"),
    ("AES_CIPHER", "/cipher.aes", "cipher.aes"),
    ("JETTY_XML", "/jetty_config", "jetty.xml"),
    ("USER_FEATURE_TOGGLE", "/user_feature_toggle", "go.feature.toggles"),
];

/// GoCD 20.6 to 20.10.
const FIVE: &[ConfigFileType] = &[FOUR[0], FOUR[1], FOUR[2], FOUR[3], ("DES_CIPHER", "/cipher", "cipher")];

/// What an unmodified standby of GoCD does. It trusts any certificate, hashes nothing of its own, and takes names
/// and digests as the primary says.
struct OldStandby {
    client: Client,
    port: u16,
    folder: tempfile::TempDir,
    types: &'static [ConfigFileType],
    /// The primary's MD5 of what was fetched, by file name.
    remembered: BTreeMap<String, String>,
    plugins: BTreeSet<String>,
}

impl OldStandby {
    fn new(primary: &GocdDir, types: &'static [ConfigFileType]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("config")).expect("config");
        fs::create_dir_all(folder.path().join("plugins/external")).expect("plugins");
        Self {
            client: http::tls_client(),
            port: primary.port,
            folder,
            types,
            remembered: BTreeMap::new(),
            plugins: BTreeSet::new(),
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn external(&self) -> PathBuf {
        self.folder.path().join("plugins/external")
    }

    fn get(&self, path: &str) -> Response {
        let url = format!(
            "https://127.0.0.1:{}/go/add-on/business-continuity/api{path}",
            self.port
        );
        self.client
            .get(url)
            .basic_auth(TOKEN.0, Some(TOKEN.1))
            .send()
            .expect("an answer")
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().expect("a whole body").to_vec()
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(
            (answer.status(), content_type(&answer)),
            (StatusCode::OK, "application/json".to_owned()),
            "{path}"
        );
        answer.json().expect("JSON")
    }

    /// One run of its scheduled thread.
    fn round(&mut self) {
        let health = self.get("/health-check");
        assert_eq!(health.status(), 200);
        assert_eq!(health.text().expect("text"), "OK!");
        let status = self.json("/config_files_status");
        for (key, details) in status["fileDetailsMap"].as_object().expect("an object") {
            let known = self.types.iter().find(|(name, ..)| name == key);
            let (_, path, file) = known.unwrap_or_else(|| panic!("NullPointerException: no ConfigFileType.{key}"));
            let target = self.config().join(file);
            self.fetch(file, path, &target, details["md5"].as_str().expect("a digest"));
        }
        let mut named = BTreeSet::new();
        for plugin in self.json("/plugin_files_status")["external"]
            .as_array()
            .expect("a list")
        {
            let name = plugin["name"].as_str().expect("a name").to_owned();
            let target = self.external().join(&name);
            let path = format!("/plugin?folderName=external&pluginName={name}");
            self.fetch(&name, &path, &target, plugin["md5"].as_str().expect("a digest"));
            named.insert(name);
        }
        for gone in self.plugins.difference(&named) {
            fs::remove_file(self.external().join(gone)).expect("a plugin that was fetched");
            self.remembered.remove(gone);
        }
        self.plugins = named;
    }

    fn fetch(&mut self, name: &str, path: &str, target: &Path, md5: &str) {
        if self.remembered.get(name).map(String::as_str) != Some(md5) || !target.exists() {
            fs::write(target, self.bytes(path)).expect("write onto the target");
            self.remembered.insert(name.to_owned(), md5.to_owned());
        }
    }

    /// Runs until both files have the same bytes.
    fn round_until_equal(&mut self, on_primary: &Path, here: &Path) {
        wait::until(&format!("the old standby has {}", here.display()), ARRIVES, || {
            self.round();
            (fs::read(on_primary).ok()? == fs::read(here).ok()?).then_some(())
        });
    }

    fn keys(&self) -> Vec<String> {
        let status = self.json("/config_files_status");
        status["fileDetailsMap"]
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    }
}

fn content_type(answer: &Response) -> String {
    let kind = answer.headers().get("content-type").expect("a content type");
    kind.to_str().expect("ASCII").to_owned()
}

/// A primary that offers its files.
fn started(primary: &GocdDir, jvm: Process) -> Process {
    primary.wait_for_port();
    let client = OldStandby::new(primary, FOUR);
    wait::until("the primary is healthy", START, || {
        (client.get("/health-check").status() == 200).then_some(())
    });
    jvm
}

#[test]
fn an_unmodified_standby_follows() {
    let primary = GocdDir::with_jar();
    fs::write(primary.config().join("cipher"), "269298bc31c44620").expect("a key that this GoCD no longer has");
    let plain = ["a-1.0+7.jar", "b_c~d(2).jar"];
    let odd = ["with blank.jar", "a%20b.jar", "ümlaut.jar", "a&b.jar", "a#b.jar"];
    for name in plain.iter().chain(&odd) {
        write_plugin_jar(&primary.plugins().join(name), &format!("id.{}", name.len()), "1");
    }
    let _jvm = started(&primary, primary.launch("primary", &mut primary.java(17)));
    let mut standby = OldStandby::new(&primary, FOUR);

    standby.round();
    for (_, _, file) in FOUR {
        standby.round_until_equal(&primary.config().join(file), &standby.config().join(file));
    }
    assert_eq!(
        standby.keys(),
        ["AES_CIPHER", "CRUISE_CONFIG_XML", "JETTY_XML", "USER_FEATURE_TOGGLE"]
    );
    assert!(!standby.config().join("cipher").exists());
    primary.wait_for_status("the primary tells it from a standby of ours", START, |status| {
        status["old_standbys"][0]["address"] == "127.0.0.1" && status["standbys"] == serde_json::json!([])
    });
    let said = primary.cli(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.contains("1 server follows by the means of GoCD 20.6 to 22.3 itself"),
        "{said}"
    );
    let page = authorized(primary.port, "/admin/dashboard").text().expect("text");
    assert!(page.contains("1 server follows by the means of GoCD 20.6"), "{page}");
    assert_eq!(standby.get("/cipher").status(), 404);
    let names: Vec<&str> = standby.plugins.iter().map(String::as_str).collect();
    assert_eq!(names, plain, "our own jar and names that break in a URL are left out");
    for name in plain {
        standby.round_until_equal(&primary.plugins().join(name), &standby.external().join(name));
    }

    let text = fs::read_to_string(primary.config().join("cruise-config.xml")).expect("read");
    primary.rewrite_config(&text.replace("up42", "up43"));
    standby.round_until_equal(
        &primary.config().join("cruise-config.xml"),
        &standby.config().join("cruise-config.xml"),
    );
    assert!(
        fs::read_to_string(standby.config().join("cruise-config.xml"))
            .expect("read")
            .contains("up43")
    );

    let added = primary.plugins().join("added.jar");
    write_plugin_jar(&added, "added", "1");
    standby.round_until_equal(&added, &standby.external().join("added.jar"));
    write_plugin_jar(&added, "added", "2.0");
    standby.round_until_equal(&added, &standby.external().join("added.jar"));
    fs::remove_file(&added).expect("remove");
    wait::until("the plugin is removed", ARRIVES, || {
        standby.round();
        (!standby.external().join("added.jar").exists()).then_some(())
    });
}

#[test]
fn an_unmodified_standby_keeps_its_files_through_a_promotion_and_follows_whoever_took_over() {
    let nodes = Nodes::new().expect("two folders");
    let lost = nodes.start_primary().expect("it listens");
    let _promoted = nodes.start_standby().expect("it listens");
    nodes
        .primary
        .wait_for_status("the primary knows its standby", START, |status| {
            status["peers"][0]["said"] == "agrees"
        });
    bc_tests::wait_for_sync(&nodes.standby);
    let mut old = OldStandby::new(&nodes.primary, FOUR);
    let (theirs, its) = (
        nodes.primary.config().join("cruise-config.xml"),
        old.config().join("cruise-config.xml"),
    );
    old.round_until_equal(&theirs, &its);
    let kept = fs::read(&its).expect("read");
    drop(lost);
    let promoted = nodes.standby.cli(&["promote", "--without-database", "--wait", "60"]);
    assert!(promoted.status.success(), "{promoted:?}");
    let _again = nodes.start_primary().expect("it listens");
    nodes
        .primary
        .wait_for_status("the former primary is fenced", START, |status| {
            status["role"] == "fenced" && status["phase"] == "holding"
        });
    for path in ["/config_files_status", "/plugin_files_status", "/cruise_config"] {
        assert_eq!(
            old.get(path).status(),
            StatusCode::CONFLICT,
            "{path}: it takes nothing, and removes nothing"
        );
    }
    assert_eq!(fs::read(&its).expect("read"), kept);

    // Its bc.primary.url is changed.
    old.port = nodes.standby.port;
    let text = String::from_utf8(kept).expect("text");
    nodes.standby.rewrite_config(&text.replace("up42", "up43"));
    old.round_until_equal(&nodes.standby.config().join("cruise-config.xml"), &its);
    assert!(fs::read_to_string(&its).expect("read").contains("up43"));
}

#[test]
fn forms_and_content_types_are_those_of_the_original() {
    let primary = GocdDir::with_jar();
    write_plugin_jar(&primary.plugins().join("z.jar"), "z", "1");
    write_plugin_jar(&primary.plugins().join("a.jar"), "a", "1");
    let _jvm = started(&primary, primary.launch("primary", &mut primary.java(17)));
    let standby = OldStandby::new(&primary, FOUR);

    let status = standby.json("/config_files_status");
    let fields: Vec<&String> = status.as_object().expect("an object").keys().collect();
    assert_eq!(
        fields,
        [
            "configFilesUpdateInterval",
            "fileDetailsMap",
            "lastConfigFilesUpdateTime"
        ]
    );
    assert_eq!(status["configFilesUpdateInterval"], 60_000);
    assert!(
        status["lastConfigFilesUpdateTime"]
            .as_i64()
            .is_some_and(|time| time > 1_700_000_000_000),
        "{status}"
    );
    let kinds = [
        "text/xml;charset=UTF-8",
        "text/plain;charset=UTF-8",
        "text/xml;charset=UTF-8",
        "text/json;charset=UTF-8",
    ];
    for ((key, path, file), kind) in FOUR.iter().zip(kinds) {
        let answer = standby.get(path);
        assert_eq!(
            (answer.status(), content_type(&answer)),
            (StatusCode::OK, kind.to_owned()),
            "{path}"
        );
        let bytes = answer.bytes().expect("a whole body");
        assert_eq!(bytes, fs::read(primary.config().join(file)).expect("read"), "{path}");
        assert_eq!(
            status["fileDetailsMap"][key],
            serde_json::json!({ "md5": Md5::of(&bytes) }),
            "{path}"
        );
    }

    let md5 = |name: &str| Md5::of(&fs::read(primary.plugins().join(name)).expect("read"));
    let expected = serde_json::json!({
        "bundled": [],
        "external": [{ "name": "a.jar", "md5": md5("a.jar") }, { "name": "z.jar", "md5": md5("z.jar") }],
    });
    assert_eq!(standby.json("/plugin_files_status"), expected);
    let answer = standby.get("/plugin?folderName=external&pluginName=a.jar");
    assert_eq!(
        (answer.status(), content_type(&answer)),
        (StatusCode::OK, "application/octet-stream".to_owned())
    );
    let database = standby.get("/latest_database_wal_location");
    assert_eq!(database.status(), 200);
    assert!(database.text().expect("text").starts_with("Not Available, Reason, "));
    for refused in ["gocd-business-continuity.jar", "none.jar", ""] {
        let path = format!("/plugin?folderName=external&pluginName={refused}");
        assert_eq!(standby.get(&path).status(), 404, "{path}");
    }
}

#[test]
fn every_path_wants_the_right_token() {
    let primary = GocdDir::with_jar();
    let _jvm = started(&primary, primary.launch("primary", &mut primary.java(17)));
    let client = http::tls_client();
    let standby = OldStandby::new(&primary, FOUR);
    let others = [
        "/health-check",
        "/config_files_status",
        "/plugin_files_status",
        "/latest_database_wal_location",
    ];
    let plugin = "/plugin?folderName=external&pluginName=x.jar";
    for path in FIVE.iter().map(|(_, path, _)| *path).chain(others).chain([plugin]) {
        let url = format!(
            "https://127.0.0.1:{}/go/add-on/business-continuity/api{path}",
            primary.port
        );
        let wrong = [
            None,
            Some((TOKEN.0, "wrong")),
            Some(("wrong", TOKEN.1)),
            Some((TOKEN.0, "")),
            Some((TOKEN.1, TOKEN.0)),
        ];
        for credentials in wrong {
            let request = client.get(&url);
            let request = match credentials {
                Some((user, password)) => request.basic_auth(user, Some(password)),
                None => request,
            };
            let answer = request.send().expect("an answer");
            assert_eq!(answer.status(), 401, "{path} {credentials:?}");
            assert_eq!(
                answer.text().expect("text"),
                "bad credentials!",
                "{path} {credentials:?}"
            );
            // Wrong pairs are answered later and later until a right one comes.
            assert_eq!(standby.get("/health-check").status(), 200);
        }
    }
}

/// The stand-in's launcher, saying that it is another version.
fn launcher_of(version: &str, target: &Path) {
    const MANIFEST: &str = "META-INF/MANIFEST.MF";
    let mut jar = ZipArchive::new(fs::File::open(artefacts::host_jar()).expect("open")).expect("a jar");
    let mut copy = ZipWriter::new(fs::File::create(target).expect("create"));
    for index in 0..jar.len() {
        let entry = jar.by_index_raw(index).expect("entry");
        if entry.name().expect("UTF-8") != MANIFEST {
            copy.raw_copy_file(entry).expect("copy");
        }
    }
    let manifest = std::io::read_to_string(jar.by_name(MANIFEST).expect("manifest")).expect("text");
    let manifest: String = manifest
        .lines()
        .map(|line| match line.split_once(": ") {
            Some((key @ "Implementation-Version", _)) => format!("{key}: {version}\r\n"),
            _ => format!("{line}\r\n"),
        })
        .collect();
    assert!(manifest.contains(version), "{manifest}");
    copy.start_file(MANIFEST, SimpleFileOptions::default())
        .expect("manifest");
    copy.write_all(manifest.as_bytes()).expect("write");
    copy.finish().expect("finish");
}

#[test]
fn the_des_key_crosses_between_servers_before_21_1_alone() {
    let primary = GocdDir::with_jar();
    fs::write(primary.config().join("cipher"), "269298bc31c44620").expect("the DES key");
    let launcher = primary.path().join("go.jar");
    launcher_of("20.6.0-11700", &launcher);
    let jvm = Process::start("primary 20.6", primary.java(17).arg("-jar").arg(&launcher));
    let _jvm = started(&primary, jvm);
    let mut standby = OldStandby::new(&primary, FIVE);
    standby.round();
    assert_eq!(
        standby.keys(),
        [
            "AES_CIPHER",
            "CRUISE_CONFIG_XML",
            "DES_CIPHER",
            "JETTY_XML",
            "USER_FEATURE_TOGGLE"
        ]
    );
    for (_, _, file) in FIVE {
        standby.round_until_equal(&primary.config().join(file), &standby.config().join(file));
    }
    assert_eq!(content_type(&standby.get("/cipher")), "text/plain;charset=UTF-8");
}
