//! `gocd-bc token`: makes and checks the user and password that both nodes share.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{Error, Kind},
    durable::atomic,
    generation::own_files::TOKEN_FILE,
    keys::Token,
};

use crate::{args::TokenPlace, exit_code::ExitCode, failure::Failure, find::Search, output, owner};

/// Runs `gocd-bc token generate`: makes a token and writes it. Nothing is replaced unless `force`.
pub(crate) fn generate(search: &Search, place: &TokenPlace, force: bool) -> Result<ExitCode, Failure> {
    let File { path, owned_by } = file(search, place)?;
    let token = Token::generate()?;
    owner::as_owner_of(&owned_by, || write(&path, &token, force))?;
    output::print(&format!("{}\nuser: {}\n", path.display(), token.user()))?;
    output::say(
        "The password is in the file. A running GoCD notices it within seconds.\n\
         Copy the file to the other server: both need the same one.\n",
    );
    Ok(ExitCode::Ok)
}

/// Runs `gocd-bc token check`: checks the token file.
pub(crate) fn check(search: &Search, place: &TokenPlace) -> Result<ExitCode, Failure> {
    let File { path, .. } = file(search, place)?;
    let token = Token::load(&path).map_err(|error| {
        let exit = if error.kind() == Kind::Setting {
            ExitCode::Critical
        } else {
            ExitCode::Unknown
        };
        Failure::from(error).with_exit(exit)
    })?;
    if everybody_reads(&path) {
        output::print(&format!(
            "WARNING  everybody on this machine can read the token file {}\n\nhint: chmod 0600 {0}\n",
            path.display()
        ))?;
        return Ok(ExitCode::Warning);
    }
    output::print(&format!(
        "OK  {} holds one user and a password\nuser: {}\n",
        path.display(),
        token.user()
    ))?;
    Ok(ExitCode::Ok)
}

/// A token file, and the file whose owner it should have.
struct File {
    path: PathBuf,
    owned_by: PathBuf,
}

/// Finds the token file that is meant, and whose it should be.
fn file(search: &Search, place: &TokenPlace) -> Result<File, Failure> {
    if let Some(path) = &place.file {
        return Ok(File {
            owned_by: path.with_file_name("cruise-config.xml"),
            path: path.clone(),
        });
    }
    let layout = search.layout(place.config.config.as_deref())?;
    debug_assert!(layout.token().ends_with(TOKEN_FILE));
    Ok(File {
        path: layout.token(),
        owned_by: layout.cruise_config().to_owned(),
    })
}

/// Writes the token file, over another one only with `force`.
pub(super) fn write(path: &Path, token: &Token, force: bool) -> Result<(), Failure> {
    let text = token.to_file_text();
    if force {
        return Ok(atomic::write(path, text.as_bytes(), 0o600)?);
    }
    let failed = |error: io::Error| Failure::from(Error::io("write the token file", path, &error));
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = atomic::temporary(folder, 0o600).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path)
        .map_err(|refused| match refused.error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(
                ExitCode::Failed,
                format!("there is a token already in {}", path.display()),
                "Copy that one to the other server. `--force` replaces it: then both servers need the new one.",
            ),
            _ => failed(refused.error),
        })?;
    atomic::sync_folder(folder).map_err(failed)
}

/// Whether every user may read the token file.
#[cfg(unix)]
fn everybody_reads(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Whether every user may read the token file: not known here.
#[cfg(not(unix))]
fn everybody_reads(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn is_not_replaced_unless_forced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(TOKEN_FILE);
        let (first, second) = (Token::generate().expect("random"), Token::generate().expect("random"));
        write(&path, &first, false).expect("new");
        let refusal = write(&path, &second, false).expect_err("there is one");
        assert!(refusal.message().contains("there is a token already"), "{refusal}");
        assert_eq!(Token::load(&path), Ok(first));
        write(&path, &second, true).expect("forced");
        assert_eq!(Token::load(&path), Ok(second));
        assert_eq!(
            fs::read_dir(folder.path()).expect("list").count(),
            1,
            "no temporary file is left"
        );
        assert!(!everybody_reads(&path));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let refusal =
            write(Path::new("/nonexistent/t"), &Token::generate().expect("random"), false).expect_err("no folder");
        assert!(refusal.message().contains("/nonexistent/t"), "{refusal}");
    }
}
