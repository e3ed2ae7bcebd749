//! Readers of what others send or write, against random bytes, damaged originals and sizes that are lies: none
//! panics, none asks for much memory, and every refusal is short enough to be shown.

#![expect(clippy::disallowed_methods, reason = "files are arranged from outside")]

use std::{
    fs,
    io::{Cursor, Write},
    path::{Component, Path},
};

use bc_core::{
    basics::{Digest, Digests, Error, Fingerprint, Properties, percent},
    files::Jar,
    generation::{Entry, JarName, ManifestDocument, Name},
    gocd::{
        version,
        xml::{Element, Outline, Visitor},
    },
    keys::PeersFile,
    node::{Order, Reply},
    settings::{PrimaryUrl, Settings},
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Memory that this process may ever have had, with everything that all tests do at once.
const MEMORY_KIB: u64 = 400 * 1024;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// One damage to a text.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let odd = prop::sample::select(vec![
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "-1",
        "1e999",
        "18446744073709551615",
        "\\u0000",
        "\\ud800",
        "<",
        ">",
        "</",
        "<!--",
        "<![CDATA[",
        "&#0;",
        "\0",
        "\u{FEFF}",
        "PK\u{5}\u{6}",
    ]);
    let one = prop_oneof![
        (any::<Index>(), 1..=255_u8).prop_map(|(at, by)| Damage::Flip(at, by)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
        (any::<Index>(), odd).prop_map(|(at, text)| Damage::Insert(at, text.as_bytes().to_vec())),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ];
    prop::collection::vec(one, 1..4)
}

fn damaged(original: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match damage {
            Damage::Flip(at, by) => bytes[at.index(length)] ^= by,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Remove(at, count) => {
                let start = at.index(length);
                bytes.drain(start..length.min(start + count));
            }
            Damage::Insert(at, more) => {
                let start = at.index(length);
                bytes.splice(start..start, more.iter().copied());
            }
            Damage::Repeat(at, count) => {
                let start = at.index(length);
                let again = bytes[start..length.min(start + count)].to_vec();
                bytes.splice(start..start, again);
            }
        }
    }
    bytes
}

/// A text that is anything, or an original that somebody damaged.
fn hostile(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..400),
        4 => damage().prop_map(move |damages| damaged(&original, &damages)),
    ]
}

fn is_presentable(error: &Error) -> bool {
    error.to_string().len() < 4096 && !error.to_string().contains('\0')
}

/// The most memory that this process had so far.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("Linux says it");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}

#[cfg(not(target_os = "linux"))]
fn peak_kib() -> u64 {
    0
}

fn document(files: &[(&str, u64)]) -> Value {
    let files = files.iter().map(|(name, size)| {
        let mut entry = Entry::new(Digests::of(name.as_bytes()), 1, None);
        entry.size = *size;
        (name.parse::<Name>().expect("a name"), entry)
    });
    let manifest = bc_core::generation::Manifest {
        files: files.collect(),
        withheld: serde_json::from_value(json!({
            "files": { "jetty.xml": "denied", "plugins/external/b.jar": "being-written", "ldap/ca.pem": "bewitched" },
            "plugins": "stale",
        }))
        .expect("as on the wire"),
    };
    json!({
        "format": 1,
        "generation": manifest.generation(),
        "envelope": {
            "node_id": "0123456789abcdef0123456789abcdef", "role": "primary",
            "epoch": { "number": 1, "promotion": "" }, "sequence": 7, "gocd_version": "26.1.0",
            "product_version": "0.1.0", "server_id": "one", "acceptance": "accepted", "generated_ms": 1,
            "scanned_ms": 2, "now_ms": 3, "file_check_interval_ms": 60000,
        },
        "files": manifest.files,
        "withheld": manifest.withheld,
        "own_jars": { "ours.jar": { "id": "cd.go.contrib.business-continuity", "version": "0.1.0" } },
    })
}

fn usual_document() -> Value {
    document(&[
        ("cruise-config.xml", 1000),
        ("cipher.aes", 32),
        ("plugins/external/a.jar", 9),
    ])
}

