//! Reading single properties.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CertificateAuthority, CertificateFiles, Fence, Flag, MaxLag, Mistake, Property, Restriction, SiteUrl};
use crate::{
    basics::{Fingerprint, Properties, percent, stray_ends::without_stray_ends, words},
    database::{
        configured::{LocalHost, Watcher},
        promotion::Way,
    },
    generation::{ExtraName, Layout},
    settings::primary_url::{DEFAULT_PORT, PrimaryUrl, UrlMistake},
};

/// The longest time that is believed: ten years. Sums of moments and longer times could overflow.
const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// At most so many names that are no setting are named in messages.
const MOST_UNKNOWN: usize = 20;
/// At most so many characters of such a name are shown.
const LONGEST_NAME: usize = 60;
/// The longest name of a user of PostgreSQL.
const LONGEST_ROLE: usize = 63;
/// What Java passes on of its environment.
const ENVIRONMENT: &str = "bc.env.";

/// Reads properties, and gathers the mistakes in them.
///
/// A mistake never quotes the value: it may be a secret that was put into the wrong line, and mistakes go to logs, to
/// GoCD's health messages and to everybody on this machine.
pub(super) struct Reader<'a> {
    properties: &'a Properties,
    /// What somebody meant who wrote a name that is none of ours.
    misspelt: Vec<Property>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) notices: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of settings that has looked through the names already.
    pub(super) fn new(properties: &'a Properties) -> Self {
        let mut reader = Self {
            properties,
            misspelt: Vec::new(),
            mistakes: Vec::new(),
            notices: Vec::new(),
        };
        reader.look_for_unknown_names();
        reader
    }

    /// Reads the text of a setting; none where it is empty.
    pub(super) fn text(&self, property: Property) -> Option<&'a str> {
        self.properties
            .get(property.name())
            .map(without_stray_ends)
            .filter(|value| !value.is_empty())
    }

    /// Whether Java says that this variable is set in its environment.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.properties
            .get(&format!("{ENVIRONMENT}{name}"))
            .is_some_and(|value| !value.trim().is_empty())
    }

    /// Whether a name that is none of ours was meant for this one.
    pub(super) fn is_misspelt(&self, property: Property) -> bool {
        self.misspelt.contains(&property)
    }

    /// Reads a setting that grants or shapes something: what is wrong counts as absent. An empty one is no mistake.
    pub(super) fn parsed<T>(
        &mut self,
        property: Property,
        wanted: &str,
        parse: impl Fn(&'a str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.text(property)?);
        if parsed.is_none() {
            self.mistake(property, format!("what is written there is not {wanted}"));
        }
        parsed
    }

    /// Reads a setting that restricts. Also an empty one is a mistake then: the variable that was to be there may be
    /// missing. `until` says what holds until it is corrected.
    pub(super) fn restriction<T>(
        &mut self,
        property: Property,
        wanted: &str,
        until: &str,
        parse: impl Fn(&'a str) -> Option<T>,
    ) -> Restriction<T> {
        let Some(value) = self.properties.get(property.name()) else {
            return if self.is_misspelt(property) {
                self.mistake(property, format!("its name seems to be misspelt, so {until}"));
                Restriction::Malformed
            } else {
                Restriction::Absent
            };
        };
        let value = without_stray_ends(value);
        match (value.is_empty(), parse(value)) {
            (false, Some(parsed)) => Restriction::To(parsed),
            (is_empty, _) => {
                let what = if is_empty {
                    format!("is empty and should be {wanted}")
                } else {
                    format!("what is written there is not {wanted}")
                };
                self.mistake(property, format!("{what}. Until it is corrected or removed, {until}"));
                Restriction::Malformed
            }
        }
    }

    /// What GoCD reads as it stands and we do not: the names of its own folders.
    pub(super) fn stray_ends_of_gocds_own(&self) -> impl Iterator<Item = String> {
        const OWN: [&str; 3] = [
            "cruise.config.dir",
            "cruise.config.file",
            "plugins.external.provided.path",
        ];
        let has_strays = |name: &&str| {
            let value = self.properties.get(name).unwrap_or_default();
            without_stray_ends(value) != value
        };
        OWN.into_iter().filter(has_strays).map(|name| {
            format!(
                "{name} begins or ends with a blank, a quote or a character that is not seen: GoCD takes it for a part of \
                 the name, while this node goes by the name without it; take it out of the JVM's arguments"
            )
        })
    }

    /// Notes a mistake in a setting.
    pub(super) fn mistake(&mut self, property: Property, message: String) {
        self.mistakes.push(Mistake {
            property: property.name().to_owned(),
            message,
        });
    }

    /// Reads a setting that is a time in milliseconds.
    pub(super) fn milliseconds(&mut self, property: Property, default: u64) -> Duration {
        let parse = |text: &str| text.parse().ok().filter(|given| (1..=LONGEST_MS).contains(given));
        let wanted = format!("a whole number of milliseconds above 0, ten years at most; {default} counts");
        let given = self.parsed(property, &wanted, parse);
        Duration::from_millis(given.unwrap_or(default))
    }

    /// Reads a time after which something is thrown away; 0 is never, and so is what is not understood: a mistake
    /// throws nothing away.
    pub(super) fn milliseconds_or_never(&mut self, property: Property, default: Duration) -> Option<Duration> {
        if self.text(property).is_none() {
            return Some(default);
        }
        const WANTED: &str = "a whole number of milliseconds, ten years at most, or 0 for never; never counts";
        let given = self.parsed(property, WANTED, |text| {
            text.parse().ok().filter(|given: &u64| *given <= LONGEST_MS)
        });
        given
            .filter(|milliseconds| *milliseconds > 0)
            .map(Duration::from_millis)
    }

    /// Reads the flag that asks for a standby. A mode that GoCD does not know may be a `standby` that was misspelt, and
    /// then two servers would be active: it asks for one too. `StandbyFlag.java` does the same where we cannot be
    /// asked; both are tested with `tests/fixtures/hold/flags.txt`.
    pub(super) fn flag(&mut self, has_file: impl Fn() -> bool) -> Flag {
        match self.text(Property::OverriddenFlag) {
            Some("property") => return Flag::Property,
            Some(_) => return Flag::File,
            None => {}
        }
        const GUIDANCE: &str =
            "Write go.server.mode=standby for a standby; for a primary remove it, or write production";
        match self.text(Property::Mode) {
            Some(mode) if mode.eq_ignore_ascii_case("standby") => return Flag::Property,
            // GoCD's own two, and what the original set-up page says for the other server.
            Some(mode)
                if ["production", "development", "primary"]
                    .iter()
                    .any(|known| mode.eq_ignore_ascii_case(known)) => {}
            Some(_) => {
                self.mistake(
                    Property::Mode,
                    format!("is no mode that GoCD knows, so this server is held as a standby. {GUIDANCE}"),
                );
                return Flag::Property;
            }
            None if self.is_misspelt(Property::Mode) => {
                self.mistake(
                    Property::Mode,
                    format!("its name seems to be misspelt, so this server is held as a standby. {GUIDANCE}"),
                );
                return Flag::Property;
            }
            None => {}
        }
        if has_file() { Flag::File } else { Flag::None }
    }

    /// Reads where our TLS port listens (`bc.listen`); none where it must not be opened.
    pub(super) fn listen(&mut self) -> Option<SocketAddr> {
        self.restriction(
            Property::Listen,
            "an IP address and a port such as 0.0.0.0:8155",
            "no Business Continuity port is opened",
            listen_address,
        )
        .or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT))
    }

    /// Reads where the plain port listens (`bc.listen.plain`); none where none is asked for, or it must not be opened.
    pub(super) fn listen_plain(&mut self) -> Option<SocketAddr> {
        self.parsed(
            Property::ListenPlain,
            "a loopback address and a port such as 127.0.0.1:8156, so no plain port is opened",
            |text| listen_address(text).filter(|address| address.ip().to_canonical().is_loopback()),
        )
    }

    /// Reads where GoCD listens: it binds `cruise.listen.host` (all addresses by default) and `cruise.server.port`.
    /// None where either is wrong: GoCD would not listen there then.
    pub(super) fn gocd_listen(&mut self) -> Option<SocketAddr> {
        const UNTIL: &str = "nothing answers on GoCD's port while this server is held";
        let port = self.restriction(Property::GocdPort, "a port number", UNTIL, |text| text.parse().ok());
        let host = self.restriction(
            Property::GocdHost,
            "an IP address or localhost",
            UNTIL,
            |text| match text {
                "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                other => other.parse().ok(),
            },
        );
        let host = host.or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
        Some(SocketAddr::new(host, port.or(8153)?))
    }

    /// Reads where in GoCD's port its pages begin, without a slash at the end.
    pub(super) fn gocd_context(&mut self) -> String {
        let given = self.parsed(Property::GocdContext, "a path such as /go; /go counts", |text| {
            let text = text
                .strip_suffix('/')
                .filter(|text| !text.ends_with('/'))
                .unwrap_or(text);
            let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
            let is_path = text.is_empty() || text.starts_with('/');
            (is_path && !text.contains("//") && text.chars().all(is_of_path)).then(|| text.to_owned())
        });
        given.unwrap_or_else(|| "/go".to_owned())
    }

    /// Reads the primary's key as it was written down (`bc.primary.fingerprint`).
    pub(super) fn primary_fingerprint(&mut self) -> Restriction<Fingerprint> {
        self.restriction(
            Property::PrimaryFingerprint,
            "the SHA-256 fingerprint that `gocd-bc identity show` prints on the primary",
            "no primary is trusted",
            |text| text.parse().ok(),
        )
    }

    /// Reads who vouches for the primary (`bc.tls.ca`). A file that cannot be used is found out where it is read.
    pub(super) fn tls_ca(&mut self, working_dir: &Path) -> Restriction<CertificateAuthority> {
        self.restriction(
            Property::TlsCa,
            "a PEM file or `system`",
            "no primary is trusted",
            |text| match text {
                "system" => Some(CertificateAuthority::System),
                file if file.contains('\0') => None,
                file => Some(CertificateAuthority::File(working_dir.join(file))),
            },
        )
    }

    /// Reads who logs in to GoCD's database to watch it (`bc.db.user`, `bc.db.password.file`).
    pub(super) fn database_watcher(&mut self, working_dir: &Path) -> Watcher {
        const NOBODY: &str = "nobody logs in to the database, and it is not watched";
        let user = self.restriction(Property::DbUser, "the name of a user of PostgreSQL", NOBODY, |text| {
            let is_name = words::shown(text, LONGEST_ROLE) == text && !text.contains(char::is_whitespace);
            is_name.then(|| text.to_owned())
        });
        let wanted = "the path of a file with a password in its first line";
        let file = self.restriction(Property::DbPasswordFile, wanted, NOBODY, |text| {
            (!text.contains('\0')).then(|| working_dir.join(text))
        });
        match (user, file) {
            (Restriction::Malformed, _) | (_, Restriction::Malformed) => Watcher::Nobody,
            (Restriction::Absent, Restriction::Absent) => Watcher::Gocd,
            (user, file) => Watcher::Own {
                user: user.value(),
                password_file: file.value(),
            },
        }
    }

    /// Reads where an access token of GoCD is (`bc.gocd.token.file`).
    pub(super) fn gocd_token_file(&mut self, working_dir: &Path) -> Option<PathBuf> {
        let wanted = "the path of a file with an access token of GoCD in its first line";
        let file = self.restriction(Property::GocdTokenFile, wanted, "GoCD is asked for nothing", |text| {
            (!text.contains('\0')).then(|| working_dir.join(text))
        });
        file.value()
    }

    /// Reads which host of GoCD's database is this node's (`bc.db.local.host`).
    pub(super) fn database_local_host(&mut self) -> LocalHost {
        let wanted = "one of the hosts in db.url, with or without its port";
        let host = self.restriction(
            Property::DbLocalHost,
            wanted,
            "none of them counts as this node's own",
            |text| {
                let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
                text.chars().all(is_host).then(|| text.to_owned())
            },
        );
        match host {
            Restriction::Absent => LocalHost::ByAddress,
            Restriction::To(host) => LocalHost::Named(host),
            Restriction::Malformed => LocalHost::Nobody,
        }
    }

    /// Reads who promotes the database (`bc.db.promote`); none where that is not understood.
    pub(super) fn db_promote(&mut self) -> Option<Way> {
        let wanted = "auto, trigger:FILE, command:COMMAND, wait or none";
        let until = "a promotion with the database is refused";
        self.restriction(Property::DbPromote, wanted, until, Way::parse)
            .or(Way::Auto)
    }

    /// Reads how much of the database a promotion may lose (`bc.promote.max.lag`).
    pub(super) fn max_lag(&mut self) -> MaxLag {
        let wanted = "bytes and seconds, such as 16 MiB, 60 s";
        let until = "a promotion that loses anything asks for --accept-loss";
        let read = self.restriction(Property::PromoteMaxLag, wanted, until, MaxLag::parse);
        read.or(MaxLag::default()).unwrap_or(MaxLag::NOTHING)
    }

    /// Reads the list of further files to sync (`bc.sync.extra`). Where the list is wrong it is not known which ones:
    /// none is synced, and none is taken for removed.
    pub(super) fn sync_extra(&mut self, layout: &Layout) -> Restriction<Vec<ExtraName>> {
        // An empty list is one: there is nothing that it could have been meant to keep away.
        if self.properties.get(Property::SyncExtra.name()).is_some() && self.text(Property::SyncExtra).is_none() {
            return Restriction::To(Vec::new());
        }
        let list = |text: &str| {
            let names = ExtraName::list(text)?;
            match names.iter().find_map(|name| layout.objection_to_extra(name)) {
                Some(_) => Err("one of the names is not allowed"),
                None => Ok(names),
            }
        };
        let why = self.text(Property::SyncExtra).and_then(|text| list(text).err());
        let wanted = format!(
            "a list of files in the configuration folder, or in folders there, such as password.properties,ldap/ca.pem; \
             database, token and peers are never synced, and what GoCD itself needs always is{}",
            why.map(|why| format!(" ({why})")).unwrap_or_default()
        );
        self.restriction(
            Property::SyncExtra,
            &wanted,
            "no further file is synced, and none is removed on a standby",
            |text| list(text).ok(),
        )
    }

    /// Reads whose word on encryption counts (`bc.trusted.proxies`). One that is wrong makes all of them doubtful.
    pub(super) fn trusted_proxies(&mut self) -> Vec<IpAddr> {
        let wanted = "IP addresses separated by commas, so no proxy but one on this host is trusted";
        let parse = |text: &str| {
            text.split(',')
                .map(|address| {
                    address
                        .trim()
                        .parse()
                        .ok()
                        .map(|address: IpAddr| address.to_canonical())
                })
                .collect::<Option<Vec<IpAddr>>>()
        };
        self.parsed(Property::TrustedProxies, wanted, parse).unwrap_or_default()
    }

    /// Reads whether a node waits for its peers without end (`bc.guard`).
    pub(super) fn guard_is_strict(&mut self) -> bool {
        let wanted = "`strict`; without bc.guard a server starts where its peers cannot be reached";
        let until = "this server waits for all its peers, as with `strict`";
        self.restriction(Property::Guard, wanted, until, |text| (text == "strict").then_some(()))
            .is_set()
    }

    /// Reads where the other nodes are (`bc.peers`).
    pub(super) fn peers(&mut self) -> Restriction<Vec<PrimaryUrl>> {
        let wanted = "a list of addresses such as https://standbygo:8155, separated by commas";
        let until = "a server that is to be the primary stays held";
        self.restriction(Property::Peers, wanted, until, |text| {
            text.split(',').map(|url| url.trim().parse().ok()).collect()
        })
    }

    /// Reads what a running primary does once another node has a higher epoch (`bc.fence`).
    pub(super) fn fence(&mut self) -> Fence {
        let wanted = "`exit` or `warn`";
        let until = "GoCD ends once another node has a higher epoch, as with `exit`";
        let given = self.restriction(Property::Fence, wanted, until, |text| match text {
            "exit" => Some(Fence::Exit),
            "warn" => Some(Fence::Warn),
            _ => None,
        });
        given.value().unwrap_or(Fence::Exit)
    }

    /// Reads the group whose members may give orders (`bc.operator.group`).
    pub(super) fn operator_group(&mut self) -> Option<String> {
        let wanted = "the name of a group, so nobody but root may give orders";
        self.parsed(Property::OperatorGroup, wanted, |text| {
            let is_name = words::shown(text, usize::MAX) == text && !text.contains(char::is_whitespace);
            is_name.then(|| text.to_owned())
        })
    }

    /// Reads where the files of an administrator's certificate are (`bc.tls.certificate`, `bc.tls.private.key`); none
    /// where none is given, or one of the two alone.
    pub(super) fn certificate_files(&mut self, working_dir: &Path) -> Option<CertificateFiles> {
        const CERTIFICATE: Property = Property::TlsCertificate;
        const PRIVATE_KEY: Property = Property::TlsPrivateKey;
        match (self.text(CERTIFICATE), self.text(PRIVATE_KEY)) {
            (Some(certificate), Some(private_key)) => Some(CertificateFiles {
                certificate: working_dir.join(certificate),
                private_key: working_dir.join(private_key),
            }),
            (None, None) => None,
            (certificate, _) => {
                let (missing, given) = if certificate.is_none() {
                    (CERTIFICATE, PRIVATE_KEY)
                } else {
                    (PRIVATE_KEY, CERTIFICATE)
                };
                self.mistake(
                    missing,
                    format!(
                        "is missing beside {}; give both or none. Until then this node shows its self-signed \
                         certificate, which a standby that goes by bc.tls.ca refuses",
                        given.name()
                    ),
                );
                None
            }
        }
    }

    /// Reads the primary's address (`bc.primary.url`); none where it is missing or wrong. `is_checked` says whether a
    /// fingerprint or an authority is set, which needs a key to look at.
    pub(super) fn primary_url(&mut self, flag: Flag, is_checked: bool) -> Option<PrimaryUrl> {
        const NAME: Property = Property::PrimaryUrl;
        let Some(text) = self.text(NAME) else {
            if flag != Flag::None {
                self.mistake(
                    NAME,
                    "is missing on this standby; add -Dbc.primary.url=https://primarygo:8155 with your primary's name \
                     beside -Dgo.server.mode=standby"
                        .to_owned(),
                );
            }
            return None;
        };
        match text.parse::<PrimaryUrl>() {
            Ok(url) if !url.is_secure() && is_checked => {
                self.mistake(
                    NAME,
                    "is not encrypted, so that bc.primary.fingerprint or bc.tls.ca could not be checked and nothing \
                     is pulled; write https:// there, or remove these two"
                        .to_owned(),
                );
                None
            }
            Ok(url) => Some(url),
            Err(reason) => {
                self.mistake(
                    NAME,
                    no_address(&reason, "that of the primary, such as https://primarygo:8155"),
                );
                None
            }
        }
    }

    /// Reads where people reach GoCD (`bc.site.url`).
    pub(super) fn site_url(&mut self) -> Restriction<SiteUrl> {
        let wanted = "the address at which people reach GoCD, such as https://ci.example.com";
        let until = "no standby is promoted with its database";
        self.restriction(Property::SiteUrl, wanted, until, |text| text.parse().ok())
    }

    /// Reads the address at which others reach this node (`bc.external.url`).
    pub(super) fn external_url(&mut self) -> Option<String> {
        match self.text(Property::ExternalUrl)?.parse::<PrimaryUrl>() {
            Ok(url) => Some(url.base()),
            Err(reason) => {
                self.mistake(
                    Property::ExternalUrl,
                    no_address(&reason, "one such as https://standby.example.com:8155"),
                );
                None
            }
        }
    }

    /// Notes names that are no setting of ours: without a word about a misspelt one, its setting would be missing
    /// unseen.
    fn look_for_unknown_names(&mut self) {
        let properties = self.properties;
        let unknown = properties
            .keys()
            .filter(|name| Property::ALL.iter().all(|known| known.name() != *name));
        let mut named = 0;
        for name in unknown {
            let is_of_ours = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("bc."));
            let meant = Property::meant_by(name);
            if name.starts_with(ENVIRONMENT) || !is_of_ours && meant.is_none() {
                continue;
            }
            self.misspelt.extend(meant);
            named += 1;
            if named > MOST_UNKNOWN {
                continue;
            }
            let shown = words::shown(name, LONGEST_NAME);
            match meant {
                Some(meant) => self.mistakes.push(Mistake {
                    property: shown,
                    message: format!("is no setting; {} may be meant. Correct its name", meant.name()),
                }),
                None => self.notices.push(format!(
                    "{shown} is no setting of this version and is not read; remove it"
                )),
            }
        }
    }
}

/// What is wrong with an address in a setting, and what to write: the same one where that can be told, else
/// `otherwise`.
fn no_address(reason: &UrlMistake, otherwise: &str) -> String {
    match reason {
        UrlMistake::International(address) => format!("the address there {reason}: write {address}"),
        _ => format!("the address there {reason}; write {otherwise}"),
    }
}

/// Parses the size that a setting gives: bytes, or a number with KiB, MiB or GiB.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Parses an address to listen on, with or without a port.
fn listen_address(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT)))
}

/// Parses the setting of `go.jar`: the file of `jar:file:/usr/share/go-server/lib/go.jar!/com/…`, or the path as it is.
pub(super) fn launcher_jar(text: &str) -> Option<PathBuf> {
    if Path::new(text).is_absolute() {
        return Some(PathBuf::from(text));
    }
    let path = text.strip_prefix("jar:file:")?.split_once("!/")?.0;
    Some(PathBuf::from(percent::decoded(path)?))
}
