//! Where GoCD keeps artifacts, and whether those of earlier runs will be there once the other server runs.
//!
//! Nothing copies them: a pair has them on a share that both servers mount. In a new GoCD the folder is a relative one,
//! of each server for itself. What cannot be looked at is not known: nothing is said to be wrong then, nor well.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{mount, words},
    generation::Layout,
    gocd::artifacts,
};

/// The longest path that is shown, in characters.
const LONGEST_SHOWN: usize = 1000;
/// What comes of artifacts that are not on a share.
const MISSING: &str = "after a promotion every artifact and every console log of earlier runs is missing";
/// What somebody may set who knows better.
const SET: &str = "If it is a share of both servers, set -Dbc.artifacts.shared=yes; if artifacts need not outlive this \
                   server, -Dbc.artifacts.shared=no.";

/// Where a server keeps artifacts, as its own process sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactsFolder {
    /// The folder that the live configuration names, in GoCD's working directory where it is relative; none where it is
    /// not known.
    pub configured: Option<String>,
    /// The one that the GoCD in this process took at its start; none where none runs, or it is not known.
    pub in_use: Option<String>,
    /// Whether the two differ; none where either is not known.
    pub edited: Option<bool>,
    /// Where the disk is mounted that holds the configured one; none where that cannot be seen.
    pub mount: Option<String>,
    /// What the configured one is.
    pub state: ArtifactsFolderState,
    /// Why that is not known, for people; none where it is.
    pub unknown: Option<String>,
}

/// What a folder of artifacts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactsFolderState {
    /// An absolute path, on a mount that holds nothing else of this server.
    Apart,
    /// A relative path: each server has its own.
    Relative,
    /// On the disk of this server's own files.
    SameDisk,
    /// A share, as an administrator says.
    Shared,
    /// Of this server alone, as an administrator wants it.
    NotShared,
    /// Not known.
    Unknown,
}

/// The disk of a folder of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Whether it is another one than the root's, that of GoCD's working directory and that of the state folder.
    pub is_apart: bool,
}

impl Disk {
    /// Looks at the disk of a folder of artifacts, which need not be there yet; none where not all of that can be seen.
    /// It waits for the disk.
    pub fn look(folder: &Path, layout: &Layout) -> Option<Self> {
        let mount = mount::seen_mount_of(folder)?;
        let own = [layout.working_dir(), layout.state_dir()].map(mount::seen_mount_of);
        let [Some(working_dir), Some(state_dir)] = own else {
            return None;
        };
        let is_apart = ![Path::new("/"), &working_dir, &state_dir].contains(&mount.as_path());
        Some(Self { mount, is_apart })
    }
}

/// The folder of artifacts that the live configuration names, as it stands there. It waits for the disk.
///
/// # Errors
/// Why nobody can say, for people.
pub fn named(layout: &Layout) -> Result<String, String> {
    artifacts::folder_in(layout.cruise_config())
}

/// Where GoCD would keep artifacts that started now; none where the live configuration does not say. It waits for the
/// disk.
pub(super) fn configured(layout: &Layout) -> Option<PathBuf> {
    Some(layout.working_dir().join(named(layout).ok()?))
}

impl ArtifactsFolder {
    /// Judges a folder of artifacts by what the configuration names ([`named`]), the disk that this is on, and what the
    /// GoCD in this process took at its start. `shared` is what an administrator says of it.
    pub fn judge(
        named: Result<&str, &str>,
        working_dir: &Path,
        disk: Option<&Disk>,
        in_use: Option<&Path>,
        shared: Option<bool>,
    ) -> Self {
        let configured = named.map(|name| working_dir.join(name));
        let is_relative = named.map(|name| !Path::new(name).is_absolute());
        let (state, unknown) = match (shared, is_relative, disk) {
            (Some(true), ..) => (ArtifactsFolderState::Shared, None),
            (Some(false), ..) => (ArtifactsFolderState::NotShared, None),
            (None, Err(why), _) => (ArtifactsFolderState::Unknown, Some(why.to_owned())),
            (None, Ok(true), _) => (ArtifactsFolderState::Relative, None),
            (None, Ok(false), Some(disk)) if disk.is_apart => (ArtifactsFolderState::Apart, None),
            (None, Ok(false), Some(_)) => (ArtifactsFolderState::SameDisk, None),
            (None, Ok(false), None) => (
                ArtifactsFolderState::Unknown,
                Some("this server cannot see what is mounted there; bc.artifacts.shared says it".to_owned()),
            ),
        };
        let shown = |path: &Path| words::shown(&path.display().to_string(), LONGEST_SHOWN);
        let configured = configured.ok();
        Self {
            edited: configured.as_deref().zip(in_use).map(|(now, before)| now != before),
            configured: configured.as_deref().map(shown),
            in_use: in_use.map(shown),
            mount: disk.map(|disk| shown(&disk.mount)),
            state,
            unknown,
        }
    }

    /// A folder of artifacts of which nothing is known, and why, for people.
    pub fn unseen(why: &str) -> Self {
        Self::judge(Err(why), Path::new(""), None, None, None)
    }

