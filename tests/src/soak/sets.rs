//! Sets of files with a number, each one generation.
//!
//! A set is written while the primary stands still (SIGSTOP), so that the primary sees it whole or not at all, and its
//! generation id is known before the primary has looked at it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    io::Write as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bc_core::{
    basics::{Digest, Digests},
    generation::{Entry, Manifest, Name, Reason},
};
use bc_testkit::{gocd_dir::GocdDir, process::Process};
use fastrand::Rng;
use nix::sys::signal::Signal;

/// How long the primary may take to offer a set.
const OFFERS: Duration = Duration::from_secs(30);
/// Late hints of the last set make the primary look once more; the next set waits for that.
const SETTLES: Duration = Duration::from_millis(20);
/// Names of the plugins that come, change and go.
const PLUGINS: usize = 8;

/// What a primary remembers of its newest generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Its sequence.
    pub sequence: u64,
    /// Its id.
    pub generation: String,
}

impl Ledger {
    /// Reads it from the primary's state folder; none before its first generation.
    ///
    /// # Errors
    /// It is not whole.
    pub fn of(primary: &GocdDir) -> Result<Option<Self>> {
        let path = primary.state().join("ledger.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let json: serde_json::Value =
            serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Some(Self {
            sequence: json["sequence"].as_u64().context("a ledger has a sequence")?,
            generation: json["generation"]
                .as_str()
                .context("a ledger has a generation")?
                .to_owned(),
        }))
    }
}

/// Writes the sets and knows all of them.
#[derive(Debug)]
pub struct Sets {
    template: String,
    config_size: usize,
    jar_size: usize,
    jars: BTreeMap<usize, u64>,
    number: u64,
    newest: String,
    numbers: HashMap<String, u64>,
    /// Offered between two sets: the primary was stopped in the middle of a reading, or withholds what it cannot yet
    /// tell to be whole.
    between: HashSet<String>,
    /// Every content that a file ever had.
    written: HashSet<(Name, Digest)>,
    sequences: HashMap<u64, String>,
    highest_sequence: u64,
}

impl Sets {
    /// Sets with a configuration of about `config_size` bytes and plugins of up to `jar_size` bytes.
    ///
    /// # Errors
    /// The primary's configuration cannot be read.
    pub fn new(primary: &GocdDir, config_size: usize, jar_size: usize) -> Result<Self> {
        Ok(Self {
            template: fs::read_to_string(primary.config().join("cruise-config.xml"))?,
            config_size,
            jar_size,
            jars: BTreeMap::new(),
            number: 0,
            newest: String::new(),
            numbers: HashMap::new(),
            between: HashSet::new(),
            written: HashSet::new(),
            sequences: HashMap::new(),
            highest_sequence: 0,
        })
    }

    /// The number of the newest set.
    pub fn newest(&self) -> u64 {
        self.number
    }

