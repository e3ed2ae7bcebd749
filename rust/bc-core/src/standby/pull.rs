//! The standby's way to the primary's files: long poll, judge, plan, fetch, apply, report to the status board.
//!
//! [`Puller::run`] is the loop. It never gives up: after an error it waits (`backoff`) and tries again, and it can be
//! nudged. Whatever happens is on the board, where `notes` writes it: who the primary is, since when it answers or does
//! not, what is fetched, the last errors. [`judge`] says whether an answer may be followed at all, [`history`] whether
//! it is not older than what is live, [`primaries`] whether it is one server, `fetch` brings the bytes, `compare`
//! holds the primary's files against ours, [`crate::node::both`] does that anew for those who compare MD5s,
//! [`live_files`] says whether ours are what was applied, `ordered` carries out what somebody orders, [`reporter`]
//! tells the primary.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    basics::{Digest, Error, Kind, NodeId, Severity},
    generation::{Envelope, ManifestDocument, Name, RunId},
    standby::{
        pull::{
            history::{Candidate, History},
            judge::Remarks,
            primaries::Primaries,
        },
        store::{
            Applied, Permit, Restored,
            disk::{DiskStore, Round},
        },
        transport::{ManifestReply, Transport},
    },
    status::{Generation, StatusBoard, Topic},
};

mod backoff;
pub(crate) mod compare;
mod fetch;
pub mod history;
pub mod judge;
pub mod live_files;
pub mod newest;
mod notes;
mod ordered;
pub mod primaries;
pub mod reporter;
mod stall;

/// Longest wait for the primary's answer when a promotion asks for the newest generation.
const LAST_ANSWER: Duration = Duration::from_millis(1500);
/// Longest wait for it when an administrator asks for a sync.
const SYNC_ANSWER: Duration = Duration::from_secs(10);
/// After this time a refused generation is judged again, since what it was refused for may be mended on this node.
const JUDGE_AGAIN: Duration = Duration::from_secs(10);
/// Longest fetch of that last generation.
const LAST_FETCH: Duration = Duration::from_secs(60);
/// Longest time without a byte of it. A large jar may be forced to the disk meanwhile.
const LAST_SILENCE: Duration = Duration::from_secs(5);

/// What the puller needs to know of its node.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own node id: a primary with this id is ourselves.
    pub node_id: NodeId,
    /// Version of our GoCD.
    pub gocd_version: Option<String>,
    /// Longest wait of one long poll.
    pub long_poll_wait: Duration,
    /// Longest time without a completed exchange before it is CRITICAL.
    pub check_interval: Duration,
    /// How long a refusal is a WARNING before it is CRITICAL.
    pub refusal_critical: Duration,
    /// Longest time until the primary's GoCD has accepted a configuration before it is a WARNING.
    pub accept_wait: Duration,
    /// What this node knows of its primaries.
    pub history: History,
    /// Where others find the primary's newest document.
    pub newest: newest::Newest,
    /// This run of our node.
    pub run: Option<RunId>,
    /// Who has answered as the primary.
    pub primaries: Arc<Primaries>,
}

/// Something that a running puller is asked to do.
#[derive(Debug)]
pub enum PullOrder {
    /// Try again at once, whatever the back-off says.
    Now,
    /// Whom to trust is another question now: breaks off whatever is being fetched, and asks anew. Wakes nobody who
    /// rests.
    Trust,
    /// Pull now and answer. Breaks off whatever is being fetched.
    Sync(Permit, Answer<Outcome>),
    /// Make a kept generation, as a person writes it, live again and pull no more until a [`Permit`] says so.
    Restore(String, Answer<Restored>),
    /// Mend live files that were changed here; these are read for it.
    Repair(Vec<Name>),
    /// Pull one last time, answer, and rest until [`PullOrder::Now`]: nothing may change under a GoCD that starts.
    Last(Answer<Outcome>),
    /// While at rest: where GoCD has not accepted the live configuration for so long, go back to one that it has.
    BackToAccepted(Duration, Answer<Option<Restored>>),
}

/// Where the result of an order to the puller is waited for.
pub type Answer<T> = oneshot::Sender<Result<T, Error>>;

