//! Whether an answer may be followed.

use crate::{
    error::{Error, Kind},
    manifest::{Envelope, Role},
};

/// Accepts only a primary, and never ourselves.
///
/// # Errors
/// [`Kind::Refused`], or [`Kind::Protocol`] for nonsense, saying what `bc.primary.url` leads to.
pub fn envelope(envelope: &Envelope, own_node_id: &str) -> Result<(), Error> {
    if envelope.node_id == own_node_id {
        return Err(Error::new(
            Kind::Refused,
            "bc.primary.url leads to this node itself",
            "Set it to the other server. If this server was cloned with its db folder, remove \
             db/business-continuity here, so that it gets a node id of its own.",
        ));
    }
    if let Some(name) = envelope.odd_text() {
        return Err(Error::new(
            Kind::Protocol,
            format!("the primary's {name} is not one"),
            "Check that bc.primary.url leads to the primary's Business Continuity port.",
        ));
    }
    // It is written down and shown.
    let promotion = &envelope.epoch.promotion;
    if promotion.len() > 64 || !promotion.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::new(
            Kind::Protocol,
            "the primary's promotion id is not one",
            "Run the same version of the plugin on both servers.",
        ));
    }
    if envelope.role != Role::Primary {
        return Err(Error::new(
            Kind::Refused,
            format!("bc.primary.url leads to a node whose role is {}", envelope.role),
            "Set it to the server that runs GoCD.",
        ));
    }
    Ok(())
}

/// What to warn of when versions differ.
pub fn versions(envelope: &Envelope, own_gocd: Option<&str>) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    if envelope.product_version != own {
        return Some(format!(
            "the primary runs version {} of this plugin, this node {own}. Install the same jar on both servers.",
            envelope.product_version
        ));
    }
    match (envelope.gocd_version.as_deref(), own_gocd) {
        (Some(primary), Some(own)) if primary != own => Some(format!(
            "the primary runs GoCD {primary}, this server has {own}. Install the same version on both, or a promoted \
             GoCD may not start on the primary's database."
        )),
        _ => None,
    }
}
