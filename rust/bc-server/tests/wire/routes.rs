//! What a real node answers on a real TLS port: access, the old and the new protocol, hostile requests.

use std::{fs, time::Duration};

use bc_core::{
    basics::Digest,
    generation::{Envelope, ManifestDocument, Name, Reason, Role, Withheld, delta},
    standby::Transport,
    status::{GocdState, GocdStatus, Phase},
};
use bc_server::routes::{Access, Asked, ROUTES, VERIFIES_HEADER};
use tokio::time::{Instant, sleep, timeout};

use crate::common::{self, Kind, Node, PREFIX, jar};

const CONFIG: &[u8] = b"<cruise schemaVersion=\"139\"/>";

/// A path of the table with its captures filled in.
fn concrete(path: &str) -> String {
    let digest = Digest::of(CONFIG).to_string();
    format!(
        "{PREFIX}{}",
        path.replace("{sha256}", &digest).replace("{former}", &digest)
    )
}

fn offered_files<'a>() -> Vec<(Name, &'a [u8])> {
    vec![
        (Name::CruiseConfig, CONFIG),
        (Name::CipherAes, b"269298bc31c44620"),
        (Name::JettyXml, b"<Configure/>"),
        (jar("a-1.0+7.jar"), b"first plugin"),
        (jar("b c.jar"), b"second plugin"),
        (jar("d%20e.jar"), b"third plugin"),
    ]
}

#[tokio::test]
async fn every_route_but_the_probes_wants_the_token() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&offered_files());
    let wrong = "Authorization: Basic c3RhbmRieTp3cm9uZw==\r\n";
    for route in ROUTES {
        let path = concrete(route.path);
        for method in ["GET", "HEAD", "POST", "DELETE", "BREW"] {
            for credentials in ["", wrong] {
                if credentials == wrong && method != "GET" {
                    continue;
                }
                let answer = node
                    .raw(format!(
                        "{method} {path} HTTP/1.1\r\nHost: x\r\n{credentials}Connection: close\r\n\r\n"
                    ))
                    .await;
                match route.access {
                    Access::Token => {
                        assert_eq!(answer.status(), 401, "{method} {path} {credentials}");
                        let challenge = "Basic realm=\"GoCD Business Continuity\"";
                        assert_eq!(answer.header("www-authenticate").as_deref(), Some(challenge));
                        let body: &[u8] = if method == "HEAD" { b"" } else { b"bad credentials!" };
                        assert_eq!(answer.body(), body);
                    }
                    Access::Anybody if matches!(method, "GET" | "HEAD") => {
                        assert_eq!(answer.status(), 200, "{method} {path}");
                        assert!(answer.body().is_empty());
                    }
                    Access::Anybody => assert_eq!(answer.status(), 405, "{method} {path}"),
                }
                assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
                assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
            }
            // One right answer in between keeps the back-off of the wrong ones short.
            assert_eq!(node.get(&format!("{PREFIX}/api/health-check"), "").await.status(), 200);
        }
    }
}

#[tokio::test]
async fn with_the_token_only_the_one_method_is_answered() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&offered_files());
    for route in ROUTES.iter().filter(|route| route.access == Access::Token) {
        let other = if route.method == Asked::Get { "POST" } else { "GET" };
        for method in ["HEAD", other, "PUT", "DELETE", "OPTIONS"] {
            let request = format!(
                "{method} {} HTTP/1.1\r\nHost: x\r\n{}Connection: close\r\n\r\n",
                concrete(route.path),
                common::authorization()
            );
            assert_eq!(node.raw(request).await.status(), 405, "{method} {}", route.path);
        }
    }
}

