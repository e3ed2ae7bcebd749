//! Lets `cargo xtask ci` look for secrets in all that the tests and their processes say.
//!
//! The environment variable `BC_SECRETS_DIR` names a folder; without it nothing happens here. Whatever makes a
//! secret registers it: one line of `registered`, its kind and its bytes in hex. Whatever a process says is kept below
//! `said`, where tests would throw it away.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

/// Shorter ones are words that anybody may write.
const SHORTEST: usize = 12;

/// Registers a secret; `kind` is what a finding calls it.
///
/// # Panics
/// The folder cannot be written.
pub fn register(kind: &str, secret: &[u8]) {
    let Some(folder) = folder() else { return };
    if secret.len() < SHORTEST {
        return;
    }
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("registered"))
        .expect("open the list of secrets");
    // One write is one line, whoever else appends.
    file.write_all(format!("{kind}\t{hex}\n").as_bytes())
        .expect("register a secret");
}

/// Registers the password of a token file's text, alone and as HTTP sends it.
pub fn register_token(text: &str) {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    for (user, password) in lines.filter_map(|line| line.split_once(['=', ':'])) {
        let (user, password) = (user.trim(), password.trim());
        register("password of a token", password.as_bytes());
        if password.len() >= SHORTEST {
            register("token", format!("{user}:{password}").as_bytes());
        }
    }
}

/// Registers each line of the private keys in a PEM text.
pub fn register_keys(pem: &str) {
    let mut is_key = false;
    for line in pem.lines() {
        if line.starts_with("-----") {
            is_key = line.contains("BEGIN") && line.contains("PRIVATE KEY");
        } else if is_key {
            register("private key", line.trim().as_bytes());
        }
    }
}

/// Registers what is secret in a folder of GoCD, and keeps what is not in its state folder.
///
/// # Panics
/// The folder cannot be read.
pub fn leave(gocd: &Path) {
    if folder().is_some() {
        visit(gocd, &mut |path| leave_file(gocd, path));
    }
}

fn leave_file(gocd: &Path, path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.extension().is_some_and(|extension| extension == "jar") {
        return;
    }
    // What is not there any more, or belongs to another user, was none of ours.
    let Ok(bytes) = fs::read(path) else { return };
    let text = String::from_utf8_lossy(&bytes);
    match name.as_str() {
        "business-continuity-token" => register_token(&text),
        "cipher.aes" | "cipher" => register("cipher of GoCD", text.trim().as_bytes()),
        name if text.contains("PRIVATE KEY-----") || name.starts_with("identity") => register_keys(&text),
        // The bytes of files, secret ones among them, are in this one.
        _ if path.components().any(|part| part.as_os_str() == "blobs") => {}
        _ if path.starts_with(gocd.join("db/business-continuity")) => said(&format!("state {name}"), &bytes),
        _ => {}
    }
}

/// Keeps what somebody said.
///
/// # Panics
/// The folder cannot be written.
pub fn said(who: &str, bytes: &[u8]) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = folder() else { return };
    let folder = folder.join("said");
    fs::create_dir_all(&folder).expect("a folder for what is said");
    let who: String = who
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{}-{number}-{who}", process::id()));
    fs::write(path, bytes).expect("keep what was said");
}

/// Keeps what everybody on this machine may see of a process, and its environment.
pub fn seen_of_process(who: &str, id: u32) {
    if folder().is_none() {
        return;
    }
    for file in ["cmdline", "environ"] {
        // A process that has ended has neither.
        if let Ok(bytes) = fs::read(format!("/proc/{id}/{file}")) {
            let lines: Vec<u8> = bytes
                .iter()
                .map(|byte| if *byte == 0 { b'\n' } else { *byte })
                .collect();
            said(&format!("{who} {file}"), &lines);
        }
    }
}

fn folder() -> Option<PathBuf> {
    env::var_os("BC_SECRETS_DIR").map(PathBuf::from)
}

fn visit(folder: &Path, file: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => visit(&entry.path(), file),
            Ok(kind) if kind.is_file() => file(&entry.path()),
            _ => {}
        }
    }
}
