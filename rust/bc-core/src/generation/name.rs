//! What a synced file is called: a closed set, so that no path ever comes from the wire.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Kind},
    generation::{extra_name::ExtraName, jar_name::JarName},
};

/// Bytes of all files together that are believed: sums of sizes never overflow.
pub(crate) const MAX_TOTAL_SIZE: u64 = 1 << 50;

/// What a synced file is. The configuration files are fixed names or those of this node's own setting: no path ever
/// comes from the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `plugins/external/<name>`; applied before the configuration.
    Plugin(JarName),
    /// `cipher.aes`; before the configuration whose secrets it opens.
    CipherAes,
    /// `cipher`, the DES key of GoCD before 21.1.
    CipherDes,
    /// `jetty.xml`.
    JettyXml,
    /// `go.feature.toggles`.
    FeatureToggles,
    /// A further file of the configuration folder, where `bc.sync.extra` names it.
    Extra(ExtraName),
    /// `cruise-config.xml`; applied last.
    CruiseConfig,
}

impl Name {
    /// The names of the configuration files that every node syncs, in the order in which they are applied.
    pub(crate) const CONFIG: [Name; 5] = [
        Name::CipherAes,
        Name::CipherDes,
        Name::JettyXml,
        Name::FeatureToggles,
        Name::CruiseConfig,
    ];

    /// The most bytes that a file of this name may have to be synced: configuration files are read into memory, on both
    /// nodes. Jars never are.
    pub(crate) fn largest(&self) -> u64 {
        match self {
            Name::Plugin(_) => MAX_TOTAL_SIZE,
            Name::CipherAes | Name::CipherDes => 64 << 10,
            Name::JettyXml | Name::FeatureToggles => 4 << 20,
            Name::Extra(_) => 16 << 20,
            Name::CruiseConfig => 64 << 20,
        }
    }
}

/// `plugins/external/x.jar`, or the configuration file's usual name.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Plugin(jar) => write!(f, "plugins/external/{jar}"),
            Name::CipherAes => f.write_str("cipher.aes"),
            Name::CipherDes => f.write_str("cipher"),
            Name::JettyXml => f.write_str("jetty.xml"),
            Name::FeatureToggles => f.write_str("go.feature.toggles"),
            Name::Extra(extra) => extra.fmt(f),
            Name::CruiseConfig => f.write_str("cruise-config.xml"),
        }
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(jar) = text.strip_prefix("plugins/external/") {
            return jar.parse().map(Name::Plugin);
        }
        Name::CONFIG
            .into_iter()
            .find(|name| name.to_string() == text)
            .or_else(|| text.parse().map(Name::Extra).ok())
            .ok_or_else(|| {
                Error::new(
                    Kind::Protocol,
                    format!(
                        "the manifest names a file that is not synced: {}",
                        text.escape_debug().take(80).collect::<String>()
                    ),
                    "Run the same version of the plugin on both servers.",
                )
            })
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}
