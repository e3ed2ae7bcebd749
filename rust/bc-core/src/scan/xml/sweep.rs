//! One pass over every tag of a usual text, more than twice as quick as a parser: reading a large configuration through
//! is what a change of it waited for longest.
//!
//! It knows tags, text with references, comments, character data and instructions, and leaves everything that looks
//! unusual, wrong or broken off to the parser. So it refuses nothing, and what it takes for whole the parser does too.

use memchr::{memchr, memchr2, memmem};

use super::{Element, Outline, Visitor, open};

/// Reads a whole text. None where it is for the parser; the visitor has then seen a part of it.
pub(super) fn sweep(text: &[u8], visitor: &mut impl Visitor) -> Option<Outline> {
    let mut sweep = Sweep {
        text,
        at: 0,
        open: Vec::new(),
        outline: None,
    };
    while let Some(first) = sweep.rest().first() {
        if *first != b'<' {
            sweep.characters(visitor)?;
            continue;
        }
        match sweep.rest().get(1)? {
            b'/' => sweep.close(visitor)?,
            b'!' => sweep.declaration(visitor)?,
            b'?' => sweep.instruction()?,
            _ => sweep.tag(visitor)?,
        }
    }
    sweep.outline.filter(|_| sweep.open.is_empty())
}

struct Sweep<'a> {
    text: &'a [u8],
    /// The place after the last part.
    at: usize,
    /// Names of the elements that we are in.
    open: Vec<&'a [u8]>,
    outline: Option<Outline>,
}

impl<'a> Sweep<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// The next part has so many bytes. Returns the place after it.
    fn pass(&mut self, length: usize) -> u64 {
        self.at += length;
        self.at as u64
    }

    /// Text or a reference, up to the next tag or reference.
    fn characters(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let rest = self.rest();
        if let Some(name) = rest.strip_prefix(b"&") {
            let length = memchr(b';', name).filter(|length| *length > 0 && !self.open.is_empty())?;
            let mut name = name[..length].iter();
            name.all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#')
                .then_some(())?;
            self.pass(length + 2);
            return Some(());
        }
        let text = &rest[..memchr2(b'<', b'&', rest).unwrap_or(rest.len())];
        let end = self.pass(text.len());
        if self.open.is_empty() {
            text.trim_ascii().is_empty().then_some(())?;
        } else {
            visitor.text(text, end);
        }
        Some(())
    }

    /// A tag that opens an element, or is one without content.
    fn tag(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let rest = &self.rest()[1..];
        let name_length = rest
            .iter()
            .position(|byte| !is_of_name(*byte))
            .filter(|length| *length > 0)?;
        let length = match rest[name_length] {
            b'>' => name_length,
            b'/' | b' ' | b'\n' | b'\r' | b'\t' => name_length + tag_length(&rest[name_length..])?,
            _ => return None,
        };
        let (content, is_empty) = match rest[..length].strip_suffix(b"/") {
            Some(content) => (content, true),
            None => (&rest[..length], false),
        };
        // A slash elsewhere after the name.
        content
            .get(name_length)
            .is_none_or(u8::is_ascii_whitespace)
            .then_some(())?;
        let element = Element { content, name_length };
        let end = self.pass(length + 2);
        // Deeper elements say nothing that the outline has.
        if self.open.len() < 2 {
            open(&mut self.outline, element, self.open.len()).ok()?;
        }
        visitor.open(element, end);
        if is_empty {
            visitor.close();
        } else {
            self.open.push(element.name());
        }
        Some(())
    }

    /// The tag that closes the innermost element.
    fn close(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let name = self.open.pop()?;
        let rest = self.rest()[2..].strip_prefix(name)?;
        (rest.first() == Some(&b'>')).then_some(())?;
        self.pass(name.len() + 3);
        visitor.close();
        Some(())
    }

    /// A comment, or character data inside an element.
    fn declaration(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let rest = self.rest();
        if let Some(comment) = rest.strip_prefix(b"<!--") {
            let length = memmem::find(comment, b"--")?;
            let is_usual = length > 0 && comment[0] != b'>' && comment[length + 2..].starts_with(b">");
            is_usual.then_some(())?;
            self.pass(length + 7);
        } else {
            let data = rest.strip_prefix(b"<![CDATA[").filter(|_| !self.open.is_empty())?;
            let length = memmem::find(data, b"]]>")?;
            let end = self.pass(length + 12);
            visitor.text(&data[..length], end);
        }
        Some(())
    }

    /// An instruction, such as the one that says the version and encoding of the text.
    fn instruction(&mut self) -> Option<()> {
        let rest = &self.rest()[2..];
        rest.first().filter(|byte| is_of_name(**byte))?;
        let length = memmem::find(rest, b"?>")?;
        self.pass(length + 4);
        Some(())
    }
}

