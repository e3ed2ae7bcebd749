//! Undoing what a former primary wrote after the two parted, by `pg_rewind`: in a copy of its data folder.
//!
//! One that fails half way leaves a folder that nothing can be done with. So the folder itself is not touched until its
//! copy is whole, and a copy that an earlier run left unfinished is made anew. Links of files would not do for a copy:
//! PostgreSQL writes into its files in place, and a linked one would be written twice.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bc_core::{basics::error::Error, database::reseed::Obstacle};

use super::{former::Former, new_primary::NewPrimary};
use crate::{
    cluster::Cluster,
    console::Console,
    data_folder::Lock,
    program::{Output, Program},
};

/// As long may copying and rewinding take.
const WITHIN: Duration = Duration::from_secs(24 * 3600);
/// How often it is said how far it is.
const TICK: Duration = Duration::from_millis(500);
/// Since this version `pg_rewind` would recover a folder that was not stopped in order by itself: with the server's
/// configuration, which it does not find everywhere.
const RECOVERS_SINCE: u32 = 13;
/// What belongs to one run of a server, or to what it was: it does not come along.
const OF_A_RUN: [&str; 11] = [
    "PG_VERSION",
    "backup_label",
    "backup_label.old",
    "backup_manifest",
    "current_logfiles",
    "postmaster.opts",
    "postmaster.pid",
    "recovery.conf",
    "recovery.signal",
    "standby.signal",
    "tablespace_map",
];

/// What a dry run has shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DryRun {
    /// There is something to undo, and it can be undone.
    Undoes,
    /// There is nothing to undo.
    NothingToDo,
}

/// Runs `pg_rewind` without letting it write. The server must be stopped, in order.
///
/// # Errors
/// [`Obstacle`] that it shows; the outer one where it cannot be run.
pub(super) fn dry_run(cluster: &Cluster, new: &NewPrimary<'_>) -> Result<Result<DryRun, Obstacle>, Error> {
    Ok(judged(&rewind(cluster, &cluster.data, new, true).run()?))
}

/// Copies the data folder to `copy`, which is there and empty, and undoes in it what the new primary does not have. After
/// it the copy has this server's own files of configuration again: `pg_rewind` brings the other one's.
///
/// # Errors
/// [`Obstacle`]: the copy is of no use. The outer one where something else fails, such as the disk.
pub(super) fn in_copy(
    cluster: &Cluster,
    former: &Former,
    new: &NewPrimary<'_>,
    copy: &Path,
    lock: &Lock,
    console: &mut dyn Console,
) -> Result<Result<(), Obstacle>, Error> {
    copy_folder(cluster, copy, lock, console)?;
    if !former.is_stopped_in_order() {
        console.say("The server was not stopped in order: its log is replayed in the copy.");
        recover(cluster, copy, lock)?;
    }
    console.say("pg_rewind undoes in the copy what the new primary does not have.");
    let program = rewind(cluster, copy, new, false).holding(lock.share()?).dying_with_us();
    let ended = program.within(WITHIN).run()?;
    if let Err(obstacle) = judged(&ended) {
        return Ok(Err(obstacle));
    }
    own_configuration(cluster, copy)?;
    Ok(Ok(()))
}

/// Bytes of all files below a folder, without links; what goes away meanwhile counts nothing.
pub(super) fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() {
            size_of(&entry.path())
        } else {
            metadata.len()
        })
    });
    sizes.sum()
}

fn rewind(cluster: &Cluster, data: &Path, new: &NewPrimary<'_>, is_dry: bool) -> Program {
    let program = cluster
        .program("pg_rewind")
        .arg("-D")
        .arg(data)
        .arg("--source-server")
        .arg(new.source().text());
    let program = if cluster.major >= RECOVERS_SINCE {
        program.arg("--no-ensure-shutdown")
    } else {
        program
    };
    if is_dry { program.arg("-n") } else { program }
}

/// What `pg_rewind` says, by its words in English.
fn judged(output: &Output) -> Result<DryRun, Obstacle> {
    let has = |words: &str| output.stderr.contains(words) || output.stdout.contains(words);
    if output.code == Some(0) {
        let nothing = has("no rewind required");
        return Ok(if nothing { DryRun::NothingToDo } else { DryRun::Undoes });
    }
    Err(if has("could not find previous WAL record") || has("pg_wal/") {
        Obstacle::LogGone
    } else if has("wal_log_hints") {
        Obstacle::NoHints
    } else {
        Obstacle::Failed(output.last_words())
    })
}

