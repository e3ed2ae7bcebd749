//! The primary's list of its standbys: who they are and how far each is.
//!
//! Filled by reports ([`crate::status::report`]), kept in `standbys.json` of the state folder (`file`), so that one
//! that falls silent while the primary restarts is still missed. The file is written at once when anything but a time
//! has changed, else every minute at most; a crash loses nothing else.
//!
//! A standby is known by its key, and that key speaks for one node (`trust::standing`). Whoever has the token can
//! send reports, so what comes under any other key, or none, is a stranger's: it never changes what is said of a
//! standby, takes no place among them, leaves nothing on the disk, and of what it says of itself nothing is kept but a
//! node id. A few dozen strangers are remembered, each for ten minutes after its last report.
//!
//! Where several runs of one standby are alive at the same time (`runs`), each has a place of its own on the list,
//! since what one of them has says nothing of the other. Whoever shows this primary's own key and is another run is
//! remembered too: it is a copy of this server.
//!
//! Who asks in the way of the original product (`old`) is none of these.
//!
//! A standby goes when its key is no longer trusted, or when an administrator trusts another key of its node.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use crate::{
    basics::{Error, Fingerprint, Kind, NodeId, lock},
    generation::{KeyHolder, Run},
    keys::{
        OwnKeys, Peer, Peers, PeersFile, Standing,
        peers::MAX_REMOVED,
        trust::{self, Reporter},
    },
    status::{Generation, OldStandby, OtherRun, Report, ReportReply, StandbyStatus, Stranger, report::MAX_CONFIRMED},
};

mod file;
mod old;
mod runs;

pub use self::file::FILE;
use self::{
    file::{ListFile, Stored},
    old::OldStandbys,
    runs::Runs,
};

/// Standbys that are listed at most.
pub const MAX_STANDBYS: usize = 1000;
/// Strangers that are remembered at most.
pub(crate) const MAX_STRANGERS: usize = 32;
/// Longest time until a change of a time alone is written.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Copies of this server that are remembered at most.
const MAX_COPIES: usize = 8;
/// Silence after which a stranger is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);

/// All standbys of one primary.
#[derive(Debug)]
pub struct Standbys {
    file: PathBuf,
    peers: PeersFile,
    own: Arc<OwnKeys>,
    silence: Duration,
    run: Option<Run>,
    list: Mutex<List>,
    old: OldStandbys,
    news: Notify,
}

/// Where a report came from, as far as the connection proves it.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// The key that the client has proven to hold.
    pub key: Option<Fingerprint>,
    /// The other end of the connection.
    pub address: Option<IpAddr>,
}

#[derive(Debug)]
struct List {
    /// By node id: a node has one key.
    trusted: BTreeMap<NodeId, Entry>,
    strangers: BTreeMap<(NodeId, Option<Fingerprint>), (Stranger, Instant)>,
    /// Other runs that have shown this node's own key, and when they last did.
    copies: Vec<(KeyHolder, Instant)>,
    /// What the file holds is not known yet, since it could not be read.
    is_unread: bool,
    /// A file that may have named removed keys was damaged: nobody joins by himself until an administrator trusts a
    /// key.
    is_closed: bool,
    /// What was wrong with that file, until then.
    damage: Option<Error>,
    /// Keys that a version before kept as removed in this file, until they are in the peers file.
    removed: Vec<Fingerprint>,
    /// Something that is no time has changed since the last write.
    changed: bool,
    /// A time has.
    aged: bool,
    written: Instant,
}

#[derive(Debug)]
struct Entry {
    status: StandbyStatus,
    runs: Runs,
    /// When it was last heard, or, after a restart, when this node opened.
    heard: Instant,
}

