//! A large configuration that is rewritten in place again and again, as GoCD does it (GoConfigFileWriter truncates and
//! writes), now and then badly, and an observer who reads the standby's file without a pause.
//!
//! All versions have the same length, and every line differs from that of the version before: a file of two versions
//! would be well-formed and of the right size, and is told by the digest in its stamp alone.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bc_core::basics::Digest;
use fastrand::Rng;

use crate::nodes::Nodes;

/// Bytes of a version, about.
const SIZE: usize = 2 << 20;
/// Different bodies; neighbours never share one.
const BODIES: usize = 16;
/// Longest of the usual pauses after a rewrite: hardly long enough to read the file.
const PAUSE_MICROSECONDS: u64 = 6_000;
/// Pause after one rewrite in 20, in which a standby can follow.
const LONG_PAUSE: Duration = Duration::from_millis(30);
/// Pause of a slow writer in the middle.
const SLOW: Duration = Duration::from_millis(20);
/// How long a file stays half written.
const BROKEN: Duration = Duration::from_secs(2);
/// The observer reads a file that looks unchanged at every so many looks.
const REREADS: u32 = 50;
/// How long the last version may take.
const ARRIVES: Duration = Duration::from_secs(30);

/// What the observer saw.
#[derive(Debug, Default)]
pub struct Report {
    /// Rewrites, those that were left half done included.
    pub rewrites: u32,
    /// Rewrites with a pause in the middle.
    pub slow: u32,
    /// Rewrites that were left half done for a while.
    pub broken: u32,
    /// How often the observer read the whole file.
    pub readings: u64,
    /// Different versions that it saw.
    pub versions: usize,
    /// What it should never see: torn, empty and mixed files, and versions that were never written to their end.
    pub torn: Vec<String>,
}

/// Rewrites a primary's configuration `rewrites` times: 1 in 100 pauses in the middle, 1 in 500 stays half written.
///
/// # Errors
/// A node does not start, or the last version does not arrive.
pub fn run(rewrites: u32, seed: u64) -> Result<Report> {
    let mut random = Rng::with_seed(seed);
    let nodes = Nodes::new()?;
    let config = nodes.primary.config().join("cruise-config.xml");
    let versions = Versions::of(&config)?;
    fs::write(&config, versions.text(0))?;
    let _primary = nodes.start_primary()?;
    let _standby = nodes.start_standby()?;
    let live = nodes.standby.config().join("cruise-config.xml");
    wait_for(&live, 0)?;

    let observer = Observer::start(live.clone());
    let mut report = Report::default();
    let mut number = 0;
    for _ in 0..rewrites {
        number += 1;
        let text = versions.text(number);
        report.rewrites += 1;
        match random.u32(0..500) {
            0 => {
                report.broken += 1;
                rewrite(&config, &text.as_bytes()[..text.len() / 2], Duration::ZERO)?;
                thread::sleep(BROKEN);
                continue;
            }
            1..=5 => {
                report.slow += 1;
                rewrite(&config, text.as_bytes(), SLOW)?;
            }
            _ => rewrite(&config, text.as_bytes(), Duration::ZERO)?,
        }
        let pause = match random.u8(0..20) {
            0 => LONG_PAUSE,
            _ => Duration::from_micros(random.u64(0..PAUSE_MICROSECONDS)),
        };
        thread::sleep(pause);
    }
    number += 1;
    rewrite(&config, versions.text(number).as_bytes(), Duration::ZERO)?;
    wait_for(&live, number)?;
    let seen = observer.end()?;
    report.readings = seen.readings;
    report.versions = seen.versions.len();
    report.torn = seen.torn;
    Ok(report)
}

/// The versions of a configuration: a stamp of their own before one of some bodies.
struct Versions {
    bodies: Vec<(Digest, String)>,
}

