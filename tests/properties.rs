//! Our reader of Java properties texts, and the token file that is one, against `java.util.Properties` itself: one
//! JVM, thousands of random texts.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bc_core::{basics::properties, keys::Token};
use bc_testkit::artefacts;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

type Pairs = Vec<(String, String)>;

/// A JVM that reads texts.
struct Java {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Java {
    fn start() -> Self {
        let mut child = Command::new(artefacts::java(17))
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1"])
            .arg(artefacts::fixture("java/ReadProperties.java"))
            .env_remove("JAVA_TOOL_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a JVM");
        Self {
            input: child.stdin.take().expect("piped"),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    /// The pairs in their order, or none where Java refuses the text.
    fn read(&mut self, text: &[u8]) -> Option<Pairs> {
        let line = STANDARD.encode(text) + "\n";
        self.input.write_all(line.as_bytes()).expect("the JVM listens");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the JVM answers");
        assert!(answer.ends_with('\n'), "the JVM ended");
        let pairs = answer.split_whitespace().map(|pair| pair.split_once('=').map(decoded));
        match answer.trim() {
            "refused" => None,
            _ => Some(pairs.map(|pair| pair.expect("a pair")).collect()),
        }
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn decoded((key, value): (&str, &str)) -> (String, String) {
    let text = |encoded: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(encoded).expect("Base64");
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|unit| u16::from_be_bytes([unit[0], unit[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    };
    (text(key), text(value))
}

/// Texts out of what means something in the grammar, so that every rule of it is met often.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "=", ":", " ", "\t", "\u{c}", "\n", "\r", "\r\n", "\\", "\\\\", "\\\n", "\\\r\n", "#", "!", "\\u", "\\u00e4",
            "\\u0020", "\\u003d", "\\ud83d", "\\ude00", "\\u12g4", "\\U0041", "\\t", "\\n", "\\r", "\\f", "\\=", "\\ ",
            "\\:", "\\#", "user", "password", "a", "0", "\0",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Runs a property against one JVM, with the same cases every time.
fn check<S: Strategy>(cases: u32, strategy: S, property: impl Fn(&mut Java, S::Value) -> Result<(), TestCaseError>)
where
    S::Value: std::fmt::Debug,
{
    let java = RefCell::new(Java::start());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    )
    .run(&strategy, |value| property(&mut java.borrow_mut(), value))
    .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn every_text_is_read_as_java_reads_it() {
    check(3000, texts(), |java, text| {
        let ours = properties::pairs(&text, "text").ok();
        prop_assert_eq!(ours, java.read(&text), "{:?}", String::from_utf8_lossy(&text));
        Ok(())
    });
}

#[test]
fn java_reads_what_we_write() {
    let pairs = prop::collection::vec((any::<String>(), any::<String>()), 0..4);
    check(1000, pairs, |java, pairs| {
        let text = properties::to_text(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        prop_assert_eq!(java.read(text.as_bytes()), Some(pairs));
        Ok(())
    });
}

#[test]
fn a_token_file_is_one_pair_of_java_and_nothing_else() {
    check(2000, texts(), |java, text| {
        let token = Token::parse(&text, Path::new("token"));
        let pairs = java.read(&text).unwrap_or_default();
        match pairs.as_slice() {
            [(user, password)] if is_fit(user) && !password.trim().is_empty() => {
                let token = token.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert!(token.matches(user.trim(), password.trim()));
                let other = format!("{password}x");
                prop_assert!(!token.matches(user.trim(), &other));
            }
            _ => prop_assert!(token.is_err(), "{:?}", pairs),
        }
        Ok(())
    });
}

/// Whether a user's name can be sent as HTTP Basic credentials.
fn is_fit(user: &str) -> bool {
    !user.trim().is_empty() && !user.contains(':')
}
