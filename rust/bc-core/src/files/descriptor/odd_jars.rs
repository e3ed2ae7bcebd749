//! Jars that something is odd about, byte by byte as no library would write them.

use std::io::Write;

use flate2::{Compression, write::DeflateEncoder};

use super::Jar;
use crate::generation::{PluginIdentity, own_files::OWN_PLUGIN_ID};

/// A file in a zip file, with all that can be wrong about it.
#[derive(Clone)]
struct Packed {
    name: &'static str,
    method: u16,
    flags: u16,
    bytes: Vec<u8>,
    /// Whether its sizes stand after it instead of before it.
    is_described_after: bool,
    /// Whether its sizes and place are in their 64-bit form.
    is_long: bool,
}

fn stored(name: &'static str, content: impl AsRef<[u8]>) -> Packed {
    Packed {
        name,
        method: 0,
        flags: 0,
        bytes: content.as_ref().to_vec(),
        is_described_after: false,
        is_long: false,
    }
}

fn deflated(name: &'static str, content: impl AsRef<[u8]>) -> Packed {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).expect("memory");
    Packed {
        method: 8,
        bytes: encoder.finish().expect("memory"),
        ..stored(name, "")
    }
}

fn zip(files: &[Packed]) -> Vec<u8> {
    let (mut archive, mut list) = (Vec::new(), Vec::new());
    let half = |number: usize| u16::try_from(number).expect("small").to_le_bytes();
    let word = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    for file in files {
        let (at, length) = (archive.len(), file.bytes.len());
        let before = if file.is_described_after { 0 } else { length };
        archive.extend(b"PK\x03\x04\x14\0");
        archive.extend(file.flags.to_le_bytes());
        archive.extend(file.method.to_le_bytes());
        archive.extend([0; 8]);
        archive.extend([word(before), word(before)].concat());
        archive.extend([half(file.name.len()), half(0)].concat());
        archive.extend(file.name.as_bytes());
        archive.extend(&file.bytes);
        if file.is_described_after {
            archive.extend(b"PK\x07\x08\0\0\0\0");
            archive.extend([word(length), word(length)].concat());
        }
        let extra = if file.is_long {
            let numbers = [length, length, at].map(|number| (number as u64).to_le_bytes());
            [&half(1)[..], &half(24), &numbers.concat()].concat()
        } else {
            Vec::new()
        };
        let shown = |number| if file.is_long { [0xff; 4] } else { word(number) };
        list.extend(b"PK\x01\x02\x14\0\x14\0");
        list.extend(file.flags.to_le_bytes());
        list.extend(file.method.to_le_bytes());
        list.extend([0; 8]);
        list.extend([shown(length), shown(length)].concat());
        list.extend([half(file.name.len()), half(extra.len())].concat());
        list.extend([0; 10]);
        list.extend(shown(at));
        list.extend(file.name.as_bytes());
        list.extend(extra);
    }
    let (at, length) = (archive.len(), list.len());
    archive.extend(list);
    if files.iter().any(|file| file.is_long) {
        let end = archive.len();
        archive.extend(b"PK\x06\x06");
        archive.extend(44_u64.to_le_bytes());
        archive.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [files.len(), files.len(), length, at] {
            archive.extend((number as u64).to_le_bytes());
        }
        archive.extend(b"PK\x06\x07\0\0\0\0");
        archive.extend((end as u64).to_le_bytes());
        archive.extend(1_u32.to_le_bytes());
        archive.extend(b"PK\x05\x06\0\0\0\0");
        archive.extend([0xff; 12]);
    } else {
        archive.extend(b"PK\x05\x06\0\0\0\0");
        archive.extend([half(files.len()), half(files.len())].concat());
        archive.extend([word(length), word(at)].concat());
    }
    archive.extend(half(0));
    archive
}

fn descriptor(id: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<go-plugin id=\"{id}\" version=\"1\"><about><version>1</version></about></go-plugin>"
    )
}

fn described(content: impl AsRef<[u8]>) -> Vec<u8> {
    zip(&[stored("plugin.xml", content)])
}

fn wide(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    [0xff, 0xfe].into_iter().chain(units).collect()
}

