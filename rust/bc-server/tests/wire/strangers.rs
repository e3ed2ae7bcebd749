//! Who is met by mistake: proxies, portals and other servers where the primary should be, and those who come to our
//! ports with another protocol. Each is named as what it is, on the side that can see it.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    http::{StatusCode, header},
    routing::post,
};
use bc_core::{
    basics::{Digest, Error, Fingerprint, Kind as ErrorKind},
    generation::Name,
    keys::Token,
    standby::{ManifestReply, Transport},
    status::Rejection,
};
use bc_server::{
    client::HttpTransport,
    listener::Limits,
    tls::{
        self,
        node_key::{NodeKey, Shown},
    },
};
use bc_testkit::{free_port, gocd_dir::GocdDir, messages::assert_for_people};
use tokio::{io::AsyncWriteExt, net::TcpListener, sync::watch, time::sleep};

use crate::{
    client::{fake, identity},
    common::{self, Kind, Node, PREFIX, pinned, transport},
    reports::report,
    whole::Whole,
};

/// What a standby says of whoever answers at this address.
async fn said(address: SocketAddr, key: Fingerprint) -> Error {
    let token = watch::Sender::new(Some(common::token()));
    let transport = transport(address, pinned(key), &token);
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("no primary");
    assert_for_people(&error.to_string());
    assert!(!error.guidance().is_empty(), "{error}");
    assert!(error.message().contains(&format!("https://{address}")), "{error}");
    assert_eq!(transport.answering_address(), None);
    error
}

