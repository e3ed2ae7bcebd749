//! Whether an XML file is all there, and the little that we read from it.

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
    /// Reads through the whole text: every tag is closed and nothing but blanks, comments and instructions
    /// follows the root. Nothing outside the text is ever fetched.
    ///
    /// # Errors
    /// Why it is not a whole XML file, to be read after the file's name.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::from_reader(text);
        let mut outline: Option<Self> = None;
        let mut has_doctype = false;
        let mut depth = 0_usize;
        loop {
            let event = reader
                .read_event()
                .map_err(|error| format!("is not whole: {error} at byte {}", reader.error_position()))?;
            match event {
                Event::Start(start) => {
                    open(&mut outline, &start, depth)?;
                    depth += 1;
                }
                Event::Empty(start) => open(&mut outline, &start, depth)?,
                Event::End(_) => depth -= 1,
                Event::DocType(_) => has_doctype = true,
                Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => {
                    return Err("has text outside its root element".to_owned());
                }
                Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                    return Err("has text outside its root element".to_owned());
                }
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
        }
        let outline = Outline::read(text.as_bytes()).expect("whole");
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
        }
    }

    #[test]
    fn what_is_no_xml_file() {
        for text in [
            "", "  \n", "cruise", "<a></b>", "<a/><b/>", "<a/>text", "<a>x</a", "<a>&</a>", "\0\0\0\0",
        ] {
            assert!(Outline::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn jettys_doctype_is_noticed_and_not_fetched() {
        let text = "<?xml version=\"1.0\"?><!DOCTYPE Configure PUBLIC \"-//Jetty//Configure//EN\" \
                    \"http://www.eclipse.org/jetty/configure_10_0.dtd\"><Configure id=\"Server\"/>";
        assert!(Outline::read(text.as_bytes()).expect("whole").has_doctype);
    }
}
