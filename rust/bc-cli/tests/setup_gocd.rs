//! `gocd-bc setup primary` and `gocd-bc setup standby`: from two bare installations to a standby in sync.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use bc_testkit::{
    free_port,
    gocd_dir::{write_launcher_jar, write_plugin_jar},
    mounts::Mounts,
    postgres::{PASSWORD, Postgres},
};
use pair::{Foreground, config, key_of_primary, listening, primary};
use support::{Answer, NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

const ROOT: u32 = 0;
const OWN_ID: &str = "cd.go.contrib.business-continuity";
const JAR: &str = "plugins/external/gocd-business-continuity.jar";
const TOKEN: &str = "config/business-continuity-token";
const LINES: &str = "wrapper-config/wrapper-properties.conf";

/// An installation as GoCD's packages make it, which never ran: folders of GoCD's user, the wrapper's of root.
fn install(place: &Place, node: &str) {
    pair::gocd(place, node);
    for folder in ["wrapper", "wrapper-config"] {
        place.folder(&format!("{node}/{folder}"), ROOT);
    }
    let launcher = place.path("go.jar");
    if !launcher.exists() {
        write_launcher_jar(&launcher, "26.1.0-1");
    }
    let conf = format!(
        "#encoding=UTF-8\nwrapper.ignore_sequence_gaps=TRUE\nwrapper.working.dir=..\nwrapper.app.parameter.1={}\n\
         wrapper.java.additional.1=-Xms512m\nwrapper.java.additional.2=-Dbc.listen=127.0.0.1:0\n\
         wrapper.java.additional.3=-Dcruise.server.port={}\n\
         @include.optional ../wrapper-config/wrapper-properties.conf\n",
        launcher.display(),
        free_port()
    );
    place.file(&format!("{node}/wrapper-config/wrapper.conf"), &conf, ROOT);
    let lines = place.file(
        &format!("{node}/{LINES}"),
        "# mine\nwrapper.java.additional.100=-Xmx1g\n",
        ROOT,
    );
    fs::set_permissions(lines, fs::Permissions::from_mode(0o640)).expect("mode");
}

/// Both installations, and the plugin's jar where somebody has unpacked it.
fn bare() -> Place {
    let place = Place::new();
    install(&place, "primary");
    install(&place, "standby");
    write_plugin_jar(&place.path("gocd-business-continuity.jar"), OWN_ID, "1.2.3");
    place
}

fn setup(place: &Place, node: &str, arguments: &[&str]) -> Answer {
    let first = ["setup", node, "--gocd", node, "--jar", "gocd-business-continuity.jar"];
    place.run(&[&first[..], arguments].concat())
}

/// The primary set up and running: where it is, and its key.
fn with_primary(place: &Place) -> (Foreground, String, String) {
    let done = setup(place, "primary", &["--write"]);
    assert_eq!(done.code, 0, "{done:?}");
    let node = primary(place, "127.0.0.1:0");
    let url = format!("https://{}", listening(place));
    (node, url, key_of_primary(place))
}

fn standby(place: &Place, url: &str, key: &str, arguments: &[&str]) -> Answer {
    let token = format!("primary/{TOKEN}");
    let given = ["--primary", url, "--fingerprint", key, "--token-file", &token];
    setup(place, "standby", &[&given[..], arguments].concat())
}

fn text(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below a folder, with its bytes, owner and mode.
fn picture(folder: &Path) -> BTreeMap<String, (Vec<u8>, u32, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(picture(&path));
        } else {
            let metadata = fs::metadata(&path).expect("look");
            let bytes = fs::read(&path).expect("read");
            found.insert(path.display().to_string(), (bytes, metadata.uid(), metadata.mode()));
        }
    }
    found
}

fn is_of_gocd(place: &Place, name: &str) {
    if is_root() {
        assert_eq!(fs::metadata(place.path(name)).expect(name).uid(), NOBODY, "{name}");
    }
}