/// Every value somewhere inside.
fn paths(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                paths(value, &format!("{here}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                paths(value, &format!("{here}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_manifest_with_any_value_in_any_place() {
    let original = usual_document();
    assert!(ManifestDocument::parse(original.to_string().as_bytes()).is_ok());
    let mut places = Vec::new();
    paths(&original, "", &mut places);
    assert!(places.len() > 30, "{places:?}");
    let deep = (0..10_000).fold(String::new(), |text, _| text + "[") + &"]".repeat(10_000);
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(""),
        json!("\0"),
        json!("../../etc/passwd"),
        json!("\u{1b}[2J"),
        json!("x".repeat(100_000)),
        json!([]),
        json!({}),
        json!({ "../x.jar": {} }),
        json!({ "../x.jar": "denied" }),
        json!({ "plugins/external/../x.jar": "denied" }),
        json!({ "ldap/../../passwd": "denied" }),
        json!(["cruise-config.xml", "../x"]),
        json!({ "plugins/external/../x.jar": { "sha256": "", "size": 1 } }),
    ];
    for place in &places {
        for value in &odd {
            let mut document = original.clone();
            *document.pointer_mut(place).expect("just found") = value.clone();
            check_manifest(document.to_string().as_bytes());
        }
    }
    check_manifest(deep.as_bytes());
    assert!(peak_kib() < MEMORY_KIB, "{} KiB", peak_kib());
}

/// What is understood can be worked with, and what is not is refused in a few words.
fn check_manifest(text: &[u8]) {
    match ManifestDocument::parse(text) {
        Err(error) => assert!(is_presentable(&error), "{} bytes", error.to_string().len()),
        Ok(document) => {
            assert!(document.total_size() < u64::MAX / 2);
            if document.envelope.odd_text().is_none() {
                assert!(!document.envelope.product_version.contains('\u{1b}'));
            }
            assert!(
                document.retained.is_empty(),
                "what this node has is nobody else's to say"
            );
            for line in document.withheld.lines() {
                assert!(line.len() < 2000 && !line.contains(['\n', '\u{1b}']), "{line:?}");
            }
            for name in document.files.keys().chain(document.withheld.files.keys()) {
                assert!(name.to_string().parse::<Name>().as_ref() == Ok(name));
            }
        }
    }
}

#[test]
fn sizes_that_no_disk_has_are_refused() {
    for sizes in [[u64::MAX, 1], [u64::MAX / 2 + 1, u64::MAX / 2 + 1], [1 << 51, 0]] {
        let document = document(&[("cruise-config.xml", sizes[0]), ("cipher.aes", sizes[1])]);
        let error = ManifestDocument::parse(document.to_string().as_bytes()).expect_err("refused");
        assert!(error.message().contains("more bytes than any disk has"), "{error}");
    }
}

/// Of which texts are made that are often whole, and often nearly so.
const XML_PARTS: &[&str] = &[
    "<a>",
    "</a>",
    "<a/>",
    "<b c='d>'>",
    "</b>",
    "</b >",
    "<b\nc=\"'\" />",
    "<server serverId='x&amp;y'/>",
    "text",
    " ",
    "&lt;",
    "&",
    ";",
    "]]>",
    "<![CDATA[",
    "<![CDATA[<a>]]>",
    "<!--",
    "-->",
    "<!-- c -->",
    "<!-- -- -->",
    "<?p i?>",
    "<?",
    "?>",
    "<!DOCTYPE a>",
    "<",
    ">",
    "'",
    "\"",
    "\u{fc}",
    "\u{feff}",
    "<\u{fc}>",
    "<1>",
    "</1>",
    "<a/b>",
    "=",
    "/",
    "\0",
];

/// What a visitor is shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts(Vec<(Vec<u8>, u64)>);

impl Visitor for Parts {
    fn open(&mut self, element: Element<'_>, end: u64) {
        self.0.push(([element.name(), element.attributes_text()].concat(), end));
    }

    fn text(&mut self, text: &[u8], end: u64) {
        self.0.push((text.to_vec(), end));
    }

    fn close(&mut self) {
        self.0.push((Vec::new(), 0));
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn manifests(text in hostile(usual_document().to_string().into_bytes())) {
        check_manifest(&text);
    }

    #[test]
    fn lines_of_the_local_socket(text in hostile(b"{\"order\":\"promote\",\"without_database\":true}".to_vec())) {
        // Whatever it is, it is one of these or an error.
        let _ = (serde_json::from_slice::<Order>(&text), serde_json::from_slice::<Reply>(&text));
    }

    #[test]
    fn short_texts(text in any::<String>()) {
        let _ = (text.parse::<Digest>(), text.parse::<Fingerprint>(), text.parse::<Name>());
        let _ = (percent::decoded(&text), version::has_des_cipher(&text));
        if let Ok(url) = text.parse::<PrimaryUrl>() {
            prop_assert!(url.candidates().iter().all(|base| base.starts_with("http")));
        }
    }

    #[test]
    fn a_jar_name_stays_in_its_folder(text in "\\PC{0,12}(\\.jar)?|[./\\\\a:\u{0}\n%~]{1,12}\\.jar") {
        if let Ok(name) = text.parse::<JarName>() {
            let components: Vec<_> = Path::new(name.as_str()).components().collect();
            prop_assert!(matches!(components.as_slice(), [Component::Normal(_)]), "{:?}", text);
            let joined = Path::new("plugins").join(name.as_str());
            prop_assert_eq!(joined.parent(), Some(Path::new("plugins")));
        }
    }

    #[test]
    fn xml(text in hostile(XML.as_bytes().to_vec())) {
        let (skimmed, read) = (Outline::skim(&text), Outline::read(&text));
        if let Err(reason) = &read {
            prop_assert!(reason.len() < 4096);
        }
        // Skimming may overlook a mistake in the middle, but sees the same head.
        if let (Ok(skimmed), Ok(read)) = (skimmed, read) {
            prop_assert_eq!(skimmed.root, read.root);
            prop_assert_eq!(skimmed.has_doctype, read.has_doctype);
        }
    }

    /// What the quick pass takes for whole the parser does too, and sees the same; what it does not, it hands over.
    #[test]
    fn xml_is_read_as_it_is_parsed(parts in prop::collection::vec(prop::sample::select(XML_PARTS), 0..14), text in hostile(XML.as_bytes().to_vec())) {
        let made = format!("<a>{}</a>", parts.concat()).into_bytes();
        for text in [made, parts.concat().into_bytes(), text] {
            let mut parsed = Parts::default();
            let visited = Outline::visit(&text, &mut parsed);
            match Outline::read_with::<Parts>(&text) {
                Ok(read) => prop_assert_eq!(visited.map(|outline| (outline, parsed)), Ok(read)),
                // The parser that shows the parts takes more than is well-formed.
                Err(reason) => prop_assert!(visited.is_err() || reason.contains("well-formed") || reason.contains("UTF-")),
            }
        }
    }

    #[test]
    fn jars(bytes in hostile(jar(&[("plugin.xml", DESCRIPTOR.as_bytes()), ("a/B.class", b"class")]))) {
        if let Some(identity) = Jar::inspect(Cursor::new(&bytes)).identity() {
            prop_assert!(!identity.id.chars().any(char::is_control));
            prop_assert!(identity.version.iter().all(|version| !version.chars().any(char::is_control)));
        }
    }

    #[test]
    fn descriptors(text in hostile(DESCRIPTOR.as_bytes().to_vec())) {
        for name in ["plugin.xml", "gocd-bundle.xml"] {
            let inspected = Jar::inspect(Cursor::new(jar(&[(name, &text)])));
            prop_assert!(inspected != Jar::Broken);
        }
    }

    #[test]
    fn settings(text in hostile(SETTINGS.as_bytes().to_vec())) {
        match Properties::parse(&text, "the settings") {
            Ok(properties) => {
                let (_, mistakes) = Settings::parse(&properties, |_| false);
                prop_assert!(mistakes.iter().all(|mistake| !mistake.to_string().is_empty()));
            }
            Err(error) => prop_assert!(error.message().contains("the settings"), "{}", error),
        }
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn peers_files(text in hostile(PEERS.as_bytes().to_vec())) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("business-continuity-peers");
        fs::write(&path, text).expect("write");
        match PeersFile::new(&path, None).load() {
            Ok(peers) => prop_assert!(peers.all().len() <= 4),
            Err(error) => prop_assert!(error.message().contains("business-continuity-peers"), "{}", error),
        }
    }

    #[test]
    fn launchers(bytes in hostile(jar(&[("META-INF/MANIFEST.MF", b"Implementation-Version: 26.1.0\r\n")]))) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("go.jar");
        fs::write(&path, bytes).expect("write");
        match version::of_jar(&path) {
            Ok(version) => prop_assert!(version.iter().all(|version| version.len() < 4096)),
            Err(error) => prop_assert!(error.message().contains("go.jar"), "{}", error),
        }
    }
}

#[test]
fn jars_that_would_fill_the_memory() {
    // A descriptor that unpacks to far more than any has: what is beyond the first part of it is never unpacked.
    let long = " ".repeat(20 << 20) + DESCRIPTOR;
    for name in ["plugin.xml", "gocd-bundle.xml"] {
        let bomb = jar(&[(name, long.as_bytes())]);
        assert!(bomb.len() < 30_000);
        let inspected = Jar::inspect(Cursor::new(bomb));
        assert!(matches!(inspected, Jar::Odd(_)), "{inspected:?}");
    }
    // Ends that promise four billion files, or one list of them as long as any disk.
    for (files, length, start) in [
        (u16::MAX, u32::MAX, 0_u32),
        (u16::MAX, 0, u32::MAX),
        (1, u32::MAX, u32::MAX - 1),
    ] {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend(files.to_le_bytes());
        end.extend(files.to_le_bytes());
        end.extend(length.to_le_bytes());
        end.extend(start.to_le_bytes());
        end.extend([0, 0]);
        assert_eq!(Jar::inspect(Cursor::new(end)), Jar::Broken);
    }
    let mut large = b"PK\x06\x06".to_vec();
    large.extend(44_u64.to_le_bytes());
    large.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [u64::MAX, u64::MAX, u64::MAX, 0] {
        large.extend(number.to_le_bytes());
    }
    large.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
    large.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    assert_eq!(Jar::inspect(Cursor::new(large)), Jar::Broken);
    assert!(peak_kib() < MEMORY_KIB, "{} KiB", peak_kib());
}

#[test]
fn xml_that_is_deep_or_has_one_endless_tag() {
    let deep = "<a>".repeat(200_000);
    assert!(Outline::read(deep.as_bytes()).is_err());
    let deep = deep + &"</a>".repeat(200_000);
    assert!(
        Outline::read(deep.as_bytes())
            .expect_err("GoCD could not read it")
            .contains("100 deep")
    );
    let endless = format!("<cruise {}", "a='b' ".repeat(500_000));
    assert!(Outline::read(endless.as_bytes()).is_err() && Outline::skim(endless.as_bytes()).is_err());
    let bomb = "<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><a>&b;</a>";
    assert!(
        Outline::read(bomb.as_bytes()).expect("whole").has_doctype,
        "and nothing is expanded"
    );
    assert!(peak_kib() < MEMORY_KIB, "{} KiB", peak_kib());
}

const XML: &str = "<?xml version=\"1.0\"?>\n<cruise schemaVersion=\"139\"><server serverId=\"a&amp;b\"/><pipelines><!-- c -->\
                   <x y='>'/><![CDATA[</cruise>]]></pipelines></cruise>\n<!-- end -->\n";
const DESCRIPTOR: &str = "<?xml version=\"1.0\"?>\n<go-plugin id=\"cd.go.x\" version=\"1\"><about><name>x</name>\
                          <version>1.2</version></about></go-plugin>";
const SETTINGS: &str = "go.server.mode=standby\nbc.primary.url=https\\://primarygo\\:8155\nbc.listen=0.0.0.0\\:8155\n\
                        cruise.server.port=8153\nbc.file.status.check.interval=60000\nbc.log.level=info\n\
                        primary.server.connection.timeout=30000\nbc.sync.extra=password.properties\n";
const PEERS: &str = "# head\n\
                     2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 0123456789abcdef0123456789abcdef\n\
                     486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7\n\
                     #removed 38d66d9692ac590000a91b03a88da1c88d51fab2b78f63171f553ecc551a0c6f\n";

fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("entry");
        writer.write_all(content).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}
