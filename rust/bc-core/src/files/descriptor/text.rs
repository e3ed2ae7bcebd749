//! The text of a descriptor, and what it says of the plugin.
//!
//! Two questions are answered. *Which plugin is it?* only by a descriptor that is in order from its first byte to its
//! last: others have no say. *Could GoCD load it under our own id?* by whatever can be made out, since GoCD reads other
//! encodings than UTF-8, passes over document types, and finds ids alike that differ in case.

use std::borrow::Cow;

use quick_xml::{Reader, events::BytesStart, events::Event};

use crate::{
    basics::words,
    generation::{PluginIdentity, manifest::MAX_PLUGIN_IDS, own_files::OWN_PLUGIN_ID},
};

/// GoCD's own limit for an id (`plugin-descriptor.xsd`).
const MAX_ID: usize = 200;
/// Descriptors have five levels.
const MAX_DEPTH: usize = 64;

/// What a descriptor says.
pub(super) struct Descriptor {
    /// The plugins, or what is odd.
    pub(super) identity: Result<PluginIdentity, &'static str>,
    /// Whether our own id is among those that can be made out.
    pub(super) names_us: bool,
}

/// Reads the text of a plugin descriptor with this root and these elements for plugins.
pub(super) fn read(bytes: &[u8], root: &str, plugin_element: &str) -> Descriptor {
    let (text, encoding) = decoded(bytes);
    let mut reading = Reading {
        root,
        plugin_element,
        path: Vec::new(),
        has_root: false,
        ids: Vec::new(),
        version: None,
        names_us: false,
        odd: encoding.err(),
    };
    let ended = reading.through(&text);
    let (odd, names_us) = (reading.odd.or(ended.err()), reading.names_us);
    let identity = match odd {
        Some(odd) => Err(odd),
        None => reading.identity(),
    };
    Descriptor { identity, names_us }
}

struct Reading<'a> {
    root: &'a str,
    plugin_element: &'a str,
    path: Vec<Vec<u8>>,
    has_root: bool,
    ids: Vec<String>,
    version: Option<String>,
    names_us: bool,
    /// The first thing that is not as it should be.
    odd: Option<&'static str>,
}

impl Reading<'_> {
    /// Goes through the text of a plugin descriptor as far as it can be read.
    fn through(&mut self, text: &str) -> Result<(), &'static str> {
        let mut reader = Reader::from_str(text);
        loop {
            match reader
                .read_event()
                .map_err(|_| "its descriptor is no well-formed XML")?
            {
                Event::Start(start) => {
                    self.element(&start);
                    self.path.push(start.name().as_ref().to_vec());
                    if self.path.len() > MAX_DEPTH {
                        return Err("its descriptor is nested too deeply");
                    }
                }
                Event::Empty(start) => self.element(&start),
                Event::End(_) => {
                    self.path.pop();
                }
                Event::Text(text) => {
                    if self.path.is_empty() && !text.trim_ascii().is_empty() {
                        self.note("its descriptor has text outside of its elements");
                    }
                    if self.version.is_none() && is_version(&self.path) {
                        self.version = readable(&String::from_utf8_lossy(&text));
                    }
                }
                Event::DocType(_) => self.note("its descriptor has a document type"),
                Event::GeneralRef(reference) => {
                    let is_usual = reference.is_char_ref()
                        || ["amp", "lt", "gt", "apos", "quot"]
                            .iter()
                            .any(|usual| usual.as_bytes() == &*reference);
                    if !is_usual || self.path.is_empty() {
                        self.note("its descriptor names an entity that it does not have");
                    }
                }
                Event::Eof if self.path.is_empty() => return Ok(()),
                Event::Eof => return Err("its descriptor has no end"),
                _ => {}
            }
        }
    }

    /// Notes what is odd about the text of a plugin descriptor.
    fn note(&mut self, odd: &'static str) {
        self.odd.get_or_insert(odd);
    }

    /// Takes up an element of a plugin descriptor.
    fn element(&mut self, element: &BytesStart<'_>) {
        if self.path.is_empty() {
            if self.has_root || element.name().as_ref() != self.root.as_bytes() {
                self.note("its descriptor is not one of GoCD's");
            }
            self.has_root = true;
        }
        if element.local_name().as_ref() != self.plugin_element.as_bytes() {
            return;
        }
        let Ok(Some(attribute)) = element.try_get_attribute("id") else {
            return self.note("its descriptor has a plugin without an id");
        };
        let Ok(id) = attribute.unescape_value() else {
            return self.note("its descriptor names an entity that it does not have");
        };
        self.names_us |= is_ours(&id);
        let is_legal = (1..=MAX_ID).contains(&id.len())
            && id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if is_legal {
            self.ids.push(id.into_owned());
        } else {
            self.note("its descriptor has an id that is none");
        }
    }

    /// The identity of the plugin that the text of a descriptor names, or why there is none.
    fn identity(self) -> Result<PluginIdentity, &'static str> {
        let id = self.ids.join(",");
        if id.is_empty() {
            return Err("its descriptor has a plugin without an id");
        }
        if id.len() > MAX_PLUGIN_IDS {
            return Err("its descriptor has more plugins than any bundle");
        }
        Ok(PluginIdentity {
            id,
            version: self.version,
        })
    }
}

