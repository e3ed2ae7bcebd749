//! The names of all settings.

/// Makes the enum, the list of all its values and their names from one table, so that none can lack the others.
macro_rules! properties {
    ($($(#[$docs:meta])* $property:ident = $name:literal,)+) => {
        /// A property that a node reads. A new one needs its row in `settings::never_wider`, which does not compile
        /// without.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Property {
            $($(#[$docs])* $property,)+
        }

        impl Property {
            /// Every one.
            pub(crate) const ALL: &'static [Property] = &[$(Property::$property),+];

            /// The name of the property as it stands behind `-D`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Property::$property => $name,)+
                }
            }
        }
    };
}

properties! {
    /// Whether a standby is asked for.
    Mode = "go.server.mode",
    /// Where the primary is.
    PrimaryUrl = "bc.primary.url",
    /// Its key.
    PrimaryFingerprint = "bc.primary.fingerprint",
    /// Who vouches for its certificate.
    TlsCa = "bc.tls.ca",
    /// The certificate that this node shows.
    TlsCertificate = "bc.tls.certificate",
    /// The key of that certificate.
    TlsPrivateKey = "bc.tls.private.key",
    /// Longest time without a completed exchange.
    PrimaryCheckInterval = "bc.primary.status.check.interval",
    /// How often the folders are read.
    FileCheckInterval = "bc.file.status.check.interval",
    /// Longest wait for the primary's next byte.
    ConnectionTimeout = "primary.server.connection.timeout",
    /// Our TLS port.
    Listen = "bc.listen",
    /// The plain port for a reverse proxy.
    ListenPlain = "bc.listen.plain",
    /// How others reach our TLS port.
    ExternalUrl = "bc.external.url",
    /// Where people reach GoCD.
    SiteUrl = "bc.site.url",
    /// Whose `X-Forwarded-Proto` counts.
    TrustedProxies = "bc.trusted.proxies",
    /// The state folder.
    StateDir = "bc.state.dir",
    /// Further files of the configuration folder.
    SyncExtra = "bc.sync.extra",
    /// Whether any `serverId` is taken over.
    AdoptServerId = "bc.adopt.server.id",
    /// Longest time until GoCD has accepted a configuration.
    AcceptWait = "bc.accept.wait",
    /// When a refusal becomes CRITICAL.
    RefusalCritical = "bc.refusal.critical",
    /// How long a standby may say nothing.
    StandbySilence = "bc.standby.silence",
    /// Generations that a standby keeps.
    GenerationsKeep = "bc.generations.keep",
    /// How long a promoted server keeps them.
    GenerationsKeepAfterPromotion = "bc.generations.keep.after.promotion",
    /// What a sync leaves free.
    FreeSpace = "bc.free.space",
    /// How often live files are looked at.
    ReverifyInterval = "bc.reverify.interval",
    /// Within what time they are read.
    RehashInterval = "bc.rehash.interval",
    /// The answer on GoCD's health path while held.
    HeldHealth = "bc.held.health",
    /// Longest wait for a decision at start.
    GuardWait = "bc.guard.wait",
    /// Whether a primary starts although a peer does not answer.
    Guard = "bc.guard",
    /// The other nodes.
    Peers = "bc.peers",
    /// What a running primary does once another node has a higher epoch.
    Fence = "bc.fence",
    /// Who may give orders.
    OperatorGroup = "bc.operator.group",
    /// Whether the user of the node may.
    Operator = "bc.operator",
    /// GoCD's launcher jar.
    Launcher = "bc.launcher",
    /// Whether the database is watched.
    DbWatch = "bc.db.watch",
    /// Who logs in to the database to watch it.
    DbUser = "bc.db.user",
    /// The file with that user's password.
    DbPasswordFile = "bc.db.password.file",
    /// Which of several hosts of the database belongs to this node.
    DbLocalHost = "bc.db.local.host",
    /// Who promotes the database.
    DbPromote = "bc.db.promote",
    /// How much a promotion may lose.
    PromoteMaxLag = "bc.promote.max.lag",
    /// What is run once this server is promoted.
    PromoteHook = "bc.promote.hook",
    /// The file with an access token of GoCD.
    GocdTokenFile = "bc.gocd.token.file",
    /// Whether both servers have the same folder of artifacts.
    ArtifactsShared = "bc.artifacts.shared",
    /// What is logged.
    LogLevel = "bc.log.level",
    /// The port of GoCD.
    GocdPort = "cruise.server.port",
    /// The address of GoCD.
    GocdHost = "cruise.listen.host",
    /// Where in GoCD's port its pages begin.
    GocdContext = "cruise.server.context",
    /// Who opened this node; Java says it.
    Face = "bc.face",
    /// Whether the agent is in this JVM; it says so itself.
    Agent = "bc.agent",
    /// The flag that a release went past; the node says it.
    OverriddenFlag = "bc.flag.overridden",
    /// That the peers were asked before GoCD was released; the node says it.
    Guarded = "bc.guarded",
}

impl Property {
    /// Whether this property is one that an administrator writes for us: neither GoCD's own, nor said by the node
    /// itself.
    pub(super) fn is_of_ours(self) -> bool {
        !matches!(
            self,
            Property::GocdPort
                | Property::GocdHost
                | Property::GocdContext
                | Property::Face
                | Property::Agent
                | Property::OverriddenFlag
                | Property::Guarded
        )
    }

    /// The property that somebody may have meant who wrote `name`: two letters at most are wrong, missing or too
    /// many, in either case.
    pub(super) fn meant_by(name: &str) -> Option<Self> {
        const NEAR: usize = 2;
        // Longer than any of ours by more than that: nothing needs to be compared.
        let longest = Self::ALL
            .iter()
            .map(|property| property.name().len())
            .max()
            .unwrap_or(0);
        if name.len() > longest + NEAR {
            return None;
        }
        let name = name.to_ascii_lowercase();
        Self::ALL
            .iter()
            .filter(|property| property.is_of_ours())
            .map(|property| (distance(name.as_bytes(), property.name().as_bytes()), *property))
            .filter(|(distance, _)| *distance <= NEAR)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, property)| property)
    }
}

/// How many bytes have to be changed, added or left out to make one name of the other (Levenshtein).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, byte) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 0..other.len() {
            let replaced = diagonal + usize::from(*byte != other[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_meant() {
        for (name, meant) in [
            ("bc.primary.fingerprnt", Some(Property::PrimaryFingerprint)),
            ("bc.Primary.Fingerprint", Some(Property::PrimaryFingerprint)),
            ("bc.tls.cas", Some(Property::TlsCa)),
            ("bc.listn", Some(Property::Listen)),
            ("bc.primary-url", Some(Property::PrimaryUrl)),
            ("go.server.mod", Some(Property::Mode)),
            ("bcprimary.fingerprint", Some(Property::PrimaryFingerprint)),
            ("bc.gard", Some(Property::Guard)),
            ("bc.peer", Some(Property::Peers)),
            ("bc.fenc", Some(Property::Fence)),
            ("bc.drill", None),
            ("cruise.server.host", None),
            ("go.server.state", None),
            (&"bc.listen".repeat(1000), None),
            ("", None),
        ] {
            assert_eq!(Property::meant_by(name), meant, "{name}");
        }
    }

    #[test]
    fn no_two_settings_are_taken_for_each_other() {
        for property in Property::ALL.iter().filter(|property| property.is_of_ours()) {
            assert_eq!(Property::meant_by(property.name()), Some(*property));
        }
    }
}
