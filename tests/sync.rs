//! Two JVMs, one jar: real files cross.

use std::{fs, path::Path, time::Duration};

use bc_testkit::{
    gocd_dir::{GocdDir, write_plugin_jar},
    wait,
};
use bc_tests::{Pair, authorized, start_standby, wait_for_sync};

const ARRIVES: Duration = Duration::from_secs(10);

fn wait_for_equal(one: &Path, other: &Path) {
    wait::until(
        &format!("{} equals {}", other.display(), one.display()),
        ARRIVES,
        || (fs::read(one).ok()? == fs::read(other).ok()?).then_some(()),
    );
}

#[test]
fn configuration_and_plugins_cross_and_only_what_came_from_the_primary_is_removed() {
    let pair = Pair::start(17);
    let (primary, standby) = (&pair.primary, &pair.standby);
    let only_here = standby.plugins().join("only-here.jar");
    write_plugin_jar(&only_here, "only.here", "1");

    let text = fs::read_to_string(primary.config().join("cruise-config.xml")).expect("read");
    primary.rewrite_config(&text.replace("up42", "up43"));
    wait_for_equal(
        &primary.config().join("cruise-config.xml"),
        &standby.config().join("cruise-config.xml"),
    );

    let added = primary.plugins().join("sample.jar");
    write_plugin_jar(&added, "sample", "1.0.0");
    wait_for_equal(&added, &standby.plugins().join("sample.jar"));
    write_plugin_jar(&added, "sample", "1.1.0");
    wait_for_equal(&added, &standby.plugins().join("sample.jar"));
    let status = standby.wait_for_status("the plugin is listed", ARRIVES, |status| {
        status["files"].as_array().is_some_and(|files| {
            files
                .iter()
                .any(|file| file["plugin"]["id"] == "sample" && file["plugin"]["version"] == "1.1.0")
        })
    });
    assert_eq!(
        status["severity"],
        serde_json::Value::Null,
        "severity is computed, not stored"
    );

    let stays = primary.plugins().join("stays.jar");
    write_plugin_jar(&stays, "stays", "1");
    wait_for_equal(&stays, &standby.plugins().join("stays.jar"));
    fs::remove_file(&added).expect("remove");
    wait::until("the plugin is removed", ARRIVES, || {
        (!standby.plugins().join("sample.jar").exists()).then_some(())
    });
    fs::remove_file(&stays).expect("remove");
    standby.wait_for_status("the last plugin is kept", ARRIVES, |status| {
        status["sync"]["kept"] == serde_json::json!(["plugins/external/stays.jar"])
    });
    assert!(standby.plugins().join("stays.jar").exists());
    assert!(
        only_here.exists(),
        "a jar that did not come from the primary was removed"
    );
    assert!(
        standby.plugins().join("gocd-business-continuity.jar").exists(),
        "our own jar is never touched"
    );
    for name in ["cipher.aes", "jetty.xml", "go.feature.toggles"] {
        wait_for_equal(&primary.config().join(name), &standby.config().join(name));
    }
}

#[test]
fn a_standby_that_knows_no_key_says_what_to_type_and_syncs_after_it() {
    let primary = GocdDir::with_jar();
    let _primary_jvm = primary.launch("primary", &mut primary.java(17));
    primary.wait_for_port();
    let standby = GocdDir::with_jar();
    let _standby_jvm = start_standby(&standby, primary.port, 17);
    let status = standby.wait_for_status("the key was seen", Duration::from_secs(60), |status| {
        status["primary"]["seen_fingerprint"].is_string()
    });
    let seen = status["primary"]["seen_fingerprint"]
        .as_str()
        .expect("a text")
        .to_owned();
    let own = primary.status().expect("the primary answers")["fingerprint"].clone();
    assert_eq!(own, seen.as_str());
    assert_eq!(status["primary"]["trusted"], false);
    let problem = status["problems"].to_string();
    assert!(problem.contains(&format!("gocd-bc trust {seen}")), "{problem}");

    let output = standby.cli(&["trust", &seen]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for_sync(&standby);
}

#[test]
fn a_primary_that_is_ourselves_is_refused() {
    let standby = GocdDir::with_jar();
    let fake = standby.port;
    let _jvm = start_standby(&standby, fake, 17);
    let status = standby.wait_for_status("a problem is shown", Duration::from_secs(60), |status| {
        status["sync"]["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty())
    });
    assert_eq!(status["sync"]["in_sync"], false);
    assert_eq!(status["role"], "standby");
}

#[test]
fn every_route_wants_the_token_and_says_nothing_without_it() {
    let primary = GocdDir::with_jar();
    let _jvm = primary.launch("primary", &mut primary.java(17));
    primary.wait_for_port();
    let client = bc_testkit::http::tls_client();
    for path in [
        "/api/v2/manifest",
        "/api/v2/node",
        "/api/cruise_config",
        "/api/cipher.aes",
        "/api/health-check",
        "/nothing",
    ] {
        let url = format!("https://127.0.0.1:{}/go/add-on/business-continuity{path}", primary.port);
        let answer = client.get(&url).send().expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
        let answer = client
            .get(&url)
            .basic_auth("business-continuity", Some("wrong"))
            .send()
            .expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.text().expect("text"), "bad credentials!", "{path}");
    }
    assert_eq!(
        authorized(primary.port, "/api/health-check").text().expect("text"),
        "OK!"
    );
}

#[test]
fn a_standby_says_since_when_its_primary_does_not_answer_and_goes_on_when_it_does() {
    let Pair {
        primary,
        standby,
        primary_jvm,
        standby_jvm: _standby_jvm,
    } = Pair::start(17);
    drop(primary_jvm);
    let status = standby.wait_for_status("the primary is missed", ARRIVES, |status| {
        status["primary"]["connected"] == false
    });
    assert_eq!(status["sync"]["in_sync"], false);
    // A primary that closes answers the poll that waits, and the next one may fail in the same millisecond.
    assert!(status["primary"]["since_ms"].as_i64() >= status["primary"]["last_exchange_ms"].as_i64());
    let page = authorized(standby.port, "/admin/dashboard/fragment")
        .text()
        .expect("text");
    assert!(page.contains("does not answer"), "{page}");
    let _again = primary.launch("primary again", &mut primary.java(17));
    wait_for_sync(&standby);
}
