//! What may be in the plugin jar and what must be.
//!
//! GoCD loads every class outside `lib/` and `META-INF/` (`DefaultGoPluginActivator`), and the jar stands in
//! the boot command line of a server: nothing gets in unnoticed.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use anyhow::{Context, Result, bail, ensure};
use zip::ZipArchive;

use crate::{digest, platform::Platform};

const PACKAGE: &str = "cd/go/contrib/businesscontinuity/";

/// Checks a jar's entries, its manifest, its descriptor's version and the digests of its libraries.
pub(crate) fn check(jar: &Path, platforms: &[Platform], version: &str) -> Result<()> {
    let entries = read(jar)?;
    check_entries(&entries, platforms, version).with_context(|| format!("{} is not as it should be", jar.display()))
}

type Entries = BTreeMap<String, Vec<u8>>;

fn read(jar: &Path) -> Result<Entries> {
    let file = File::open(jar).with_context(|| format!("cannot open {}", jar.display()))?;
    let mut archive = ZipArchive::new(file).with_context(|| format!("{} is no jar", jar.display()))?;
    let mut entries = Entries::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let name = entry.name()?.into_owned();
        ensure!(
            entries.insert(name.clone(), bytes).is_none(),
            "{name} is in {} twice",
            jar.display()
        );
    }
    Ok(entries)
}

fn check_entries(entries: &Entries, platforms: &[Platform], version: &str) -> Result<()> {
    if let Some(stranger) = entries.keys().find(|name| !is_allowed(name, platforms)) {
        bail!("{stranger} has no business in the jar; if it has, allow it in rust/xtask/src/jar/contents.rs");
    }
    for platform in platforms {
        let name = format!("native/{}/{}", platform.name(), platform.library_file());
        let noted = format!("{}\n", digest::of_bytes(entry(entries, &name)?));
        ensure!(
            entry(entries, &format!("{name}.sha256"))? == noted.as_bytes(),
            "{name}.sha256 is not the digest of the library beside it, in 64 hex digits and a newline"
        );
    }
    check_manifest(&text(entries, "META-INF/MANIFEST.MF")?, entries, version)?;
    let descriptor = text(entries, "plugin.xml")?;
    ensure!(
        descriptor.contains(&format!("<version>{version}</version>")),
        "plugin.xml does not have the workspace's version {version}"
    );
    Ok(())
}

fn is_allowed(name: &str, platforms: &[Platform]) -> bool {
    let is_class = name
        .strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_suffix(".class"))
        .is_some_and(|class| !class.is_empty() && !class.contains('/'));
    let mut files = vec![
        "plugin.xml".to_owned(),
        "META-INF/MANIFEST.MF".to_owned(),
        "META-INF/LICENSE".to_owned(),
    ];
    for platform in platforms {
        let library = format!("native/{}/{}", platform.name(), platform.library_file());
        files.push(format!("{library}.sha256"));
        files.push(library);
    }
    let is_folder_of_ours =
        || name.ends_with('/') && (PACKAGE.starts_with(name) || files.iter().any(|file| file.starts_with(name)));
    is_class || files.iter().any(|file| file == name) || is_folder_of_ours()
}

fn check_manifest(manifest: &str, entries: &Entries, version: &str) -> Result<()> {
    let headers = headers(manifest);
    let header = |name: &str| headers.get(name).with_context(|| format!("the manifest has no {name}"));
    let premain = header("Premain-Class")?;
    ensure!(
        entries.contains_key(&format!("{}.class", premain.replace('.', "/"))),
        "the manifest's Premain-Class {premain} is not in the jar"
    );
    ensure!(
        header("Implementation-Version")? == version,
        "the manifest's version is not {version}"
    );
    // GoCD writes these itself and refuses a jar that has them (GoPluginOSGiManifest).
    if let Some(bundle) = headers.keys().find(|name| name.starts_with("Bundle-")) {
        bail!("the manifest has {bundle}: GoCD would refuse the plugin");
    }
    Ok(())
}

/// The main attributes of a manifest, with continuation lines joined.
fn headers(manifest: &str) -> BTreeMap<String, String> {
    let joined = manifest.replace("\r\n", "\n").replace("\n ", "");
    joined
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn entry<'a>(entries: &'a Entries, name: &str) -> Result<&'a [u8]> {
    entries
        .get(name)
        .map(Vec::as_slice)
        .with_context(|| format!("{name} is missing"))
}

fn text(entries: &Entries, name: &str) -> Result<String> {
    String::from_utf8(entry(entries, name)?.to_vec()).with_context(|| format!("{name} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLATFORM: [Platform; 1] = [Platform::LinuxX86_64];

    fn entries() -> Entries {
        let manifest = "Manifest-Version: 1.0\r\nPremain-Class: cd.go.contrib.businesscon\r\n tinuity.Agent\r\n\
                        Implementation-Version: 1.2.3\r\n\r\nName: other\r\nBundle-Of: joy\r\n";
        let library = b"library";
        let digest = format!("{}\n", digest::of_bytes(library));
        [
            ("META-INF/", ""),
            ("META-INF/MANIFEST.MF", manifest),
            (
                "plugin.xml",
                "<go-plugin><about><version>1.2.3</version></about></go-plugin>",
            ),
            ("cd/go/", ""),
            ("cd/go/contrib/businesscontinuity/Agent.class", "class"),
            ("native/linux-x86_64/libgocd_bc.so", "library"),
            ("native/linux-x86_64/libgocd_bc.so.sha256", &digest),
        ]
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes.as_bytes().to_owned()))
        .collect()
    }

    fn refusal(entries: &Entries) -> String {
        check_entries(entries, &PLATFORM, "1.2.3")
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn a_jar_as_it_should_be() {
        check_entries(&entries(), &PLATFORM, "1.2.3").expect("accepted");
    }

    #[test]
    fn strangers_are_named() {
        for stranger in [
            "lib/guava.jar",
            "cd/go/contrib/other/Thing.class",
            "cd/go/contrib/businesscontinuity/deep/Thing.class",
            "native/windows-x86_64/gocd_bc.dll",
            "org/",
            "log4j.properties",
        ] {
            let mut entries = entries();
            entries.insert(stranger.to_owned(), Vec::new());
            assert!(refusal(&entries).starts_with(stranger), "{stranger}");
        }
    }

    #[test]
    fn a_wrong_digest_a_wrong_version_and_a_bundle_header_are_refused() {
        let mut changed = entries();
        changed.insert("native/linux-x86_64/libgocd_bc.so".to_owned(), b"other".to_vec());
        assert!(refusal(&changed).contains("libgocd_bc.so.sha256"));

        let error = check_entries(&entries(), &PLATFORM, "1.2.4")
            .expect_err("refused")
            .to_string();
        assert!(error.contains("1.2.4"));

        let mut changed = entries();
        let manifest = changed.get_mut("META-INF/MANIFEST.MF").expect("there");
        manifest.splice(0..0, *b"Bundle-SymbolicName: x\r\n");
        assert!(refusal(&changed).contains("Bundle-SymbolicName"));
    }
}
