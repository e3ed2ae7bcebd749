//! A headless Chromium, driven over WebDriver.
//!
//! Chromium and its driver are children of this process and nobody's but ours, so that both end with the
//! [`Browser`], however the test ends. The driver does not start Chromium, it attaches to it.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    str::FromStr,
    thread::sleep,
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, error::CmdError, wd::WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{free_port, process::Process, wait};

/// A browser with a fresh profile and one window. It accepts every certificate.
///
/// What looks for an element finds the first one that a CSS selector matches.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    runtime: Runtime,
    // Dropped in this order: the browser ends before the driver, and both before the profile is removed.
    _chromium: Process,
    _driver: Process,
    _profile: TempDir,
}

/// The colours that a person has asked the operating system for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A loaded machine needs this long for starting a browser, or for loading a page.
const LIMIT: Duration = Duration::from_secs(90);

impl Browser {
    /// Starts Chromium and attaches to it.
    ///
    /// # Panics
    /// Chromium or its driver is not installed, or one does not start.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let chromium = Process::start(
            "chromium",
            Command::new(installed("BC_CHROMIUM", "/usr/bin/chromium"))
                .args([
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--ignore-certificate-errors",
                    "--window-size=1280,1000",
                    "--remote-debugging-port=0",
                ])
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg("about:blank"),
        );
        // Chromium writes the port that it has taken, and a path, once it listens.
        let port_file = profile.path().join("DevToolsActivePort");
        let debugger = wait::until("chromium listens for its driver", LIMIT, || {
            let text = fs::read_to_string(&port_file).ok()?;
            text.split_once('\n')?.0.parse::<u16>().ok()
        });

        let port = free_port();
        let driver = Process::start(
            "chromedriver",
            Command::new(installed("BC_CHROMEDRIVER", "/usr/bin/chromedriver")).arg(format!("--port={port}")),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let Value::Object(capabilities) = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "debuggerAddress": format!("127.0.0.1:{debugger}") },
            "goog:loggingPrefs": { "browser": "ALL" },
        }) else {
            unreachable!("braces make an object")
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let address = format!("http://127.0.0.1:{port}");
        let client = wait::until("chromedriver attaches to chromium", LIMIT, || {
            runtime.block_on(builder.connect(&address)).ok()
        });
        Self {
            client,
            runtime,
            _chromium: chromium,
            _driver: driver,
            _profile: profile,
        }
    }

    /// Loads a page.
    ///
    /// # Panics
    /// Nobody answers there.
    pub fn open(&self, address: &str) {
        self.run(self.client.goto(address))
            .unwrap_or_else(|error| panic!("cannot open {address}: {error}"));
    }

    /// The address of the page that is shown.
    ///
    /// # Panics
    /// The browser is gone.
    pub fn address(&self) -> String {
        self.run(self.client.current_url()).expect("an address").into()
    }

    /// What a person reads in an element; none while there is no such element, or the page is being replaced.
    pub fn text(&self, selector: &str) -> Option<String> {
        self.run(async { self.client.find(Locator::Css(selector)).await?.text().await })
            .ok()
    }

    /// Waits until a person reads `wanted` in an element, and returns all of its text.
    ///
    /// # Panics
    /// They do not within `limit`.
    pub fn wait_for_text(&self, selector: &str, wanted: &str, limit: Duration) -> String {
        let start = Instant::now();
        loop {
            let text = self.text(selector);
            match text {
                Some(text) if text.contains(wanted) => return text,
                _ => assert!(
                    start.elapsed() < limit,
                    "waited {limit:?} in vain: `{selector}` says `{wanted}`; it says {text:?} at {}",
                    self.address()
                ),
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Types into a field that holds nothing of worth.
    ///
    /// # Panics
    /// There is no such field.
    pub fn fill(&self, selector: &str, text: &str) {
        self.run(async {
            let field = self.client.find(Locator::Css(selector)).await?;
            field.clear().await?;
            field.send_keys(text).await
        })
        .unwrap_or_else(|error| panic!("cannot type into `{selector}`: {error}"));
    }

    /// Clicks an element; a page that follows may still be loading on return.
    ///
    /// # Panics
    /// There is none that can be clicked.
    pub fn click(&self, selector: &str) {
        self.run(async { self.client.find(Locator::Css(selector)).await?.click().await })
            .unwrap_or_else(|error| panic!("cannot click `{selector}`: {error}"));
    }

    /// What a script returns. It runs beside the page, whatever the page's own policy on scripts.
    ///
    /// # Panics
    /// It throws.
    pub fn run_script(&self, script: &str) -> Value {
        self.run(self.client.execute(script, Vec::new()))
            .unwrap_or_else(|error| panic!("`{script}` failed: {error}"))
    }

    /// Lets pages see a window of this size, and a person who likes these colours.
    ///
    /// # Panics
    /// The browser is gone.
    pub fn look_like(&self, width: u32, height: u32, scheme: Scheme) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] }),
        );
    }

    /// A picture of the whole window, as PNG.
    ///
    /// # Panics
    /// The browser is gone.
    pub fn picture(&self) -> Vec<u8> {
        self.run(self.client.screenshot()).expect("a picture")
    }

    /// Errors in the console since the last call: of scripts, of the page's security policy, of the network.
    ///
    /// # Panics
    /// The browser is gone.
    pub fn take_errors(&self) -> Vec<String> {
        let entries = self.command("se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list");
        let errors = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        errors
            .map(|entry| format!("{}: {}", entry["source"], entry["message"]))
            .collect()
    }

    fn devtools(&self, method: &str, parameters: Value) {
        self.command("goog/cdp/execute", json!({ "cmd": method, "params": parameters }));
    }

    /// A command that only chromedriver has.
    fn command(&self, path: &'static str, body: Value) -> Value {
        self.run(self.client.issue_cmd(OfChromedriver { path, body }))
            .unwrap_or_else(|error| panic!("chromedriver refuses {path}: {error}"))
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, CmdError>>) -> Result<T, CmdError> {
        self.runtime.block_on(work)
    }
}

#[derive(Debug)]
struct OfChromedriver {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for OfChromedriver {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// The program that an environment variable names, or the one at the usual place.
fn installed(variable: &str, usual: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| PathBuf::from(usual), PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: install the packages chromium and chromium-driver, or name it in {variable}",
        path.display()
    );
    path
}
