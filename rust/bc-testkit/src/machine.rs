//! Machines with nothing on them but what Debian's packages bring: each has a root of its own over the one of this machine,
//! whose changes go with it, and processes, a name and a network of its own. They need root.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::{NamedTempFile, TempDir};

use crate::{process::Process, secrets, wait};

/// How long a machine may take to be there.
const STARTS: Duration = Duration::from_secs(30);
/// How long a command may take until it asks, and how long in all.
const ASKS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(120);

/// What lays the root; its argument is an empty folder, in which `machine/root` becomes that. The last program takes in the
/// processes that lose their parent, as the first one of a machine does.
const BOOT: &str = r#"set -e
mkdir "$1/disk" "$1/machine"
cd "$1/machine"
mount -t tmpfs -o mode=0755 machine .
cd "$1/machine"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" machine root
cd root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=0755 run run
ip link set lo up
echo booted
exec chroot . /bin/sh -c 'while :; do sleep 1; done'
"#;

/// One machine. Dropping it ends all that runs on it.
#[derive(Debug)]
pub struct Machine {
    name: String,
    folder: TempDir,
    process: Process,
}

/// A question, and who answers it.
type Talk<'a> = (&'a str, &'a mut dyn FnMut(&str) -> String);

/// How a command ended on a machine, and what it said.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to both its outputs, as a person reads it.
    pub said: String,
}

impl Machine {
    /// Starts a machine of this name, without a network.
    ///
    /// # Panics
    /// This is not root, or namespaces and overlays are not to be had.
    pub fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("setpriv");
        // All of it ends with the thread that has started it, however that ends.
        command
            .args(["--pdeathsig", "KILL", "--", "unshare"])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"])
            .args(["--propagation", "private", "/bin/sh", "-c", BOOT, "sh"])
            .arg(folder.path());
        let process = Process::start(name, &mut command);
        process.wait_for("booted", STARTS);
        let machine = Self {
            name: name.to_owned(),
            folder,
            process,
        };
        machine.does(&format!("hostname {name}"));
        machine
    }

    /// Joins two machines by a cable, with these addresses and a network of 24 bits.
    ///
    /// # Panics
    /// It cannot be done.
    pub fn join(ends: [(&Self, &str); 2]) {
        let [(first, _), (second, _)] = ends;
        let mut cable = Command::new("ip");
        cable.args(["link", "add", "cable", "netns", &first.process.id().to_string()]);
        cable.args(["type", "veth", "peer", "name", "cable", "netns"]);
        let laid = cable.arg(second.process.id().to_string()).output().expect("ip runs");
        assert!(laid.status.success(), "{laid:?}");
        for (machine, address) in ends {
            machine.does(&format!(
                "ip address add {address}/24 dev cable && ip link set cable up"
            ));
        }
    }

    /// A file of this machine, as everybody else finds it.
    pub fn path(&self, path: &str) -> PathBuf {
        let root = format!("/proc/{}/root{}", self.process.id(), self.root().display());
        Path::new(&root).join(path.trim_start_matches('/'))
    }

    /// Has a folder on a disk that outlasts the machine's root, as data of servers have.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn disk(&self, folder: &str) {
        let disk = self.folder.path().join("disk").join(folder.replace('/', "-"));
        fs::create_dir(&disk).expect("made");
        self.does(&format!("mkdir -p {folder}"));
        let mut mount = Command::new("nsenter");
        mount
            .args([
                "--target",
                &self.process.id().to_string(),
                "--mount",
                "--",
                "mount",
                "--bind",
            ])
            .arg(disk)
            .arg(self.root().join(folder.trim_start_matches('/')));
        let mounted = mount.output().expect("nsenter runs");
        assert!(mounted.status.success(), "{mounted:?}");
    }

    /// Has a shell of root do something that has to succeed, and returns what it said.
    ///
    /// # Panics
    /// It fails.
    pub fn does(&self, script: &str) -> String {
        let answer = self.runs(script);
        assert_eq!(answer.code, Some(0), "{script} on {}: {}", self.name, answer.said);
        answer.said
    }

    /// Has a shell of root do something. What it leaves running may keep its outputs.
    ///
    /// # Panics
    /// There is no shell.
    pub fn runs(&self, script: &str) -> Answer {
        self.talk(&["/bin/sh", "-c", script], None)
    }

    /// Types a command at a terminal, and, once it shows `question`, what `answer` makes of all that it has said by then.
    ///
    /// # Panics
    /// It does not ask.
    pub fn types(&self, command: &str, question: &str, answer: &mut dyn FnMut(&str) -> String) -> Answer {
        let words = ["script", "--quiet", "--return", "--command", command, "/dev/null"];
        self.talk(&words, Some((question, answer)))
    }

    fn talk(&self, words: &[&str], talk: Option<Talk<'_>>) -> Answer {
        // A pipe would last as long as what is left running.
        let output = NamedTempFile::new().expect("a file");
        let said = || String::from_utf8_lossy(&fs::read(output.path()).expect("read")).into_owned();
        let handle = || output.as_file().try_clone().expect("another handle");
        let mut command = self.command(words);
        let mut child = command
            .stdin(if talk.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(handle())
            .stderr(handle())
            .spawn()
            .expect("nsenter starts");
        // Open until the end: a terminal that is closed ends what runs there.
        let mut input = child.stdin.take();
        if let Some((question, answer)) = talk {
            let asked = wait::until(&format!("{words:?} asks"), ASKS, || {
                let said = said();
                let has_ended = child.try_wait().expect("ours").is_some();
                assert!(!has_ended || said.contains(question), "it does not ask: {said}");
                said.contains(question).then_some(said)
            });
            let answer = answer(&asked);
            let input = input.as_mut().expect("piped");
            input.write_all(answer.as_bytes()).expect("typed");
        }
        let end = wait::until(&format!("{words:?} ends"), ENDS, || child.try_wait().expect("ours"));
        drop(input);
        let (code, said) = (end.code(), said());
        secrets::said(&self.name, said.as_bytes());
        Answer { code, said }
    }

    /// Where its root is for those who are in its namespaces and not in its root.
    fn root(&self) -> PathBuf {
        self.folder.path().join("machine/root")
    }

    /// A program on this machine, without anything of our environment.
    fn command(&self, words: &[&str]) -> Command {
        let id = self.process.id();
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &id.to_string(), "--mount", "--uts", "--ipc", "--net"])
            .arg(format!("--pid=/proc/{id}/ns/pid_for_children"))
            .arg("--")
            .arg("chroot")
            .arg(self.root())
            .args([
                "env",
                "--ignore-environment",
                "HOME=/root",
                "LANG=C.UTF-8",
                "TERM=xterm",
            ])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(words);
        command
    }
}
