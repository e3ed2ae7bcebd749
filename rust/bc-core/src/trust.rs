//! Whether the primary is who it should be, and which standby is one of the pair.
//!
//! The first way that is *configured* decides; a mismatch is a refusal, never a fall-through to the next way.
//! The token is sent only after this check.

use crate::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    own_keys::OwnKeys,
    peers::Peers,
    settings::{CertificateAuthority, Property, Restriction, Settings},
    status::Standing,
};

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
    /// The way that the settings and the peers file ask for. `own` are this node's keys.
    pub fn of(settings: &Settings, peers: &Peers, own: &OwnKeys) -> Self {
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

    /// How the dashboard names this way.
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

/// How a primary with the keys `own` stands to a standby that has just proven to hold the key `shown`: the first
/// standby ever is trusted at once, later ones, and those whose key an administrator removed (`is_removed`), wait for
/// his word. Whoever is found [`Standing::Trusted`] belongs into the peers file.
pub fn standing(peers: &Peers, own: &OwnKeys, shown: &Fingerprint, is_removed: bool) -> Standing {
    if peers.contains(shown) || !is_removed && peers.others(own).is_empty() {
        Standing::Trusted
    } else {
        Standing::Seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Peer, properties::Properties};

    fn key(name: &str) -> Fingerprint {
        Fingerprint::of_public_key(name.as_bytes())
    }

    fn own() -> OwnKeys {
        OwnKeys::new("me", key("own"))
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
}
