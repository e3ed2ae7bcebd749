//! Asks the peers of a server that is to be the primary, before GoCD may run, and does what follows.
//!
//! All at once, again and again until each has answered or `bc.guard.wait` is over. What their answers mean is
//! `bc_core::role::guard`, what follows `bc_core::role::start`. Where they hold this node, it goes on asking: what has
//! been put right lets it start, and a person can go on without a peer (`gocd-bc guard ignore`).
//!
//! A mistake of ours must not keep a healthy server down, and no hang may let GoCD start beside a higher epoch that was
//! heard. So where nothing was looked at for 30 s after the wait, the part is given up, CRITICAL, and started anew; where
//! that hangs as well, what was heard by then decides: it lets GoCD go where nothing speaks against that.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bc_core::{
    basics::{Error, Severity, lock, words},
    generation::{Epoch, Role},
    keys::Token,
    node::Reply,
    role::{
        Database, Epochs, Known, Peers, Start,
        guard::{Guard, Said},
        inquiry::Heard,
        known_peers, start,
    },
    status::{Deciding, Phase, StatusBoard, Topic, peers::peers_of},
};
use futures_util::future::join_all;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{error, info, warn};

use super::{
    Assembly, RoleFile,
    database::at_start::{self, Says},
    epochs,
    fence::Fenced,
    gocd::{How, Launch},
    peer_book::{Asked, PeerBook},
    supervisor::{Part, Supervisor, blocking},
};

/// The pause after the first question, twice as long after each further one: a peer that starts at the same time has not
/// begun to listen yet, and this start waits for it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two questions before it is decided.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause between two questions while this node is held.
const PAUSE_HELD: Duration = Duration::from_secs(5);

/// Time for the answer to an order to reach whoever gave it.
pub(super) const ANSWER_TRAVELS: Duration = Duration::from_millis(100);

/// A node that waits for its peers.
pub(crate) struct Guarding {
    fenced: Fenced,
    launch: Launch,
    book: Arc<PeerBook>,
    token: watch::Receiver<Option<Token>>,
    recorded: RoleFile,
    own_epoch: Option<Epoch>,
    guard: Mutex<Guard>,
    files: Handle,
    /// What GoCD's database says; none before it was asked.
    database: Mutex<Option<Says>>,
    nudge: Notify,
    /// Whether the wait is over.
    waited: AtomicBool,
    /// When what is known was looked at last, or is to be at the latest, and how often that did not come.
    due: Mutex<(Instant, u32)>,
    hangs: Duration,
    #[cfg(test)]
    provoked: Arc<super::supervisor::provoke::Provoked>,
}

/// Asks the peers in the background until it is decided that GoCD may run, or that this node is fenced.
pub(crate) fn start_asking(
    assembly: &Assembly,
    supervisor: &Supervisor,
    token: &watch::Receiver<Option<Token>>,
    book: Arc<PeerBook>,
    recorded: RoleFile,
    own_epoch: Option<Epoch>,
) -> Arc<Guarding> {
    let guard = book.guard(own_epoch.clone());
    let guarding = Arc::new(Guarding {
        fenced: Fenced::of(assembly, &book),
        launch: Launch::of(assembly),
        book,
        token: token.clone(),
        recorded,
        own_epoch,
        guard: Mutex::new(guard),
        files: supervisor.runtime().clone(),
        database: Mutex::new(None),
        nudge: Notify::new(),
        waited: AtomicBool::new(false),
        due: Mutex::new((Instant::now(), 0)),
        hangs: assembly.restart_waits.hangs,
        #[cfg(test)]
        provoked: Arc::clone(&assembly.provoked),
    });
    let part = Part {
        name: "guard",
        does: "asks the other nodes whether one of them was promoted",
    };
    guarding.show();
    let (asking, stop) = (Arc::clone(&guarding), assembly.stop.clone());
    let watched = Arc::clone(&guarding);
    let start = move || {
        let (asking, stop) = (Arc::clone(&asking), stop.clone());
        async move {
            stop.run_until_cancelled(asking.run()).await;
        }
    };
    supervisor.supervise_watched(part, start, move || Arc::clone(&watched).hangs());
    guarding
}

impl Guarding {
    /// Lets this node go on without a peer, by the word of a person.
    pub(crate) fn ignore(&self, peer: &str) -> Reply {
        if !matches!(self.board().look(|status| status.role), Role::Primary) {
            return Reply::refused(
                "this server is fenced: a node that has proven itself has a higher epoch, and nobody is waited for",
                "`gocd-bc status` says what to do.",
            );
        }
        if !lock(&self.guard).ignore(peer) {
            return Reply::refused(
                format!(
                    "{} is none of the peers that this server waits for",
                    words::shown(peer, 200)
                ),
                format!("It waits for {}.", self.names().join(", ")),
            );
        }
        warn!("it was ordered to start without the peer {peer}, for this start");
        if peer == known_peers::FILE {
            let book = Arc::clone(&self.book);
            // It touches files, and no answer waits for it.
            self.files.spawn_blocking(move || book.begin_anew());
        }
        self.nudge.notify_one();
        Reply::Done {
            message: format!("this start goes on without {peer}"),
        }
    }

