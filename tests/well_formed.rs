//! Our verdict on configurations against that of the JDK's own parser, which GoCD uses: one JVM, a hundred thousand
//! changed texts.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bc_core::gocd::xml::Outline;
use bc_testkit::artefacts;

const TEXTS: usize = 100_000;

const WHOLE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a -->\n<cruise xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                     xsi:noNamespaceSchemaLocation=\"cruise-config.xsd\" schemaVersion=\"139\">\n  <server serverId='a&amp;b' \
                     note=\"a > b\"/>\n  <p.q-r_s>a &lt; b&#10;&amp;</p.q-r_s><x/><y  a='\"' ></y><![CDATA[</cruise>]]>\u{fc}<!-- - \
                     --></cruise>\n<?x y?>";

/// What is put into it: all that means something in XML, and characters that look as if they did not.
const PIECES: &[&str] = &[
    "",
    "<",
    ">",
    "/",
    "\"",
    "'",
    "&",
    ";",
    "!",
    "?",
    "-",
    "]",
    " ",
    "x",
    "1",
    "=",
    ":",
    "\t",
    "\r",
    "\0",
    "\u{1}",
    "\u{c}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{b7}",
    "\u{e9}",
    "\u{300}",
    "\u{2028}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10ffff}",
    "</",
    "/>",
    "-->",
    "<!--",
    "]]>",
    "<![CDATA[",
    "&#1;",
    "&#0;",
    "&#x41;",
    "&#X41;",
    "&#xD800;",
    "&#xFFFE;",
    "&#x110000;",
    "&foo;",
    "&amp;",
    "&#9;",
    "a='1'",
    " a='1'",
    " a='2' a='3'",
    " xmlns:q='urn:q' ",
    "q:",
    "xsi:",
    "xml:",
    "xmlns",
    " xmlns=''",
    " xmlns:a=''",
    " xml:lang='en'",
    " standalone='yes'",
    "<?xml version='1.0'?>",
    "<?xml ?>",
    "<?XML x?>",
    "iso-8859-1",
    "us-ascii",
    "<!DOCTYPE cruise>",
    "<b/>",
    "<b>",
    "</b>",
];

/// One to three changes, and sometimes a byte that is no character.
fn changed(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut text = WHOLE.as_bytes().to_vec();
    for _ in 0..random.usize(1..=3) {
        let at = random.usize(0..=text.len());
        let end = (at + random.usize(0..4)).min(text.len());
        let piece = PIECES[random.usize(0..PIECES.len())];
        text.splice(at..end, piece.bytes());
    }
    if random.u8(0..30) == 0 {
        let at = random.usize(0..text.len());
        text[at] = random.u8(..);
    }
    text
}

/// Where we are stricter, or GoCD is: see `strict` in bc-core.
fn may_be_refused_by_us_alone(text: &[u8], reason: &str) -> bool {
    let is_other_encoding = ["is in UTF-", "is not in UTF-8", "declares the encoding"]
        .iter()
        .any(|start| reason.starts_with(start));
    let declares_1_1 = text.windows(3).any(|three| three == b"1.1") && reason.contains("version");
    let has_odd_prefix = reason.contains("ualified name")
        || reason.contains("is no name of")
        || reason.contains("'xml' cannot be an element name prefix");
    is_other_encoding || declares_1_1 || has_odd_prefix
}

#[test]
fn no_verdict_differs_from_that_of_the_jdk() {
    let seed = 20_260_101;
    let mut random = fastrand::Rng::with_seed(seed);
    let texts: Vec<Vec<u8>> = (0..TEXTS).map(|_| changed(&mut random)).collect();
    let mut child = Command::new(artefacts::java(17))
        .args(["-Xmx256m", "-Djdk.xml.entityExpansionLimit=0"])
        .arg(artefacts::fixture("java/ParseXml.java"))
        .env_remove("JAVA_TOOL_OPTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a JVM");
    let mut input = child.stdin.take().expect("piped");
    let lines: Vec<String> = texts.iter().map(|text| STANDARD.encode(text)).collect();
    let writing = thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").expect("the JVM listens");
        }
    });
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (mut taken, mut alone, mut answered) = (0, 0, 0);
    for (answer, text) in output.lines().zip(&texts) {
        let answer = answer.expect("the JVM answers");
        answered += 1;
        let ours = Outline::read(text);
        let has_doctype = ours.as_ref().is_ok_and(|outline| outline.has_doctype);
        let shown = text.escape_ascii();
        match (&ours, answer.as_str()) {
            (Ok(_), "ok") => taken += 1,
            (Err(reason), "ok") => {
                assert!(
                    may_be_refused_by_us_alone(text, reason),
                    "we refuse ({reason}) and the JDK takes {shown}"
                );
                alone += 1;
            }
            // That there is one is noted, and refused where GoCD refuses it.
            (Ok(_), _) => assert!(has_doctype, "we take and the JDK refuses ({answer}) {shown}"),
            (Err(_), _) => {}
        }
    }
    writing.join().expect("all were written");
    child.wait().expect("the JVM ends");
    assert_eq!(answered, TEXTS);
    assert!(
        taken > TEXTS / 20 && alone < taken / 20,
        "{taken} taken by both, {alone} refused by us alone"
    );
}
