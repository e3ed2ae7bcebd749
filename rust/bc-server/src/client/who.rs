//! Asks who answers at an address, and tells an answer from a silence.
//!
//! A request that fails says little: the connection may have been refused, or somebody took it and said nothing. So
//! after a failure the bare connection is tried: whoever takes it is there.

use std::{io, time::Duration};

use bc_core::{
    basics::{Error, Kind},
    generation::Envelope,
    role::inquiry::Heard,
};
use futures_util::future::join_all;
use reqwest::StatusCode;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{Candidate, HttpTransport, answer, key_of, whole_body};
use crate::routes::EPOCH_HEADER;

/// The longest wait for an answer, and for a bare connection.
const LONGEST: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;

impl HttpTransport {
    /// Asks all addresses of the primary at once who answers there; each answer with its address. Takes some 20 s at
    /// most.
    pub async fn who(&self) -> Vec<(String, Heard)> {
        let asked = self.candidates.iter().map(|candidate| async {
            let heard = self.who_at(candidate).await;
            (candidate.base.clone(), heard)
        });
        join_all(asked).await
    }

    /// Asks who answers at one address of the primary, and whether its key proves that.
    async fn who_at(&self, candidate: &Candidate) -> Heard {
        let credentials = match self.credentials() {
            Ok(credentials) => credentials,
            Err(error) => return Heard::NotAsked(error.to_string()),
        };
        let within = self.timeout.min(LONGEST);
        let mut request = candidate.get("/api/v2/node", credentials);
        if let Some(board) = &self.board {
            request = request.header(EPOCH_HEADER, board.look(|status| status.epoch.number));
        }
        let response = match candidate.send(request, within).await {
            Ok(response) => response,
            Err(error) => {
                if error.kind() == Kind::Refused && candidate.verifier.saw_own() {
                    return self.who_has_own_key(candidate, &error).await;
                }
                return match error.kind() {
                    Kind::Unreachable => at_the_port(&candidate.base, error.message()).await,
                    Kind::Trust | Kind::Protocol => Heard::Unproven(error.message().to_owned()),
                    _ => Heard::NotAsked(error.to_string()),
                };
            }
        };
        if response.status() != StatusCode::OK {
            return Heard::Unproven(answer::refused(&candidate.base, &response).error.message().to_owned());
        }
        let shown = match key_of(&response) {
            Ok(Some(shown)) => shown,
            Ok(None) => {
                return Heard::Unproven("the connection is in the clear, where nobody proves anything".to_owned());
            }
            Err(error) => return Heard::Unproven(error.message().to_owned()),
        };
        match timeout(within, whole_body(candidate, response, MAX_ANSWER, "an answer")).await {
            Err(_) => Heard::Mute("its answer does not come to an end".to_owned()),
            Ok(Err(error)) if error.kind() == Kind::Unreachable => Heard::Mute(error.message().to_owned()),
            Ok(Err(error)) => Heard::Unproven(error.message().to_owned()),
            Ok(Ok(body)) => match serde_json::from_slice::<Envelope>(&body) {
                Ok(envelope) => match (self.trust)().node(&shown, &envelope.node_id) {
                    Ok(()) => Heard::node(&envelope),
                    Err(error) => Heard::Unproven(error.message().to_owned()),
                },
                Err(_) => Heard::Unproven("its answer is not one of ours".to_owned()),
            },
        }
    }
}

impl HttpTransport {
    /// Says who it is at an address where this node's own key was shown.
    async fn who_has_own_key(&self, candidate: &Candidate, refused: &Error) -> Heard {
        match self.holder_at(candidate).await {
            Some((there, _)) if self.is_itself(&there) => Heard::Itself,
            None => Heard::OwnKey {
                how: "it shows the key of this server, and does not say who it is".to_owned(),
                runs: false,
            },
            Some((there, runs)) => {
                let own = self.holder.as_ref().and_then(|own| own.node_id.as_ref());
                if own.is_some_and(|own| there.is_other_node(own)) {
                    return Heard::Unproven(self.explained(candidate, refused.clone()).await.message().to_owned());
                }
                Heard::OwnKey {
                    how: format!(
                        "another server has the identity of this one, {}, and one of them is a copy",
                        there.run.description()
                    ),
                    runs,
                }
            }
        }
    }
}

/// Tries a bare connection to an address where the question who is there was not answered; `failed` says how.
async fn at_the_port(base: &str, failed: &str) -> Heard {
    let nowhere = |why: String| Heard::NotAsked(format!("{failed} ({why})"));
    let Some((host, port)) = host_and_port(base) else {
        return nowhere("it has no port".to_owned());
    };
    let addresses = match timeout(LONGEST, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return nowhere(format!("the name {host} leads nowhere: {error}")),
        Err(_) => return nowhere(format!("where the name {host} leads cannot be found out")),
    };
    let tried = join_all(addresses.map(|address| timeout(LONGEST, TcpStream::connect(address)))).await;
    let mut silence = None;
    let mut not_asked = None;
    for connected in tried {
        match connected {
            Ok(Ok(_)) => return Heard::Mute(failed.to_owned()),
            Err(_) => silence = Some("no connection in time".to_owned()),
            Ok(Err(error)) if is_silence(&error) => silence = Some(error.to_string()),
            // Such as no network at all on this server, or one address family of two.
            Ok(Err(error)) => not_asked = Some(error.to_string()),
        }
    }
    match (silence, not_asked) {
        (Some(how), _) => Heard::Silence(how),
        (None, Some(why)) => nowhere(why),
        (None, None) => nowhere(format!("the name {host} leads nowhere")),
    }
}

/// Whether a failed connection is the other side's doing rather than this server's.
fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
    )
}

/// Host and port of an address with a scheme, at which it is asked who is there.
pub(super) fn host_and_port(base: &str) -> Option<(&str, u16)> {
    let (_, authority) = base.split_once("://")?;
    let (host, port) = authority.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_and_port("https://primarygo:8155"), Some(("primarygo", 8155)));
        assert_eq!(host_and_port("http://[::1]:80"), Some(("::1", 80)));
        assert_eq!(host_and_port("https://primarygo"), None);
    }

    #[tokio::test]
    async fn who_takes_a_connection_is_there_and_who_refuses_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("https://{}", listener.local_addr().expect("bound"));
        assert_eq!(
            at_the_port(&base, "no answer").await,
            Heard::Mute("no answer".to_owned())
        );
        drop(listener);
        assert!(matches!(at_the_port(&base, "no answer").await, Heard::Silence(_)));
        assert!(matches!(
            at_the_port("https://no-such-name.invalid:8155", "no answer").await,
            Heard::NotAsked(_)
        ));
    }
}
