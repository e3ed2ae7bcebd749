//! What a primary knows to be wrong with its offer, on the standby within one exchange.

use std::{fs, path::Path, time::Duration};

use bc_core::{
    basics::Severity,
    generation::{Envelope, ManifestDocument, Name},
    standby::{ManifestReply, Transport},
    status::{Status, Topic},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    common::{Answer, Kind, Node, PREFIX},
    whole::{SOON, Whole, is_in_sync},
};

const CONFIG: &str = "config/cruise-config.xml";
const CIPHER: &str = "config/cipher.aes";
/// A long poll of a standby that is so patient ends by itself after more than [`SOON`].
const PATIENT: Duration = Duration::from_secs(60);

fn raise(node: &Node, topic: &Topic, message: &str) {
    node.context.status.raise(topic, Severity::Critical, message);
}

fn envelope(answer: &Answer) -> Envelope {
    assert_eq!(answer.status(), 304);
    serde_json::from_str(&answer.header("gocd-bc-envelope").expect("the envelope")).expect("JSON")
}

#[tokio::test]
async fn a_long_poll_ends_when_the_primary_has_other_concerns_than_the_client_knows() {
    let node = Node::start(Kind::Primary).await;
    let known = node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let path = format!("{PREFIX}/api/v2/manifest");
    let fresh = node.get(&path, "").await;
    let tag = fresh.header("gocd-bc-concerns").expect("a tag");
    let headers = |tag: &str, wait: u32| {
        format!("If-None-Match: \"{known}\"\r\nPrefer: wait={wait}\r\ngocd-bc-concerns: {tag}\r\n")
    };
    let asked = Instant::now();
    let trouble = async {
        sleep(Duration::from_millis(200)).await;
        // None of the standby's business.
        raise(&node, &Topic::Standbys, "silent");
        sleep(Duration::from_millis(200)).await;
        raise(&node, &Topic::Scan, "cannot read größer.jar");
    };
    let (woken, ()) = tokio::join!(async { node.get(&path, &headers(&tag, 60)).await }, trouble);
    assert!(asked.elapsed() < Duration::from_secs(30));
    let told = envelope(&woken).concerns;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].topic.as_str(), told[0].message.as_str()),
        ("scan", "cannot read größer.jar")
    );
    assert!(told[0].is_stale);
    let document = ManifestDocument::parse(node.get(&path, "").await.body()).expect("a manifest");
    assert_eq!(document.envelope.concerns, told);

    // Whoever knows them waits, and so does a standby of the version before, which says nothing.
    let now = woken.header("gocd-bc-concerns").expect("a tag");
    assert_ne!(now, tag);
    for waits in [
        headers(&now, 3),
        format!("If-None-Match: \"{known}\"\r\nPrefer: wait=3\r\n"),
    ] {
        let asked = Instant::now();
        assert_eq!(envelope(&node.get(&path, &waits).await).concerns, told);
        assert!(asked.elapsed() >= Duration::from_secs(3), "{waits}");
    }
    // That they are over is news as well, also to one that asks only then.
    node.context.status.clear(&Topic::Scan);
    let asked = Instant::now();
    assert!(envelope(&node.get(&path, &headers(&now, 60)).await).concerns.is_empty());
    assert!(asked.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_concern_that_comes_and_goes_makes_nobody_ask_all_the_time() {
    let node = Node::start(Kind::Primary).await;
    let generation = node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let transport = node.transport();
    transport
        .manifest(None, Duration::ZERO)
        .await
        .expect("the first answer");
    let flap = async {
        for number in 0.. {
            raise(&node, &Topic::Scan, &format!("cannot read {number}"));
            sleep(Duration::from_millis(10)).await;
        }
    };
    let mut answers = 0;
    let asking = async {
        loop {
            let reply = transport
                .manifest(Some(generation), Duration::from_secs(30))
                .await
                .expect("an answer");
            assert!(matches!(reply, ManifestReply::Unchanged(_)));
            answers += 1;
        }
    };
    let over = timeout(Duration::from_secs(5), async { tokio::join!(flap, asking) }).await;
    over.expect_err("both go on for ever");
    assert!((1..=5).contains(&answers), "{answers} answers in 5 s");
}

#[tokio::test]
async fn a_primary_that_has_read_nothing_yet_says_why() {
    let node = Node::start(Kind::Primary).await;
    let transport = node.transport();
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("nothing yet");
    assert!(error.message().ends_with("has not read its files yet"), "{error}");
    raise(&node, &Topic::Scan, "cannot read the folder /etc/go");
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("nothing yet");
    let words = "has not read its files yet, and says: cannot read the folder /etc/go";
    assert!(error.message().ends_with(words), "{error}");
    // One that waits hears of it too.
    raise(&node, &Topic::Scan, "cannot read cruise-config.xml");
    let asked = Instant::now();
    let error = transport
        .manifest(None, Duration::from_secs(60))
        .await
        .expect_err("nothing yet");
    assert!(
        error.message().ends_with("says: cannot read cruise-config.xml"),
        "{error}"
    );
    assert!(asked.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn long_texts_of_any_language_fit_the_header() {
    let node = Node::start(Kind::Primary).await;
    let generation = node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    for topic in [
        Topic::Scan,
        Topic::Ledger,
        Topic::Reading,
        Topic::Watch,
        Topic::Part("scan".to_owned()),
    ] {
        raise(&node, &topic, &"größer 🦀 \"'\\ ".repeat(1000));
    }
    let reply = node
        .transport()
        .manifest(Some(generation), Duration::ZERO)
        .await
        .expect("understood");
    let ManifestReply::Unchanged(envelope) = reply else {
        panic!("it is the same: {reply:?}");
    };
    assert_eq!(envelope.concerns.len(), 5);
    assert_eq!(envelope.odd_text(), None);
}

fn spoil_config(dir: &Path) {
    fs::write(dir.join(CONFIG), "<cruise><pipelines>").expect("write");
}

fn mend_config(dir: &Path) {
    fs::copy(dir.join("original"), dir.join(CONFIG)).expect("copied");
}

fn empty_cipher(dir: &Path) {
    fs::copy(dir.join(CIPHER), dir.join("key")).expect("copied");
    fs::write(dir.join(CIPHER), "").expect("emptied");
}

fn mend_cipher(dir: &Path) {
    fs::copy(dir.join("key"), dir.join(CIPHER)).expect("copied");
}

fn remove_config(dir: &Path) {
    fs::remove_file(dir.join(CONFIG)).expect("removed");
}

fn problem<'a>(status: &'a Status, text: &str) -> Option<&'a str> {
    let mut problems = status.problems.iter();
    let found = problems.find(|problem| problem.message.contains(text));
    found.map(|problem| problem.message.as_str())
}

#[test]
fn a_standby_is_not_in_sync_with_files_that_the_primary_cannot_read() {
    let primary = Whole::primary();
    fs::copy(primary.dir.path().join(CONFIG), primary.dir.path().join("original")).expect("copied");
    let standby = Whole::standby(primary.address(), primary.key(), PATIENT);
    standby.until_equal(&primary.dir, CONFIG);
    type Change = fn(&Path);
    let cases: [(&str, Change, Change); 3] = [
        ("the standby keeps the version before it", spoil_config, mend_config),
        ("cruise-config.xml does not exist", remove_config, mend_config),
        ("cipher.aes is empty", empty_cipher, mend_cipher),
    ];
    for (words, spoil, mend) in cases {
        spoil(primary.dir.path());
        let status = standby.until("it says why", |status| problem(status, words).is_some());
        let said = problem(&status, words).expect("just found");
        assert!(
            said.contains("so this standby is not in sync. The primary says"),
            "{said}"
        );
        assert!(!is_in_sync(&status), "{status:#?}");
        primary.until("the primary hears of it", |status| {
            status
                .standbys
                .iter()
                .any(|standby| !standby.in_sync && standby.says_in_sync == Some(false))
        });
        mend(primary.dir.path());
        let status = standby.until("in sync again", is_in_sync);
        assert_eq!(problem(&status, "The primary says"), None, "{status:#?}");
    }
    assert!(SOON < PATIENT);
}