#[test]
fn from_nothing_to_in_sync() {
    let place = bare();
    let before = picture(&place.path("primary"));
    let dry = setup(&place, "primary", &[]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.contains("-javaagent:plugins/external/"), "{dry:?}");
    assert!(dry.stdout.contains("with: --write"), "{dry:?}");
    assert_eq!(
        picture(&place.path("primary")),
        before,
        "nothing is written without --write"
    );

    let (_primary, url, key) = with_primary(&place);
    for made in [JAR, TOKEN] {
        is_of_gocd(&place, &format!("primary/{made}"));
    }
    let lines = text(&place, &format!("primary/{LINES}"));
    assert!(
        lines.starts_with("# mine\nwrapper.java.additional.100=-Xmx1g\n"),
        "{lines}"
    );
    assert!(
        lines.ends_with(&format!(
            "wrapper.java.additional.101=-javaagent:{JAR}\nwrapper.on_exit.75=RESTART\n"
        )),
        "{lines}"
    );
    let again = setup(&place, "primary", &["--write"]);
    assert!(again.stdout.contains("Nothing to change."), "{again:?}");
    assert!(again.stdout.contains(&format!("--fingerprint {key}")), "{again:?}");

    let before = picture(&place.path("standby"));
    let dry = standby(&place, &url, &key, &[]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(
        picture(&place.path("standby")),
        before,
        "nothing is written without --write"
    );

    let done = standby(&place, &url, &key, &["--write"]);
    assert!(done.stdout.contains("In sync with the primary"), "{done:?}");
    assert_eq!(config(&place, "standby"), config(&place, "primary"));
    assert_eq!(
        text(&place, &format!("standby/{TOKEN}")),
        text(&place, &format!("primary/{TOKEN}"))
    );
    for made in [
        JAR,
        TOKEN,
        "config/business-continuity-peers",
        "config/cruise-config.xml",
    ] {
        is_of_gocd(&place, &format!("standby/{made}"));
    }
    let lines = text(&place, &format!("standby/{LINES}"));
    for line in [
        "101=-Dgo.server.mode=standby".to_owned(),
        format!("102=-Dbc.primary.url={url}"),
        format!("103=-javaagent:{JAR}"),
    ] {
        assert!(
            lines.contains(&format!("\nwrapper.java.additional.{line}\n")),
            "{lines}"
        );
    }
    if is_root() {
        let metadata = fs::metadata(place.path(&format!("standby/{LINES}"))).expect("look");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (ROOT, 0o640));
    }
    assert!(done.stdout.contains("start GoCD"), "{done:?}");

    let before = picture(&place.path("standby"));
    let again = standby(&place, &url, &key, &["--write"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("Nothing to change."), "{again:?}");
    assert_eq!(
        picture(&place.path("standby")),
        before,
        "the second time nothing changes"
    );
}

#[test]
fn another_key_or_another_token_changes_nothing() {
    let place = bare();
    let (_primary, url, key) = with_primary(&place);
    let before = picture(&place.path("standby"));
    let other = "ab".repeat(32);
    let refused = standby(&place, &url, &other, &["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    for word in [key.as_str(), &other, "--fingerprint is"] {
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
    }

    place.file("wrong-token", "business-continuity = not-the-one\n", NOBODY);
    let arguments = [
        "--primary",
        &url,
        "--fingerprint",
        &key,
        "--token-file",
        "wrong-token",
        "--write",
    ];
    let refused = setup(&place, "standby", &arguments);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("refuses our token"), "{refused:?}");
    assert!(!refused.stderr.contains("not-the-one"), "{refused:?}");

    // Nobody is here to compare a key, or to type a token.
    let token = format!("primary/{TOKEN}");
    let unproven = setup(
        &place,
        "standby",
        &["--primary", &url, "--token-file", &token, "--write"],
    );
    assert_eq!(unproven.code, 1, "{unproven:?}");
    assert!(
        unproven.stderr.contains(&format!("--fingerprint {key}")),
        "{unproven:?}"
    );
    let silent = setup(
        &place,
        "standby",
        &["--primary", &url, "--fingerprint", &key, "--write"],
    );
    assert!(silent.stderr.contains("--token-file"), "{silent:?}");
    assert_eq!(picture(&place.path("standby")), before);
}

#[test]
fn a_primary_that_does_not_answer_and_the_server_itself_are_no_primary() {
    let place = bare();
    let nowhere = format!("https://127.0.0.1:{}", free_port());
    let refused = standby_with_token(&place, &nowhere);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("no primary of GoCD Business Continuity answers at"),
        "{refused:?}"
    );

    let (_primary, url, key) = with_primary(&place);
    let arguments = [
        "setup",
        "standby",
        "--gocd",
        "primary",
        "--primary",
        &url,
        "--fingerprint",
        &key,
        "--write",
    ];
    let itself = place.run(&arguments);
    assert_eq!(itself.code, 1, "{itself:?}");
    assert!(itself.stderr.contains("this server's own key"), "{itself:?}");
}

