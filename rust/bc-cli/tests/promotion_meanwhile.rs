//! A promotion while something else is under way: a pull, an apply, a restore, another key for the primary.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use bc_core::basics::Digest;
use bc_testkit::{
    fault_proxy::{Fault, FaultProxy},
    gocd_dir::write_large_plugin_jar,
};
use pair::{
    Foreground, PRIMARY_STATE, STANDBY_STATE, comment, config, fenced, folders, key_of_primary, listening, primary,
    standby, status, wait_for, wait_until_in_sync, wait_until_on_standby,
};
use support::{Answer, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// How many plugins belong to a set, and their bytes besides our own descriptor's.
const JARS: (usize, usize) = (3, 1 << 19);
/// As long as an order of a person may take that nothing holds up for good.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

struct Scene {
    place: Place,
    line: FaultProxy,
    _nodes: [Foreground; 2],
}

impl Scene {
    /// A pair in sync on two sets of plugins and configuration, one after the other, over a line that can be slow.
    fn open() -> Self {
        let place = Place::new();
        folders(&place);
        let first = primary(&place, "127.0.0.1:0");
        let line = FaultProxy::start(listening(&place).parse().expect("an address"));
        let trusted = place.run(&["trust", &key_of_primary(&place), "--config", "standby/config"]);
        assert_eq!(trusted.code, 0, "{trusted:?}");
        let own = TcpListener::bind("127.0.0.1:0")
            .expect("a free port")
            .local_addr()
            .expect("bound");
        let (url, listen) = (format!("https://{}", line.address()), format!("bc.listen={own}"));
        let following = standby(&place, &url, &["--property", &listen]);
        wait_until_in_sync(&place);
        let scene = Self {
            place,
            line,
            _nodes: [first, following],
        };
        for set in ["one", "two"] {
            let edited = scene.write(set);
            wait_until_on_standby(&scene.place, &edited);
            wait_until_in_sync(&scene.place);
        }
        scene
    }

    /// Another set on the primary: all plugins, then the configuration, which is returned.
    fn write(&self, set: &str) -> String {
        for number in 0..JARS.0 {
            let staged = self.place.path("staged.jar");
            write_large_plugin_jar(&staged, &format!("plugin-{number}"), set, JARS.1);
            let name = format!("primary/plugins/external/plugin-{number}.jar");
            fs::rename(staged, self.place.path(&name)).expect("renamed");
        }
        comment(&self.place, set)
    }

    fn on_standby(&self, arguments: &[&str]) -> Answer {
        self.place.run(&[arguments, &["--state-dir", STANDBY_STATE]].concat())
    }

    /// Orders the promotion, again where that was refused.
    fn promote(&self) {
        let begun = Instant::now();
        loop {
            let ordered = self.on_standby(&["promote", "--without-database", "--wait", "60"]);
            if ordered.code == 0 {
                return;
            }
            assert_eq!(ordered.code, 1, "{ordered:?}");
            assert!(!ordered.stderr.trim().is_empty(), "it says why");
            assert!(begun.elapsed() < ENDS_WITHIN, "{ordered:?}");
        }
    }

    /// Checks that what GoCD starts on is one set, whole, and which one, by its configuration.
    fn is_whole(&self, what: &str) -> String {
        let after = status(&self.place, "standby");
        assert_eq!(
            (&after["role"], &after["epoch"]["number"]),
            (&"primary".into(), &2.into()),
            "{what}"
        );
        let live = self.live();
        let listed = self.on_standby(&["generations", "list", "--json"]).json();
        let is_it = |id: &str| {
            let shown = self.on_standby(&["generations", "show", id, "--json"]).json();
            let files = shown["files"].as_object().unwrap_or_else(|| panic!("{shown:#}"));
            let sums = files
                .iter()
                .filter_map(|(name, file)| Some((name.clone(), file["sha256"].as_str()?.to_owned())));
            sums.collect::<BTreeMap<_, _>>() == live
        };
        let mut kept = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["id"].as_str());
        assert!(kept.any(is_it), "{what}: {live:#?} are no set of {listed:#}");
        config(&self.place, "standby")
    }

    /// The live files of a set on the standby, by their names in a manifest, and their SHA-256.
    fn live(&self) -> BTreeMap<String, String> {
        let configs = ["cruise-config.xml", "cipher.aes", "jetty.xml"]
            .map(|name| (name.to_owned(), format!("standby/config/{name}")));
        let plugins = fs::read_dir(self.place.path("standby/plugins/external"))
            .expect("list")
            .flatten();
        let plugins = plugins.map(|plugin| {
            let name = plugin.file_name().into_string().expect("UTF-8");
            (
                format!("plugins/external/{name}"),
                format!("standby/plugins/external/{name}"),
            )
        });
        let digest = |(name, path): (String, String)| {
            let bytes = fs::read(self.place.path(&path)).expect("it is live");
            (name, Digest::of(&bytes).to_string())
        };
        configs.into_iter().chain(plugins).map(digest).collect()
    }

    /// Waits until the former primary knows, and has ended.
    fn old_is_fenced(&self) {
        fenced(&self.place, "primary");
    }
}