    /// Writes the next set into the primary's folders: the configuration, one to three plugins, now and then the
    /// feature toggles, and at most one plugin less.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_next(&mut self, primary: &GocdDir, random: &mut Rng) -> Result<()> {
        self.number += 1;
        let is_first = self.jars.is_empty();
        for _ in 0..random.usize(1..=3) {
            self.write_plugin(primary, random.usize(0..PLUGINS), random)?;
        }
        if is_first {
            for plugin in 0..PLUGINS {
                self.write_plugin(primary, plugin, random)?;
            }
        }
        // A standby keeps the plugins of a primary that lost three at once.
        if self.jars.len() > PLUGINS - 2 && random.u8(0..3) == 0 {
            let plugin = *random.choice(self.jars.keys()).expect("there are some");
            fs::remove_file(jar_path(primary, plugin))?;
            self.jars.remove(&plugin);
        }
        if random.u8(0..4) == 0 {
            let toggles = format!("{{\"version\": \"1\", \"toggles\": [], \"set\": {}}}\n", self.number);
            fs::write(primary.config().join("go.feature.toggles"), toggles)?;
        }
        primary.rewrite_config(&configuration(&self.template, self.number, self.config_size));
        let manifest = manifest_in(primary)?;
        let contents = manifest.files.iter().map(|(name, entry)| (name.clone(), entry.sha256));
        self.written.extend(contents);
        self.newest = manifest.generation().to_string();
        self.numbers.insert(self.newest.clone(), self.number);
        Ok(())
    }

    fn write_plugin(&mut self, primary: &GocdDir, plugin: usize, random: &mut Rng) -> Result<()> {
        let size = random.usize(self.jar_size / 4..=self.jar_size);
        write_jar(&jar_path(primary, plugin), plugin, self.number, size, random)?;
        self.jars.insert(plugin, self.number);
        Ok(())
    }

    /// Writes the next set while this primary stands still.
    ///
    /// # Errors
    /// The disk fails.
    pub fn write_next_behind(&mut self, primary: &GocdDir, process: &Process, random: &mut Rng) -> Result<()> {
        stop(process);
        let written = self.write_next(primary, random);
        process.signal(Signal::SIGCONT);
        written
    }

    /// Waits until the primary has made the newest set a generation, and checks that its sequence only grows and that
    /// no sequence stands for two generations.
    ///
    /// # Errors
    /// It did neither.
    pub fn wait_until_offered(&mut self, primary: &GocdDir) -> Result<()> {
        let started = Instant::now();
        loop {
            self.note_given_out(primary);
            if let Some(ledger) = Ledger::of(primary)? {
                self.note(&ledger)?;
                if ledger.generation == self.newest {
                    sleep(SETTLES);
                    return Ok(());
                }
            }
            if started.elapsed() > OFFERS {
                bail!("the primary did not offer set {} within {OFFERS:?}", self.number);
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Notes what was offered so shortly that the ledger was not looked at meanwhile. A line that is being written is
    /// of no generation.
    fn note_given_out(&mut self, primary: &GocdDir) {
        let text = fs::read_to_string(primary.state().join("given-out")).unwrap_or_default();
        let ids = text
            .lines()
            .filter_map(|line| line.split(' ').nth(2))
            .map(str::to_owned);
        self.between.extend(ids.filter(|id| !self.numbers.contains_key(id)));
    }

    fn note(&mut self, ledger: &Ledger) -> Result<()> {
        if ledger.sequence < self.highest_sequence {
            bail!(
                "the primary's sequence went back from {} to {}",
                self.highest_sequence,
                ledger.sequence
            );
        }
        self.highest_sequence = ledger.sequence;
        let former = self
            .sequences
            .entry(ledger.sequence)
            .or_insert_with(|| ledger.generation.clone());
        if *former != ledger.generation {
            bail!(
                "sequence {} stands for {former} and for {}",
                ledger.sequence,
                ledger.generation
            );
        }
        if !self.numbers.contains_key(&ledger.generation) {
            self.between.insert(ledger.generation.clone());
        }
        Ok(())
    }

    /// Which set is live in a folder.
    ///
    /// # Errors
    /// None: the files there were never offered together.
    pub fn live(&self, folder: &GocdDir) -> Result<Live> {
        let live = manifest_in(folder)?;
        let id = live.generation().to_string();
        match self.numbers.get(&id) {
            Some(number) => Ok(Live::Set(*number)),
            None if self.between.contains(&id) || self.was_partly_withheld(&live) => Ok(Live::Between),
            None => bail!(
                "the live files are {id}, which the primary never offered: {}",
                describe(folder)?
            ),
        }
    }

    /// Whether these files are a generation that was offered while some names were withheld: all others are as it says,
    /// and under those names there is nothing, or what a set before had there.
    fn was_partly_withheld(&self, live: &Manifest) -> bool {
        let plugins = (0..PLUGINS).map(|plugin| format!("plugins/external/plugin-{plugin}.jar"));
        let names: Vec<Name> = plugins
            .chain(["go.feature.toggles".to_owned()])
            .map(|name| name.parse().expect("a name"))
            .collect();
        (1..1_u32 << names.len()).any(|chosen| {
            let mut offered = live.clone();
            let chosen = names.iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0);
            chosen.into_iter().all(|(_, name)| {
                offered.withheld.files.insert(name.clone(), Reason::BeingWritten);
                let retained = offered.files.remove(name);
                retained.is_none_or(|entry| self.written.contains(&(name.clone(), entry.sha256)))
            }) && self.between.contains(&offered.generation().to_string())
        })
    }
}

/// What is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// The set with this number.
    Set(u64),
    /// A generation that the primary offered when it was stopped in the middle of a reading.
    Between,
}

