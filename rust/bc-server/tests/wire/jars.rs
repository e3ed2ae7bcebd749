//! Jars that come slowly, in pieces, broken or again and again: no edit of the configuration waits for them, the
//! standby has each of them whole or as it was, and none is sent more often than it has to be.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use bc_testkit::{gocd_dir::write_large_plugin_jar, wait};

use crate::whole::{SOON, Whole, Witness, is_in_sync};

const CONFIG: &str = "config/cruise-config.xml";
/// Two orders of magnitude more than all configurations that are sent in a test.
const FILLING: usize = 3_000_000;

/// A primary and a standby that are in sync.
struct Pair {
    primary: Whole,
    standby: Whole,
    edits: AtomicU32,
}

impl Pair {
    fn new() -> Self {
        let primary = Whole::primary();
        let standby = Whole::standby(primary.address(), primary.key(), SOON);
        standby.until_equal(&primary.dir, CONFIG);
        Self {
            primary,
            standby,
            edits: AtomicU32::new(0),
        }
    }

    /// Edits the configuration, and waits until the edit is live on the standby. That it took no plugin's patience is
    /// why this fails before a plugin's patience is over.
    fn edit(&self) {
        let number = self.edits.fetch_add(1, Ordering::Relaxed);
        let path = self.primary.dir.path().join(CONFIG);
        let text = fs::read_to_string(&path).expect("the sample");
        self.primary
            .dir
            .rewrite_config(&text.replace("</cruise>", &format!("<!-- edit {number} -->\n</cruise>")));
        wait::until("the edit is live", SOON, || {
            (fs::read(self.live(CONFIG)).ok()? == fs::read(&path).ok()?).then_some(())
        });
    }

    fn plugin(&self, name: &str) -> PathBuf {
        self.primary.dir.plugins().join(name)
    }

    fn live(&self, file: &str) -> PathBuf {
        self.standby.dir.path().join(file)
    }

    fn live_plugin(&self, name: &str) -> PathBuf {
        self.standby.dir.plugins().join(name)
    }

    /// Bytes that the primary has sent.
    fn sent(&self) -> u64 {
        self.primary.status().expect("it answers").counters.sent.bytes
    }

    fn until_live(&self, name: &str, bytes: &[u8]) {
        let path = self.live_plugin(name);
        wait::until(&format!("{name} is live"), SOON, || {
            (fs::read(&path).ok()? == bytes).then_some(())
        });
    }
}

/// The bytes of a plugin.
fn plugin(version: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.jar");
    write_large_plugin_jar(&path, "a", version, FILLING);
    fs::read(path).expect("just written")
}

/// Two versions of a plugin, which differ in their contents alone.
fn of_one_length() -> [Vec<u8>; 2] {
    let first = plugin("2");
    let mut others = (3..100).map(|version| plugin(&version.to_string()));
    let second = others.find(|other| other.len() == first.len());
    [first, second.expect("most are as long")]
}

fn replace(path: PathBuf, bytes: &[u8]) {
    let staged = path.with_extension("part");
    fs::write(&staged, bytes).expect("write");
    fs::rename(staged, path).expect("move in");
}

#[test]
fn a_jar_that_grows_slowly_holds_up_no_edit_and_is_sent_once() {
    let pair = Pair::new();
    let (bytes, before) = (plugin("1"), pair.sent());
    let mut file = File::create(pair.plugin("a.jar")).expect("create");
    for piece in bytes.chunks(FILLING / 4) {
        file.write_all(piece).expect("write");
        pair.edit();
        assert!(!pair.live_plugin("a.jar").exists(), "nothing of it is whole");
        for node in [&pair.primary, &pair.standby] {
            let status = node.until("it is waited for", |status| status.awaited_line().is_some());
            let line = status.awaited_line().expect("just seen");
            assert!(
                line.contains("a.jar has been in the making on the primary for "),
                "{line}"
            );
            let is_trouble = status.problems.iter().any(|problem| problem.message.contains("a.jar"));
            assert!(!is_trouble, "nobody has to do anything: {status:#?}");
        }
        pair.standby.until("the headline says so", |status| {
            status.headline().contains("but for what is being written")
        });
    }
    drop(file);
    pair.until_live("a.jar", &bytes);
    pair.standby
        .until("in sync", |status| is_in_sync(status) && status.awaited.is_empty());
    pair.edit();
    let sent = pair.sent() - before;
    assert!(sent < 2 * bytes.len() as u64, "{sent} for {}", bytes.len());
}

