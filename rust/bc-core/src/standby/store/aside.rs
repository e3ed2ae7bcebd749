//! The names of what is kept aside: the time when that was, and the name that the file had.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::basics::Digest;

/// The longest name in bytes on the file systems that say nothing else.
const LONGEST: usize = 255;
/// So much of the digest of a name that is too long takes the place of its end.
const DIGITS: usize = 8;

/// Where in `folder` a file of this name is kept aside: a path that nothing has yet. What would be too long for that
/// disk is shortened, and the ending stays.
pub(super) fn place(folder: &Path, now_ms: i64, file_name: &str) -> PathBuf {
    let longest = longest_name(folder);
    let first = folder.join(fitting(&format!("{now_ms}-"), file_name, longest));
    let others = (1_u32..).map(|number| folder.join(fitting(&format!("{now_ms}.{number}-"), file_name, longest)));
    std::iter::once(first)
        .chain(others)
        .find(|path| fs::symlink_metadata(path).is_err())
        .expect("a folder has fewer files than there are numbers")
}

/// A name of a file kept aside that is no longer than `longest` bytes.
fn fitting(prefix: &str, file_name: &str, longest: usize) -> String {
    if prefix.len() + file_name.len() <= longest {
        return format!("{prefix}{file_name}");
    }
    let (stem, ending) = match file_name.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= DIGITS => (stem, format!(".{ending}")),
        _ => (file_name, String::new()),
    };
    let digest = Digest::of(file_name.as_bytes()).to_string();
    let room = longest.saturating_sub(prefix.len() + 1 + DIGITS + ending.len());
    let end = (0..=room.min(stem.len()))
        .rev()
        .find(|end| stem.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{prefix}{}~{}{ending}", &stem[..end], &digest[..DIGITS])
}

/// The longest name of a file kept aside that fits into the folder, which need not be there yet.
fn longest_name(folder: &Path) -> usize {
    #[cfg(target_os = "linux")]
    {
        let there = folder
            .ancestors()
            .find_map(|folder| nix::sys::statvfs::statvfs(folder).ok());
        there.map_or(LONGEST, |disk| {
            usize::try_from(disk.name_max()).map_or(LONGEST, |longest| longest.min(LONGEST))
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_is_shortened_and_stays_its_own() {
        let folder = tempfile::tempdir().expect("folder");
        let long = format!("{}.jar", "ö".repeat(125));
        let other = format!("{}ö.jar", "ö".repeat(124));
        assert_eq!((long.len(), &long), (254, &other));
        let another = format!("{}x.jar", "ö".repeat(124));
        let mut names = Vec::new();
        for name in [&long, &another] {
            let path = place(folder.path(), 1_700_000_000_000, name);
            fs::write(&path, "x").expect("it is no longer than a name may be");
            names.push(path.file_name().expect("one").to_string_lossy().into_owned());
        }
        assert!(
            names[0].starts_with("1700000000000-öö") && names[0].ends_with(".jar"),
            "{names:?}"
        );
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn two_of_one_moment_do_not_replace_each_other() {
        let folder = tempfile::tempdir().expect("folder");
        let first = place(folder.path(), 7, "a.jar");
        assert_eq!(first, folder.path().join("7-a.jar"));
        fs::write(&first, "x").expect("write");
        assert_eq!(place(folder.path(), 7, "a.jar"), folder.path().join("7.1-a.jar"));
    }
}
