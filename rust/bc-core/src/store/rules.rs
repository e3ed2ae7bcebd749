//! What a set of files must be like to become live.
//!
//! Bytes were verified before; here it is judged whether GoCD could start on them, so that a standby never
//! replaces a good set by a bad one. Nothing that a file names is ever fetched.
//!
//! Here are the rules about names and plugins; [`set`] has those about configuration files.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind},
    jar_name::JarName,
    manifest::{self, ManifestDocument, Name, PluginIdentity},
    scan::descriptor::{self, Jar},
    spelling,
};

mod secrets;
pub(super) mod server_id;
pub(super) mod set;
mod version;

/// Judges a generation by what its manifest says; `own_jars` are the jars of our own plugin here.
///
/// # Errors
/// [`Kind::Refused`].
pub(super) fn manifest(
    generation: &ManifestDocument,
    own_jars: &BTreeMap<JarName, PluginIdentity>,
) -> Result<(), Error> {
    if !generation.files.contains_key(&Name::CruiseConfig) {
        if let Some(reason) = generation.withheld.reason(&Name::CruiseConfig) {
            return Err(refused(
                format!("cruise-config.xml on the primary {reason}, and none of it is here yet"),
                "Mend it on the primary: without a configuration nothing is made live here.",
            ));
        }
        return Err(refused(
            "the primary's generation has no cruise-config.xml",
            "Check the plugin's log on the primary.",
        ));
    }
    for (name, entry) in &generation.files {
        let Name::Plugin(jar) = name else { continue };
        if spelling::folded(jar.as_str()) == manifest::OWN_JAR {
            return Err(refused(
                format!("the primary has another plugin under the name of our own jar, {name}"),
                "Give that jar another name on the primary.",
            ));
        }
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