#[test]
fn in_the_middle_of_a_pull_it_starts_gocd_on_the_set_before() {
    let scene = Scene::open();
    let before = config(&scene.place, "standby");
    scene.line.set(Fault::Cut);
    scene.write("three");
    // Each connection brings less than a plugin, and then nothing.
    scene.line.set(Fault::SilentAfter(1 << 17));
    wait_for("files are on their way", || {
        status(&scene.place, "standby")["sync"]["fetching"]
            .as_object()
            .map(drop)
    });
    scene.promote();
    assert_eq!(scene.is_whole("in a pull"), before);
    scene.line.set(Fault::None);
    scene.old_is_fenced();
}

#[test]
fn in_the_middle_of_applies_it_starts_gocd_on_one_whole_set() {
    let scene = Scene::open();
    thread::scope(|scope| {
        let writing = scope.spawn(|| (0..4).for_each(|number| drop(scene.write(&format!("burst {number}")))));
        // The first of them is being applied, or was a moment ago.
        wait_for("the sets arrive", || {
            config(&scene.place, "standby").contains("burst").then_some(())
        });
        scene.promote();
        writing.join().expect("no panic");
    });
    scene.is_whole("in an apply");
    scene.old_is_fenced();
}

#[test]
fn in_the_middle_of_a_restore_it_starts_gocd_on_the_one_set_or_the_other() {
    let scene = Scene::open();
    let newest = config(&scene.place, "standby");
    let restored = thread::scope(|scope| {
        let restoring = scope.spawn(|| scene.on_standby(&["generations", "restore", "#1"]));
        scene.promote();
        restoring.join().expect("no panic")
    });
    let live = scene.is_whole("in a restore");
    match restored.code {
        0 => assert!(!live.contains("two"), "it was restored first"),
        _ => {
            assert!(!restored.stderr.trim().is_empty(), "it says why: {restored:?}");
            assert_eq!(live, newest);
        }
    }
    scene.old_is_fenced();
}

#[test]
fn in_the_middle_of_a_rotation_the_former_primary_is_fenced_under_either_key() {
    let scene = Scene::open();
    wait_for("the standby has reported", || {
        status(&scene.place, "primary")["standbys"][0]["confirms"][0]
            .as_str()
            .map(drop)
    });
    let rotated = thread::scope(|scope| {
        let rotating = scope.spawn(|| scene.place.run(&["identity", "rotate", "--state-dir", PRIMARY_STATE]));
        scene.promote();
        rotating.join().expect("no panic")
    });
    assert!(rotated.code == 0 || !rotated.stderr.trim().is_empty(), "{rotated:?}");
    scene.is_whole("in a rotation");
    scene.old_is_fenced();
}
