//! The demo for people, and for programs that bring their own changes.

use std::{
    fs,
    io::{self, Read},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;

use crate::demo::{Stop, check::milliseconds, observer::Observer, pair::Pair, primary_files};

/// Time between two changes that people watch.
const BETWEEN: Duration = Duration::from_secs(3);
/// When a change counts as lost.
const LOST: Duration = Duration::from_secs(30);

/// Prints where everything is.
pub(crate) fn print_places(pair: &Pair, as_json: bool) {
    let Pair {
        primary,
        standby,
        login,
        ..
    } = pair;
    if as_json {
        let places = json!({
            "primary_url": primary.url(),
            "standby_url": standby.url(),
            "token": format!("{}:{}", login.user, login.password),
            "primary_config": primary.folder.config(),
            "standby_config": standby.folder.config(),
            "primary_plugins": primary.folder.plugins(),
            "standby_plugins": standby.folder.plugins(),
            "pids": [primary.jvm.pid(), standby.jvm.pid()],
        });
        println!("{places}");
        return;
    }
    println!();
    println!("primary   {}", primary.dashboard());
    println!("standby   {}", standby.dashboard());
    println!("login     {} / {}", login.user, login.password);
    println!("folders   {}", primary.folder.root().display());
    println!("          {}", standby.folder.root().display());
    println!("Certificates are self-signed, so the browser asks. Ctrl-C ends both servers.");
    println!();
}

/// Changes the primary's configuration every few seconds and prints how long each change took.
pub(crate) fn change_until_stopped(pair: &mut Pair, stop: &Stop) -> Result<()> {
    let file = pair.primary.folder.cruise_config();
    let arrives = pair.standby.folder.cruise_config();
    let original = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let observer = Observer::start(&pair.primary.folder, &pair.standby.folder)?;
    for change in 1.. {
        stop.sleep(BETWEEN);
        if stop.requested() {
            break;
        }
        pair.must_run()?;
        let text = primary_files::changed_config(&original, change)?;
        let digest = observer.expect(text.as_bytes());
        let written = primary_files::save_config(&pair.primary.folder, &text)?;
        let arrived = observer.wait_for(&arrives, Some(&digest), LOST)?;
        let took = milliseconds(arrived.saturating_duration_since(written));
        println!("change {change} of cruise-config.xml is live on the standby after {took} ms");
    }
    Ok(())
}

/// Stays until a signal, the end of standard input, or the end of a JVM.
///
/// # Errors
/// A JVM has ended by itself.
pub(crate) fn wait_for_the_end(pair: &mut Pair, stop: &Stop) -> Result<()> {
    let at_end = stop.clone();
    // Not joined: it may wait for input for ever, and ends with the process.
    thread::spawn(move || {
        let mut ignored = [0; 1024];
        while io::stdin().read(&mut ignored).is_ok_and(|length| length > 0) {}
        at_end.request();
    });
    while !stop.requested() {
        pair.must_run()?;
        primary_files::accept_edits(&pair.primary.folder)?;
        stop.sleep(Duration::from_millis(500));
    }
    Ok(())
}
