//! A wrong value of a setting never grants more than no value at all. One row for each setting; a setting without a
//! row does not compile.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::database::configured::{LocalHost, Watcher};

/// What is wrong for a setting, and what must hold then.
struct Row {
    /// Wrong values, besides those of [`wrong_everywhere`].
    wrong: &'static [&'static str],
    /// Whether a value of blanks is one mistake more: where an empty value is as wrong as another.
    is_restriction: bool,
    /// Whether the settings `wrong` grant no more than `absent` ones, which are those without this setting.
    is_no_wider: fn(wrong: &Settings, absent: &Settings) -> bool,
}

/// Where wrong counts as absent: the field is then the same.
macro_rules! as_absent {
    ($field:ident, $wrong:expr) => {
        Row {
            wrong: $wrong,
            is_restriction: false,
            is_no_wider: |wrong, absent| wrong.$field == absent.$field,
        }
    };
}

/// Where wrong restricts wholly.
fn restriction(wrong: &'static [&'static str], is_no_wider: fn(&Settings, &Settings) -> bool) -> Row {
    Row {
        wrong,
        is_restriction: true,
        is_no_wider,
    }
}

/// What Java and the node itself say: nobody else writes it, and any text is one.
const SAID_BY_ITSELF: &[&str] = &[];
const NO_INTERVAL: &[&str] = &[
    "0",
    "-1",
    "60s",
    "1m",
    "1.5",
    "1e3",
    "0x10",
    "18446744073709551616",
    "18446744073709551615",
];
const NO_ADDRESS: &[&str] = &[
    "everywhere",
    "primarygo:8155",
    "localhost:8155",
    "127.0.0.1:",
    "127.0.0.1:x",
    "127.0.0.1:99999",
    "127.0.0.1:8155,10.0.0.1:8155",
    "127.1:8155",
    ":8155",
    "8155",
    "*:8155",
    "http://127.0.0.1:8155",
    "[::1",
];
const NO_URL: &[&str] = &[
    "primarygo",
    "ftp://primarygo",
    "http://primarygo",
    "http://127.0.0.1.example.org",
    "http://127.0.0.1@evil.example",
    "https://user:geheim@primarygo",
    "https://primarygo:0",
    "https://",
    "https://127.1",
];

