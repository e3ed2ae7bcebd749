//! `gocd-bc identity`: the key by which other nodes know this one.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use bc_core::{
    basics::{Fingerprint, regular_file},
    keys::{Identity, identity},
    node::Order,
    role::StateDir,
};
use serde::Serialize;

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, table},
    owner,
};

/// Runs `gocd-bc identity show`: shows the key, from its file or, where that may not be read, from the running node.
pub(crate) fn show(search: &Search, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let shown = match Identity::load(&node.state_dir) {
        Ok(Some(identity)) => {
            let shown = Shown::new(identity.fingerprint(), node_id(&node.state_dir), &node.state_dir);
            shown.or_given(
                client::status(&node.state_dir)
                    .ok()
                    .flatten()
                    .and_then(|status| status.fingerprint),
            )
        }
        Ok(None) => {
            return Err(Failure::new(
                ExitCode::Failed,
                format!("the node in {} has no key yet", node.state_dir.display()),
                "Start GoCD once with the plugin: it makes the key.",
            ));
        }
        Err(error) => {
            let told = client::status(&node.state_dir).ok().flatten();
            match told.and_then(|status| Some((status.fingerprint?, status.node_id))) {
                Some((fingerprint, node_id)) => Shown::new(fingerprint, Some(node_id), &node.state_dir),
                None => {
                    let file = node.state_dir.join(identity::FILE);
                    let whom = owner::name_of_owner(&file)
                        .map(|name| format!(" or as {name}"))
                        .unwrap_or_default();
                    return Err(Failure::new(
                        ExitCode::Failed,
                        error.message(),
                        format!("Run the command as root{whom}, or start GoCD: a running node tells everybody."),
                    ));
                }
            }
        }
    };
    if json {
        output::print_json(&shown)?;
    } else {
        output::print(&shown.render())?;
        output::say(&format!("\nOn the other server: gocd-bc trust {}\n", shown.fingerprint));
    }
    Ok(ExitCode::Ok)
}

/// Runs `gocd-bc identity rotate`: orders another key and waits until it is shown, or until somebody has to be waited
/// for longer.
pub(crate) fn rotate(search: &Search, now: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::RotateIdentity { now })
}

/// Runs `gocd-bc identity new`: gives the node of a copied server another id and key. A node that runs is known to
/// others by what it has, so it is to be stopped first; then the command takes the lock that it would have, and writes
/// as the owner of its files.
pub(crate) fn new(search: &Search) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    if client::status(&node.state_dir)?.is_some() {
        return Err(Failure::new(
            ExitCode::Failed,
            "the node runs, and is known to the others by the identity that it has",
            "If this server is the copy, stop GoCD on it and run the command again. A primary that is to have another key \
             while it runs: gocd-bc identity rotate",
        ));
    }
    let file = node.state_dir.join(identity::FILE);
    if !file.exists() {
        return Err(Failure::new(
            ExitCode::Failed,
            format!("the node in {} has no key yet", node.state_dir.display()),
            "Start GoCD once with the plugin: it makes the key, and nobody else has it.",
        ));
    }
    let (key, node_id) = owner::as_owner_of(&file, || {
        // Held until both are written: no node opens in between.
        let mut state = StateDir::open(&node.state_dir)?;
        let renewed = state.renew()?;
        Ok((renewed.fingerprint(), state.node_id().to_string()))
    })?;
    output::print(&format!(
        "this server has an identity of its own from now on: node {node_id}, key {key}\n"
    ))?;
    output::say(&format!(
        "\nOn the other servers, once GoCD runs here: gocd-bc trust {key}\n\nWhere bc.tls.certificate is set for this server, \
         it goes on showing the key of that certificate in place of this one: put another certificate with a key of its own \
         there too. `gocd-bc identity show` says which key it shows once GoCD runs.\n"
    ));
    Ok(ExitCode::Ok)
}

#[derive(Debug, Serialize)]
struct Shown {
    fingerprint: Fingerprint,
    base64: String,
    node_id: Option<String>,
    file: String,
}

impl Shown {
    /// What `gocd-bc identity show` prints of this key.
    fn new(fingerprint: Fingerprint, node_id: Option<String>, state_dir: &Path) -> Self {
        let bytes = hex::decode(fingerprint.to_string()).expect("a fingerprint is shown as hex digits");
        Self {
            fingerprint,
            base64: STANDARD.encode(bytes),
            node_id,
            file: state_dir.join(identity::FILE).display().to_string(),
        }
    }

    /// The key that a running node shows in place of its identity, where an administrator has given it a certificate.
    fn or_given(self, told: Option<Fingerprint>) -> Self {
        match told {
            Some(fingerprint) if fingerprint != self.fingerprint => Self {
                file: "the file in bc.tls.certificate".to_owned(),
                ..Self::new(fingerprint, self.node_id, Path::new(""))
            },
            _ => self,
        }
    }

    /// Shows the key of a node, for people.
    fn render(&self) -> String {
        let mut rows = vec![
            vec!["fingerprint".to_owned(), self.fingerprint.to_string()],
            vec!["base64".to_owned(), self.base64.clone()],
        ];
        if let Some(node_id) = &self.node_id {
            rows.push(vec!["node".to_owned(), node_id.clone()]);
        }
        rows.push(vec!["file".to_owned(), self.file.clone()]);
        table(&rows)
    }
}

/// The id of the node in a state folder, as its file says.
pub(super) fn node_id(state_dir: &Path) -> Option<String> {
    let text = regular_file::read_text(&state_dir.join("node-id"), regular_file::LARGEST_OF_A_FEW_LINES).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_key() {
        let fingerprint = Fingerprint::of_public_key(b"key");
        let shown = Shown::new(fingerprint, None, Path::new("/state"));
        assert_eq!(shown.base64.parse(), Ok(fingerprint));
        assert!(shown.render().contains(&fingerprint.to_string()));
        assert!(shown.render().ends_with("file         /state/identity.pem\n"));
        let given = Fingerprint::of_public_key(b"given");
        let shown = shown.or_given(Some(given));
        assert_eq!(shown.fingerprint, given);
        assert!(shown.render().ends_with("bc.tls.certificate\n"));
    }
}