    fn board(&self) -> &Arc<StatusBoard> {
        &self.fenced.board
    }

    /// Whom this node waits for, by how people call them.
    fn names(&self) -> Vec<String> {
        self.book.names().into_iter().chain(self.book.former()).collect()
    }

    /// Says on the board whom this node waits for, and until when.
    fn show(&self) {
        let wait_ms = i64::try_from(self.fenced.settings.guard_wait.as_millis()).unwrap_or(i64::MAX);
        let peers = self.names();
        self.board().update(|status| {
            status.deciding = Some(Deciding {
                peers,
                until_ms: status.now_ms.saturating_add(wait_ms),
            });
        });
        if let Some(deciding) = self.board().look(|status| status.deciding.clone()) {
            info!("{}; GoCD waits", deciding.description());
        }
    }

    /// Comes to an end once this part hangs, and says how. Where it did before, what is known decides.
    async fn hangs(self: Arc<Self>) -> String {
        let begun = Instant::now();
        let wait = self.fenced.settings.guard_wait;
        loop {
            let (passed, _) = *lock(&self.due);
            let due = passed.max(begun + wait) + self.hangs;
            if Instant::now() >= due {
                break;
            }
            sleep_until(due).await;
        }
        if matches!(self.board().look(|status| status.phase), Phase::Releasing) {
            return std::future::pending().await;
        }
        let times = {
            let mut due = lock(&self.due);
            due.1 += 1;
            due.1
        };
        if times > 1 && self.goes_by_what_is_known() {
            return std::future::pending().await;
        }
        format!("nothing came of it for {} s after the wait", self.hangs.as_secs_f32())
    }

    /// Lets GoCD go where nothing that was heard so far speaks against it, and nothing has to be written down first. Takes
    /// no lock that a stuck task may have, and waits for no disk. Returns whether it did.
    fn goes_by_what_is_known(&self) -> bool {
        let (Ok(guard), Ok(database)) = (self.guard.try_lock(), self.database.try_lock()) else {
            return false;
        };
        let said = guard.said();
        let known = database.as_ref().map_or(Database::Unknown, |says| says.database);
        if self.own_epoch.is_none()
            || self.fenced.state.stand_in().is_some()
            || self.decision(Peers::Said(&said), known) != Start::Release
        {
            return false;
        }
        let message = "the part of this node that asks the other nodes whether one of them was promoted hangs, again and again, \
                       and nothing that was heard speaks against this server: GoCD starts. Make sure that no other server of the \
                       pair runs as a primary, and report this with the lines of the log before it.";
        error!("CRITICAL {message}");
        self.board().raise(&Topic::Guard, Severity::Critical, message);
        self.board().update(|status| {
            status.phase = Phase::Releasing;
            status.deciding = None;
        });
        self.launch.let_run(How::AsBefore);
        true
    }

    /// Asks until it is decided.
    async fn run(self: Arc<Self>) {
        let end = Instant::now() + self.fenced.settings.guard_wait;
        let (answers, mut heard) = mpsc::unbounded_channel();
        let asked = self.book.asked_as_primary(&self.token);
        let asking = join_all(asked.into_iter().map(|(name, asked)| {
            let (this, answers) = (Arc::clone(&self), answers.clone());
            async move { this.ask(name, asked, answers).await }
        }));
        let asking_database = self.ask_database();
        tokio::pin!(asking, asking_database);
        let mut is_over = false;
        loop {
            let is_waiting = !self.waited.load(Ordering::Relaxed);
            tokio::select! {
                _ = &mut asking, if !is_over => is_over = true,
                Some((name, answers)) = heard.recv() => {
                    self.hear(&name, answers).await;
                    #[cfg(test)]
                    self.provoked.passes("guard heard").await;
                }
                () = &mut asking_database => {}
                () = self.nudge.notified() => {}
                () = sleep_until(end), if is_waiting => self.waited.store(true, Ordering::Relaxed),
                // Where nobody has anything more to say, this part still lives.
                () = sleep(PAUSE_HELD) => {}
            }
            if self.decide().await {
                return;
            }
            lock(&self.due).0 = Instant::now();
        }
    }

