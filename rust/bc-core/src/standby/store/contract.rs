//! What the store of a standby does, whatever becomes of its disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    basics::{Digest, Digests, Error, Kind, Properties, SystemClock},
    files::{Jar, descriptor::tests::plugin},
    generation::{
        Entry, Envelope, Layout, Manifest, ManifestDocument, Name, Role, manifest::FORMAT, own_files::OWN_PLUGIN_ID,
    },
    standby::store::{
        Applied, Permit, Wanted,
        disk::{DiskStore, Options, Round},
    },
};

pub(super) mod withheld;

pub(super) const CONFIG: &[u8] = b"<cruise schemaVersion=\"139\"><server serverId=\"one\"/></cruise>";

/// Version of the GoCD beside the store.
const GOCD: &str = "26.1.0-21505";

/// The same after an edit.
pub(super) const EDITED: &[u8] = b"<cruise schemaVersion=\"140\"><server serverId=\"one\"/></cruise>";

pub(super) fn jar(name: &str) -> Name {
    Name::Plugin(name.parse().expect("a safe name"))
}

/// A primary's files.
#[derive(Clone, Default)]
pub(super) struct Files(pub(super) BTreeMap<Name, Vec<u8>>);

impl Files {
    /// A configuration and one plugin.
    pub(super) fn usual() -> Self {
        Self::default()
            .with(Name::CruiseConfig, CONFIG)
            .with(Name::CipherAes, b"0123456789abcdef0123456789abcdef")
            .with(jar("a.jar"), &plugin("a", "1"))
    }

    pub(super) fn with(mut self, name: Name, bytes: &[u8]) -> Self {
        self.0.insert(name, bytes.to_vec());
        self
    }

    pub(super) fn without(mut self, name: &Name) -> Self {
        self.0.remove(name).expect("it was there");
        self
    }

    pub(super) fn document(&self, sequence: u64) -> ManifestDocument {
        let entry = |(name, bytes): (&Name, &Vec<u8>)| {
            let jar = matches!(name, Name::Plugin(_)).then(|| Jar::inspect(std::io::Cursor::new(bytes)));
            let plugin = jar.as_ref().and_then(Jar::identity).cloned();
            let entry = Entry::new(Digests::of(bytes), 1, plugin);
            (name.clone(), entry)
        };
        let manifest = Manifest {
            files: self.0.iter().map(entry).collect(),
            ..Manifest::default()
        };
        ManifestDocument {
            format: FORMAT,
            generation: manifest.generation(),
            envelope: Envelope {
                sequence,
                product_version: "1".to_owned(),
                generated_ms: 1,
                scanned_ms: 1,
                now_ms: 1,
                file_check_interval_ms: 1,
                ..Envelope::of("the primary", Role::Primary)
            },
            files: manifest.files,
            withheld: Default::default(),
            retained: Default::default(),
            own_jars: BTreeMap::new(),
            lineage: Default::default(),
            extra_is_unknown: false,
        }
    }

    pub(super) fn bytes(&self, digest: &Digest) -> &[u8] {
        let mut files = self.0.values();
        files.find(|bytes| Digest::of(bytes) == *digest).expect("asked for")
    }

    /// Brings what is missing.
    pub(super) fn fetch(&self, store: &DiskStore, document: &ManifestDocument) {
        for wanted in store.missing(document).expect("readable") {
            let bytes = self.bytes(&wanted.sha256);
            let mut receive = store.receive(&wanted).expect("room");
            let rest = &bytes[usize::try_from(receive.received()).expect("small")..];
            let (one, other) = rest.split_at(rest.len() / 2);
            receive.write(one).expect("written");
            receive.write(other).expect("written");
            receive.finish().expect("right");
        }
    }

    /// Brings what is missing and applies.
    pub(super) fn apply(&self, store: &DiskStore, sequence: u64) -> Result<Applied, Error> {
        let document = self.document(sequence);
        self.fetch(store, &document);
        store.apply(&document, Permit::default())
    }
}

