//! Misbehaviour on request, for the tests of the hold: what the property `bc.provoke` names goes wrong.
//! Compiled only with the feature `provoke`, whose jar is never given away.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use jni::{Env, errors::Error as JniError, jni_str};

use crate::guard::Failure;

static WANTED: OnceLock<String> = OnceLock::new();
/// Whether an event was asked for before.
static HEARD: AtomicBool = AtomicBool::new(false);

/// Provokes a failure in the native `open`, where one is wanted, and remembers which. Returns the settings to open
/// with.
pub(crate) fn on_open(env: &mut Env<'_>, settings: String) -> Result<String, Failure> {
    let wanted = settings
        .lines()
        .find_map(|line| line.strip_prefix("bc.provoke="))
        .unwrap_or_default();
    match WANTED.get_or_init(|| wanted.trim().to_owned()).as_str() {
        "open-throw" => Err(throw(env, false)),
        "open-oom" => Err(throw(env, true)),
        "open-panic" => panic!("provoked panic"),
        "open-panic-formatted" => panic!("provoked panic in {}", wanted),
        "open-hang" => hang(),
        // A flag that Java does not see.
        "hold-unseen" | "hold-then-hang" => Ok(settings + "\ngo.server.mode=standby\n"),
        _ => Ok(settings),
    }
}

/// Provokes a failure in the native `nextEvent`, where one is wanted.
pub(crate) fn on_next_event(env: &mut Env<'_>) -> Result<(), Failure> {
    match WANTED.get().map(String::as_str) {
        Some("next-throw") => Err(throw(env, false)),
        Some("next-oom") => Err(throw(env, true)),
        Some("next-panic") => panic!("provoked panic in nextEvent"),
        Some("next-hang") => hang(),
        Some("hold-then-hang") if HEARD.swap(true, Ordering::Relaxed) => hang(),
        _ => Ok(()),
    }
}

fn throw(env: &mut Env<'_>, out_of_memory: bool) -> Failure {
    let thrown = if out_of_memory {
        env.throw_new(jni_str!("java/lang/OutOfMemoryError"), jni_str!("provoked"))
    } else {
        env.throw_new(jni_str!("java/lang/IllegalStateException"), jni_str!("provoked"))
    };
    Failure::Jni(thrown.err().unwrap_or(JniError::JavaException))
}

fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
