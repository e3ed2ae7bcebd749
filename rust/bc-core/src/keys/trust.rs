//! Whether the primary is who it should be, and which standby is one of the pair.
//!
//! The first way that is *configured* decides; a mismatch is a refusal, never a fall-through to the next way.
//! The token is sent only after this check. Beside it, and before it, stands what is known of single keys ([`Judge`]).

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Fingerprint, Kind},
    keys::{own_keys::OwnKeys, peers::Peers},
    settings::{CertificateAuthority, Property, Restriction, Settings},
};

/// How a primary stands to whoever reports to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its key is in the peers file, for its node.
    Trusted,
    /// Its key was seen, and waits for `gocd-bc trust`.
    Seen,
    /// The connection showed no key.
    Unproven,
    /// Its key was removed.
    Removed,
    /// Its key is that of another node, or its node is known by another key.
    Foreign,
}

/// How the primary is proven, in the order in which the ways are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// `bc.primary.fingerprint` names its key.
    Pinned(Fingerprint),
    /// `bc.tls.ca`: a certificate authority vouches for its name. Checked by TLS itself.
    Authority(CertificateAuthority),
    /// The peers file names other nodes' keys; the primary's must be one of them.
    Peers(Vec<Fingerprint>),
    /// Nothing is configured: the standby does not sync, and shows the key it saw.
    Nothing,
    /// This setting says how and is malformed: nobody is trusted, whatever the later ways would say.
    Malformed(Property),
    /// `bc.primary.url` leads to this host without TLS: no key is ever shown, and nothing is proven.
    InTheClear,
}

impl Trust {
    /// The way of trusting a primary that the settings and the peers file ask for. `own` are this node's keys.
    pub(crate) fn of(settings: &Settings, peers: &Peers, own: &OwnKeys) -> Self {
        match &settings.primary_fingerprint {
            Restriction::To(pinned) => return Trust::Pinned(*pinned),
            Restriction::Malformed => return Trust::Malformed(Property::PrimaryFingerprint),
            Restriction::Absent => {}
        }
        match &settings.tls_ca {
            Restriction::To(authority) => return Trust::Authority(authority.clone()),
            Restriction::Malformed => return Trust::Malformed(Property::TlsCa),
            Restriction::Absent => {}
        }
        if settings.primary_url.as_ref().is_some_and(|url| !url.is_secure()) {
            return Trust::InTheClear;
        }
        let others: Vec<_> = peers.others(own).into_iter().map(|peer| peer.fingerprint).collect();
        if others.is_empty() {
            Trust::Nothing
        } else {
            Trust::Peers(others)
        }
    }

    /// Judges a key that the primary has just proven to hold. With [`Trust::Authority`] any key passes, since
    /// the chain was checked by TLS.
    ///
    /// # Errors
    /// [`Kind::Trust`] naming the fingerprints on both sides and what to do.
    pub fn judge(&self, seen: &Fingerprint) -> Result<(), Error> {
        match self {
            Trust::Authority(_) => Ok(()),
            Trust::Pinned(pinned) if pinned == seen => Ok(()),
            Trust::Peers(known) if known.contains(seen) => Ok(()),
            Trust::Pinned(pinned) => Err(Error::new(
                Kind::Trust,
                format!("the primary shows the key {seen}, but bc.primary.fingerprint is {pinned}"),
                "Compare with `gocd-bc identity show` on the primary; if its key was changed on purpose, \
                 correct bc.primary.fingerprint.",
            )),
            Trust::Peers(known) => {
                let known: Vec<_> = known.iter().map(Fingerprint::to_string).collect();
                Err(Error::new(
                    Kind::Trust,
                    format!(
                        "the primary shows the key {seen}, but the peers file names {}",
                        known.join(" and ")
                    ),
                    format!(
                        "Compare with `gocd-bc identity show` on the primary; if that is its key, run \
                         `gocd-bc trust {seen}` here."
                    ),
                ))
            }
            Trust::Nothing => Err(Error::new(
                Kind::Trust,
                format!("nothing says yet which key the primary has; it shows {seen}"),
                format!(
                    "Compare with `gocd-bc identity show` on the primary, then run `gocd-bc trust {seen}` here, \
                     or copy the file business-continuity-peers from the primary's configuration folder."
                ),
            )),
            Trust::Malformed(property) => Err(Error::new(
                Kind::Trust,
                format!(
                    "{} is malformed, so no key is trusted; the primary shows {seen}",
                    property.name()
                ),
                format!("Correct {}, or remove it, and restart this server.", property.name()),
            )),
            Trust::InTheClear => Err(Error::new(
                Kind::Trust,
                "bc.primary.url is not encrypted, so no key is trusted",
                "Write https:// into bc.primary.url.",
            )),
        }
    }