/// How many bytes there are before the `>` that ends a tag, from the end of its name on.
fn tag_length(tag: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (_, b'<') => return None,
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

/// ASCII of names; other letters are for the parser.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down what it is shown.
    #[derive(Default, PartialEq, Eq, Debug)]
    struct Notes(Vec<(String, u64)>);

    impl Visitor for Notes {
        fn open(&mut self, element: Element<'_>, end: u64) {
            let (name, attributes) = (element.name(), element.attributes_text());
            self.0
                .push((format!("{}|{}", name.escape_ascii(), attributes.escape_ascii()), end));
        }

        fn text(&mut self, text: &[u8], end: u64) {
            self.0.push((text.escape_ascii().to_string(), end));
        }

        fn close(&mut self) {
            self.0.push(("close".to_owned(), 0));
        }
    }

    fn swept(text: &[u8]) -> Option<(Outline, Notes)> {
        let mut notes = Notes::default();
        sweep(text, &mut notes).map(|outline| (outline, notes))
    }

    fn parsed(text: &[u8]) -> Result<(Outline, Notes), String> {
        let mut notes = Notes::default();
        Outline::visit(text, &mut notes).map(|outline| (outline, notes))
    }

    const USUAL: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a -->\n<cruise xmlns:xsi=\"urn:x\" \
                         schemaVersion=\"139\">\n  <server serverId='a&amp;b' note=\"a > b\"/>\n  <p.q-r_s>a &lt; \
                         b&#10;&amp;</p.q-r_s><x/><y  a='\"' ></y><![CDATA[</cruise>]]>\u{fc}<!-- - --></cruise>\n<?x y?>";

    #[test]
    fn a_usual_text_is_swept_as_it_is_parsed() {
        let config = include_bytes!("../../../../../tests/fixtures/data/config/cruise-config.xml");
        for text in [USUAL.as_bytes(), config, b"<a/>", b" <a></a> "] {
            let swept = swept(text).expect("usual");
            assert_eq!(Ok(swept), parsed(text), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_unusual_or_broken_off_is_for_the_parser() {
        for end in 0..USUAL.trim_end_matches("\n<?x y?>").len() {
            assert_eq!(swept(&USUAL.as_bytes()[..end]), None, "{end}");
        }
        for text in [
            "<!DOCTYPE a><a/>",
            "\u{FEFF}<a/>",
            "<a/><b/>",
            "<a/>x",
            "<a></b>",
            "<a>&x</a>",
            "<a>&;</a>",
            "<\u{fc}/>",
            "<!--></a>--><a/>",
            "<a><!-- -- --></a>",
            "</a>",
            "<a b='<'/>",
            "<a",
            "<a b='>",
            "< a/>",
            "<a/b></a/b>",
        ] {
            assert_eq!(swept(text.as_bytes()), None, "{text}");
        }
    }

    /// Changes one to three bytes of a text in each place, to each of the characters that mean something.
    #[test]
    fn nothing_is_taken_for_whole_that_the_parser_refuses() {
        let mut agreed = 0;
        for at in 0..USUAL.len() {
            for change in [
                "", "<", ">", "/", "\"", "'", "&", ";", "!", "?", "-", "]", " ", "x", "</", "/>", "-->", "<!--",
            ] {
                for removed in 0..3 {
                    let end = (at + removed).min(USUAL.len());
                    let text = [&USUAL.as_bytes()[..at], change.as_bytes(), &USUAL.as_bytes()[end..]].concat();
                    if let Some(swept) = swept(&text) {
                        assert_eq!(Ok(swept), parsed(&text), "{}", text.escape_ascii());
                        agreed += 1;
                    }
                }
            }
        }
        assert!(agreed > 1_000, "only {agreed} of the changed texts are usual");
    }
}