fn row(property: Property) -> Row {
    match property {
        // A mode that nobody knows holds, as `standby` does, whatever the record says: `role` decides by the flag.
        Property::Mode => Row {
            wrong: &["standy", "stand-by", "passive", "slave", "true", "standby,production"],
            is_restriction: false,
            is_no_wider: |wrong, _| wrong.flag == Flag::Property,
        },
        Property::PrimaryUrl => Row {
            wrong: NO_URL,
            is_restriction: false,
            is_no_wider: |wrong, _| wrong.primary_url.is_none(),
        },
        Property::PrimaryFingerprint => restriction(
            &[
                "abc",
                "00",
                "sha1:0000",
                "any",
                "*",
                "zz11223344556677889900112233445566778899001122334455667788990011",
            ],
            |wrong, _| wrong.primary_fingerprint == Restriction::Malformed,
        ),
        // What a file holds is judged at each handshake (`tls::client`).
        Property::TlsCa => restriction(&["ca.pem\0.txt"], |wrong, _| wrong.tls_ca == Restriction::Malformed),
        Property::TlsCertificate => as_absent!(tls_certificate, &["node.pem"]),
        Property::TlsPrivateKey => as_absent!(tls_certificate, &["node.key"]),
        Property::PrimaryCheckInterval => as_absent!(primary_check_interval, NO_INTERVAL),
        Property::FileCheckInterval => as_absent!(file_check_interval, NO_INTERVAL),
        Property::ConnectionTimeout => as_absent!(connection_timeout, NO_INTERVAL),
        Property::Listen => restriction(NO_ADDRESS, |wrong, _| wrong.listen.is_none()),
        Property::ListenPlain => Row {
            wrong: &[
                "0.0.0.0:8156",
                "10.0.0.1:8156",
                "[::]:8156",
                "[::ffff:10.0.0.1]:8156",
                "127.0.0.1.example.org:8156",
                "localhost:8156",
                "8156",
            ],
            is_restriction: false,
            is_no_wider: |wrong, _| wrong.listen_plain.is_none(),
        },
        Property::ExternalUrl => as_absent!(external_url, NO_URL),
        Property::SiteUrl => restriction(
            &[
                "ci.example.com",
                "ftp://ci.example.com",
                "https://",
                "https://user:secret@ci.example.com",
            ],
            |wrong, _| wrong.site_url == Restriction::Malformed,
        ),
        Property::TrustedProxies => Row {
            wrong: &[
                "10.0.0.0/8",
                "proxy",
                "*",
                "10.0.0.1,",
                "10.0.0.1,proxy",
                "10.0.0.1 10.0.0.2",
                "127.1",
            ],
            is_restriction: false,
            is_no_wider: |wrong, _| wrong.trusted_proxies.is_empty(),
        },
        // Any text is a path; a blank one is no other folder than the default.
        Property::StateDir => as_absent!(layout, &[]),
        Property::SyncExtra => Row {
            wrong: &[
                "../password.properties",
                "/etc/passwd",
                "password.properties,db.properties",
                "password.properties;db.properties",
                "password.properties ldap/ca.pem",
                "ldap/../../passwd",
                "ldap/ca.pem,LDAP/ca.pem",
                "plugins/external/a.jar",
                "business-continuity-token",
                "cipher.aes",
            ],
            is_restriction: false,
            // And none that a standby has goes (`a_wrong_list_of_further_files_removes_none`).
            is_no_wider: |wrong, absent| {
                wrong.layout.config_names().eq(absent.layout.config_names())
                    && (wrong.layout.extra_is_unknown() || wrong.layout == absent.layout)
            },
        },
        Property::AdoptServerId => as_absent!(adopts_server_ids, &["true", "yes", "Always", "always,", "1"]),
        Property::AcceptWait => as_absent!(accept_wait, NO_INTERVAL),
        Property::RefusalCritical => as_absent!(refusal_critical, NO_INTERVAL),
        Property::StandbySilence => as_absent!(standby_silence, NO_INTERVAL),
        Property::GenerationsKeep => as_absent!(generations_keep, &["0", "-1", "ten", "1.5", "99999999999999999999"]),
        // Wrong throws nothing away.
        Property::GenerationsKeepAfterPromotion => Row {
            wrong: &[
                "-1",
                "7d",
                "1.5",
                "for ever",
                "18446744073709551615",
                "99999999999999999999",
            ],
            is_restriction: false,
            is_no_wider: |wrong, absent| {
                let keep = |settings: &Settings| settings.generations_keep_after_promotion;
                keep(wrong).is_none() || keep(wrong) == keep(absent)
            },
        },
        Property::FreeSpace => as_absent!(
            free_space,
            &["-1", "MiB", "1.5 GiB", "5 miles", "99999999999 GiB", "10 %"]
        ),
        Property::ReverifyInterval => as_absent!(reverify_interval, NO_INTERVAL),
        Property::RehashInterval => as_absent!(rehash_interval, NO_INTERVAL),
        Property::HeldHealth => as_absent!(held_health, &["404", "2000", "ok", "302", "-200", "200.0"]),
        Property::GuardWait => as_absent!(guard_wait, NO_INTERVAL),
        Property::Guard => restriction(&["Strict", "loose", "true", "strict,"], |wrong, _| {
            wrong.guard_is_strict
        }),
        Property::Peers => restriction(
            &[
                "standbygo",
                "http://standbygo",
                "https://standbygo,",
                "https://standbygo;https://third",
                "https://user:geheim@standbygo",
                ",",
            ],
            |wrong, _| wrong.peers == Restriction::Malformed,
        ),
        Property::Fence => restriction(&["Warn", "off", "no", "warn,"], |wrong, _| wrong.fence == Fence::Exit),
        // A group that this machine does not have is judged with the order (`control::rights`).
        Property::OperatorGroup => as_absent!(operator_group, &["go ops", "ops\nroot", "o\u{202e}ps", "ops,root x"]),
        Property::Operator => as_absent!(operator_is_owner, &["Owner", "true", "root", "owner,"]),
        Property::Launcher => as_absent!(
            launcher_jar,
            &["lib/go.jar", "jar:file:lib", "https://example.org/go.jar"]
        ),
        Property::DbWatch => as_absent!(watches_database, &["false", "no", "Off", "off,"]),
        Property::DbUser => restriction(&["go cd", "gocd\nroot", "go\u{202e}cd"], |wrong, _| {
            wrong.database.watcher == Watcher::Nobody
        }),
        // What a file holds is judged when it is read.
        Property::DbPasswordFile => {
            restriction(&["secret\0.txt"], |wrong, _| wrong.database.watcher == Watcher::Nobody)
        }
        Property::DbLocalHost => restriction(&["//db/cruise", "db,other", "db other", "gocd@db"], |wrong, _| {
            wrong.database.local_host == LocalHost::Nobody
        }),
        // Nobody is promoted in a way that nobody meant: it is refused.
        Property::DbPromote => restriction(
            &[
                "pg_promote",
                "Auto",
                "trigger:promote",
                "command:",
                "patronictl failover",
            ],
            |wrong, _| wrong.db_promote.is_none(),
        ),
        Property::PromoteMaxLag => restriction(
            &[
                "16",
                "60 s 16 MiB",
                "MiB, 60 s",
                "16 MiB, soon",
                "16 MiB, 60 s, 3",
                "-1, 60 s",
            ],
            |wrong, _| wrong.max_lag == MaxLag::NOTHING,
        ),
        // Any text is a command; an empty one is none.
        Property::PromoteHook => as_absent!(promote_hook, &[]),
        // Wrong is looked at, and warned of.
        Property::ArtifactsShared => as_absent!(artifacts_shared, &["true", "Yes", "shared", "yes,", "off"]),
        // What a file holds is judged when it is read.
        Property::GocdTokenFile => restriction(&["token\0.txt"], |wrong, _| wrong.gocd_token_file.is_none()),
        Property::LogLevel => as_absent!(log_level, &["LOUD", "6", "OFF"]),
        Property::GocdPort => restriction(&["x", "99999", "-1", "8153/tcp"], |wrong, _| {
            wrong.gocd_listen.is_none()
        }),
        Property::GocdHost => restriction(&["gohost", "127.1", "*", "127.0.0.1:8153"], |wrong, _| {
            wrong.gocd_listen.is_none()
        }),
        Property::GocdContext => as_absent!(gocd_context, &["go", "/go x", "/go\r\nHost: x", "//"]),
        Property::Face => as_absent!(face, SAID_BY_ITSELF),
        Property::Agent => as_absent!(agent_present, SAID_BY_ITSELF),
        // Whatever it says a flag was there, and holds unless a record beats it.
        Property::OverriddenFlag => as_absent!(flag, SAID_BY_ITSELF),
        Property::Guarded => as_absent!(is_guarded, SAID_BY_ITSELF),
    }
}

