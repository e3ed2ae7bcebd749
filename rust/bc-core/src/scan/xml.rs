//! Whether an XML file is all there, and the little that we read from it.

use std::borrow::Cow;

use memchr::memmem;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

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
    /// Finds out in a fraction of a millisecond whether a text has its end, however long it is. Every beginning of
    /// a whole text is refused; a mistake in the middle of a text that has its end is not noticed, for that is no
    /// matter of who is writing: [`Outline::read`] does.
    ///
    /// # Errors
    /// As [`Outline::read`].
    pub fn skim(text: &[u8]) -> Result<Self, String> {
        match head(text) {
            Some(outline) if has_end(text, &outline.root) => Ok(outline),
            // Unusual, or not whole: then it is worth the time.
            _ => Self::read(text),
        }
    }

    /// Reads through the whole text: every tag is closed and nothing but blanks, comments and instructions
    /// follows the root. Nothing outside the text is ever fetched.
    ///
    /// # Errors
    /// Why it is not a whole XML file, to be read after the file's name.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        Self::visit(text, &mut Nobody)
    }

    /// As [`Outline::read`], and shows every part of the text to somebody on the way.
    ///
    /// # Errors
    /// As [`Outline::read`]; the visitor has then seen what comes before.
    pub fn visit<'a>(text: &'a [u8], visitor: &mut impl Visitor<'a>) -> Result<Self, String> {
        let mut reader = Reader::from_reader(text);
        let mut outline: Option<Self> = None;
        let mut has_doctype = false;
        let mut depth = 0_usize;
        loop {
            let event = reader
                .read_event()
                .map_err(|error| format!("is not whole: {error} at byte {}", reader.error_position()))?;
            let end = reader.buffer_position();
            match event {
                Event::Start(start) => {
                    open(&mut outline, &start, depth)?;
                    depth += 1;
                    visitor.open(&start, end);
                }
                Event::Empty(start) => {
                    open(&mut outline, &start, depth)?;
                    visitor.open(&start, end);
                    visitor.close();
                }
                Event::End(_) => {
                    depth -= 1;
                    visitor.close();
                }
                Event::DocType(_) => has_doctype = true,
                Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => {
                    return Err("has text outside its root element".to_owned());
                }
                Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                    return Err("has text outside its root element".to_owned());
                }
                Event::Text(text) => visitor.text(text.into_inner(), end),
                Event::CData(text) => visitor.text(text.into_inner(), end),
                Event::Eof => break,
                _ => {}
            }
        }
        if depth > 0 {
            return Err("is not whole: it ends before its last closing tag".to_owned());
        }
        let outline = outline.ok_or("is empty")?;
        Ok(Self { has_doctype, ..outline })
    }
}

/// Who is shown the parts of a text in their order. An `end` is the place in the text after the part.
pub trait Visitor<'a> {
    /// An element begins; one without content ends at once.
    fn open(&mut self, element: &BytesStart<'a>, end: u64);

    /// Text inside an element, its entities not resolved.
    fn text(&mut self, text: Cow<'a, [u8]>, end: u64);

    /// The innermost element ends.
    fn close(&mut self);
}

struct Nobody;

impl<'a> Visitor<'a> for Nobody {
    fn open(&mut self, _: &BytesStart<'a>, _: u64) {}

    fn text(&mut self, _: Cow<'a, [u8]>, _: u64) {}

    fn close(&mut self) {}
}

fn open(outline: &mut Option<Outline>, element: &BytesStart<'_>, depth: usize) -> Result<(), String> {
    match (outline, depth) {
        (Some(_), 0) => return Err("has two root elements".to_owned()),
        (outline @ None, _) => {
            *outline = Some(Outline {
                root: String::from_utf8_lossy(element.name().as_ref()).into_owned(),
                has_doctype: false,
                schema_version: attribute(element, "schemaVersion"),
                server_id: None,
            });
        }
        (Some(outline), 1) if element.name().as_ref() == b"server" => {
            outline.server_id = attribute(element, "serverId");
        }
        _ => {}
    }
    Ok(())
}

/// What the root's tag and its first child say; GoCD's schema has `server` there or nowhere (`cruise-config.xsd`).
fn head(text: &[u8]) -> Option<Outline> {
    let mut reader = Reader::from_reader(text);
    let mut outline = None;
    let mut has_doctype = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let depth = usize::from(outline.is_some());
                open(&mut outline, &start, depth).ok()?;
                if depth == 1 {
                    break;
                }
            }
            Event::Empty(start) if outline.is_some() => {
                open(&mut outline, &start, 1).ok()?;
                break;
            }
            Event::DocType(_) => has_doctype = true,
            Event::Text(text) if outline.is_none() && !text.trim_ascii().is_empty() => return None,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Text(_) => {}
            _ => return None,
        }
    }
    outline.map(|outline| Outline { has_doctype, ..outline })
}

/// Whether the one closing tag of the root is there, is no part of a comment or of character data, and nothing but
/// blanks, comments and instructions follows.
fn has_end(text: &[u8], root: &str) -> bool {
    let closing = format!("</{root}");
    let mut found = memmem::find_iter(text, closing.as_bytes());
    let (Some(at), None) = (found.next(), found.next()) else {
        return false;
    };
    let (before, tail) = (&text[..at], &text[at + closing.len()..]);
    let Some(tail) = tail.trim_ascii_start().strip_prefix(b">") else {
        return false;
    };
    is_closed(before, b"<!--", b"-->")
        && is_closed(before, b"<![CDATA[", b"]]>")
        && is_closed(before, b"<?", b"?>")
        && is_blank(tail)
}

/// Whether the last `open` has its `close`.
fn is_closed(text: &[u8], open: &[u8], close: &[u8]) -> bool {
    memmem::find_iter(text, open)
        .last()
        .is_none_or(|at| memmem::find(&text[at..], close).is_some())
}

fn is_blank(text: &[u8]) -> bool {
    let mut reader = Reader::from_reader(text);
    loop {
        match reader.read_event() {
            Ok(Event::Comment(_) | Event::PI(_)) => {}
            Ok(Event::Text(text)) if text.trim_ascii().is_empty() => {}
            Ok(Event::Eof) => return true,
            _ => return false,
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    Some(attribute.unescape_value().ok()?.into_owned())
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