impl Standbys {
    /// Opens the list of standbys that is kept in `state_dir`, for the primary with the keys `own` and this peers file.
    /// A standby that says nothing for longer than `silence` is silent. Besides the list there is an error when its
    /// file could not be used: one that cannot be read is tried again by each [`Standbys::save_if_due`]; in the place
    /// of one that is damaged the list begins anew. Until that is over nobody joins by himself.
    pub fn open(state_dir: &Path, peers: PeersFile, own: Arc<OwnKeys>, silence: Duration) -> (Self, Option<Error>) {
        let standbys = Self {
            file: state_dir.join(FILE),
            peers,
            own,
            silence,
            run: None,
            list: Mutex::new(List {
                trusted: BTreeMap::new(),
                strangers: BTreeMap::new(),
                copies: Vec::new(),
                is_unread: true,
                is_closed: false,
                damage: None,
                removed: Vec::new(),
                changed: false,
                aged: false,
                written: Instant::now(),
            }),
            old: OldStandbys::default(),
            news: Notify::new(),
        };
        let problem = standbys.read().err();
        (standbys, problem)
    }

    /// The list of standbys, kept by this run of the primary.
    #[must_use]
    pub fn by(self, run: &Run) -> Self {
        Self {
            run: Some(run.clone()),
            ..self
        }
    }

    /// Notes that somebody asks the primary who has proven to hold the key `shown` and says that it is `holder`.
    /// Another run with a key of this node is a copy of this server, or another node to which the same key was given.
    pub fn shown(&self, shown: &Fingerprint, holder: KeyHolder) {
        let is_other = self.run.as_ref().is_some_and(|own| own.id != holder.run.id);
        if !is_other || !self.own.has(shown) {
            return;
        }
        let mut list = self.locked();
        let before = list
            .copies
            .extract_if(.., |(known, _)| known.run.id == holder.run.id)
            .next();
        // The address where it was heard first stays: it may have several.
        let address = before.and_then(|(before, _)| before.run.address).or(holder.run.address);
        if list.copies.len() >= MAX_COPIES {
            // The one that was silent longest: each is put behind the others when it is heard.
            list.copies.remove(0);
        }
        list.copies.push((holder.at(address), Instant::now()));
        drop(list);
        self.news.notify_one();
    }

    /// Other servers with the id and a key of this one that reported as standbys within the last minutes, in the order
    /// in which they began.
    pub fn copies(&self) -> Vec<Run> {
        self.with_own_key(|holder| !holder.is_other_node(self.own.node_id()))
    }

    /// Other nodes to which a key of this primary was given, heard within the last minutes, in the order they began.
    pub fn sharers(&self) -> Vec<Run> {
        self.with_own_key(|holder| holder.is_other_node(self.own.node_id()))
    }

    /// The runs that were heard of late with a key of this primary and that count.
    fn with_own_key(&self, counts: impl Fn(&KeyHolder) -> bool) -> Vec<Run> {
        let mut list = self.locked();
        list.copies.retain(|(_, heard)| heard.elapsed() < runs::FORGET_AFTER);
        let holders = list.copies.iter().map(|(holder, _)| holder);
        let mut runs: Vec<_> = holders
            .filter(|holder| counts(holder))
            .map(|holder| holder.run.clone())
            .collect();
        drop(list);
        runs.sort_by(|a, b| (a.began_ms, &a.id).cmp(&(b.began_ms, &b.id)));
        runs
    }

