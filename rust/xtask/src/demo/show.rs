//! The demo for people, and for programs that bring their own changes.

use std::{
    io::{self, Read},
    thread,
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::demo::{Stop, changes::Changes, observer::Observer, pair::Pair, primary_files, rows::Rows};

/// Time between two changes that people watch.
const BETWEEN: Duration = Duration::from_secs(3);

/// Prints where everything is.
pub(crate) fn print_places(pair: &Pair, as_json: bool) {
    let Pair {
        primary,
        standby,
        login,
        databases,
        ..
    } = pair;
    if as_json {
        let mut places = json!({
            "primary_url": primary.url(),
            "standby_url": standby.url(),
            "token": format!("{}:{}", login.user, login.password),
            "primary_config": primary.folder.config(),
            "standby_config": standby.folder.config(),
            "primary_plugins": primary.folder.plugins(),
            "standby_plugins": standby.folder.plugins(),
            "pids": [primary.jvm.pid(), standby.jvm.pid()],
        });
        if let Some(databases) = databases {
            places["primary_database"] = databases.primary.address().into();
            places["standby_database"] = databases.standby.address().into();
        }
        println!("{places}");
        return;
    }
    println!();
    println!("primary   {}", primary.dashboard());
    println!("standby   {}", standby.dashboard());
    println!("login     {} / {}", login.user, login.password);
    println!("folders   {}", primary.folder.root().display());
    println!("          {}", standby.folder.root().display());
    if let Some(databases) = databases {
        println!("databases {}", databases.primary.address());
        println!("          {}", databases.standby.address());
    }
    println!("Certificates are self-signed, so the browser asks. Ctrl-C ends both servers.");
    println!();
}

/// Changes the primary's configuration every few seconds and prints how long each change took.
pub(crate) fn change_until_stopped(pair: &mut Pair, stop: &Stop) -> Result<()> {
    let mut changes = Changes::of(pair)?;
    let observer = Observer::start(&pair.primary.folder, &pair.standby.folder)?;
    let mut rows = pair.databases.as_ref().map(Rows::start).transpose()?;
    loop {
        stop.sleep(BETWEEN);
        if stop.requested() {
            return Ok(());
        }
        let took = changes.make(pair, &observer)?;
        println!(
            "change {} of cruise-config.xml is live on the standby after {took} ms",
            changes.made()
        );
        if let Some(rows) = &mut rows {
            rows.must_run()?;
            print_rows(rows, &pair.standby.status(&pair.project)?["database"]);
        }
    }
}

fn print_rows(rows: &Rows, database: &Value) {
    let latencies = rows.latencies_ms();
    let Some(newest) = latencies.last() else {
        return;
    };
    println!(
        "row {} of the database is on the standby after {newest} ms; its node says {}, {} bytes and {} s behind",
        latencies.len(),
        database["following"].as_str().unwrap_or("nothing"),
        database["behind_bytes"],
        database["behind_s"]
    );
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