fn standby_with_token(place: &Place, url: &str) -> Answer {
    place.file("some-token", "a = b\n", NOBODY);
    setup(
        place,
        "standby",
        &["--primary", url, "--token-file", "some-token", "--write"],
    )
}

#[test]
fn what_was_copied_as_root_is_given_to_gocd() {
    if !is_root() {
        return;
    }
    let place = bare();
    let (_primary, url, key) = with_primary(&place);
    let token = text(&place, &format!("primary/{TOKEN}"));
    let copied = place.file(&format!("standby/{TOKEN}"), &token, ROOT);
    let database = place.file("standby/config/db.properties", "db.url=jdbc:h2:./db\n", ROOT);
    for copied in [&copied, &database] {
        fs::set_permissions(copied, fs::Permissions::from_mode(0o600)).expect("mode");
    }
    let done = setup(
        &place,
        "standby",
        &["--primary", &url, "--fingerprint", &key, "--write"],
    );
    assert!(done.stdout.contains("In sync with the primary"), "{done:?}");
    for copied in [TOKEN, "config/db.properties"] {
        is_of_gocd(&place, &format!("standby/{copied}"));
    }
    // Not where the name is that of another file.
    let secret = place.file("roots-secret", "a = b\n", ROOT);
    fs::remove_file(&copied).expect("removed");
    fs::hard_link(&secret, &copied).expect("link");
    let refused = setup(
        &place,
        "standby",
        &["--primary", &url, "--fingerprint", &key, "--write"],
    );
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(fs::metadata(&secret).expect("look").uid(), ROOT);
}

