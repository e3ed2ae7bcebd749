//! All settings of a node, from the JVM's system properties.
//!
//! Names of the original product keep their meaning and unit (milliseconds). Everything is parsed at once:
//! a mistake never hides another one, and it never keeps a node from opening, since a standby must hold
//! and say what is wrong rather than let GoCD start. [`Settings::parse`] therefore gives settings and the list of
//! mistakes beside them.
//!
//! A mistake never opens anything. In its place stands the default where that is as strict as anything that could
//! have been meant; a setting that restricts ([`Restriction`]) restricts wholly instead. `never_wider` holds every
//! setting against that. Names that are none of these are mistakes too where one of these may be meant.
//!
//! | property | default | meaning |
//! |---|---|---|
//! | `go.server.mode` | | `standby` asks for a standby, and so does a word that GoCD does not know |
//! | `bc.primary.url` | | base URL of the primary; needed on a standby |
//! | `bc.primary.fingerprint` | | SHA-256 of the primary's public key, hex or base64; malformed: no key is trusted |
//! | `bc.tls.ca` | | a PEM file or `system`: check the primary's chain and name, or that its certificate is the very one there; unusable: no key is trusted |
//! | `bc.tls.certificate`, `bc.tls.private.key` | | PEM files of the certificate that this node shows, in place of its self-signed one |
//! | `bc.primary.status.check.interval` | 60000 ms | longest time without a completed exchange |
//! | `bc.file.status.check.interval` | 60000 ms | how often the primary reads its folders even if nothing hints at a change |
//! | `primary.server.connection.timeout` | 30000 ms | longest wait for the primary's next byte |
//! | `bc.listen` | `0.0.0.0:8155` | where our TLS port listens; port 0 takes a free one; malformed: nowhere |
//! | `bc.listen.plain` | | a plain listener for a reverse proxy, loopback only |
//! | `bc.external.url` | | how others reach our TLS port |
//! | `bc.site.url` | | where people reach GoCD; while it answers there no standby is promoted with its database; malformed: none is |
//! | `bc.trusted.proxies` | | addresses whose `X-Forwarded-Proto` counts, besides loopback |
//! | `bc.state.dir` | `db/business-continuity` | the state folder |
//! | `bc.sync.extra` | | further files of the configuration folder and of folders there, separated by commas; malformed: none, and a standby keeps those it has |
//! | `bc.adopt.server.id` | | `always`, for trials: follow the primary whatever `serverId` its configuration has; a WARNING |
//! | `bc.accept.wait` | 60000 ms | longest time until GoCD has accepted a configuration before it is a WARNING |
//! | `bc.refusal.critical` | 600000 ms | a refused generation is a WARNING, after this time CRITICAL |
//! | `bc.standby.silence` | 120000 ms | a standby that reports nothing for longer is a WARNING on the primary |
//! | `bc.generations.keep` | 10 | generations that a standby keeps |
//! | `bc.generations.keep.after.promotion` | 604800000 ms | how long a promoted server keeps them; 0: until `gocd-bc generations drop` |
//! | `bc.free.space` | 256 MiB | what a sync leaves free on every disk; bytes, or with KiB, MiB, GiB |
//! | `bc.reverify.interval` | 600000 ms | how long a standby says what it has undone; also how often it looks whether its live files were touched, every 25 s at least |
//! | `bc.rehash.interval` | 86400000 ms | within what time it reads them all again |
//! | `bc.held.health` | 503 | 200 for a chart that probes `/go/api/v1/health` of a held node |
//! | `bc.guard.wait` | 60000 ms | how long a standby whose flag is gone asks its primary, and a server that is to be the primary its peers |
//! | `bc.guard` | | `strict`: a server that is to be the primary waits for as long as a peer does not answer; malformed: the same |
//! | `bc.peers` | | the other nodes' addresses, separated by commas; malformed: a server that is to be the primary stays held |
//! | `bc.fence` | `exit` | what a running primary does once another node has a higher epoch: `exit` ends GoCD, `warn` says so alone; malformed: `exit` |
//! | `bc.operator.group` | | members may give orders on the local socket, besides root |
//! | `bc.operator` | | `owner`: the user of the node may give orders too |
//! | `bc.launcher` | found in a JVM | GoCD's `lib/go.jar`, which tells its version: a path, or the URL of a class in it |
//! | `bc.db.watch` | | `off`: nothing is asked of GoCD's database, and nothing said of it |
//! | `bc.db.user` | | who logs in to the database to watch it, in place of GoCD's own user; malformed: nobody |
//! | `bc.db.password.file` | | a file with that user's password in its first line; malformed: nobody logs in |
//! | `bc.db.local.host` | | which of several hosts in `db.url` is this node's, with or without its port; malformed: none is |
//! | `bc.db.promote` | `auto` | how `gocd-bc promote` promotes the database: `auto`, `trigger:FILE`, `command:COMMAND`, `wait` or `none`; malformed: not at all, and a promotion with the database is refused |
//! | `bc.promote.max.lag` | `16 MiB, 60 s` | how much of the database's log a promotion may lose without `--accept-loss`: bytes, and seconds; malformed: nothing |
//! | `bc.promote.hook` | | a command that is run once GoCD was released by a promotion, such as one that moves an address |
//! | `bc.gocd.token.file` | | a file with an access token of GoCD, with which agents are asked for after a promotion |
//! | `bc.artifacts.shared` | | `yes`: the folder of artifacts is a share of both servers; `no`: it is not, on purpose. Without it a node looks, and warns |
//! | `bc.log.level` | `INFO` | `DEBUG`, `INFO`, `WARN` or `ERROR` |
//!
//! The rest of the room:
//!
//! - `property`: the names of all settings;
//! - `reader`: how the value of each setting is read;
//! - `restriction`: settings that restrict;
//! - `max_lag`: how much a promotion may lose;
//! - `primary_url`: the address of a node as administrators write it.
//!
//! Stands on [`crate::basics`], [`crate::database`] and [`crate::generation`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Fingerprint, Properties, words},
    database::{configured, promotion::Way},
    generation::Layout,
};