    /// Takes in a standby's report that [`Report::check`] has let pass. Reads and may write the peers file.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the report is under our own node id or key, or under those of another node, and
    /// [`Kind::File`] or [`Kind::Setting`] when the peers file cannot be used; whoever reports is a stranger then.
    pub fn report(&self, report: Report, sender: Sender, now_ms: i64) -> Result<ReportReply, Error> {
        if report.node_id == *self.own.node_id() || sender.key.is_some_and(|key| self.own.has(&key)) {
            if let (Some(key), Some(reported)) = (sender.key, report.run) {
                let holder = KeyHolder {
                    run: reported.this.at(sender.address),
                    node_id: Some(report.node_id),
                };
                self.shown(&key, holder);
            }
            return Err(Error::new(
                Kind::Refused,
                "a report came under this node's own id or key",
                "If the standby's state folder was copied from here, run `gocd-bc identity new` there.",
            ));
        }
        let standing_and_peers = self.admit(&report.node_id, sender.key);
        let standing = standing_and_peers
            .as_ref()
            .map_or(Standing::Seen, |(standing, _)| *standing);
        let node_id = report.node_id.clone();
        let others = match (standing, sender.key) {
            (Standing::Trusted, Some(key)) => self.enter(report, key, sender.address, now_ms),
            _ => {
                self.note_stranger(report.node_id, sender, standing, now_ms);
                Vec::new()
            }
        };
        self.news.notify_one();
        let (_, peers) = standing_and_peers?;
        if standing == Standing::Foreign {
            return Err(foreign(&peers, &node_id, sender.key));
        }
        Ok(ReportReply {
            others,
            ..self.reply(&peers)
        })
    }

    /// Whether the key of a standby that reports is in the peers file, or waits. A key that may join without a word of
    /// an administrator joins here.
    fn admit(&self, node_id: &NodeId, key: Option<Fingerprint>) -> Result<(Standing, Peers), Error> {
        let joins = {
            let list = self.locked();
            !list.is_unread && !list.is_closed && list.removed.is_empty()
        };
        let reporter = Reporter { key, node_id };
        self.peers.change(|peers| {
            let standing = trust::standing(peers, &self.own, reporter, joins);
            if let (Standing::Trusted, Some(fingerprint)) = (standing, key) {
                peers.add(Peer {
                    fingerprint,
                    node_id: Some(node_id.to_string()),
                });
            }
            standing
        })
    }

    /// What a primary replies to the report of a standby: whom it trusts, and whose trust has ended.
    fn reply(&self, peers: &Peers) -> ReportReply {
        let mut keys = self.own.all();
        keys.truncate(MAX_CONFIRMED);
        let removed = peers.removed().iter().map(|peer| peer.fingerprint);
        ReportReply {
            // Whoever has the board adds it.
            database: None,
            peers: peers.all().to_vec(),
            keys,
            removed: removed.filter(|key| !self.own.has(key)).take(MAX_REMOVED).collect(),
            run: self.run.clone(),
            others: Vec::new(),
        }
    }