impl PullOrder {
    /// Answers whoever waits for an order to the puller that it is not carried out.
    pub fn refuse(self, why: Error) {
        // A caller that went away needs no answer.
        match self {
            PullOrder::Now | PullOrder::Trust | PullOrder::Repair(_) => {}
            PullOrder::Sync(_, answer) | PullOrder::Last(answer) => drop(answer.send(Err(why))),
            PullOrder::Restore(_, answer) => drop(answer.send(Err(why))),
            PullOrder::BackToAccepted(_, answer) => drop(answer.send(Err(why))),
        }
    }
}

/// What one round did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The applied generation is the primary's newest one.
    Unchanged,
    /// A newer generation was applied.
    Applied(Generation),
    /// Nothing was pulled: a restored generation is held in place.
    Paused,
}

/// Follows one primary.
pub struct Puller<T> {
    transport: Arc<T>,
    store: Arc<DiskStore>,
    board: Arc<StatusBoard>,
    options: Options,
    /// The generation that is live, as far as this process has seen; none makes the primary answer at once.
    known: Option<Digest>,
    /// The newest document, for comparing its files when only an envelope comes.
    document: Option<Arc<ManifestDocument>>,
    /// Whether that document is refused, so that only another one is worth an answer.
    is_refused: bool,
    /// Whether the primary says that it has not read its files for long, so that what it has is not known.
    is_reading_overdue: bool,
    last_exchange: Instant,
    stall: stall::Stall,
    /// Bytes of files that came, ever.
    received: Arc<AtomicU64>,
}

impl<T: Transport> Puller<T> {
    /// A puller that has asked the primary for nothing yet.
    pub fn new(transport: Arc<T>, store: Arc<DiskStore>, board: Arc<StatusBoard>, options: Options) -> Self {
        Self {
            transport,
            store,
            board,
            options,
            known: None,
            document: None,
            is_refused: false,
            is_reading_overdue: false,
            last_exchange: Instant::now(),
            stall: stall::Stall::default(),
            received: Arc::default(),
        }
    }

