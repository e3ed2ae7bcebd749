//! Makes parts of a node fail on purpose. In tests alone: nothing of this is in the product.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

/// The panics that a test asks for.
#[derive(Debug, Default)]
pub(crate) struct Provoked {
    parts: Mutex<HashMap<&'static str, Arc<Running>>>,
}

#[derive(Debug, Default)]
struct Running {
    panics: Notify,
    goes_on: Notify,
    hangs: std::sync::atomic::AtomicBool,
    starts: std::sync::atomic::AtomicU32,
}

impl Provoked {
    /// Wraps the `work` of a part so that it panics once [`Provoked::panic`] names it.
    pub(super) fn open_to<T, F: Future<Output = T> + Send + 'static>(
        self: &Arc<Self>,
        part: &'static str,
        work: F,
    ) -> impl Future<Output = T> + Send + 'static {
        let running = self.running(part);
        running.starts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            if running.hangs.load(std::sync::atomic::Ordering::SeqCst) {
                return std::future::pending().await;
            }
            tokio::select! {
                biased;
                () = running.panics.notified() => panic!("provoked by a test"),
                end = work => end,
            }
        }
    }

    /// Makes the part of that name panic now, or else as soon as it runs.
    pub(crate) fn panic(&self, part: &'static str) {
        self.running(part).panics.notify_one();
    }

    /// Makes the part of that name do nothing from its next start on, or no more.
    pub(crate) fn hang(&self, part: &'static str, hangs: bool) {
        let running = self.running(part);
        running.hangs.store(hangs, std::sync::atomic::Ordering::SeqCst);
        running.goes_on.notify_waiters();
    }

    /// Where work may be made to hang in the middle: waits once [`Provoked::hang`] names this place, until it does no more.
    pub(crate) async fn passes(&self, place: &'static str) {
        let running = self.running(place);
        loop {
            let goes_on = running.goes_on.notified();
            if !running.hangs.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            goes_on.await;
        }
    }

    /// How often the part of that name was started.
    pub(crate) fn starts(&self, part: &'static str) -> u32 {
        self.running(part).starts.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Names all parts that ever ran.
    pub(crate) fn parts(&self) -> Vec<&'static str> {
        let mut parts: Vec<_> = self.parts.lock().expect("no panic").keys().copied().collect();
        parts.sort_unstable();
        parts
    }

    fn running(&self, part: &'static str) -> Arc<Running> {
        Arc::clone(self.parts.lock().expect("no panic").entry(part).or_default())
    }
}
