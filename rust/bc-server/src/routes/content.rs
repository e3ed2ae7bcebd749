//! Bytes of a file on offer, sent with flat memory.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bc_core::{
    basics::Digest,
    primary::{
        Offered,
        scan::snapshot::{Blob, Source},
    },
    status::StatusBoard,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::context::Context;

/// Bytes of a transfer that are read at once and kept in memory. A quarter of that costs a third more time in the
/// kernel.
const PIECE: u64 = 256 * 1024;

/// A request header of those who check the digest of what they receive: then it is not hashed once more while it is
/// sent.
pub const VERIFIES_HEADER: &str = "gocd-bc-verifies";

/// Answers with the content that has this digest, from the offset on that `Range: bytes=N-` asks for; any other range
/// is answered with the whole content, as RFC 9110 allows. If the file turns out to have changed, the connection breaks
/// off before the announced length.
pub(super) async fn answer(
    context: &Context,
    offered: Arc<Offered>,
    digest: Digest,
    headers: &HeaderMap,
    content_type: &'static str,
) -> Response {
    let opened = match offered.snapshot.sources.get(&digest) {
        None => return gone(),
        Some(Source::Memory(_)) => offered.snapshot.open(&digest),
        Some(Source::File { .. }) => match context
            .files
            .spawn_blocking(move || offered.snapshot.open(&digest))
            .await
        {
            Ok(opened) => opened,
            Err(panic) => Some(Err(io::Error::other(panic))),
        },
    };
    let mut blob = match opened {
        Some(Ok(blob)) => blob,
        Some(Err(error)) => {
            tracing::debug!("cannot open the file with the digest {digest}: {error}");
            return gone();
        }
        None => return gone(),
    };
    let size = blob.size();
    let offset = open_range(headers);
    let start = offset.unwrap_or(0);
    if offset.is_some() && start >= size {
        return (
            StatusCode::RANGE_NOT_SATISFIABLE,
            [(header::CONTENT_RANGE, format!("bytes */{size}"))],
        )
            .into_response();
    }
    let mut sending = Sending::new(context, size - start);
    let body = match Blob::bytes(&blob) {
        Some(bytes) => {
            sending.add(size - start);
            Body::from(bytes.slice(usize::try_from(start).expect("less than a length in memory")..))
        }
        None => {
            if headers.contains_key(VERIFIES_HEADER) {
                blob.leave_check_to_receiver();
            }
            match blob.skip_to(start) {
                Ok(()) => {
                    let first = (sending.left > 0).then(|| read(blob, &sending.files));
                    Body::from_stream(stream::try_unfold((first, sending), next_piece))
                }
                Err(_) => return gone(),
            }
        }
    };
    let mut response = (
        [(header::CONTENT_TYPE, content_type), (header::ACCEPT_RANGES, "bytes")],
        [(header::CONTENT_LENGTH, (size - start).to_string())],
        body,
    )
        .into_response();
    if offset.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{size}", size - 1);
        let range = range.parse().expect("digits make a header");
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

/// Answers with content that is in memory, and counts it as sent.
pub(super) fn small(context: &Context, bytes: Bytes, content_type: &'static str) -> Response {
    Sending::new(context, bytes.len() as u64).add(bytes.len() as u64);
    ([(header::CONTENT_TYPE, content_type)], bytes).into_response()
}

/// Answers with 404 since no file on offer has these bytes. The file went, or became another one, since it was listed:
/// a newer manifest names what there is now.
pub(super) fn gone() -> Response {
    (StatusCode::NOT_FOUND, "no file on offer has these bytes").into_response()
}

/// A piece that is being read, and what it is read from.
type Reading = JoinHandle<io::Result<(Vec<u8>, Blob)>>;

/// Begins to read the next piece of a file that is sent.
fn read(mut blob: Blob, files: &Handle) -> Reading {
    files.spawn_blocking(move || Ok((blob.next_piece(PIECE)?, blob)))
}

/// Takes the piece of a file that has been read; the next one is read while it is sent.
async fn next_piece(
    (reading, mut sending): (Option<Reading>, Sending),
) -> io::Result<Option<(Bytes, (Option<Reading>, Sending))>> {
    let Some(reading) = reading else { return Ok(None) };
    let (piece, blob) = reading.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))?;
    sending.add(piece.len() as u64);
    let next = (sending.left > 0).then(|| read(blob, &sending.files));
    Ok(Some((piece.into(), (next, sending))))
}

/// Counts a transfer: its bytes as the connection takes them, and at its end whether it was whole.
struct Sending {
    status: Arc<StatusBoard>,
    files: Handle,
    left: u64,
}

impl Sending {
    /// Counts content that is sent, which has so many bytes.
    fn new(context: &Context, size: u64) -> Self {
        Self {
            status: Arc::clone(&context.status),
            files: context.files.clone(),
            left: size,
        }
    }

    /// Counts bytes of content that were sent.
    fn add(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        self.status.count(|counters| counters.sent.bytes += bytes);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let is_whole = self.left == 0;
        self.status.count(|counters| {
            counters.sent.files += u64::from(is_whole);
            counters.sent.broken += u64::from(!is_whole);
        });
    }
}

/// The offset of a `Range: bytes=N-` header; none for any other range.
fn open_range(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}
