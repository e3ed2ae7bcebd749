//! A first sync of many bytes: memory stays flat on both nodes, and what came before a cut or a kill is not sent again.

use std::{
    fs::File,
    io::Write,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bc_testkit::fault_proxy::{Fault, FaultProxy};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::nodes::{Memory, Nodes};

/// Bytes of one plugin.
const JAR: u64 = 64 << 20;
/// How long everything may take.
const ARRIVES: Duration = Duration::from_secs(600);

/// What was measured.
#[derive(Debug)]
pub struct Report {
    /// Bytes of all plugins.
    pub bytes: u64,
    /// Bytes that came over the cable, TLS included.
    pub delivered: u64,
    /// The most that was resident on the primary.
    pub primary_peak: u64,
    /// The most that was resident on the standby, the one that was killed included.
    pub standby_peak: u64,
    /// How long the whole sync took.
    pub took: Duration,
}

impl Report {
    /// As one line of JSON.
    pub fn json(&self) -> Value {
        json!({
            "bytes": self.bytes,
            "delivered": self.delivered,
            "primary_peak_bytes": self.primary_peak,
            "standby_peak_bytes": self.standby_peak,
            "sync_seconds": self.took.as_secs_f64(),
        })
    }
}

/// Syncs about so many bytes of plugins. After a third the network is cut, after two thirds the standby is killed.
///
/// # Errors
/// A node ends, or the bytes do not arrive.
pub fn run(bytes: u64) -> Result<Report> {
    let nodes = Nodes::new()?;
    let count = (bytes / JAR).max(3);
    for number in 0..count {
        write_jar(&nodes.primary.plugins().join(format!("large-{number}.jar")), number)?;
    }
    let primary = nodes.start_primary()?;
    let network = FaultProxy::start(([127, 0, 0, 1], nodes.primary.port).into());
    let started = Instant::now();
    let wait_for = |what: &str, is_so: &dyn Fn() -> bool| -> Result<()> {
        while !is_so() {
            ensure!(started.elapsed() < ARRIVES, "waited {ARRIVES:?} in vain: {what}");
            sleep(Duration::from_millis(2));
        }
        Ok(())
    };
    let port = network.address().port();
    let mut standby = nodes.start_standby_through(port)?;
    let total = count * JAR;
    wait_for("a third came", &|| network.delivered() > total / 3)?;
    network.set(Fault::Cut);
    sleep(Duration::from_millis(100));
    network.set(Fault::None);
    wait_for("two thirds came", &|| network.delivered() > total * 2 / 3)?;
    let before = Memory::of(&standby)?;
    standby.signal(Signal::SIGKILL);
    standby.wait_for_end(Duration::from_secs(10));
    standby = nodes.start_standby_through(port)?;
    let last = nodes.standby.config().join("cruise-config.xml");
    let config = std::fs::read(nodes.primary.config().join("cruise-config.xml"))?;
    // The configuration comes live after all plugins.
    std::fs::remove_file(&last).context("the standby has the sample configuration")?;
    wait_for("everything is live", &|| {
        std::fs::read(&last).is_ok_and(|live| live == config)
            && (0..count).all(|number| nodes.standby.plugins().join(format!("large-{number}.jar")).exists())
    })?;
    Ok(Report {
        bytes: total,
        delivered: network.delivered(),
        primary_peak: Memory::of(&primary)?.peak,
        standby_peak: Memory::of(&standby)?.peak.max(before.peak),
        took: started.elapsed(),
    })
}

/// A jar of [`JAR`] bytes: a descriptor, and a filling without a pattern, other than that of every other number.
fn write_jar(path: &Path, number: u64) -> Result<()> {
    let staged = path.with_extension("staged");
    let mut jar = zip::ZipWriter::new(File::create(&staged)?);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    jar.start_file("plugin.xml", options)?;
    write!(
        jar,
        "<?xml version=\"1.0\"?><go-plugin id=\"large.{number}\" version=\"1\"><about><name>{number}</name>\
         <version>1</version></about></go-plugin>"
    )?;
    jar.start_file("filling", options)?;
    let mut block = vec![0; 1 << 20];
    fastrand::Rng::with_seed(number).fill(&mut block);
    for count in 0..JAR >> 20 {
        block[..8].copy_from_slice(&count.to_le_bytes());
        jar.write_all(&block)?;
    }
    jar.finish()?;
    std::fs::rename(&staged, path)?;
    Ok(())
}
