//! The primary's list of its standbys: who they are, how far each is, and which of them is trusted.
//!
//! Filled by reports ([`crate::report`]), kept in `standbys.json` of the state folder, so that one that falls silent
//! while the primary restarts is still missed. The file is written at once when anything but a time has changed,
//! else every minute at most; a crash loses nothing else.
//!
//! A standby is known by its node id and the key of its connection together: whoever reports under a node id that is
//! not his is another entry, and never changes that of the right one. An entry goes when its key is no longer
//! trusted ([`Standbys::forget`]), when its node shows a newer trusted key, or, if its key never was trusted, after a
//! day of silence.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};

use crate::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    own_keys::OwnKeys,
    peers::{Peer, Peers},
    regular_file,
    report::{MAX_CONFIRMED, Report, ReportReply},
    status::{Generation, StandbyStatus, Standing},
    store::atomic,
    trust,
};

/// The name of the file in the state folder.
pub const FILE: &str = "standbys.json";
/// Standbys that are listed at most.
pub const MAX_STANDBYS: usize = 1000;
/// Longest time until a change of a time alone is written.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Silence after which a standby that nobody trusted is no longer listed.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// All standbys of one primary.
#[derive(Debug)]
pub struct Standbys {
    file: PathBuf,
    peers: PathBuf,
    own: Arc<OwnKeys>,
    silence: Duration,
    list: Mutex<List>,
    news: Notify,
}

#[derive(Debug)]
struct List {
    entries: BTreeMap<Id, Entry>,
    /// Keys that an administrator removed: they come back only by his word.
    removed: BTreeSet<Fingerprint>,
    /// Something that is no time has changed since the last write.
    changed: bool,
    /// A time has.
    aged: bool,
    written: Instant,
}

/// Node id and key.
type Id = (String, Option<Fingerprint>);

#[derive(Debug)]
struct Entry {
    status: StandbyStatus,
    /// When it was last heard, or, after a restart, when this node opened.
    heard: Instant,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Version of this file: 1.
    format: u32,
    standbys: Vec<StandbyStatus>,
    #[serde(default)]
    removed: BTreeSet<Fingerprint>,
}

impl Standbys {
    /// The list that is kept in `state_dir`, for the primary with the keys `own` and the peers file `peers`. A
    /// standby that says nothing for longer than `silence` is silent. Besides the list there is an error when
    /// its file could not be used: the list then begins empty.
    pub fn open(state_dir: &Path, peers: &Path, own: Arc<OwnKeys>, silence: Duration) -> (Self, Option<Error>) {
        let file = state_dir.join(FILE);
        let (stored, problem) = match load(&file) {
            Ok(stored) => (stored, None),
            Err(problem) => (None, Some(problem)),
        };
        let (standbys, removed) = stored.map_or_else(Default::default, |stored| (stored.standbys, stored.removed));
        let heard = Instant::now();
        let entries = standbys.into_iter().take(MAX_STANDBYS).map(|status| {
            let id = (status.node_id.clone(), status.fingerprint);
            (id, Entry { status, heard })
        });
        let standbys = Self {
            file,
            peers: peers.to_owned(),
            own,
            silence,
            list: Mutex::new(List {
                entries: entries.collect(),
                removed,
                changed: false,
                aged: false,
                written: Instant::now(),
            }),
            news: Notify::new(),
        };
        (standbys, problem)
    }

    /// Takes in a report that [`Report::check`] has let pass, from a connection whose client has proven to hold the
    /// key `shown`. Reads and may write the peers file.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the report is under our own node id, and [`Kind::File`] or [`Kind::Setting`] when the
    /// peers file cannot be used; the standby is on the list all the same then, as one that is not trusted.
    pub fn report(&self, report: Report, shown: Option<Fingerprint>, now_ms: i64) -> Result<ReportReply, Error> {
        if report.node_id == self.own.node_id() || shown.is_some_and(|key| self.own.has(&key)) {
            return Err(Error::new(
                Kind::Refused,
                "a report came under this node's own id or key",
                "If the standby's state folder was copied from here, remove identity.pem and node-id in it.",
            ));
        }
        let judged = self.judge(&report.node_id, shown);
        let standing = judged.as_ref().map_or(Standing::Seen, |(standing, _)| *standing);
        self.enter(report, shown, standing, now_ms);
        self.news.notify_one();
        let (_, peers) = judged?;
        let mut keys = self.own.all();
        keys.truncate(MAX_CONFIRMED);
        Ok(ReportReply {
            peers: peers.all().to_vec(),
            keys,
        })
    }

    /// Whether the key joins the peers file, is in it, or waits.
    fn judge(&self, node_id: &str, shown: Option<Fingerprint>) -> Result<(Standing, Peers), Error> {
        let is_removed = shown.is_some_and(|key| self.locked().removed.contains(&key));
        Peers::change(&self.peers, |peers| {
            let Some(fingerprint) = shown else {
                return Standing::Unproven;
            };
            let standing = trust::standing(peers, &self.own, &fingerprint, is_removed);
            if standing == Standing::Trusted {
                peers.add(Peer {
                    fingerprint,
                    node_id: Some(node_id.to_owned()),
                });
            }
            standing
        })
    }

