//! Where the other nodes of the pair are, as this node came to know: `known-peers.json` in the state folder.
//!
//! From `bc.peers`, `bc.primary.url` and the reports of standbys. What is known later wins: a node that reports another
//! address is asked there alone. Each entry stays for a year after it was last named or heard, also where its setting is
//! gone: a server that boots with other options must not forget whom it has to ask. The file also says from whom the
//! highest epoch is known that is not this node's own.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    Source,
    guard::{ProvenNode, Winner},
};
use crate::{
    basics::{Error, Fingerprint, Kind, NodeId, regular_file},
    durable::{FileSystem, OperatingSystem, atomic, seal},
    generation::Epoch,
    keys::Peers,
    settings::{CertificateAuthority, PrimaryUrl, Settings},
};

/// The name of the file in the state folder.
pub const FILE: &str = "known-peers.json";
/// The name of one that was damaged.
const ASIDE: &str = "known-peers.damaged";
/// The version of the file.
const FORMAT: u32 = 1;
/// How long an entry is kept after it was last named or heard.
const KEPT_MS: i64 = 365 * 24 * 60 * 60 * 1000;
/// A time alone is news after this long.
const AGED_MS: i64 = 60 * 60 * 1000;
/// Peers that are kept at most: all of them are asked at once.
const MOST: usize = 100;

/// How a peer came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// `bc.peers`.
    Peers,
    /// `bc.primary.url`.
    Primary,
    /// The reports of a standby.
    Report,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// Where it is, as it was written or reported.
    pub url: String,
    /// How it came to be known last.
    pub named_by: NamedBy,
    /// When it was last named, milliseconds since 1970 by this node's clock.
    pub named_ms: i64,
    /// Which node it is, where it has reported or proven that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// When it last proved itself, give or take an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<i64>,
    /// Where it did, where the address that was written stands for two ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers_at: Option<String>,
    /// `bc.primary.fingerprint` as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// `bc.tls.ca` as it was then: `system`, or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// From whom the highest epoch is known, where it is not this node's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Highest {
    /// The epoch.
    pub epoch: Epoch,
    /// Whose promotion began it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Where that was heard.
    pub address: String,
    /// Whether the node that answered there was the one that has it.
    pub is_there: bool,
    /// When, milliseconds since 1970 by this node's clock.
    pub heard_ms: i64,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeers {
    format: u32,
    /// The peers, in the order in which they came to be known.
    peers: Vec<KnownPeer>,
    /// From whom the highest epoch is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<Highest>,
    /// Where this node was when it ran as the primary last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// Where it was before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<FormerPlace>,
}

/// A place at which a node ran as the primary, until it ran at another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FormerPlace {
    url: String,
    left_ms: i64,
}

impl Default for KnownPeers {
    fn default() -> Self {
        Self {
            format: FORMAT,
            peers: Vec::new(),
            highest: None,
            place: None,
            former: None,
        }
    }
}

impl KnownPeer {
    /// A peer that is known by its address alone, to be trusted by the peers file.
    fn at(url: String, named_by: NamedBy, now_ms: i64) -> Self {
        Self {
            url,
            named_by,
            named_ms: now_ms,
            node_id: None,
            heard_ms: None,
            answers_at: None,
            fingerprint: None,
            authority: None,
        }
    }

    /// Where this known peer is and how its key is proven: as the settings said of a primary, else by the peers file.
    /// None where the address is none.
    pub fn source(&self) -> Option<Source> {
        Some(Source {
            url: self.answers_at.as_ref().unwrap_or(&self.url).parse().ok()?,
            fingerprint: self.fingerprint,
            authority: self.authority.as_deref().map(|authority| match authority {
                SYSTEM => CertificateAuthority::System,
                path => CertificateAuthority::File(path.into()),
            }),
        })
    }

    /// Whether the address of this known peer may stand for two ports still.
    pub fn may_be_at_another_port(&self) -> bool {
        self.named_by == NamedBy::Primary && self.answers_at.is_none()
    }

    /// When this known peer was last named or heard.
    fn newest_ms(&self) -> i64 {
        self.named_ms.max(self.heard_ms.unwrap_or(i64::MIN))
    }
}