fn parse(property: Property, value: Option<&str>) -> (Settings, Vec<Mistake>) {
    let mut properties =
        Properties::from_iter([("go.server.mode", "standby"), ("bc.primary.url", "https://primarygo")]);
    if property == Property::Mode {
        // The record and the file decide it otherwise.
        properties.set(Property::Mode.name(), "production");
    }
    if let Some(value) = value {
        properties.set(property.name(), value);
    }
    Settings::parse(&properties, |_| false)
}

/// What nobody means: a variable that was not set.
const BLANK: [&str; 5] = ["", " ", "\u{a0}", "\"\"", "' \u{2003}\""];

#[test]
fn a_wrong_value_is_never_wider_than_none() {
    for property in Property::ALL.iter().copied() {
        let row = row(property);
        let absent = parse(property, None).0;
        for value in row.wrong {
            let (settings, mistakes) = parse(property, Some(value));
            let name = property.name();
            assert!((row.is_no_wider)(&settings, &absent), "{name}={value}: {settings:?}");
            let about = ["bc.tls.certificate", "bc.tls.private.key"];
            assert!(
                mistakes
                    .iter()
                    .any(|mistake| mistake.property == name
                        || about.contains(&name) && about.contains(&&*mistake.property)),
                "{name}={value} is not said: {mistakes:?}"
            );
        }
    }
}

#[test]
fn an_empty_value_restricts_where_a_wrong_one_does_and_is_absent_elsewhere() {
    for property in Property::ALL.iter().copied() {
        let row = row(property);
        let absent = parse(property, None).0;
        for value in BLANK {
            let (settings, mistakes) = parse(property, Some(value));
            let name = property.name();
            let is_said = mistakes.iter().any(|mistake| mistake.property == name);
            if property == Property::Mode {
                assert_eq!(settings.flag, Flag::None, "{value:?}");
            } else if property != Property::StateDir {
                assert!((row.is_no_wider)(&settings, &absent), "{name}={value:?}: {settings:?}");
            }
            assert_eq!(
                is_said,
                row.is_restriction || property == Property::PrimaryUrl,
                "{name}={value:?}"
            );
        }
    }
}

#[test]
fn no_mistake_shows_what_was_written() {
    const SECRET: &str = "geheim/../Kennwort!";
    for property in Property::ALL.iter().copied() {
        for value in [
            SECRET.to_owned(),
            format!("https://user:{SECRET}@primarygo"),
            format!("1 {SECRET}"),
        ] {
            let (settings, mistakes) = parse(property, Some(&value));
            let said = mistakes.iter().map(ToString::to_string).chain(settings.notices);
            for text in said {
                assert!(!text.contains("geheim") && !text.contains("Kennwort"), "{text}");
            }
            let shown = [settings.primary_url.map(|url| url.base()), settings.external_url];
            assert!(shown.iter().flatten().all(|url| !url.contains("geheim")), "{shown:?}");
        }
    }
}

