//! A person at the standby's dashboard, in a real browser.

use std::{fs, time::Duration};

use bc_testkit::{
    browser::{Browser, Scheme},
    gocd_dir::{GocdDir, TOKEN, write_plugin_jar},
};
use bc_tests::Pair;

/// The standby looks every second or so and the page every three; the rest is for a loaded machine.
const APPEARS: Duration = Duration::from_secs(60);

fn address(node: &GocdDir, page: &str) -> String {
    format!(
        "https://127.0.0.1:{}/go/add-on/business-continuity/admin/{page}",
        node.port
    )
}

fn log_in(browser: &Browser, password: &str) {
    browser.fill("input[name=user]", TOKEN.0);
    browser.fill("input[name=password]", password);
    browser.click("form.login button");
}

/// A page that is wider than the window makes a person with a phone scroll in both directions.
fn assert_fits(browser: &Browser, width: u32) {
    let wide = browser.run_script("return document.documentElement.scrollWidth");
    assert!(
        wide.as_u64().is_some_and(|wide| wide <= u64::from(width)),
        "the page is {wide} wide in a window of {width}"
    );
}

#[test]
fn a_person_watches_the_standby_follow_the_primary_and_lose_it() {
    let Pair {
        primary,
        standby,
        primary_jvm,
        standby_jvm: _standby_jvm,
    } = Pair::start(17);
    let browser = Browser::start();

    browser.open(&format!("https://127.0.0.1:{}/", standby.port));
    browser.wait_for_text("h1", "Log in", APPEARS);
    assert_eq!(browser.address(), address(&standby, "login"));
    log_in(&browser, "wrong");
    browser.wait_for_text("[role=alert]", "User or password is wrong", APPEARS);
    // The one error that is meant: the form was answered with 401.
    let errors = browser.take_errors();
    assert!(
        errors.len() == 1 && errors[0].contains("status of 401"),
        "console: {errors:#?}"
    );
    log_in(&browser, TOKEN.1);
    browser.wait_for_text(".headline", "in sync with the primary", APPEARS);
    assert_eq!(browser.address(), address(&standby, "dashboard"));
    assert_eq!(browser.run_script("return document.cookie"), "");

    browser.run_script("window.loadedOnce = true");
    let before = browser
        .text("[data-file='cruise-config.xml'] [data-side=standby] code")
        .expect("the digest of the configuration here");
    let text = fs::read_to_string(primary.config().join("cruise-config.xml")).expect("read");
    primary.rewrite_config(&text.replace("up42", "up43"));
    write_plugin_jar(&primary.plugins().join("sample.jar"), "sample.of.a.plugin", "1.2.3");
    browser.wait_for_text("[data-file='sample.jar']", "sample.of.a.plugin", APPEARS);
    browser.wait_for_text("[data-file='sample.jar'] .state", "in sync", APPEARS);
    bc_testkit::wait::until("the digest of the configuration changes on the page", APPEARS, || {
        browser
            .text("[data-file='cruise-config.xml'] [data-side=standby] code")
            .filter(|after| *after != before)
    });
    browser.wait_for_text(".headline", "in sync with the primary", APPEARS);

    for scheme in [Scheme::Light, Scheme::Dark] {
        browser.look_like(390, 844, scheme);
        assert_fits(&browser, 390);
    }
    browser.look_like(1280, 1000, Scheme::Light);
    assert_fits(&browser, 1280);

    browser.click(".servers a");
    browser.wait_for_text("h1", "Log in", APPEARS);
    assert_eq!(browser.address(), address(&primary, "login"));
    log_in(&browser, TOKEN.1);
    browser.wait_for_text("[data-standby] .state", "in sync", APPEARS);
    assert_eq!(browser.address(), address(&primary, "dashboard"));
    browser.click("[data-standby] a");
    browser.wait_for_text(".headline", "in sync with the primary", APPEARS);
    assert_eq!(browser.address(), address(&standby, "dashboard"));

    browser.run_script("window.loadedOnce = true");
    drop(primary_jvm);
    browser.wait_for_text(".servers", "does not answer", APPEARS);
    assert_eq!(
        browser.run_script("return window.loadedOnce"),
        true,
        "the page was loaded again"
    );
    assert_eq!(browser.take_errors(), Vec::<String>::new());

    browser.click("form[action$=logout] button");
    browser.wait_for_text("h1", "Log in", APPEARS);
    browser.open(&address(&standby, "dashboard"));
    browser.wait_for_text("h1", "Log in", APPEARS);
    assert_eq!(browser.address(), address(&standby, "login"));
    assert_eq!(browser.take_errors(), Vec::<String>::new());
}