/// Jars of which nobody can say which plugin they are, each with what is odd about it.
pub(crate) fn odd() -> Vec<(&'static str, Vec<u8>)> {
    let plain = descriptor("odd");
    let with = |change: fn(&mut Packed)| {
        let mut file = deflated("plugin.xml", &plain);
        change(&mut file);
        zip(&[file])
    };
    let deep = format!(
        "<go-plugin id='odd'>{}{}</go-plugin>",
        "<a>".repeat(1000),
        "</a>".repeat(1000)
    );
    let long = format!("{plain}<!--{}-->", "x".repeat(5 << 20));
    let bundle = "<gocd-bundle version='1'><plugins>".to_owned()
        + &format!("<plugin id='{}'/>", "x".repeat(200)).repeat(400)
        + "</plugins></gocd-bundle>";
    vec![
        ("not-utf-8", described(b"<go-plugin id='odd' version='\xff'/>")),
        ("document-type", described(format!("<!DOCTYPE go-plugin>{plain}"))),
        (
            "entities",
            described("<!DOCTYPE a [<!ENTITY b 'odd'>]><go-plugin id='&b;'/>"),
        ),
        ("unknown-entity", described("<go-plugin id='odd'>&nbsp;</go-plugin>")),
        ("huge", zip(&[deflated("plugin.xml", long)])),
        ("deep", described(deep)),
        ("malformed", described("<go-plugin id='odd'><about></go-plugin>")),
        ("without-end", described("<go-plugin id='odd'>")),
        ("empty", described("")),
        ("text-after", described(format!("{plain}and more"))),
        ("two-roots", described("<go-plugin id='odd'/><go-plugin id='odd2'/>")),
        ("other-root", described("<plugin id='odd'/>")),
        ("no-id", described("<go-plugin version='1'/>")),
        ("empty-id", described(descriptor(""))),
        ("control", described(descriptor("a&#10;b"))),
        ("blank", described(descriptor("with blank"))),
        ("list", described(descriptor("a,b"))),
        ("long-id", described(descriptor(&"x".repeat(201)))),
        (
            "bundle-first",
            zip(&[stored("plugin.xml", &plain), stored("gocd-bundle.xml", "<x/>")]),
        ),
        ("many", zip(&[deflated("gocd-bundle.xml", bundle)])),
        (
            "two-descriptors",
            zip(&[stored("plugin.xml", &plain), stored("plugin.xml", descriptor("odd2"))]),
        ),
        ("encrypted", with(|file| file.flags = 1)),
        ("other-packing", with(|file| file.method = 12)),
        ("damaged", with(|file| file.bytes = vec![0xff; 20])),
        (
            "other-file-encrypted",
            zip(&[
                stored("plugin.xml", &plain),
                Packed {
                    flags: 1,
                    ..stored("a", "x")
                },
            ]),
        ),
    ]
}

/// Files that are no zip file, or not all of one.
pub(crate) fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let whole = described(descriptor("broken"));
    let list = whole.windows(4).position(|mark| mark == b"PK\x01\x02").expect("a list");
    let without_list = [&whole[..list], &whole[whole.len() - 22..]].concat();
    let mut elsewhere = whole.clone();
    elsewhere[list] = b'X';
    vec![
        ("nothing", Vec::new()),
        ("no-zip", b"no zip".to_vec()),
        ("no-list", whole[..list].to_vec()),
        ("only-the-end", without_list),
        ("list-overwritten", elsewhere),
    ]
}

/// Jars that are packed in rare ways and in order all the same: each is the plugin `rare`.
pub(crate) fn rare() -> Vec<(&'static str, Vec<u8>)> {
    let plain = descriptor("rare");
    let packed = deflated("plugin.xml", &plain);
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><go-plugin id='rare'><about><name>\xfc</name>\
                  <version>1</version></about></go-plugin>";
    vec![
        ("stored", zip(&[stored("plugin.xml", &plain)])),
        (
            "long",
            zip(&[Packed {
                is_long: true,
                ..packed.clone()
            }]),
        ),
        (
            "described-after",
            zip(&[Packed {
                is_described_after: true,
                flags: 8,
                ..packed.clone()
            }]),
        ),
        (
            "after-something",
            [b"#!/bin/sh\n".to_vec(), zip(std::slice::from_ref(&packed))].concat(),
        ),
        (
            "before-something",
            [zip(std::slice::from_ref(&packed)), vec![0; 100]].concat(),
        ),
        ("other-file-twice", zip(&[stored("a", "1"), stored("a", "2"), packed])),
        ("wide", described(wide(&plain))),
        ("latin", described(latin)),
        ("marked", described(format!("\u{feff}{plain}"))),
    ]
}