/// How the operating system's own list of authorities is written.
const SYSTEM: &str = "system";

impl KnownPeers {
    /// Loads the known peers of a node; nobody where there is no file.
    ///
    /// # Errors
    /// [`Kind::File`] when the file cannot be read or is damaged: then there may be peers all the same.
    pub fn load(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(Self::default());
        };
        let known = seal::read(&text);
        known.filter(|known: &Self| known.format <= FORMAT).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!(
                    "{} is damaged, or of a newer version; it says which other nodes are to be asked whether one of them \
                     was promoted",
                    path.display()
                ),
                "Make sure that no other server of the pair runs as a primary, name them all in bc.peers, remove the file, \
                 and restart this server.",
            )
        })
    }

    /// Saves the known peers of a node durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("peers have only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }

    /// Keeps a list of known peers aside by name that is damaged, in the place of one that was kept before.
    ///
    /// # Errors
    /// [`Kind::File`] naming the file.
    pub fn set_aside(state_dir: &Path) -> Result<(), Error> {
        let path = state_dir.join(FILE);
        let aside = OperatingSystem.rename(&path, &state_dir.join(ASIDE));
        aside.map_err(Error::cannot("rename", &path))
    }

    /// Takes in whom the settings name, and lets go of known peers of which nothing was heard for a year.
    pub fn take_in(&mut self, settings: &Settings, now_ms: i64) {
        if let crate::settings::Restriction::To(peers) = &settings.peers {
            for url in peers {
                self.name(url.base(), NamedBy::Peers, None, now_ms);
            }
        }
        if let Some(source) = Source::of(settings) {
            let peer = self.name(source.url.written(), NamedBy::Primary, None, now_ms);
            peer.fingerprint = source.fingerprint;
            peer.authority = source.authority.map(|authority| match authority {
                CertificateAuthority::System => SYSTEM.to_owned(),
                CertificateAuthority::File(path) => path.display().to_string(),
            });
        }
        let is_kept = |ms| now_ms.saturating_sub(ms) < KEPT_MS;
        self.peers.retain(|peer| is_kept(peer.newest_ms()));
        self.former = self.former.take().filter(|former| is_kept(former.left_ms));
    }

    /// Takes in the address that a standby of this node reports. What is known later wins: it is asked nowhere else any
    /// more, unless a setting says so.
    pub fn reported(&mut self, node_id: &NodeId, url: &str, now_ms: i64) {
        let Ok(url) = url.parse::<PrimaryUrl>() else { return };
        let url = url.base();
        self.peers.retain(|peer| {
            peer.named_by != NamedBy::Report || peer.url == url || peer.node_id.as_deref() != Some(&**node_id)
        });
        if self
            .peers
            .iter()
            .any(|peer| peer.url == url && peer.named_by != NamedBy::Report)
        {
            return;
        }
        self.name(url, NamedBy::Report, Some(node_id), now_ms);
    }

    /// Notes that a known peer has proven itself.
    pub fn heard(&mut self, url: &str, node: &ProvenNode, now_ms: i64) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.url == url) {
            peer.node_id = Some(node.node_id.clone());
            if peer
                .heard_ms
                .is_none_or(|heard| now_ms.saturating_sub(heard) >= AGED_MS)
            {
                peer.heard_ms = Some(now_ms);
            }
            if peer.named_by == NamedBy::Primary {
                peer.answers_at = Some(node.address.clone());
            }
        }
    }

    /// Notes from whom the known peers have the highest epoch.
    pub fn won(&mut self, winner: &Winner, now_ms: i64) {
        let is_news = self
            .highest
            .as_ref()
            .is_none_or(|known| (known.epoch.number, known.is_there) < (winner.epoch.number, winner.is_there));
        if is_news {
            self.highest = Some(Highest {
                epoch: winner.epoch.clone(),
                node_id: winner.node_id.clone(),
                address: winner.address.clone(),
                is_there: winner.is_there,
                heard_ms: now_ms,
            });
        }
    }

    /// Which of the known peers are asked: not this node itself, and a standby that was named by its reports alone only
    /// while a key of it is trusted.
    pub fn asked(&self, keys: &Peers, own: &NodeId) -> Vec<&KnownPeer> {
        self.peers
            .iter()
            .filter(|peer| peer.node_id.as_deref() != Some(&**own))
            .filter(|peer| {
                let is_trusted = |node_id: &String| keys.keys_of(node_id).next().is_some();
                peer.named_by != NamedBy::Report || peer.node_id.as_ref().is_some_and(is_trusted)
            })
            .collect()
    }

    /// Notes where this node is, which runs as the primary there.
    pub fn runs_at(&mut self, place: &str, now_ms: i64) {
        if self.place.as_deref() == Some(place) {
            return;
        }
        let before = self.place.replace(place.to_owned());
        self.former = before.map(|url| FormerPlace { url, left_ms: now_ms });
    }

    /// Where this node ran as the primary, if that is another place than where it is `now`: its folders may have been copied,
    /// and the server that they are from runs there still, or again. And whether it has run where it is now since, which is
    /// remembered for a year.
    pub fn former_place(&self, now: Option<&str>) -> Option<(KnownPeer, bool)> {
        let at = |url: &str| KnownPeer::at(url.to_owned(), NamedBy::Report, 0);
        match self.place.as_deref() {
            Some(place) if Some(place) != now => Some((at(place), false)),
            _ => Some((at(&self.former.as_ref()?.url), true)),
        }
    }

    /// All known peers.
    pub fn all(&self) -> &[KnownPeer] {
        &self.peers
    }

    /// Names a known peer, anew or for the first time.
    fn name(&mut self, url: String, named_by: NamedBy, node_id: Option<&NodeId>, now_ms: i64) -> &mut KnownPeer {
        let mut known = match self.peers.iter().position(|peer| peer.url == url) {
            Some(at) => self.peers.remove(at),
            None => KnownPeer::at(url, named_by, now_ms),
        };
        known.named_by = named_by;
        if now_ms.saturating_sub(known.named_ms) >= AGED_MS {
            known.named_ms = now_ms;
        }
        if let Some(node_id) = node_id
            && known.node_id.as_deref() != Some(&**node_id)
        {
            // Another node has that address now.
            known.node_id = Some(node_id.to_string());
            known.heard_ms = None;
        }
        self.peers.push(known);
        if self.peers.len() > MOST {
            let oldest = (0..self.peers.len() - 1).min_by_key(|at| self.peers[*at].newest_ms());
            self.peers.remove(oldest.unwrap_or(0));
        }
        self.peers.last_mut().expect("one was pushed")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{basics::Properties, generation::Role, keys::Peer};

    const OWN: &str = "00000000000000000000000000000000";
    const OTHER: &str = "0123456789abcdef0123456789abcdef";

    fn id(text: &str) -> NodeId {
        text.parse().expect("an id")
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::parse(&Properties::from_iter(pairs.iter().copied()), |_| false).0
    }

    fn urls(known: &KnownPeers) -> Vec<&str> {
        known.peers.iter().map(|peer| &*peer.url).collect()
    }

    fn trusting(node_id: &str) -> Peers {
        let mut keys = Peers::default();
        keys.add(Peer {
            fingerprint: Fingerprint::of_public_key(b"key"),
            node_id: Some(node_id.to_owned()),
        });
        keys
    }

    #[test]
    fn a_primary_that_is_at_another_place_asks_at_the_one_before() {
        let folder = tempfile::tempdir().expect("folder");
        let mut known = KnownPeers::default();
        assert_eq!(known.former_place(Some("https://one:8155")), None);
        known.runs_at("https://one:8155", 7);
        known.save(folder.path()).expect("saved");
        let mut known = KnownPeers::load(folder.path()).expect("whole");
        assert_eq!(known.former_place(Some("https://one:8155")), None);
        let asked = |known: &KnownPeers| {
            let (former, is_settled) = known.former_place(Some("https://two:8155"))?;
            Some((former.url, is_settled))
        };
        assert_eq!(asked(&known), Some(("https://one:8155".to_owned(), false)));
        // Later starts there ask still.
        for now_ms in [8, 9] {
            known.runs_at("https://two:8155", now_ms);
            known.save(folder.path()).expect("saved");
            known = KnownPeers::load(folder.path()).expect("whole");
            known.take_in(&settings(&[]), KEPT_MS);
            assert_eq!(asked(&known), Some(("https://one:8155".to_owned(), true)));
        }
        known.take_in(&settings(&[]), 8 + KEPT_MS);
        assert_eq!(asked(&known), None);
    }

    #[test]
    fn the_file_keeps_everything_and_each_damaged_byte_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(KnownPeers::load(folder.path()), Ok(KnownPeers::default()));
        let key = Fingerprint::of_public_key(b"key").to_string();
        let mut known = KnownPeers::default();
        known.take_in(
            &settings(&[
                ("bc.peers", "https://one, https://two:9000"),
                ("bc.primary.url", "https://primarygo"),
                ("bc.primary.fingerprint", &key),
                ("bc.tls.ca", "system"),
            ]),
            7,
        );
        known.reported(&id(OTHER), "https://standbygo:8155", 8);
        known.won(
            &Winner {
                node_id: Some(OTHER.to_owned()),
                address: "https://standbygo:8155".to_owned(),
                is_there: true,
                epoch: Epoch {
                    number: 2,
                    promotion: "b".to_owned(),
                },
            },
            9,
        );
        known.save(folder.path()).expect("save");
        assert_eq!(KnownPeers::load(folder.path()), Ok(known.clone()));
        let asked = known.asked(&Peers::default(), &id(OWN));
        let primary = asked.iter().find(|peer| peer.may_be_at_another_port()).expect("asked");
        let source = primary.source().expect("an address");
        assert_eq!(source.fingerprint.map(|key| key.to_string()), Some(key));
        assert_eq!(source.authority, Some(CertificateAuthority::System));

        let path = folder.path().join(FILE);
        let whole = fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("write");
            let error = KnownPeers::load(folder.path()).expect_err("damaged");
            assert!(error.message().contains(FILE), "byte {at}: {error}");
        }
    }

    #[test]
    fn a_later_address_of_a_standby_wins_and_one_that_is_not_trusted_is_not_asked() {
        let mut known = KnownPeers::default();
        known.reported(&id(OTHER), "https://one:1", 1);
        known.reported(&id(OTHER), "https://two:2", 2);
        known.reported(&id(OTHER), "no address", 3);
        assert_eq!(urls(&known), ["https://two:2"]);
        assert_eq!(known.asked(&trusting(OTHER), &id(OWN)).len(), 1);
        assert!(known.asked(&trusting(OWN), &id(OWN)).is_empty());
        assert!(known.asked(&trusting(OTHER), &id(OTHER)).is_empty(), "this node itself");
        let third = "ee".repeat(16);
        known.reported(&id(&third), "https://two:2", 4);
        assert_eq!(
            known.peers[0].node_id.as_deref(),
            Some(&*third),
            "it has that address now"
        );
    }

    #[test]
    fn who_is_no_longer_named_is_asked_for_a_year() {
        let mut known = KnownPeers::default();
        known.take_in(&settings(&[("bc.primary.url", "https://primarygo")]), 0);
        known.take_in(&settings(&[]), KEPT_MS - 1);
        assert_eq!(urls(&known), ["https://primarygo"]);
        let node = ProvenNode {
            node_id: OTHER.to_owned(),
            role: Role::Primary,
            epoch: Epoch::default(),
            address: "https://primarygo:443".to_owned(),
        };
        known.heard("https://primarygo", &node, KEPT_MS - 1);
        known.take_in(&settings(&[]), KEPT_MS);
        assert_eq!(urls(&known), ["https://primarygo"], "it was heard since");
        assert_eq!(
            known.peers[0].source().expect("an address").url.base(),
            "https://primarygo:443"
        );
        known.take_in(&settings(&[]), 2 * KEPT_MS);
        assert_eq!(urls(&known), [] as [&str; 0]);
    }
}
