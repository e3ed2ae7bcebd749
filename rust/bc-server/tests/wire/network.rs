//! Two whole nodes and a network between them that fails in every way.
//!
//! In each case the standby says what is wrong while it lasts, is in sync when it is over, and its live files are
//! never anything but whole.

use std::{fs, time::Duration};

use bc_core::basics::Severity;
use bc_testkit::{
    fault_proxy::{Fault, FaultProxy},
    gocd_dir::write_large_plugin_jar,
    wait,
};

use crate::whole::{SOON, Whole, Witness};

const CONFIG: &str = "config/cruise-config.xml";
const JAR: &str = "plugins/external/large.jar";
/// Length of a plugin that takes a while.
const LARGE: usize = 2_000_000;
/// What TLS, manifests and requests that are made again may add to it.
const OVERHEAD: u64 = 500_000;
/// How long a standby waits for a byte here.
const PATIENCE: Duration = Duration::from_secs(1);

/// A primary, the network, and a standby that is in sync.
struct Pair {
    primary: Whole,
    network: FaultProxy,
    standby: Whole,
}

impl Pair {
    fn in_sync() -> Self {
        let primary = Whole::primary();
        let network = FaultProxy::start(primary.address());
        let standby = Whole::standby(network.address(), primary.key(), PATIENCE);
        standby.until_equal(&primary.dir, CONFIG);
        Self {
            primary,
            network,
            standby,
        }
    }

    /// Saves another configuration on the primary; what it was and what it is.
    fn edit(&self) -> (String, String) {
        let before = fs::read_to_string(self.primary.dir.path().join(CONFIG)).expect("read");
        let after = before.replace("up42", "up43");
        assert_ne!(before, after);
        self.primary.dir.rewrite_config(&after);
        (before, after)
    }

    fn add_large_plugin(&self, version: &str) -> Vec<u8> {
        let path = self.primary.dir.path().join(JAR);
        write_large_plugin_jar(&path, "large", version, LARGE);
        fs::read(path).expect("just written")
    }

    /// Edits while `fault` lasts; the standby must say `trouble` meanwhile, and have the edit afterwards.
    fn survives(&self, fault: Fault, trouble: &str) -> Severity {
        let witness = Witness::of(&self.standby.dir.path().join(CONFIG));
        self.network.set(fault);
        let (before, after) = self.edit();
        let severity = self.standby.until_trouble(trouble);
        self.network.set(Fault::None);
        self.standby.until_equal(&self.primary.dir, CONFIG);
        witness.saw_only(&[before.as_bytes(), after.as_bytes()]);
        let status = self.standby.status().expect("it runs");
        assert!(
            status.problems.iter().all(|problem| !problem.message.contains(trouble)),
            "{:?}",
            status.problems
        );
        severity
    }

    /// A large plugin crosses although each connection ends early, and no byte of it crosses twice.
    fn carries_a_large_plugin_through(&self, fault: Fault) {
        let witness = Witness::of(&self.standby.dir.path().join(JAR));
        self.network.set(fault);
        let (bytes, connections) = (self.network.delivered(), self.network.connections());
        let jar = self.add_large_plugin("1");
        self.standby.until_equal(&self.primary.dir, JAR);
        let bytes = self.network.delivered() - bytes;
        assert!(
            bytes < LARGE as u64 + OVERHEAD,
            "{bytes} bytes crossed: the transfer began anew"
        );
        assert!(self.network.connections() > connections, "nothing broke");
        witness.saw_only(&[&jar]);
    }
}

#[test]
fn an_edit_of_a_large_configuration_takes_a_few_bytes() {
    let pair = Pair::in_sync();
    let config = fs::read_to_string(pair.primary.dir.path().join(CONFIG)).expect("read");
    // An XML comment, since the rules for whole sets read the rest.
    let remarks: String = (0..20_000)
        .map(|number| format!("<!-- a remark with the number {number} -->\n"))
        .collect();
    let large = config.replacen("</cruise>", &format!("{remarks}</cruise>"), 1);
    pair.primary.dir.rewrite_config(&large);
    pair.standby.until_equal(&pair.primary.dir, CONFIG);
    let received = || pair.standby.status().expect("it runs").counters.received;
    let before = received();
    pair.primary
        .dir
        .rewrite_config(&large.replace("number 9000 ", "number nine thousand "));
    pair.standby.until_equal(&pair.primary.dir, CONFIG);
    let after = received();
    assert_eq!((after.files, after.broken), (before.files + 1, before.broken));
    assert!(
        after.bytes - before.bytes < 1_000,
        "{} bytes came",
        after.bytes - before.bytes
    );
    // What was changed on the standby since is no former version of anything: the next edit comes whole, and is right.
    fs::write(pair.standby.dir.path().join(CONFIG), large.replace("number 8000 ", "")).expect("write");
    pair.primary
        .dir
        .rewrite_config(&large.replace("number 9000 ", "number 9001 "));
    pair.standby.until_equal(&pair.primary.dir, CONFIG);
}