#[test]
fn a_misspelt_name_restricts_as_the_right_one_would_and_is_named_with_it() {
    for (name, value, meant, is_closed) in [
        (
            "bc.primary.fingerprnt",
            "x",
            "bc.primary.fingerprint",
            (|settings| settings.primary_fingerprint == Restriction::Malformed) as fn(&Settings) -> bool,
        ),
        ("bc.TLS.ca", "system", "bc.tls.ca", |settings| {
            settings.tls_ca == Restriction::Malformed
        }),
        ("bc.listenn", "127.0.0.1:8155", "bc.listen", |settings| {
            settings.listen.is_none()
        }),
        ("go.server.mod", "standby", "go.server.mode", |settings| {
            settings.flag == Flag::Property
        }),
        ("bc.trusted.proxy", "10.0.0.1", "bc.trusted.proxies", |settings| {
            settings.trusted_proxies.is_empty()
        }),
    ] {
        let properties = Properties::from_iter([(name, value), ("bc.primary.url", "https://primarygo")]);
        let (settings, mistakes) = Settings::parse(&properties, |_| false);
        assert!(is_closed(&settings), "{name}: {settings:?}");
        let said = mistakes
            .iter()
            .any(|mistake| mistake.property == name && mistake.message.contains(meant));
        assert!(said || name == "bc.trusted.proxy", "{name}: {mistakes:?}");
    }
}

#[test]
fn a_name_of_a_later_version_is_a_notice_and_hostile_ones_are_bounded() {
    let properties = Properties::from_iter([
        ("bc.drill".to_owned(), "strict".to_owned()),
        (format!("bc.x\n{}", "y".repeat(500)), String::new()),
        ("bc.env.GOCD_SERVER_JVM_OPTS".to_owned(), String::new()),
        ("java.version".to_owned(), "21".to_owned()),
    ]);
    let (settings, mistakes) = Settings::parse(&properties, |_| false);
    assert_eq!(mistakes, []);
    assert_eq!(settings.notices.len(), 2, "{:?}", settings.notices);
    assert!(settings.notices[0].starts_with("bc.drill is no setting of this version"));
    assert!(settings.notices[1].len() < 200 && !settings.notices[1].contains('\n'));
}

#[test]
fn a_pin_or_an_authority_and_a_connection_in_the_clear_exclude_each_other() {
    let key = Fingerprint::of_public_key(b"key").to_string();
    let clear = ("bc.primary.url", "http://127.0.0.1:8156");
    assert!(
        Settings::parse(&Properties::from_iter([clear]), |_| false)
            .0
            .primary_url
            .is_some()
    );
    for other in [
        ("bc.primary.fingerprint", key.as_str()),
        ("bc.primary.fingerprint", "malformed"),
        ("bc.tls.ca", "system"),
        ("bc.tls.ca", ""),
    ] {
        let (settings, mistakes) = Settings::parse(&Properties::from_iter([clear, other]), |_| false);
        assert_eq!(settings.primary_url, None, "{other:?}");
        assert!(
            mistakes.iter().any(|mistake| mistake.property == "bc.primary.url"),
            "{mistakes:?}"
        );
    }
}

#[test]
fn the_tables_name_every_setting_with_one_default_and_nothing_else() {
    let module = defaults(include_str!("../settings.rs"), "//! ");
    let document = defaults(include_str!("../../../docs/settings.md"), "");
    let ours = Property::ALL.iter().filter(|property| property.is_of_ours());
    let names: BTreeSet<&str> = ours.map(|property| property.name()).collect();
    assert_eq!(module.keys().copied().collect::<BTreeSet<_>>(), names);
    assert_eq!(document, module);
}

/// The names in the first cells of a table, each with the second cell; its unit is in the third one in the document.
fn defaults<'a>(text: &'a str, before: &str) -> BTreeMap<&'a str, &'a str> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix(before)?.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split_once('|'));
    cells
        .flat_map(|(names, rest)| {
            let default = rest
                .split('|')
                .next()
                .unwrap_or_default()
                .trim()
                .trim_end_matches(" ms");
            names.split('`').skip(1).step_by(2).map(move |name| (name, default))
        })
        .collect()
}

/// What an administrator copies out of a document is a setting.
#[test]
fn every_setting_that_a_document_names_is_one() {
    for document in [
        include_str!("../../../../README.md"),
        include_str!("../../../../CHANGELOG.md"),
        include_str!("../../../SECURITY.md"),
        include_str!("../../../docs/doctor.md"),
        include_str!("../../../docs/json.md"),
        include_str!("../../../docs/keys.md"),
        include_str!("../../../docs/operate.md"),
        include_str!("../../../docs/settings.md"),
        include_str!("../../../docs/synced.md"),
    ] {
        let words = document.split(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
        let names = words.map(|word| word.trim_start_matches("-D").trim_end_matches('.'));
        for name in names.filter(|word| word.starts_with("bc.")) {
            assert!(
                Property::ALL.iter().any(|property| property.name() == name),
                "{name} is no setting"
            );
        }
    }
}
