//! Whether an XML file is all there, and the little that we read from it.
//!
//! | who | does | 2 MB take |
//! |---|---|---|
//! | [`Outline::skim`] | looks at head and end, in `skim` | a fraction of a millisecond |
//! | [`Outline::read`] | looks at every character, in `sweep` | 3 ms |
//! | [`Outline::visit`] | shows a visitor all parts, by a parser that takes more than XML 1.0 allows | 4 ms |
//! | `strict` | has the last word on whatever is unusual: whether it is well-formed | about 80 ms |

use std::ops::ControlFlow;

use quick_xml::{
    Reader,
    escape::unescape,
    events::{
        BytesStart, Event,
        attributes::{AttrError, Attribute, Attributes},
    },
};

mod skim;
mod strict;
mod sweep;

/// What we want to know of a whole XML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Name of the root element.
    pub root: String,
    /// Whether it has a document type, which could name other files.
    pub has_doctype: bool,
    /// `schemaVersion` of the root.
    pub schema_version: Option<String>,
    /// `serverId` of the root's child `server`.
    pub server_id: Option<String>,
}

impl Outline {
    /// Finds out in a fraction of a millisecond whether an XML text has its end, however long it is. Every beginning of
    /// a whole text is refused; a mistake in the middle of a text that has its end is not noticed, for that is no
    /// matter of who is writing: [`Outline::read`] does.
    ///
    /// # Errors
    /// As [`Outline::read`].
    pub fn skim(text: &[u8]) -> Result<Self, String> {
        // Unusual, or not whole: then it is worth the time.
        skim::skim(text).map_or_else(|| Self::read(text), Ok)
    }

    /// Reads an XML text through for its outline: it is well-formed by XML 1.0 and its namespaces. Nothing outside the
    /// text is ever fetched.
    ///
    /// # Errors
    /// Why it is not, to be read after the file's name.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        Self::read_with::<Nobody>(text).map(|(outline, _)| outline)
    }

    /// Reads an XML text through as [`Outline::read`], and shows every part of it to a new visitor.
    ///
    /// # Errors
    /// As [`Outline::read`].
    pub fn read_with<V: Visitor + Default>(text: &[u8]) -> Result<(Self, V), String> {
        let mut visitor = V::default();
        if let Some(outline) = sweep::sweep(text, &mut visitor) {
            return Ok((outline, visitor));
        }
        let mut visitor = V::default();
        let visited = Self::visit(text, &mut visitor);
        match strict::check(text) {
            Ok(()) => Ok((visited?, visitor)),
            // In what way it is not whole the visit says better.
            Err(strict::Flaw::EndsTooEarly) => {
                Err(visited.err().unwrap_or_else(|| strict::Flaw::EndsTooEarly.to_string()))
            }
            Err(flaw) => Err(flaw.to_string()),
        }
    }

    /// Shows every part of an XML text to somebody, by a parser that goes on where others refuse: a text that it takes
    /// has its end, and each tag is closed.
    ///
    /// # Errors
    /// Why the text is not whole; the visitor has then seen what comes before.
    pub fn visit(text: &[u8], visitor: &mut impl Visitor) -> Result<Self, String> {
        let mut reader = Reader::from_reader(text);
        let mut walk = Walk::default();
        loop {
            let event = reader
                .read_event()
                .map_err(|error| format!("is not whole: {error} at byte {}", reader.error_position()))?;
            let end = reader.buffer_position();
            if walk.step(event, end, visitor)?.is_break() {
                return walk.end();
            }
        }
    }
}

/// Who is shown the parts of a text in their order. An `end` is the place in the text after the part.
pub trait Visitor {
    /// Hears that an element begins; one without content ends at once.
    fn open(&mut self, element: Element<'_>, end: u64);

    /// Hears a text inside an element, its entities not resolved.
    fn text(&mut self, text: &[u8], end: u64);

    /// Hears that the innermost element ends.
    fn close(&mut self);

    /// Hears a reference in the text of an element, without its `&` and `;`: see `resolved`.
    fn reference(&mut self, _: &[u8]) {}

    /// Hears a comment, an instruction or a document type. Shown by [`Outline::visit`] alone.
    fn aside(&mut self, _: &[u8]) {}
}

/// What stands for a reference: a character by its number, or one of the five that XML names.
pub(crate) fn resolved(reference: &[u8]) -> Option<String> {
    let reference = format!("&{};", str::from_utf8(reference).ok()?);
    Some(unescape(&reference).ok()?.into_owned())
}

/// The tag that opens an element.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    /// All between `<` and `>`, or `/>`.
    content: &'a [u8],
    name_length: usize,
}

impl<'a> Element<'a> {
    /// The name of the XML element.
    pub fn name(&self) -> &'a [u8] {
        &self.content[..self.name_length]
    }

    /// The attributes of the XML element as they are written.
    pub fn attributes_text(&self) -> &'a [u8] {
        &self.content[self.name_length..]
    }

    /// The attributes of the XML element, and in the place of each that is not well-formed why it is none. None in a
    /// tag that is not UTF-8.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, AttrError>> {
        let content = str::from_utf8(self.content).unwrap_or_default();
        Attributes::new(content, self.name_length.min(content.len()))
    }

    /// The value of an attribute of the XML element, entities resolved; none where it is missing or cannot be read.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let attribute = self
            .attributes()
            .flatten()
            .find(|attribute| attribute.key.as_ref() == name.as_bytes())?;
        Some(attribute.unescape_value().ok()?.into_owned())
    }
}

impl<'a> From<&'a BytesStart<'_>> for Element<'a> {
    fn from(start: &'a BytesStart<'_>) -> Self {
        Self {
            content: start,
            name_length: start.name().as_ref().len(),
        }
    }
}