    /// Asks GoCD's database again and again, unless it is not watched.
    async fn ask_database(&self) {
        let settings = &self.fenced.settings;
        if !settings.watches_database {
            *lock(&self.database) = Some(Says::NOTHING);
            self.nudge.notify_one();
            return std::future::pending().await;
        }
        let own = self.own_epoch.as_ref();
        loop {
            let says = at_start::ask(&settings.database, &self.files, self.book.own_node_id(), own).await;
            *lock(&self.database) = Some(says);
            self.nudge.notify_one();
            sleep(PAUSE_HELD).await;
        }
    }

    /// Asks one peer again and again.
    async fn ask(&self, name: String, asked: Asked, answers: mpsc::UnboundedSender<(String, Vec<(String, Heard)>)>) {
        let transport = match asked {
            Asked::There(transport) => transport,
            Asked::Not(heard) => {
                drop(answers.send((name.clone(), vec![(name, *heard)])));
                return;
            }
        };
        let longest = PAUSE.min(self.fenced.settings.guard_wait / 4);
        let mut pause = FIRST_PAUSE.min(longest);
        loop {
            let heard = transport.who().await;
            // Whoever refuses our token answers the later the more often it is asked: too late to be heard, in the end.
            if heard.iter().any(|(_, heard)| !matches!(heard, Heard::Silence(_))) {
                pause = longest;
            }
            if answers.send((name.clone(), heard)).is_err() {
                return;
            }
            let is_held = self.waited.load(Ordering::Relaxed);
            sleep(if is_held { PAUSE_HELD.min(10 * longest) } else { pause }).await;
            pause = longest.min(2 * pause);
        }
    }

    /// Hears what one peer has answered.
    async fn hear(&self, name: &str, answers: Vec<(String, Heard)>) {
        let node = {
            let mut guard = lock(&self.guard);
            guard.hear(name, answers);
            let word = guard.words().find(|(peer, _)| *peer == name).and_then(|(_, word)| word);
            let node = word.and_then(|word| word.node.clone());
            let answered = node.is_some().then(|| name.to_owned());
            self.board().update(|status| {
                let now_ms = status.now_ms;
                status.peers = peers_of(&guard, &status.peers, answered.as_slice(), now_ms);
            });
            node
        };
        if let Some(node) = node {
            let (book, name) = (Arc::clone(&self.book), name.to_owned());
            // A failure is on the board.
            drop(
                blocking(move || {
                    book.heard(&name, &node);
                    Ok(())
                })
                .await,
            );
        }
    }

    /// Decides by what is known so far, and carries that out. Returns whether nothing is left to be asked.
    async fn decide(&self) -> bool {
        let (decision, guard) = {
            let guard = lock(&self.guard);
            let said = guard.said();
            let says = lock(&self.database).clone();
            let have_said = guard.is_complete() && says.is_some();
            let is_enough = guard.is_decided() || have_said || self.waited.load(Ordering::Relaxed);
            let database = says.map_or(Database::Unknown, |says| says.database);
            let peers = if is_enough { Peers::Said(&said) } else { Peers::NotAsked };
            let decision = self.decision(peers, database);
            (decision, guard.clone())
        };
        match decision {
            Start::AskPeers => false,
            Start::Release => self.release(&guard).await,
            Start::HoldFenced => {
                self.fence(&guard).await;
                true
            }
            hold => {
                self.hold(hold, &guard);
                false
            }
        }
    }

    /// The decision by what the peers and the database have said.
    fn decision(&self, peers: Peers<'_>, database: Database) -> Start {
        start(&Known {
            flag: self.fenced.settings.flag,
            recorded: &self.recorded,
            epochs: match &self.own_epoch {
                Some(own) => Epochs::Known { own, highest: own },
                None => Epochs::Unknown,
            },
            peers,
            strict: self.fenced.settings.guard_is_strict,
            database,
            // The start has looked.
            hands_over: false,
        })
    }

    /// Lets GoCD go on. Returns whether it does: not while the epochs of this node cannot be written.
    async fn release(&self, guard: &Guard) -> bool {
        if let Err(problem) = self.lead(guard).await {
            self.stay(format!(
                "this server stays held, since its epoch cannot be written down: {problem}"
            ));
            return false;
        }
        let silent = guard.who(Said::Unreachable);
        if !silent.is_empty() {
            warn!(
                "GoCD starts although not all peers could be asked whether they were promoted: {}",
                named(&silent)
            );
        }
        self.board().clear(&Topic::Guard);
        self.board().update(|status| {
            status.phase = Phase::Releasing;
            status.deciding = None;
        });
        if guard.ignores() {
            // The order is answered before the node closes.
            sleep(ANSWER_TRAVELS).await;
        }
        self.launch.let_run(How::AsBefore);
        true
    }

