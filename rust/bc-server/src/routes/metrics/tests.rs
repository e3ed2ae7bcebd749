use std::collections::BTreeMap;

use bc_core::{
    basics::Digest,
    generation::{Acceptance, Epoch, HandsOver, Name, Reason, Withheld},
    keys::Standing,
    role::handed_over::HandedOver,
    status::{Counters, Fetching, Generation, Paused, Phase, PrimaryStatus, Problem, Refusal, StandbyStatus, Topic},
};

use super::*;

/// Samples by name and labels as they are written, after a check that each family is described before it and once.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut described: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    let body = text.strip_suffix("# EOF\n").expect("OpenMetrics ends with this");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (what, rest) = comment.split_once(' ').expect("a comment has a kind");
            let (name, value) = rest.split_once(' ').expect("and is about a family");
            assert!(!value.is_empty(), "{line}");
            let seen = described.entry(name).or_default();
            assert!(!seen.contains(&what), "twice: {line}");
            seen.push(what);
            if what == "TYPE" {
                kinds.insert(name, value);
            }
            if what == "UNIT" {
                assert!(name.ends_with(&format!("_{value}")), "{line}");
            }
            continue;
        }
        let (key, value) = line.rsplit_once(' ').expect("name and value");
        let name = key.split('{').next().expect("a name");
        assert!(name.starts_with("gocd_bc_"), "{line}");
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        let suffix = &name[family.len()..];
        let expected = match kinds.get(family) {
            Some(&"counter") => "_total",
            Some(&"info") => "_info",
            Some(&"gauge") => "",
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(suffix, expected, "{line}");
        assert!(described[family].contains(&"HELP"), "{line}");
        let value = value.parse().expect("a number");
        assert!(samples.insert(key.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

fn standby() -> Status {
    let generation = Generation {
        id: Digest::of(b""),
        sequence: 17,
        generated_ms: 40_000,
        acceptance: Acceptance::Accepted,
        total_size: 2_000_000,
    };
    let mut counters = Counters {
        connections: 9,
        applied_generations: 5,
        refused_generations: 2,
        failed_rounds: 4,
        ..Counters::default()
    };
    counters.sent.bytes = 11;
    counters.sent.files = 12;
    counters.sent.broken = 13;
    counters.received.bytes = 21;
    counters.received.files = 22;
    counters.received.broken = 23;
    for rejection in [
        Rejection::WrongCredentials,
        Rejection::WrongCredentials,
        Rejection::Slow,
    ] {
        counters.rejections.add(rejection);
    }
    let problem = |topic: &str, severity| Problem {
        topic: Topic::from(topic.to_owned()),
        severity,
        message: "\"quoted\"\nand broken".to_owned(),
        since_ms: 0,
    };
    Status {
        now_ms: 100_000,
        gocd_version: Some("26.1 \"x\"\\\n".to_owned()),
        epoch: Epoch {
            number: 3,
            ..Epoch::default()
        },
        problems: vec![
            problem("a", Severity::Critical),
            problem("b", Severity::Warning),
            problem("c", Severity::Warning),
        ],
        generation: Some(generation.clone()),
        scanned_ms: Some(99_500),
        primary: Some(PrimaryStatus {
            connected: true,
            trusted: true,
            last_exchange_ms: Some(88_000),
            ..PrimaryStatus::new("https://primary:8155", "the pinned key", 0)
        }),
        sync: Some(SyncStatus {
            behind_since_ms: Some(70_000),
            refusal: Some(Refusal {
                message: String::new(),
                since_ms: 75_000,
            }),
            paused: Some(Paused {
                generation: generation.id,
                since_ms: 0,
            }),
            applied_ms: Some(60_000),
            fetching: Some(Fetching {
                files_left: 1,
                bytes_total: 500,
                bytes_done: 200,
            }),
            ..SyncStatus::default()
        }),
        counters,
        failed_parts: vec!["puller".to_owned(), "keeper".to_owned()],
        withheld: Withheld {
            files: BTreeMap::from([(Name::JettyXml, Reason::Denied)]),
            plugins: Some(Reason::Stale),
        },
        ..Status::new("0123", Role::Standby, Phase::Holding, 1_000)
    }
}

#[test]
fn every_number_of_a_standby_is_there() {
    let samples = parsed(&render(standby()).expect("text"));
    let version = env!("CARGO_PKG_VERSION");
    let info = format!(r#"gocd_bc_node_info{{node_id="0123",version="{version}",gocd_version="26.1 \"x\"\\\n"}}"#);
    let expected: BTreeMap<String, f64> = [
        (info.as_str(), 1.0),
        (r#"gocd_bc_role{role="primary"}"#, 0.0),
        (r#"gocd_bc_role{role="standby"}"#, 1.0),
        (r#"gocd_bc_role{role="fenced"}"#, 0.0),
        ("gocd_bc_epoch", 3.0),
        ("gocd_bc_open_seconds", 99.0),
        (r#"gocd_bc_problems{severity="warning"}"#, 2.0),
        (r#"gocd_bc_problems{severity="critical"}"#, 1.0),
        ("gocd_bc_failed_parts", 2.0),
        ("gocd_bc_silent_peers", 0.0),
        ("gocd_bc_withheld_files", 2.0),
        ("gocd_bc_scan_age_seconds", 0.5),
        ("gocd_bc_generation_sequence", 17.0),
        ("gocd_bc_generation_bytes", 2_000_000.0),
        ("gocd_bc_generation_age_seconds", 60.0),
        ("gocd_bc_in_sync", 0.0),
        ("gocd_bc_behind_bytes", 300.0),
        ("gocd_bc_behind_seconds", 30.0),
        ("gocd_bc_generation_refused_seconds", 25.0),
        ("gocd_bc_paused", 1.0),
        ("gocd_bc_applied_age_seconds", 40.0),
        ("gocd_bc_primary_connected", 1.0),
        ("gocd_bc_primary_trusted", 1.0),
        ("gocd_bc_last_exchange_age_seconds", 12.0),
        ("gocd_bc_connections_total", 9.0),
        (r#"gocd_bc_rejections_total{reason="wrong_credentials"}"#, 2.0),
        (r#"gocd_bc_rejections_total{reason="no_credentials"}"#, 0.0),
        (r#"gocd_bc_rejections_total{reason="handshake"}"#, 0.0),
        (r#"gocd_bc_rejections_total{reason="full"}"#, 0.0),
        (r#"gocd_bc_rejections_total{reason="slow"}"#, 1.0),
        (r#"gocd_bc_rejections_total{reason="too_large"}"#, 0.0),
        (r#"gocd_bc_rejections_total{reason="malformed"}"#, 0.0),
        (r#"gocd_bc_transfers_total{direction="sent",outcome="whole"}"#, 12.0),
        (r#"gocd_bc_transfers_total{direction="sent",outcome="broken"}"#, 13.0),
        (r#"gocd_bc_transfers_total{direction="received",outcome="whole"}"#, 22.0),
        (
            r#"gocd_bc_transfers_total{direction="received",outcome="broken"}"#,
            23.0,
        ),
        (r#"gocd_bc_transfer_bytes_total{direction="sent"}"#, 11.0),
        (r#"gocd_bc_transfer_bytes_total{direction="received"}"#, 21.0),
        ("gocd_bc_applied_generations_total", 5.0),
        ("gocd_bc_refused_generations_total", 2.0),
        ("gocd_bc_failed_rounds_total", 4.0),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(samples, expected);
}

#[test]
fn an_age_that_nobody_knows_is_left_out() {
    for applied_ms in [None, Some(10_000_000)] {
        let mut status = standby();
        status.sync.as_mut().expect("a standby").applied_ms = applied_ms;
        let samples = parsed(&render(status).expect("text"));
        assert!(!samples.contains_key("gocd_bc_applied_age_seconds"), "{applied_ms:?}");
    }
}

#[test]
fn a_primary_says_nothing_of_a_primary() {
    let standby = StandbyStatus {
        node_id: "4567".repeat(8).parse().expect("id"),
        fingerprint: None,
        standing: Standing::Trusted,
        url: None,
        product_version: String::new(),
        gocd_version: None,
        generation: None,
        applied_ms: None,
        says_in_sync: Some(true),
        in_sync: true,
        behind_since_ms: None,
        reported_ms: 1_500,
        silent: false,
        error: None,
        problem: None,
        confirms: Vec::new(),
        run: None,
        doubled: false,
    };
    let labels = format!(r#"{{node_id="{}"}}"#, standby.node_id);
    let of = |name: &str| format!("{name}{labels}");
    let status = Status {
        now_ms: 4_000,
        standbys: vec![standby.clone()],
        ..Status::new("0123", Role::Primary, Phase::Running, 0)
    };
    let samples = parsed(&render(status).expect("text"));
    assert_eq!(samples["gocd_bc_standbys"], 1.0);
    assert_eq!(samples[&*of("gocd_bc_standby_report_age_seconds")], 2.5);
    assert_eq!(samples[&*of("gocd_bc_standby_in_sync")], 1.0);
    assert_eq!(samples[r#"gocd_bc_role{role="primary"}"#], 1.0);
    assert!(!samples.contains_key("gocd_bc_in_sync"));
    assert!(!samples.contains_key("gocd_bc_generation_sequence"), "none yet");
    assert_eq!(samples[&*of("gocd_bc_standby_servers")], 1.0);

    // A copy of it is one more server and no other standby, and each label is there once.
    let copy = StandbyStatus {
        reported_ms: 3_000,
        in_sync: false,
        doubled: true,
        ..standby.clone()
    };
    let status = Status {
        now_ms: 4_000,
        standbys: vec![standby, copy],
        ..Status::new("0123", Role::Primary, Phase::Running, 0)
    };
    let text = render(status).expect("text");
    assert_eq!(text.matches(&of("gocd_bc_standby_in_sync")).count(), 1);
    let samples = parsed(&text);
    assert_eq!(samples["gocd_bc_standbys"], 1.0);
    assert_eq!(samples[&*of("gocd_bc_standby_servers")], 2.0);
    assert_eq!(samples[&*of("gocd_bc_standby_report_age_seconds")], 1.0);
    assert_eq!(samples[&*of("gocd_bc_standby_in_sync")], 0.0, "the worse of both");
}

#[test]
fn a_hand_over_is_counted_by_what_it_is_at_and_none_where_there_was_none() {
    let mut status = Status::new("node", Role::Primary, Phase::Holding, 0);
    status.now_ms = 700_000;
    let samples = |status: &Status| parsed(&render(status.clone()).expect("text"));
    let state = |status: &Status, name: &str| {
        let key = format!("gocd_bc_hand_over{{state=\"{name}\"}}");
        samples(status).get(&key).copied()
    };
    assert_eq!(state(&status, "waits"), None);
    status.handed_over = Some(HandedOver::taken_back(None, 1));
    assert_eq!(
        (state(&status, "taken-back"), state(&status, "waits")),
        (Some(1.0), Some(0.0))
    );
    status.hands_over = Some(HandsOver {
        id: String::new(),
        ordered_ms: 100_000,
        token: None,
        waits_for: Some("its sessions".to_owned()),
    });
    assert_eq!(
        (state(&status, "taken-back"), state(&status, "waits")),
        (Some(0.0), Some(1.0))
    );
    assert_eq!(samples(&status)["gocd_bc_hand_over_age_seconds"], 600.0);
}
