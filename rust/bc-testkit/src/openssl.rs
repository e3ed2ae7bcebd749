//! The command `openssl`: certificates and keys as administrators make them.

use std::{path::Path, process::Command};

/// Runs `openssl` with these arguments, separated by blanks, in `folder`.
///
/// # Panics
/// There is no such command, or it fails.
pub fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("cannot start openssl (Debian package openssl): {error}"));
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
