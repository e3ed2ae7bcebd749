//! Which GoCD is beside us: the `Implementation-Version` of its launcher jar.

use std::{io::Read, path::Path};

use zip::{ZipArchive, result::ZipError};

use crate::basics::{Error, Kind, regular_file, words};

/// Manifests beyond this are not read; GoCD's has a few hundred bytes.
const MAX_MANIFEST: u64 = 1024 * 1024;
/// Versions beyond this are cut, in characters; GoCD's has about twenty.
const LONGEST_VERSION: usize = 100;

/// Whether GoCD of this version still has a DES key: it went with 21.1 (`cipher` was dropped from what the old product
/// synced). A version that is not understood has none.
pub fn has_des_cipher(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (21, 1))
}

/// Whether GoCD of this version turns passive itself where `go.server.mode=standby` asks for that: 20.6 to 22.3 know
/// it. A version that is not understood does not.
pub fn turns_passive_itself(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(u32::MAX));
    matches!((numbers.next(), numbers.next()), (Some(major), Some(_)) if major <= 22)
}

/// Whether GoCD of this version can start in maintenance mode: it can from 20.9 on. A version that is not understood
/// can.
pub(crate) fn starts_in_maintenance(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    !matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (20, 9))
}

/// Whether this GoCD gives everybody its files and secrets on its own port, and any file that it can read (CVE-2021-43287):
/// 20.6 to 21.2. A version that is not understood does not.
pub fn gives_secrets_away(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor)))
        if ((20, 6)..=(21, 2)).contains(&(major, minor)))
}

/// Whether GoCD `one` is newer than `other`, number by number; none where either is no row of numbers.
pub fn is_newer(one: &str, other: &str) -> Option<bool> {
    let numbers =
        |version: &str| -> Option<Vec<u64>> { version.split(['.', '-']).map(|part| part.parse().ok()).collect() };
    Some(numbers(one)? > numbers(other)?)
}

/// What it means that the GoCD of this server is newer than that of the primary whose files it has, for people; none where
/// it is not known to be.
pub fn migrates(own: &str, primary: &str) -> Option<String> {
    (is_newer(own, primary)?).then(|| {
        format!(
            "GoCD here is {own}, that of the primary {primary}: at its start it migrates configuration and database, and there \
             is no way back to {primary} after that but a backup"
        )
    })
}

/// What it means that the GoCD of the standby called `name` is newer than that of this primary, for people; none where it is
/// not known to be.
pub(crate) fn migrates_at(name: &str, standbys: &str, own: &str) -> Option<String> {
    (is_newer(standbys, own)?).then(|| {
        format!(
            "GoCD on the standby {name} is {standbys}, here {own}: at its start there it migrates configuration and database, \
             and there is no way back to {own} after that but a backup"
        )
    })
}

/// Reads the version out of the manifest of `jar`, the one that holds `com.thoughtworks.gocd.Boot`.
/// None where the manifest does not say.
///
/// # Errors
/// [`Kind::File`] when the jar cannot be read.
pub fn of_jar(jar: &Path) -> Result<Option<String>, Error> {
    let file = regular_file::open(jar).map_err(Error::cannot("read", jar))?;
    let broken = |error: ZipError| {
        Error::new(
            Kind::File,
            format!("{} is not a jar that can be read: {error}", jar.display()),
            "Install GoCD's server package again.",
        )
    };
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    let manifest = match archive.by_name("META-INF/MANIFEST.MF") {
        Ok(manifest) => manifest,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(broken(error)),
    };
    let mut text = Vec::new();
    manifest
        .take(MAX_MANIFEST)
        .read_to_end(&mut text)
        .map_err(Error::cannot("read", jar))?;
    Ok(main_attribute(
        &String::from_utf8_lossy(&text),
        "Implementation-Version",
    ))
}

