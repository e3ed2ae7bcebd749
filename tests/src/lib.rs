//! What several whole-system tests share: a primary and a held standby, as two JVMs or as two companion processes, and
//! their long, hard use.

#![forbid(unsafe_code)]

pub mod nodes;
pub mod soak;

use std::time::Duration;

use bc_testkit::{
    gocd_dir::{GocdDir, TOKEN},
    http,
    process::Process,
};

/// A primary and a held standby, each in a folder and a JVM of its own.
#[derive(Debug)]
pub struct Pair {
    /// The primary's folder.
    pub primary: GocdDir,
    /// The standby's folder.
    pub standby: GocdDir,
    /// The primary's JVM.
    pub primary_jvm: Process,
    /// The standby's JVM.
    pub standby_jvm: Process,
}

impl Pair {
    /// Starts both on this Java and waits until the standby is in sync.
    ///
    /// # Panics
    /// They do not get there.
    pub fn start(java: u32) -> Self {
        Self::start_with(java, &[])
    }

    /// Starts both as [`Pair::start`], the standby's JVM with these arguments as well.
    ///
    /// # Panics
    /// As [`Pair::start`].
    pub fn start_with(java: u32, more: &[&str]) -> Self {
        let primary = GocdDir::with_jar();
        let primary_jvm = primary.launch("primary", &mut primary.java(java));
        primary.wait_for_gocd();
        primary.wait_for_port();
        let standby = GocdDir::with_jar();
        standby.copy_config_of(&primary);
        let standby_jvm = standby.launch(
            "standby",
            standby
                .java(java)
                .args(GocdDir::standby_arguments(primary.port))
                .args(more),
        );
        wait_for_sync(&standby);
        Self {
            primary,
            standby,
            primary_jvm,
            standby_jvm,
        }
    }
}

/// Starts a held standby.
pub fn start_standby(standby: &GocdDir, primary_port: u16, java: u32) -> Process {
    standby.launch(
        "standby",
        standby.java(java).args(GocdDir::standby_arguments(primary_port)),
    )
}

/// Waits until the standby says that it is in sync.
///
/// # Panics
/// It does not within a minute.
pub fn wait_for_sync(standby: &GocdDir) {
    standby.wait_for_status("the standby is in sync", Duration::from_secs(60), |status| {
        status["sync"]["in_sync"] == true
    });
}

/// A request to our TLS port with the token.
///
/// # Panics
/// There is no answer.
pub fn authorized(port: u16, path: &str) -> reqwest::blocking::Response {
    http::tls_client()
        .get(format!("https://127.0.0.1:{port}/go/add-on/business-continuity{path}"))
        .basic_auth(TOKEN.0, Some(TOKEN.1))
        .send()
        .expect("an answer")
}