/// Jars that GoCD could load under our own id.
fn ours() -> Vec<Vec<u8>> {
    let plain = descriptor(OWN_PLUGIN_ID);
    let bundle =
        format!("<gocd-bundle><plugins><plugin id='a'/><plugin id='{OWN_PLUGIN_ID}'/></plugins></gocd-bundle>");
    let long: Vec<u8> = plain.chars().flat_map(|c| (c as u32).to_be_bytes()).collect();
    vec![
        described(&plain),
        described(wide(&plain)),
        described(long),
        described(format!("<!DOCTYPE go-plugin SYSTEM 'http://example.org/'>{plain}")),
        described(descriptor(&OWN_PLUGIN_ID.to_uppercase())),
        described(descriptor(&OWN_PLUGIN_ID.replace("contrib", "contr\u{131}b"))),
        described(descriptor(&OWN_PLUGIN_ID.replace('.', "&#46;"))),
        described(descriptor(&format!(" {OWN_PLUGIN_ID}\n"))),
        zip(&[deflated("gocd-bundle.xml", bundle)]),
        zip(&[stored("plugin.xml", descriptor("a")), stored("plugin.xml", &plain)]),
        zip(&[stored("plugin.xml", &plain), stored("plugin.xml", descriptor("a"))]),
        [b"before".to_vec(), described(&plain)].concat(),
    ]
}

fn inspect(jar: &[u8]) -> Jar {
    Jar::inspect(std::io::Cursor::new(jar))
}

#[test]
fn an_odd_jar_is_no_plugin_and_says_why() {
    for (name, jar) in odd() {
        let Jar::Odd(reason) = inspect(&jar) else {
            panic!("{name}: {:?}", inspect(&jar))
        };
        let warning = inspect(&jar).warning().expect("worth one");
        assert!(
            warning.ends_with(&reason) && reason.starts_with("it"),
            "{name}: {warning}"
        );
        assert!(!reason.chars().any(char::is_control), "{name}: {reason}");
    }
    for (name, jar) in broken() {
        assert_eq!(inspect(&jar), Jar::Broken, "{name}");
        assert!(inspect(&jar).warning().is_some(), "{name}");
    }
    assert_eq!(inspect(&zip(&[stored("a.class", "x")])), Jar::Plain);
    assert_eq!(inspect(&zip(&[])), Jar::Plain);
}

#[test]
fn a_jar_that_is_packed_in_a_rare_way_is_the_plugin_that_it_is() {
    let plugin = Jar::Plugin(PluginIdentity {
        id: "rare".to_owned(),
        version: Some("1".to_owned()),
    });
    for (name, jar) in rare() {
        assert_eq!(inspect(&jar), plugin, "{name}");
        assert_eq!(inspect(&jar).warning(), None, "{name}");
    }
}

#[test]
fn whatever_gocd_could_load_under_our_id_is_ours_and_nothing_else() {
    for (number, jar) in ours().iter().enumerate() {
        assert!(inspect(jar).is_own(), "{number}: {:?}", inspect(jar));
    }
    let plain = descriptor(OWN_PLUGIN_ID);
    let refused_by_java = zip(&[Packed {
        flags: 1,
        ..deflated("plugin.xml", &plain)
    }]);
    let others = [
        refused_by_java,
        described(format!("<!-- {plain} --><go-plugin id='a'/>")),
        described(format!(
            "<go-plugin id='a'><about><name>{OWN_PLUGIN_ID}</name></about></go-plugin>"
        )),
        described(descriptor(&format!("{OWN_PLUGIN_ID}x"))),
        described(descriptor(&format!("a,{OWN_PLUGIN_ID}"))),
        zip(&[stored("sub/plugin.xml", &plain)]),
    ];
    for (number, jar) in others.iter().enumerate() {
        assert!(!inspect(jar).is_own(), "{number}: {:?}", inspect(jar));
    }
}

#[test]
fn a_list_of_files_is_read_in_pieces() {
    /// Notes how much is asked for at once.
    struct Measured<'a>(std::io::Cursor<&'a [u8]>, &'a mut usize);
    impl std::io::Read for Measured<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            *self.1 = buffer.len().max(*self.1);
            self.0.read(buffer)
        }
    }
    impl std::io::Seek for Measured<'_> {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut files = vec![stored("some/name/that/has/a/few/bytes.class", ""); 60_000];
    files.push(stored("plugin.xml", descriptor("last")));
    let (jar, mut most) = (zip(&files), 0);
    let inspected = Jar::inspect(Measured(std::io::Cursor::new(&jar), &mut most));
    assert_eq!(inspected.identity().map(|plugin| plugin.id.as_str()), Some("last"));
    assert!(most <= 128 << 10, "{most} bytes at once of {}", jar.len());
}
