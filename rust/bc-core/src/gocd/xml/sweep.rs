//! One pass over every character of a usual text, many times as quick as the parsers that know everything: reading a
//! large configuration through is what a change of it waited for longest.
//!
//! It knows tags, text with references, comments, character data and instructions as GoCD writes them, and leaves
//! everything that looks unusual, wrong or broken off to the parsers. So it refuses nothing, and what it takes for
//! well-formed they do too.
//!
//! The same checks on what quick-xml finds take fewer lines and more than twice the time (`rust/docs/speed.md`).

use memchr::{memchr, memchr2, memmem};

use super::{Element, Outline, Visitor, open, strict};

/// The one prefix that GoCD's files use, on their root, and the name that it stands for.
const SCHEMA_INSTANCE: (&[u8], &[u8]) = (b"xmlns:xsi", b"http://www.w3.org/2001/XMLSchema-instance");
/// With more attributes in one tag, finding one that is there twice is for the parsers.
const MANY_ATTRIBUTES: usize = 24;

/// Sweeps through an XML text in which nothing is unusual. None where it is for the parsers; the visitor has then seen
/// a part of it.
pub(super) fn sweep(text: &[u8], visitor: &mut impl Visitor) -> Option<Outline> {
    has_usual_characters(text).then_some(())?;
    let mut sweep = Sweep {
        text,
        at: 0,
        open: Vec::new(),
        outline: None,
        knows_schema_instance: false,
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
    /// Whether the root declares the prefix of [`SCHEMA_INSTANCE`].
    knows_schema_instance: bool,
}

impl<'a> Sweep<'a> {
    /// The XML text that the sweep has not passed yet.
    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Passes the next part of the XML text, which has so many bytes. Returns the place after it.
    fn pass(&mut self, length: usize) -> u64 {
        self.at += length;
        self.at as u64
    }

    /// Passes text or a reference in the XML, up to the next tag or reference.
    fn characters(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let rest = self.rest();
        if rest[0] == b'&' {
            (!self.open.is_empty()).then_some(())?;
            let length = reference_length(rest)?;
            visitor.reference(&rest[1..length - 1]);
            self.pass(length);
            return Some(());
        }
        let text = &rest[..memchr2(b'<', b'&', rest).unwrap_or(rest.len())];
        let end = self.pass(text.len());
        if self.open.is_empty() {
            text.trim_ascii().is_empty().then_some(())?;
        } else {
            memmem::find(text, b"]]>").is_none().then_some(())?;
            visitor.text(text, end);
        }
        Some(())
    }

    /// Passes a tag that opens an XML element, or is one without content.
    fn tag(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let rest = &self.rest()[1..];
        let name_length = name_length(rest)?;
        let length = name_length + self.attributes_length(&rest[name_length..])?;
        let (content, is_empty) = match rest[..length].strip_suffix(b"/") {
            Some(content) => (content, true),
            None => (&rest[..length], false),
        };
        (self.open.len() < strict::MAX_DEPTH).then_some(())?;
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

    /// Passes the tag that closes the innermost XML element.
    fn close(&mut self, visitor: &mut impl Visitor) -> Option<()> {
        let name = self.open.pop()?;
        let rest = self.rest()[2..].strip_prefix(name)?;
        (rest.first() == Some(&b'>')).then_some(())?;
        self.pass(name.len() + 3);
        visitor.close();
        Some(())
    }

    /// Passes a comment, or character data inside an XML element.
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

    /// Passes an XML instruction, or at the very beginning the declaration of version and encoding.
    fn instruction(&mut self) -> Option<()> {
        let rest = &self.rest()[2..];
        let target_length = name_length(rest)?;
        let (target, content) = rest.split_at(target_length);
        let length = memmem::find(content, b"?>")?;
        let content = &content[..length];
        if target.eq_ignore_ascii_case(b"xml") {
            (self.at == 0 && target == b"xml" && is_usual_declaration(content)).then_some(())?;
        } else {
            content.first().is_none_or(u8::is_ascii_whitespace).then_some(())?;
        }
        self.pass(2 + target_length + length + 2);
        Some(())
    }

    /// How many bytes of an XML tag there are before the `>` that ends it, from the end of its name on.
    fn attributes_length(&mut self, tag: &[u8]) -> Option<usize> {
        let mut names: [&[u8]; MANY_ATTRIBUTES] = [b""; MANY_ATTRIBUTES];
        let mut count = 0;
        let mut at = 0;
        loop {
            let blanks = tag[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            at += blanks;
            match tag.get(at)? {
                b'>' => return Some(at),
                b'/' => return (tag.get(at + 1) == Some(&b'>')).then_some(at + 1),
                _ if blanks == 0 => return None,
                _ => {}
            }
            let (name, value, length) = attribute(&tag[at..])?;
            at += length;
            let is_new = count < MANY_ATTRIBUTES && !names[..count].contains(&name);
            is_new.then_some(())?;
            names[count] = name;
            count += 1;
            match memchr(b':', name) {
                None => (name != b"xmlns").then_some(())?,
                Some(_) if (name, value) == SCHEMA_INSTANCE && self.open.is_empty() => {
                    self.knows_schema_instance = true
                }
                Some(colon) => {
                    // Declared before it; later in the same tag is for the parsers.
                    (&name[..colon] == b"xsi" && self.knows_schema_instance).then_some(())?;
                }
            }
        }
    }
}

/// An attribute at the beginning of a text: its name, its value, and the length of both with what is between them.
fn attribute(text: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let mut name_end = name_length(text)?;
    if text.get(name_end) == Some(&b':') {
        name_end += 1 + name_length(&text[name_end + 1..])?;
    }
    let (name, rest) = text.split_at(name_end);
    let quote = *rest
        .strip_prefix(b"=")?
        .first()
        .filter(|quote| matches!(quote, b'"' | b'\''))?;
    let value = &rest[2..];
    let value = &value[..memchr(quote, value)?];
    let mut at = 0;
    while let Some(next) = memchr2(b'<', b'&', &value[at..]) {
        at += next;
        (value[at] == b'&').then_some(())?;
        at += reference_length(&value[at..])?;
    }
    Some((name, value, name_end + 2 + value.len() + 1))
}

/// The length of a reference at the beginning of a text: one of the five that XML knows, or a character by its number.
fn reference_length(text: &[u8]) -> Option<usize> {
    // Longer ones are not usual.
    let end = text.iter().take(10).position(|byte| *byte == b';')?;
    let is_known = match &text[1..end] {
        b"lt" | b"gt" | b"amp" | b"quot" | b"apos" => true,
        [b'#', b'x', digits @ ..] => is_character(digits, 16),
        [b'#', digits @ ..] => is_character(digits, 10),
        _ => false,
    };
    is_known.then_some(end + 1)
}

/// Whether a number stands for a character that XML 1.0 allows; those that nobody uses are for the parsers.
fn is_character(digits: &[u8], radix: u32) -> bool {
    let is_number = !digits.is_empty() && digits.iter().all(|digit| char::from(*digit).is_digit(radix));
    let number = str::from_utf8(digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, radix).ok());
    is_number && number.is_some_and(|number| matches!(number, 9 | 10 | 13 | 0x20..=0xD7FF | 0xE000..=0xFFFD))
}

/// Whether what follows `<?xml` says version 1.0 and nothing else than UTF-8.
fn is_usual_declaration(content: &[u8]) -> bool {
    let mut at = 0;
    let mut parts: [&[u8]; 2] = [b"version", b"encoding"];
    let mut parts = parts.iter_mut();
    loop {
        let blanks = content[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        at += blanks;
        if at == content.len() {
            // At least the version was there.
            return parts.len() < 2;
        }
        let (Some(expected), Some((name, value, length))) = (parts.next(), attribute(&content[at..])) else {
            return false;
        };
        let is_usual = blanks > 0 && name == *expected && (value == b"1.0" || value.eq_ignore_ascii_case(b"utf-8"));
        if !is_usual || (name == b"version") != (value == b"1.0") {
            return false;
        }
        at += length;
    }
}

/// Whether a text is UTF-8, with no character that XML 1.0 forbids.
fn has_usual_characters(text: &[u8]) -> bool {
    let has_control = text.iter().fold(false, |found, byte| {
        found | (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'))
    });
    // U+FFFE and U+FFFF.
    let is_none = |last: u8| memmem::find(text, &[0xEF, 0xBF, last]).is_none();
    !has_control && str::from_utf8(text).is_ok() && is_none(0xBE) && is_none(0xBF)
}

/// The length of a name without a colon at the beginning of a text, of ASCII letters; others are for the parsers, also
/// where they go on with such a name.
fn name_length(text: &[u8]) -> Option<usize> {
    text.first()
        .filter(|first| first.is_ascii_alphabetic() || **first == b'_')?;
    let length = text
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')))?;
    text[length].is_ascii().then_some(length)
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

        fn reference(&mut self, reference: &[u8]) {
            self.0.push((format!("&{}", reference.escape_ascii()), 0));
        }
    }

    fn swept(text: &[u8]) -> Option<(Outline, Notes)> {
        let mut notes = Notes::default();
        sweep(text, &mut notes).map(|outline| (outline, notes))
    }

    fn parsed(text: &[u8]) -> Result<(Outline, Notes), String> {
        let mut notes = Notes::default();
        let outline = Outline::visit(text, &mut notes)?;
        strict::check(text).map_err(|flaw| flaw.to_string())?;
        Ok((outline, notes))
    }

    const USUAL: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a -->\n<cruise \
                         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:x=\"y\" schemaVersion=\"139\">\n  <server serverId='a&amp;b' note=\"a > b\"/>\n  <p.q-r_s>a &lt; \
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
            "<?xml version='1.1'?><a/>",
            "<?xml version='1.0' encoding='utf-16'?><a/>",
            " <?xml version='1.0'?><a/>",
            "<a b='1' b='1'/>",
            "<a b=1/>",
            "<a b='1'c='2'/>",
            "<a b/>",
            "<a b = '1'/>",
            "<a b='&'/>",
            "<a b='&nbsp;'/>",
            "<a>&nbsp;</a>",
            "<a>&#0;</a>",
            "<a>]]></a>",
            "<a>\u{1}</a>",
            "<a>\u{ffff}</a>",
            "<1/>",
            "<p:a/>",
            "<a p:b=''/>",
            "<a xsi:b=''/>",
            "<a xmlns=''/>",
            "<a><b xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'/></a>",
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
