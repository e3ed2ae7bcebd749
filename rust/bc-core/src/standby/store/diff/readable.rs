//! A cruise-config.xml as it may be shown: one tag a line, and a mark in the place of all that may be secret
//! ([`secret`]).
//!
//! The text is not cut into what is secret and what is not: it is read whole and written anew, so that nothing is
//! shown which was not looked at. Comments are not shown at all, for whatever was commented out is in them.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    basics::words,
    gocd::{
        secret,
        xml::{self, Outline, Visitor},
    },
};

/// Elements within elements beyond which a text is none of GoCD's.
const DEEPEST: usize = 100;

/// A whole configuration, line by line. It has the secrets, so it has no Debug.
pub(super) struct Readable {
    lines: Vec<Vec<Part>>,
    hidden: Vec<Hidden>,
}

enum Part {
    Shown(String),
    /// The place in `hidden`.
    Hidden(usize),
}

/// What is not shown.
struct Hidden {
    /// Where it is, the same in another version of the configuration.
    path: String,
    what: &'static str,
    value: String,
}

impl Readable {
    /// The readable form of a configuration that is not there.
    pub(super) fn nothing() -> Self {
        Self {
            lines: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Reads a configuration into its readable form. None where it is not whole.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let document = parse(text)?;
        let mut readable = Self::nothing();
        for node in &document {
            readable.node(node, "", 0, Secrecy::Open);
        }
        Some(readable)
    }

    /// The lines of the readable forms of two configurations. A secret that differs is marked as such in both.
    pub(super) fn both(from: &Self, to: &Self) -> (Vec<String>, Vec<String>) {
        let (before, after) = (from.by_path(), to.by_path());
        (
            from.text(&differing(&before, &after), "former value"),
            to.text(&differing(&after, &before), "new value"),
        )
    }

    /// The hidden values of each path, in their order.
    fn by_path(&self) -> BTreeMap<&str, Vec<(usize, &str)>> {
        let mut all: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
        for (place, hidden) in self.hidden.iter().enumerate() {
            all.entry(&hidden.path).or_default().push((place, &hidden.value));
        }
        all
    }

    /// The lines of a readable configuration, with `word` for each hidden value that differs.
    fn text(&self, differing: &[usize], word: &str) -> Vec<String> {
        let in_words = |part: &Part| match part {
            Part::Shown(text) => text.clone(),
            Part::Hidden(place) if differing.binary_search(place).is_ok() => {
                format!("[{}: {word}]", self.hidden[*place].what)
            }
            Part::Hidden(place) => format!("[{}]", self.hidden[*place].what),
        };
        self.lines
            .iter()
            .map(|line| line.iter().map(in_words).collect())
            .collect()
    }

    /// Adds a node of a configuration to its readable form.
    fn node(&mut self, node: &Node, path: &str, depth: usize, secrecy: Secrecy) {
        match node {
            Node::Element(element) => self.element(element, path, depth, secrecy),
            Node::Comment(text) => {
                let comment = self.hide(path, "comment", text.clone());
                self.line(depth, vec![shown("<!-- "), comment, shown(" -->")]);
            }
            Node::Text(text) => {
                let parts = self.visible(path, text.trim());
                self.text_lines(depth, parts);
            }
        }
    }

    /// Adds an element of a configuration to its readable form.
    fn element(&mut self, element: &Element, parent: &str, depth: usize, secrecy: Secrecy) {
        let own_names = element.own_names();
        let path = format!("{parent}/{}[{}]", element.name, own_names.join(" "));
        let within = match secrecy {
            Secrecy::Open if element.is_secret() => Secrecy::Hidden,
            other => other,
        };
        let is_named_as_secret = own_names.iter().any(|name| secret::is_named_so(name));

        let mut tag = self.visible(&path, &format!("<{}", element.name));
        for (key, value) in &element.attributes {
            let is_secret = secrecy == Secrecy::Hidden
                || secret::may_be_attribute(key)
                || (key == "value" && (within == Secrecy::Hidden || is_named_as_secret));
            tag.extend(self.visible(&path, &format!(" {key}=\"")));
            let at = format!("{path}@{key}");
            tag.extend(if is_secret {
                vec![self.hide(&at, "secret", value.clone())]
            } else {
                self.visible(&at, &one_line(value))
            });
            tag.push(shown("\""));
        }

        let text = element.text();
        let is_leaf = element.children.iter().all(|child| matches!(child, Node::Text(_)));
        let hides_text = within == Secrecy::Hidden
            || is_named_as_secret
            || (is_leaf && secret::is_named_so(&element.name))
            || secret::may_be_in(&text);
        let end = format!("</{}>", element.name);
        if is_leaf && text.trim().is_empty() {
            tag.push(shown("/>"));
            self.line(depth, tag);
        } else if is_leaf {
            tag.push(shown(">"));
            let content = if hides_text {
                vec![self.hide(&path, "secret", text)]
            } else {
                self.visible(&path, text.trim())
            };
            tag.extend(content);
            tag.extend(self.visible(&path, &end));
            self.text_lines(depth, tag);
        } else {
            tag.push(shown(">"));
            self.line(depth, tag);
            let mut is_text_told = text.trim().is_empty();
            for child in &element.children {
                match child {
                    Node::Text(_) if hides_text => {
                        if !is_text_told {
                            let hidden = self.hide(&path, "secret", text.clone());
                            self.line(depth + 1, vec![hidden]);
                        }
                        is_text_told = true;
                    }
                    Node::Text(text) if text.trim().is_empty() => {}
                    Node::Element(value) if value.name == "value" && is_named_as_secret => {
                        self.node(child, &path, depth + 1, Secrecy::Hidden);
                    }
                    child => self.node(child, &path, depth + 1, within),
                }
            }
            let end = self.visible(&path, &end);
            self.line(depth, end);
        }
    }

    /// A text that is shown but for what is secret in it.
    fn visible(&mut self, path: &str, text: &str) -> Vec<Part> {
        if secret::may_be_in(text) {
            return vec![self.hide(path, "secret", text.to_owned())];
        }
        let mut parts = Vec::new();
        for piece in secret::pieces(text) {
            parts.push(if piece.is_secret {
                self.hide(path, "secret", piece.text.to_owned())
            } else {
                Part::Shown(words::printable(piece.text))
            });
        }
        parts
    }

    /// Hides a value of a configuration that may be secret.
    fn hide(&mut self, path: &str, what: &'static str, value: String) -> Part {
        self.hidden.push(Hidden {
            path: path.to_owned(),
            what,
            value,
        });
        Part::Hidden(self.hidden.len() - 1)
    }

    /// Adds a line to the readable form of a configuration.
    fn line(&mut self, depth: usize, mut parts: Vec<Part>) {
        parts.insert(0, Part::Shown("  ".repeat(depth)));
        self.lines.push(parts);
    }

    /// Parts whose shown text may have several lines.
    fn text_lines(&mut self, depth: usize, parts: Vec<Part>) {
        let mut line = Vec::new();
        for part in parts {
            match part {
                Part::Shown(text) => {
                    let mut lines = text.split('\n');
                    line.extend(lines.next().map(shown));
                    for next in lines {
                        self.line(depth, std::mem::take(&mut line));
                        line.push(shown(next));
                    }
                }
                hidden @ Part::Hidden(_) => line.push(hidden),
            }
        }
        self.line(depth, line);
    }
}

fn shown(text: &str) -> Part {
    Part::Shown(text.to_owned())
}

/// A text on one line.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r', '\t']).collect::<Vec<_>>().join(" ")
}