mod max_lag;
#[cfg(test)]
mod never_wider;
pub mod primary_url;
mod property;
mod reader;
mod restriction;
mod site_url;
pub mod wrapper_conf;

pub use self::{
    max_lag::MaxLag, primary_url::PrimaryUrl, property::Property, restriction::Restriction, site_url::SiteUrl,
};

use self::reader::{Reader, bytes, launcher_jar};

/// As much of the version of a JVM is told, in characters.
const LONGEST_JAVA_VERSION: usize = 60;

/// Who started this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Face {
    /// The Java agent, before GoCD runs.
    Agent,
    /// The plugin, inside a running GoCD.
    Plugin,
    /// The companion command, without a JVM.
    Cli,
}

/// What asks for a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Nothing.
    None,
    /// `-Dgo.server.mode=standby`.
    Property,
    /// The file `start.in.standby` in the configuration folder.
    File,
}

impl Flag {
    /// The flag in one word, as records and Java have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Flag::None => "none",
            Flag::Property => "property",
            Flag::File => "file",
        }
    }
}

/// How people know a flag: completes "under".
impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flag::None => "no flag",
            Flag::Property => "-Dgo.server.mode=standby",
            Flag::File => "the file start.in.standby",
        })
    }
}

/// What a running primary does once another node has a higher epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// End GoCD, which then is held.
    Exit,
    /// Say so, and let it run.
    Warn,
}

/// The code with which a process ends that [`Fence::Exit`] ends: a temporary failure, by sysexits. Set-up has the wrapper
/// start it again.
pub const FENCED_CODE: i32 = 75;

/// One mistake in the settings: which property or file, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The property's name; one that is no setting is cleaned and bounded.
    pub property: String,
    /// What is wrong with it and what to write in its place. Never the value, which may be a secret; but of an address
    /// whose host has a name in another spelling, that name.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.message)
    }
}