#[test]
fn a_jar_that_is_none_holds_up_no_edit() {
    let pair = Pair::new();
    let whole = plugin("1");
    for (name, bytes) in [
        ("empty.jar", &b""[..]),
        ("text.jar", b"this is no zip file"),
        ("half.jar", &whole[..whole.len() / 2]),
        ("without-begin.jar", &whole[whole.len() - 60..whole.len() - 10]),
    ] {
        fs::write(pair.plugin(name), bytes).expect("write");
        pair.edit();
        assert!(!pair.live_plugin(name).exists(), "{name}");
    }
    replace(pair.plugin("a.jar"), &whole);
    pair.until_live("a.jar", &whole);
}

#[test]
fn a_jar_that_is_overwritten_in_place_stays_as_it_was_until_it_is_whole() {
    for is_truncated in [true, false] {
        let pair = Pair::new();
        let versions = of_one_length();
        fs::write(pair.plugin("a.jar"), &versions[0]).expect("write");
        pair.until_live("a.jar", &versions[0]);
        let (witness, before) = (Witness::of(&pair.live_plugin("a.jar")), pair.sent());
        for (number, piece) in versions[1].chunks(FILLING / 3).enumerate() {
            // Each piece by a writer of its own, as a download that is taken up again.
            let mut file = OpenOptions::new()
                .write(true)
                .truncate(is_truncated && number == 0)
                .open(pair.plugin("a.jar"))
                .expect("open");
            file.seek(SeekFrom::Start((number * (FILLING / 3)) as u64))
                .expect("seek");
            file.write_all(piece).expect("write");
            drop(file);
            pair.edit();
        }
        pair.until_live("a.jar", &versions[1]);
        witness.saw_only(&[&versions[0], &versions[1]]);
        let sent = pair.sent() - before;
        assert!(sent < 2 * versions[1].len() as u64, "{sent}");
    }
}

#[test]
fn a_jar_that_is_written_without_pause_holds_up_no_edit() {
    let pair = Pair::new();
    let mut versions: Vec<_> = (0..4).map(|version| plugin(&version.to_string())).collect();
    let (is_over, path) = (Arc::<AtomicBool>::default(), pair.plugin("a.jar"));
    let is_over_there = Arc::clone(&is_over);
    let writer = thread::spawn(move || {
        let mut rounds = 0;
        while !is_over_there.load(Ordering::Relaxed) {
            fs::write(&path, &versions[rounds % versions.len()]).expect("write");
            rounds += 1;
        }
        versions.swap_remove((rounds - 1) % versions.len())
    });
    let edited = catch_unwind(AssertUnwindSafe(|| (0..5).for_each(|_| pair.edit())));
    is_over.store(true, Ordering::Relaxed);
    let last = writer.join().expect("no panic");
    edited.unwrap_or_else(|panic| resume_unwind(panic));
    pair.until_live("a.jar", &last);
}

#[test]
fn many_jars_at_once_come_whole_beside_edits() {
    let pair = Pair::new();
    let witnesses: Vec<_> = (0..20)
        .map(|number| Witness::of(&pair.live_plugin(&format!("{number}.jar"))))
        .collect();
    let bytes = plugin("1");
    let before = pair.sent();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..20 {
                let path = pair.plugin(&format!("{number}.jar"));
                if number % 2 == 0 {
                    // As rsync does.
                    let staged = path.with_file_name(format!(".{number}.jar.Ab3dEf"));
                    fs::write(&staged, &bytes).expect("write");
                    fs::rename(staged, path).expect("move in");
                } else {
                    fs::copy(pair.plugin("0.jar"), path).expect("copy");
                }
            }
        });
        for _ in 0..3 {
            pair.edit();
        }
    });
    for (number, witness) in witnesses.into_iter().enumerate() {
        pair.until_live(&format!("{number}.jar"), &bytes);
        witness.saw_only(&[&bytes]);
    }
    assert!(
        pair.sent() - before < 2 * bytes.len() as u64,
        "equal bytes are sent once"
    );
}
