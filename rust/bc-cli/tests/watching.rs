//! Nodes that the kernel lets watch nothing, or too little: with its real limits, in a user namespace of their own.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    process::{Command, Stdio},
};

use pair::{Foreground, status, wait_for};
use support::Place;

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// A node in a namespace in which this setting of the kernel has this value.
struct Namespace {
    place: Place,
    node: Foreground,
    setting: &'static str,
}

impl Namespace {
    fn start(role: &[&str], setting: &'static str, value: u32) -> Self {
        let place = Place::new();
        for folder in [
            "node",
            "node/config",
            "node/plugins",
            "node/plugins/external",
            "node/db",
        ] {
            place.folder(folder, 0);
        }
        place.file("node/config/cruise-config.xml", "<cruise schemaVersion=\"139\"/>\n", 0);
        let token = place.file("node/config/business-continuity-token", "user = password\n", 0);
        fs::set_permissions(token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
        let arguments = ["--working-dir", "node", "--listen", "127.0.0.1:0"];
        let node = place.command(&[role, &arguments[..]].concat());
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "sh", "-c"])
            .arg(format!("echo {value} > {} && exec \"$0\" \"$@\"", file_of(setting)))
            .arg(node.get_program())
            .args(node.get_args())
            .current_dir(place.path(""))
            .stdin(Stdio::null());
        let node = Foreground::start(command);
        Self { place, node, setting }
    }

    fn set(&self, value: u32) {
        let done = Command::new("nsenter")
            .args([
                "--user",
                "--preserve-credentials",
                "--target",
                &self.node.id().to_string(),
            ])
            .args(["sh", "-c", &format!("echo {value} > {}", file_of(self.setting))])
            .status();
        assert!(done.expect("nsenter(1) is there").success());
    }

    /// What is wrong with watching, once the node runs.
    fn problem(&self) -> Option<String> {
        let status = status(&self.place, "node");
        let problems = status["problems"].as_array()?;
        let of_watching = problems.iter().find(|problem| problem["topic"] == "watch");
        let message = of_watching.and_then(|problem| problem["message"].as_str());
        Some(message.unwrap_or_default().to_owned())
    }

    fn says_it_and_is_mended(self) {
        let said = wait_for("it is said", || self.problem().filter(|said| !said.is_empty()));
        assert!(said.contains(&format!("`sysctl -w {}=", self.setting)), "{said}");
        assert!(said.contains("/etc/sysctl.d/"), "{said}");
        for wrong in ["open files", "space left", "os error"] {
            assert!(!said.contains(wrong), "{said}");
        }
        self.set(10_000);
        wait_for("it is over by itself", || self.problem().filter(String::is_empty));
        let (code, log) = self.node.end();
        assert_eq!(code, Some(0), "{log}");
        let warnings = log.lines().filter(|line| line.contains("sysctl -w")).count();
        assert_eq!(warnings, 1, "said once: {log}");
    }
}

fn file_of(setting: &str) -> String {
    format!("/proc/sys/{}", setting.replace('.', "/"))
}

const STANDBY: [&str; 3] = ["standby", "--primary-url", "https://127.0.0.1:1"];

#[test]
fn a_primary_without_an_instance_names_the_limit_and_watches_once_it_is_raised() {
    Namespace::start(&["primary"], "user.max_inotify_instances", 0).says_it_and_is_mended();
}

#[test]
fn a_primary_without_enough_watches_names_the_limit_and_watches_once_it_is_raised() {
    Namespace::start(&["primary"], "user.max_inotify_watches", 1).says_it_and_is_mended();
}

#[test]
fn a_standby_without_an_instance_names_the_limit_and_watches_once_it_is_raised() {
    Namespace::start(&STANDBY, "user.max_inotify_instances", 0).says_it_and_is_mended();
}

#[test]
fn a_standby_without_enough_watches_names_the_limit_and_watches_once_it_is_raised() {
    Namespace::start(&STANDBY, "user.max_inotify_watches", 1).says_it_and_is_mended();
}