/// Which hidden values of `these` are not the same in `others`: by their order where both have as many, else by their
/// values.
fn differing(these: &BTreeMap<&str, Vec<(usize, &str)>>, others: &BTreeMap<&str, Vec<(usize, &str)>>) -> Vec<usize> {
    let mut differing = Vec::new();
    for (path, values) in these {
        let Some(others) = others.get(path) else { continue };
        for (at, (place, value)) in values.iter().enumerate() {
            let is_same = if values.len() == others.len() {
                others[at].1 == *value
            } else {
                others.iter().any(|(_, other)| other == value)
            };
            if !is_same {
                differing.push(*place);
            }
        }
    }
    differing.sort_unstable();
    differing
}

/// Whether everything inside is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Open,
    Hidden,
}

enum Node {
    Element(Element),
    Text(String),
    /// A comment, an instruction or a document type.
    Comment(String),
}

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Node>,
}

impl Element {
    /// An element of the readable form; none where an attribute is not whole.
    fn of(tag: &xml::Element<'_>) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let attributes = tag.attributes().map(|attribute| {
            let attribute = attribute.ok()?;
            let value = attribute.unescape_value();
            let value = value.map_or_else(|_| text(&attribute.value), Cow::into_owned);
            Some((text(attribute.key.as_ref()), value))
        });
        Some(Self {
            name: text(tag.name()),
            attributes: attributes.collect::<Option<_>>()?,
            children: Vec::new(),
        })
    }

    /// Whether GoCD says that an element is secret: an encrypted value, or `secure="true"`.
    fn is_secret(&self) -> bool {
        let says_so = |(key, value): &(String, String)| secret::says_secure(key, value);
        secret::may_be_encrypted_under(&self.name) || self.attributes.iter().any(says_so)
    }

    /// What people call an element: its attribute or child `name` or `key`.
    fn own_names(&self) -> Vec<String> {
        let is_name = |name: &str| matches!(name, "name" | "key" | "group" | "id");
        let attributes = self.attributes.iter().filter(|(key, _)| is_name(key));
        let children = self.children.iter().filter_map(|child| match child {
            Node::Element(child) if is_name(&child.name) => Some(child.text().trim().to_owned()),
            _ => None,
        });
        attributes.map(|(_, value)| value.clone()).chain(children).collect()
    }

    /// The text that is directly in an element.
    fn text(&self) -> String {
        let text = |child: &Node| match child {
            Node::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.children.iter().filter_map(text).collect()
    }

    /// Adds text to an element of the readable form.
    fn push_text(&mut self, more: &str) {
        match self.children.last_mut() {
            Some(Node::Text(text)) => text.push_str(more),
            _ => self.children.push(Node::Text(more.to_owned())),
        }
    }
}