impl DiskStore {
    /// What a round with this generation would fetch.
    pub(super) fn missing(&self, generation: &ManifestDocument) -> Result<Vec<Wanted>, Error> {
        let mut round = Round::begin(self, Arc::new(generation.clone()))?;
        round.look(self)?;
        round.missing(self)
    }
}

/// A store with live files that an administrator can reach.
struct OnDisk {
    _folder: tempfile::TempDir,
    layout: Layout,
    store: DiskStore,
}

pub(in crate::standby) fn layout_in(folder: &Path) -> Layout {
    let properties = Properties::from_iter([("user.dir", folder.to_str().expect("UTF-8"))]);
    Layout::from_properties(&properties)
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let layout = layout_in(folder.path());
        let options = Options {
            gocd_version: Some(GOCD.to_owned()),
            ..Options::default()
        };
        let store = DiskStore::open(layout.state_dir(), &layout, Arc::new(SystemClock), options).expect("open");
        Self {
            _folder: folder,
            layout,
            store,
        }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.layout.path_of(name)
    }
}

impl OnDisk {
    fn store(&self) -> &DiskStore {
        &self.store
    }

    fn put(&self, name: &Name, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().expect("a folder")).expect("folder");
        fs::write(self.path(name), bytes).expect("write");
    }

    fn bytes(&self, name: &Name) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }

    fn assert_live(&self, files: &Files) {
        for (name, bytes) in &files.0 {
            assert_eq!(self.bytes(name).as_ref(), Some(bytes), "{name}");
        }
    }
}

#[test]
fn a_generation_becomes_live_plugins_first() {
    let subject = &OnDisk::new();
    let files = Files::usual();
    let applied = files.apply(subject.store(), 1).expect("applied");
    assert_eq!(applied.written, [jar("a.jar"), Name::CipherAes, Name::CruiseConfig]);
    assert_eq!(applied.removed, []);
    assert_eq!(applied.warnings, Vec::<String>::new());
    subject.assert_live(&files);
    let live = subject.store().live().expect("readable");
    let document = files.document(1);
    assert_eq!(live.len(), document.files.len());
    for (name, file) in live {
        let entry = &document.files[&name];
        assert!(file.ours, "{name}");
        assert_eq!(
            (file.entry.sha256, file.entry.size),
            (entry.sha256, entry.size),
            "{name}"
        );
        assert_eq!(file.entry.plugin, entry.plugin, "{name}");
    }
}

#[test]
fn only_what_differs_is_fetched_and_written() {
    let subject = &OnDisk::new();
    let files = Files::usual();
    files.apply(subject.store(), 1).expect("applied");
    assert_eq!(subject.store().missing(&files.document(1)).expect("readable"), []);
    let again = subject
        .store()
        .apply(&files.document(1), Permit::default())
        .expect("nothing to do");
    assert_eq!(again, Applied::default());
    let edited = files.with(Name::CruiseConfig, EDITED);
    let missing = subject.store().missing(&edited.document(2)).expect("readable");
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].name, Name::CruiseConfig);
    let applied = edited.apply(subject.store(), 2).expect("applied");
    assert_eq!(applied.written, [Name::CruiseConfig]);
    subject.assert_live(&edited);
}

#[test]
fn equal_bytes_are_fetched_once() {
    let subject = &OnDisk::new();
    let files = Files::usual().with(jar("b.jar"), b"same").with(jar("c.jar"), b"same");
    assert_eq!(subject.store().missing(&files.document(1)).expect("readable").len(), 4);
    files.apply(subject.store(), 1).expect("applied");
    subject.assert_live(&files);
}