    /// Puts a standby's report on the list. Returns the other runs of its node.
    fn enter(&self, report: Report, key: Fingerprint, address: Option<IpAddr>, now_ms: i64) -> Vec<OtherRun> {
        let mut list = self.locked();
        let heard = Instant::now();
        let reported = report.run.clone();
        let (before, mut runs) = match list.trusted.remove(&report.node_id) {
            Some(entry) => (Some(entry.status), entry.runs),
            None => (None, Runs::default()),
        };
        let run = reported
            .as_ref()
            .map(|reported| runs.heard_from(&reported.this, address));
        // Two that are alive at the same time are not compared with each other.
        let own_before = run.as_ref().and_then(|run| runs.status_of(&run.id)).cloned();
        let before = own_before.or(before);
        list.strangers.remove(&(report.node_id.clone(), Some(key)));
        if list.trusted.len() >= MAX_STANDBYS {
            list.make_room();
        }
        let status = StandbyStatus {
            node_id: report.node_id,
            fingerprint: Some(key),
            standing: Standing::Trusted,
            url: report.url,
            product_version: report.product_version,
            gocd_version: report.gocd_version,
            generation: report.generation,
            applied_ms: report
                .applied_ago_ms
                .map(|ago| now_ms.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))),
            says_in_sync: report.in_sync,
            in_sync: false,
            behind_since_ms: before.as_ref().and_then(|before| before.behind_since_ms),
            reported_ms: now_ms,
            silent: false,
            error: report.error,
            problem: report.problem,
            confirms: report.confirms,
            run: run.clone(),
            doubled: false,
        };
        list.aged = true;
        list.changed |= before.is_none_or(|before| !is_same_but_times(&before, &status));
        let others = match (reported, run) {
            (Some(reported), Some(run)) => {
                let id = run.id.clone();
                runs.hear(reported, run, status.clone());
                runs.others(&id)
            }
            _ => Vec::new(),
        };
        let entry = Entry { status, runs, heard };
        list.trusted.insert(entry.status.node_id.clone(), entry);
        others
    }

    /// Notes that somebody reported who is not trusted as a standby.
    fn note_stranger(&self, node_id: NodeId, sender: Sender, standing: Standing, now_ms: i64) {
        let mut list = self.locked();
        let id = (node_id, sender.key);
        list.strangers.remove(&id);
        if list.strangers.len() >= MAX_STRANGERS {
            list.forget_a_stranger();
        }
        let stranger = Stranger {
            node_id: id.0.clone(),
            fingerprint: sender.key,
            standing,
            address: sender.address,
            reported_ms: now_ms,
        };
        list.strangers.insert(id, (stranger, Instant::now()));
    }

    /// The list of standbys as of now, in the order of addresses and node ids. `offered` is this primary's newest
    /// generation. One of which several runs are alive is there once for each of them.
    pub fn picture(&self, offered: Option<&Generation>) -> Vec<StandbyStatus> {
        let mut list = self.locked();
        let mut standbys = Vec::new();
        for entry in list.trusted.values_mut() {
            compare_with_offer(&mut entry.status, entry.heard.elapsed() > self.silence, offered);
            let before = standbys.len();
            for heard in entry.runs.doubled() {
                compare_with_offer(&mut heard.status, heard.at.elapsed() > self.silence, offered);
                standbys.push(StandbyStatus {
                    doubled: true,
                    ..heard.status.clone()
                });
            }
            if standbys.len() == before {
                standbys.push(entry.status.clone());
            }
        }
        drop(list);
        // Runs of one node stay in the order in which they began.
        standbys.sort_by(|a, b| (&a.url, &a.node_id).cmp(&(&b.url, &b.node_id)));
        standbys
    }

    /// All others that have reported within the last ten minutes: those with a key first, in the order of node ids.
    pub fn strangers(&self) -> Vec<Stranger> {
        let mut list = self.locked();
        list.strangers.retain(|_, (_, heard)| heard.elapsed() < FORGET_AFTER);
        let mut strangers: Vec<_> = list.strangers.values().map(|(stranger, _)| stranger.clone()).collect();
        drop(list);
        strangers.sort_by_key(|stranger| stranger.fingerprint.is_none());
        strangers
    }

    /// Notes that somebody at this address asks for the files in the way of the original product.
    pub fn asks_in_the_old_way(&self, address: IpAddr, now_ms: i64) {
        self.old.asks(address, now_ms);
        self.news.notify_one();
    }

    /// All who have asked in that way within the last ten minutes, in the order of their addresses.
    pub fn old(&self) -> Vec<OldStandby> {
        self.old.all()
    }

    /// Trusts a standby's key by the word of an administrator, whatever was said before. Where it has reported, it is
    /// from now on that of the node under whose id it did, and every other key of that node is removed. Says what has
    /// happened in words.
    ///
    /// # Errors
    /// As [`PeersFile::change`].
    pub fn trust(&self, fingerprint: Fingerprint) -> Result<String, Error> {
        let node_id = {
            let list = self.locked();
            let reported = list
                .strangers
                .values()
                .filter(|(stranger, _)| stranger.fingerprint == Some(fingerprint));
            // Whoever reports under the node id of another besides his own has the latter.
            let meant = reported.max_by_key(|(stranger, heard)| (stranger.standing != Standing::Foreign, *heard));
            meant.map(|(stranger, _)| stranger.node_id.clone())
        };
        let mut said = self.peers.change_key(fingerprint, false)?;
        if let Some(node_id) = &node_id {
            let (former, _) = self.peers.change(|peers| {
                let former: Vec<_> = peers.keys_of(node_id).filter(|key| *key != fingerprint).collect();
                for key in &former {
                    peers.remove(key);
                }
                peers.trust(Peer {
                    fingerprint,
                    node_id: Some(node_id.to_string()),
                });
                former
            })?;
            said.push_str(&format!(", as the key of the node {node_id}"));
            for key in former {
                said.push_str(&format!("; its former one, {key}, is not any more"));
            }
        }
        let mut list = self.locked();
        list.removed.retain(|removed| *removed != fingerprint);
        list.strangers.retain(|(_, key), _| *key != Some(fingerprint));
        (list.is_closed, list.damage) = (false, None);
        list.changed = true;
        drop(list);
        self.reconcile();
        Ok(said)
    }

    /// Removes a standby's key by the word of an administrator, who no longer trusts it: its standby goes from the
    /// list, it joins no more by itself, and every standby is told. Says what has happened in words.
    ///
    /// # Errors
    /// As [`PeersFile::change`].
    pub fn remove(&self, fingerprint: Fingerprint) -> Result<String, Error> {
        let said = self.peers.change_key(fingerprint, true)?;
        self.reconcile();
        Ok(format!("{said}; standbys hear of it with their next report"))
    }

    /// Resolves when something about the standbys has changed.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Saves the list of standbys if that is due. Before, lets those go whose keys are trusted no longer, and reads the
    /// file where that was not possible so far.
    ///
    /// # Errors
    /// As [`Standbys::open`], and those of writing; it is tried again by the next call. What could not be read is not
    /// written either. That a file was damaged is said until an administrator trusts a key.
    pub fn save_if_due(&self) -> Result<(), Error> {
        self.read()?;
        let handed_over = self.hand_over_removed();
        self.reconcile();
        if let Some(stored) = self.due() {
            stored.save(&self.file).inspect_err(|_| self.locked().changed = true)?;
        }
        handed_over?;
        self.locked().damage.clone().map_or(Ok(()), Err)
    }

    /// The list of standbys as it is to be written now.
    fn due(&self) -> Option<Stored> {
        let mut list = self.locked();
        let is_due = list.changed || list.aged && list.written.elapsed() >= WRITE_EVERY;
        if !is_due {
            return None;
        }
        (list.changed, list.aged, list.written) = (false, false, Instant::now());
        let standbys = list.trusted.values().map(|entry| entry.status.clone());
        Some(Stored::new(standbys.collect(), list.removed.clone(), list.is_closed))
    }

    /// Reads the file with the list of standbys unless that is done. What was reported meanwhile is newer.
    fn read(&self) -> Result<(), Error> {
        if !self.locked().is_unread {
            return Ok(());
        }
        let read = file::read(&self.file)?;
        let mut list = self.locked();
        list.is_unread = false;
        let stored = match read {
            ListFile::None => return Ok(()),
            ListFile::Whole(stored) => stored,
            ListFile::Damaged(problem) => {
                (list.is_closed, list.changed) = (true, true);
                list.damage = Some(problem.clone());
                return Err(problem);
            }
        };
        list.is_closed = stored.closed;
        list.removed = stored.removed;
        let heard = Instant::now();
        for status in stored.standbys.into_iter().take(MAX_STANDBYS) {
            if status.standing == Standing::Trusted && status.fingerprint.is_some() {
                let id = status.node_id.clone();
                // What ran before this primary's own start says nothing of what runs now.
                let status = StandbyStatus { run: None, ..status };
                let runs = Runs::default();
                list.trusted.entry(id).or_insert(Entry { status, runs, heard });
            }
        }
        Ok(())
    }

    /// Puts keys that a version before kept here as removed to where all removed keys are. One that was trusted by hand
    /// since then stays so.
    fn hand_over_removed(&self) -> Result<(), Error> {
        let removed = self.locked().removed.clone();
        if removed.is_empty() {
            return Ok(());
        }
        self.peers.change(|peers| {
            for key in removed.iter().filter(|key| !peers.contains(key)).collect::<Vec<_>>() {
                peers.remove(key);
            }
        })?;
        let mut list = self.locked();
        list.removed.clear();
        list.changed = true;
        Ok(())
    }

    /// Drops the standbys whose keys the peers file does not have for them any more. While it cannot be read they stay.
    fn reconcile(&self) {
        let Ok(peers) = self.peers.load() else { return };
        let mut list = self.locked();
        let before = list.trusted.len();
        list.trusted.retain(|node_id, entry| {
            let key = entry.status.fingerprint.as_ref();
            key.is_some_and(|key| peers.contains(key) && peers.node_of(key).is_none_or(|known| *known == **node_id))
        });
        let is_changed = list.trusted.len() != before;
        list.changed |= is_changed;
        drop(list);
        if is_changed {
            self.news.notify_one();
        }
    }

    /// The list of standbys, locked.
    fn locked(&self) -> MutexGuard<'_, List> {
        lock(&self.list)
    }
}