#[tokio::test]
async fn the_root_leads_anybody_to_the_dashboard_and_a_person_from_there_to_the_form() {
    for kind in [Kind::Primary, Kind::Held] {
        let node = Node::start(kind).await;
        let ask = async |method: &str, path: &str, headers: &str| {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
            node.raw(request).await
        };
        let dashboard = format!("{PREFIX}/admin/dashboard");
        let browser = "Accept: text/html,*/*;q=0.8\r\n";
        for (method, headers) in [
            ("GET", ""),
            ("HEAD", ""),
            ("GET", browser),
            ("GET", &common::authorization()),
            ("GET", "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n"),
        ] {
            let answer = ask(method, "/", headers).await;
            assert_eq!(answer.status(), 303, "{method} {headers}");
            assert_eq!(
                answer.header("location").as_ref(),
                Some(&dashboard),
                "{method} {headers}"
            );
            assert_eq!(answer.header("set-cookie"), None);
            assert_eq!(answer.body(), b"");
        }
        let counted = node.context.status.picture().counters.rejections.total();
        assert_eq!(counted, 0, "nobody was turned away");
        assert_eq!(
            ask("GET", "/?next=//evil.example", "").await.header("location"),
            Some(dashboard.clone())
        );
        assert_eq!(ask("POST", "/", "Content-Length: 0\r\n").await.status(), 405);
        assert_eq!(
            ask("GET", "https://elsewhere.example/", "").await.status(),
            401,
            "no proxy"
        );
        let form = ask("GET", &dashboard, browser).await;
        assert_eq!(form.header("location"), Some(format!("{PREFIX}/admin/login")));
        assert_eq!(
            ask("HEAD", &dashboard, browser).await.header("location"),
            form.header("location")
        );
        assert_eq!(ask("GET", &dashboard, "").await.status(), 401);
        assert_eq!(ask("GET", &dashboard, &common::authorization()).await.status(), 200);
    }
}

#[tokio::test]
async fn unknown_paths_say_nothing_to_strangers() {
    let node = Node::start(Kind::Primary).await;
    for path in [
        "/go/",
        "/index.html",
        "//",
        PREFIX,
        &format!("{PREFIX}/api/v3/x"),
        &format!("{PREFIX}/metric"),
    ] {
        let stranger = node
            .raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
            .await;
        assert_eq!(stranger.status(), 401, "{path}");
        let known = node.get(path, "").await;
        if path == "/go/" {
            assert_eq!(known.status(), 303, "{path}");
            let dashboard = format!("{PREFIX}/admin/dashboard");
            assert_eq!(known.header("location").as_deref(), Some(dashboard.as_str()));
        } else {
            assert_eq!(known.status(), 404, "{path}");
        }
    }
}

#[tokio::test]
async fn a_token_that_changed_counts_at_once() {
    let node = Node::start(Kind::Primary).await;
    let path = format!("{PREFIX}/api/v2/node");
    assert_eq!(node.get(&path, "").await.status(), 200);
    node.token.send_replace(None);
    assert_eq!(node.get(&path, "").await.status(), 401);
    node.token.send_replace(Some(common::token()));
    assert_eq!(node.get(&path, "").await.status(), 200);
}

#[tokio::test]
async fn ready_means_that_gocd_runs_here_as_primary() {
    let node = Node::start(Kind::Primary).await;
    let path = format!("{PREFIX}/ready");
    assert_eq!(node.get(&path, "").await.status(), 200);
    for (state, code) in [
        (GocdState::Starting, 503),
        (GocdState::Healthy, 200),
        (GocdState::Silent, 503),
    ] {
        let gocd = GocdStatus {
            state,
            since_ms: 0,
            url: None,
            said: None,
            log: String::new(),
            maintenance: false,
        };
        node.context.status.update(|status| status.gocd = Some(gocd));
        assert_eq!(node.get(&path, "").await.status(), code, "{state:?}");
    }
    node.context.status.update(|status| {
        status.gocd = None;
        status.phase = Phase::Releasing;
    });
    assert_eq!(node.get(&path, "").await.status(), 503);
    let held = Node::start(Kind::Held).await;
    assert_eq!(held.get(&path, "").await.status(), 503);
    assert_eq!(held.get(&format!("{PREFIX}/live"), "").await.status(), 200);
}

#[tokio::test]
async fn a_held_node_says_who_it_is_and_gives_out_no_file() {
    let node = Node::start(Kind::Held).await;
    for route in ROUTES
        .iter()
        .filter(|route| route.access == Access::Token && route.method == Asked::Get)
    {
        let answer = node.get(&concrete(route.path), "").await;
        if route.path == "/api/v2/node" {
            let envelope: Envelope = serde_json::from_slice(answer.body()).expect("an envelope");
            assert_eq!(envelope.role, Role::Standby);
        } else if route.path == "/metrics" {
            assert_eq!(answer.status(), 200);
        } else if route.path == "/api/v2/named-files" {
            // Digests that say nothing without the token; every role has such files.
            assert_eq!(answer.status(), 200);
        } else {
            assert_eq!(answer.status(), 409, "{}", route.path);
        }
    }
}

