//! Files, folders and disks of the GoCD here, as the operating system tells of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::regular_file,
    database::configured,
    doctor::facts::{ConfigGit, Disk, File, FileKind, Known, Volume},
    generation::Layout,
    keys::Token,
    node::named_files::{self, NamedFile},
};

/// The owners and modes of what is synced, and of what decides about it. What is not there is left out.
#[cfg(unix)]
pub(super) fn files(layout: &Layout) -> Known<Vec<File>> {
    let config = layout.cruise_config_dir();
    let mut paths = vec![
        (layout.cruise_config().to_owned(), FileKind::Written),
        (layout.cipher_aes(), FileKind::Secret),
        (layout.jetty_xml(), FileKind::Written),
        (layout.token(), FileKind::Secret),
        (layout.peers(), FileKind::Written),
        (config.join(configured::FILE), FileKind::Secret),
        (config.to_owned(), FileKind::Folder),
        (layout.plugins_external().to_owned(), FileKind::Folder),
    ];
    let jars = match fs::read_dir(layout.plugins_external()) {
        Ok(jars) => jars,
        Err(error) => return Err(cannot("list", layout.plugins_external(), &error)),
    };
    let jars = jars.flatten().map(|entry| entry.path());
    paths.extend(
        jars.filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
            .map(|path| (path, FileKind::Read)),
    );
    let mut files = Vec::new();
    for (path, kind) in paths {
        match file(&path, kind) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot("look at", &path, &error)),
        }
    }
    Ok(files)
}

#[cfg(unix)]
fn file(path: &Path, kind: FileKind) -> io::Result<File> {
    use std::os::unix::fs::MetadataExt;

    let seen = fs::metadata(path)?;
    let enters = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & 0o001 != 0);
    Ok(File {
        path: path.display().to_string(),
        kind,
        user: seen.uid(),
        group: seen.gid(),
        mode: seen.mode() & 0o7777,
        is_in_open_folder: path.ancestors().skip(1).all(enters),
    })
}

#[cfg(not(unix))]
pub(super) fn files(_: &Layout) -> Known<Vec<File>> {
    Ok(Vec::new())
}

/// The disks that GoCD and the node write to, and what is left of them.
#[cfg(unix)]
pub(super) fn disks(layout: &Layout) -> Known<Vec<Disk>> {
    use std::os::unix::fs::MetadataExt;

    let mut disks = Vec::new();
    let mut seen = Vec::new();
    let folders = [
        layout.working_dir().join("db"),
        layout.state_dir().to_owned(),
        layout.cruise_config_dir().to_owned(),
        layout.plugins_external().to_owned(),
    ];
    for folder in folders {
        let device = match fs::metadata(&folder) {
            Ok(metadata) => metadata.dev(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot("look at", &folder, &error)),
        };
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        let disk = nix::sys::statvfs::statvfs(&folder)
            .map_err(|error| cannot("look at the disk of", &folder, &io::Error::from(error)))?;
        disks.push(Disk {
            folder: folder.display().to_string(),
            free: disk.blocks_available() as u64 * disk.fragment_size() as u64,
        });
    }
    Ok(disks)
}

#[cfg(not(unix))]
pub(super) fn disks(_: &Layout) -> Known<Vec<Disk>> {
    Ok(Vec::new())
}

/// The files that the configuration names, as digests that are keyed with the token.
pub(super) fn named(layout: Option<&Layout>, token: Option<&Token>) -> Known<Vec<NamedFile>> {
    let layout = layout.ok_or("which GoCD the node belongs to is not known: name its folder with --gocd DIR")?;
    let token = token.ok_or("without a token here the files of both nodes cannot be compared")?;
    named_files::look(layout, token).map_err(|error| error.to_string())
}

/// What the state folder lies on, where this is a container.
pub(super) fn volume(state_dir: &Path) -> Known<Option<Volume>> {
    let is_container = Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if !is_container {
        return Ok(None);
    }
    let state_dir = fs::canonicalize(state_dir).map_err(|error| cannot("look at", state_dir, &error))?;
    let mounts = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(mounts).map_err(|error| cannot("read", mounts, &error))?;
    Ok(innermost(&text, &state_dir))
}

/// The mount that a folder lies in, by the kernel's list (proc_pid_mountinfo(5)).
fn innermost(text: &str, folder: &Path) -> Option<Volume> {
    let mounts = text.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?.replace("\\040", " ");
        folder.starts_with(&at).then(|| Volume {
            file_system: after.split(' ').next().unwrap_or_default().to_owned(),
            mounted_at: at,
        })
    });
    // Of two at one place the later one counts.
    mounts.max_by_key(|mount| PathBuf::from(&mount.mounted_at).components().count())
}