/// An attribute of the main section. Names ignore case, and a line that begins with a blank continues the one
/// before it (JAR file specification).
fn main_attribute(manifest: &str, name: &str) -> Option<String> {
    let mut lines = manifest.lines();
    let value = loop {
        // An empty line ends the main section.
        let line = lines.next().filter(|line| !line.is_empty())?;
        if let Some((key, value)) = line.split_once(':')
            && key.eq_ignore_ascii_case(name)
        {
            break value;
        }
    };
    let continued = lines.map_while(|line| line.strip_prefix(' '));
    let value: String = std::iter::once(value.strip_prefix(' ').unwrap_or(value))
        .chain(continued)
        .collect();
    let value = value.trim();
    // It is told to the other server and shown there.
    (!value.is_empty()).then(|| words::shown(value, LONGEST_VERSION))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::descriptor::tests::jar;

    #[test]
    fn versions_are_compared_number_by_number() {
        assert_eq!(is_newer("21.10.0-1", "21.9.0-2"), Some(true));
        assert_eq!(is_newer("25.4.0-1", "26.1.0-1"), Some(false));
        assert_eq!(is_newer("26.1.0-1", "26.1.0-1"), Some(false));
        assert_eq!(is_newer("26.1.0-1", "nightly"), None);
        let said = migrates("26.1.0-1", "25.4.0-1").expect("newer");
        assert!(
            said.contains("26.1.0-1") && said.contains("no way back to 25.4.0-1"),
            "{said}"
        );
        assert_eq!(migrates("25.4.0-1", "26.1.0-1"), None);
        let said = migrates_at("standbygo", "26.1.0-1", "25.4.0-1").expect("newer");
        assert!(
            said.contains("standbygo is 26.1.0-1") && said.contains("no way back to 25.4.0-1"),
            "{said}"
        );
        for (standbys, own) in [
            ("25.4.0-1", "26.1.0-1"),
            ("26.1.0-1", "26.1.0-1"),
            ("nightly", "26.1.0-1"),
        ] {
            assert_eq!(migrates_at("standbygo", standbys, own), None);
        }
    }

    #[test]
    fn a_version_tells_what_its_gocd_does() {
        for (version, has_des, turns_passive) in [
            ("20.6.0-11752", true, true),
            ("21.1.0-12439", false, true),
            ("22.3.0-15301", false, true),
            ("23.1.0-16079", false, false),
            ("26.1.0-22000", false, false),
            ("nonsense", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (has_des_cipher(version), turns_passive_itself(version)),
                (has_des, turns_passive),
                "{version}"
            );
        }
    }

    #[test]
    fn the_version_is_a_main_attribute() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("go.jar");
        let manifest = "Manifest-Version: 1.0\r\nimplementation-version: 26.1.0-\r\n 2150\r\n5-abc\r\n\r\n";
        fs::write(&path, jar(&[("META-INF/MANIFEST.MF", manifest)])).expect("write");
        assert_eq!(of_jar(&path), Ok(Some("26.1.0-2150".to_owned())));
        fs::write(&path, jar(&[("a.txt", "")])).expect("write");
        assert_eq!(of_jar(&path), Ok(None));
    }

    #[test]
    fn only_the_main_section_counts() {
        let manifest = "Manifest-Version: 1.0\n\nName: x\nImplementation-Version: 1\n";
        assert_eq!(main_attribute(manifest, "Implementation-Version"), None);
    }

    #[test]
    fn what_is_no_jar_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("go.jar");
        assert!(of_jar(&path).expect_err("missing").message().contains("go.jar"));
        fs::write(&path, "no zip").expect("write");
        assert!(of_jar(&path).expect_err("no zip").message().contains("go.jar"));
    }

    #[test]
    fn versions_that_give_secrets_away() {
        for (version, gives) in [
            ("20.5.0", false),
            ("20.6.0-12000", true),
            ("21.2.0-12498", true),
            ("21.3.0", false),
            ("26.1.0-1", false),
            ("unknown", false),
        ] {
            assert_eq!(gives_secrets_away(version), gives, "{version}");
        }
    }
}