/// Stops a process and waits until it stands still.
pub fn stop(process: &Process) {
    process.signal(Signal::SIGSTOP);
    let path = format!("/proc/{}/stat", process.id());
    for _ in 0..1000 {
        let is_stopped = fs::read_to_string(&path)
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')));
        if is_stopped {
            return;
        }
        sleep(Duration::from_micros(200));
    }
}

/// The files that lie in the folders of a GoCD installation.
fn manifest_in(folder: &GocdDir) -> Result<Manifest> {
    let mut manifest = Manifest::default();
    let mut add = |name: &str, path: &Path| -> Result<()> {
        match fs::read(path) {
            Ok(bytes) => {
                let entry = Entry::new(Digests::of(&bytes), 0, None);
                manifest.files.insert(name.parse::<Name>()?, entry);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    };
    for name in ["cipher.aes", "jetty.xml", "go.feature.toggles", "cruise-config.xml"] {
        add(name, &folder.config().join(name))?;
    }
    for entry in fs::read_dir(folder.plugins())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".jar") {
            add(&format!("plugins/external/{name}"), &path)?;
        }
    }
    Ok(manifest)
}

/// Names and digests of the live files, for whoever looks for the reason.
fn describe(folder: &GocdDir) -> Result<String> {
    let mut lines = Vec::new();
    for folder in [folder.config(), folder.plugins()] {
        for entry in fs::read_dir(folder)?.flatten() {
            if let Ok(bytes) = fs::read(entry.path()) {
                lines.push(format!("{} {}", Digest::of(&bytes), entry.path().display()));
            }
        }
    }
    Ok(lines.join("\n"))
}

/// The configuration with a number in it, filled up to about a size.
fn configuration(template: &str, number: u64, size: usize) -> String {
    let end = template.rfind("</cruise>").unwrap_or(template.len());
    let mut text = String::with_capacity(size + 200);
    text.push_str(&template[..end]);
    text.push_str(&format!("<!-- set {number}\n"));
    while text.len() < size {
        text.push_str(&format!(
            "set {number:012} of the soak, filled up to the size of a large configuration\n"
        ));
    }
    text.push_str("-->\n</cruise>\n");
    text
}

fn jar_path(folder: &GocdDir, plugin: usize) -> std::path::PathBuf {
    folder.plugins().join(format!("plugin-{plugin}.jar"))
}

/// A plugin of a version and a size, moved into its place as an administrator should.
fn write_jar(path: &Path, plugin: usize, version: u64, size: usize, random: &mut Rng) -> Result<()> {
    let staged = path.with_extension("staged");
    let mut jar = zip::ZipWriter::new(fs::File::create(&staged)?);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    jar.start_file("plugin.xml", options)?;
    write!(
        jar,
        "<?xml version=\"1.0\"?><go-plugin id=\"soak.{plugin}\" version=\"1\"><about><name>{plugin}</name>\
         <version>{version}</version></about></go-plugin>"
    )?;
    jar.start_file("filling", options)?;
    let mut filling = vec![0; size];
    random.fill(&mut filling);
    jar.write_all(&filling)?;
    jar.finish()?;
    fs::rename(&staged, path)?;
    Ok(())
}