/// Parses a whole configuration into nodes; none where it is not whole, or deeper than any configuration.
fn parse(text: &[u8]) -> Option<Vec<Node>> {
    let mut building = Building {
        open: vec![Element {
            name: String::new(),
            attributes: Vec::new(),
            children: Vec::new(),
        }],
        is_odd: false,
    };
    let text = String::from_utf8_lossy(text);
    Outline::visit(text.as_bytes(), &mut building).ok()?;
    let document = building.open.pop()?;
    (!building.is_odd).then_some(document.children)
}

/// The elements that are open, the innermost one last.
struct Building {
    open: Vec<Element>,
    /// Whether something was there of which it cannot be told what in it is secret. Nothing is built from there on.
    is_odd: bool,
}

impl Building {
    /// What is built on; none once something was odd.
    fn innermost(&mut self) -> Option<&mut Element> {
        self.open.last_mut().filter(|_| !self.is_odd)
    }
}

impl Visitor for Building {
    fn open(&mut self, tag: xml::Element<'_>, _: u64) {
        match Element::of(&tag) {
            Some(element) if !self.is_odd && self.open.len() <= DEEPEST => self.open.push(element),
            _ => self.is_odd = true,
        }
    }

    fn text(&mut self, text: &[u8], _: u64) {
        if let Some(innermost) = self.innermost() {
            innermost.push_text(&String::from_utf8_lossy(text));
        }
    }

    fn reference(&mut self, reference: &[u8]) {
        let text = match xml::resolved(reference) {
            Some(text) => text,
            None if reference.starts_with(b"#") => {
                // A character that there is not.
                self.is_odd = true;
                return;
            }
            None => format!("&{};", String::from_utf8_lossy(reference)),
        };
        if let Some(innermost) = self.innermost() {
            innermost.push_text(&text);
        }
    }

    fn close(&mut self) {
        if self.is_odd {
            return;
        }
        if let Some(closed) = self.open.pop()
            && let Some(parent) = self.innermost()
        {
            parent.children.push(Node::Element(closed));
        }
    }

    fn aside(&mut self, text: &[u8]) {
        if let Some(innermost) = self.innermost() {
            let text = String::from_utf8_lossy(text).into_owned();
            innermost.children.push(Node::Comment(text));
        }
    }
}
