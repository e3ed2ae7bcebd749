//! Asks another node for its whole status and for what its configuration names, as `gocd-bc doctor` does: any node answers,
//! also a held one.

use std::time::Duration;

use bc_core::{
    basics::{Error, Kind},
    doctor::facts::Silence,
    node::named_files::Told,
    status::Status,
};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Candidate, HttpTransport, MAX_MANIFEST, answer, key_of, no_answer, not_ours, whole_body};

/// The longest answer to what the files are that a configuration names.
const MAX_NAMED_FILES: usize = 64 * 1024;

/// The document that holds the status.
#[derive(Deserialize)]
struct Document {
    status: Status,
}

impl HttpTransport {
    /// Asks another node for its whole status, at all addresses that may be its port at once. The token goes out only to a
    /// key that is trusted; that it is answered proves that both nodes have the same one.
    ///
    /// # Errors
    /// Why it is not known, `within` this time.
    pub async fn status(&self, within: Duration) -> Result<Status, Silence> {
        self.current_judge()
            .map_err(|error| Silence::Unknown(error.to_string()))?;
        let asked = self
            .candidates
            .iter()
            .map(|candidate| self.ask_for_status(candidate, within));
        let mut silences = Vec::new();
        for (index, answer) in join_all(asked).await.into_iter().enumerate() {
            match answer {
                Ok(status) => {
                    // Only a transport that was made for this asks so, and has no other address yet.
                    let _ = self.answered.set(index);
                    return Ok(status);
                }
                Err(silence) => silences.push(silence),
            }
        }
        // The first address is the one that was written down; another one may have more to say than that nobody is there.
        let said = silences
            .iter()
            .position(|silence| !matches!(silence, Silence::Unreachable(_)));
        Err(silences.swap_remove(said.unwrap_or(0)))
    }

    /// Asks the node whose status was told what the files are that its configuration names; none from one of the version
    /// before.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn named_files(&self) -> Result<Option<Told>, Error> {
        let (candidate, what) = (self.followed(), "what its files are");
        let body = self
            .ask_if_there(candidate, "/api/v2/named-files", MAX_NAMED_FILES, what)
            .await?;
        let Some(body) = body else { return Ok(None) };
        let told: Option<Told> =
            serde_json::from_slice(&body).map_err(|_| not_ours(&candidate.base, "digests of files that are none"))?;
        let not_now = || {
            let what = format!(
                "{} cannot look now at the files that its configuration names",
                candidate.base
            );
            Error::new(Kind::Busy, what, "Ask again.")
        };
        told.ok_or_else(not_now).map(Some)
    }

    /// Asks one address for the whole status of the node there.
    async fn ask_for_status(&self, candidate: &Candidate, within: Duration) -> Result<Status, Silence> {
        let base = &candidate.base;
        let unknown = |error: Error| Silence::Unknown(error.to_string());
        let credentials = self.credentials().map_err(unknown)?;
        let request = candidate.get("/admin/dashboard.json", credentials);
        let response = candidate
            .send(request, within)
            .await
            .map_err(|error| match error.kind() {
                Kind::Trust => Silence::Untrusted(error.to_string()),
                Kind::Unreachable => Silence::Unreachable(error.to_string()),
                _ => unknown(error),
            })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED if answer::is_ours(response.headers()) => {
                return Err(Silence::TokenRefused(format!("{base} refuses the token of this node")));
            }
            _ => return Err(unknown(answer::refused(base, &response).error)),
        }
        let shown = key_of(&response).map_err(unknown)?;
        let reading = whole_body(candidate, response, MAX_MANIFEST, "a status");
        let body = timeout(within, reading)
            .await
            .map_err(|_| unknown(no_answer(base, within)))?
            .map_err(unknown)?;
        let document: Document =
            serde_json::from_slice(&body).map_err(|_| unknown(not_ours(base, "a status that is none")))?;
        self.judge_node(shown, &document.status.node_id)
            .map_err(|error| Silence::Untrusted(error.to_string()))?;
        Ok(document.status)
    }
}