fn assert_says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn answers_of_proxies_portals_and_other_servers_are_called_what_they_are() {
    let (_folder, identity) = identity();
    macro_rules! answer {
        ($status:literal, $headers:literal) => {
            concat!(
                "HTTP/1.1 ",
                $status,
                "\r\n",
                $headers,
                "Content-Length: 15\r\nConnection: close\r\n\r\n<html> </html>\n"
            )
            .as_bytes()
        };
    }
    const UNREACHABLE: ErrorKind = ErrorKind::Unreachable;
    const PROTOCOL: ErrorKind = ErrorKind::Protocol;
    let cases: [(&'static [u8], ErrorKind, &[&str]); 21] = [
        (
            answer!(
                "413 Request Entity Too Large",
                "Server: nginx/1.24.0\r\nContent-Type: text/html\r\n"
            ),
            PROTOCOL,
            &["calls itself nginx/1.24.0", "status 413", "client_max_body_size"],
        ),
        (
            answer!("502 Bad Gateway", "Server: nginx\r\nContent-Type: text/html\r\n"),
            UNREACHABLE,
            &[
                "calls itself nginx",
                "no right answer from the primary behind it (status 502)",
                "proxy_pass https://",
            ],
        ),
        (
            answer!("504 Gateway Time-out", "Server: nginx\r\nContent-Type: text/html\r\n"),
            UNREACHABLE,
            &["did not wait long enough", "status 504", "proxy_read_timeout 60s"],
        ),
        (
            answer!(
                "503 Service Unavailable",
                "Cache-Control: no-cache\r\nContent-Type: text/html\r\n"
            ),
            UNREACHABLE,
            &["something else answers", "no server behind it", "status 503", "/live"],
        ),
        (
            answer!(
                "503 Slow Down",
                "Server: envoy\r\nContent-Type: text/plain\r\nRetry-After: 7\r\n"
            ),
            UNREACHABLE,
            &["calls itself envoy", "status 503; again in 7 s"],
        ),
        (
            answer!("429 Too Many Requests", "Via: 1.1 gateway\r\nRetry-After: 30\r\n"),
            UNREACHABLE,
            &[
                "calls itself 1.1 gateway",
                "how often this server may ask (status 429; again in 30 s)",
            ],
        ),
        (
            answer!(
                "301 Moved Permanently",
                "Location: https://geheim:geheim@portal.example.com/login/geheim?next=geheim\r\n"
            ),
            PROTOCOL,
            &["a redirect (301), which is never followed: to https://portal.example.com, where somebody is to log in"],
        ),
        (
            answer!(
                "302 Found",
                "Location: https://elsewhere.example.com:8443/geheim;jsessionid=geheim\r\n"
            ),
            PROTOCOL,
            &[
                "a redirect (302), which is never followed: to https://elsewhere.example.com:8443",
                "own address",
            ],
        ),
        (
            answer!("511 Network Authentication Required", "Content-Type: text/html\r\n"),
            PROTOCOL,
            &["log in to the network first", "status 511"],
        ),
        (
            answer!("407 Proxy Authentication Required", "Server: squid\r\n"),
            PROTOCOL,
            &["calls itself squid", "a login of its own (status 407)"],
        ),
        (
            answer!("401 Unauthorized", "Server: nginx\r\nContent-Type: text/html\r\n"),
            PROTOCOL,
            &["a login of its own (status 401)"],
        ),
        (
            answer!(
                "401 Unauthorized",
                "Server: gateway\r\nContent-Type: application/json\r\n"
            ),
            PROTOCOL,
            &["calls itself gateway", "a login of its own (status 401)"],
        ),
        (
            answer!("401 Unauthorized", "Cache-Control: no-store\r\n"),
            PROTOCOL,
            &["something else answers", "a login of its own (status 401)"],
        ),
        (
            answer!("403 Forbidden", "Server: awselb/2.0\r\nContent-Type: text/html\r\n"),
            PROTOCOL,
            &["calls itself awselb/2.0", "forbids the request (status 403)"],
        ),
        (
            answer!("404 Not Found", "Server: Apache\r\nContent-Type: text/html\r\n"),
            PROTOCOL,
            &[
                "calls itself Apache",
                "no such path (status 404)",
                "8153 and 8154 are GoCD's own",
            ],
        ),
        (
            answer!("415 Unsupported Media Type", "Content-Type: application/grpc\r\n"),
            PROTOCOL,
            &["gRPC", "status 415"],
        ),
        (
            answer!("505 HTTP Version Not Supported", ""),
            PROTOCOL,
            &["does not take HTTP/1.1 there (status 505)"],
        ),
        (
            answer!("521 Web Server Is Down", "Server: cloudflare\r\n"),
            UNREACHABLE,
            &[
                "calls itself cloudflare",
                "cannot reach the primary behind it (status 521)",
            ],
        ),
        (
            answer!("200 OK", "Server: portal\r\nContent-Type: text/html; charset=utf-8\r\n"),
            PROTOCOL,
            &["calls itself portal", "with a web page", "browser"],
        ),
        (
            answer!("200 OK", "Content-Type: application/grpc+proto\r\n"),
            PROTOCOL,
            &["an answer of gRPC"],
        ),
        (
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\0\xff\xff",
            PROTOCOL,
            &["not HTTP"],
        ),
    ];
    for (answer, kind, words) in cases {
        let (address, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
        let error = said(address, identity.fingerprint()).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert_says(&error, words);
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}

#[tokio::test]
async fn a_whole_standby_shows_who_stands_in_the_primarys_place() {
    let (_folder, identity) = identity();
    let answer: &'static [u8] = b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Type: text/html\r\n\
        Content-Length: 0\r\nConnection: close\r\n\r\n";
    let (proxy, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
    let ssh = in_the_clear(b"SSH-2.0-OpenSSH_9.6\r\n", false).await;
    let key = identity.fingerprint();
    let looking = tokio::task::spawn_blocking(move || {
        for (address, trouble) in [(proxy, "behind it (status 502)"), (ssh, "does not speak TLS but SSH")] {
            let standby = Whole::standby(address, key, Duration::from_secs(2));
            standby.until_trouble(trouble);
            let status = standby.status().expect("it runs");
            for problem in status.problems {
                assert_for_people(&problem.message);
            }
        }
    });
    looking.await.expect("it is shown");
}

#[tokio::test]
async fn our_own_answer_is_ours_also_behind_a_proxy() {
    let (_folder, identity) = identity();
    let answer: &'static [u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: nginx\r\nContent-Type: text/plain; \
        charset=utf-8\r\nRetry-After: 1\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
        Content-Length: 0\r\nConnection: close\r\n\r\n";
    let (address, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
    assert_says(
        &said(address, identity.fingerprint()).await,
        &["has not read its files yet"],
    );
}

#[tokio::test]
async fn what_a_proxy_says_in_place_of_a_file_is_no_word_of_the_primary() {
    let (_folder, identity) = identity();
    let answers: [&'static [u8]; 2] = [
        b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Type: text/html\r\n\
            Content-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Type: text/plain\r\n\
            Content-Length: 0\r\nConnection: close\r\n\r\n",
    ];
    for answer in answers {
        let (address, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
        let token = watch::Sender::new(Some(common::token()));
        let transport = transport(address, pinned(identity.fingerprint()), &token);
        let (digest, former) = (Digest::of(b"a"), Digest::of(b"b"));
        let mut sink = |_: &[u8]| Ok(());
        let whole = transport.blob(digest, 0, &mut sink).await.expect_err("no file");
        let delta = transport.delta(digest, former).await.expect_err("no delta");
        for error in [whole, delta] {
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert_says(&error, &["calls itself nginx", "no such path (status 404)"]);
        }
    }
}

#[tokio::test]
async fn a_proxy_that_takes_no_report_is_called_that() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    for (status, words) in [
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            &["calls itself nginx", "status 413", "client_max_body_size"][..],
        ),
        (StatusCode::FORBIDDEN, &["calls itself nginx", "status 403"]),
        (StatusCode::NOT_FOUND, &["calls itself nginx", "status 404"]),
        (StatusCode::UNAUTHORIZED, &["calls itself nginx", "status 401"]),
    ] {
        let refuse = move || async move { (status, [(header::SERVER, "nginx")], "no") };
        let router = Router::new()
            .route(&format!("{PREFIX}/api/v2/reports"), post(refuse))
            .fallback_service(bc_server::routes::router(node.context.clone()));
        let config = tls::server::config(&node.identity).expect("config");
        let (address, _closing, _served) = common::serve(router, Some(config), Limits::default()).await;
        let transport = transport(address, pinned(node.identity.fingerprint()), &node.token);
        let reply = transport.manifest(None, Duration::ZERO).await.expect("an answer");
        let ManifestReply::Changed(document) = reply else {
            panic!("nothing was known")
        };
        let error = transport
            .report(&report('a'), &document.envelope.node_id)
            .await
            .expect_err("refused");
        assert_for_people(&error.to_string());
        assert_says(&error, words);
    }
}

/// A server that speaks in the clear: it says `first` at once, or, where it waits, once something has come.
async fn in_the_clear(first: &'static [u8], waits: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                if waits {
                    let _ = stream.peek(&mut [0; 1]).await;
                }
                let _ = stream.write_all(first).await;
                if !first.is_empty() {
                    // With bytes that nobody has read a connection is reset when it is closed.
                    sleep(Duration::from_millis(300)).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_port_that_is_not_for_tls_is_called_what_it_is() {
    let key = common::own_key();
    for (first, waits, kind, words) in [
        (
            &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
            false,
            ErrorKind::Protocol,
            &["does not speak TLS but SSH", "8155"][..],
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\nServer: Jetty\r\n\r\n",
            true,
            ErrorKind::Protocol,
            &[
                "does not speak TLS but plain HTTP",
                "8153 is GoCD's own port",
                "bc.listen.plain",
            ],
        ),
        (
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\0\xff\xff",
            false,
            ErrorKind::Protocol,
            &["does not speak TLS but HTTP/2 without TLS, as gRPC does"],
        ),
        (
            b"220 mail.example.com ESMTP Postfix\r\n",
            false,
            ErrorKind::Protocol,
            &["does not speak TLS but the protocol of a mail or FTP server"],
        ),
        (
            b"@RSYNCD: 31.0\n",
            false,
            ErrorKind::Protocol,
            &["does not speak TLS but something that begins with \"@RSYNCD: 31.0\""],
        ),
        (
            b"",
            true,
            ErrorKind::Unreachable,
            &["hangs up as soon as TLS begins", "PROXY header", "load balancer"],
        ),
    ] {
        let address = in_the_clear(first, waits).await;
        let error = said(address, key).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert_says(&error, words);
    }
    // Our own plain port, which is for a proxy.
    let node = Node::start(Kind::Primary).await;
    let router = bc_server::routes::router(node.context.clone());
    let (address, _closing, _served) = common::serve(router, None, Limits::default()).await;
    assert_says(&said(address, key).await, &["does not speak TLS but plain HTTP"]);
}

#[tokio::test]
async fn tls_without_http_1_is_called_that() {
    let (_folder, identity) = identity();
    let key = NodeKey::new(Shown::identity(&identity).expect("a pair"));
    let mut config = Arc::unwrap_or_clone(tls::server::config_of(key, &identity));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (address, received) = fake(Arc::new(config), b"").await;
    let token = watch::Sender::new(Some(common::token()));
    let transport = transport(address, pinned(identity.fingerprint()), &token);
    let error = transport
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("HTTP/2 alone");
    assert_for_people(&error.to_string());
    assert_says(
        &error,
        &["does not speak HTTP/1.1 but another protocol, such as HTTP/2 alone"],
    );
    assert_eq!(received.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn plain_http_to_a_tls_port_of_this_host_is_told_to_encrypt() {
    let node = Node::start(Kind::Primary).await;
    let url = format!("http://{}", node.address).parse().expect("URL");
    let transport = HttpTransport::new(
        &url,
        common::own_key(),
        pinned(common::own_key()),
        node.token.subscribe(),
        Duration::from_secs(30),
    )
    .expect("client");
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("a TLS port");
    assert_for_people(&error.to_string());
    assert_says(&error, &["refuses plain HTTP", "a port for HTTPS", "Write https://"]);
}

/// Sends these bytes from an address of its own, so that each is the first of a burst; all that comes back.
fn sent(to: SocketAddr, from: u8, bytes: &[u8]) -> String {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd;

    let IpAddr::V4(ip) = to.ip() else { panic!("IPv4") };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("socket");
    let own = Ipv4Addr::new(127, 0, 1, from);
    bind(
        socket.as_raw_fd(),
        &SockaddrIn::from(std::net::SocketAddrV4::new(own, 0)),
    )
    .expect("bind");
    let peer = SockaddrIn::from(std::net::SocketAddrV4::new(ip, to.port()));
    connect(socket.as_raw_fd(), &peer).expect("connect");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    stream.write_all(bytes).expect("send");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn who_comes_to_our_ports_with_another_protocol_is_named_and_counted() {
    let plain = format!("127.0.0.1:{}", free_port());
    let (user, password) = bc_testkit::gocd_dir::TOKEN;
    let token = Token::parse(format!("{user} = {password}").as_bytes(), Path::new("token")).expect("valid");
    let primary = Whole::open(GocdDir::new(), &[("bc.listen.plain", &plain)]);
    let tls = primary.address();
    primary.until("it listens", |status| status.listening.is_some());
    primary.until_logged(&format!("port {plain} (bc.listen.plain) is open"));
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\0\x01\0\x02";
    let mut from = 0;
    let mut named = |to: SocketAddr, bytes: &[u8], words: &[&str]| {
        from += 1;
        let answer = sent(to, from, bytes);
        let line = primary.until_logged(&format!("turned away 127.0.1.{from}: "));
        assert_for_people(&line);
        for word in words {
            assert!(line.contains(word), "`{word}` is not in: {line}");
        }
        answer
    };
    named(
        tls,
        b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 8155\r\n\x16\x03\x01",
        &["no TLS: a PROXY protocol header (version 1)", "HAProxy: send-proxy"],
    );
    named(
        tls,
        v2,
        &["no TLS: a PROXY protocol header (version 2)", "nginx: proxy_protocol"],
    );
    named(tls, b"SSH-2.0-OpenSSH_9.6\r\n", &["no TLS: SSH"]);
    named(
        tls,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &["no TLS: HTTP/2 without TLS"],
    );
    named(
        tls,
        b"\x80\x2e\x01\x00\x02\0\0\0\0\0\0\0\0\0\0\0",
        &["no TLS: SSL 2 or 3"],
    );
    named(
        tls,
        b"\x01\x02\x03",
        &["no TLS: something that is neither TLS nor HTTP"],
    );
    named(tls, hello, &["no TLS: "]);
    let answer = named(
        tls,
        b"GET /go/ HTTP/1.1\r\nHost: PrimaryGo:8155\r\n\r\n",
        &["no TLS: plain HTTP", "begin with https://"],
    );
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\nthis port speaks HTTPS: https://primarygo:8155/\n"),
        "{answer}"
    );
    let answer = named(
        tls,
        b"GET / HTTP/1.1\r\nHost: <script>\r\nAuthorization: Basic Z2VoZWltOmdlaGVpbQ==\r\n\r\n",
        &["plain HTTP with credentials that are not ours: that address must begin with https://"],
    );
    assert!(answer.ends_with("\r\n\r\nthis port speaks HTTPS\n"), "{answer}");
    named(
        tls,
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
            token.basic_credentials()
        )
        .as_bytes(),
        &["plain HTTP with the token", "another token"],
    );

    let plain = plain.parse().expect("address");
    let answer = named(plain, hello, &["no HTTP: TLS on a port for plain HTTP", "bc.listen"]);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    named(
        plain,
        b"PROXY TCP4 10.0.0.1 10.0.0.2 40000 8155\r\nGET / HTTP/1.1\r\n\r\n",
        &["no HTTP: a PROXY protocol header (version 1)"],
    );
    named(plain, v2, &["no HTTP: a PROXY protocol header (version 2)"]);
    let rejections = primary.status().expect("it runs").counters.rejections;
    assert_eq!(rejections.of(Rejection::Handshake), 10);
    assert_eq!(rejections.of(Rejection::Malformed), 3);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_named_on_the_primary() {
    let primary = tokio::task::spawn_blocking(Whole::primary).await.expect("no panic");
    let wrong = Fingerprint::of_public_key(b"another");
    common::connect(primary.address(), wrong)
        .await
        .expect_err("another key");
    let logged = tokio::task::spawn_blocking(move || primary.until_logged("turned away 127.0.0.1"));
    let line = logged.await.expect("no panic");
    assert!(
        line.contains("does not trust the certificate that it was shown"),
        "{line}"
    );
    assert_for_people(&line);
}