    /// Has this node lead above all that was told, where its own file does not say its epoch.
    async fn lead(&self, guard: &Guard) -> Result<(), Error> {
        let by_database = lock(&self.database).as_ref().and_then(|says| says.told.clone());
        let told = [guard.told().cloned(), by_database];
        let told = told.into_iter().flatten().max_by_key(|epoch| epoch.number);
        let (state, board) = (Arc::clone(&self.fenced.state), Arc::clone(self.board()));
        blocking(move || epochs::lead(&state, &board, told.as_ref())).await
    }

    /// Writes down that this node is fenced, and holds GoCD.
    async fn fence(&self, guard: &Guard) {
        let by_database = lock(&self.database).as_ref().and_then(|says| says.winner.clone());
        if let Some(winner) = guard.winner().cloned().or(by_database) {
            self.fenced.fence(&winner, Phase::Holding).await;
        }
    }

    /// Says why this node stays held, and what to do.
    fn hold(&self, decision: Start, guard: &Guard) {
        self.waited.store(true, Ordering::Relaxed);
        let by_database = lock(&self.database)
            .as_ref()
            .map(|says| says.message.clone())
            .unwrap_or_default();
        let message = match decision {
            Start::HoldConflict if guard.who(Said::Conflict).is_empty() => {
                format!("this server stays held: {by_database}")
            }
            Start::HoldConflict => format!(
                "this server stays held, since another node claims to be the primary as well: {}. Find out which one is to \
                 be it. On that one run `gocd-bc promote --take-over`, on the other one `gocd-bc demote`.",
                named(&guard.who(Said::Conflict))
            ),
            Start::HoldUnproven => {
                let unproven = guard.who(Said::Unproven);
                if let Some((place, how)) = unproven.iter().find(|(peer, _)| guard.is_former(peer)) {
                    return self.stay(beside_itself("stays held", place, how));
                }
                let lines: Vec<_> = unproven
                    .iter()
                    .map(|(peer, _)| format!("`gocd-bc guard ignore {peer}`"))
                    .collect();
                format!(
                    "this server stays held, since it cannot be proven who answers in the place of another node, which may \
                     have been promoted: {}. Mend that, and it starts by itself; or make sure that no other server runs as \
                     a primary, and go on without: {}.",
                    named(&unproven),
                    lines.join(", ")
                )
            }
            Start::HoldUnreachable => {
                let silent = guard.who(Said::Unreachable);
                let lines: Vec<_> = silent
                    .iter()
                    .map(|(peer, _)| format!("`gocd-bc guard ignore {peer}`"))
                    .collect();
                format!(
                    "this server stays held by bc.guard=strict, since not all peers could be asked whether they were \
                     promoted: {}. It starts by itself once they answer; or make sure that no other server runs as a \
                     primary, and go on without: {}.",
                    named(&silent),
                    lines.join(", ")
                )
            }
            Start::HoldReadOnly => format!(
                "this server stays held, since GoCD's database takes no writes, and GoCD would end: {by_database}. If that \
                 database is to be the primary's, promote it; then it starts by itself. If this server is to be the standby, \
                 run `gocd-bc demote` and restart it."
            ),
            _ => "this server stays held: which epoch it had is not known, and nobody says. If it is to be the primary, make \
                  sure that no other server of the pair runs as one and run `gocd-bc promote --take-over --accept-loss`; if it \
                  is to be the standby, run `gocd-bc demote` and restart it."
                .to_owned(),
        };
        self.stay(message);
    }

    /// Says on the board that this node stays held, and why.
    fn stay(&self, message: String) {
        let is_news = self.board().raise(&Topic::Guard, Severity::Critical, message.as_str());
        if is_news {
            error!("CRITICAL {message}");
        }
        self.board().update(|status| {
            status.phase = Phase::Holding;
            status.deciding = None;
        });
    }
}

/// What to say where this node's own identity answers where it ran as the primary before.
pub(super) fn beside_itself(what: &str, place: &str, how: &str) -> String {
    format!(
        "this server {what}, since it ran as the primary at {place} before, and a server with its identity answers there: \
         {how}. If this server is a copy of that one, stop GoCD here, run `gocd-bc identity new` and make a standby of it with \
         `gocd-bc setup standby --primary {place} --write`. If this server was moved here, stop GoCD there, make sure that it \
         stays off, and go on: `gocd-bc guard ignore {place}`."
    )
}

/// Names peers, each with how it showed.
pub(super) fn named(peers: &[(&str, &str)]) -> String {
    let named: Vec<_> = peers.iter().map(|(peer, how)| format!("{peer} ({how})")).collect();
    named.join("; ")
}
