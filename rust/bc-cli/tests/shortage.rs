//! Nodes to which the operating system gives no threads or descriptors: at their start, and while they run.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The user of these nodes, who has no other process: limits of threads are counted by user.
const USER: u32 = 64_123;
const STATE: &str = "node/db/business-continuity";
/// What the tests wait for at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node under limits, killed when dropped; what it says goes to a file.
struct Limited {
    place: Place,
    child: Child,
}

impl Limited {
    /// `limits` are arguments of prlimit(1).
    fn start(user: u32, limits: &[&str], role: &[&str]) -> Self {
        let place = Place::new();
        for folder in [
            "node",
            "node/config",
            "node/plugins",
            "node/plugins/external",
            "node/db",
        ] {
            place.folder(folder, user);
        }
        place.file(
            "node/config/cruise-config.xml",
            "<cruise schemaVersion=\"139\"/>\n",
            user,
        );
        let token = place.file("node/config/business-continuity-token", "user = password\n", user);
        fs::set_permissions(token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
        let arguments = [
            "--working-dir",
            "node",
            "--listen",
            "127.0.0.1:0",
            "--property",
            "bc.db.watch=off",
        ];
        let node = place.command(&[role, &arguments[..]].concat());
        let mut command = Command::new("prlimit");
        command
            .args(limits)
            .arg(node.get_program())
            .args(node.get_args())
            .current_dir(place.path(""))
            .uid(user)
            .gid(user)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.path("said")).expect("a file"));
        let child = command.spawn().expect("prlimit(1) is there");
        Self { place, child }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.place.path("said")).expect("text")
    }

    /// Changes limits of the running node, as its own user: not even root always may.
    fn limit(&self, user: u32, limit: &str) {
        let id = self.child.id().to_string();
        let mut command = Command::new("prlimit");
        let done = command.args(["--pid", &id, limit]).uid(user).gid(user).status();
        assert!(done.expect("prlimit(1) is there").success());
    }

    /// The code it ends with, where it ends by itself before it runs.
    fn ends_or_runs(&mut self) -> Option<i32> {
        self.wait_for("it ends or runs", |node| {
            let ended = node.child.try_wait().expect("it can be waited for");
            match ended {
                Some(status) => Some(Some(status.code().expect("it was not killed"))),
                None => node.said().contains("Primary: offers").then_some(None),
            }
        })
    }

    /// Asks it to end, and says with which code it does.
    fn ends_when_asked(mut self) -> (i32, String) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), Signal::SIGTERM).expect("it runs");
        let code = self.wait_for("it ends when it is asked to", |node| {
            node.child.try_wait().expect("it can be waited for")?.code()
        });
        (code, self.said())
    }

    fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}: {}", self.said());
            sleep(Duration::from_millis(50));
        }
    }

    fn status(&self) -> String {
        self.place.run(&["status", "--state-dir", STATE]).stdout
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One sentence for a person, and what to type.
fn is_one_sentence(said: &str, names: &str) -> bool {
    let mut lines = said.lines();
    lines
        .next()
        .is_some_and(|line| line.starts_with("error: cannot ") && line.contains(names))
        && lines.next() == Some("")
        && lines
            .next()
            .is_some_and(|line| line.starts_with("hint: Raise that limit"))
        && lines.next().is_none()
}

/// Starts nodes under each of these limits, from the first under which none can run to the last, under which one must.
/// One that runs has all that it needs.
fn each_ends_with_a_sentence_or_runs(user: u32, option: &str, limits: &[u32], names: &str, role: &[&str]) {
    for limit in limits {
        let mut node = Limited::start(user, &[&format!("--{option}={limit}:{limit}")], role);
        let ended = node.ends_or_runs();
        let said = if let Some(code) = ended {
            assert_eq!(code, 1, "{option}={limit}: {}", node.said());
            assert!(
                is_one_sentence(&node.said(), names),
                "{option}={limit}: {}",
                node.said()
            );
            node.said()
        } else {
            node.wait_for("it is well, or not", |node| {
                let is_known = node.status().starts_with("OK ") || node.said().contains(names);
                is_known.then_some(())
            });
            let (code, said) = node.ends_when_asked();
            assert_eq!(code, 0, "{option}={limit}: {said}");
            assert!(!said.contains(names), "{option}={limit}: {said}");
            said
        };
        assert!(
            !said.contains("panicked") && !said.contains("os error"),
            "{option}={limit}: {said}"
        );
        if Some(limit) == limits.first() || Some(limit) == limits.last() {
            assert_eq!(
                ended.is_none(),
                Some(limit) == limits.last(),
                "{option}={limit}: {said}"
            );
        }
    }
}

#[test]
fn without_threads_a_node_says_so_and_ends() {
    if !is_root() {
        // A user without other processes can only be had as root.
        return;
    }
    let limits = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 28, 60];
    each_ends_with_a_sentence_or_runs(USER, "nproc", &limits, "gives no thread", &["primary"]);
}