#[tokio::test]
async fn before_the_first_reading_files_are_not_there_yet() {
    let node = Node::start(Kind::Primary).await;
    for path in ["/api/v2/manifest", "/api/config_files_status", "/api/cruise_config"] {
        let answer = node.get(&format!("{PREFIX}{path}"), "").await;
        assert_eq!(
            (answer.status(), answer.header("retry-after").as_deref()),
            (503, Some("1")),
            "{path}"
        );
    }
    assert_eq!(
        node.get(&format!("{PREFIX}/api/v2/node"), "").await.json()["role"],
        "primary"
    );
}

#[tokio::test]
async fn the_old_protocol_is_as_gocd_wrote_it() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&offered_files());
    let get = async |path: &str| node.get(&format!("{PREFIX}/api{path}"), "").await;
    assert_eq!(get("/health-check").await.body(), b"OK!");
    let wal = get("/latest_database_wal_location").await;
    assert_eq!(wal.status(), 200);
    assert!(wal.body().starts_with(b"Not Available, Reason, "));

    let status = get("/config_files_status").await;
    assert_eq!(status.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(
        status.json(),
        serde_json::json!({
            "configFilesUpdateInterval": 60000,
            "lastConfigFilesUpdateTime": 1_700_000_000_000_i64,
            "fileDetailsMap": {
                "CRUISE_CONFIG_XML": {"md5": "b2b12a7f1274791b175cd425428f917c"},
                "AES_CIPHER": {"md5": "af1b48cd59374e47ab6a03ff52a2b803"},
                "JETTY_XML": {"md5": "a7e706d3b7f3cf1fa53f004a20e07c9d"},
            }
        })
    );
    for (path, content_type, bytes) in [
        ("/cruise_config", "text/xml;charset=UTF-8", CONFIG),
        ("/jetty_config", "text/xml;charset=UTF-8", b"<Configure/>"),
        ("/cipher.aes", "text/plain;charset=UTF-8", b"269298bc31c44620"),
        (
            "/plugin?folderName=external&pluginName=a-1.0+7.jar",
            "application/octet-stream",
            b"first plugin",
        ),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.header("content-type").as_deref(), Some(content_type), "{path}");
        assert_eq!(answer.body(), bytes, "{path}");
    }
    for absent in ["/cipher", "/user_feature_toggle"] {
        assert_eq!(get(absent).await.status(), 404, "{absent}");
    }
    let plugins = get("/plugin_files_status").await.json();
    assert_eq!(plugins["bundled"], serde_json::json!([]));
    let names: Vec<_> = plugins["external"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|plugin| &plugin["name"])
        .collect();
    assert_eq!(names, ["a-1.0+7.jar"], "names that break the old client are left out");

    let mut older = offered_files();
    older.push((Name::CipherDes, b"4dbf"));
    older.push((Name::FeatureToggles, b"{}"));
    node.publish(&older);
    let keys = get("/config_files_status").await.json();
    let keys: Vec<_> = keys["fileDetailsMap"]
        .as_object()
        .expect("a map")
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        keys,
        [
            "AES_CIPHER",
            "CRUISE_CONFIG_XML",
            "DES_CIPHER",
            "JETTY_XML",
            "USER_FEATURE_TOGGLE"
        ]
    );
    assert_eq!(get("/cipher").await.body(), b"4dbf");
    assert_eq!(
        get("/user_feature_toggle").await.header("content-type").as_deref(),
        Some("text/json;charset=UTF-8")
    );
}

