//! The dashboard as browsers and scripts meet it.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bc_core::{
    basics::{Clock, Digest, Error, Fingerprint, Severity, SystemClock},
    generation::{Acceptance, Md5, Name, PluginIdentity},
    keys::{Standing, Token},
    node::both::BothNodes,
    status::{
        FileState, FileStatus, FileVersion, Generation, OwnJar, PrimaryStatus, StandbyStatus, Status, SyncError,
        SyncStatus, Topic,
    },
};
use serde_json::{Value, json};

use crate::common::{self, Answer, Kind, Node, PREFIX, jar};

const PAGES: [&str; 3] = ["/admin/dashboard", "/admin/dashboard/fragment", "/admin/dashboard.json"];
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
const RIGHT: &str = "user=standby&password=right-and-known-to-both";

async fn ask(node: &Node, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    node.raw(format!(
        "{method} {PREFIX}{path} HTTP/1.1\r\nHost: standbygo:8155\r\n{headers}Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    ))
    .await
}

async fn get(node: &Node, path: &str, headers: &str) -> Answer {
    ask(node, "GET", path, headers, "").await
}

async fn log_in(node: &Node, body: &str, headers: &str) -> Answer {
    let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
    ask(node, "POST", "/admin/login", &headers, body).await
}

/// The header line with which a browser gives back what this answer set.
fn cookie_line(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    format!("Cookie: {}\r\n", cookie.split(';').next().expect("a pair"))
}

#[tokio::test]
async fn strangers_get_a_form_or_a_refusal() {
    let node = Node::start(Kind::Held).await;
    for path in PAGES {
        let script = get(&node, path, "").await;
        assert_eq!(script.status(), 401, "{path}");
        assert_eq!(script.body(), b"bad credentials!", "{path}");
        assert_eq!(
            script.header("www-authenticate").as_deref(),
            Some("Basic realm=\"GoCD Business Continuity\""),
            "{path}"
        );
        let browser = get(&node, path, BROWSER).await;
        assert_eq!(browser.status(), 303, "{path}");
        assert_eq!(
            browser.header("location"),
            Some(format!("{PREFIX}/admin/login")),
            "{path}"
        );
        assert_eq!(get(&node, path, &common::authorization()).await.status(), 200, "{path}");
    }
}

/// At a challenge for Basic a browser opens a window of its own, in front of the page.
#[tokio::test]
async fn the_pages_own_script_is_not_asked_for_basic_credentials() {
    let node = Node::start(Kind::Held).await;
    let script = include_str!("../../templates/dashboard.js");
    assert!(script.contains("Accept: \"text/x-fragment\""), "{script}");
    let answer = get(&node, "/admin/dashboard/fragment", "Accept: text/x-fragment\r\n").await;
    assert_eq!(answer.status(), 401);
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(!challenge.to_lowercase().contains("basic"), "{challenge}");
}

#[tokio::test]
async fn a_person_logs_in_looks_and_logs_out() {
    let node = Node::start(Kind::Held).await;
    let form = get(&node, "/admin/login", BROWSER).await;
    assert_eq!(form.status(), 200);
    assert!(String::from_utf8_lossy(form.body()).contains("name=\"password\""));

    let wrong = log_in(&node, "user=standby&password=wrong", "").await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(wrong.header("set-cookie"), None);
    assert_eq!(wrong.header("www-authenticate"), None);
    assert!(String::from_utf8_lossy(wrong.body()).contains("User or password is wrong."));

    let right = log_in(&node, RIGHT, "Sec-Fetch-Site: same-origin\r\n").await;
    assert_eq!(right.status(), 303);
    assert_eq!(right.header("location"), Some(format!("{PREFIX}/admin/dashboard")));
    let attributes = right.header("set-cookie").expect("a cookie");
    for wanted in [
        "; HttpOnly",
        "; SameSite=Strict",
        "; Secure",
        &format!("; Path={PREFIX};"),
    ] {
        assert!(attributes.contains(wanted), "{attributes}");
    }
    let cookie = cookie_line(&right);
    for path in PAGES {
        assert_eq!(get(&node, path, &cookie).await.status(), 200, "{path}");
    }
    let page = get(&node, "/admin/dashboard", &cookie).await;
    assert!(String::from_utf8_lossy(page.body()).contains("/admin/logout"));
    let with_wrong = format!("{cookie}Authorization: Basic c3RhbmRieTp3cm9uZw==\r\n");
    assert_eq!(get(&node, PAGES[0], &with_wrong).await.status(), 401);
    assert_eq!(
        get(&node, "/api/v2/node", &cookie).await.status(),
        401,
        "a session is for the dashboard alone"
    );

    let foreign = format!("{cookie}Origin: https://evil.example\r\n");
    assert_eq!(ask(&node, "POST", "/admin/logout", &foreign, "").await.status(), 403);
    assert_eq!(get(&node, PAGES[0], &cookie).await.status(), 200);
    let out = ask(&node, "POST", "/admin/logout", &cookie, "").await;
    assert_eq!(out.status(), 303);
    assert!(out.header("set-cookie").expect("a cookie").contains("Max-Age=0"));
    assert_eq!(get(&node, PAGES[0], &cookie).await.status(), 401);
}

#[tokio::test]
async fn a_page_of_somebody_else_cannot_log_anybody_in() {
    let node = Node::start(Kind::Held).await;
    for header in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
    ] {
        let answer = log_in(&node, RIGHT, header).await;
        assert_eq!(answer.status(), 403, "{header}");
        assert_eq!(answer.header("set-cookie"), None, "{header}");
    }
    assert_eq!(
        log_in(&node, RIGHT, "Origin: https://standbygo:8155\r\n")
            .await
            .status(),
        303
    );
}

#[tokio::test]
async fn another_token_ends_all_sessions_and_a_bad_one_is_named() {
    let node = Node::start(Kind::Held).await;
    let cookie = cookie_line(&log_in(&node, RIGHT, "").await);
    let other = Token::parse(b"standby = another", std::path::Path::new("token")).expect("valid");
    node.token.send_replace(Some(other));
    assert_eq!(get(&node, PAGES[0], &cookie).await.status(), 401);

    node.context
        .status
        .raise(&Topic::Token, Severity::Critical, "the token file holds two users");
    node.token.send_replace(None);
    for (method, path) in [
        ("GET", PAGES[0]),
        ("GET", PAGES[1]),
        ("GET", PAGES[2]),
        ("GET", "/admin/login"),
        ("POST", "/admin/login"),
    ] {
        let headers = format!("{BROWSER}Content-Type: application/x-www-form-urlencoded\r\n");
        let answer = ask(&node, method, path, &headers, RIGHT).await;
        assert_eq!(answer.status(), 422, "{method} {path}");
        assert_eq!(answer.body(), b"the token file holds two users", "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_is_locked_down() {
    let node = Node::start(Kind::Held).await;
    let authorized = common::authorization();
    for (path, headers, status) in [
        (PAGES[0], authorized.as_str(), 200),
        (PAGES[1], &authorized, 200),
        (PAGES[2], &authorized, 200),
        (PAGES[0], "", 401),
        (PAGES[0], BROWSER, 303),
        ("/admin/login", "", 200),
        ("/admin/logout", "", 405),
        ("/admin/assets/dashboard.css", "", 200),
        ("/admin/assets/dashboard.js", "", 200),
        ("/admin/assets/none.js", "", 404),
        ("/admin/assets/..%2Fdashboard.html", "", 404),
    ] {
        let answer = get(&node, path, headers).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(
            answer.header("content-security-policy").as_deref(),
            Some(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                 form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            ),
            "{path}"
        );
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name).as_deref(), Some(value), "{path}");
        }
    }
    for (name, kind) in [("css", "text/css"), ("js", "text/javascript")] {
        let asset = get(&node, &format!("/admin/assets/dashboard.{name}"), "").await;
        assert_eq!(asset.header("content-type"), Some(format!("{kind}; charset=utf-8")));
    }
}