#[test]
fn an_emptied_plugin_folder_empties_nothing_until_that_is_allowed() {
    let subject = &OnDisk::new();
    let full = Files::usual().with(jar("b.jar"), &plugin("b", "1"));
    full.apply(subject.store(), 1).expect("applied");
    let edited = Files::default()
        .with(Name::CruiseConfig, EDITED)
        .with(Name::CipherAes, b"0123456789abcdef0123456789abcdef");
    for _ in 0..2 {
        let applied = edited.apply(subject.store(), 2).expect("applied");
        assert_eq!(applied.removed, []);
        assert_eq!(applied.kept, [jar("a.jar"), jar("b.jar")]);
        let warning = applied.kept_warning().expect("says so");
        assert!(
            warning.contains("plugins/external/a.jar, plugins/external/b.jar"),
            "{warning}"
        );
        assert_eq!(applied.warnings, Vec::<String>::new());
        subject.assert_live(&edited);
        subject.assert_live(&full.clone().with(Name::CruiseConfig, EDITED));
        let live = subject.store().live().expect("readable");
        assert!(live[&jar("a.jar")].ours && live[&jar("b.jar")].ours);
    }
    let allowed = Permit {
        deletions: true,
        ..Permit::default()
    };
    let applied = subject.store().apply(&edited.document(2), allowed).expect("applied");
    assert_eq!(
        (applied.removed, applied.kept),
        (vec![jar("a.jar"), jar("b.jar")], vec![])
    );
    assert_eq!(
        (subject.bytes(&jar("a.jar")), subject.bytes(&jar("b.jar"))),
        (None, None)
    );
}

#[test]
fn only_ours_are_removed() {
    let subject = &OnDisk::new();
    subject.put(&jar("local.jar"), &plugin("local", "1"));
    let more = Files::usual()
        .with(jar("b.jar"), &plugin("b", "1"))
        .with(Name::FeatureToggles, b"{}");
    more.apply(subject.store(), 1).expect("applied");
    let fewer = Files::usual();
    let applied = fewer.apply(subject.store(), 2).expect("applied");
    assert_eq!(applied.written, []);
    assert_eq!(applied.removed, [jar("b.jar"), Name::FeatureToggles]);
    assert_eq!(
        applied.warnings,
        ["plugins/external/local.jar is only here and not on the primary"]
    );
    assert_eq!(subject.bytes(&jar("b.jar")), None);
    assert_eq!(subject.bytes(&Name::FeatureToggles), None);
    assert!(subject.bytes(&jar("local.jar")).is_some());
    let live = subject.store().live().expect("readable");
    assert!(!live[&jar("local.jar")].ours);
}

#[test]
fn an_equal_local_file_becomes_ours() {
    let subject = &OnDisk::new();
    subject.put(&jar("b.jar"), b"the same");
    let files = Files::usual().with(jar("b.jar"), b"the same");
    let applied = files.apply(subject.store(), 1).expect("applied");
    assert!(!applied.written.contains(&jar("b.jar")));
    let applied = Files::usual().apply(subject.store(), 2).expect("applied");
    assert_eq!(applied.removed, [jar("b.jar")]);
    assert_eq!(subject.bytes(&jar("b.jar")), None);
}

#[test]
fn a_local_double_of_a_plugin_is_kept_aside() {
    let subject = &OnDisk::new();
    subject.put(&jar("a-0.9.jar"), &plugin("A", "0.9"));
    let applied = Files::usual().apply(subject.store(), 1).expect("applied");
    assert_eq!(applied.warnings.len(), 1);
    assert!(
        applied.warnings[0].contains("a-0.9.jar was kept aside"),
        "{:?}",
        applied.warnings
    );
    assert_eq!(subject.bytes(&jar("a-0.9.jar")), None);
    subject.assert_live(&Files::usual());
    let again = Files::usual().apply(subject.store(), 1).expect("nothing to do");
    assert_eq!(again, Applied::default());
}

#[test]
fn a_renamed_plugin_is_not_fetched_again() {
    let subject = &OnDisk::new();
    let files = Files::usual();
    files.apply(subject.store(), 1).expect("applied");
    let renamed = files.without(&jar("a.jar")).with(jar("a-1.jar"), &plugin("a", "1"));
    assert_eq!(subject.store().missing(&renamed.document(2)).expect("readable"), []);
    let applied = renamed.apply(subject.store(), 2).expect("applied");
    assert_eq!(
        (applied.written, applied.removed),
        (vec![jar("a-1.jar")], vec![jar("a.jar")])
    );
    subject.assert_live(&renamed);
}

