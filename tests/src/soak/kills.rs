//! SIGKILL at random instants: of the standby while it applies, of the primary while it sends.
//!
//! After a kill of the standby it is started again while the primary stands still, so what is live then is what the
//! start alone made of it. It must be exactly one set, and none older than one that was live before.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bc_testkit::process::Process;
use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::sets::{Live, Sets, stop};
use crate::nodes::Nodes;

/// One pair of nodes is used for so many kills; then a new one begins, from nothing.
const KILLS_OF_A_PAIR: u32 = 50;
/// How long a standby may take to catch up.
const CATCHES_UP: Duration = Duration::from_secs(60);
/// How long something is waited for at which a kill is aimed.
const AIMS: Duration = Duration::from_millis(300);
/// Bytes of the configuration.
const CONFIG: usize = 300 << 10;
/// Bytes of the largest plugin.
const JAR: usize = 600 << 10;

/// What came of many kills.
#[derive(Debug, Default)]
pub struct Report {
    /// Of the standby.
    pub standby: u32,
    /// Of the primary.
    pub primary: u32,
    /// Kills of the standby that left a journal, which the next start had to finish.
    pub left_journal: u32,
    /// Kills of the standby that left other files than one whole set, before the next start.
    pub left_parts: u32,
    /// Times when a start was killed too.
    pub in_start: u32,
    /// Times when what was live after a start was not exactly one set, or an older one than before.
    pub bad_sets: Vec<String>,
    /// Anything else that went wrong: a node that did not start or did not catch up.
    pub failures: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// As one line of JSON.
    pub fn json(&self, seed: u64) -> Value {
        let kills = self.standby + self.primary;
        json!({
            "kills": kills,
            "bad_sets": self.bad_sets.len(),
            "failures": self.failures.len(),
            "of_standby": self.standby,
            "of_primary": self.primary,
            "left_journal": self.left_journal,
            "left_parts": self.left_parts,
            "in_start": self.in_start,
            "seconds": self.took.as_secs(),
            "kills_per_minute": (f64::from(kills) * 60.0 / self.took.as_secs_f64()).round(),
            "seed": seed,
        })
    }

    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.bad_sets.is_empty() && self.failures.is_empty()
    }
}

/// Kills `kills` times. The folders of a pair with a bad set are kept, and another pair goes on.
pub fn run(kills: u32, seed: u64) -> Report {
    let mut report = Report::default();
    let mut random = Rng::with_seed(seed);
    let started = Instant::now();
    let mut left = kills;
    while left > 0 {
        let count = left.min(KILLS_OF_A_PAIR);
        left -= count;
        let done = report.standby + report.primary;
        match Round::start(random.fork()) {
            Ok(mut round) => {
                if let Err(problem) = round.run(count, &mut report) {
                    let problem = format!("seed {seed}, kill {}: {problem:#}", report.standby + report.primary);
                    let problem = format!("{problem}; kept {}", round.keep());
                    eprintln!("{problem}");
                    report.failures.push(problem);
                }
            }
            Err(problem) => report.failures.push(format!("seed {seed}, kill {done}: {problem:#}")),
        }
        eprintln!("{}", report_line(&report, started.elapsed()));
        if report.failures.len() > 5 {
            break;
        }
    }
    report.took = started.elapsed();
    report
}

fn report_line(report: &Report, elapsed: Duration) -> String {
    format!(
        "{} kills in {} s, {} bad sets, {} other failures",
        report.standby + report.primary,
        elapsed.as_secs(),
        report.bad_sets.len(),
        report.failures.len()
    )
}

/// At what a kill is aimed.
#[derive(Debug, Clone, Copy)]
enum Aim {
    /// At any instant after the change.
    Anywhere,
    /// At the journal.
    Journal,
    /// At the renames between journal and record.
    Renames,
    /// At the bytes that come in and the files that are staged.
    Staging,
}

struct Round {
    nodes: Nodes,
    sets: Sets,
    random: Rng,
    primary: Process,
    standby: Process,
    /// The newest set that was seen live.
    live: u64,
}

impl Round {
    fn start(mut random: Rng) -> Result<Self> {
        let nodes = Nodes::new()?;
        let mut sets = Sets::new(&nodes.primary, CONFIG, JAR)?;
        sets.write_next(&nodes.primary, &mut random)?;
        let primary = nodes.start_primary()?;
        sets.wait_until_offered(&nodes.primary)?;
        let standby = nodes.start_standby()?;
        let mut round = Self {
            nodes,
            sets,
            random,
            primary,
            standby,
            live: 0,
        };
        round.wait_until_newest()?;
        Ok(round)
    }

    fn keep(self) -> String {
        eprintln!(
            "primary:\n{}\nstandby:\n{}",
            self.primary.output(),
            self.standby.output()
        );
        self.nodes.keep()
    }

    fn run(&mut self, count: u32, report: &mut Report) -> Result<()> {
        for number in 0..count {
            let bad = report.bad_sets.len();
            if self.random.u8(0..4) == 0 {
                report.primary += 1;
                self.kill_primary(report)?;
            } else {
                report.standby += 1;
                self.kill_standby(report)?;
            }
            if report.bad_sets.len() > bad {
                bail!("a bad set: {}", report.bad_sets[bad]);
            }
            if number % 10 == 9 {
                self.wait_until_newest()?;
            }
        }
        Ok(())
    }

