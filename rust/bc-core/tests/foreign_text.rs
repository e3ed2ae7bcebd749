//! No text from the wire is taken in that is not one short line of visible characters: each text of a message, present
//! and to come, is replaced by hostile ones. A field that is added is met here by itself, since the messages below are
//! made with every field.

use bc_core::{
    basics::{Digest, Fingerprint, Severity},
    generation::{Acceptance, Concern, Envelope, Epoch, HandsOver, Role},
    status::{Report, ReportedGeneration, ReportedProblem},
};
use serde_json::Value;

/// What begins a line, commands a terminal, reverses or hides what follows, or is without end.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "a\nb",
        "a\rb",
        "\u{1b}[2J",
        "\u{9b}2J",
        "\0",
        "\u{202e}b",
        "a\u{200b}b",
        "\u{2028}",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(10_000));
    texts
}

fn key() -> Fingerprint {
    Fingerprint::of_public_key(b"key")
}

fn envelope() -> Envelope {
    Envelope {
        node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
        role: Role::Primary,
        waits: false,
        after_fence: None,
        hands_over: Some(HandsOver {
            id: "ab".repeat(16),
            ordered_ms: 1,
            token: None,
            waits_for: Some("sessions in größer".to_owned()),
        }),
        epoch: Epoch {
            number: 2,
            promotion: "ab".repeat(8),
        },
        highest: None,
        sequence: 7,
        gocd_version: Some("26.1.0".to_owned()),
        product_version: "0.1.0".to_owned(),
        schema_version: Some("139".to_owned()),
        server_id: Some("größer".to_owned()),
        database: None,
        made_at: None,
        acceptance: Acceptance::Accepted,
        rejected: false,
        generated_ms: 1,
        scanned_ms: 2,
        now_ms: 3,
        file_check_interval_ms: 60_000,
        next_fingerprint: Some(key()),
        concerns: vec![Concern {
            topic: "scan".to_owned(),
            severity: Severity::Critical,
            message: "cannot read größer".to_owned(),
            is_stale: true,
        }],
        run: None,
    }
}

fn report() -> Report {
    Report {
        node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
        generation: Some(ReportedGeneration {
            id: Digest::of(b"set"),
            sequence: 7,
        }),
        applied_ago_ms: Some(5),
        error: Some("it broke off".to_owned()),
        problem: Some(ReportedProblem {
            severity: Severity::Warning,
            message: "it is refused".to_owned(),
        }),
        url: Some("https://standbygo:8155".to_owned()),
        product_version: "0.1.0".to_owned(),
        gocd_version: Some("26.1.0".to_owned()),
        confirms: vec![key()],
        run: None,
        in_sync: Some(true),
    }
}

/// Pointers to all texts in a message.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                texts(value, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                texts(value, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Replaces each text in turn, and asks whether the message is taken in.
fn check(message: &Value, is_taken: impl Fn(Value) -> bool) {
    assert!(is_taken(message.clone()), "as it should be: {message}");
    let mut pointers = Vec::new();
    texts(message, "", &mut pointers);
    assert!(pointers.len() >= 9, "{pointers:?}");
    for pointer in pointers {
        for text in hostile() {
            let mut spoilt = message.clone();
            *spoilt.pointer_mut(&pointer).expect("just found") = text.as_str().into();
            assert!(!is_taken(spoilt), "{pointer}: {text:.20?}");
        }
    }
}

#[test]
fn an_envelope_with_a_hostile_text_is_refused() {
    let message = serde_json::to_value(envelope()).expect("plain");
    check(&message, |message| {
        serde_json::from_value::<Envelope>(message).is_ok_and(|envelope| envelope.odd_text().is_none())
    });
}

#[test]
fn a_report_with_a_hostile_text_is_refused() {
    let message = serde_json::to_value(report()).expect("plain");
    check(&message, |message| {
        serde_json::from_value::<Report>(message).is_ok_and(|report| report.check().is_ok())
    });
}

/// As in messages, and in generations that a standby has kept: the position was a text of its own once, and may have a form
/// that is not known yet.
#[test]
fn an_envelope_of_another_version_is_understood_without_what_is_not() {
    let mut json = serde_json::to_value(envelope()).expect("plain");
    json["wal_location"] = "0/3000060".into();
    json["database"] = "of a later version".into();
    json["made_at"] = serde_json::json!({"where": "of a later version"});
    assert_eq!(
        serde_json::from_value::<Envelope>(json).expect("understood"),
        envelope()
    );
}