#[derive(Default)]
struct Nobody;

impl Visitor for Nobody {
    fn open(&mut self, _: Element<'_>, _: u64) {}

    fn text(&mut self, _: &[u8], _: u64) {}

    fn close(&mut self) {}
}

/// What was seen so far of a text.
#[derive(Default)]
struct Walk {
    outline: Option<Outline>,
    has_doctype: bool,
    depth: usize,
}

impl Walk {
    /// Takes the next part of an XML text; breaks off after the last one.
    fn step(&mut self, event: Event<'_>, end: u64, visitor: &mut impl Visitor) -> Result<ControlFlow<()>, String> {
        match event {
            Event::Start(start) => {
                open(&mut self.outline, (&start).into(), self.depth)?;
                self.depth += 1;
                visitor.open((&start).into(), end);
            }
            Event::Empty(start) => {
                open(&mut self.outline, (&start).into(), self.depth)?;
                visitor.open((&start).into(), end);
                visitor.close();
            }
            Event::End(_) => {
                self.depth -= 1;
                visitor.close();
            }
            Event::DocType(doctype) => {
                self.has_doctype = true;
                visitor.aside(&doctype);
            }
            Event::Comment(comment) => visitor.aside(&comment),
            Event::PI(instruction) => visitor.aside(&instruction),
            Event::Text(text) if self.depth == 0 && text.trim_ascii().is_empty() => {}
            Event::Text(_) if self.depth == 0 => return Err("has text outside its root element".to_owned()),
            Event::CData(_) | Event::GeneralRef(_) if self.depth == 0 => {
                return Err("has text outside its root element".to_owned());
            }
            Event::Text(text) => visitor.text(&text, end),
            Event::CData(text) => visitor.text(&text, end),
            Event::GeneralRef(reference) => visitor.reference(&reference),
            Event::Eof => return Ok(ControlFlow::Break(())),
            Event::Decl(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Ends the walk through an XML text, and gives its outline.
    fn end(self) -> Result<Outline, String> {
        if self.depth > 0 {
            return Err("is not whole: it ends before its last closing tag".to_owned());
        }
        let outline = self.outline.ok_or("is empty")?;
        Ok(Outline {
            has_doctype: self.has_doctype,
            ..outline
        })
    }
}

/// Takes up into the outline what the root and its child `server` say.
fn open(outline: &mut Option<Outline>, element: Element<'_>, depth: usize) -> Result<(), String> {
    match (outline, depth) {
        (Some(_), 0) => return Err("has two root elements".to_owned()),
        (outline @ None, _) => {
            *outline = Some(Outline {
                root: String::from_utf8_lossy(element.name()).into_owned(),
                has_doctype: false,
                schema_version: element.attribute("schemaVersion"),
                server_id: None,
            });
        }
        (Some(outline), 1) if element.name() == b"server" => {
            outline.server_id = element.attribute("serverId");
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_file_is_not_whole() {
        let text = "<?xml version=\"1.0\"?>\n<cruise schemaVersion=\"139\"><server serverId=\"a&amp;b\"/>\
                    <pipelines><!-- </cruise> --><x y='>'/><![CDATA[</cruise>]]></pipelines></cruise>";
        for end in 0..text.len() {
            assert!(Outline::read(&text.as_bytes()[..end]).is_err(), "{}", &text[..end]);
            assert!(Outline::skim(&text.as_bytes()[..end]).is_err(), "{}", &text[..end]);
        }
        let outline = Outline::read(text.as_bytes()).expect("whole");
        assert_eq!(Outline::skim(text.as_bytes()), Ok(outline.clone()));
        assert_eq!(outline.root, "cruise");
        assert_eq!(outline.schema_version.as_deref(), Some("139"));
        assert_eq!(outline.server_id.as_deref(), Some("a&b"));
        assert!(!outline.has_doctype);
    }

    #[test]
    fn a_comment_or_blank_after_the_root_is_fine() {
        for text in [
            "<cruise/>",
            "\u{FEFF}<cruise></cruise>\r\n",
            "<cruise/><!-- end --> \n<?x y?>",
        ] {
            assert_eq!(Outline::read(text.as_bytes()).expect(text).root, "cruise");
            assert_eq!(Outline::skim(text.as_bytes()), Outline::read(text.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_xml_file() {
        for text in [
            "", "  \n", "cruise", "<a></b>", "<a/><b/>", "<a/>text", "<a>x</a", "<a>&</a>", "\0\0\0\0",
        ] {
            assert!(Outline::read(text.as_bytes()).is_err(), "{text}");
            assert!(Outline::skim(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn skimming_needs_no_look_at_the_middle() {
        let text = "<?xml version=\"1.0\"?><!-- a --><cruise schemaVersion=\"139\">\n<server serverId=\"one\">x</server>\
                    <a><b></a><!-- c --></cruise >\n<!-- d -->";
        let outline = Outline::skim(text.as_bytes()).expect("it has its end");
        assert_eq!(outline.server_id.as_deref(), Some("one"));
        assert_eq!(outline.schema_version.as_deref(), Some("139"));
        Outline::read(text.as_bytes()).expect_err("b is not closed");
    }

    #[test]
    fn jettys_doctype_is_noticed_and_not_fetched() {
        let text = "<?xml version=\"1.0\"?><!DOCTYPE Configure PUBLIC \"-//Jetty//Configure//EN\" \
                    \"http://www.eclipse.org/jetty/configure_10_0.dtd\"><Configure id=\"Server\"/>";
        assert!(Outline::read(text.as_bytes()).expect("whole").has_doctype);
    }
}