fn copy_folder(cluster: &Cluster, copy: &Path, lock: &Lock, console: &mut dyn Console) -> Result<(), Error> {
    let total = size_of(&cluster.data);
    let copied = Program::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(cluster.data.join("."))
        .arg(copy)
        .as_user(&cluster.owner)
        .holding(lock.share()?)
        .dying_with_us()
        .within(WITHIN)
        .run_ticking(TICK, &mut || console.progress("copy", size_of(copy), Some(total)))?;
    copied.checked("cp")?;
    // Of a run, and of a standby: with the last the server would not recover alone.
    for name in ["postmaster.pid", "standby.signal", "recovery.signal", "recovery.conf"] {
        remove(cluster, &copy.join(name))?;
    }
    let slots = fs::read_dir(copy.join("pg_replslot")).into_iter().flatten();
    for slot in slots.filter_map(Result::ok) {
        remove(cluster, &slot.path())?;
    }
    Ok(())
}

/// Replays the log of a copy whose server was not stopped in order: as one user alone, so that nobody can connect.
fn recover(cluster: &Cluster, copy: &Path, lock: &Lock) -> Result<(), Error> {
    let data = format!("data_directory={}", copy.display());
    // A configuration inside of the folder came along.
    let configuration = if cluster.configuration == cluster.data {
        copy
    } else {
        &cluster.configuration
    };
    cluster
        .program("postgres")
        .args(["--single", "-F", "-D"])
        .arg(configuration)
        .args(["-c", &data, "template1"])
        .holding(lock.share()?)
        .dying_with_us()
        .within(WITHIN)
        .succeed()?;
    Ok(())
}

/// Puts this server's own files back that lie in its data folder: port, addresses, who is let in, certificates, logs.
fn own_configuration(cluster: &Cluster, copy: &Path) -> Result<(), Error> {
    for path in own_files(&cluster.data)? {
        let place = copy.join(path.file_name().unwrap_or_default());
        remove(cluster, &place)?;
        Program::new("cp")
            .arg("-a")
            .arg(&path)
            .arg(&place)
            .as_user(&cluster.owner)
            .within(WITHIN)
            .succeed()?;
    }
    Ok(())
}

/// What of a data folder is not PostgreSQL's data.
fn own_files(data: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(data).map_err(|error| Error::io("list", data, &error))?;
    let is_own = |name: &str| match name {
        "pg_hba.conf" | "pg_ident.conf" | "pg_log" => true,
        "base" | "global" => false,
        name => !name.starts_with("pg_") && !OF_A_RUN.contains(&name),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_own))
        .collect())
}

fn remove(cluster: &Cluster, path: &Path) -> Result<(), Error> {
    let removed = Program::new("rm")
        .arg("-rf")
        .arg(path)
        .as_user(&cluster.owner)
        .within(WITHIN);
    removed.succeed().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, stderr: &str) -> Result<DryRun, Obstacle> {
        judged(&Output {
            code: Some(code),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        })
    }

    #[test]
    fn what_pg_rewind_says_is_understood() {
        let undoes = "pg_rewind: servers diverged at WAL location 0/3018000 on timeline 1\npg_rewind: Done!\n";
        assert_eq!(said(0, undoes), Ok(DryRun::Undoes));
        assert_eq!(said(0, "pg_rewind: no rewind required\n"), Ok(DryRun::NothingToDo));
        let gone = "pg_rewind: error: could not open file \"/d/pg_wal/000000010000000000000002\": No such file or directory\n\
                    pg_rewind: error: could not find previous WAL record at 0/3018000\n";
        assert_eq!(said(1, gone), Err(Obstacle::LogGone));
        let hints = "pg_rewind: error: target server needs to use either data checksums or \"wal_log_hints = on\"\n";
        assert_eq!(said(1, hints), Err(Obstacle::NoHints));
        let other = "pg_rewind: error: could not fetch remote file\n";
        assert!(matches!(said(1, other), Err(Obstacle::Failed(_))));
    }

    #[test]
    fn only_what_is_not_data_is_put_back() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["base", "pg_wal", "conf.d", "log"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        for name in [
            "PG_VERSION",
            "postmaster.pid",
            "standby.signal",
            "pg_hba.conf",
            "postgresql.conf",
            "server.key",
        ] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let mut own: Vec<String> = own_files(folder.path())
            .expect("listed")
            .iter()
            .map(|path| path.file_name().unwrap_or_default().display().to_string())
            .collect();
        own.sort();
        assert_eq!(own, ["conf.d", "log", "pg_hba.conf", "postgresql.conf", "server.key"]);
    }
}
