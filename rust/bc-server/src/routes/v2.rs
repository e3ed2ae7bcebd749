//! The protocol between our own nodes.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bc_core::{
    basics::Digest,
    database::position,
    generation::{Acceptance, AfterFence, Concern, Envelope, HandsOver, ManifestDocument, Role, Run, concern, delta},
    node::named_files::Told,
    primary::{Offer, Offered},
    status::{Phase, Status, StatusBoard, concerns},
};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::{content, source};
use crate::{context::Context, listener::Connection};

/// Carries the envelope, as compact JSON in ASCII, where an answer has no body.
pub const ENVELOPE_HEADER: &str = "gocd-bc-envelope";

/// Tells the list of concerns of an answer from others: a client sends it back with its next question.
pub const CONCERNS_HEADER: &str = "gocd-bc-concerns";

/// Tells a node that is asked who it is which epoch the one has that asks.
pub const EPOCH_HEADER: &str = "gocd-bc-epoch";

/// How long a question waits at least before it is answered for other concerns alone: concerns that come and go quickly
/// must not make standbys ask all the time.
const CONCERNS_AFTER: Duration = Duration::from_secs(1);

/// The longest a client may wait for a change.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Answers who this node is, in every role. Where the one that asks has a higher epoch, a primary asks its peers at once: what
/// a header says proves nothing, and the answer to that question does.
pub(super) async fn node(State(context): State<Context>, headers: HeaderMap) -> Json<Envelope> {
    let told = headers
        .get(EPOCH_HEADER)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told > context.status.look(|status| Some(status.epoch.number)) {
        context.replaced.notify_one();
    }
    let now_ms = context.status.now_ms();
    let offered = source::offer(&context)
        .ok()
        .and_then(|offer| Some(envelope(&context, offer, &*offer.current()?, now_ms)));
    Json(offered.unwrap_or_else(|| envelope_of_status(&context, now_ms)))
}

/// Answers where the database of a primary is and what it is like, while it takes writes.
pub(super) async fn database(State(context): State<Context>) -> Result<Json<Option<position::Told>>, source::NoSource> {
    source::offer(&context)?;
    Ok(Json(context.status.look(Status::database_told)))
}

/// Answers what the files are that the configuration here names, to whoever has the same token, in every role. None while
/// nobody can say: the disk hangs, or the configuration is being written.
pub(super) async fn named_files(State(context): State<Context>) -> Json<Option<Told>> {
    let looked = context.named_files().await.and_then(Result::ok);
    Json(looked.map(|files| Told::of(&files)))
}

/// The envelope of a node that offers nothing, by its status.
fn envelope_of_status(context: &Context, now_ms: i64) -> Envelope {
    let status = context.status.picture();
    let generation = status.generation.as_ref();
    let position = status.database_position();
    Envelope {
        highest: Some(status.highest()),
        node_id: status.node_id,
        role: status.role,
        waits: status.role == Role::Primary && status.phase != Phase::Running,
        after_fence: after_fence(context, status.role, status.phase),
        hands_over: status.hands_over,
        epoch: status.epoch,
        sequence: generation.map_or(0, |generation| generation.sequence),
        gocd_version: status.gocd_version,
        product_version: status.product_version,
        schema_version: None,
        server_id: None,
        database: position,
        made_at: None,
        acceptance: generation.map_or(Acceptance::Unknown, |generation| generation.acceptance),
        rejected: false,
        generated_ms: generation.map_or(0, |generation| generation.generated_ms),
        scanned_ms: status.scanned_ms.unwrap_or(0),
        now_ms,
        file_check_interval_ms: status.file_check_interval_ms,
        next_fingerprint: None,
        concerns: concerns::of(&status.problems),
        run: Some(Run::clone(&context.run)),
    }
}

/// What becomes of GoCD on a fenced node.
fn after_fence(context: &Context, role: Role, phase: Phase) -> Option<AfterFence> {
    match (role, phase) {
        (Role::Fenced, Phase::Running) if context.settings.ends_when_fenced() => Some(AfterFence::Ends),
        (Role::Fenced, Phase::Running) => Some(AfterFence::RunsOn),
        (Role::Fenced, Phase::Holding) => Some(AfterFence::Held),
        _ => None,
    }
}