#[tokio::test]
async fn the_old_protocol_lists_no_plugins_while_one_of_them_is_withheld() {
    let node = Node::start(Kind::Primary).await;
    let get = async |path: &str| node.get(&format!("{PREFIX}/api{path}"), "").await.status();
    let withheld = |name: Name| Withheld {
        files: [(name, Reason::Denied)].into(),
        plugins: None,
    };
    let folder = Withheld {
        plugins: Some(Reason::Stale),
        ..Withheld::default()
    };
    // That standby removes what is not in the list.
    for (withheld, plugins) in [
        (withheld(jar("unseen.jar")), 503),
        (folder, 503),
        (withheld(Name::FeatureToggles), 200),
        (Withheld::default(), 200),
    ] {
        node.publish_withholding(&offered_files(), withheld);
        assert_eq!(get("/plugin_files_status").await, plugins);
        assert_eq!(get("/config_files_status").await, 200, "of these it removes none");
    }
}

#[tokio::test]
async fn no_name_from_the_wire_reaches_the_disk() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&offered_files());
    let secret = b"nobody may read this";
    fs::write(node.folder.path().join("secret.jar"), secret).expect("write");
    let absolute = node.folder.path().join("secret.jar").display().to_string();
    let long = "a".repeat(300) + ".jar";
    let very_long = "a".repeat(60_000);
    let names = [
        "secret.jar",
        "./secret.jar",
        "../secret.jar",
        "../../../../etc/passwd",
        "..%2f..%2fsecret.jar",
        "%2e%2e/secret.jar",
        "%252e%252e%252fsecret.jar",
        "..%5c..%5csecret.jar",
        "..\\secret.jar",
        "....//secret.jar",
        "..%c0%afsecret.jar",
        "..%e0%80%afsecret.jar",
        "%ff%fe.jar",
        "secret.jar%00",
        "a-1.0+7.jar%00.jar",
        "%00",
        "a%0d%0aX-Evil:%201.jar",
        "%e2%80%aerat.jar",
        "CON.jar",
        "NUL",
        "/dev/zero",
        "/etc/passwd",
        "file:///etc/passwd",
        "%",
        "",
        &absolute,
        &long,
        &very_long,
    ];
    for name in names {
        for path in [
            format!("{PREFIX}/api/plugin?folderName=external&pluginName={name}"),
            format!("{PREFIX}/api/plugin?folderName={name}&pluginName=a-1.0+7.jar"),
            format!("{PREFIX}/api/plugin?folderName=&pluginName={name}"),
            format!("{PREFIX}/api/v2/blobs/{name}"),
            format!("{PREFIX}/api/v2/blobs/{name}/from/{name}"),
            format!("{PREFIX}/api/{name}"),
            format!("/{name}"),
        ] {
            let answer = node.get(&path, "").await;
            let shown: String = path.chars().take(120).collect();
            // The root leads to the dashboard.
            let is_refused = (400..500).contains(&answer.status()) || path == "/";
            assert!(is_refused, "{} for {shown}", answer.status());
            let found = answer.0.windows(secret.len()).any(|window| window == secret);
            assert!(!found && answer.header("x-evil").is_none(), "{shown}");
        }
    }
    for query in [
        "folderName=bundled&pluginName=a-1.0+7.jar",
        "folderName=external&pluginName=a-1.0+7.jar&pluginName=../x.jar",
        "pluginName=a-1.0+7.jar",
        "",
    ] {
        let answer = node.get(&format!("{PREFIX}/api/plugin?{query}"), "").await;
        assert!((400..500).contains(&answer.status()), "{query}");
    }
    // Bytes that are no text at all.
    for bytes in [&b"\xff\xfe"[..], b"\xc0\xaf", b"a\0b"] {
        let head = format!("GET {PREFIX}/api/plugin?folderName=external&pluginName=");
        let mut request = head.into_bytes();
        request.extend_from_slice(bytes);
        request.extend_from_slice(b" HTTP/1.1\r\nHost: x\r\n");
        request.extend_from_slice(common::authorization().as_bytes());
        request.extend_from_slice(b"Connection: close\r\n\r\n");
        assert!((400..500).contains(&node.raw(request).await.status()), "{bytes:?}");
    }
}

#[tokio::test]
async fn request_heads_are_bounded() {
    let node = Node::start(Kind::Primary).await;
    let many = "X-Many: 1\r\n".repeat(100);
    let large = format!("X-Large: {}\r\n", "a".repeat(64 * 1024));
    for headers in [many, large] {
        assert_eq!(node.get(&format!("{PREFIX}/live"), &headers).await.status(), 431);
    }
}

