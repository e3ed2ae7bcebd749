//! What a node runs in, told so that both nodes can be compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::basics::Digest;

/// Begins the name of each variable by which GoCD's Docker image is told a plugin to install at its start.
pub const PLUGIN_INSTALL: &str = "GOCD_PLUGIN_INSTALL_";

/// What a node runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Version of the JVM; none without one.
    #[serde(default)]
    pub java_version: Option<String>,
    /// Whether the Java agent runs in it.
    #[serde(default)]
    pub agent: bool,
    /// The digest of the address of each plugin that GoCD's Docker image installs at its start, by the name of the
    /// variable.
    #[serde(default)]
    pub plugin_installs: BTreeMap<String, Digest>,
}

impl Surroundings {
    /// The surroundings of a node with these environment variables. Of an address that a variable holds nothing counts
    /// that may be a secret: neither a user nor a query.
    pub fn new(
        java_version: Option<String>,
        agent: bool,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let plugin_installs = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(PLUGIN_INSTALL))
            .map(|(name, address)| (name, Digest::of(without_secrets(&address).as_bytes())))
            .collect();
        Self {
            java_version,
            agent,
            plugin_installs,
        }
    }
}

/// An address without user and query.
fn without_secrets(address: &str) -> String {
    let address = address.trim().split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts_and_no_secret_of_it() {
        let of = |address: &str| {
            let variables = [("GOCD_PLUGIN_INSTALL_ldap", address), ("HOME", "/home")];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Surroundings::new(None, false, variables).plugin_installs
        };
        let plain = of("https://test/ldap.jar");
        assert_eq!(plain.len(), 1);
        assert_eq!(plain, of("https://user:secret@test/ldap.jar?token=secret"));
        assert_ne!(plain, of("https://test/ldap-2.jar"));
    }
}