/// How a certificate authority is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateAuthority {
    /// The operating system's own list.
    System,
    /// A PEM file.
    File(PathBuf),
}

/// The certificate that an administrator gives a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificates of the chain, the node's own first, in PEM form.
    pub certificate: PathBuf,
    /// The private key, in PEM form and not encrypted.
    pub private_key: PathBuf,
}

/// Everything a node is told when it opens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Who started this node.
    pub face: Face,
    /// Whether a standby is asked for.
    pub flag: Flag,
    /// Where GoCD keeps things.
    pub layout: Layout,
    /// Where it says what its database is.
    pub database: configured::Source,
    /// Whether the database is watched.
    pub watches_database: bool,
    /// Who promotes the database; none where that is not understood.
    pub db_promote: Option<Way>,
    /// How much of the database a promotion may lose.
    pub max_lag: MaxLag,
    /// What is run once this server is promoted.
    pub promote_hook: Option<String>,
    /// Our TLS port; none where `bc.listen` is malformed, which opens nothing.
    pub listen: Option<SocketAddr>,
    /// The plain port for a reverse proxy.
    pub listen_plain: Option<SocketAddr>,
    /// GoCD's own port, taken while held; none where GoCD's own settings for it are malformed.
    pub gocd_listen: Option<SocketAddr>,
    /// Where in that port GoCD's pages begin.
    pub gocd_context: String,
    /// The file with an access token of GoCD.
    pub gocd_token_file: Option<PathBuf>,
    /// Whether both servers have the same folder of artifacts, where somebody says so.
    pub artifacts_shared: Option<bool>,
    /// The primary that a standby follows.
    pub primary_url: Option<PrimaryUrl>,
    /// The primary's key as the administrator wrote it down.
    pub primary_fingerprint: Restriction<Fingerprint>,
    /// Whose signature on the primary's certificate is believed.
    pub tls_ca: Restriction<CertificateAuthority>,
    /// What this node shows in place of its self-signed certificate.
    pub tls_certificate: Option<CertificateFiles>,
    /// Longest time without a completed exchange before it is CRITICAL.
    pub primary_check_interval: Duration,
    /// How often the folders are read even if nothing hints at a change.
    pub file_check_interval: Duration,
    /// Longest wait for the primary's next byte.
    pub connection_timeout: Duration,
    /// How others reach our TLS port: scheme, host and port, without a slash at the end.
    pub external_url: Option<String>,
    /// Where people reach GoCD, whichever server it runs on.
    pub site_url: Restriction<SiteUrl>,
    /// Addresses besides loopback whose `X-Forwarded-Proto` counts.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether the primary's `serverId` may always be another one than ours.
    pub adopts_server_ids: bool,
    /// Longest time until GoCD has accepted a configuration before it is a WARNING.
    pub accept_wait: Duration,
    /// How long a refusal is a WARNING before it is CRITICAL.
    pub refusal_critical: Duration,
    /// How long a standby may report nothing before the primary warns.
    pub standby_silence: Duration,
    /// How many generations a standby keeps, the applied one included.
    pub generations_keep: usize,
    /// How long a promoted server keeps them; none keeps them until a person lets them go.
    pub generations_keep_after_promotion: Option<Duration>,
    /// Bytes that a sync leaves free on every disk it writes to.
    pub free_space: u64,
    /// How often a standby compares the metadata of its live files.
    pub reverify_interval: Duration,
    /// Within what time a standby reads all its live files again.
    pub rehash_interval: Duration,
    /// Answer of a held node on GoCD's health path.
    pub held_health: u16,
    /// Longest wait for a decision at start.
    pub guard_wait: Duration,
    /// Whether a node that is to be the primary waits for as long as a peer does not answer.
    pub guard_is_strict: bool,
    /// The other nodes.
    pub peers: Restriction<Vec<PrimaryUrl>>,
    /// What a running primary does once another node has a higher epoch.
    pub fence: Fence,
    /// Whether the peers were asked before GoCD was released.
    pub is_guarded: bool,
    /// Group whose members may give orders on the local socket.
    pub operator_group: Option<String>,
    /// Whether the user of the node itself may give orders.
    pub operator_is_owner: bool,
    /// Whether the Java agent runs in this JVM.
    pub agent_present: bool,
    /// Version of the JVM; none without one.
    pub java_version: Option<String>,
    /// GoCD's launcher jar, where one was found.
    pub launcher_jar: Option<PathBuf>,
    /// Least important level that is logged.
    pub log_level: tracing::Level,
    /// Things that are no mistakes but that an administrator should know, such as a variable no GoCD reads.
    pub notices: Vec<String>,
}

