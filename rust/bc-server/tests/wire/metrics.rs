//! What the node counts, as Prometheus reads it.

use bc_core::{basics::Digest, generation::Name, standby::Transport};

use crate::common::{Kind, Node, PREFIX, jar};

async fn sample(node: &Node, name: &str) -> f64 {
    let answer = node.get(&format!("{PREFIX}/metrics"), "").await;
    assert_eq!(answer.status(), 200);
    let text = String::from_utf8(answer.body().to_vec()).expect("UTF-8");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.parse().expect("a number")
}

#[tokio::test]
async fn primaries_and_held_standbys_have_metrics_for_the_token() {
    for kind in [Kind::Primary, Kind::Held] {
        let node = Node::start(kind).await;
        let answer = node.get(&format!("{PREFIX}/metrics"), "").await;
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        assert_eq!(
            sample(&node, "gocd_bc_role{role=\"primary\"}").await,
            f64::from(u8::from(kind == Kind::Primary))
        );
        let stranger = format!("GET {PREFIX}/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(node.raw(stranger).await.status(), 401);
    }
}

#[tokio::test]
async fn transfers_are_counted_by_bytes_and_ends() {
    let node = Node::start(Kind::Primary).await;
    let plugin = vec![7_u8; 32 << 20];
    node.publish(&[(Name::CruiseConfig, b"<cruise/>"), (jar("a.jar"), &plugin)]);
    let transport = node.transport();
    let mut drop_bytes = |_: &[u8]| Ok(());
    for content in [&b"<cruise/>"[..], &plugin] {
        let blob = transport.blob(Digest::of(content), 0, &mut drop_bytes);
        blob.await.expect("sent");
    }
    let bytes = "gocd_bc_transfer_bytes_total{direction=\"sent\"}";
    assert_eq!(sample(&node, bytes).await, 9.0 + f64::from(32 << 20));
    let whole = "gocd_bc_transfers_total{direction=\"sent\",outcome=\"whole\"}";
    assert_eq!(sample(&node, whole).await, 2.0);

    let mut full = |_: &[u8]| {
        Err(bc_core::basics::Error::new(
            bc_core::basics::Kind::File,
            "the disk is full",
            "",
        ))
    };
    transport
        .blob(Digest::of(&plugin), 0, &mut full)
        .await
        .expect_err("the standby gave up");
    let broken = "gocd_bc_transfers_total{direction=\"sent\",outcome=\"broken\"}";
    for _ in 0..50 {
        if sample(&node, broken).await == 1.0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the broken transfer was not counted");
}
