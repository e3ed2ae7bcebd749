//! What went wrong between standby and primary, in words for an administrator.

use std::{io, time::Duration};

use bc_core::{
    basics::{Error, Kind, Shortage},
    status::report::one_line,
};
use reqwest::Response;
use tokio::time::timeout;

use crate::tls::{client::refusal, failure::causes};

/// An error, and whether it is the considered answer of one of our nodes rather than a wrong address.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) is_ours: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_ours: false }
    }
}

/// Says why no answer of the primary came at all, or none of HTTP.
pub(super) fn unreachable(base: &str, error: &reqwest::Error) -> Error {
    if let Some(refused) = refusal(error) {
        return refused;
    }
    if causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)) {
        let what = match base.starts_with("http://") {
            true => "something that is not HTTP; if that is TLS, the address needs https://",
            false => "something that is not HTTP",
        };
        return not_ours(base, what);
    }
    if let Some(shortage) = causes(error).find_map(|cause| cause.downcast_ref().and_then(Shortage::of)) {
        // It is not the primary's fault, nor anybody's between the two.
        let message = format!("cannot reach the primary at {base}: {shortage}");
        return Error::new(Kind::Unreachable, message, shortage.advice());
    }
    let reason = if error.is_timeout() {
        "it took too long".to_owned()
    } else {
        root(error)
    };
    Error::new(
        Kind::Unreachable,
        format!("cannot reach the primary at {base}: {reason}"),
        "Check that the primary runs, that bc.primary.url names it, and that no firewall is between the two servers.",
    )
}

/// Whether TLS could not be agreed on for a reason that the first bytes of the primary's port may tell.
pub(super) fn may_speak_otherwise(error: &reqwest::Error) -> bool {
    if !error.is_connect() {
        return false;
    }
    causes(error).any(|cause| {
        let is_no_tls = cause.downcast_ref().is_some_and(|error| {
            matches!(
                error,
                rustls::Error::InvalidMessage(_)
                    | rustls::Error::InappropriateMessage { .. }
                    | rustls::Error::PeerSentOversizedRecord
            )
        });
        let is_cut = cause.downcast_ref().is_some_and(|error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            )
        });
        is_no_tls || is_cut
    })
}

/// Says that the connection to the primary was open, but nothing came in time.
pub(super) fn no_answer(base: &str, within: Duration) -> Error {
    Error::new(
        Kind::Unreachable,
        format!("the primary at {base} sent nothing for {} s", within.as_secs_f32()),
        "Check the network between the two servers and the load of the primary; primary.server.connection.timeout \
         is how long this node waits.",
    )
}

/// Says that the primary's answer began and stopped.
pub(super) fn broke_off(base: &str, error: &reqwest::Error) -> Error {
    refusal(error).unwrap_or_else(|| {
        Error::new(
            Kind::Unreachable,
            format!(
                "the connection to the primary at {base} broke off in the middle of an answer: {}",
                root(error)
            ),
            "The transfer is tried again by itself.",
        )
    })
}

/// Says that something else than a primary answers at its address.
pub(super) fn not_ours(base: &str, what: &str) -> Error {
    Error::new(
        Kind::Protocol,
        format!("{base} answers, but it is no GoCD Business Continuity port: it sent {what}"),
        "Check bc.primary.url; the port is 8155 unless bc.listen of the primary says otherwise.",
    )
}

/// Says why a primary that has read nothing yet has nothing to offer, in its own words.
pub(super) fn nothing_yet(base: &str, said: &str) -> Failure {
    let error = Error::new(
        Kind::Unreachable,
        format!("the primary at {base} has not read its files yet, and says: {said}"),
        "It is tried again by itself.",
    );
    Failure { error, is_ours: true }
}

/// Says why the primary does not take a standby's report, in its own words.
pub(super) async fn report_refused(base: &str, mut response: Response, within: Duration) -> Error {
    // Only the beginning, and only if it comes: it is shown to people.
    let reason = match timeout(within, response.chunk()).await {
        Ok(Ok(Some(piece))) => one_line(&String::from_utf8_lossy(&piece)),
        _ => format!("status {}", response.status().as_u16()),
    };
    Error::new(
        Kind::Refused,
        format!("the primary at {base} does not take it, and says: {reason}"),
        "This node is synced all the same, but the primary does not know how far it is.",
    )
}

/// Makes one error of those at all addresses of the primary that were tried: that of the first, which is the likeliest,
/// naming the others.
pub(super) fn summed_up(failures: Vec<(&str, Error)>) -> Error {
    let mut failures = failures.into_iter();
    let (_, first) = failures.next().expect("an address has at least one candidate");
    let others: String = failures
        .map(|(base, error)| format!("; {base} was tried too: {}", error.message()))
        .collect();
    first.saying(|message| format!("{message}{others}"))
}

/// The innermost reason for which no answer of the primary came, in words.
fn root(error: &reqwest::Error) -> String {
    let is_end = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    if causes(error).any(|cause| cause.downcast_ref().is_some_and(is_end)) {
        // What the TLS library says of it is for those who program with it.
        return "it closed the connection".to_owned();
    }
    causes(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
