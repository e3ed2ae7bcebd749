//! What a set of files must be like to become live.
//!
//! Bytes were verified before; here it is checked whether GoCD could start on them, so that a standby never
//! replaces a good set by a bad one. Nothing that a file names is ever fetched.
//!
//! Here are the rules about names and plugins; [`set`] has those about configuration files.

use std::collections::BTreeMap;

use crate::{
    basics::{Error, Kind, spelling},
    files::{Jar, descriptor},
    generation::{JarName, ManifestDocument, Name, PluginIdentity, own_files::OWN_JAR},
};

mod secrets;
pub(super) mod server_id;
pub(super) mod set;
mod version;

/// Judges by the rules what the manifest of a generation says.
///
/// # Errors
/// [`Kind::Refused`].
pub(super) fn manifest(generation: &ManifestDocument) -> Result<(), Error> {
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
        if spelling::folded(jar.as_str()) == OWN_JAR {
            return Err(refused(
                format!("the primary has another plugin under the name of our own jar, {name}"),
                "Give that jar another name on the primary.",
            ));
        }
        if entry.plugin.as_ref().is_some_and(descriptor::is_own) {
            return Err(own_plugin(name));
        }
    }
    Ok(())
}

/// Judges by the rules whether a generation's names would replace `own_jars`, the jars of our own plugin here.
///
/// # Errors
/// [`Kind::Refused`] when one would replace ours.
pub(super) fn own_jars(
    generation: &ManifestDocument,
    own_jars: &BTreeMap<JarName, PluginIdentity>,
) -> Result<(), Error> {
    let taken = own_jars.keys().map(|jar| Name::Plugin(jar.clone()));
    let mut taken = taken.filter(|name| generation.files.contains_key(name));
    taken.next().map_or(Ok(()), |name| {
        Err(refused(
            format!("the primary has another plugin under the name of our own jar here, {name}"),
            "Give the jar of this plugin the same name on both servers.",
        ))
    })
}

/// Judges by the rules what is in a jar, since a manifest could say anything.
///
/// # Errors
/// [`Kind::Refused`] when it is our own plugin.
pub(super) fn plugin(name: &Name, jar: &Jar) -> Result<(), Error> {
    if jar.is_own() {
        return Err(own_plugin(name));
    }
    Ok(())
}

/// The refusal of a generation with our own plugin in it.
fn own_plugin(name: &Name) -> Error {
    refused(
        format!("{name} from the primary is this plugin itself, which is never synced"),
        "Install the same version of this plugin on both servers.",
    )
}

/// The refusal of a generation by a rule.
fn refused(message: impl Into<String>, guidance: impl Into<String>) -> Error {
    Error::new(Kind::Refused, message, guidance)
}