#[test]
fn a_cut_line() {
    Pair::in_sync().survives(Fault::Cut, "cannot reach the primary");
}

#[test]
fn a_half_open_line() {
    Pair::in_sync().survives(Fault::HalfOpen, "sent nothing for");
}

#[test]
fn a_line_with_one_byte_a_second() {
    // It sends nothing in an answer, or takes too long for a handshake where no connection was open just then.
    Pair::in_sync().survives(Fault::Trickle, "the primary at https://");
}

#[test]
fn resets_in_the_middle_of_a_blob() {
    Pair::in_sync().carries_a_large_plugin_through(Fault::ResetAfter(700_000));
}

#[test]
fn answers_that_are_cut_short() {
    Pair::in_sync().carries_a_large_plugin_through(Fault::TruncateAfter(700_000));
}

#[test]
fn a_line_that_falls_silent_in_the_middle_of_a_blob() {
    Pair::in_sync().carries_a_large_plugin_through(Fault::SilentAfter(900_000));
}

#[test]
fn answers_that_overtake_each_other() {
    let pair = Pair::in_sync();
    pair.network.set(Fault::Shuffled);
    for number in 0..12 {
        let path = pair.primary.dir.plugins().join(format!("p{number}.jar"));
        write_large_plugin_jar(&path, &format!("p{number}"), "1", 30_000);
    }
    pair.edit();
    pair.standby.until_equal(&pair.primary.dir, CONFIG);
    for number in 0..12 {
        let name = format!("plugins/external/p{number}.jar");
        pair.standby.until_equal(&pair.primary.dir, &name);
    }
}

#[test]
fn a_standby_that_restarts_in_the_middle_of_a_blob_goes_on_from_there() {
    let mut pair = Pair::in_sync();
    pair.network.set(Fault::SilentAfter(900_000));
    let bytes = pair.network.delivered();
    pair.add_large_plugin("1");
    let blobs = pair.standby.dir.state().join("blobs");
    wait::until("half of it is on the disk", SOON, || {
        let files = fs::read_dir(&blobs).ok()?.flatten();
        let mut sizes = files.filter_map(|file| Some((file.file_name(), file.metadata().ok()?.len())));
        sizes.find(|(name, size)| name.to_string_lossy().ends_with(".partial") && *size >= 700_000)
    });
    pair.standby.restart(|dir| {
        let record = dir.state().join("applied.json");
        fs::write(record, "{\"format\":1,\"ser").expect("a crash that the disk did not survive well");
    });
    pair.network.set(Fault::None);
    pair.standby.until_equal(&pair.primary.dir, JAR);
    let bytes = pair.network.delivered() - bytes;
    assert!(bytes < LARGE as u64 + OVERHEAD, "{bytes} bytes crossed");
}

#[test]
fn a_plugin_that_is_replaced_while_it_is_sent() {
    let pair = Pair::in_sync();
    for in_place in [true, false] {
        pair.network.set(Fault::SilentAfter(900_000));
        let bytes = pair.network.delivered();
        let first = pair.add_large_plugin("1");
        wait::until("half of it came", SOON, || {
            (pair.network.delivered() >= bytes + 800_000).then_some(())
        });
        let witness = Witness::of(&pair.standby.dir.path().join(JAR));
        let path = pair.primary.dir.path().join(JAR);
        if in_place {
            let other = pair.primary.dir.path().join("other.jar");
            write_large_plugin_jar(&other, "large", "2", LARGE);
            fs::write(&path, fs::read(other).expect("read")).expect("over the old one");
        } else {
            pair.add_large_plugin("3");
        }
        pair.network.set(Fault::None);
        pair.standby.until_equal(&pair.primary.dir, JAR);
        let now = fs::read(path).expect("read");
        assert_ne!(now, first);
        let former = fs::read(pair.primary.dir.path().join("former.jar")).unwrap_or_default();
        witness.saw_only(&[&now, &former]);
        fs::write(pair.primary.dir.path().join("former.jar"), now).expect("write");
    }
}

#[test]
fn a_token_that_is_changed_on_the_primary_stops_the_sync_until_it_is_changed_here_too() {
    let pair = Pair::in_sync();
    pair.primary.dir.write_token("business-continuity = another-one\n");
    let severity = pair.standby.until_trouble("refuses our token");
    assert_eq!(severity, Severity::Critical);
    pair.edit();
    pair.standby.dir.write_token("business-continuity = another-one\n");
    pair.standby.until_equal(&pair.primary.dir, CONFIG);
}
