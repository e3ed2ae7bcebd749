//! Who it is that shows this node's own key: this process itself, or a copy of its server.
//!
//! The handshake has refused the key by then, and nothing of ours was sent. The question is asked on a connection of its
//! own, which takes no other key, and without the token: the key that both have is the proof. Who asks is told too.

use std::sync::Arc;

use bc_core::{
    error::{Error, Kind},
    pull::judge,
    run::{self, Run},
};
use tokio::time::timeout;

use super::{Candidate, HttpTransport, LONGEST_CONNECT, client, key_of};
use crate::{
    routes::{PREFIX, RUN_HEADER, run_header},
    tls::client::Verifier,
};

impl HttpTransport {
    /// What `error` really means, where our own key was the reason: one that a copy of this server shows is said as that.
    pub(super) async fn explained(&self, candidate: &Candidate, error: Error) -> Error {
        if error.kind() != Kind::Refused || !candidate.verifier.saw_own() {
            return error;
        }
        match self.copy_at(candidate).await {
            Some(copy) => judge::own_identity(&copy),
            None => error,
        }
    }

    /// Another run of this node that answers there; none where it is this one, or does not say.
    async fn copy_at(&self, candidate: &Candidate) -> Option<Run> {
        let (key, own) = (self.key.as_ref()?, self.run.as_ref()?);
        let verifier = Verifier::of_own(Arc::clone(key));
        let http = client(
            &candidate.base,
            candidate.is_secure,
            &verifier,
            candidate.connection_timeout,
        );
        let request = http
            .ok()?
            .get(format!("{}{PREFIX}/live", candidate.base))
            .header(RUN_HEADER, run_header(own)?);
        let response = timeout(self.timeout.min(LONGEST_CONNECT), request.send()).await;
        let response = response.ok()?.ok()?;
        if key_of(&response).ok()? != Some(key.shown().fingerprint()) {
            return None;
        }
        let there = run::from_header(response.headers().get(RUN_HEADER)?.as_bytes())?;
        let address = response.remote_addr().map(|address| address.ip());
        (there.id != own.id).then(|| there.at(address))
    }
}