    fn kill_standby(&mut self, report: &mut Report) -> Result<()> {
        self.sets
            .write_next_behind(&self.nodes.primary, &self.primary, &mut self.random)?;
        let aim = match self.random.u8(0..6) {
            0 => Aim::Journal,
            1 => Aim::Staging,
            2 | 3 => Aim::Renames,
            _ => Aim::Anywhere,
        };
        self.wait_for(aim);
        kill(&mut self.standby);
        if self.nodes.standby.state().join("journal.json").exists() {
            report.left_journal += 1;
        }
        // The set may have come live in the same instant in which the ledger said so.
        self.sets.wait_until_offered(&self.nodes.primary)?;
        if self.sets.live(&self.nodes.standby).is_err() {
            report.left_parts += 1;
        }
        stop(&self.primary);
        while self.random.u8(0..5) == 0 {
            report.in_start += 1;
            let mut starting = Process::start("standby", &mut self.nodes.standby_command());
            sleep(Duration::from_micros(self.random.u64(0..60_000)));
            kill(&mut starting);
        }
        let again = self.nodes.start_standby();
        if again.is_ok() {
            self.check_live(report);
        }
        self.primary.signal(Signal::SIGCONT);
        self.standby = again?;
        Ok(())
    }

    fn kill_primary(&mut self, report: &mut Report) -> Result<()> {
        self.sets
            .write_next_behind(&self.nodes.primary, &self.primary, &mut self.random)?;
        let aim = match self.random.u8(0..2) {
            0 => Aim::Staging,
            _ => Aim::Anywhere,
        };
        self.wait_for(aim);
        kill(&mut self.primary);
        self.primary = self.nodes.start_primary()?;
        self.sets.wait_until_offered(&self.nodes.primary)?;
        self.stop_between_applies();
        self.check_live(report);
        self.standby.signal(Signal::SIGCONT);
        Ok(())
    }

    /// Stops the running standby where no apply is under way: it follows the primary at any moment, and else the look
    /// at its files would be at two sets. Without a journal no set of several files is half live.
    fn stop_between_applies(&self) {
        let journal = self.nodes.standby.state().join("journal.json");
        let started = Instant::now();
        loop {
            stop(&self.standby);
            // Where the apply has no end, whoever looks next says what is live.
            if !journal.exists() || started.elapsed() > CATCHES_UP {
                return;
            }
            self.standby.signal(Signal::SIGCONT);
            sleep(Duration::from_millis(5));
        }
    }

    /// Checks what is live while nobody writes.
    fn check_live(&mut self, report: &mut Report) {
        match self.sets.live(&self.nodes.standby) {
            Ok(Live::Set(number)) if number < self.live => {
                report
                    .bad_sets
                    .push(format!("set {number} is live after set {}", self.live));
            }
            Ok(Live::Set(number)) => self.live = number,
            Ok(Live::Between) => {}
            Err(problem) => report.bad_sets.push(format!("{problem:#}")),
        }
    }

    /// Waits for the instant of a kill.
    fn wait_for(&mut self, aim: Aim) {
        let state = self.nodes.standby.state();
        let journal = state.join("journal.json");
        let deadline = Instant::now() + AIMS;
        match aim {
            Aim::Anywhere => sleep(Duration::from_micros(self.random.u64(0..200_000))),
            Aim::Journal => {
                watch(deadline, || journal.exists());
                spin(Duration::from_micros(self.random.u64(0..3_000)));
            }
            Aim::Renames => {
                watch(deadline, || journal.exists());
                // Each rename takes a staged file away.
                let plugins = self.nodes.standby.plugins();
                let staged = count_files(&plugins);
                watch(deadline, || count_files(&plugins) != staged || !journal.exists());
                spin(Duration::from_micros(self.random.u64(0..200)));
            }
            Aim::Staging => {
                let blobs = state.join("blobs");
                let before = count_files(&blobs);
                watch(deadline, || count_files(&blobs) != before);
                spin(Duration::from_micros(self.random.u64(0..15_000)));
            }
        }
    }

    fn wait_until_newest(&mut self) -> Result<()> {
        let newest = self.sets.newest();
        let started = Instant::now();
        while self.sets.live(&self.nodes.standby).ok() != Some(Live::Set(newest)) {
            ensure!(
                self.standby.is_running() && self.primary.is_running(),
                "a node ended by itself"
            );
            ensure!(
                started.elapsed() < CATCHES_UP,
                "the standby did not reach set {newest} within {CATCHES_UP:?}"
            );
            sleep(Duration::from_millis(5));
        }
        self.live = newest;
        Ok(())
    }
}

fn kill(process: &mut Process) {
    process.signal(Signal::SIGKILL);
    process.wait_for_end(Duration::from_secs(10));
}

fn count_files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Looks without a pause until it is so, or until the deadline.
fn watch(deadline: Instant, mut is_so: impl FnMut() -> bool) {
    while !is_so() && Instant::now() < deadline {
        std::hint::spin_loop();
    }
}

/// Waits without giving the processor away, for times below the scheduler's.
fn spin(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A seed from the environment variable `BC_SEED`, else a new one.
///
/// # Errors
/// The variable is not a number.
pub fn seed() -> Result<u64> {
    match std::env::var("BC_SEED") {
        Ok(text) => text.parse().context("BC_SEED is a whole number"),
        Err(_) => Ok(fastrand::u64(0..1 << 53)),
    }
}
