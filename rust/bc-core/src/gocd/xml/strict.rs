//! Whether a text is well-formed, as GoCD will judge it: GoCD reads a configuration as UTF-8 and hands it to the parser
//! of the JDK, with namespaces (`MagicalGoConfigXmlLoader`, `SafeSaxBuilder`).
//!
//! The crate `xml` knows the rules of XML 1.0. What it overlooks and that parser does not is looked for here: `<` in
//! values, names with a colon too many, and declarations that do not name version 1.0 or an encoding. The other way
//! round two things are refused that the JDK lets pass, and that Namespaces in XML forbids: a name that begins with a
//! colon, and an element with the prefix `xml`.
//!
//! Also refused is what GoCD cannot read for another reason: a text that is not in UTF-8, whatever it says of itself.
//! Where it declares a single-byte encoding, GoCD takes each byte for a character, and so does this.

use std::{borrow::Cow, fmt};

use quick_xml::{
    Reader,
    events::{BytesDecl, BytesStart, Event},
};
use xml::{
    ParserConfig,
    common::Position,
    reader::{ErrorKind, XmlEvent},
};

/// How deep elements may be inside one another, and how many attributes one may have: the limits of the parser of JDK 25
/// (`jdk.xml.maxElementDepth`, `jdk.xml.elementAttributeLimit`). They also bound the time that a hostile text takes here.
pub(super) const MAX_DEPTH: usize = 100;
const MAX_ATTRIBUTES: usize = 200;

/// Why a text is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It may be the beginning of one that is.
    EndsTooEarly,
    /// What is wrong with it and where, to be read after the file's name.
    Mistake(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::EndsTooEarly => f.write_str("is not whole: it ends too early"),
            Flaw::Mistake(mistake) => f.write_str(mistake),
        }
    }
}

/// Checks that the JDK's parser would accept an XML text; nothing outside of it is ever fetched.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn check(text: &[u8]) -> Result<(), Flaw> {
    if let Some(encoding) = by_its_first_bytes(text) {
        return Err(Flaw::Mistake(format!(
            "is in {encoding}, and GoCD reads it as UTF-8: save it in that encoding"
        )));
    }
    let text = characters(text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)).map_err(Flaw::Mistake)?;
    names_and_values(&text).map_err(Flaw::Mistake)?;
    let mut config = ParserConfig::new();
    config.override_encoding = Some(xml::Encoding::Utf8);
    // Which one is declared was looked at before.
    config.ignore_invalid_encoding_declarations = true;
    config.allow_multiple_root_elements = false;
    config.max_attributes = MAX_ATTRIBUTES;
    let mut depth = 0_usize;
    let mut reader = config.create_reader(text.as_bytes());
    loop {
        let event = reader.next().map_err(|error| {
            let place = error.position();
            let reason = match error.kind() {
                ErrorKind::Syntax(reason) => reason.to_string(),
                _ => error.msg(),
            };
            if matches!(error.kind(), ErrorKind::UnexpectedEof) || reason.starts_with("Unexpected end of stream") {
                return Flaw::EndsTooEarly;
            }
            Flaw::Mistake(not_well_formed(&reason, place.row + 1, place.column + 1))
        })?;
        match event {
            XmlEvent::StartElement { .. } if depth == MAX_DEPTH => {
                let (reason, place) = (format!("elements are more than {MAX_DEPTH} deep"), reader.position());
                return Err(Flaw::Mistake(not_well_formed(&reason, place.row + 1, place.column + 1)));
            }
            XmlEvent::StartElement { .. } => depth += 1,
            XmlEvent::EndElement { .. } => depth -= 1,
            XmlEvent::EndDocument => return Ok(()),
            _ => {}
        }
    }
}

/// What people are told of XML that is not well-formed, with the place.
fn not_well_formed(reason: &str, line: u64, column: u64) -> String {
    format!("is not well-formed XML: line {line}, column {column}: {reason}")
}

/// An encoding that shows in the first bytes: by its mark, or by the zeros in the first `<` (XML 1.0, appendix F).
fn by_its_first_bytes(text: &[u8]) -> Option<&'static str> {
    match text {
        [0xFF, 0xFE, 0, 0, ..] | [b'<', 0, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] | [0, 0, 0, b'<', ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [b'<', 0, ..] | [0xFE, 0xFF, ..] | [0, b'<', ..] => Some("UTF-16"),
        [0x4C, 0x6F, 0xA7, 0x94, ..] => Some("EBCDIC"),
        _ => None,
    }
}