/// Whether GoCD could read the history of its configuration.
pub(super) fn config_git(layout: &Layout) -> Known<Option<ConfigGit>> {
    let path = layout.working_dir().join("db/config.git");
    let git = [path.join(".git"), path.clone()]
        .into_iter()
        .find(|folder| folder.join("HEAD").exists());
    let said = |broken: Option<String>| {
        Ok(Some(ConfigGit {
            path: path.display().to_string(),
            broken,
        }))
    };
    let Some(git) = git else {
        return match fs::read_dir(&path).map(Iterator::count) {
            Ok(0) => Ok(None),
            Ok(_) => said(Some("it has no HEAD".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("look into", &path, &error)),
        };
    };
    match head_of(&git) {
        Ok(broken) => said(broken),
        Err(error) => Err(cannot("read", &git, &error)),
    }
}

/// Why the newest commit of a repository cannot be found; none where it is there, or where there is none yet.
fn head_of(git: &Path) -> io::Result<Option<String>> {
    let read = |name: &str| regular_file::read_text(&git.join(name), regular_file::LARGEST_OF_OURS);
    let head = read("HEAD")?;
    let commit = match head.trim().strip_prefix("ref: ") {
        None => head.trim().to_owned(),
        Some(branch) => {
            let loose = read(branch).ok().map(|text| text.trim().to_owned());
            let packed = || {
                let text = read("packed-refs").ok()?;
                let line = text.lines().find(|line| line.ends_with(&format!(" {branch}")))?;
                Some(line.split(' ').next()?.to_owned())
            };
            match loose.or_else(packed) {
                Some(commit) => commit,
                // A repository without a commit.
                None if !git.join("packed-refs").exists() && !git.join(branch).exists() => return Ok(None),
                None => return Ok(Some(format!("its branch {branch} leads nowhere"))),
            }
        }
    };
    if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some("its HEAD names no commit".to_owned()));
    }
    let loose = git.join("objects").join(&commit[..2]).join(&commit[2..]);
    let has_packs = || {
        fs::read_dir(git.join("objects/pack")).is_ok_and(|packs| {
            packs
                .flatten()
                .any(|pack| pack.path().extension().is_some_and(|extension| extension == "pack"))
        })
    };
    match fs::metadata(&loose) {
        Ok(object) if object.len() == 0 => Ok(Some(format!(
            "the object of its newest commit, {}, is empty",
            loose.display()
        ))),
        Ok(_) => Ok(None),
        Err(_) if has_packs() => Ok(None),
        Err(_) => Ok(Some(format!("its newest commit {commit} is not there"))),
    }
}

fn cannot(doing: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {doing} {}: {error}; run it as root", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let text = "22 1 0:20 / / rw - overlay overlay rw\n\
                    31 22 8:1 /x /godata rw - ext4 /dev/sda1 rw\n\
                    32 22 8:1 /y /go\\040data rw - xfs /dev/sda1 rw\n";
        let system = |folder: &str| innermost(text, Path::new(folder)).map(|volume| volume.file_system);
        assert_eq!(system("/godata/db/business-continuity").as_deref(), Some("ext4"));
        assert_eq!(system("/godatabase").as_deref(), Some("overlay"));
        assert_eq!(system("/go data/db").as_deref(), Some("xfs"));
    }

    #[test]
    fn a_history_is_whole_where_its_newest_commit_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let git = folder.path();
        let write = |name: &str, text: &str| {
            let path = git.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, text).expect("write");
        };
        let broken = || head_of(git).expect("readable");
        write("HEAD", "ref: refs/heads/master\n");
        assert_eq!(broken(), None, "nothing is committed yet");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        write("refs/heads/master", &format!("{commit}\n"));
        assert!(broken().is_some_and(|why| why.contains("is not there")));
        write("objects/01/23456789abcdef0123456789abcdef01234567", "");
        assert!(broken().is_some_and(|why| why.contains("is empty")));
        write("objects/01/23456789abcdef0123456789abcdef01234567", "x");
        assert_eq!(broken(), None);
        write("refs/heads/master", "");
        assert!(broken().is_some_and(|why| why.contains("no commit")));
        fs::remove_file(git.join("refs/heads/master")).expect("remove");
        write("packed-refs", &format!("{commit} refs/heads/master\n"));
        assert_eq!(broken(), None);
    }
}