#[test]
fn without_descriptors_a_node_says_so_and_ends() {
    let user = if is_root() {
        USER + 1
    } else {
        nix::unistd::geteuid().as_raw()
    };
    let limits = [4, 5, 6, 8, 12, 20, 30, 200];
    each_ends_with_a_sentence_or_runs(user, "nofile", &limits, "files and connections open", &["primary"]);
}

#[test]
fn a_standby_without_threads_says_so_and_ends_as_well() {
    if !is_root() {
        return;
    }
    for limit in [1, 3, 6, 9] {
        let role = ["standby", "--primary-url", "https://127.0.0.1:1"];
        let mut node = Limited::start(USER + 2, &[&format!("--nproc={limit}:{limit}")], &role);
        assert_eq!(node.ends_or_runs(), Some(1), "{}", node.said());
        assert!(is_one_sentence(&node.said(), "gives no thread"), "{}", node.said());
    }
}

#[test]
fn a_node_that_gets_no_more_threads_goes_on_and_says_so_until_it_does() {
    if !is_root() {
        return;
    }
    let user = USER + 3;
    let mut node = Limited::start(user, &["--nproc=1000:1000"], &["primary"]);
    assert_eq!(node.ends_or_runs(), None, "{}", node.said());
    node.limit(user, "--nproc=1:1000");
    node.wait_for("it says so", |node| {
        node.status().contains("gives no thread").then_some(())
    });
    // Longer than tokio keeps a thread that has nothing to do: none may be missed, and none be made.
    sleep(Duration::from_secs(12));
    let config = node.place.path("node/config/cruise-config.xml");
    fs::write(&config, "<cruise schemaVersion=\"139\"><!-- other --></cruise>\n").expect("write");
    node.wait_for("an edit is offered all the same", |node| {
        node.status().contains("(sequence 2,").then_some(())
    });
    node.limit(user, "--nproc=1000:1000");
    node.wait_for("it is over", |node| node.status().starts_with("OK ").then_some(()));
    let (code, said) = node.ends_when_asked();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_node_that_gets_no_more_descriptors_says_so_once_and_answers_again_when_it_does() {
    let user = if is_root() {
        USER + 4
    } else {
        nix::unistd::geteuid().as_raw()
    };
    let mut node = Limited::start(user, &["--nofile=1000:1000"], &["primary"]);
    assert_eq!(node.ends_or_runs(), None, "{}", node.said());
    node.limit(user, "--nofile=8:1000");
    // Who asks now gets no answer before there are some again.
    let waiting: Vec<_> = (0..3)
        .map(|_| std::os::unix::net::UnixStream::connect(node.place.path(STATE).join("control.sock")).expect("connect"))
        .collect();
    let sentence = "nobody can connect to the local socket";
    node.wait_for("it says so", |node| node.said().contains(sentence).then_some(()));
    sleep(Duration::from_secs(5));
    assert_eq!(node.said().matches(sentence).count(), 1, "{}", node.said());
    assert!(node.said().contains("`ulimit -n`"), "{}", node.said());
    node.limit(user, "--nofile=1000:1000");
    drop(waiting);
    node.wait_for("it answers and has nothing to say", |node| {
        node.status().starts_with("OK ").then_some(())
    });
    let (code, said) = node.ends_when_asked();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("panicked") && !said.contains("os error"), "{said}");
}
