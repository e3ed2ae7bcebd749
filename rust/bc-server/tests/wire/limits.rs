//! Strangers cannot keep a standby out.

use std::time::Duration;

use bc_core::{generation::Name, standby::Transport, status::Rejection};
use bc_server::listener::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::common::{Kind, Node, PREFIX};

#[tokio::test]
async fn idle_connections_do_not_starve_the_standby() {
    let limits = Limits {
        connections: 40,
        ..Limits::default()
    };
    let node = Node::start_with(Kind::Primary, limits).await;
    let known = node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let transport = node.transport();
    let waiting = transport.manifest(Some(known), Duration::from_secs(20));
    let siege = async {
        sleep(Duration::from_millis(200)).await;
        let mut idle = Vec::new();
        for number in 0..300 {
            idle.push(TcpStream::connect(node.address).await.expect("accepted"));
            if number % 30 == 0 {
                let other = node.transport();
                other
                    .manifest(None, Duration::ZERO)
                    .await
                    .expect("the standby gets through");
            }
        }
        node.publish(&[(Name::CruiseConfig, b"<cruise></cruise>")]);
        idle
    };
    let (reply, _idle) = tokio::join!(waiting, siege);
    let bc_core::standby::ManifestReply::Changed(document) = reply.expect("the long poll survived") else {
        panic!("a change was published");
    };
    assert_eq!(document.envelope.sequence, 2);
}

#[tokio::test]
async fn slow_and_silent_strangers_are_closed() {
    let limits = Limits {
        handshake: Duration::from_millis(300),
        head: Duration::from_millis(600),
        unproven: Duration::from_millis(900),
        farewell: Duration::from_millis(100),
        ..Limits::default()
    };
    let node = Node::start_with(Kind::Primary, limits).await;
    let opened = Instant::now();
    let mut silent = TcpStream::connect(node.address).await.expect("connect");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "no handshake");
    assert!(opened.elapsed() < Duration::from_millis(600), "{:?}", opened.elapsed());

    let mut slow = node.connect().await;
    let opened = Instant::now();
    slow.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.expect("send");
    let _ = slow.read_to_end(&mut Vec::new()).await;
    assert!(opened.elapsed() < Duration::from_secs(3), "{:?}", opened.elapsed());

    let mut talker = node.connect().await;
    let opened = Instant::now();
    let mut asked = 0;
    let request = format!("GET {PREFIX}/live HTTP/1.1\r\nHost: x\r\n\r\n");
    while talker.write_all(request.as_bytes()).await.is_ok() && talker.read(&mut [0; 1024]).await.unwrap_or(0) > 0 {
        asked += 1;
        sleep(Duration::from_millis(50)).await;
        assert!(
            opened.elapsed() < Duration::from_secs(5),
            "a stranger may stay for ever"
        );
    }
    assert!(asked > 1);
}

#[tokio::test]
async fn right_credentials_are_served_at_once_beside_wrong_ones() {
    let node = Node::start(Kind::Primary).await;
    let wrong = format!(
        "GET {PREFIX}/api/v2/node HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c3RhbmRieTp3cm9uZw==\r\nConnection: close\r\n\r\n"
    );
    for _ in 0..3 {
        assert_eq!(node.raw(&wrong).await.status(), 401);
    }
    let asked = Instant::now();
    assert_eq!(node.raw(&wrong).await.status(), 401);
    assert!(asked.elapsed() >= Duration::from_millis(800), "{:?}", asked.elapsed());
    let asked = Instant::now();
    assert_eq!(node.get(&format!("{PREFIX}/api/v2/node"), "").await.status(), 200);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
}

/// Waits until this was counted so often.
async fn counted(node: &Node, rejection: Rejection, times: u64) {
    let counted = || node.context.status.picture().counters.rejections.of(rejection);
    for _ in 0..100 {
        if counted() == times {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{rejection}: {} times instead of {times}", counted());
}

#[tokio::test]
async fn everybody_who_is_turned_away_is_counted() {
    let limits = Limits {
        handshake: Duration::from_millis(400),
        head: Duration::from_millis(400),
        ..Limits::default()
    };
    let node = Node::start_with(Kind::Primary, limits).await;
    let request = |headers: &str| format!("GET {PREFIX}/metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n");

    let wrong = request("Authorization: Basic c3RhbmRieTp3cm9uZw==\r\nConnection: close\r\n");
    assert_eq!(node.raw(wrong).await.status(), 401);
    counted(&node, Rejection::WrongCredentials, 1).await;

    assert_eq!(node.raw(request("Connection: close\r\n")).await.status(), 401);
    counted(&node, Rejection::NoCredentials, 1).await;

    let large = request(&format!("X: {}\r\n", "x".repeat(200 * 1024)));
    assert_eq!(node.raw(large).await.status(), 431);
    counted(&node, Rejection::TooLarge, 1).await;
    let login = format!(
        "POST {PREFIX}/admin/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 5000\r\nConnection: close\r\n\r\n{}",
        "x".repeat(5000)
    );
    assert_eq!(node.raw(login).await.status(), 413);
    counted(&node, Rejection::TooLarge, 2).await;

    assert_eq!(node.raw("\u{1}\r\n\r\n").await.status(), 400);
    counted(&node, Rejection::Malformed, 1).await;

    let mut silent = node.connect().await;
    let _ = silent.read_to_end(&mut Vec::new()).await;
    counted(&node, Rejection::Slow, 1).await;

    let mut plain = TcpStream::connect(node.address).await.expect("connect");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("send");
    let _ = plain.read_to_end(&mut Vec::new()).await;
    counted(&node, Rejection::Handshake, 1).await;
    let mut idle = TcpStream::connect(node.address).await.expect("connect");
    let _ = idle.read_to_end(&mut Vec::new()).await;
    counted(&node, Rejection::Handshake, 2).await;
}

#[tokio::test]
async fn a_probe_of_a_load_balancer_and_an_idle_browser_are_not_turned_away() {
    let limits = Limits {
        handshake: Duration::from_millis(300),
        head: Duration::from_millis(300),
        ..Limits::default()
    };
    let node = Node::start_with(Kind::Primary, limits).await;
    drop(TcpStream::connect(node.address).await.expect("connect"));
    let mut browser = node.connect().await;
    let live = format!("GET {PREFIX}/live HTTP/1.1\r\nHost: x\r\n\r\n");
    browser.write_all(live.as_bytes()).await.expect("send");
    let _ = browser.read_to_end(&mut Vec::new()).await;
    let counters = node.context.status.picture().counters;
    assert_eq!((counters.connections, counters.rejections.total()), (2, 0));
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_counted() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let node = Node::start_with(Kind::Primary, limits).await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(TcpStream::connect(node.address).await.expect("connect"));
    }
    counted(&node, Rejection::Full, 3).await;
}
