//! Where GoCD keeps artifacts: `artifactsDir` of `cruise-config.xml`.

use crate::gocd::xml::{Element, Outline, Visitor};

/// Where artifacts are where the configuration names no folder, relative to GoCD's working directory.
const USUAL: &str = "artifacts";

/// The folder of artifacts that the text of a `cruise-config.xml` names, as it stands there: relative to GoCD's working
/// directory, or absolute.
///
/// # Errors
/// Why it is not a whole XML file, to be read after the file's name.
pub(crate) fn folder(text: &[u8]) -> Result<String, String> {
    let (_, reading) = Outline::read_with::<Reading>(text)?;
    let found = String::from_utf8_lossy(&reading.found).trim().to_owned();
    Ok(match found.as_str() {
        "" => USUAL.to_owned(),
        _ => found,
    })
}

/// Looks for the one element.
#[derive(Default)]
struct Reading {
    is_in_it: bool,
    found: Vec<u8>,
}

impl Visitor for Reading {
    fn open(&mut self, element: Element<'_>, _: u64) {
        self.is_in_it = element.name() == b"artifactsDir";
    }

    fn text(&mut self, text: &[u8], _: u64) {
        if self.is_in_it {
            self.found.extend_from_slice(text);
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
        let named = config("<artifacts><artifactsDir> /mnt/artifacts </artifactsDir></artifacts>");
        assert_eq!(folder(named.as_bytes()), Ok("/mnt/artifacts".to_owned()));
        for none in ["", "<artifacts/>", "<artifacts><artifactsDir/></artifacts>"] {
            assert_eq!(folder(config(none).as_bytes()), Ok(USUAL.to_owned()));
        }
        folder(b"<cruise><server>").expect_err("not whole");
    }
}