impl Settings {
    /// Parses all settings at once. `may_be_there` tells whether a file may exist (the standby flag may be one):
    /// [`crate::generation::layout::may_be_there`].
    pub fn parse(properties: &Properties, may_be_there: impl Fn(&Path) -> bool) -> (Self, Vec<Mistake>) {
        let mut reader = Reader::new(properties);
        let layout = Layout::from_properties(properties);
        let layout = match reader.sync_extra(&layout).or(Vec::new()) {
            Some(extra) => layout.with_extra(extra),
            None => layout.with_unknown_extra(),
        };
        let face = match reader.text(Property::Face) {
            Some("agent") => Face::Agent,
            Some("plugin") => Face::Plugin,
            _ => Face::Cli,
        };
        let flag = reader.flag(|| may_be_there(&layout.start_in_standby()));
        let primary_fingerprint = reader.primary_fingerprint();
        let tls_ca = reader.tls_ca(layout.working_dir());
        let is_checked = primary_fingerprint.is_set() || tls_ca.is_set();
        let database = configured::Source::new(layout.cruise_config_dir(), layout.cipher_aes(), properties);
        let settings = Self {
            database: configured::Source {
                watcher: reader.database_watcher(layout.working_dir()),
                local_host: reader.database_local_host(),
                ..database
            },
            watches_database: reader
                .parsed(Property::DbWatch, "`off`, or nothing", |text| {
                    (text == "off").then_some(false)
                })
                .unwrap_or(true),
            db_promote: reader.db_promote(),
            max_lag: reader.max_lag(),
            promote_hook: reader.text(Property::PromoteHook).map(str::to_owned),
            face,
            flag,
            listen: reader.listen(),
            listen_plain: reader.listen_plain(),
            gocd_listen: reader.gocd_listen(),
            gocd_context: reader.gocd_context(),
            gocd_token_file: reader.gocd_token_file(layout.working_dir()),
            artifacts_shared: reader.parsed(
                Property::ArtifactsShared,
                "`yes` or `no`; this server looks for itself",
                |text| match text {
                    "yes" => Some(true),
                    "no" => Some(false),
                    _ => None,
                },
            ),
            primary_url: reader.primary_url(flag, is_checked),
            primary_fingerprint,
            tls_ca,
            tls_certificate: reader.certificate_files(layout.working_dir()),
            primary_check_interval: reader.milliseconds(Property::PrimaryCheckInterval, 60_000),
            file_check_interval: reader.milliseconds(Property::FileCheckInterval, 60_000),
            connection_timeout: reader.milliseconds(Property::ConnectionTimeout, 30_000),
            external_url: reader.external_url(),
            site_url: reader.site_url(),
            trusted_proxies: reader.trusted_proxies(),
            adopts_server_ids: reader
                .parsed(Property::AdoptServerId, "`always`, or nothing", |text| {
                    (text == "always").then_some(true)
                })
                .unwrap_or(false),
            accept_wait: reader.milliseconds(Property::AcceptWait, 60_000),
            refusal_critical: reader.milliseconds(Property::RefusalCritical, 600_000),
            standby_silence: reader.milliseconds(Property::StandbySilence, 120_000),
            generations_keep: reader
                .parsed(Property::GenerationsKeep, "a whole number above 0; 10 counts", |text| {
                    text.parse().ok().filter(|count| *count > 0)
                })
                .unwrap_or(10),
            generations_keep_after_promotion: reader.milliseconds_or_never(
                Property::GenerationsKeepAfterPromotion,
                Duration::from_secs(7 * 24 * 3600),
            ),
            free_space: reader
                .parsed(
                    Property::FreeSpace,
                    "a size such as 256 MiB or 268435456; 256 MiB counts",
                    bytes,
                )
                .unwrap_or(256 << 20),
            reverify_interval: reader.milliseconds(Property::ReverifyInterval, 600_000),
            rehash_interval: reader.milliseconds(Property::RehashInterval, 86_400_000),
            held_health: reader
                .parsed(Property::HeldHealth, "200 or 503; 503 counts", |text| {
                    text.parse().ok().filter(|code| matches!(code, 200 | 503))
                })
                .unwrap_or(503),
            guard_wait: reader.milliseconds(Property::GuardWait, 60_000),
            guard_is_strict: reader.guard_is_strict(),
            peers: reader.peers(),
            fence: reader.fence(),
            is_guarded: reader.text(Property::Guarded).is_some(),
            operator_group: reader.operator_group(),
            operator_is_owner: reader
                .parsed(Property::Operator, "`owner`, or nothing", |text| {
                    (text == "owner").then_some(true)
                })
                .unwrap_or(false),
            agent_present: reader.text(Property::Agent).is_some(),
            java_version: properties
                .get("java.version")
                .map(|version| words::shown(version, LONGEST_JAVA_VERSION)),
            launcher_jar: reader.parsed(
                Property::Launcher,
                "the absolute path of GoCD's lib/go.jar",
                launcher_jar,
            ),
            log_level: reader
                .parsed(Property::LogLevel, "DEBUG, INFO, WARN or ERROR; INFO counts", |text| {
                    text.parse().ok()
                })
                .unwrap_or(tracing::Level::INFO),
            notices: notices(&reader),
            layout,
        };
        (settings, reader.mistakes)
    }

