//! Where GoCD keeps artifacts: `artifactsDir` of `cruise-config.xml`, which was an attribute of `server` in old ones.

use std::path::Path;

use quick_xml::escape::unescape;

use crate::{
    basics::regular_file,
    gocd::xml::{Element, Outline, Visitor},
};

/// Where artifacts are where the configuration names no folder, relative to GoCD's working directory.
const USUAL: &str = "artifacts";

/// The folder of artifacts that a `cruise-config.xml` names, as [`folder`]. It waits for the disk.
///
/// # Errors
/// Why nobody can say, for people.
pub(crate) fn folder_in(cruise_config: &Path) -> Result<String, String> {
    let not_known = |why: String| format!("{} {why}", cruise_config.display());
    let text = regular_file::read(cruise_config, regular_file::LARGEST_OF_OURS)
        .map_err(|error| not_known(format!("cannot be read: {error}")))?;
    folder(&text).map_err(not_known)
}

/// The folder of artifacts that the text of a `cruise-config.xml` names, as it stands there: relative to GoCD's working
/// directory, or absolute.
///
/// # Errors
/// Why it is not a whole XML file, to be read after the file's name.
pub(crate) fn folder(text: &[u8]) -> Result<String, String> {
    let (_, reading) = Outline::read_with::<Reading>(text)?;
    let element = String::from_utf8_lossy(&reading.element);
    let element = unescape(element.trim()).map_err(|_| "has an artifactsDir that cannot be understood".to_owned())?;
    let named = [element.as_ref(), reading.attribute.trim()];
    let found = named.into_iter().find(|name| !name.is_empty());
    Ok(found.unwrap_or(USUAL).to_owned())
}

/// Looks for the element, and the attribute that it was before.
#[derive(Default)]
struct Reading {
    is_in_it: bool,
    element: Vec<u8>,
    attribute: String,
}

impl Visitor for Reading {
    fn open(&mut self, element: Element<'_>, _: u64) {
        self.is_in_it = element.name() == b"artifactsDir";
        if element.name() == b"server"
            && let Some(folder) = element.attribute("artifactsdir")
        {
            self.attribute = folder;
        }
    }

    fn text(&mut self, text: &[u8], _: u64) {
        if self.is_in_it {
            self.element.extend_from_slice(text);
        }
    }

    fn reference(&mut self, reference: &[u8]) {
        if self.is_in_it {
            self.element.extend([b"&", reference, b";"].concat());
        }
    }

    fn close(&mut self) {
        self.is_in_it = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_that_is_named_or_the_usual_one() {
        let config = |inner: &str| format!("<cruise><server>{inner}</server></cruise>");
        for (written, folder_there) in [
            ("/mnt/artifacts", "/mnt/artifacts"),
            (" /mnt/artifacts ", "/mnt/artifacts"),
            ("/mnt/a&amp;b&#x20;c", "/mnt/a&b c"),
        ] {
            let named = config(&format!(
                "<artifacts><artifactsDir>{written}</artifactsDir></artifacts>"
            ));
            assert_eq!(folder(named.as_bytes()), Ok(folder_there.to_owned()));
            // Whatever is unusual is read by another parser.
            let unusual = format!("<?xml version=\"1.0\"?><!-- é -->\n{named}<?end?>");
            assert_eq!(folder(unusual.as_bytes()), Ok(folder_there.to_owned()));
            let old = format!("<cruise><server artifactsdir=\"{written}\" serverId=\"x\"/></cruise>");
            assert_eq!(folder(old.as_bytes()), Ok(folder_there.to_owned()));
        }
        for none in ["", "<artifacts/>", "<artifacts><artifactsDir/></artifacts>"] {
            assert_eq!(folder(config(none).as_bytes()), Ok(USUAL.to_owned()));
        }
        folder(b"<cruise><server>").expect_err("not whole");
        let old = include_bytes!("../../../../tests/fixtures/data/bjcruise-cruise-config-1.0.xml");
        assert_eq!(folder(old), Ok("/var/artifacts/newlogs".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_name() {
        let folder = tempfile::tempdir().expect("folder");
        let config = folder.path().join("cruise-config.xml");
        let why = folder_in(&config).expect_err("there is none");
        assert!(why.contains("cruise-config.xml cannot be read"), "{why}");
        std::fs::write(&config, "<cruise>").expect("write");
        let why = folder_in(&config).expect_err("half of one");
        assert!(why.contains("cruise-config.xml is not whole"), "{why}");
    }
}