#[test]
fn a_transfer_goes_on_where_it_broke() {
    let subject = &OnDisk::new();
    let bytes = plugin("a", "1");
    let wanted = Wanted {
        sha256: Digest::of(&bytes),
        size: bytes.len() as u64,
        name: jar("a.jar"),
        former: None,
    };
    let mut broken = subject.store().receive(&wanted).expect("begins");
    broken.write(&bytes[..10]).expect("written");
    drop(broken);
    let mut resumed = subject.store().receive(&wanted).expect("resumes");
    assert_eq!(resumed.received(), 10);
    resumed.write(&bytes[10..20]).expect("written");
    let error = resumed.finish().expect_err("too short");
    assert_eq!(error.kind(), Kind::Protocol);
    let mut resumed = subject.store().receive(&wanted).expect("resumes");
    assert_eq!(resumed.received(), 20);
    resumed.write(&bytes[20..]).expect("written");
    resumed.finish().expect("right");
    let files = Files::usual();
    let missing = subject.store().missing(&files.document(1)).expect("readable");
    assert!(missing.iter().all(|missing| missing.sha256 != wanted.sha256));
}

#[test]
fn what_is_live_instead_of_an_edited_configuration_is_named() {
    let subject = &OnDisk::new();
    let config = |remark: &str| [CONFIG, format!("<!-- {remark} -->\n").repeat(2_000).as_bytes()].concat();
    let wanted = |files: &Files, name: &Name| {
        let missing = subject.store().missing(&files.document(2)).expect("readable");
        missing
            .into_iter()
            .find(|wanted| wanted.name == *name)
            .expect("missing")
    };
    let first = Files::usual().with(Name::CruiseConfig, &config("first"));
    assert_eq!(wanted(&first, &Name::CruiseConfig).former, None, "nothing is live");
    first.apply(subject.store(), 1).expect("applied");
    let edited = first
        .clone()
        .with(Name::CruiseConfig, &config("edited"))
        .with(jar("a.jar"), &plugin("a", "2"));
    let missing = wanted(&edited, &Name::CruiseConfig);
    assert_eq!(missing.former, Some(Digest::of(&config("first"))));
    assert_eq!(subject.store().former(&missing).as_deref(), Some(&*config("first")));
    assert_eq!(wanted(&edited, &jar("a.jar")).former, None, "jars are compressed");
    let small = first.with(Name::CruiseConfig, CONFIG);
    assert_eq!(
        wanted(&small, &Name::CruiseConfig).former,
        None,
        "it comes as quickly whole"
    );
}

#[test]
fn wrong_bytes_are_thrown_away() {
    let subject = &OnDisk::new();
    let wanted = Wanted {
        sha256: Digest::of(CONFIG),
        size: CONFIG.len() as u64,
        name: Name::CruiseConfig,
        former: None,
    };
    let mut receive = subject.store().receive(&wanted).expect("begins");
    receive.write(&vec![b'x'; CONFIG.len()]).expect("written");
    let error = receive.finish().expect_err("wrong");
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("cruise-config.xml"), "{error}");
    let mut receive = subject.store().receive(&wanted).expect("begins anew");
    assert_eq!(receive.received(), 0);
    let error = receive.write(&vec![b'x'; CONFIG.len() + 1]).expect_err("too long");
    assert_eq!(error.kind(), Kind::Protocol);
    drop(receive);
    assert_eq!(subject.store().receive(&wanted).expect("begins anew").received(), 0);
    assert_eq!(
        subject
            .store()
            .missing(&Files::usual().document(1))
            .expect("readable")
            .len(),
        3
    );
}

