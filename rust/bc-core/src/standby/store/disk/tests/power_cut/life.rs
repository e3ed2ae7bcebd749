//! The life of a standby, recorded.

use std::{collections::BTreeSet, sync::atomic::AtomicBool};

use super::{super::*, recorder::Recorder};
use crate::{
    role::Ledger,
    standby::store::generations::{self, KeptGeneration},
};

/// What a standby was doing, and what it had said by the end of it.
pub(super) struct Chapter {
    pub(super) what: &'static str,
    /// How many changes were logged before it and after it.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) before: Promise,
    pub(super) after: Promise,
    /// What is live and applied besides, where a crash in between lets a set come to its end that is taken back else.
    pub(super) other: Option<(Files, (Digest, u64))>,
    /// Whether somebody else writes, of whose files nothing is promised.
    pub(super) is_foreign: bool,
}

/// What must hold after a power cut.
#[derive(Clone, Default)]
pub(super) struct Promise {
    /// The live files.
    pub(super) live: Files,
    /// Generation and sequence of what was applied last.
    pub(super) position: Option<(Digest, u64)>,
    /// Generations that are kept with all their bytes, as a person names them.
    pub(super) whole: BTreeSet<String>,
    /// What somebody else wrote, and must be found somewhere.
    pub(super) foreign: Vec<Vec<u8>>,
    pub(super) is_paused: bool,
    /// The sequence in the ledger.
    pub(super) sequence: u64,
}

/// A standby whose every change is logged.
pub(super) struct Life {
    pub(super) place: Place,
    pub(super) recorder: Arc<Recorder>,
    pub(super) store: DiskStore,
    pub(super) chapters: Vec<Chapter>,
    pub(super) now: Promise,
    /// Whether cruise-config.xml cannot be renamed.
    fails: Arc<AtomicBool>,
}

impl Life {
    /// A node that has a configuration of its own and no plugin.
    fn begin() -> Self {
        // Nothing of this has to be durable: in memory it is fast.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let folder = folder.expect("folder");
        let root = folder.path().canonicalize().expect("there");
        let place = Place {
            layout: layout_in(&root),
            folder,
        };
        let recorder = Arc::new(Recorder::new(&root));
        let found = Files::default().with(Name::CruiseConfig, b"<cruise/>");
        recorder.put(&place.path(&Name::CruiseConfig), b"<cruise/>");
        let from = recorder.count();
        let fails = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let is_it = move |change: &Change| change.replaces("cruise-config.xml") && failing.load(Ordering::Relaxed);
        let options = Options {
            generations_keep: 3,
            ..Options::default()
        };
        let store = place
            .open_on(
                Arc::clone(&recorder) as Arc<dyn FileSystem>,
                failing_where(is_it, io::ErrorKind::Other),
                options,
            )
            .expect("open");
        let now = Promise {
            live: found,
            ..Promise::default()
        };
        let mut life = Self {
            place,
            recorder,
            store,
            chapters: Vec::new(),
            now,
            fails,
        };
        life.chapter("a start", from, |_| {});
        life
    }

    fn chapter(&mut self, what: &'static str, from: usize, live: impl FnOnce(&mut Self)) {
        let before = self.now.clone();
        live(self);
        self.chapters.push(Chapter {
            what,
            from,
            to: self.recorder.count(),
            before,
            after: self.now.clone(),
            other: None,
            is_foreign: false,
        });
    }

    fn then(&mut self, what: &'static str, live: impl FnOnce(&mut Self)) {
        self.chapter(what, self.recorder.count(), live);
    }

    /// Somebody else writes a live file.
    fn meanwhile(&mut self, name: Name, bytes: &[u8]) {
        self.then("somebody else", |life| {
            life.recorder.put(&life.place.path(&name), bytes);
            life.now.live = life.now.live.clone().with(name, bytes);
            life.now.foreign.push(bytes.to_vec());
        });
        self.chapters.last_mut().expect("one").is_foreign = true;
    }

