//! Who it is that shows this node's own key: this process itself, a copy of its server, or another node to which the
//! same key was given.
//!
//! The handshake has refused the key by then, and nothing of ours was sent. The question is asked on a connection of
//! its own, which takes no other key, and without the token: the key that both have is the proof. Who asks is told too.

use std::sync::Arc;

use bc_core::{
    basics::{Error, Kind},
    generation::KeyHolder,
    standby::pull::judge,
};
use reqwest::StatusCode;
use tokio::time::timeout;

use super::{Candidate, HttpTransport, LONGEST_CONNECT, client, key_of};
use crate::{
    paths::PREFIX,
    routes::{RUN_HEADER, run_header},
    tls::client::Verifier,
};

impl HttpTransport {
    /// Says who it is that showed this node's own key: a copy of its server, or another node with its key; else returns
    /// `error` as it is.
    pub(super) async fn explained(&self, candidate: &Candidate, error: Error) -> Error {
        if error.kind() != Kind::Refused || !candidate.verifier.saw_own() {
            return error;
        }
        let there = self.holder_at(candidate).await.map(|(there, _)| there);
        let other = there.filter(|there| !self.is_itself(there));
        let own = self.holder.as_ref().and_then(|own| own.node_id.as_ref());
        match (other, own) {
            (Some(other), Some(own)) if other.is_other_node(own) => judge::own_key(&other.run),
            (Some(copy), Some(_)) => judge::own_identity(&copy.run),
            _ => error,
        }
    }

    /// Whether this is the very run of the node that asks.
    pub(super) fn is_itself(&self, there: &KeyHolder) -> bool {
        self.holder.as_ref().is_some_and(|own| there.run.id == own.run.id)
    }

    /// Asks who answers there with this node's own key, and whether GoCD runs there as the primary; none where that is not
    /// said.
    pub(super) async fn holder_at(&self, candidate: &Candidate) -> Option<(KeyHolder, bool)> {
        let (key, own) = (self.key.as_ref()?, self.holder.as_ref()?);
        let verifier = Verifier::of_own(Arc::clone(key));
        let http = client(
            &candidate.base,
            candidate.is_secure,
            &verifier,
            candidate.connection_timeout,
        );
        let request = http
            .ok()?
            .get(format!("{}{PREFIX}/ready", candidate.base))
            .header(RUN_HEADER, run_header(own)?);
        let response = timeout(self.timeout.min(LONGEST_CONNECT), request.send()).await;
        let response = response.ok()?.ok()?;
        if key_of(&response).ok()? != Some(key.shown().fingerprint()) {
            return None;
        }
        let there = KeyHolder::from_header(response.headers().get(RUN_HEADER)?.as_bytes())?;
        let address = response.remote_addr().map(|address| address.ip());
        Some((there.at(address), response.status() == StatusCode::OK))
    }
}