#[test]
fn a_bad_set_is_refused_and_changes_nothing() {
    let subject = &OnDisk::new();
    let good = Files::usual();
    good.apply(subject.store(), 1).expect("applied");
    let bad = good.clone().with(jar("new.jar"), &plugin("new", "1"));
    for (name, bytes) in [
        (Name::CruiseConfig, &b"<cruise>"[..]),
        (Name::CruiseConfig, b"<!DOCTYPE cruise []><cruise/>"),
        (Name::CruiseConfig, b"<html/>"),
        (Name::JettyXml, b"<Configure>"),
    ] {
        let error = bad
            .clone()
            .with(name, bytes)
            .apply(subject.store(), 2)
            .expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        subject.assert_live(&good);
        assert_eq!(subject.bytes(&jar("new.jar")), None);
    }
    let error = subject
        .store()
        .missing(&bad.without(&Name::CruiseConfig).document(2))
        .expect_err("refused before anything is fetched");
    assert_eq!(error.kind(), Kind::Refused);
}

/// Files of a server with this id and some work in it.
fn server(id: &str) -> Files {
    let config = format!(
        "<cruise schemaVersion=\"139\"><server serverId=\"{id}\"/><pipelines group=\"g\"><pipeline name=\"p\"/>\
         </pipelines></cruise>"
    );
    Files::usual().with(Name::CruiseConfig, config.as_bytes())
}

fn assert_refused(subject: &OnDisk, files: &Files, live: &Files, why: &str) {
    let error = files.apply(subject.store(), 2).expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.message().contains(why), "{error}");
    assert!(!error.guidance().is_empty(), "{error}");
    subject.assert_live(live);
}

#[test]
fn another_server_is_refused_unless_it_is_allowed() {
    let subject = &OnDisk::new();
    let (ours, theirs) = (server("ours"), server("theirs").with(jar("b.jar"), &plugin("b", "1")));
    ours.apply(subject.store(), 1).expect("the first one");
    assert_refused(subject, &theirs, &ours, "serverId theirs, the one here has ours");
    let without = ours.clone().with(Name::CruiseConfig, b"<cruise/>");
    assert_refused(subject, &without, &ours, "no serverId");
    assert_eq!(subject.bytes(&jar("b.jar")), None);
    let allowed = Permit {
        server_id: true,
        ..Permit::default()
    };
    subject.store().apply(&theirs.document(3), allowed).expect("allowed");
    subject.assert_live(&theirs);
    // Once.
    assert_refused(subject, &ours, &theirs, "serverId ours, the one here has theirs");
}

#[test]
fn a_server_id_that_was_edited_here_is_set_right() {
    let subject = &OnDisk::new();
    let files = server("ours");
    files.apply(subject.store(), 1).expect("applied");
    subject.put(&Name::CruiseConfig, &server("edited").0[&Name::CruiseConfig]);
    files.fetch(subject.store(), &files.document(1));
    let applied = files.apply(subject.store(), 1).expect("repaired");
    assert_eq!(applied.written, [Name::CruiseConfig]);
    subject.assert_live(&files);
}

#[test]
fn gocds_template_is_replaced_without_asking() {
    let subject = &OnDisk::new();
    let template = b"<cruise schemaVersion=\"139\"><server serverId=\"fresh\"><artifacts/></server></cruise>";
    subject.put(&Name::CruiseConfig, template);
    let applied = server("theirs").apply(subject.store(), 1).expect("applied");
    assert_eq!(applied.warnings, Vec::<String>::new());
    subject.assert_live(&server("theirs"));
}

const REAL_CONFIG: &str = include_str!("../../../../../tests/fixtures/data/config/cruise-config.xml");
const REAL_KEY: &[u8] = include_bytes!("../../../../../tests/fixtures/data/config/cipher.aes");
const OTHER_KEY: &[u8] = b"00112233445566778899aabbccddeeff";

/// A real configuration with a secret, and its key.
fn real() -> Files {
    Files::usual()
        .with(Name::CruiseConfig, REAL_CONFIG.as_bytes())
        .with(Name::CipherAes, REAL_KEY)
}

