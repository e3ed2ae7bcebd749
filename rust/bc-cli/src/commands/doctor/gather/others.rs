//! The other nodes of the pair, asked at once.
//!
//! Whose key is trusted is not decided here anew: the node has proven or refused it, and says so in its status. Only where
//! it has not seen any, settings and peers file are read.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bc_core::{
    basics::{Fingerprint, clock::millis},
    doctor::facts::{Other, Silence},
    generation::Role,
    gocd::version,
    keys::{OwnKeys, PeersFile, Token, Trust, trust::Judge},
    node::named_files::Told,
    settings::{PrimaryUrl, Settings},
    status::Status,
};
use bc_server::{client::HttpTransport, tls::client::TrustSource};
use tokio::{runtime::Runtime, sync::watch};

use super::{Late, Node, OTHERS_WITHIN, within};

/// One that has answered tells what its files are within this time.
const NAMED_WITHIN: Duration = Duration::from_secs(2);
/// GoCD's own port.
const GOCD_PORT: u16 = 8153;
/// It answers within this time.
const OLD_PORT_WITHIN: Duration = Duration::from_secs(2);
/// A clock is not judged by an answer that took longer, in milliseconds.
const MOST_CLOCK_ERROR_MS: i64 = 4_000;

/// Asks all other nodes that the node here knows of.
pub(super) fn ask(node: &Node, status: &Status, token: Option<&Token>) -> Vec<Other> {
    let own = status.fingerprint.unwrap_or(Fingerprint::of_public_key(b""));
    let asked: Vec<_> = known(node, status)
        .into_iter()
        .map(|(url, judge)| {
            let (token, at) = (token.cloned(), url.clone());
            let answer = within(OTHERS_WITHIN, move || status_of(&at, own, judge, token));
            (url, answer)
        })
        .collect();
    let heard: Vec<_> = asked
        .into_iter()
        .map(|(url, answer)| {
            let late = |late: Late| Heard {
                node: Err(Silence::Unreachable(late.of(&url))),
                clock_ahead_ms: None,
                asking: None,
            };
            let Heard {
                node,
                clock_ahead_ms,
                asking,
            } = answer.wait().unwrap_or_else(late);
            let files = asking.map(|asking| within(NAMED_WITHIN, move || asking.named_files()));
            (url, node, clock_ahead_ms, files)
        })
        .collect();
    let heard = heard.into_iter().map(|(url, node, clock_ahead_ms, files)| {
        let late = |late: Late| Err(late.of(&url));
        let named_files = files.and_then(|files| files.wait().unwrap_or_else(late).transpose());
        Other {
            url,
            node,
            named_files,
            clock_ahead_ms,
        }
    });
    heard.collect()
}

/// Tries the ports of those GoCDs that would give their secrets away, each from here.
pub(super) fn old_ports(status: &Status, others: &[Other]) -> Vec<(String, bool)> {
    let is_old = |status: &Status| status.gocd_version.as_deref().is_some_and(version::gives_secrets_away);
    let mut hosts = Vec::new();
    if is_old(status) {
        hosts.push("localhost".to_owned());
    }
    for other in others {
        let url = other.url.parse::<PrimaryUrl>();
        if let (Ok(there), Ok(url)) = (&other.node, url)
            && is_old(there)
        {
            hosts.push(url.host().to_string());
        }
    }
    let tried: Vec<_> = hosts
        .into_iter()
        .map(|host| {
            let at = host.clone();
            let gives = within(OLD_PORT_WITHIN, move || {
                super::old_ports::gives_secrets_away(&at, GOCD_PORT)
            });
            (format!("{host}:{GOCD_PORT}"), gives)
        })
        .collect();
    tried
        .into_iter()
        .map(|(address, gives)| (address, gives.wait().unwrap_or(false)))
        .collect()
}

/// Where the other nodes are, and whose key counts there.
fn known(node: &Node, status: &Status) -> Vec<(String, Judge)> {
    match (&status.primary, status.role) {
        (Some(primary), _) => {
            let url = primary.address.as_ref().unwrap_or(&primary.url).clone();
            let judge = match primary.seen_fingerprint.filter(|_| primary.trusted) {
                Some(key) => Trust::Pinned(key).into(),
                None => judge(node, status),
            };
            vec![(url, judge)]
        }
        (None, Role::Primary) => {
            let reachable = status.standbys.iter().filter_map(|standby| {
                let key = standby.fingerprint?;
                Some((standby.url.clone()?, Trust::Pinned(key).into()))
            });
            reachable.collect()
        }
        (None, _) => Vec::new(),
    }
}

/// Whom settings and peers file of the node here trust.
fn judge(node: &Node, status: &Status) -> Judge {
    let (Some(layout), Ok(node_id), Some(own)) = (&node.layout, status.node_id.parse(), status.fingerprint) else {
        return Trust::Nothing.into();
    };
    let properties = [("user.dir", layout.working_dir().display().to_string())]
        .into_iter()
        .collect();
    let (settings, _) = Settings::parse(&properties, |_| false);
    Judge::of(&settings, PeersFile::of(layout).load(), &OwnKeys::new(node_id, own))
}

/// What another node said first.
struct Heard {
    node: Result<Status, Silence>,
    clock_ahead_ms: Option<i64>,
    /// The way to ask it for more; none where it did not answer.
    asking: Option<Asking>,
}

/// A connection to another node, and what drives it.
struct Asking {
    transport: HttpTransport,
    runtime: Runtime,
}

impl Asking {
    /// Makes the way to the node at `url`.
    fn open(url: &str, own: Fingerprint, judge: Judge, token: Option<Token>) -> Result<Self, String> {
        let url: PrimaryUrl = url.parse().map_err(|mistake| format!("the address {url} {mistake}"))?;
        let trust: TrustSource = Arc::new(move || judge.clone());
        let (_sender, token) = watch::channel(token);
        let transport =
            HttpTransport::new(&url, own, trust, token, OTHERS_WITHIN).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        Ok(Self { transport, runtime })
    }

    /// Asks for the status of the node there.
    fn status(&self) -> Result<Status, Silence> {
        self.runtime.block_on(self.transport.status(OTHERS_WITHIN))
    }

    /// Asks what the files are that its configuration names; none from a node of the version before.
    fn named_files(&self) -> Result<Option<Told>, String> {
        let told = self.runtime.block_on(self.transport.named_files());
        told.map_err(|error| error.to_string())
    }
}

/// Asks the node at `url` for its status.
fn status_of(url: &str, own: Fingerprint, judge: Judge, token: Option<Token>) -> Heard {
    let now = || millis(SystemTime::now());
    let asking = match Asking::open(url, own, judge, token) {
        Ok(asking) => asking,
        Err(why) => {
            return Heard {
                node: Err(Silence::Unknown(why)),
                clock_ahead_ms: None,
                asking: None,
            };
        }
    };
    let begun = now();
    let node = asking.status();
    // It was taken somewhere between; on a way that long nobody can tell.
    let (ended, most) = (now(), MOST_CLOCK_ERROR_MS);
    let ahead = node.as_ref().ok().filter(|_| ended - begun < most);
    Heard {
        clock_ahead_ms: ahead.map(|status| status.now_ms - (begun + ended) / 2),
        asking: node.is_ok().then_some(asking),
        node,
    }
}