    /// Runs the puller until `stop`. [`PullOrder::Last`] breaks a fetch off, since the primary may have stopped in the
    /// middle of it; a generation that is being applied is finished first.
    ///
    /// The channel outlives the puller: after one that has failed the next one goes on with what was ordered since.
    pub async fn run(mut self, orders: &mut mpsc::Receiver<PullOrder>, stop: CancellationToken) {
        let mut backoff = backoff::Backoff::default();
        let mut superseded = None;
        self.show_pause();
        loop {
            let is_paused = self.store.paused().is_some();
            let polled = tokio::select! {
                () = stop.cancelled() => return,
                order = orders.recv() => match order {
                    Some(order) => { self.obey(order, orders).await; continue; }
                    None => return,
                },
                polled = self.poll(), if !is_paused => polled,
            };
            let (mut urgent, mut suspects) = (None, Vec::new());
            let result = match polled {
                Ok(reply) => {
                    let broken_off = async {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            order = next_urgent(orders, &mut suspects) => urgent = order,
                        }
                        Error::new(Kind::Busy, "another order came", "")
                    };
                    self.follow(reply, Permit::default(), broken_off).await
                }
                Err(error) => {
                    self.stall.end();
                    Err(error)
                }
            };
            if stop.is_cancelled() {
                return;
            }
            self.repair_missed(suspects).await;
            if let Some(order) = urgent {
                self.obey(order, orders).await;
                continue;
            }
            match result {
                Ok(_) => {
                    backoff.reset();
                    self.succeeded();
                }
                // The primary wrote the file again while we fetched it: its next manifest is there already. As often
                // as it really is another one, however quickly the file is written.
                Err(error) if error.kind() == Kind::Superseded && superseded != self.sequence() => {
                    superseded = self.sequence();
                    self.known = None;
                }
                Err(error) => {
                    let received = self.received.load(Ordering::Relaxed);
                    if error.kind() == Kind::Unreachable && self.stall.broke_off(received) {
                        // A bad line that gets somewhere is worth another try soon.
                        backoff.reset();
                    }
                    self.failed(&error);
                    if self.is_refused {
                        // The primary is asked for another one at once.
                        backoff.reset();
                    } else {
                        self.known = None;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep(backoff.next_wait()) => {}
                        order = orders.recv() => match order {
                            Some(order) => self.obey(order, orders).await,
                            None => return,
                        },
                    }
                }
            }
        }
    }

    /// Carries out an order to the puller, and whatever order breaks it off.
    async fn obey(&mut self, order: PullOrder, orders: &mut mpsc::Receiver<PullOrder>) {
        let mut next = Some(order);
        while let Some(order) = next.take() {
            match order {
                PullOrder::Now | PullOrder::Trust => self.forget(),
                PullOrder::Sync(permit, answer) => next = self.sync(permit, answer, orders).await,
                PullOrder::Repair(suspects) => self.repair(suspects).await,
                PullOrder::Restore(id, answer) => self.restore(id, answer).await,
                PullOrder::Last(answer) => next = self.last_and_rest(answer, orders).await,
                // Only at rest: else the next round would undo it.
                PullOrder::BackToAccepted(_, answer) => drop(answer),
            }
        }
    }

    /// The sequence of the newest document.
    fn sequence(&self) -> Option<u64> {
        Some(self.document.as_ref()?.envelope.sequence)
    }

    /// Forgets the manifest that is known: the next answer is to be the whole document, and judged anew.
    fn forget(&mut self) {
        self.known = None;
        self.is_refused = false;
    }

    /// Polls the primary for one answer; says on the board when that takes too long.
    async fn poll(&self) -> Result<ManifestReply, Error> {
        let wait = if self.is_refused {
            JUDGE_AGAIN.min(self.options.long_poll_wait)
        } else {
            self.options.long_poll_wait
        };
        let request = self.ask(self.known, wait);
        tokio::pin!(request);
        loop {
            let left = (self.last_exchange + self.options.check_interval).saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.raise_silence();
                return request.await;
            }
            if let Ok(reply) = timeout(left, &mut request).await {
                return reply;
            }
        }
    }

    /// Asks the primary for the manifest, and notes who has answered.
    async fn ask(&self, known: Option<Digest>, wait: Duration) -> Result<ManifestReply, Error> {
        let asked = self.options.primaries.ask();
        let reply = self.transport.manifest(known, wait).await?;
        let envelope = match &reply {
            ManifestReply::Unchanged(envelope) => envelope,
            ManifestReply::Changed(document) => &document.envelope,
        };
        self.options
            .primaries
            .answered(&envelope.node_id, envelope.run.as_ref(), asked);
        Ok(reply)
    }

    /// Judges the primary's answer and makes its generation live where it is another one. The fetch, but nothing after
    /// it, ends with the error of `broken_off`.
    async fn follow(
        &mut self,
        reply: ManifestReply,
        permit: Permit,
        broken_off: impl Future<Output = Error>,
    ) -> Result<Outcome, Error> {
        let document = match reply {
            ManifestReply::Changed(document) => Arc::new(document),
            ManifestReply::Unchanged(envelope) => match &self.document {
                // What it was refused for may be mended on this node.
                Some(refused) if self.is_refused => Arc::new(ManifestDocument {
                    envelope,
                    ..ManifestDocument::clone(refused)
                }),
                _ => {
                    let remarks = self.judge(&envelope, None, permit)?;
                    self.exchanged(&envelope, None, remarks);
                    self.note_acceptance(&envelope).await?;
                    self.stall.end();
                    self.compare(None).await?;
                    return Ok(Outcome::Unchanged);
                }
            },
        };
        self.forget();
        let remarks = self.judge(&document.envelope, Some(&document), permit)?;
        self.exchanged(&document.envelope, Some(&document), remarks);
        let is_other = self.document.as_ref().map(|known| known.generation) != Some(document.generation);
        self.options.newest.set(&document);
        self.document = Some(Arc::clone(&document));
        self.stall.begin(self.received.load(Ordering::Relaxed));
        // Asked for again only when it is another one, unless this round comes to its end.
        let result = self.make_live(&document, permit, broken_off).await;
        self.is_refused = result.as_ref().is_err_and(|error| error.kind() == Kind::Refused);
        if self.is_refused {
            self.known = Some(document.generation);
        }
        let (applied, round) = result?;
        self.stall.end();
        let generation = Generation::of(&document);
        self.known = Some(document.generation);
        self.applied(&generation, &applied);
        self.compare(Some(round)).await?;
        if is_other || !applied.written.is_empty() || !applied.removed.is_empty() {
            info!(
                generation = %generation.id,
                sequence = generation.sequence,
                written = applied.written.len(),
                removed = applied.removed.len(),
                kept = applied.kept.len(),
                "applied"
            );
        }
        Ok(Outcome::Applied(generation))
    }

    /// Judges whether the sender of an answer is a primary, another node, and not older than what is live.
    /// Returns what to warn of all the same.
    fn judge(
        &mut self,
        envelope: &Envelope,
        document: Option<&ManifestDocument>,
        permit: Permit,
    ) -> Result<Remarks, Error> {
        judge::envelope(envelope, &self.options.node_id, self.options.run.as_ref())?;
        let remarks = Remarks::on(envelope, &self.options, self.board.now_ms());
        let history = &self.options.history;
        let position = self.store.position();
        if permit.rollback {
            self.options.primaries.trust_newest();
            return history.accept(envelope).map(|()| remarks);
        }
        // Before anything of it is written down: what one of two has says nothing of the other.
        if let Err(several) = self.options.primaries.one() {
            self.reached(envelope);
            return Err(several);
        }
        // Unchanged means the generation that is live.
        let live = position.as_ref().map(|position| &position.generation);
        let Some(generation) = document.map(|document| &document.generation).or(live) else {
            return Ok(remarks);
        };
        let offered = Candidate {
            envelope,
            generation,
            lineage: document.map(|document| &document.lineage),
        };
        let warning = history.judge(&offered, position.as_ref())?;
        if document.is_some() {
            self.board.set(&Topic::History, Severity::Warning, warning);
        }
        Ok(remarks)
    }

    /// Fetches what is missing of the primary's generation and applies it.
    async fn make_live(
        &self,
        document: &Arc<ManifestDocument>,
        permit: Permit,
        broken_off: impl Future<Output = Error>,
    ) -> Result<(Applied, Round), Error> {
        tokio::pin!(broken_off);
        let (store, generation) = (Arc::clone(&self.store), Arc::clone(document));
        let (mut round, missing) = blocking(move || {
            let round = Round::begin(&store, generation)?;
            let missing = round.missing(&store)?;
            Ok((round, missing))
        })
        .await?;
        // A look at hundreds of plugins takes a tenth of the time that a change takes, so it goes beside the fetch.
        let (store, fetched) = (Arc::clone(&self.store), missing.clone());
        let look = blocking(move || {
            round.look(&store)?;
            let mut lost = round.missing(&store)?;
            lost.retain(|wanted| fetched.iter().all(|other| other.sha256 != wanted.sha256));
            Ok((round, lost))
        });
        let fetch = async {
            let ((), (round, lost)) = tokio::try_join!(self.fetch(missing), look)?;
            // What was changed on this node since it was applied.
            self.fetch(lost).await?;
            Ok(round)
        };
        round = tokio::select! {
            error = &mut broken_off => return Err(error),
            fetched = fetch => fetched?,
        };
        let (store, followed) = (Arc::clone(&self.store), Arc::clone(document));
        let history = self.options.history.clone();
        blocking(move || {
            let applied = round.apply(&store, permit)?;
            history.followed(&followed.envelope)?;
            Ok((applied, round))
        })
        .await
    }
}