    /// Whether this key alone makes a primary trusted. With [`Trust::Authority`] none does.
    pub fn accepts(&self, key: &Fingerprint) -> bool {
        !matches!(self, Trust::Authority(_)) && self.judge(key).is_ok()
    }

    /// How the dashboard names this way of trusting a primary.
    pub fn description(&self) -> &'static str {
        match self {
            Trust::Pinned(_) => "by the fingerprint in bc.primary.fingerprint",
            Trust::Authority(_) => "by the certificate authority in bc.tls.ca",
            Trust::Peers(_) => "by the peers file",
            Trust::Nothing => "not yet: no key is known",
            Trust::Malformed(_) => "nobody: the setting that says whom is malformed",
            Trust::InTheClear => "nobody: the connection is in the clear, and nothing about it is proven",
        }
    }
}

/// What decides about whoever answers as the primary: the way that is configured, and beside it, whichever way that is,
/// what the peers file says of keys. A key that was removed proves nobody, and one whose node is known no other node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The way that is configured.
    pub trust: Trust,
    /// Which keys are known; otherwise why that cannot be said, and then nobody is proven.
    peers: Result<Peers, Error>,
}

impl From<Trust> for Judge {
    /// The judge of a primary's keys to whom the peers file says nothing else.
    fn from(trust: Trust) -> Self {
        Self {
            trust,
            peers: Ok(Peers::default()),
        }
    }
}

impl Judge {
    /// The judge of a primary's keys that the settings and the peers file ask for. `own` are this node's keys.
    pub fn of(settings: &Settings, peers: Result<Peers, Error>, own: &OwnKeys) -> Self {
        let known = peers.as_ref().ok();
        Self {
            trust: Trust::of(settings, known.unwrap_or(&Peers::default()), own),
            peers,
        }
    }

    /// The peers by whom the judge of a primary's keys goes, or why they cannot be read.
    fn peers(&self) -> Result<&Peers, Error> {
        self.peers.as_ref().map_err(|error| {
            Error::new(
                Kind::Trust,
                format!(
                    "which keys are trusted and which were removed cannot be read, so nobody is the primary: {}",
                    error.message()
                ),
                error.guidance(),
            )
        })
    }

    /// Judges a key that the primary has just proven to hold, as [`Trust::judge`] does, unless it was removed.
    ///
    /// # Errors
    /// [`Kind::Trust`] naming the fingerprints on both sides and what to do.
    pub fn key(&self, seen: &Fingerprint) -> Result<(), Error> {
        if self.peers()?.is_removed(seen) {
            return Err(Error::new(
                Kind::Trust,
                format!(
                    "the primary shows the key {seen}, which is trusted no longer: somebody ran `gocd-bc trust --remove`, \
                     or the primary, or a copy of its server, was given another key since. Whoever shows it may have \
                     stolen it"
                ),
                format!(
                    "Find out with `gocd-bc identity show` on the primary which key it has, and run `gocd-bc trust` with \
                     that one here. Only if {seen} is to be trusted again: gocd-bc trust {seen}"
                ),
            ));
        }
        self.trust.judge(seen)
    }

