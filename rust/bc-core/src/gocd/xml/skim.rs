//! Head and end of a text, and nothing in between.

use memchr::memmem;
use quick_xml::{Reader, events::Event};

use super::{Outline, open};

/// Skims an XML text for its outline, by head and end alone ([`Outline::skim`]); none where a closer look is needed.
pub(super) fn skim(text: &[u8]) -> Option<Outline> {
    head(text).filter(|outline| has_end(text, &outline.root))
}

/// Reads in the head of an XML text what the root's tag and its first child say. GoCD's schema has `server` there or
/// nowhere (`cruise-config.xsd`).
fn head(text: &[u8]) -> Option<Outline> {
    let mut reader = Reader::from_reader(text);
    let mut outline = None;
    let mut has_doctype = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                let depth = usize::from(outline.is_some());
                open(&mut outline, (&start).into(), depth).ok()?;
                if depth == 1 {
                    break;
                }
            }
            Event::Empty(start) if outline.is_some() => {
                open(&mut outline, (&start).into(), 1).ok()?;
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

/// Whether an XML text has its end. That is the one closing tag of the root, which is no part of a comment or of
/// character data, with nothing but blanks, comments and instructions after it.
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

/// Whether there are only blanks, comments and instructions in this part of an XML text.
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
