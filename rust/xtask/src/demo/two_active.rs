//! Whether GoCD answers on both servers at once: each port is asked again and again, and both answers are looked at every 5 ms.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::demo::{http, node::HEALTH};

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(5);

/// The watchers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct TwoActive {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: AtomicBool,
    answers: [AtomicBool; 2],
    /// Looks at which both answered.
    both: AtomicU64,
}

impl TwoActive {
    /// Begins to ask GoCD's ports of both servers.
    pub(crate) fn watch(ports: [u16; 2]) -> Self {
        let shared = Arc::new(Shared::default());
        let mut threads: Vec<_> = (0..2)
            .map(|side| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.ask(side, ports[side]))
            })
            .collect();
        let looking = Arc::clone(&shared);
        threads.push(thread::spawn(move || looking.look()));
        Self { shared, threads }
    }

    /// For how long both have answered so far, in ms.
    pub(crate) fn both_ms(&self) -> u64 {
        let looks = self.shared.both.load(Ordering::Relaxed);
        looks * u64::try_from(EVERY.as_millis()).expect("a few")
    }
}

impl Drop for TwoActive {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that has panicked has said so.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn ask(&self, side: usize, port: u16) {
        while !self.ends.load(Ordering::Relaxed) {
            let answer = http::get(port, HEALTH, "*/*");
            let is_well = answer.is_ok_and(|answer| answer.is_some_and(|answer| answer.status == 200));
            self.answers[side].store(is_well, Ordering::Relaxed);
            thread::sleep(EVERY);
        }
    }

    fn look(&self) {
        while !self.ends.load(Ordering::Relaxed) {
            if self.answers.iter().all(|answer| answer.load(Ordering::Relaxed)) {
                self.both.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(EVERY);
        }
    }
}