#[tokio::test]
async fn pages_need_nothing_from_elsewhere_and_hold_no_script_or_style_of_their_own() {
    let node = Node::start(Kind::Held).await;
    for (path, headers) in [(PAGES[0], common::authorization()), ("/admin/login", String::new())] {
        let answer = get(&node, path, &headers).await;
        let page = String::from_utf8_lossy(answer.body());
        for attribute in ["src=\"", "href=\"", "action=\""] {
            for rest in page.split(attribute).skip(1) {
                let target = rest.split('"').next().expect("quoted");
                assert!(
                    target.starts_with(&format!("{PREFIX}/admin/")) || target == "data:,",
                    "{target}"
                );
            }
        }
        for forbidden in ["<style", "style=\"", "<script>", " onclick", "javascript:"] {
            assert!(!page.contains(forbidden), "{path} holds {forbidden}");
        }
    }
}

#[tokio::test]
async fn hostile_texts_stay_texts() {
    const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;";
    let node = Node::start(Kind::Held).await;
    node.context.status.update(|status| {
        fill(status);
        status.user = Some(HOSTILE.to_owned());
        status.gocd_version = Some(HOSTILE.to_owned());
        status.own_jars = vec![OwnJar {
            name: HOSTILE.to_owned(),
            version: Some(HOSTILE.to_owned()),
        }];
        let file = Arc::make_mut(&mut status.files).last_mut().expect("a plugin");
        file.name = jar("a' onmouseover='alert(3)' &lt;b&gt;.jar");
        file.plugin = Some(PluginIdentity {
            id: HOSTILE.to_owned(),
            version: Some(HOSTILE.to_owned()),
        });
        let primary = status.primary.as_mut().expect("a primary");
        for text in [&mut primary.url, &mut primary.trust] {
            *text = HOSTILE.to_owned();
        }
        for text in [
            &mut primary.node_id,
            &mut primary.gocd_version,
            &mut primary.product_version,
        ] {
            *text = Some(HOSTILE.to_owned());
        }
        let errors = &mut status.sync.as_mut().expect("a standby").errors;
        errors[0].message = HOSTILE.to_owned();
    });
    node.context
        .status
        .raise(&Topic::Other("hostile".to_owned()), Severity::Critical, HOSTILE);
    for path in &PAGES[..2] {
        let answer = get(&node, path, &common::authorization()).await;
        let page = String::from_utf8_lossy(answer.body());
        for forbidden in ["<script>", "<img", " onmouseover='", "\"'>", "<b>"] {
            assert!(!page.contains(forbidden), "{path} holds {forbidden}: {page}");
        }
        assert!(page.matches("&#60;script&#62;alert(1)").count() >= 8, "{path}: {page}");
    }
    let json = get(&node, PAGES[2], &common::authorization()).await;
    assert_eq!(
        json.header("content-type").as_deref(),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(json.json()["userName"], HOSTILE);
}

#[tokio::test]
async fn the_json_has_the_fields_of_the_original_product() {
    let node = Node::held_beside(Arc::new(Filled)).await;
    node.context.status.update(fill);
    let answer = get(&node, PAGES[2], &common::authorization()).await;
    assert!(answer.body().starts_with(b"{\n  \""), "pretty printed");
    let mut document = answer.json();
    let status = document["status"].take();
    assert_eq!(status["node_id"], "0123456789abcdef0123456789abcdef");
    serde_json::from_value::<Status>(status).expect("the status as it is everywhere");
    assert_eq!(
        document,
        json!({
            "userName": "standby",
            "setupStatus": "success",
            "syncErrors": ["[Nov 23, 2026 01:02:03] Error while syncing files. Reason, the disk is full"],
            "primaryServerDetails": {
                "url": "https://primarygo:8155",
                "latestDatabaseWalLocation": "0/3000148",
                "configFilesUpdateInterval": 30_000,
                "lastConfigUpdateTime": "Nov 5, 2026 04:05:06",
                "CRUISE_CONFIG_XML": {"md5": md5("primary", "cruise-config.xml")},
                "AES_CIPHER": {"md5": md5("primary", "cipher.aes")},
                "JETTY_XML": {"md5": md5("primary", "jetty.xml")},
                "USER_FEATURE_TOGGLE": {"md5": md5("primary", "go.feature.toggles")},
                "pluginStatus": format!(
                    "a.jar={}, b.jar={}",
                    md5("primary", "plugins/external/a.jar"),
                    md5("primary", "plugins/external/b.jar")
                ),
                "error": "the disk is full",
            },
            "standbyServerDetails": {
                "primaryStatusCheckInterval": 60_000,
                "lastUpdateTime": "Nov 23, 2026 01:02:03",
                "latestReceivedDatabaseWalLocation": "Not Available",
                "CRUISE_CONFIG_XML": md5("standby", "cruise-config.xml"),
                "AES_CIPHER": md5("standby", "cipher.aes"),
                "JETTY_XML": md5("standby", "jetty.xml"),
                "USER_FEATURE_TOGGLE": md5("standby", "go.feature.toggles"),
                "pluginStatus": format!(
                    "a.jar={}, b.jar={}",
                    md5("standby", "plugins/external/a.jar"),
                    md5("standby", "plugins/external/b.jar")
                ),
            },
            "severity": "OK",
            "headline": "Standby: not in sync, GoCD is held",
            "status": Value::Null,
        })
    );
}

#[tokio::test]
async fn before_the_primary_has_answered_the_set_up_is_incomplete() {
    let node = Node::start(Kind::Held).await;
    node.context.status.update(|status| {
        fill(status);
        status.primary = Some(PrimaryStatus::new("https://primarygo:8155", "pinned", 0));
    });
    let json = get(&node, PAGES[2], &common::authorization()).await.json();
    assert_eq!(json["setupStatus"], "incomplete");
    assert_eq!(json.get("primaryServerDetails"), None);
    assert_eq!(json.get("standbyServerDetails"), None);
}

#[tokio::test]
async fn a_primary_shows_itself() {
    let node = Node::start(Kind::Primary).await;
    node.context.status.update(|status| {
        fill(status);
        (status.primary, status.sync) = (None, None);
        status.external_url = Some("https://go.example.com".to_owned());
        for file in Arc::make_mut(&mut status.files) {
            (file.standby, file.state) = (None, FileState::Offered);
        }
    });
    let json = get(&node, PAGES[2], &common::authorization()).await.json();
    assert_eq!(json["setupStatus"], "success");
    assert_eq!(json["primaryServerDetails"]["url"], "https://go.example.com");
    assert_eq!(json["primaryServerDetails"]["configFilesUpdateInterval"], 60_000);
    assert_eq!(json.get("standbyServerDetails"), None);
    let answer = get(&node, PAGES[0], &common::authorization()).await;
    let page = String::from_utf8_lossy(answer.body());
    assert!(page.contains("Primary: offers its files to the standby"), "{page}");
    assert!(page.contains("sample.of.a.plugin 1.2.3"), "{page}");
    assert!(!page.contains("data-side=\"standby\""), "{page}");
}

#[tokio::test]
async fn the_page_says_when_what_is_live_became_so() {
    let node = Node::start(Kind::Held).await;
    node.context.status.update(fill);
    let now = SystemClock.now_ms();
    for (applied_ms, text) in [
        (None, "Nothing has been applied yet."),
        (Some(now - 7_200_000), "Last change applied 2 h 0 min ago."),
        (
            Some(now + 7_200_000),
            "a time that this server&#39;s clock has yet to reach",
        ),
    ] {
        node.context.status.update(|status| {
            status.sync.as_mut().expect("a standby").applied_ms = applied_ms;
        });
        let answer = get(&node, PAGES[0], &common::authorization()).await;
        let page = String::from_utf8_lossy(answer.body());
        assert!(page.contains(text), "{text}: {page}");
    }
}

/// The targets of all links of a page.
fn links(page: &str) -> Vec<String> {
    let links = page.split("<a href=\"").skip(1);
    links
        .map(|rest| rest.split('"').next().expect("quoted").to_owned())
        .collect()
}

#[tokio::test]
async fn each_page_has_the_way_to_the_other_ones() {
    const TAIL: &str = "/go/add-on/business-continuity/admin/dashboard";
    let node = Node::start(Kind::Held).await;
    node.context.status.update(fill);
    for (answered_at, expected) in [
        (None, "https://primarygo:8155"),
        (Some("https://primarygo:443"), "https://primarygo:443"),
    ] {
        node.context.status.update(|status| {
            status.primary.as_mut().expect("a primary").address = answered_at.map(str::to_owned);
        });
        for path in &PAGES[..2] {
            let answer = get(&node, path, &common::authorization()).await;
            let page = String::from_utf8_lossy(answer.body());
            assert_eq!(links(&page), [format!("{expected}{TAIL}")], "{path}");
            assert!(
                page.contains("title=\"Dashboard of the primary\">https://primarygo:8155</a>"),
                "{page}"
            );
        }
    }

    let node = Node::start(Kind::Primary).await;
    let urls = [
        Some("https://standbygo:8155"),
        Some("https://[fd00::7]:9000"),
        None,
        // None of these comes from a report, but an older version may have written one down.
        Some("javascript:alert(1)"),
        Some("https://evil.example:1/x"),
        Some("https://a:1\" onmouseover=\"alert(1)"),
    ];
    node.context.status.update(|status| {
        status.standbys = urls
            .map(|url| StandbyStatus {
                node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
                fingerprint: None,
                standing: Standing::Trusted,
                url: url.map(str::to_owned),
                product_version: "1".to_owned(),
                gocd_version: None,
                generation: None,
                applied_ms: None,
                says_in_sync: Some(true),
                in_sync: true,
                behind_since_ms: None,
                reported_ms: 1,
                silent: false,
                error: None,
                problem: None,
                confirms: Vec::new(),
                doubled: false,
                run: None,
            })
            .into();
    });
    let answer = get(&node, PAGES[0], &common::authorization()).await;
    let page = String::from_utf8_lossy(answer.body());
    assert_eq!(
        links(&page),
        [
            format!("https://standbygo:8155{TAIL}"),
            format!("https://[fd00::7]:9000{TAIL}")
        ]
    );
    assert!(
        !page.contains(" onmouseover=\"") && page.contains("node 01234567"),
        "{page}"
    );
}

const ONCE: i64 = 1_795_395_723_000; // Nov 23, 2026 01:02:03 UTC

/// The files of both nodes, each of which differs.
fn files() -> [FileStatus; 6] {
    [
        Name::CruiseConfig,
        Name::CipherAes,
        Name::JettyXml,
        Name::FeatureToggles,
        jar("a.jar"),
        jar("b.jar"),
    ]
    .map(|name| FileStatus {
        plugin: matches!(name, Name::Plugin(_)).then(|| PluginIdentity {
            id: "sample.of.a.plugin".to_owned(),
            version: Some("1.2.3".to_owned()),
        }),
        primary: Some(version("primary", &name)),
        standby: Some(version("standby", &name)),
        state: FileState::Differs,
        name,
    })
}

/// A standby of which everything is known.
fn fill(status: &mut Status) {
    status.user = Some("standby".to_owned());
    status.files = files().into();
    status.primary = Some(PrimaryStatus {
        trusted: true,
        seen_fingerprint: Some(Fingerprint::of_public_key(b"the primary's")),
        last_exchange_ms: Some(ONCE),
        // Nov 5, 2026 04:05:06 UTC
        scanned_ms: Some(1_793_851_506_000),
        file_check_interval_ms: Some(30_000),
        wal_location: Some("0/3000148".to_owned()),
        database: None,
        generation: Some(Generation {
            id: Digest::of(b"generation"),
            sequence: 7,
            generated_ms: ONCE,
            acceptance: Acceptance::Unknown,
            total_size: 10,
        }),
        ..PrimaryStatus::new("https://primarygo:8155", "pinned by bc.primary.fingerprint", ONCE)
    });
    status.sync = Some(SyncStatus {
        errors: vec![SyncError {
            at_ms: ONCE,
            message: "the disk is full".to_owned(),
        }],
        ..SyncStatus::default()
    });
}

/// The bytes of a file on one node.
fn bytes(side: &str, name: &str) -> Vec<u8> {
    format!("{side} {name}").into_bytes()
}

/// Their MD5.
fn md5(side: &str, name: &str) -> String {
    Md5::of(&bytes(side, name)).to_string()
}

fn version(side: &str, name: &Name) -> FileVersion {
    FileVersion {
        sha256: Digest::of(&bytes(side, &name.to_string())),
        size: 5,
        modified_ms: ONCE,
    }
}

/// Both nodes have what [`fill`] says.
struct Filled;

impl BothNodes for Filled {
    fn look(&self) -> Result<Vec<FileStatus>, Error> {
        Ok(files().to_vec())
    }

    fn open_live(&self, name: &Name) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(io::Cursor::new(bytes("standby", &name.to_string()))))
    }

    fn open_kept(&self, sha256: &Digest) -> io::Result<Box<dyn Read>> {
        let kept = files().map(|file| bytes("primary", &file.name.to_string()));
        let kept = kept.into_iter().find(|bytes| Digest::of(bytes) == *sha256);
        Ok(Box::new(io::Cursor::new(kept.ok_or(io::ErrorKind::NotFound)?)))
    }
}