#[tokio::test]
async fn blobs_come_whole_or_from_an_offset() {
    let node = Node::start(Kind::Primary).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    node.publish(&[
        (Name::CruiseConfig, CONFIG),
        (jar("large.jar"), &large),
        (jar("empty.jar"), b""),
    ]);
    for content in [CONFIG, &large] {
        let path = format!("{PREFIX}/api/v2/blobs/{}", Digest::of(content));
        let whole = node.get(&path, "").await;
        assert_eq!(whole.status(), 200);
        assert_eq!(whole.header("content-length"), Some(content.len().to_string()));
        assert_eq!(
            whole.header("content-type").as_deref(),
            Some("application/octet-stream")
        );
        assert!(whole.body() == content);
        for offset in [0, 1, content.len() - 1] {
            let rest = node.get(&path, &format!("Range: bytes={offset}-\r\n")).await;
            assert_eq!(rest.status(), 206);
            assert!(rest.body() == &content[offset..], "from {offset}");
            let range = format!("bytes {offset}-{}/{}", content.len() - 1, content.len());
            assert_eq!(rest.header("content-range"), Some(range));
        }
        let beyond = node.get(&path, &format!("Range: bytes={}-\r\n", content.len())).await;
        assert_eq!(beyond.status(), 416);
        assert_eq!(
            beyond.header("content-range"),
            Some(format!("bytes */{}", content.len()))
        );
        assert!(beyond.body().is_empty());
        let several = node.get(&path, "Range: bytes=0-1,3-4\r\n").await;
        assert_eq!(several.status(), 200, "a range that is not understood is ignored");
    }
    let empty = node
        .get(&format!("{PREFIX}/api/v2/blobs/{}", Digest::of(b"")), "")
        .await;
    assert_eq!((empty.status(), empty.body()), (200, &b""[..]));
    let unknown = node
        .get(&format!("{PREFIX}/api/v2/blobs/{}", Digest::of(b"unknown")), "")
        .await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn an_edited_configuration_comes_as_what_changed() {
    let node = Node::start(Kind::Primary).await;
    let former = b"<cruise>\n".repeat(3_000);
    let new = [&former[..13_500], b"<edited/>\n", &former[13_500..]].concat();
    for config in [&former, &new] {
        node.publish(&[(Name::CruiseConfig, config)]);
    }
    let (newest, before) = (Digest::of(&new), Digest::of(&former));
    let ask = |newest: Digest, before: Digest| {
        let path = format!("{PREFIX}/api/v2/blobs/{newest}/from/{before}");
        let node = &node;
        async move { node.get(&path, "").await }
    };
    let answer = ask(newest, before).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type").as_deref(), Some(delta::MEDIA_TYPE));
    assert!(answer.body().len() < 100);
    let pieces = delta::decode(&former, answer.body()).expect("a delta");
    assert_eq!(pieces.concat(), new);
    for (newest, before) in [(before, newest), (newest, newest), (newest, Digest::of(b"unknown"))] {
        assert_eq!(ask(newest, before).await.status(), 404);
    }
    let transport = node.transport();
    transport.manifest(None, Duration::ZERO).await.expect("an answer");
    let come = transport.delta(newest, before).await.expect("an answer");
    assert_eq!(come.as_deref(), Some(answer.body()));
    assert_eq!(transport.delta(before, newest).await, Ok(None));
}

#[tokio::test]
async fn nothing_is_compressed_whatever_the_client_would_take() {
    let node = Node::start(Kind::Primary).await;
    let config = b"<cruise>\n".repeat(3_000);
    node.publish(&[(Name::CruiseConfig, &config)]);
    let take = "Accept-Encoding: zstd, br, gzip, deflate, *\r\nTE: gzip, deflate\r\n";
    let blob = node
        .get(&format!("{PREFIX}/api/v2/blobs/{}", Digest::of(&config)), take)
        .await;
    assert!(blob.body() == config);
    let manifest = node.get(&format!("{PREFIX}/api/v2/manifest"), take).await;
    ManifestDocument::parse(manifest.body()).expect("as it is");
    for answer in [blob, manifest] {
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn a_file_that_changes_breaks_its_transfer_off() {
    let node = Node::start(Kind::Primary).await;
    let content = vec![1; 1_000_000];
    node.publish(&[(jar("a.jar"), &content)]);
    let path = format!("{PREFIX}/api/v2/blobs/{}", Digest::of(&content));
    fs::write(node.folder.path().join("a.jar"), vec![2; 1_000_000]).expect("write");
    let torn = node.get(&path, "").await;
    assert_eq!(torn.header("content-length").as_deref(), Some("1000000"));
    assert!(torn.body().len() < 1_000_000, "the transfer must not look complete");
    // Whoever checks what comes is spared a second check.
    let unchecked = node.get(&path, &format!("{VERIFIES_HEADER}: sha-256\r\n")).await;
    assert!(unchecked.body() == [2; 1_000_000]);
    let mut come = Vec::new();
    let mut sink = |bytes: &[u8]| {
        come.extend_from_slice(bytes);
        Ok(())
    };
    let transport = node.transport();
    transport.manifest(None, Duration::ZERO).await.expect("an answer");
    let sent = transport.blob(Digest::of(&content), 0, &mut sink).await;
    assert!(sent.is_ok() && come == [2; 1_000_000], "{sent:?}");
    fs::write(node.folder.path().join("a.jar"), b"shorter").expect("write");
    assert_eq!(node.get(&path, "").await.status(), 404);
}

#[tokio::test]
async fn a_long_poll_waits_for_the_next_generation() {
    let node = Node::start(Kind::Primary).await;
    let first = node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let path = format!("{PREFIX}/api/v2/manifest");
    let fresh = node.get(&path, "").await;
    assert_eq!(fresh.header("etag"), Some(format!("\"{first}\"")));
    assert_eq!(
        ManifestDocument::parse(fresh.body()).expect("a manifest").generation,
        first
    );

    let known = format!("If-None-Match: \"{first}\"\r\n");
    let same = node.get(&path, &known).await;
    assert_eq!(same.status(), 304);
    let envelope = same.header("gocd-bc-envelope").expect("the envelope");
    let envelope: Envelope = serde_json::from_str(&envelope).expect("JSON");
    assert_eq!((envelope.sequence, envelope.server_id.as_deref()), (1, Some("größer")));

    let asked = Instant::now();
    let wait = format!("{known}Prefer: wait=1\r\n");
    assert_eq!(node.get(&path, &wait).await.status(), 304);
    assert!(asked.elapsed() >= Duration::from_secs(1));

    let wait = format!("{known}Prefer: wait=30\r\n");
    let change = async {
        sleep(Duration::from_millis(200)).await;
        node.publish(&[(Name::CruiseConfig, CONFIG)]);
    };
    let asked = Instant::now();
    let (woken, ()) = tokio::join!(node.get(&path, &wait), change);
    assert!(asked.elapsed() < Duration::from_secs(10));
    let document = ManifestDocument::parse(woken.body()).expect("a manifest");
    assert_eq!((document.envelope.sequence, document.files.len()), (2, 1));
    assert_eq!(
        node.get(&path, &wait).await.status(),
        200,
        "an older generation is answered at once"
    );
}

#[tokio::test]
async fn closing_ends_long_polls_at_once_and_gives_the_port_back() {
    let node = Node::start(Kind::Primary).await;
    let known = node.publish(&[(Name::CruiseConfig, CONFIG)]);
    let silent = tokio::net::TcpStream::connect(node.address).await.expect("connect");
    let idle = node.connect().await;
    let path = format!("{PREFIX}/api/v2/manifest");
    let headers = format!("If-None-Match: \"{known}\"\r\nPrefer: wait=60\r\n");
    let poll = node.get(&path, &headers);
    let close = async {
        sleep(Duration::from_millis(300)).await;
        node.closing.cancel();
        Instant::now()
    };
    let (answer, closed) = tokio::join!(poll, close);
    assert_eq!(answer.status(), 304);
    assert!(closed.elapsed() < Duration::from_secs(1));
    timeout(Duration::from_secs(1), node.served)
        .await
        .expect("in time")
        .expect("no panic");
    bc_server::listener::bind(node.address, "bc.listen")
        .await
        .expect("the port is free again");
    drop((silent, idle));
}
