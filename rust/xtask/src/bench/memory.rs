//! What the jar adds to GoCD's JVM: resident memory with and without it, at a fixed heap that is touched at the start.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Bench,
    numbers::{Goal, Numbers},
    process,
};
use crate::{
    demo::http,
    natives::place,
    ports,
    project::{JAR, Variant},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Until the JVM has compiled and collected what its start left.
const SETTLE: Duration = Duration::from_secs(8);
/// Starts with the jar and as many without, one after the other.
const STARTS: usize = 5;

pub(crate) fn measure(bench: &Bench<'_>, numbers: &mut Numbers) -> Result<()> {
    let starts = if bench.scope.is_quick { 1 } else { STARTS };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        without.push(resident_mib(bench, false)?);
        with.push(resident_mib(bench, true)?);
    }
    let (with, without) = (median(with), median(without));
    numbers.add("JVM without the jar, median", "MiB", Goal::None, without);
    numbers.add("JVM with the jar as plugin and agent, median", "MiB", Goal::None, with);
    numbers.add("memory that the jar adds", "MiB", Goal::Under(15.0), with - without);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn resident_mib(bench: &Bench<'_>, has_jar: bool) -> Result<f64> {
    let folder = bench.folder.join("memory");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let sample = bench.project.path("tests/fixtures/data/config");
    for entry in fs::read_dir(&sample).with_context(|| format!("cannot read {}", sample.display()))? {
        let entry = entry?;
        place(&entry.path(), &folder.join("config").join(entry.file_name()))?;
    }
    fs::write(
        folder.join("config/business-continuity-token"),
        "bench = 0123456789abcdef\n",
    )?;
    fs::create_dir_all(folder.join("plugins/external"))?;
    let [gocd, sync] = ports::free()?;
    let mut words = vec![
        "-Xms128m".to_owned(),
        "-Xmx128m".to_owned(),
        "-XX:+AlwaysPreTouch".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        "-Dcruise.listen.host=127.0.0.1".to_owned(),
        format!("-Dcruise.server.port={gocd}"),
        format!("-Dbc.listen=127.0.0.1:{sync}"),
    ];
    if has_jar {
        place(
            &bench.project.jar(Variant::Optimised),
            &folder.join("plugins/external").join(JAR),
        )?;
        words.push(format!("-javaagent:plugins/external/{JAR}"));
    }
    let log = File::create(folder.join("jvm.log")).context("cannot write jvm.log")?;
    let mut java = bench.project.command(bench.tools.jdk.program("java"));
    java.args(&words)
        .arg("-jar")
        .arg(bench.project.host_jar())
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let jvm = Jvm(java.spawn().context("cannot start java")?);
    wait_for("GoCD answers", &folder, || {
        http::get(gocd, "/go/api/v1/health", "*/*")
            .is_ok_and(|answer| answer.is_some_and(|answer| answer.status == 200))
    })?;
    if has_jar {
        wait_for("our port is open", &folder, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, sync)).is_ok()
        })?;
    }
    thread::sleep(SETTLE);
    Ok(process::resident_kib(jvm.0.id())? / 1024.0)
}

fn wait_for(what: &str, folder: &Path, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        ensure!(
            Instant::now() < end,
            "{what}: not within {} s; see {}",
            PATIENCE.as_secs(),
            folder.join("jvm.log").display()
        );
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A JVM that is ended when dropped.
struct Jvm(Child);

impl Drop for Jvm {
    fn drop(&mut self) {
        // Its memory was read; nothing of it is needed any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