/// Waits for an order that a fetch must not delay; none when nobody can order any more. Files that are to be mended
/// after it are added to `suspects`.
async fn next_urgent(orders: &mut mpsc::Receiver<PullOrder>, suspects: &mut Vec<Name>) -> Option<PullOrder> {
    loop {
        match orders.recv().await? {
            // What is being fetched is the newest.
            PullOrder::Now => {}
            PullOrder::Repair(more) => suspects.extend(more),
            order => return Some(order),
        }
    }
}

/// Ends when the last fetch before a promotion takes too long, or nothing comes any more.
async fn silence(received: Arc<AtomicU64>) -> Error {
    let end = Instant::now() + LAST_FETCH;
    let mut before = received.load(Ordering::Relaxed);
    loop {
        sleep(LAST_SILENCE).await;
        let now = received.load(Ordering::Relaxed);
        if now == before || Instant::now() >= end {
            return unreachable("did not send its files in time");
        }
        before = now;
    }
}

/// Runs file work where it may block.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R, Error> + Send + 'static) -> Result<R, Error> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// Passes on what a task of the puller came to: its panic goes on here; a cancelled task means that the node closes.
fn joined<R>(finished: Result<Result<R, Error>, tokio::task::JoinError>) -> Result<R, Error> {
    match finished {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(Kind::Busy, "the node is being closed", "")),
        },
    }
}

/// The error of a primary that cannot be reached, of which `what` says why.
fn unreachable(what: &str) -> Error {
    Error::new(Kind::Unreachable, format!("the primary {what}"), "")
}

#[cfg(test)]
mod tests;