impl List {
    /// Drops the standby from the list that was silent longest.
    fn make_room(&mut self) {
        let least = self.trusted.iter().min_by_key(|(_, entry)| entry.heard);
        if let Some(id) = least.map(|(id, _)| id.clone()) {
            warn!("more than {MAX_STANDBYS} standbys report; the node {id}, silent longest, is no longer listed");
            self.trusted.remove(&id);
        }
    }

    /// Drops the stranger that matters least: one without a key, and of those the one that was silent longest.
    fn forget_a_stranger(&mut self) {
        let least = self
            .strangers
            .iter()
            .min_by_key(|((_, key), (_, heard))| (key.is_some(), *heard))
            .map(|(id, _)| id.clone());
        if let Some(id) = least {
            self.strangers.remove(&id);
        }
    }
}

/// Fills in of a standby whether it is silent, in sync, or since when it is behind what is on offer.
fn compare_with_offer(status: &mut StandbyStatus, is_silent: bool, offered: Option<&Generation>) {
    status.silent = is_silent;
    status.in_sync = false;
    let Some(offered) = offered else { return };
    let has_it = status
        .generation
        .as_ref()
        .is_some_and(|generation| generation.id == offered.id);
    // That it once had the generation does not say that its files are still those.
    status.in_sync = has_it && status.says_in_sync == Some(true) && !status.silent;
    status.behind_since_ms = if has_it {
        None
    } else {
        status.behind_since_ms.or(Some(offered.generated_ms))
    };
}

/// Why the proven key of a standby is not believed to be of the node that it says.
fn foreign(peers: &Peers, node_id: &str, key: Option<Fingerprint>) -> Error {
    let key = key.map(|key| key.to_string()).unwrap_or_default();
    let known: Vec<_> = peers.keys_of(node_id).map(|key| key.to_string()).collect();
    let otherwise = if known.is_empty() {
        "has that key for another node".to_owned()
    } else {
        format!("has the key {} for that node", known.join(" and "))
    };
    Error::new(
        Kind::Refused,
        format!(
            "a report came from the node {node_id} with the key {key}, but the peers file of the primary {otherwise}"
        ),
        format!("If key or node id were made anew there on purpose, run `gocd-bc trust {key}` on the primary."),
    )
}

/// Whether two pictures of a standby say the same but for what changes with time.
fn is_same_but_times(a: &StandbyStatus, b: &StandbyStatus) -> bool {
    let timeless = |status: &StandbyStatus| StandbyStatus {
        applied_ms: None,
        behind_since_ms: None,
        in_sync: false,
        reported_ms: 0,
        silent: false,
        run: None,
        ..status.clone()
    };
    timeless(a) == timeless(b)
}

#[cfg(test)]
mod tests;