/// Decodes an XML text to the characters that the parser sees.
fn characters(text: &[u8]) -> Result<Cow<'_, str>, String> {
    let declared = declared_encoding(text)?;
    match declared.as_deref() {
        None => {}
        Some(name) if is_utf8(name) => {}
        Some(name) if is_single_byte(name) => {
            return Ok(match str::from_utf8(text) {
                Ok(text) if text.is_ascii() => Cow::Borrowed(text),
                _ => Cow::Owned(text.iter().map(|byte| char::from(*byte)).collect()),
            });
        }
        Some(name) => {
            let name: String = name.chars().take(40).collect();
            return Err(format!(
                "declares the encoding {name}: save it as UTF-8, and declare that"
            ));
        }
    }
    let text = str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("is not in UTF-8: the first wrong byte is in line {line}; save it as UTF-8")
    })?;
    Ok(Cow::Borrowed(text))
}

/// Which encoding the declaration at the beginning names.
///
/// # Errors
/// The declaration is none of XML 1.0.
fn declared_encoding(text: &[u8]) -> Result<Option<String>, String> {
    let mut reader = Reader::from_reader(text);
    let Ok(Event::Decl(declaration)) = reader.read_event() else {
        return Ok(None);
    };
    let wrong = |reason: &str| not_well_formed(reason, 1, 1);
    if !has_usual_parts(&declaration) {
        return Err(wrong(
            "its declaration has something else than version, encoding and standalone",
        ));
    }
    let version = declaration.version().map_err(|error| wrong(&error.to_string()))?;
    if version.as_ref() != b"1.0" {
        return Err(wrong(
            "its declaration does not say version=\"1.0\", the only one that GoCD writes",
        ));
    }
    let encoding = declaration
        .encoding()
        .transpose()
        .map_err(|error| wrong(&error.to_string()))?;
    let Some(encoding) = encoding else { return Ok(None) };
    // EncName of XML 1.0.
    let is_name = encoding.first().is_some_and(u8::is_ascii_alphabetic)
        && encoding
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    if !is_name {
        return Err(wrong("its declaration names no encoding"));
    }
    Ok(Some(String::from_utf8_lossy(&encoding).into_owned()))
}

/// Whether the names before `=` are those of a declaration; their order is for the parser.
fn has_usual_parts(declaration: &BytesDecl<'_>) -> bool {
    let content = String::from_utf8_lossy(declaration).into_owned();
    let start = BytesStart::from_content(content.as_str(), 3);
    start.attributes().with_checks(false).all(|attribute| {
        attribute.is_ok_and(|attribute| matches!(attribute.key.as_ref(), b"version" | b"encoding" | b"standalone"))
    })
}