    /// What to warn of, and what to do; none where nothing is known to be wrong.
    pub fn warning(&self) -> Option<String> {
        let configured = self.configured.as_deref()?;
        let is_edited = self.edited == Some(true) && self.state != ArtifactsFolderState::NotShared;
        let in_use = match &self.in_use {
            Some(in_use) if is_edited => format!(", and GoCD still uses {in_use}, which it took at its start"),
            Some(_) => ", and GoCD took the same at its start".to_owned(),
            None => String::new(),
        };
        let edited = is_edited.then(|| {
            "New artifacts go to the folder of that start, and the next one finds none of them. Stop GoCD, move what is \
             there to the new folder, and start it again."
                .to_owned()
        });
        let mount = self.mount.as_deref();
        let on_disk = mount.map_or_else(String::new, |mount| format!(", on the disk mounted at {mount}"));
        let state = match self.state {
            ArtifactsFolderState::Relative => Some(format!(
                "It is a relative path there, so that each server has a folder of its own{on_disk}, and {MISSING}. Mount \
                 one share at the same place on both servers, move the artifacts to it, name it with its absolute path, \
                 and restart GoCD, which reads that at its start alone (`gocd-bc explain artifacts`). {SET}"
            )),
            ArtifactsFolderState::SameDisk => Some(format!(
                "No share is mounted there: it is among this server's own files{on_disk}, and {MISSING}. Mount the share \
                 of both servers there (`gocd-bc explain artifacts`). {SET}"
            )),
            _ => None,
        };
        let said: Vec<String> = [edited, state].into_iter().flatten().collect();
        (!said.is_empty()).then(|| {
            format!(
                "artifactsDir in cruise-config.xml is {configured}{in_use}. {}",
                said.join(" ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basics::Properties;

    /// What each case is judged by: the folder that is named, whether its disk is apart, what GoCD took, what is set.
    type Case = (
        Result<&'static str, &'static str>,
        Option<bool>,
        Option<&'static str>,
        Option<bool>,
    );

    fn judged((named, apart, in_use, shared): Case) -> ArtifactsFolder {
        let disk = apart.map(|is_apart| Disk {
            mount: PathBuf::from("/mnt"),
            is_apart,
        });
        ArtifactsFolder::judge(named, Path::new("/go"), disk.as_ref(), in_use.map(Path::new), shared)
    }

    #[test]
    fn what_will_be_missing_or_was_edited_is_said_and_nothing_that_is_not_known() {
        use ArtifactsFolderState::{Apart, NotShared, Relative, SameDisk, Shared, Unknown};
        let (usual, share, unread) = (Ok("artifacts"), Ok("/mnt/share"), Err("it cannot be read"));
        let (yes, no) = (Some(true), Some(false));
        let (relative, same_disk, edited) = ("relative path", "own files", "still uses");
        let cases: [(Case, _, &[&str]); 19] = [
            ((usual, no, None, None), Relative, &[relative]),
            ((usual, yes, None, None), Relative, &[relative, "mounted at /mnt"]),
            ((usual, None, None, None), Relative, &[relative]),
            (
                (usual, no, Some("/go/artifacts"), None),
                Relative,
                &[relative, "took the same"],
            ),
            (
                (Ok("./artifacts"), no, Some("/go/artifacts/"), None),
                Relative,
                &[relative, "took the same"],
            ),
            ((share, no, None, None), SameDisk, &[same_disk]),
            ((share, yes, None, None), Apart, &[]),
            ((share, yes, Some("/mnt/share"), None), Apart, &[]),
            ((share, None, None, None), Unknown, &[]),
            ((share, None, Some("/go/artifacts"), None), Unknown, &[edited]),
            ((share, yes, Some("/go/artifacts"), None), Apart, &[edited]),
            ((share, no, Some("/go/artifacts"), None), SameDisk, &[edited, same_disk]),
            ((unread, None, Some("/go/artifacts"), None), Unknown, &[]),
            ((usual, no, None, yes), Shared, &[]),
            ((share, no, None, yes), Shared, &[]),
            ((share, no, Some("/go/artifacts"), yes), Shared, &[edited]),
            ((unread, None, None, yes), Shared, &[]),
            ((usual, no, None, no), NotShared, &[]),
            ((share, no, Some("/go/artifacts"), no), NotShared, &[]),
        ];
        for (case, state, parts) in cases {
            let folder = judged(case);
            assert_eq!(
                (folder.state, folder.unknown.is_some()),
                (state, state == Unknown),
                "{case:?}"
            );
            let said = folder.warning();
            assert_eq!(said.is_some(), !parts.is_empty(), "{case:?}: {said:?}");
            let said = said.unwrap_or_default();
            for part in [relative, same_disk, edited] {
                assert_eq!(said.contains(part), parts.contains(&part), "{part}, {case:?}: {said}");
            }
            for part in parts {
                assert!(said.contains(part), "{part}, {case:?}: {said}");
            }
            let names_both = parts.is_empty()
                || [&folder.configured, &folder.in_use]
                    .into_iter()
                    .flatten()
                    .all(|path| parts.contains(&"took the same") || said.contains(path.as_str()));
            assert!(names_both, "{case:?}: {said}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_disk_is_apart_where_a_share_is_mounted_and_not_known_where_nobody_may_look() {
        let folder = tempfile::tempdir().expect("folder");
        let mounts = mount::private::Mounts::private();
        let properties = Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
        let layout = Layout::from_properties(&properties);
        let share = folder.path().join("share");
        std::fs::create_dir(&share).expect("folder");
        let look = || Disk::look(&share.join("not/made/yet"), &layout);
        assert!(!look().expect("it is seen").is_apart);
        mounts.disk(&share, "size=1m");
        let disk = look().expect("it is seen");
        assert_eq!((disk.mount.file_name(), disk.is_apart), (share.file_name(), true));
        // A file in the place of a folder on the way: nobody knows what would be there.
        std::fs::write(share.join("not"), "").expect("write");
        assert_eq!(look(), None);
        mounts.undo(&share);
        assert!(!look().expect("it is seen").is_apart);
    }
}