/// The envelope of what is on offer, with what this node knows to be wrong with it.
fn envelope(context: &Context, offer: &Offer, offered: &Offered, now_ms: i64) -> Envelope {
    let told = |status: &Status| {
        let concerns = concerns::of(&status.problems);
        let waits = status.phase != Phase::Running;
        (
            concerns,
            status.database_position(),
            status.highest(),
            waits,
            status.hands_over.clone(),
        )
    };
    let (concerns, position, highest, waits, hands_over) = context.status.look(told);
    Envelope {
        waits,
        hands_over,
        highest: Some(highest),
        concerns,
        database: position,
        ..offer.envelope(offered, now_ms)
    }
}

/// The files on offer. `If-None-Match` with the generation that the client knows makes this 304 while it is the newest
/// one; with `Prefer: wait=SECONDS` (RFC 7240) the answer waits that long for another one, or for news about the
/// acceptance of this one. While the folders have not been read yet, it waits for the first generation. A client that
/// says which concerns it knows is answered for others too.
pub(super) async fn manifest(
    State(context): State<Context>,
    connection: Option<Extension<Connection>>,
    headers: HeaderMap,
) -> Response {
    let offer = match source::offer(&context) {
        Ok(offer) => offer,
        Err(nothing) => return nothing.into_response(),
    };
    let mut changes = offer.subscribe();
    let mut offered = changes.borrow_and_update().clone();
    if offered.as_ref().is_none_or(|offered| is_known(&headers, offered)) {
        let closing = async {
            match &connection {
                Some(Extension(connection)) => connection.closing().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = closing => {}
            () = other_concerns(&context.status, &headers) => {}
            () = no_longer_primary(&context.status) => {}
            () = sleep(wait(&headers)) => {}
        }
        if let Err(nothing) = source::offer(&context) {
            return nothing.into_response();
        }
        offered = offer.current();
    }
    let Some(offered) = offered else {
        return too_early(&context);
    };
    let known = is_known(&headers, &offered);
    answer(&context, offer, &offered, known)
}

/// There is nothing yet, and the envelope may say why.
fn too_early(context: &Context) -> Response {
    let envelope = envelope_of_status(context, context.status.now_ms());
    let concerns = HeaderValue::from_str(&news_tag(&envelope.concerns, envelope.hands_over.as_ref()))
        .expect("letters and digits make a header");
    let headers = [(ENVELOPE_HEADER, ascii_json(&envelope))];
    let mut response = (headers, source::NoSource::TooEarly).into_response();
    response.headers_mut().insert(CONCERNS_HEADER, concerns);
    response
}

/// Waits until this node is a primary no longer: it gives out nothing from then on.
async fn no_longer_primary(board: &StatusBoard) {
    let mut changes = board.changes();
    while board.look(|status| status.role == Role::Primary) {
        if changes.changed().await.is_err() {
            // The node is being closed.
            return std::future::pending().await;
        }
    }
}

/// The tag of what an answer says besides its generation: concerns, and what is handed over.
fn news_tag(concerns: &[Concern], hands_over: Option<&HandsOver>) -> String {
    let concerns = concern::tag(concerns);
    match hands_over {
        None => concerns,
        Some(hands_over) => {
            let generation = hands_over.token.as_ref().map(|token| token.generation.to_string());
            let state = format!("{} {}", hands_over.id, generation.unwrap_or_default());
            format!("{concerns}-{:.8}", Digest::of(state.as_bytes()).to_string())
        }
    }
}

/// Waits until this node has other concerns than the client knows; for ever where the client does not say which it
/// knows.
async fn other_concerns(board: &StatusBoard, headers: &HeaderMap) {
    let Some(known) = headers.get(CONCERNS_HEADER) else {
        return std::future::pending().await;
    };
    let earliest = Instant::now() + CONCERNS_AFTER;
    let mut changes = board.changes();
    loop {
        changes.mark_unchanged();
        let is_other = || {
            board.look(|status| {
                news_tag(&concerns::of(&status.problems), status.hands_over.as_ref()).as_bytes() != known.as_bytes()
            })
        };
        if is_other() {
            sleep_until(earliest).await;
            if is_other() {
                return;
            }
        }
        if changes.changed().await.is_err() {
            // The node is being closed.
            return std::future::pending().await;
        }
    }
}

/// Answers with the manifest of what is on offer, or its envelope alone where the client has it.
fn answer(context: &Context, offer: &Offer, offered: &Arc<Offered>, client_has_it: bool) -> Response {
    let now_ms = context.status.now_ms();
    let envelope = envelope(context, offer, offered, now_ms);
    let concerns = news_tag(&envelope.concerns, envelope.hands_over.as_ref());
    let mut response = if client_has_it {
        (StatusCode::NOT_MODIFIED, [(ENVELOPE_HEADER, ascii_json(&envelope))]).into_response()
    } else {
        Json(ManifestDocument {
            envelope,
            ..offer.document(offered, now_ms)
        })
        .into_response()
    };
    let concerns = HeaderValue::from_str(&concerns).expect("letters and digits make a header");
    response.headers_mut().insert(CONCERNS_HEADER, concerns);
    let tag = HeaderValue::from_str(&tag(offered)).expect("hex digits in quotes make a header");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// The tag of a manifest in an answer: the id of its generation, in quotes.
fn tag(offered: &Offered) -> String {
    format!("\"{}\"", offered.snapshot.generation)
}

/// Whether the client says that it knows the manifest on offer.
fn is_known(headers: &HeaderMap, offered: &Offered) -> bool {
    let tag = tag(offered);
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == tag)
}

/// The `wait` preference; zero without one.
fn wait(headers: &HeaderMap) -> Duration {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| preference.trim().strip_prefix("wait=")?.parse().ok())
        .map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// Compact JSON that fits a header of an answer: what is not printable ASCII can only be inside a string, and is
/// escaped.
pub(crate) fn ascii_json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("it has only plain fields");
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// Answers with the bytes with this digest, if a file of the newest generation has it.
pub(super) async fn blob(
    State(context): State<Context>,
    digest: Result<Path<String>, axum::extract::rejection::PathRejection>,
    headers: HeaderMap,
) -> Response {
    let offered = match source::offered(&context) {
        Ok(offered) => offered,
        Err(nothing) => return nothing.into_response(),
    };
    let Some(digest) = digest.ok().and_then(|Path(text)| text.parse::<Digest>().ok()) else {
        return content::gone();
    };
    content::answer(&context, offered, digest, &headers, "application/octet-stream").await
}

/// Answers with what leads from one cruise-config.xml to the newest: 404 where there is nothing short, and the blob is
/// to be asked for.
pub(super) async fn delta(
    State(context): State<Context>,
    digests: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Response {
    let offer = match source::offer(&context) {
        Ok(offer) => Arc::clone(offer),
        Err(nothing) => return nothing.into_response(),
    };
    let parsed = digests
        .ok()
        .and_then(|Path((digest, former))| Some((digest.parse().ok()?, former.parse().ok()?)));
    let Some((digest, former)) = parsed else {
        return content::gone();
    };
    match context
        .files
        .spawn_blocking(move || offer.delta(&former, &digest))
        .await
    {
        Ok(Some(delta)) => content::small(&context, delta, delta::MEDIA_TYPE),
        // A panic in it was printed when it happened; the blob needs none of this.
        Ok(None) | Err(_) => content::gone(),
    }
}

#[cfg(test)]
mod tests {
    use bc_core::generation::Role;

    use super::*;

    #[test]
    fn an_envelope_survives_its_header() {
        let envelope = Envelope {
            sequence: 3,
            gocd_version: Some("26.1 \u{1F980} \u{7f} \"ü\"\n".to_owned()),
            product_version: "0.1.0".to_owned(),
            generated_ms: 1,
            scanned_ms: 2,
            now_ms: 3,
            file_check_interval_ms: 4,
            ..Envelope::of(&"0".repeat(32), Role::Primary)
        };
        let header = HeaderValue::from_str(&ascii_json(&envelope)).expect("a header");
        let text = header.to_str().expect("ASCII");
        assert_eq!(serde_json::from_str::<Envelope>(text).expect("JSON"), envelope);
    }

    #[test]
    fn the_wait_preference_is_bounded() {
        let seconds = |value: &'static str| {
            let headers = HeaderMap::from_iter([("prefer".parse().expect("name"), HeaderValue::from_static(value))]);
            wait(&headers).as_secs()
        };
        assert_eq!(seconds("wait=25"), 25);
        assert_eq!(seconds("respond-async, wait=7"), 7);
        assert_eq!(seconds("wait=99999"), 60);
        assert_eq!(seconds("wait=-1"), 0);
    }
}
