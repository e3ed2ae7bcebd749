//! A primary and a standby with the harness's data, run by one of our contestants.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Bench;
use crate::{command, digest, project::JAR};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
const PRIMARY: &str = "0";
const STANDBY: &str = "1";

/// Two nodes; ended when this is dropped.
pub(crate) struct Site<'a> {
    bench: &'a Bench<'a>,
    contestant: &'static str,
    folder: PathBuf,
    edits: u32,
}

impl<'a> Site<'a> {
    /// Makes fresh data and the nodes' folders. Nothing runs yet.
    pub(crate) fn prepare(bench: &'a Bench<'a>, contestant: &'static str, megabytes: u32) -> Result<Self> {
        let folder = bench.folder.join("site");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let site = Self {
            bench,
            contestant,
            folder,
            edits: 0,
        };
        for name in ["destination", "state"] {
            let path = site.folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        make_data(bench, &site.folder.join("source"), megabytes)?;
        let folders = ["source", "destination", "state"].map(|name| site.folder.join(name));
        command::run(bench.contestant(contestant).arg("prepare").args(folders))?;
        Ok(site)
    }

    /// Starts both nodes and waits until the standby has everything. Returns the process ids of primary and standby.
    pub(crate) fn start(&self) -> Result<Vec<u32>> {
        let pids = self.verb("start", &[PRIMARY, STANDBY])?;
        self.wait_for_sync()?;
        Ok(pids)
    }

    /// Ends the standby, and nothing else.
    pub(crate) fn stop_standby(&self) -> Result<()> {
        self.verb("stop", &[STANDBY]).map(drop)
    }

    /// Starts the standby again.
    pub(crate) fn start_standby(&self) -> Result<()> {
        self.verb("start", &[STANDBY]).map(drop)
    }

    /// Edits the primary's cruise-config.xml as GoCD writes it (`GoConfigFileWriter`: truncate, write, close).
    pub(crate) fn edit(&mut self) -> Result<()> {
        let path = self.config("source");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.edits += 1;
        let end = "</environmentvariables>";
        let (before, after) = text.split_once(end).context("the configuration has no variables")?;
        let variable = format!("<variable name=\"EDIT_{}\"><value>1</value></variable>", self.edits);
        let mut file = File::options().write(true).truncate(true).open(&path)?;
        file.write_all(format!("{before}{variable}{end}{after}").as_bytes())
            .with_context(|| format!("cannot rewrite {}", path.display()))
    }

    /// Waits until the standby's configuration is the primary's; how long that took.
    pub(crate) fn wait_for_config(&self) -> Result<Duration> {
        let begun = Instant::now();
        let wanted = digest::of_file(&self.config("source"))?;
        let path = self.config("destination");
        while digest::of_file(&path).ok().as_ref() != Some(&wanted) {
            self.must_be_patient(begun)?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    fn wait_for_sync(&self) -> Result<()> {
        self.wait_for_config()?;
        let begun = Instant::now();
        let count = |name: &str| {
            let jars = fs::read_dir(self.folder.join(name).join("plugins/external"))
                .into_iter()
                .flatten()
                .flatten();
            jars.filter(|entry| entry.file_name() != JAR).count()
        };
        while count("source") != count("destination") {
            self.must_be_patient(begun)?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn must_be_patient(&self, begun: Instant) -> Result<()> {
        if begun.elapsed() > PATIENCE {
            bail!(
                "the standby of {} has not caught up; see the logs in {}",
                self.contestant,
                self.folder.join("state").display()
            );
        }
        Ok(())
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("config/cruise-config.xml")
    }

    fn verb(&self, verb: &str, nodes: &[&str]) -> Result<Vec<u32>> {
        let mut command = self.bench.contestant(self.contestant);
        command.arg(verb).arg(self.folder.join("state")).args(nodes);
        let answer = command::read(command.stderr(Stdio::inherit()))?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
        let pids = answer["pids"].as_array().cloned().unwrap_or_default();
        Ok(pids
            .iter()
            .filter_map(|pid| u32::try_from(pid.as_u64()?).ok())
            .collect())
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        if self.folder.join("state/site.json").exists()
            && let Err(error) = self.verb("stop", &[])
        {
            eprintln!("cannot end the nodes of {}: {error:#}", self.contestant);
        }
    }
}

/// 200 jars and a configuration of 2 MB, the same as the harness uses.
fn make_data(bench: &Bench<'_>, folder: &Path, megabytes: u32) -> Result<()> {
    const PROGRAM: &str = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from peerbench import \
                           dataset as d; d.build(Path(sys.argv[2]), 1, 200, int(sys.argv[3]) * 1000000, \
                           d.CruiseConfig(1, 2000000))";
    let mut python = bench.with_artefacts("python3".into());
    python.args(["-c", PROGRAM]).arg(&bench.harness).arg(folder);
    command::run(python.arg(megabytes.to_string()))
}