/// Whether Java could take a plugin id for ours: it compares without regard to case, also that of letters beyond ASCII.
fn is_ours(id: &str) -> bool {
    let alike = |c: char| match c {
        'ı' | 'İ' => 'i',
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    // A list of ids that is hidden in one is none of ours; blanks around one go.
    id.trim().chars().map(alike).eq(OWN_PLUGIN_ID.chars())
}

/// Whether the version of a plugin is in this element of a descriptor.
fn is_version(path: &[Vec<u8>]) -> bool {
    matches!(path, [.., about, version] if about == b"about" && version == b"version")
}

/// A plugin's version as it may be shown to people: a short line without control characters.
fn readable(text: &str) -> Option<String> {
    let line = words::shown(text.trim(), MAX_ID);
    (!line.is_empty()).then_some(line)
}

/// The text of a plugin descriptor as an XML parser would decode it, and what is odd about its encoding.
fn decoded(bytes: &[u8]) -> (Cow<'_, str>, Result<(), &'static str>) {
    let odd = Err("its descriptor is not in the encoding that it says");
    let wide = |unit: usize, at: usize, bytes: &[u8]| wide(bytes, unit, at);
    let (text, is_right) = match bytes {
        [0, 0, 0xfe, 0xff, rest @ ..] | rest @ [0, 0, 0, b'<', ..] => wide(4, 3, rest),
        [0xff, 0xfe, 0, 0, rest @ ..] | rest @ [b'<', 0, 0, 0, ..] => wide(4, 0, rest),
        [0xfe, 0xff, rest @ ..] | rest @ [0, b'<', ..] => wide(2, 1, rest),
        [0xff, 0xfe, rest @ ..] | rest @ [b'<', 0, ..] => wide(2, 0, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => {
            return match str::from_utf8(rest) {
                Ok(text) => (text.into(), Ok(())),
                Err(_) => {
                    // The letters that matter are the same in all encodings that people use.
                    let text: String = rest.iter().map(|byte| char::from(*byte)).collect();
                    let says_so = if says_another_encoding(&text) { Ok(()) } else { odd };
                    (text.into(), says_so)
                }
            };
        }
    };
    (text.into(), if is_right { Ok(()) } else { odd })
}

/// Decodes a descriptor in units of two or four bytes, of which the one at `at` is the lowest.
fn wide(bytes: &[u8], unit: usize, at: usize) -> (String, bool) {
    let number = |unit: &[u8]| {
        let digits = unit.iter().map(|byte| u32::from(*byte));
        if at == 0 {
            digits.rev().fold(0, |number, digit| number << 8 | digit)
        } else {
            digits.fold(0, |number, digit| number << 8 | digit)
        }
    };
    let units = bytes.chunks_exact(unit);
    let mut is_right = units.remainder().is_empty();
    let mut replaced = |c: Option<char>| {
        is_right &= c.is_some();
        c.unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    let text = if unit == 2 {
        let halves = units.map(|unit| number(unit) as u16);
        char::decode_utf16(halves).map(|c| replaced(c.ok())).collect()
    } else {
        units.map(|unit| replaced(char::from_u32(number(unit)))).collect()
    };
    (text, is_right)
}

/// Whether the text of a plugin descriptor says of itself that it has another encoding than UTF-8.
fn says_another_encoding(text: &str) -> bool {
    let declaration = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    declaration.is_some_and(|(declaration, _)| {
        let says = declaration.to_ascii_lowercase();
        ["iso-8859-", "windows-12", "us-ascii", "latin"]
            .iter()
            .any(|encoding| says.contains(encoding))
    })
}