    /// Judges whether the holder of the key `seen` may speak as the node `node_id`.
    ///
    /// # Errors
    /// [`Kind::Trust`] when the key was not trusted at all, or the peers file has it for another node.
    pub fn node(&self, seen: &Fingerprint, node_id: &str) -> Result<(), Error> {
        self.key(seen)?;
        match self.peers()?.node_of(seen) {
            Some(known) if known != node_id => Err(Error::new(
                Kind::Trust,
                format!(
                    "the primary shows the key {seen} and says that it is the node {node_id:.32}, but the peers file has \
                     that key for the node {known:.32}"
                ),
                format!(
                    "A standby's key makes nobody the primary of another node. Compare with `gocd-bc identity show` on \
                     both servers; where that node's state folder was made anew, run `gocd-bc trust --remove {seen}` and \
                     then `gocd-bc trust {seen}` here."
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Whether this key alone makes a primary trusted, unless the peers file has it as removed. With
    /// [`Trust::Authority`] none does.
    pub fn accepts(&self, key: &Fingerprint) -> bool {
        self.peers().is_ok_and(|peers| !peers.is_removed(key)) && self.trust.accepts(key)
    }
}

/// Who has sent a report to a primary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reporter<'a> {
    /// The key that it has proven to hold.
    pub key: Option<Fingerprint>,
    /// The node that it says it is.
    pub node_id: &'a str,
}

/// How a primary with the keys `own` stands to whoever reports to it. The first standby ever is trusted at once where
/// `joins` says that one may be; later ones wait for an administrator's word, and so do all once he has removed a key.
/// Nobody is trusted under the node id of another key, or with the key of another node. Whoever is found
/// [`Standing::Trusted`] belongs into the peers file, with that node id.
pub(crate) fn standing(peers: &Peers, own: &OwnKeys, reporter: Reporter<'_>, joins: bool) -> Standing {
    let Some(key) = &reporter.key else {
        return Standing::Unproven;
    };
    if peers.is_removed(key) {
        return Standing::Removed;
    }
    let is_known_otherwise = match peers.node_of(key) {
        Some(node_id) => node_id != reporter.node_id,
        None => peers.keys_of(reporter.node_id).any(|known| known != *key),
    };
    let is_first = || peers.others(own).is_empty() && peers.removed().iter().all(|peer| own.is_own(peer));
    if is_known_otherwise {
        Standing::Foreign
    } else if peers.contains(key) || joins && is_first() {
        Standing::Trusted
    } else {
        Standing::Seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basics::Properties, keys::peers::Peer};

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of_public_key(name.as_bytes())
    }

    const ME: &str = "0123456789abcdef0123456789abcdef";

    fn own() -> OwnKeys {
        OwnKeys::new(ME.parse().expect("id"), key("own"))
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::parse(&Properties::from_iter(pairs.iter().copied()), |_| false).0
    }

    #[test]
    fn the_first_configured_way_decides_and_a_mismatch_never_falls_through() {
        let mut peers = Peers::default();
        peers.add(Peer {
            fingerprint: key("primary"),
            node_id: None,
        });
        let pinned = settings(&[
            ("bc.primary.fingerprint", &key("other").to_string()),
            ("bc.tls.ca", "system"),
        ]);
        let trust = Trust::of(&pinned, &peers, &own());
        let refusal = trust.judge(&key("primary")).expect_err("pinned to another key");
        assert!(refusal.message().contains(&key("other").to_string()));
        assert!(refusal.message().contains(&key("primary").to_string()));
        assert_eq!(
            Trust::of(&settings(&[("bc.tls.ca", "system")]), &peers, &own()),
            Trust::Authority(CertificateAuthority::System)
        );
        assert_eq!(Trust::of(&settings(&[]), &peers, &own()).judge(&key("primary")), Ok(()));
    }

    #[test]
    fn a_malformed_way_trusts_nobody_and_falls_through_to_none() {
        let mut peers = Peers::default();
        peers.add(Peer {
            fingerprint: key("primary"),
            node_id: None,
        });
        let whole = key("primary").to_string();
        let short = &whole[1..];
        for pairs in [
            &[("bc.primary.fingerprint", short)][..],
            &[("bc.primary.fingerprint", "")],
            &[("bc.primary.fingerprint", short), ("bc.tls.ca", "system")],
            &[("bc.primary.fingerprnt", whole.as_str())],
            &[("bc.tls.ca", " \" ")],
            &[("bc.tls.cas", "system")],
        ] {
            let trust = Trust::of(&settings(pairs), &peers, &own());
            assert!(matches!(trust, Trust::Malformed(_)), "{pairs:?}: {trust:?}");
            let refusal = trust.judge(&key("primary")).expect_err("nobody is trusted");
            assert_eq!(refusal.kind(), Kind::Trust);
            assert!(!trust.accepts(&key("primary")));
        }
    }

    #[test]
    fn in_the_clear_nobody_is_trusted_whatever_the_peers_file_says() {
        let mut peers = Peers::default();
        peers.add(Peer {
            fingerprint: key("primary"),
            node_id: None,
        });
        let settings = settings(&[("bc.primary.url", "http://127.0.0.1:8156")]);
        let trust = Trust::of(&settings, &peers, &own());
        assert_eq!(trust, Trust::InTheClear);
        assert!(!trust.accepts(&key("primary")));
        assert!(trust.description().contains("in the clear"));
    }

    #[test]
    fn a_peers_file_with_only_our_own_key_is_nothing() {
        let mut peers = Peers::default();
        peers.add(Peer {
            fingerprint: key("own"),
            node_id: None,
        });
        let trust = Trust::of(&settings(&[]), &peers, &own());
        assert_eq!(trust, Trust::Nothing);
        let refusal = trust.judge(&key("primary")).expect_err("unproven");
        assert!(
            refusal
                .guidance()
                .contains(&format!("gocd-bc trust {}", key("primary")))
        );
    }

    fn peers(pairs: &[(&str, Option<&str>)]) -> Peers {
        let mut peers = Peers::default();
        for (name, node_id) in pairs {
            peers.add(Peer {
                fingerprint: key(name),
                node_id: node_id.map(str::to_owned),
            });
        }
        peers
    }

    #[test]
    fn a_removed_key_proves_nobody_whichever_way_is_configured() {
        let mut peers = peers(&[("stolen", Some("A")), ("good", Some("A"))]);
        peers.remove(&key("stolen"));
        let pin = key("stolen").to_string();
        for settings in [
            settings(&[]),
            settings(&[("bc.primary.fingerprint", &pin)]),
            settings(&[("bc.tls.ca", "system")]),
        ] {
            let judge = Judge::of(&settings, Ok(peers.clone()), &own());
            let refusal = judge.key(&key("stolen")).expect_err("removed");
            assert!(refusal.message().contains(&pin), "{refusal}");
            assert!(
                refusal.guidance().contains(&format!("gocd-bc trust {pin}")),
                "{refusal}"
            );
            assert!(!judge.accepts(&key("stolen")));
            judge.node(&key("stolen"), "A").expect_err("in no name");
        }
        let judge = Judge::of(&settings(&[]), Ok(peers), &own());
        assert_eq!(judge.node(&key("good"), "A"), Ok(()));
    }

    #[test]
    fn while_nobody_can_say_which_keys_were_removed_none_proves_anything() {
        let pin = key("primary").to_string();
        for settings in [
            settings(&[("bc.primary.fingerprint", &pin)]),
            settings(&[("bc.tls.ca", "system")]),
            settings(&[]),
        ] {
            let unreadable = Err(Error::new(Kind::File, "removed-keys.json is damaged", "Mend it."));
            let judge = Judge::of(&settings, unreadable, &own());
            let refusal = judge.key(&key("primary")).expect_err("unknown");
            assert!(refusal.message().ends_with("removed-keys.json is damaged"), "{refusal}");
            assert!(!judge.accepts(&key("primary")));
        }
    }

    #[test]
    fn a_key_speaks_for_its_own_node_only() {
        let peers = peers(&[("primary", Some("A")), ("standby", Some("B")), ("by hand", None)]);
        let pin = key("standby").to_string();
        for settings in [settings(&[]), settings(&[("bc.primary.fingerprint", &pin)])] {
            let judge = Judge::of(&settings, Ok(peers.clone()), &own());
            let refusal = judge.node(&key("standby"), "A").expect_err("not the primary's key");
            assert!(
                refusal.message().contains("node A") && refusal.message().contains("node B"),
                "{refusal}"
            );
            assert_eq!(
                judge.node(&key("standby"), "B"),
                Ok(()),
                "as itself, when it was promoted"
            );
        }
        let judge = Judge::of(&settings(&[]), Ok(peers), &own());
        assert_eq!(judge.node(&key("by hand"), "A"), Ok(()), "nobody said yet whose it is");
        judge.node(&key("stranger"), "A").expect_err("and nobody else");
    }

    #[test]
    fn who_reports_is_known_by_key_and_node_together() {
        let mut peers = peers(&[
            ("own", Some(ME)),
            ("a", Some("A")),
            ("by hand", None),
            ("gone", Some("C")),
        ]);
        peers.remove(&key("gone"));
        let stands = |peers: &Peers, name: Option<&str>, node_id: &str| {
            let reporter = Reporter {
                key: name.map(key),
                node_id,
            };
            standing(peers, &own(), reporter, true)
        };
        for (name, node_id, expected) in [
            (Some("a"), "A", Standing::Trusted),
            (Some("a"), "B", Standing::Foreign),
            (Some("new"), "A", Standing::Foreign),
            (Some("by hand"), "A", Standing::Foreign),
            (Some("by hand"), "B", Standing::Trusted),
            (Some("new"), "B", Standing::Seen),
            (Some("gone"), "C", Standing::Removed),
            (None, "A", Standing::Unproven),
        ] {
            assert_eq!(stands(&peers, name, node_id), expected, "{name:?} as {node_id}");
        }
        peers.remove(&key("a"));
        peers.remove(&key("by hand"));
        assert_eq!(stands(&peers, Some("first"), "D"), Standing::Seen, "not the first ever");
        assert_eq!(stands(&peers, Some("a"), "A"), Standing::Removed);
        let mut peers = self::peers(&[("own", Some(ME)), ("former", Some(ME))]);
        peers.remove(&key("former"));
        assert_eq!(stands(&peers, Some("first"), "D"), Standing::Trusted);
        let reporter = Reporter {
            key: Some(key("first")),
            node_id: "D",
        };
        assert_eq!(standing(&peers, &own(), reporter, false), Standing::Seen);
    }
}