#[test]
fn a_key_that_fits_no_secret_is_refused() {
    let subject = &OnDisk::new();
    real().apply(subject.store(), 1).expect("applied");
    let element = "pipelines[first]/pipeline[up42]/environmentvariables/variable[DEPLOY_PASSWORD]/encryptedValue";
    let replaced = real().with(Name::CipherAes, OTHER_KEY);
    assert_refused(subject, &replaced, &real(), element);
    let lost = real().without(&Name::CipherAes);
    assert_refused(subject, &lost, &real(), "no cipher.aes");
    let edited = REAL_CONFIG.replace("up42", "up43");
    let edited = replaced.with(Name::CruiseConfig, edited.as_bytes());
    assert_refused(subject, &edited, &real(), "pipeline[up43]");
}

#[test]
fn some_secrets_that_fail_are_a_warning() {
    let subject = &OnDisk::new();
    let variable = "<variable name=\"OLD\" secure=\"true\"><encryptedValue>\
                    AES:c9Uau9icuBlvDvtokvlNaA==:7ODzdkSdHIoFEI+rFWg0/w==</encryptedValue></variable>";
    let config = REAL_CONFIG.replace("<environmentvariables>", &format!("<environmentvariables>{variable}"));
    let files = real().with(Name::CruiseConfig, config.as_bytes());
    let warning = "1 of 2 encrypted values in cruise-config.xml from the primary do not decrypt with its cipher.aes, set \
                   them anew there: pipelines[first]/pipeline[up42]/environmentvariables/variable[OLD]/encryptedValue";
    assert_eq!(files.apply(subject.store(), 1).expect("applied").warnings, [warning]);
    subject.assert_live(&files);
    // For as long as it is so.
    assert_eq!(files.apply(subject.store(), 1).expect("live").warnings, [warning]);
    assert_eq!(
        real().apply(subject.store(), 2).expect("mended").warnings,
        Vec::<String>::new()
    );
}

#[test]
fn a_newer_gocd_is_refused_and_an_older_one_followed() {
    let subject = &OnDisk::new();
    let of = |version: &str, sequence| {
        let mut document = Files::usual().document(sequence);
        document.envelope.gocd_version = Some(version.to_owned());
        document
    };
    Files::usual().fetch(subject.store(), &of("99.1.0-20000", 1));
    let apply = |document| subject.store().apply(&document, Permit::default());
    let error = apply(of("99.1.0-20000", 1)).expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    for version in ["99.1.0-20000", GOCD] {
        assert!(error.message().contains(version), "{error}");
    }
    assert_eq!(subject.bytes(&Name::CruiseConfig), None);
    apply(of(GOCD, 2)).expect("the same");
    subject.assert_live(&Files::usual());
    // GoCD migrates what an older one has written.
    apply(of("20.6.0-11000", 3)).expect("an upgrade is under way");
}

#[test]
fn our_own_jar_is_never_touched() {
    let subject = &OnDisk::new();
    let own = plugin(OWN_PLUGIN_ID, "1");
    subject.put(&jar("ours.jar"), &own);
    let applied = Files::usual().apply(subject.store(), 1).expect("applied");
    assert_eq!(applied.warnings, Vec::<String>::new());
    assert!(!subject.store().live().expect("readable").contains_key(&jar("ours.jar")));
    let replaced = Files::usual().with(jar("ours.jar"), &plugin("another", "1"));
    let error = subject.store().missing(&replaced.document(2)).expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    let newer = Files::usual().with(jar("newer.jar"), &plugin(OWN_PLUGIN_ID, "2"));
    let error = subject.store().missing(&newer.document(2)).expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    // A manifest that does not say what the jar is.
    let mut document = newer.document(2);
    document.files.get_mut(&jar("newer.jar")).expect("there").plugin = None;
    newer.fetch(subject.store(), &document);
    let error = subject
        .store()
        .apply(&document, Permit::default())
        .expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(subject.bytes(&jar("newer.jar")), None);
    subject.assert_live(&Files::usual());
}

#[test]
fn a_set_without_its_bytes_is_not_applied() {
    let subject = &OnDisk::new();
    let error = subject
        .store()
        .apply(&Files::usual().document(1), Permit::default())
        .expect_err("nothing was fetched");
    assert_eq!(error.kind(), Kind::Superseded, "{error}");
    assert_eq!(subject.store().live().expect("readable").len(), 0);
}
