//! Who this node is and whom it trusts: its own keys, those of its peers, and the secret that both nodes share.
//!
//! | module | knows |
//! |---|---|
//! | `identity` | the node's own TLS key and certificate in the state folder, and the key that is to follow |
//! | `own_keys` | the keys of this node in memory: the one that it shows, and those that it is to show |
//! | `rotation` | when a primary shows another key: the steps, without the files |
//! | `peers` | the keys of all nodes that are trusted, and those that were removed |
//! | `peers::file` | `business-continuity-peers`, which lists the trusted ones and the removed ones |
//! | `peers::removed` | `removed-keys.json` in the state folder, which lists the removed ones once more |
//! | `trust` | judges a key: whether the primary is who it should be, and which standby is one of the pair |
//! | `token` | `business-continuity-token`, the user and password that both nodes share |
//!
//! Stands on [`crate::basics`], [`crate::durable`], [`crate::generation`] and [`crate::settings`].

pub mod identity;
pub mod own_keys;
pub mod peers;
pub mod rotation;
pub mod token;
pub mod trust;

pub use self::{
    identity::Identity,
    own_keys::OwnKeys,
    peers::{Peer, Peers, PeersFile},
    token::Token,
    trust::{Standing, Trust},
};
