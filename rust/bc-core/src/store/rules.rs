//! What a set of files must be like to become live.
//!
//! Bytes were verified before; here it is judged whether GoCD could start on them, so that a standby never
//! replaces a good set by a bad one. Nothing that a file names is ever fetched.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind},
    jar_name::JarName,
    manifest::{ManifestDocument, Name, PluginIdentity},
    scan::{
        descriptor::{self, Jar},
        xml::Outline,
    },
};

/// Judges a generation by what its manifest says; `own_jars` are the jars of our own plugin here.
///
/// # Errors
/// [`Kind::Refused`].
pub(super) fn manifest(
    generation: &ManifestDocument,
    own_jars: &BTreeMap<JarName, PluginIdentity>,
) -> Result<(), Error> {
    if !generation.files.contains_key(&Name::CruiseConfig) {
        return Err(refused(
            "the primary's generation has no cruise-config.xml",
            "Check the plugin's log on the primary.",
        ));
    }
    for (name, entry) in &generation.files {
        let Name::Plugin(jar) = name else { continue };
        if own_jars.contains_key(jar) {
            return Err(refused(
                format!("the primary has another plugin under the name of our own jar here, {name}"),
                "Give the jar of this plugin the same name on both servers.",
            ));
        }
        if entry.plugin.as_ref().is_some_and(descriptor::is_own) {
            return Err(own_plugin(name));
        }
    }
    Ok(())
}

/// Judges the bytes of a configuration file.
///
/// # Errors
/// [`Kind::Refused`] saying what is wrong with the file.
pub(super) fn config_file(name: &Name, bytes: &[u8]) -> Result<(), Error> {
    if !matches!(name, Name::CruiseConfig | Name::JettyXml) {
        return Ok(());
    }
    let outline = Outline::read(bytes)
        .map_err(|reason| refused(format!("{name} from the primary {reason}"), "Mend it on the primary."))?;
    if *name == Name::CruiseConfig {
        // GoCD forbids one there too (SafeSaxBuilder).
        if outline.has_doctype {
            return Err(refused(
                "cruise-config.xml from the primary has a document type, which GoCD refuses",
                "Remove its DOCTYPE on the primary.",
            ));
        }
        if outline.root != "cruise" {
            return Err(refused(
                format!(
                    "cruise-config.xml from the primary has the root element {:?}, not cruise",
                    outline.root.chars().take(80).collect::<String>()
                ),
                "Check cruise.config.file on the primary.",
            ));
        }
    }
    Ok(())
}

/// Judges a jar by what is in it, since a manifest could say anything.
///
/// # Errors
/// [`Kind::Refused`] when it is our own plugin.
pub(super) fn plugin(name: &Name, jar: &Jar) -> Result<(), Error> {
    if jar.is_own() {
        return Err(own_plugin(name));
    }
    Ok(())
}

fn own_plugin(name: &Name) -> Error {
    refused(
        format!("{name} from the primary is this plugin itself, which is never synced"),
        "Install the same version of this plugin on both servers.",
    )
}

fn refused(message: impl Into<String>, guidance: impl Into<String>) -> Error {
    Error::new(Kind::Refused, message, guidance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_gocd_could_not_start_on_is_refused() {
        for (text, why) in [
            ("<cruise>", "is not whole"),
            ("", "is empty"),
            ("<!DOCTYPE cruise [<!ENTITY x 'y'>]><cruise/>", "document type"),
            ("<html/>", "root element \"html\""),
        ] {
            let error = config_file(&Name::CruiseConfig, text.as_bytes()).expect_err(text);
            assert_eq!(error.kind(), Kind::Refused);
            assert!(error.message().contains(why), "{error}");
        }
        assert_eq!(config_file(&Name::CruiseConfig, b"<cruise/>\n<!-- end -->"), Ok(()));
    }

    #[test]
    fn jetty_has_a_doctype_and_other_files_any_form() {
        let jetty = "<!DOCTYPE Configure PUBLIC \"x\" \"https://jetty.example/configure.dtd\"><Configure/>";
        assert_eq!(config_file(&Name::JettyXml, jetty.as_bytes()), Ok(()));
        config_file(&Name::JettyXml, b"<Configure>").expect_err("not whole");
        assert_eq!(config_file(&Name::FeatureToggles, b"<"), Ok(()));
    }
}