#[test]
fn a_standby_that_runs_is_not_changed_under_its_feet() {
    let place = bare();
    let (_primary, url, key) = with_primary(&place);
    let done = standby(&place, &url, &key, &["--write"]);
    // Done, and it warns of a GoCD whose database nobody copies.
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.stdout.contains("In sync with the primary") && done.stdout.contains("H2"),
        "{done:?}"
    );
    let node = pair::standby(&place, &url, &[]);
    pair::wait_until_in_sync(&place);
    let again = standby(&place, &url, &key, &["--write"]);
    assert!(again.stdout.contains("Nothing to change."), "{again:?}");
    assert!(again.stdout.contains("in sync with the primary"), "{again:?}");
    fs::write(place.path(&format!("standby/{LINES}")), "").expect("write");
    let refused = standby(&place, &url, &key, &["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("Stop it first"), "{refused:?}");
    assert_eq!(text(&place, &format!("standby/{LINES}")), "");
    drop(node);
    let done = standby(&place, &url, &key, &["--write"]);
    assert!(done.stdout.contains("In sync with the primary"), "{done:?}");
}

#[test]
fn a_standby_is_not_made_a_primary() {
    let place = bare();
    place.file("primary/config/start.in.standby", "", NOBODY);
    let refused = setup(&place, "primary", &["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("start.in.standby"), "{refused:?}");
}

#[test]
fn without_a_jar_nothing_is_written_that_names_it() {
    let place = bare();
    fs::remove_file(place.path("gocd-business-continuity.jar")).expect("removed");
    let refused = place.run(&["setup", "primary", "--gocd", "primary", "--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("--jar"), "{refused:?}");
    assert!(!text(&place, &format!("primary/{LINES}")).contains("javaagent"));
    write_plugin_jar(&place.path("gocd-business-continuity.jar"), "some.other.plugin", "1");
    let refused = setup(&place, "primary", &["--write"]);
    assert!(refused.stderr.contains("is not the plugin"), "{refused:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = bare();
    let (_primary, url, key) = with_primary(&place);
    if !is_root() {
        return;
    }
    let mounts = Mounts::private();
    let config = place.path("standby/config");
    mounts.bind(&config, &config);
    mounts.read_only(&config);
    let refused = standby(&place, &url, &key, &["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("business-continuity-token"), "{refused:?}");
    mounts.undo(&config);
    let done = standby(&place, &url, &key, &["--write"]);
    assert!(done.stdout.contains("In sync with the primary"), "{done:?}");
}

#[test]
fn every_kind_of_db_properties_is_named() {
    let place = bare();
    let (_primary, url, key) = with_primary(&place);
    let look = |file: &str, arguments: &[&str]| {
        place.file("standby/config/db.properties", file, NOBODY);
        standby(&place, &url, &key, arguments)
    };
    let at = ["--database", "standbydb"];
    for (file, said) in [
        (
            "",
            "H2, which GoCD uses where db.url is empty: only PostgreSQL is covered",
        ),
        ("db.url=jdbc:mysql://h/db", "MySQL: only PostgreSQL is covered"),
        ("db.url=jdbc:postgresql://h:5433/db", "h:5433 -> standbydb:5433"),
        ("db.url=jdbc:postgresql://standbydb/db", "standbydb:5432/db"),
        ("db.url=jdbc:postgresql://a,b/db?targetServerType=primary", "by itself"),
    ] {
        let answer = look(file, &at);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(answer.stdout.contains(said), "{file}: {answer:?}");
    }
    let answer = look("db.url=jdbc:postgresql://h:5433/db", &[]);
    assert!(
        answer
            .stdout
            .contains("h:5433/db; if that is the primary's: --database HOST"),
        "{answer:?}"
    );
    let refused = look("db.url=jdbc:postgresql://u:hush@h/db", &at);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("user in front of the host"), "{refused:?}");
    assert!(!refused.stderr.contains("hush"), "{refused:?}");

    fs::remove_file(place.path("standby/config/db.properties")).expect("removed");
    let missing = standby(&place, &url, &key, &at);
    assert!(missing.stderr.contains("--db-properties"), "{missing:?}");
    let copy = place.file(
        "of-the-primary",
        "# ours\ndb.url=jdbc:postgresql://h/db\ndb.user=u\n",
        ROOT,
    );
    let copy = [
        "--db-properties",
        copy.to_str().expect("text"),
        "--database",
        "127.0.0.1:1",
        "--write",
    ];
    let done = standby(&place, &url, &key, &copy);
    assert_eq!(
        text(&place, "standby/config/db.properties"),
        "# ours\ndb.url=jdbc:postgresql://127.0.0.1:1/db\ndb.user=u\n",
        "{done:?}"
    );
    is_of_gocd(&place, "standby/config/db.properties");
}

/// A password that the standby's own key had encrypted is worth nothing once the primary's key is here.
#[test]
fn a_password_of_another_cipher_is_said_after_the_first_sync() {
    let place = bare();
    let (_primary, url, key) = with_primary(&place);
    let encrypted = "db.url=jdbc:postgresql://127.0.0.1:1/db\ndb.user=u\n\
                     db.encryptedPassword=AES:OXIsu/i5GkuQRcXmF18QAQ==:7eIZyEubLwIuZdNetAif5w==\n";
    place.file("standby/config/db.properties", encrypted, NOBODY);
    let done = standby(&place, &url, &key, &["--write"]);
    assert_ne!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("another cipher.aes"), "{done:?}");
}

#[test]
fn the_database_of_the_standby_is_seen_streaming() {
    let place = bare();
    let first = Postgres::primary();
    let second = Postgres::standby_of(&first);
    place.file("primary/config/db.properties", &first.properties(), NOBODY);
    let (_primary, url, key) = with_primary(&place);
    let database = format!("127.0.0.1:{}", second.port());
    let copy = [
        "--db-properties",
        "primary/config/db.properties",
        "--database",
        &database,
        "--write",
    ];
    let done = standby(&place, &url, &key, &copy);
    assert!(done.stdout.contains("streaming"), "{done:?}");
    assert!(!format!("{done:?}").contains(PASSWORD), "{done:?}");
    assert_eq!(text(&place, "standby/config/db.properties"), second.properties());
}