    fn apply(&mut self, what: &'static str, files: &Files, sequence: u64) {
        self.then(what, |life| {
            files.apply(&life.store, sequence).expect("applied");
            life.now.live = files.clone();
            life.now.position = Some((files.document(sequence).generation, sequence));
            life.now.whole.insert("0".to_owned());
        });
        assert!(self.place.is_live(files), "{what}");
    }

    /// A set of which the last step fails.
    fn take_back(&mut self, files: &Files, sequence: u64) {
        let document = files.document(sequence);
        self.then("taking back", |life| {
            life.fails.store(true, Ordering::Relaxed);
            let error = files.apply(&life.store, sequence).expect_err("its last step fails");
            assert!(error.message().contains("whole again"), "{error}");
            life.fails.store(false, Ordering::Relaxed);
        });
        let chapter = self.chapters.last_mut().expect("one");
        chapter.other = Some((files.clone(), (document.generation, sequence)));
        assert!(self.place.is_live(&self.now.live));
    }

    fn tidy(&mut self) {
        self.then("tidying up", |life| {
            life.store.tidy().expect("tidy");
            let kept = generations::list(life.place.layout.state_dir()).expect("readable");
            life.now.whole = kept.iter().map(name_of).collect();
        });
    }

    fn ledger(&mut self, sequence: u64) {
        self.then("a new sequence", |life| {
            let text = serde_json::to_vec(&Ledger {
                sequence,
                ..Ledger::default()
            });
            let path = life.place.state("ledger.json");
            atomic::write_on(&*life.recorder, &path, &text.expect("plain"), 0o600).expect("written");
            life.now.sequence = sequence;
        });
    }

    /// All that a standby does.
    pub(super) fn whole() -> Self {
        let mut life = Self::begin();
        life.ledger(1);
        life.apply("the first generation", &Files::usual(), 1);
        let edited = Files::usual().with(Name::CruiseConfig, EDITED);
        life.apply("an edit", &edited, 2);
        life.ledger(2);
        life.tidy();
        life.meanwhile(jar("local.jar"), &plugin("B", "0.9"));
        life.apply("plugins that come, change and go", &next(), 3);
        let lost = next().without(&jar("c.jar"));
        life.apply("a removal", &lost, 4);
        life.then("a word of the primary's GoCD", |life| {
            let generation = lost.document(4).generation;
            let mut heard = lost.document(4).envelope;
            heard.acceptance = Acceptance::Accepted;
            let noted = life.store.note_acceptance(&generation, &heard);
            noted.expect("noted");
        });
        life.tidy();
        life.meanwhile(Name::JettyXml, b"<Configure id=\"x\"/>");
        life.then("its repair", |life| {
            let repaired = life.store.repair(&[]).expect("repaired");
            assert_eq!((repaired.drift.len(), repaired.lost.len()), (1, 0), "{repaired:?}");
            life.now.live = lost.clone();
        });
        life.meanwhile(Name::JettyXml, b"<Configure id=\"y\"/>");
        life.meanwhile(Name::CipherAes, b"00000000000000000000000000000000");
        life.then("making it whole", |life| {
            let made = life.store.make_whole(false).expect("mended");
            assert_eq!((made.mended.len(), made.left.len()), (2, 0), "{made:?}");
            life.now.live = lost.clone();
        });
        life.meanwhile(jar("local.jar"), &plugin("B", "0.8"));
        let newer = lost
            .clone()
            .without(&Name::JettyXml)
            .without(&jar("b.jar"))
            .with(jar("d.jar"), &plugin("b", "2"))
            .with(Name::CipherAes, b"11111111111111111111111111111111")
            .with(Name::CruiseConfig, CONFIG);
        life.take_back(&newer, 41);
        life.then("going back", |life| {
            life.store.restore("#3").expect("restored");
            life.now.live = next();
            life.now.position = Some((next().document(3).generation, 3));
            life.now.is_paused = true;
        });
        life.then("going on", |life| {
            life.store.resume().expect("resumed");
            life.now.is_paused = false;
        });
        life.apply("the generation after that", &edited, 5);
        life.tidy();
        life
    }
}

fn name_of(kept: &KeptGeneration) -> String {
    if kept.is_first {
        "0".to_owned()
    } else {
        kept.id.to_string()
    }
}
