//! Strangers cannot keep a standby out.

use std::time::Duration;

use bc_core::{manifest::Name, transport::Transport};
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
    let bc_core::transport::ManifestReply::Changed(document) = reply.expect("the long poll survived") else {
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