    /// Whether GoCD is ended here once another node has a higher epoch: not where nothing would hold its next start.
    pub fn ends_when_fenced(&self) -> bool {
        self.fence == Fence::Exit && (self.face != Face::Plugin || self.agent_present)
    }

    /// Where GoCD answers on this machine; none where its own settings do not say.
    pub fn gocd_at(&self) -> Option<SocketAddr> {
        self.gocd_listen.map(|listen| match listen.ip().is_unspecified() {
            true => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
            false => listen,
        })
    }

    /// Where GoCD says whether it is healthy; none where its own settings do not say.
    pub fn gocd_health_url(&self) -> Option<String> {
        let gocd = self.gocd_at()?;
        Some(format!("http://{gocd}{}/api/v1/health", self.gocd_context))
    }

    /// How long one long poll may wait: half the connection timeout, 25 s at most.
    pub fn long_poll_wait(&self) -> Duration {
        Duration::from_secs(25).min(self.connection_timeout / 2)
    }
}

/// Set when a held GoCD is released although a flag asks for a standby: `go.server.mode` no longer tells it then.
pub const OVERRIDDEN_FLAG: &str = Property::OverriddenFlag.name();

/// What an administrator should know of settings that are no mistakes.
fn notices(reader: &Reader<'_>) -> Vec<String> {
    let mut notices = reader.notices.clone();
    notices.extend(reader.stray_ends_of_gocds_own());
    if reader.has_variable("GOCD_SERVER_JVM_OPTIONS") {
        notices.push(
            "the environment variable GOCD_SERVER_JVM_OPTIONS is set, but no GoCD reads it, although the original set-up \
             page names it; put the options into GOCD_SERVER_JVM_OPTS"
                .to_owned(),
        );
    }
    if reader.text(Property::AdoptServerId) == Some("always") {
        notices.push(
            "bc.adopt.server.id=always is set: as a standby this server replaces its configuration by that of any other \
             GoCD server that bc.primary.url leads to. It is meant for trials; remove it, and run `gocd-bc sync \
             --adopt-server-id` once where it is needed"
                .to_owned(),
        );
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> (Settings, Vec<Mistake>) {
        Settings::parse(&Properties::from_iter(pairs.iter().copied()), |_| false)
    }

    #[test]
    fn the_lines_of_the_original_page_work_with_their_stray_quotes() {
        for url in ["\"https://primarygo\"", "\"https://primarygo", " https://primarygo/ "] {
            let (settings, mistakes) = parse(&[("go.server.mode", "standby"), ("bc.primary.url", url)]);
            assert!(mistakes.is_empty(), "{mistakes:?}");
            assert_eq!(settings.flag, Flag::Property);
            assert_eq!(settings.primary_url.expect("parsed").base(), "https://primarygo:8155");
        }
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let (_, mistakes) = parse(&[
            ("go.server.mode", "STANDBY"),
            ("bc.listen", "everywhere"),
            ("bc.file.status.check.interval", "1m"),
            ("bc.listen.plain", "0.0.0.0:80"),
            ("bc.held.health", "404"),
        ]);
        let named: Vec<_> = mistakes.iter().map(|mistake| mistake.property.as_str()).collect();
        assert_eq!(
            named,
            [
                "bc.listen",
                "bc.listen.plain",
                "bc.primary.url",
                "bc.file.status.check.interval",
                "bc.held.health"
            ]
        );
    }

    #[test]
    fn an_international_name_is_offered_as_it_must_be_written() {
        for name in ["bc.primary.url", "bc.external.url"] {
            let (_, mistakes) = parse(&[(name, "https://m\u{fc}ller.test:9000")]);
            assert_eq!(mistakes[0].property, name);
            assert!(
                mistakes[0].message.ends_with("write https://xn--mller-kva.test:9000"),
                "{mistakes:?}"
            );
        }
    }

    #[test]
    fn a_wrong_separator_is_named() {
        for list in ["password.properties;ldap/ca.pem", "password.properties ldap/ca.pem"] {
            let (settings, mistakes) = parse(&[("bc.sync.extra", list)]);
            assert!(settings.layout.extra_is_unknown());
            let said = mistakes[0].to_string();
            assert!(
                said.contains("commas separate the files, and neither `;` nor blanks do"),
                "{said}"
            );
            assert!(
                !said.contains("password.properties;") && !said.contains("password.properties ldap"),
                "{said}"
            );
        }
        let (settings, mistakes) = parse(&[("bc.sync.extra", "password.properties, ldap/ca.pem")]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert!(settings.layout.syncs(&"ldap/ca.pem".parse().expect("allowed")));
    }

    #[test]
    fn a_further_file_is_none_that_is_synced_anyway_or_that_a_server_has_for_itself() {
        let own = [
            ("user.dir", "/go"),
            ("cruise.config.file", "/go/cruise-config.xml"),
            ("cruise.config.dir", "/go/config"),
            ("bc.state.dir", "/go/State"),
        ];
        for file in [
            "config/cipher.aes",
            "Config/Cipher.AES",
            "state/identity",
            "db/h2/x",
            "jetty.xml",
        ] {
            let (settings, _) = parse(&[own.as_slice(), &[("bc.sync.extra", file)]].concat());
            assert!(settings.layout.extra_is_unknown(), "{file}");
        }
        let (settings, _) = parse(&[own.as_slice(), &[("bc.sync.extra", "config/x,statement/y")]].concat());
        assert!(!settings.layout.extra_is_unknown());
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let (settings, mistakes) = parse(&[("bc.tls.certificate", "tls/node.pem")]);
        assert_eq!(
            (settings.tls_certificate, mistakes[0].property.as_str()),
            (None, "bc.tls.private.key")
        );
        let pair = [
            ("bc.tls.certificate", "node.pem"),
            ("bc.tls.private.key", "/tls/node.key"),
        ];
        let files = parse(&pair).0.tls_certificate.expect("both are given");
        assert_eq!(files.private_key, PathBuf::from("/tls/node.key"));
    }

    #[test]
    fn the_seeds_file_is_a_flag() {
        let (settings, _) = Settings::parse(&Properties::default(), |path| path.ends_with("config/start.in.standby"));
        assert_eq!(settings.flag, Flag::File);
    }

    #[test]
    fn a_released_server_still_knows_which_flag_was_overridden() {
        let (settings, _) = parse(&[("go.server.mode", "production"), (OVERRIDDEN_FLAG, "property")]);
        assert_eq!(settings.flag, Flag::Property);
    }

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes() {
        for (text, size) in [("1024", 1 << 10), ("5 MiB", 5 << 20), ("2g", 2 << 30), ("0", 0)] {
            let (settings, mistakes) = parse(&[("bc.free.space", text)]);
            assert_eq!((settings.free_space, mistakes.len()), (size, 0), "{text}");
        }
        for text in ["MiB", "-1", "5 miles", "99999999999 GiB"] {
            let (settings, mistakes) = parse(&[("bc.free.space", text)]);
            assert_eq!((settings.free_space, mistakes.len()), (256 << 20, 1), "{text}");
        }
    }

    #[test]
    fn generations_are_kept_for_a_week_or_as_long_as_is_said_and_for_ever_where_that_is_not_understood() {
        let name = "bc.generations.keep.after.promotion";
        for (text, kept, wrong) in [
            (None, Some(604_800_000), 0),
            (Some("1000"), Some(1000), 0),
            (Some("0"), None, 0),
            (Some("7d"), None, 1),
            (Some("-1"), None, 1),
        ] {
            let pairs: Vec<_> = text.map(|text| (name, text)).into_iter().collect();
            let (settings, mistakes) = parse(&pairs);
            assert_eq!(
                (settings.generations_keep_after_promotion, mistakes.len()),
                (kept.map(Duration::from_millis), wrong),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_variable_that_no_gocd_reads_is_named() {
        let (settings, _) = parse(&[("bc.env.GOCD_SERVER_JVM_OPTIONS", "-Dgo.server.mode=standby")]);
        assert!(settings.notices[0].contains("GOCD_SERVER_JVM_OPTS"));
    }

    #[test]
    fn what_gocd_reads_otherwise_than_we_do_is_named() {
        let (settings, _) = parse(&[
            ("cruise.config.file", "\"/etc/go/cruise-config.xml\""),
            ("cruise.config.dir", "/etc/go"),
        ]);
        assert_eq!(settings.layout.cruise_config_dir(), Path::new("/etc/go"));
        assert!(settings.notices[0].starts_with("cruise.config.file begins or ends with"));
        assert_eq!(settings.notices.len(), 1);
    }

    #[test]
    fn taking_over_every_server_id_is_warned_of() {
        let (settings, mistakes) = parse(&[("bc.adopt.server.id", "always")]);
        assert!(settings.adopts_server_ids && mistakes.is_empty());
        assert!(settings.notices[0].starts_with("bc.adopt.server.id=always is set"));
    }

    #[test]
    #[cfg(unix)]
    fn the_launcher_jar_is_a_path_or_the_url_of_a_class_in_it() {
        for text in [
            "jar:file:/opt/go%20server/lib/go.jar!/com/thoughtworks/gocd/Boot.class",
            "/opt/go server/lib/go.jar",
        ] {
            let (settings, mistakes) = parse(&[("bc.launcher", text)]);
            assert_eq!(settings.launcher_jar, Some(PathBuf::from("/opt/go server/lib/go.jar")));
            assert_eq!(mistakes, []);
        }
        let (settings, mistakes) = parse(&[("bc.launcher", "lib/go.jar")]);
        assert_eq!((settings.launcher_jar, mistakes.len()), (None, 1));
    }
}