impl Versions {
    fn of(config: &Path) -> Result<Self> {
        let template = fs::read_to_string(config)?;
        let cut = template.rfind("</cruise>").context("the configuration has an end")?;
        // The declaration goes first; the stamp follows it.
        let (_, head) = template[..cut]
            .split_once("?>")
            .context("the configuration has a declaration")?;
        let bodies = (0..BODIES).map(|number| {
            let line = format!("body {number:03} of one length, so that parts of two fit together in one file\n");
            let body = format!("{head}<!--\n{}-->\n</cruise>\n", line.repeat(SIZE / line.len()));
            (Digest::of(body.as_bytes()), body)
        });
        Ok(Self {
            bodies: bodies.collect(),
        })
    }

    fn text(&self, number: u64) -> String {
        let (digest, body) = &self.bodies[number as usize % self.bodies.len()];
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!--{number:012} {digest}-->\n{body}")
    }
}

/// The number of the version that these bytes are.
fn version_of(bytes: &[u8]) -> Result<u64> {
    ensure!(!bytes.is_empty(), "the file is empty");
    let text = std::str::from_utf8(bytes)?;
    let mut lines = text.splitn(3, '\n');
    let (_, stamp, body) = (lines.next(), lines.next(), lines.next());
    let (stamp, body) = (stamp.context("no second line")?, body.context("no third line")?);
    let stamp = stamp
        .strip_prefix("<!--")
        .and_then(|stamp| stamp.strip_suffix("-->"))
        .context("no stamp")?;
    let (number, digest) = stamp.split_once(' ').context("no digest")?;
    ensure!(
        Digest::of(body.as_bytes()).to_string() == digest,
        "a file of {} bytes begins as version {number} and goes on as something else",
        bytes.len()
    );
    Ok(number.parse()?)
}

/// Truncates and writes in place, with a pause in the middle.
fn rewrite(path: &Path, bytes: &[u8], pause: Duration) -> Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(0)?;
    let (one, other) = bytes.split_at(bytes.len() / 2);
    file.write_all(one)?;
    thread::sleep(pause);
    file.write_all(other)?;
    Ok(())
}

fn wait_for(path: &Path, number: u64) -> Result<()> {
    let started = Instant::now();
    loop {
        let found = fs::read(path).ok().and_then(|bytes| version_of(&bytes).ok());
        if found == Some(number) {
            return Ok(());
        }
        if started.elapsed() > ARRIVES {
            bail!("version {number} did not arrive within {ARRIVES:?}: {found:?} is live");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Debug, Default)]
struct Seen {
    readings: u64,
    versions: BTreeSet<u64>,
    torn: Vec<String>,
}

impl Seen {
    /// Reads the file once; `last` is what was there before.
    fn read(&mut self, live: &Path, last: &mut Vec<u8>) {
        self.readings += 1;
        let bytes = match fs::read(live) {
            Ok(bytes) if bytes == *last => return,
            Ok(bytes) => bytes,
            Err(problem) => {
                self.torn.push(format!("the file cannot be read: {problem}"));
                return;
            }
        };
        match version_of(&bytes) {
            Ok(number) => {
                if self.versions.last().is_some_and(|newest| *newest > number) {
                    self.torn.push(format!("version {number} came after a newer one"));
                }
                self.versions.insert(number);
            }
            Err(problem) => self.torn.push(format!("{problem:#}")),
        }
        *last = bytes;
    }
}

/// Reads the standby's file on a thread of its own.
struct Observer {
    thread: thread::JoinHandle<Seen>,
    stop: Arc<AtomicBool>,
}

impl Observer {
    fn start(live: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut last = Vec::new();
            let mut looks = 0_u32;
            let mut stamp = None;
            while !stopped.load(Ordering::SeqCst) {
                let found = fs::metadata(&live)
                    .ok()
                    .map(|file| (file.ino(), file.mtime_nsec(), file.ctime_nsec()));
                // A file that looks unchanged is read now and then all the same.
                if found.is_none() || found != stamp || looks.is_multiple_of(REREADS) {
                    seen.read(&live, &mut last);
                    stamp = found;
                }
                looks = looks.wrapping_add(1);
                thread::sleep(Duration::from_micros(200));
            }
            seen
        });
        Self { thread, stop }
    }

    fn end(self) -> Result<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(seen) => Ok(seen),
            Err(_) => bail!("the observer failed"),
        }
    }
}
