//! Asks the primary who it is before anything here is changed: which key it shows, and whether it takes our token.
//!
//! No token is sent to a key that nobody has vouched for.

use std::sync::Arc;

use bc_core::{
    basics::{Error, Fingerprint, NodeId},
    generation::Role,
    keys::{Identity, OwnKeys, Peers, Token, Trust, peers::PeersFile, trust::Judge},
    role::inquiry::Heard,
    settings::{Settings, primary_url::PrimaryUrl},
};
use bc_server::client::HttpTransport;
use tokio::{runtime::Runtime, sync::watch};

use crate::{commands::identity, exit_code::ExitCode, failure::Failure};

/// What is asked with.
pub(super) struct Introduction<'s> {
    settings: &'s Settings,
    url: &'s PrimaryUrl,
    /// The key and the id of this node; of nobody where it never ran.
    own: (Fingerprint, NodeId),
    runtime: Runtime,
}

/// How the key that the primary shows is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// By what is configured or known here already.
    Known(&'static str),
    /// Not yet.
    Unknown,
}

impl<'s> Introduction<'s> {
    /// Prepares to ask the primary at `url` as the node of `settings`.
    ///
    /// # Errors
    /// The identity of this node is there and cannot be read, or there are no threads.
    pub(super) fn new(settings: &'s Settings, url: &'s PrimaryUrl) -> Result<Self, Failure> {
        let state_dir = settings.layout.state_dir();
        let key = Identity::load(state_dir)?.map(|identity| identity.fingerprint());
        let node_id = match identity::node_id(state_dir).as_deref().and_then(NodeId::as_kept) {
            Some(node_id) => node_id,
            None => NodeId::random()?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                Failure::new(
                    ExitCode::Failed,
                    format!("cannot ask the primary: {error}"),
                    "Try again.",
                )
            })?;
        Ok(Self {
            settings,
            url,
            own: (key.unwrap_or_else(|| Fingerprint::of_public_key(&[])), node_id),
            runtime,
        })
    }

    /// The key that the primary shows. Nothing is sent but the greeting of TLS.
    ///
    /// # Errors
    /// Nobody answers there, or this very node does.
    pub(super) fn key(&self) -> Result<Fingerprint, Failure> {
        let nobody = || Judge::from(Trust::Nothing);
        // Needed to begin a request, which the handshake ends before it is sent.
        let (transport, heard) = self.ask(Token::generate()?, nobody)?;
        let seen = transport.seen().ok_or_else(|| nobody_there(self.url, &heard))?;
        if self.own.0 == seen {
            return Err(Failure::new(
                ExitCode::Failed,
                format!(
                    "{} leads back to this very server: it shows this server's own key",
                    self.url
                ),
                "Name the primary's address. If this server is a copy of the primary, run `gocd-bc identity new` first.",
            ));
        }
        Ok(seen)
    }

    /// Whether what is known here vouches for this key.
    ///
    /// # Errors
    /// What is known here vouches for another one, or this one was removed.
    pub(super) fn acquaintance(&self, seen: &Fingerprint, peers: &PeersFile) -> Result<Acquaintance, Failure> {
        let judge = self.judge(peers.load());
        match (judge.key(seen), &judge.trust) {
            (Ok(()), trust) => Ok(Acquaintance::Known(trust.description())),
            (Err(_), Trust::Nothing) if !peers.load().is_ok_and(|peers| peers.is_removed(seen)) => {
                Ok(Acquaintance::Unknown)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Asks with the token, trusting what is known here and `accepted`, whether there is a primary that takes it.
    ///
    /// # Errors
    /// There is none, it is no primary, or it refuses the token.
    pub(super) fn greet(&self, token: &Token, peers: &PeersFile, accepted: Option<Fingerprint>) -> Result<(), Failure> {
        let judge = match accepted {
            Some(key) => Judge::from(Trust::Pinned(key)),
            None => self.judge(peers.load()),
        };
        let (_, heard) = self.ask(token.clone(), move || judge.clone())?;
        match heard.iter().find_map(|(_, heard)| match heard {
            Heard::Node { role, .. } => Some(*role),
            _ => None,
        }) {
            Some(Role::Primary) => Ok(()),
            Some(role) => Err(Failure::new(
                ExitCode::Failed,
                format!("the node at {} is no primary but a {role}", self.url),
                "Run this command on the server that is to be the standby, with the address of the one that is not.",
            )),
            None => Err(nobody_there(self.url, &heard)),
        }
    }

    fn judge(&self, peers: Result<Peers, Error>) -> Judge {
        let (key, node_id) = &self.own;
        Judge::of(self.settings, peers, &OwnKeys::new(node_id.clone(), *key))
    }

    fn ask(
        &self,
        token: Token,
        judge: impl Fn() -> Judge + Send + Sync + 'static,
    ) -> Result<(HttpTransport, Vec<(String, Heard)>), Failure> {
        let (_sender, token) = watch::channel(Some(token));
        self.runtime.block_on(async {
            let transport = HttpTransport::new(
                self.url,
                self.own.0,
                Arc::new(judge),
                token,
                self.settings.connection_timeout,
            )?;
            let heard = transport.who().await;
            Ok((transport, heard))
        })
    }
}

/// Says that no primary answered, with what each address said.
fn nobody_there(url: &PrimaryUrl, heard: &[(String, Heard)]) -> Failure {
    let failure = Failure::new(
        ExitCode::Failed,
        format!("no primary of GoCD Business Continuity answers at {url}"),
        "Run `gocd-bc setup primary` there and restart GoCD, or see `gocd-bc status` there; the port must be open from \
         here.",
    );
    heard.iter().fold(failure, |failure, (address, heard)| match heard {
        Heard::Unproven(why)
        | Heard::OwnKey { how: why, .. }
        | Heard::Mute(why)
        | Heard::NotAsked(why)
        | Heard::Silence(why) => failure.caused_by(format!("{address}: {why}")),
        Heard::Itself => failure.caused_by(format!("{address}: it leads to this server itself")),
        Heard::Node { .. } => failure,
    })
}
