//! The other nodes that this one knows: keeps their file, and asks them who they are.
//!
//! What is in the file is `bc_core::role::known_peers`. A file that is damaged or cannot be read is a peer that proves
//! nothing: it is named, and keeps a server that is to be the primary held until a person goes on without it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bc_core::{
    basics::{Error, Kind, NodeId, Severity, lock},
    generation::{Epoch, Run},
    keys::{OwnKeys, PeersFile, Token},
    role::{
        StateDir,
        guard::{Guard, ProvenNode, Winner},
        inquiry::Heard,
        known_peers::{self, Highest, KnownPeer, KnownPeers},
    },
    settings::{Property, Restriction, Settings},
    standby::pull::reporter::OwnUrl,
    status::{StandbyStatus, StatusBoard, Topic},
};
use tokio::sync::watch;
use tracing::warn;

use super::{Assembly, peers_file, standby};
use crate::{client::HttpTransport, tls::node_key::NodeKey};

/// The longest wait for one peer's next byte.
const LONGEST: Duration = Duration::from_secs(5);

/// The known peers of a running node.
pub(crate) struct PeerBook {
    state: Arc<StateDir>,
    settings: Arc<Settings>,
    board: Arc<StatusBoard>,
    key: Arc<NodeKey>,
    own: Arc<OwnKeys>,
    run: Arc<Run>,
    known: Mutex<Result<KnownPeers, Error>>,
    own_url: OwnUrl,
    /// Where this node was when it ran as the primary, if that is another place than where it starts now, and whether it has
    /// run where it is now since.
    former: Option<(KnownPeer, bool)>,
    transports: Mutex<BTreeMap<String, (KnownPeer, Arc<HttpTransport>)>>,
}

/// One peer to be asked.
pub(crate) enum Asked {
    /// Over the network.
    There(Arc<HttpTransport>),
    /// It cannot be asked, and that says something already.
    Not(Box<Heard>),
}

impl Asked {
    /// A peer that cannot be asked, for this reason.
    fn not(problem: Error) -> Self {
        Asked::Not(Box::new(Heard::NotAsked(problem.to_string())))
    }

    /// Asks this peer once, under its name in the book; what was heard at each of its addresses.
    pub(crate) async fn who(self, name: &str) -> Vec<(String, Heard)> {
        match self {
            Asked::There(transport) => transport.who().await,
            Asked::Not(heard) => vec![(name.to_owned(), *heard)],
        }
    }
}

impl PeerBook {
    /// Opens the book of known peers, with those that the settings name now.
    pub(crate) fn open(assembly: &Assembly) -> Arc<Self> {
        let mut book = Self {
            state: Arc::clone(&assembly.state),
            settings: Arc::clone(&assembly.settings),
            board: Arc::clone(&assembly.board),
            key: Arc::clone(&assembly.key),
            own: Arc::clone(&assembly.own),
            run: Arc::clone(&assembly.run),
            known: Mutex::new(KnownPeers::load(assembly.state.path())),
            own_url: standby::own_url(assembly),
            former: None,
            transports: Mutex::default(),
        };
        if let Err(problem) = &*lock(&book.known) {
            warn!("{problem}");
            book.board
                .raise(&Topic::KnownPeers, Severity::Critical, problem.to_string());
        }
        let (settings, now_ms) = (Arc::clone(&book.settings), book.board.now_ms());
        book.change(|known| known.take_in(&settings, now_ms));
        let now = standby::own_place(&book.settings);
        let former = lock(&book.known)
            .as_ref()
            .ok()
            .and_then(|known| known.former_place(now.as_deref()));
        book.former = former.filter(|(former, _)| book.peers().iter().all(|peer| peer.url != former.url));
        Arc::new(book)
    }

