//! The limit of threads and processes of a control group: `TasksMax=` of a service, the pids limit of a container.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where control groups are, in their second version and in the first.
const UNIFIED: &str = "/sys/fs/cgroup";
const PIDS: &str = "/sys/fs/cgroup/pids";

/// The limit of the first control group that has no room left, from that of this process upwards. None where each has
/// room, or none can be read.
pub(super) fn exhausted() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    exhausted_of(&groups, Path::new(UNIFIED), Path::new(PIDS))
}

/// The limit of the first of these control groups that has no room left.
fn exhausted_of(groups: &str, unified: &Path, pids: &Path) -> Option<u64> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let root = match controllers {
            "" => unified,
            _ if controllers.split(',').any(|one| one == "pids") => pids,
            _ => return None,
        };
        let folder = root.join(group.trim_start_matches('/'));
        folder
            .ancestors()
            .take_while(|folder| folder.starts_with(root))
            .find_map(without_room)
    })
}

/// The limit of the control group in `folder`, where it is reached. A group without a limit has no such files.
fn without_room(folder: &Path) -> Option<u64> {
    let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limit = number(folder.join("pids.max"))?;
    (number(folder.join("pids.current"))? >= limit).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_has_no_room_is_found_also_above() {
        let folder = tempfile::tempdir().expect("folder");
        let (unified, pids) = (folder.path().join("unified"), folder.path().join("pids"));
        let group = |root: &Path, name: &str, max: &str, current: &str| {
            let folder = root.join(name);
            fs::create_dir_all(&folder).expect("folder");
            fs::write(folder.join("pids.max"), max).expect("write");
            fs::write(folder.join("pids.current"), current).expect("write");
        };
        let found = |groups: &str| exhausted_of(groups, &unified, &pids);
        group(&unified, "system.slice/go-server.service", "max\n", "90\n");
        assert_eq!(found("0::/system.slice/go-server.service\n"), None);
        group(&unified, "system.slice", "90\n", "89\n");
        assert_eq!(found("0::/system.slice/go-server.service\n"), None);
        group(&unified, "system.slice", "90\n", "90\n");
        assert_eq!(found("0::/system.slice/go-server.service\n"), Some(90));
        group(&pids, "docker/1", "7\n", "8\n");
        assert_eq!(found("9:cpu:/docker/1\n8:memory,pids:/docker/1\n0::/\n"), Some(7));
        assert_eq!(found("nonsense\n0::/elsewhere\n"), None);
    }
}