    fn enter(&self, report: Report, shown: Option<Fingerprint>, standing: Standing, now_ms: i64) {
        let mut list = self.locked();
        let id = (report.node_id.clone(), shown);
        let before = list.entries.remove(&id).map(|entry| entry.status);
        if standing == Standing::Trusted {
            // The newer key of the same node stands for it from now on.
            list.entries.retain(|(node_id, _), _| *node_id != report.node_id);
        }
        if list.entries.len() >= MAX_STANDBYS {
            list.make_room();
        }
        let status = StandbyStatus {
            node_id: report.node_id,
            fingerprint: shown,
            standing,
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
        };
        list.aged = true;
        list.changed |= before.is_none_or(|before| !is_same_but_times(&before, &status));
        let heard = Instant::now();
        list.entries.insert(id, Entry { status, heard });
    }

    /// The list as of now, in the order of addresses and node ids. `offered` is this primary's newest generation.
    pub fn picture(&self, offered: Option<&Generation>) -> Vec<StandbyStatus> {
        let mut list = self.locked();
        let before = list.entries.len();
        list.entries
            .retain(|_, entry| entry.status.standing == Standing::Trusted || entry.heard.elapsed() < FORGET_AFTER);
        list.changed |= list.entries.len() != before;
        for entry in list.entries.values_mut() {
            entry.status.silent = entry.heard.elapsed() > self.silence;
            entry.status.in_sync = false;
            let Some(offered) = offered else { continue };
            let has_it = entry
                .status
                .generation
                .as_ref()
                .is_some_and(|generation| generation.id == offered.id);
            // That it once had the generation does not say that its files are still those.
            entry.status.in_sync = has_it && entry.status.says_in_sync == Some(true) && !entry.status.silent;
            entry.status.behind_since_ms = if has_it {
                None
            } else {
                entry.status.behind_since_ms.or(Some(offered.generated_ms))
            };
        }
        let mut standbys: Vec<_> = list.entries.values().map(|entry| entry.status.clone()).collect();
        drop(list);
        standbys.sort_by(|a, b| (&a.url, &a.node_id).cmp(&(&b.url, &b.node_id)));
        standbys
    }

    /// An administrator trusts this key, whatever was said before.
    pub fn trust(&self, fingerprint: &Fingerprint) {
        let mut list = self.locked();
        list.removed.remove(fingerprint);
        for entry in list.entries.values_mut() {
            if entry.status.fingerprint.as_ref() == Some(fingerprint) {
                entry.status.standing = Standing::Trusted;
            }
        }
        list.changed = true;
        drop(list);
        self.news.notify_one();
    }

    /// An administrator no longer trusts this key: its standby goes from the list, and it joins no more by itself.
    pub fn forget(&self, fingerprint: Fingerprint) {
        let mut list = self.locked();
        list.entries
            .retain(|_, entry| entry.status.fingerprint != Some(fingerprint));
        list.removed.insert(fingerprint);
        list.changed = true;
        drop(list);
        self.news.notify_one();
    }

    /// Resolves when something has changed.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Writes the list if it is due.
    ///
    /// # Errors
    /// As [`atomic::write`]; it is tried again by the next call.
    pub fn save_if_due(&self) -> Result<(), Error> {
        let stored = {
            let mut list = self.locked();
            let is_due = list.changed || list.aged && list.written.elapsed() >= WRITE_EVERY;
            if !is_due {
                return Ok(());
            }
            (list.changed, list.aged, list.written) = (false, false, Instant::now());
            Stored {
                format: 1,
                standbys: list.entries.values().map(|entry| entry.status.clone()).collect(),
                removed: list.removed.clone(),
            }
        };
        let text = serde_json::to_vec(&stored).expect("a list of standbys has only plain fields");
        atomic::write(&self.file, &text, 0o600).inspect_err(|_| self.locked().changed = true)
    }

    fn locked(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Drops the entry that matters least: one that is not trusted, and of those the one that was silent longest.
    fn make_room(&mut self) {
        let least = self
            .entries
            .iter()
            .min_by_key(|(_, entry)| (entry.status.standing == Standing::Trusted, entry.heard))
            .map(|(id, _)| id.clone());
        if let Some(id) = least {
            self.entries.remove(&id);
        }
    }
}

fn is_same_but_times(a: &StandbyStatus, b: &StandbyStatus) -> bool {
    let timeless = |status: &StandbyStatus| StandbyStatus {
        applied_ms: None,
        behind_since_ms: None,
        in_sync: false,
        reported_ms: 0,
        silent: false,
        ..status.clone()
    };
    timeless(a) == timeless(b)
}

fn load(file: &Path) -> Result<Option<Stored>, Error> {
    match regular_file::read(file, regular_file::LARGEST_OF_OURS) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::new(
                Kind::File,
                format!("{} is damaged: {error}", file.display()),
                "The list of standbys begins anew; one that has fallen silent meanwhile is not missed.",
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read the list of standbys", file, &error)),
    }
}

#[cfg(test)]
mod tests;
