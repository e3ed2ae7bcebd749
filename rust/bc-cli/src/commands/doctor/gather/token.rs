//! The token of the node here.

use bc_core::{basics::Kind, keys::Token};

use super::Node;

/// Reads the token; none where there is none.
pub(super) fn read(node: &Node) -> Result<Option<Token>, String> {
    let layout = node
        .layout
        .as_ref()
        .ok_or("which GoCD the node belongs to is not known, and so neither is its token: name it with --gocd DIR")?;
    let path = layout.token();
    match Token::load(&path) {
        Ok(token) => Ok(Some(token)),
        Err(error) if error.kind() == Kind::Setting && !path.exists() => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
