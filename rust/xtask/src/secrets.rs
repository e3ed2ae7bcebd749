//! No secret that a test used is in anything that the suite said.
//!
//! Tests register their secrets and keep what their processes said through the test kit (`bc_testkit::secrets`); the
//! suite's own output lies beside that. Each secret is looked for as it is, in hex, in Base64 as HTTP's Basic
//! credentials have it, percent-encoded, and as the numbers that Rust's Debug form shows of bytes. A finding names
//! the place and the kind of the secret, never the secret.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Where tests leave secrets and output.
pub(crate) const VARIABLE: &str = "BC_SECRETS_DIR";

/// Bytes by which a place is found quickly. No form of a secret is shorter.
const HEAD: usize = 8;

/// An empty folder for one run of the tests.
///
/// # Errors
/// It cannot be made.
pub(crate) fn prepare(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder.join("said")).with_context(|| format!("cannot make {}", folder.display()))
}

/// Looks through everything that was said.
///
/// # Errors
/// A secret is somewhere, or there was nothing to look for or at: then this check shows nothing.
pub(crate) fn check(folder: &Path) -> Result<()> {
    let registered = folder.join("registered");
    let list = fs::read_to_string(&registered)
        .with_context(|| format!("no secrets are listed in {}", registered.display()))?;
    let needles = Needles::parse(&list)?;
    let mut findings = Vec::new();
    let (mut files, mut bytes) = (0_usize, 0_usize);
    for path in files_below(&folder.join("said"))? {
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        findings.extend(
            needles
                .find_in(&content)
                .map(|(line, kind, form)| format!("{}, line {line}: {kind}, {form}", path.display())),
        );
        files += 1;
        bytes += content.len();
    }
    if files == 0 || needles.secrets == 0 {
        bail!(
            "{} secrets and {files} outputs: nothing was looked for",
            needles.secrets
        );
    }
    eprintln!("{} secrets, {files} outputs of {bytes} bytes", needles.secrets);
    if findings.is_empty() {
        return Ok(());
    }
    findings.dedup();
    bail!("secrets were printed:\n  {}", findings.join("\n  "))
}

/// Every form of every secret, by its first bytes.
struct Needles {
    secrets: usize,
    by_head: HashMap<[u8; HEAD], Vec<Needle>>,
}

struct Needle {
    bytes: Vec<u8>,
    kind: String,
    form: &'static str,
}

impl Needles {
    fn parse(list: &str) -> Result<Self> {
        let lines: BTreeSet<&str> = list.lines().collect();
        let mut by_head: HashMap<[u8; HEAD], Vec<Needle>> = HashMap::new();
        for line in &lines {
            let (kind, digits) = line.split_once('\t').context("a secret has a kind")?;
            let secret = hex::decode(digits).context("a secret is listed in hex")?;
            for (form, bytes) in forms(&secret) {
                let head = *bytes.first_chunk().with_context(|| format!("{kind} is too short"))?;
                by_head.entry(head).or_default().push(Needle {
                    bytes,
                    kind: kind.to_owned(),
                    form,
                });
            }
        }
        Ok(Self {
            secrets: lines.len(),
            by_head,
        })
    }

    /// Line number, kind and form of each place.
    fn find_in<'a>(&'a self, content: &'a [u8]) -> impl Iterator<Item = (usize, &'a str, &'static str)> {
        let places = content.windows(HEAD).enumerate().flat_map(move |(at, head)| {
            let head: &[u8; HEAD] = head.try_into().expect("a window has this size");
            let candidates = self.by_head.get(head).into_iter().flatten();
            candidates
                .filter(move |needle| content[at..].starts_with(&needle.bytes))
                .map(move |needle| (at, needle))
        });
        places.map(|(at, needle)| {
            let line = 1 + content[..at].iter().filter(|byte| **byte == b'\n').count();
            (line, needle.kind.as_str(), needle.form)
        })
    }
}

fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("in hex", hex::encode(secret).into_bytes()),
        ("as numbers", numbers.join(", ").into_bytes()),
        ("percent-encoded", percent_encoded(secret).into_bytes()),
        ("in Base64", STANDARD_NO_PAD.encode(secret).into_bytes()),
        ("in Base64 for addresses", URL_SAFE_NO_PAD.encode(secret).into_bytes()),
    ];
    let mut seen = BTreeSet::new();
    forms.retain(|(_, bytes)| seen.insert(bytes.clone()));
    forms
}

fn percent_encoded(secret: &[u8]) -> String {
    secret
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let cannot_read = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let entry = entry.with_context(cannot_read)?;
        match entry.file_type().with_context(cannot_read)?.is_dir() {
            true => files.extend(files_below(&entry.path())?),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "standby:p/ss+word of tests";

    fn folder_that_said(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path()).expect("prepared");
        let line = format!("token\t{}\n", hex::encode(SECRET));
        fs::write(folder.path().join("registered"), line.repeat(3)).expect("write");
        fs::write(folder.path().join("said/1-0-primary"), text).expect("write");
        folder
    }

    #[test]
    fn a_planted_secret_is_found_in_every_form_and_not_repeated() {
        for (form, planted) in [
            ("as it is", SECRET.to_owned()),
            ("in hex", hex::encode(SECRET)),
            ("as numbers", format!("{:?}", SECRET.as_bytes())),
            ("percent-encoded", "standby%3Ap%2Fss%2Bword%20of%20tests".to_owned()),
            (
                "in Base64",
                "Authorization: Basic c3RhbmRieTpwL3NzK3dvcmQgb2YgdGVzdHM=".to_owned(),
            ),
        ] {
            let folder = folder_that_said(&format!("one line\nanother {planted} line\n"));
            let error = check(folder.path()).expect_err("found").to_string();
            assert!(
                error.ends_with(&format!("1-0-primary, line 2: token, {form}")),
                "{error}"
            );
            assert!(!error.contains("word of tests"), "{error}");
        }
    }

    #[test]
    fn what_lies_in_a_folder_of_its_own_is_looked_through_as_well() {
        let folder = folder_that_said("nothing");
        let below = folder.path().join("said/tests");
        fs::create_dir(&below).expect("made");
        fs::write(below.join("bc-core-lib"), SECRET).expect("write");
        let error = check(folder.path()).expect_err("found").to_string();
        assert!(error.ends_with("bc-core-lib, line 1: token, as it is"), "{error}");
    }

    #[test]
    fn what_says_no_secret_passes() {
        let folder = folder_that_said("standby:p/ss+word of\ntests, standby, and nothing else\n");
        check(folder.path()).expect("nothing is there");
    }

    #[test]
    fn a_search_for_nothing_is_no_success() {
        let folder = folder_that_said("text");
        fs::write(folder.path().join("registered"), "").expect("write");
        let error = check(folder.path()).expect_err("nothing to look for").to_string();
        assert!(error.ends_with("nothing was looked for"), "{error}");
        fs::remove_file(folder.path().join("registered")).expect("remove");
        check(folder.path()).expect_err("no list");
    }
}