    /// Whom the book of peers names to be asked, by how people call them.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.peers().into_iter().map(|peer| peer.url).collect();
        names.extend(self.in_the_way().map(|(name, _)| name));
        names
    }

    /// Where this node ran as the primary at another place, which is asked too.
    pub(crate) fn former(&self) -> Option<String> {
        Some(self.former.as_ref()?.0.url.clone())
    }

    /// What asks the peers in the book for this run of this node, which has this epoch.
    pub(crate) fn guard(&self, own_epoch: Option<Epoch>) -> Guard {
        let is_settled = self.former.as_ref().is_some_and(|(_, is_settled)| *is_settled);
        Guard::new(self.own_node_id().clone(), self.run.id.clone(), own_epoch, self.names())
            .of_former(self.former(), is_settled)
    }

    /// The same as [`Self::asked`], and a former place of this node.
    pub(crate) fn asked_as_primary(&self, token: &watch::Receiver<Option<Token>>) -> Vec<(String, Asked)> {
        let former = self.former.as_ref().map(|(former, _)| {
            let transport = self.transport(former, token);
            (former.url.clone(), transport.map_or_else(Asked::not, Asked::There))
        });
        self.asked(token).into_iter().chain(former).collect()
    }

    /// Makes the connections on which the peers in the book are asked. Those that were made before stay.
    pub(crate) fn asked(&self, token: &watch::Receiver<Option<Token>>) -> Vec<(String, Asked)> {
        let peers = self.peers();
        let mut transports = lock(&self.transports);
        transports.retain(|url, (known, _)| peers.iter().any(|peer| peer.url == *url && is_same_way(peer, known)));
        let mut asked = Vec::new();
        for peer in peers {
            let known = transports.get(&peer.url).map(|(_, transport)| Arc::clone(transport));
            let transport = known.map_or_else(|| self.transport(&peer, token), Ok);
            asked.push(match transport {
                Ok(transport) => {
                    transports.insert(peer.url.clone(), (peer.clone(), Arc::clone(&transport)));
                    (peer.url, Asked::There(transport))
                }
                Err(problem) => (peer.url, Asked::not(problem)),
            });
        }
        asked.extend(
            self.in_the_way()
                .map(|(name, why)| (name, Asked::Not(Box::new(Heard::Unproven(why))))),
        );
        asked
    }

    /// Takes the addresses of standbys that report into the book of peers.
    pub(crate) fn reported(&self, standbys: &[StandbyStatus]) {
        let now_ms = self.board.now_ms();
        self.change(|known| {
            for standby in standbys.iter().filter(|standby| !standby.silent) {
                if let Some(url) = &standby.url {
                    known.reported(&standby.node_id, url, now_ms);
                }
            }
        });
    }

    /// Notes in the book of peers that one of them has proven itself.
    pub(crate) fn heard(&self, url: &str, node: &ProvenNode) {
        let now_ms = self.board.now_ms();
        self.change(|known| known.heard(url, node, now_ms));
    }

    /// Notes in the book of peers who has a higher epoch.
    pub(crate) fn won(&self, winner: &Winner) {
        let now_ms = self.board.now_ms();
        self.change(|known| known.won(winner, now_ms));
    }

    /// Begins the book of peers anew where its file is damaged, by the word of a person who goes on without it: the damaged
    /// one is kept aside, or every start would be held by it.
    pub(crate) fn begin_anew(&self) {
        {
            let mut known = lock(&self.known);
            if known.is_ok() {
                return;
            }
            if let Err(problem) = KnownPeers::set_aside(self.state.path()) {
                warn!("{problem}");
                return;
            }
            *known = Ok(KnownPeers::default());
        }
        let now_ms = self.board.now_ms();
        self.change(|known| known.take_in(&self.settings, now_ms));
    }

    /// From whom a higher epoch is known, by the book of peers.
    pub(crate) fn highest(&self) -> Option<Highest> {
        lock(&self.known).as_ref().ok()?.highest.clone()
    }

    /// The node to which the book of peers belongs.
    pub(crate) fn own_node_id(&self) -> &NodeId {
        self.state.node_id()
    }

    /// Notes in the book of peers that this node runs as the primary where it is now.
    pub(crate) fn runs_here(&self) {
        if let Some(place) = self.board.look(|status| (self.own_url)(status)) {
            let now_ms = self.board.now_ms();
            self.change(|known| known.runs_at(&place, now_ms));
        }
    }

    /// The peers in the book that are asked. While it cannot be read whose keys are trusted, all of them are.
    fn peers(&self) -> Vec<KnownPeer> {
        let keys = PeersFile::of(&self.settings.layout).load();
        let known = lock(&self.known);
        let Ok(known) = &*known else { return Vec::new() };
        match keys {
            Ok(keys) => known.asked(&keys, self.own_node_id()).into_iter().cloned().collect(),
            Err(_) => known.all().to_vec(),
        }
    }

    /// What keeps the book of peers from being whole: a name for people, and why.
    fn in_the_way(&self) -> impl Iterator<Item = (String, String)> {
        let file = lock(&self.known)
            .as_ref()
            .err()
            .map(|problem| (known_peers::FILE.to_owned(), problem.message().to_owned()));
        let setting = (self.settings.peers == Restriction::Malformed).then(|| {
            let name = Property::Peers.name().to_owned();
            (
                name,
                "the setting is malformed, so nobody knows whom it names".to_owned(),
            )
        });
        file.into_iter().chain(setting)
    }

    /// Changes the book of peers, durably where that is news.
    fn change(&self, change: impl FnOnce(&mut KnownPeers)) {
        let mut known = lock(&self.known);
        let Ok(before) = &*known else { return };
        let mut after = before.clone();
        change(&mut after);
        if after == *before {
            return;
        }
        match after.save(self.state.path()) {
            Ok(()) => self.board.clear(&Topic::KnownPeers),
            Err(problem) => {
                warn!("{problem}");
                self.board
                    .raise(&Topic::KnownPeers, Severity::Warning, problem.to_string());
            }
        }
        *known = Ok(after);
    }

    /// Makes the connection on which a peer in the book is asked.
    fn transport(&self, peer: &KnownPeer, token: &watch::Receiver<Option<Token>>) -> Result<Arc<HttpTransport>, Error> {
        let source = peer.source().ok_or_else(|| {
            Error::new(
                Kind::Setting,
                format!("{} is no address", peer.url),
                "Correct bc.peers.",
            )
        })?;
        let mut settings = Settings::clone(&self.settings);
        source.prove_by(&mut settings);
        let timeout = settings.connection_timeout.min(LONGEST);
        let trust = peers_file::trust_source_of(&self.own, &self.board, Arc::new(settings));
        let transport = HttpTransport::of_node(&source.url, &self.key, trust, token.clone(), timeout)?;
        let transport = transport.by(&self.run, self.own_node_id()).telling(&self.board);
        Ok(Arc::new(if peer.may_be_at_another_port() {
            transport
        } else {
            transport.at_its_port_alone()
        }))
    }
}

/// Whether two entries of the book of peers lead to one place, proven in one way.
fn is_same_way(one: &KnownPeer, other: &KnownPeer) -> bool {
    one.source() == other.source() && one.may_be_at_another_port() == other.may_be_at_another_port()
}
