//! Deltas that lead from the configurations that were on offer a moment ago to the newest one: a standby that keeps up
//! has one of those.

use std::{collections::VecDeque, sync::Mutex};

use bytes::Bytes;

use crate::{
    basics::{Digest, lock},
    generation::{Name, delta},
    primary::scan::snapshot::{Snapshot, Source},
};

/// Former configurations that are kept: a standby that is fetching one while the next two come.
const KEPT: usize = 3;
/// So long after it was replaced a former configuration may go, in milliseconds.
const KEPT_MS: i64 = 10_000;

/// What leads to the newest cruise-config.xml.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    newest: Option<Content>,
    formers: VecDeque<Former>,
}

#[derive(Debug)]
struct Content {
    sha256: Digest,
    bytes: Bytes,
}

#[derive(Debug)]
struct Former {
    content: Content,
    replaced_ms: i64,
    /// Once computed: none where the file is better sent whole.
    delta: Option<Option<Bytes>>,
}

impl Deltas {
    /// Notes for the deltas what is on offer from now on, and forgets what was long ago.
    pub(super) fn note(&self, snapshot: &Snapshot) {
        let inner = &mut *lock(&self.inner);
        let now_ms = snapshot.scanned_ms;
        // Also where the clock was set back.
        inner
            .formers
            .retain(|former| (0..KEPT_MS).contains(&(now_ms - former.replaced_ms)));
        let newest = content(snapshot);
        let sha256 = |content: &Option<Content>| content.as_ref().map(|content| content.sha256);
        if sha256(&inner.newest) == sha256(&newest) {
            return;
        }
        for former in &mut inner.formers {
            former.delta = None;
        }
        if let Some(content) = std::mem::replace(&mut inner.newest, newest) {
            inner.formers.truncate(KEPT - 1);
            inner.formers.push_front(Former {
                content,
                replaced_ms: now_ms,
                delta: None,
            });
        }
    }

    /// Computes the delta that the next standby is going to ask for.
    pub(super) fn prepare(&self) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        if let (Some(former), Some(newest)) = (inner.formers.front_mut(), &inner.newest) {
            former.delta_to(newest);
        }
    }

    /// The delta from the configuration with the digest `former` to `newest`; none where one of them is not known, or
    /// the file is better sent whole. May take a few milliseconds.
    pub(super) fn find(&self, former: &Digest, newest: &Digest) -> Option<Bytes> {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let newest = inner.newest.as_ref().filter(|content| content.sha256 == *newest)?;
        inner
            .formers
            .iter_mut()
            .find(|known| known.content.sha256 == *former)?
            .delta_to(newest)
    }
}

impl Former {
    /// The delta from this former configuration to the newest one; none where the file is better sent whole.
    fn delta_to(&mut self, newest: &Content) -> Option<Bytes> {
        let compute = || delta::encode(&self.content.bytes, &newest.bytes).map(Bytes::from);
        self.delta.get_or_insert_with(compute).clone()
    }
}

/// The cruise-config.xml of a snapshot, where it is large enough for a delta.
fn content(snapshot: &Snapshot) -> Option<Content> {
    let sha256 = snapshot.manifest.files.get(&Name::CruiseConfig)?.sha256;
    match snapshot.sources.get(&sha256)? {
        Source::Memory(bytes) if bytes.len() as u64 >= delta::WORTHWHILE => Some(Content {
            sha256,
            bytes: bytes.clone(),
        }),
        _ => None,
    }
}
