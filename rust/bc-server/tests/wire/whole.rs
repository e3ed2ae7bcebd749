//! Whole nodes in this process: the folder of a GoCD, the settings that a JVM would hand over, the local socket.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bc_core::{
    basics::{Digest, Fingerprint, Properties, Severity},
    node::{
        Event, Order, Reply,
        control::{SOCKET, SOCKET_POINTER},
    },
    status::Status,
};
use bc_server::node::Node;
use bc_testkit::{gocd_dir::GocdDir, secrets, wait};

/// How long anything may take that is not held up on purpose.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A node and its folder.
pub(crate) struct Whole {
    pub(crate) dir: GocdDir,
    properties: Properties,
    node: Option<Node>,
}

impl Whole {
    /// A primary with the sample configuration.
    pub(crate) fn primary() -> Self {
        let whole = Self::open(GocdDir::new(), &[]);
        wait::until("the primary listens and has read its files", SOON, || {
            whole
                .status()
                .filter(|status| status.listening.is_some() && status.generation.is_some())
        });
        whole
    }

    /// A standby that expects the primary with this key at `address`, and waits `patience` for its next byte.
    pub(crate) fn standby(address: SocketAddr, key: Fingerprint, patience: Duration) -> Self {
        Self::standby_in(GocdDir::new(), address, key, patience)
    }

    /// As [`Whole::standby`], in a folder that is there already.
    pub(crate) fn standby_in(dir: GocdDir, address: SocketAddr, key: Fingerprint, patience: Duration) -> Self {
        let url = format!("https://{address}");
        let settings = [
            ("go.server.mode", "standby"),
            ("bc.primary.url", url.as_str()),
            ("bc.primary.fingerprint", &key.to_string()),
            ("primary.server.connection.timeout", &patience.as_millis().to_string()),
        ];
        Self::open(dir, &settings)
    }

    /// A node with these settings, which go before what every node here is told.
    pub(crate) fn open(dir: GocdDir, settings: &[(&str, &str)]) -> Self {
        let mut properties = Properties::default();
        properties.set("bc.face", "cli");
        // Peers of a test end without a word.
        properties.set("bc.guarded", "true");
        properties.set("user.dir", dir.path().to_str().expect("UTF-8"));
        properties.set("cruise.server.port", dir.gocd_port.to_string());
        properties.set("bc.listen", format!("127.0.0.1:{}", dir.port));
        for (name, value) in settings {
            properties.set(*name, *value);
        }
        let node = Node::open(&properties).expect("the state folder is fresh");
        Self {
            dir,
            properties,
            node: Some(node),
        }
    }

    /// Ends the node in the middle of what it does; `meanwhile` sees its folder; it starts again.
    pub(crate) fn restart(&mut self, meanwhile: impl FnOnce(&GocdDir)) {
        drop(self.node.take());
        meanwhile(&self.dir);
        self.node = Some(Node::open(&self.properties).expect("the node opens again"));
    }

    /// Waits until its log has a line with this text, and returns that line.
    pub(crate) fn until_logged(&self, text: &str) -> String {
        let node = self.node.as_ref().expect("it is open");
        wait::until(&format!("the log has `{text}`"), SOON, || {
            match node.next_event(Duration::from_millis(200)) {
                Some(Event::Log { message, .. }) if message.contains(text) => Some(message),
                _ => None,
            }
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.dir.port))
    }

    /// Its key.
    pub(crate) fn key(&self) -> Fingerprint {
        let status = wait::until("the node answers", SOON, || self.status());
        status.fingerprint.expect("every node has one")
    }

    /// The status, as the local socket tells it.
    pub(crate) fn status(&self) -> Option<Status> {
        let state = self.dir.state();
        let socket = match fs::read_to_string(state.join(SOCKET_POINTER)) {
            Ok(elsewhere) => PathBuf::from(elsewhere.trim()),
            Err(_) => state.join(SOCKET),
        };
        let mut stream = UnixStream::connect(socket).ok()?;
        let order = serde_json::to_string(&Order::Status).expect("an order is plain");
        stream.write_all(format!("{order}\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        match serde_json::from_str(&line) {
            Ok(Reply::Status { status }) => Some(*status),
            _ => None,
        }
    }

    /// Waits until the status is as `wanted`.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut last = None;
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(what, SOON, || {
                last = self.status();
                last.clone().filter(|status| wanted(status))
            })
        }));
        waited.unwrap_or_else(|_| panic!("waited in vain: {what}; {last:#?}"))
    }

    /// Waits until this standby has the same file as `primary` and says that it is in sync.
    pub(crate) fn until_equal(&self, primary: &GocdDir, file: &str) {
        wait::until(&format!("{file} is the same on both"), SOON, || {
            let (theirs, ours) = (
                fs::read(primary.path().join(file)),
                fs::read(self.dir.path().join(file)),
            );
            (theirs.ok()? == ours.ok()?).then_some(())
        });
        self.until("in sync", is_in_sync);
    }

    /// Waits until the status names this trouble, and returns it with its severity.
    pub(crate) fn until_trouble(&self, text: &str) -> Severity {
        let status = self.until(&format!("a problem with `{text}`"), |status| {
            status.problems.iter().any(|problem| problem.message.contains(text))
        });
        assert!(!is_in_sync(&status), "{status:#?}");
        let problem = status.problems.iter().find(|problem| problem.message.contains(text));
        problem.expect("just found").severity
    }
}

pub(crate) fn is_in_sync(status: &Status) -> bool {
    status.sync.as_ref().is_some_and(|sync| sync.in_sync)
}

/// Reads a live file again and again, and keeps the digest of everything it ever held.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<BTreeSet<Digest>>,
}

impl Witness {
    pub(crate) fn of(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (Arc::clone(&stop), path.to_owned());
        let thread = thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                seen.extend(fs::read(&path).ok().map(|bytes| Digest::of(&bytes)));
                thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    /// The file never held anything but one of these.
    pub(crate) fn saw_only(self, whole: &[&[u8]]) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("the witness does not panic");
        let allowed: BTreeSet<Digest> = whole.iter().map(|bytes| Digest::of(bytes)).collect();
        assert!(seen.is_subset(&allowed), "the live file was torn");
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let Some(node) = self.node.take() else { return };
        node.close();
        let events = std::iter::from_fn(|| node.next_event(Duration::ZERO));
        let lines: Vec<String> = events.map(|event| format!("{event:?}")).collect();
        secrets::said("events of a node", lines.join("\n").as_bytes());
    }
}