/// Whether an XML declaration means UTF-8 by this name.
fn is_utf8(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether every byte of an encoding is one character, and those of ASCII are themselves.
fn is_single_byte(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    name == "latin1" || numbered("iso-8859-") || numbered("windows-125")
}

/// Looks in an XML text for what the crate `xml` lets pass.
fn names_and_values(text: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    loop {
        // Whatever else is wrong the other parser says, and better.
        let Ok(event) = reader.read_event() else { return Ok(()) };
        let reason = match &event {
            Event::Start(start) | Event::Empty(start) => mistake(start),
            Event::Eof => return Ok(()),
            _ => None,
        };
        if let Some(reason) = reason {
            let at = usize::try_from(reader.buffer_position())
                .unwrap_or(usize::MAX)
                .min(text.len());
            let before = &text.as_bytes()[..at];
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
            return Err(not_well_formed(&reason, line, column.max(1)));
        }
    }
}

/// What is wrong with a tag of an XML text that the crate `xml` lets pass.
fn mistake(start: &BytesStart<'_>) -> Option<String> {
    let shown = |name: &[u8]| String::from_utf8_lossy(name).chars().take(80).collect::<String>();
    if !is_qualified(start.name().as_ref()) {
        return Some(format!("`{}` is no name of an element", shown(start.name().as_ref())));
    }
    // That none is there twice the other parser looks after, and quicker.
    if start.attributes().with_checks(false).count() > MAX_ATTRIBUTES {
        return Some(format!("an element has more than {MAX_ATTRIBUTES} attributes"));
    }
    start.attributes().with_checks(false).flatten().find_map(|attribute| {
        let name = attribute.key.as_ref();
        if attribute.value.contains(&b'<') {
            return Some(format!(
                "the value of `{}` has a `<`, which is written &lt;",
                shown(name)
            ));
        }
        (!is_qualified(name)).then(|| format!("`{}` is no name of an attribute", shown(name)))
    })
}

/// Whether a name with a colon has one, with a name on each side (Namespaces in XML, QName). Which characters names may
/// have at all is for the parser.
fn is_qualified(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b':');
    let begins = |part: &[u8]| {
        part.first()
            .is_some_and(|first| !first.is_ascii_digit() && *first != b'-' && *first != b'.')
    };
    // The middle dot and the combining characters may not begin a name either.
    let combines = |part: &[u8]| {
        str::from_utf8(part).is_ok_and(|part| {
            part.chars()
                .next()
                .is_some_and(|first| matches!(first, '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}'))
        })
    };
    parts.by_ref().take(2).all(|part| begins(part) && !combines(part)) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: impl AsRef<[u8]>) -> String {
        check(text.as_ref())
            .expect_err(&text.as_ref().escape_ascii().to_string())
            .to_string()
    }

    #[test]
    fn each_kind_of_mistake_is_named_with_its_place() {
        for (text, reason) in [
            ("<a>x & y</a>", "line 1"),
            ("<a>\n<b c=\"<\"/></a>", "line 2"),
            ("<a b='1' b='2'/>", "'b' is redefined"),
            ("<a b=1/>", "line 1"),
            ("<a b='1'c='2'/>", "line 1"),
            ("<a>&nbsp;</a>", "nbsp"),
            ("<a>]]></a>", "]]>"),
            ("<a>\u{1}</a>", "line 1"),
            ("<a>&#1;</a>", "line 1"),
            ("<a><!-- a -- b --></a>", "--"),
            ("<a><p:b/></a>", "p"),
            ("<a p:b=''/>", "p"),
            ("<a:b:c xmlns:a='urn:a'/>", "a:b:c"),
            ("<a/><b/>", "line 1"),
        ] {
            let flaw = flaw(text);
            assert!(
                flaw.starts_with("is not well-formed XML: line ") && flaw.contains(reason),
                "{text}: {flaw}"
            );
        }
    }

    #[test]
    fn other_encodings_are_called_by_their_names() {
        let utf16: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(flaw(&utf16).contains("UTF-16"));
        assert!(flaw(&utf16[2..]).contains("UTF-16"));
        assert!(flaw([0, 0, 0, b'<', 0, 0, 0, b'a']).contains("UTF-32"));
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?>\n<a>\xe9</a>";
        assert_eq!(check(latin), Ok(()));
        assert!(flaw(b"<a>\n\xe9</a>").contains("not in UTF-8: the first wrong byte is in line 2"));
        assert!(flaw("<?xml version='1.0' encoding='Shift_JIS'?><a/>").contains("declares the encoding Shift_JIS"));
        assert!(flaw("<?xml version='1.0' encoding='utf 8'?><a/>").contains("names no encoding"));
        assert!(flaw("<?xml version='1.1'?><a/>").contains("version"));
        assert_eq!(
            check(b"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>"),
            Ok(())
        );
    }

    #[test]
    fn what_is_deeper_than_gocds_parser_goes_is_refused_at_once() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert!(flaw(nested(MAX_DEPTH + 1)).contains("more than 100 deep"));
        let empty = "<a>".repeat(MAX_DEPTH) + "<a/>" + &"</a>".repeat(MAX_DEPTH);
        assert!(flaw(empty).contains("more than 100 deep"));
        assert!(flaw("<a>".repeat(1_000_000)).contains("more than 100 deep"));
        let with = |count: usize| {
            let attributes: String = (0..count).map(|number| format!(" b{number}=''")).collect();
            format!("<a{attributes}/>")
        };
        assert_eq!(check(with(MAX_ATTRIBUTES).as_bytes()), Ok(()));
        assert!(flaw(with(MAX_ATTRIBUTES + 1)).contains("more than 200 attributes"));
    }

    #[test]
    fn what_is_broken_off_is_called_so() {
        for text in ["", "<a>", "<a><b/>", "<?xml version='1.0'?>"] {
            assert_eq!(check(text.as_bytes()), Err(Flaw::EndsTooEarly), "{text}");
        }
    }

    #[test]
    fn what_xml_allows_is_taken() {
        for text in [
            "<a b='\u{a0}\u{85}'>\u{2028}&#xFFFD;</a>",
            "<a xmlns='urn:x'><b xmlns=''/></a>",
            "<p:a xmlns:p='urn:p' p:b='' xml:lang='de'/>",
            "<\u{fc}\u{b7}/>",
            "<?xml version=\"1.0\" encoding='utf-8' standalone='no' ?><a/>\r\n<!-- - -->",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }
}
