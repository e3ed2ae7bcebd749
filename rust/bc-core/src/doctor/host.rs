//! Decisions about files, disks and processes of the host with GoCD.

use super::{
    check::Check,
    facts::{Facts, File, FileKind, Process},
    finding::{Seen, Verdict},
    level::Level,
    node::said,
};
use crate::{
    basics::words::size,
    gocd::version,
    status::{Phase, Status},
};

/// With less GoCD stops scheduling.
const TOO_LITTLE: u64 = 100_000_000;
/// With less somebody should look.
const LITTLE: u64 = 1 << 30;

/// Whether GoCD may do with the synced files what it does.
pub(super) fn synced_files(facts: &Facts) -> Verdict {
    with_process(facts, |process, files| {
        let mut seen = Vec::new();
        for file in files {
            if let Some(lacks) = lacks(file, process) {
                let (path, user) = (&file.path, process.user);
                let what = format!(
                    "GoCD (user {user}) may not {lacks} {path}, which is of user {}",
                    file.user
                );
                seen.push(
                    Seen::new(what)
                        .mend(format!("chown {user}:{} '{path}'", group(process)))
                        .mend(format!(
                            "chmod {} '{path}'",
                            match file.kind {
                                FileKind::Folder => "u+rwx",
                                _ => "u+rw",
                            }
                        )),
                );
            }
        }
        seen
    })
}

/// What GoCD needs of a file and may not; root may everything.
fn lacks(file: &File, process: &Process) -> Option<&'static str> {
    if process.user == 0 {
        return None;
    }
    let shift = if file.user == process.user {
        6
    } else if process.groups.contains(&file.group) {
        3
    } else {
        0
    };
    let may = file.mode >> shift;
    let (reads, writes, enters) = (may & 4 != 0, may & 2 != 0, may & 1 != 0);
    match file.kind {
        FileKind::Written | FileKind::Read | FileKind::Secret if !reads => Some("read"),
        FileKind::Written if !writes => Some("write"),
        FileKind::Folder if !(reads && writes && enters) => Some("make files in"),
        _ => None,
    }
}

fn group(process: &Process) -> u32 {
    process.groups.first().copied().unwrap_or(process.user)
}

/// Whether only GoCD reads its secrets.
pub(super) fn secret_files(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    let files = match &here.files {
        Ok(files) => files,
        Err(why) => return Verdict::Unknown(why.clone()),
    };
    let is_open = |file: &&File| file.kind == FileKind::Secret && file.is_in_open_folder && file.mode & 0o004 != 0;
    let seen = files.iter().filter(is_open).map(|file| {
        Seen::new(format!("every user of this host can read {}", file.path)).mend(format!("chmod o= '{}'", file.path))
    });
    Verdict::of(seen.collect())
}

/// Whether GoCD can read the history of its configuration.
pub(super) fn config_git(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    match &here.config_git {
        Ok(None) => Verdict::Elsewhere,
        Ok(Some(git)) => match &git.broken {
            None => Verdict::Well,
            Some(why) => Verdict::wrong(
                Seen::new(format!("GoCD cannot read {}: {why}", git.path))
                    .mend(format!("git -C '{}' fsck", git.path))
                    .mend(format!(
                        "mv '{0}' '{0}.broken'    # GoCD makes it anew; the history is lost",
                        git.path
                    )),
            ),
        },
        Err(why) => Verdict::Unknown(why.clone()),
    }
}

/// Whether the disks have room.
pub(super) fn free_space(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    let disks = match &here.disks {
        Ok(disks) => disks,
        Err(why) => return Verdict::Unknown(why.clone()),
    };
    let full = disks.iter().filter(|disk| disk.free < LITTLE).map(|disk| {
        let level = if disk.free < TOO_LITTLE {
            Level::Critical
        } else {
            Level::Warning
        };
        Seen::new(format!(
            "only {} are free on the disk of {}",
            size(disk.free),
            disk.folder
        ))
        .level(level)
        .mend(format!("df -h '{}'", disk.folder))
        .mend(format!("du -xh --max-depth=2 '{}' | sort -h | tail", disk.folder))
    });
    let mut seen: Vec<Seen> = full.collect();
    if seen.is_empty() {
        seen = said(facts, Check::FreeSpace);
    }
    Verdict::of(seen)
}

/// Whether an agent runs here as the server does.
pub(super) fn agent_user(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    match (&here.agents, &here.process) {
        (Ok(agents), _) if agents.is_empty() => Verdict::Elsewhere,
        (Ok(agents), Ok(Some(process))) => {
            let same = agents.iter().filter(|(_, user)| *user == process.user);
            let seen = same.map(|(id, user)| {
                Seen::new(format!(
                    "the agent in process {id} runs as the user of the server, {user}"
                ))
                .mend("useradd --system --create-home go-agent")
                .mend("systemctl edit go-agent    # [Service] User=go-agent")
            });
            Verdict::of(seen.collect())
        }
        (Ok(_), Ok(None)) => Verdict::Unknown("the process of the node is not in sight".to_owned()),
        (Err(why), _) | (_, Err(why)) => Verdict::Unknown(why.clone()),
    }
}

/// Whether the state folder survives its container.
pub(super) fn state_volume(facts: &Facts) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    match &here.volume {
        Ok(None) => Verdict::Elsewhere,
        Ok(Some(volume))
            if ["overlay", "overlayfs", "aufs", "tmpfs", "ramfs"].contains(&volume.file_system.as_str()) =>
        {
            Verdict::wrong(
                Seen::new(format!(
                    "the state folder {} lies on the {} at {}, which goes with the container",
                    here.state_dir, volume.file_system, volume.mounted_at
                ))
                .mend("docker run -v /srv/godata:/godata ..."),
            )
        }
        Ok(Some(_)) => Verdict::Well,
        Err(why) => Verdict::Unknown(why.clone()),
    }
}

/// Whether Helm's script lets a held GoCD be.
pub(super) fn helm_script(facts: &Facts) -> Verdict {
    let (Some(here), Some(status)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    match here.helm_waits {
        None => Verdict::Elsewhere,
        Some(true) if status.phase == Phase::Holding => Verdict::wrong(
            Seen::new("Helm's script waits for this GoCD, which is held: Kubernetes will kill the pod")
                .mend("touch /godata/logs/preconfigure_complete.log"),
        ),
        Some(_) => Verdict::Well,
    }
}

/// Whether a GoCD of the pair gives its secrets away.
pub(super) fn old_gocd(facts: &Facts) -> Verdict {
    let (Some(here), Some(own)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    let others = facts
        .others
        .iter()
        .filter_map(|other| Some((other.url.as_str(), other.node.as_ref().ok()?)));
    let all: Vec<(&str, &Status)> = [("here", own)].into_iter().chain(others).collect();
    let mut seen = said(facts, Check::OldGocd);
    // The node here asks the port of its own GoCD, whatever its version says.
    let here_says = !seen.is_empty();
    let is_known = here_says || all.iter().any(|(_, status)| status.gocd_version.is_some());
    let old = all.iter().filter_map(|(where_, status)| {
        let version = status.gocd_version.as_deref()?;
        let is_said = here_says && *where_ == "here";
        (!is_said && version::gives_secrets_away(version)).then_some((where_, version))
    });
    for (where_, version) in old {
        let open: Vec<&str> = here
            .old_ports
            .iter()
            .filter(|(_, gives)| *gives)
            .map(|(address, _)| address.as_str())
            .collect();
        let (what, level) = match open.is_empty() {
            false => (
                format!("and {} answers without a login", open.join(" and ")),
                Level::Critical,
            ),
            true => ("though its port was not open from here".to_owned(), Level::Warning),
        };
        seen.push(
            Seen::new(format!(
                "GoCD {version} ({where_}) gives cipher.aes and every file to whoever asks (CVE-2021-43287), {what}"
            ))
            .level(level)
            .mend("iptables -I INPUT -p tcp --dport 8153 ! -s 10.0.0.0/8 -j REJECT")
            .mend("apt-get install go-server    # 21.3 or later, on both hosts"),
        );
    }
    match (seen.is_empty(), is_known) {
        (true, false) => Verdict::Elsewhere,
        _ => Verdict::of(seen),
    }
}

/// Looks at the files by what the process of the node may.
fn with_process(facts: &Facts, look: impl FnOnce(&Process, &[File]) -> Vec<Seen>) -> Verdict {
    let Some(here) = &facts.here else {
        return Verdict::Elsewhere;
    };
    match (&here.files, &here.process) {
        (Ok(files), Ok(Some(process))) => Verdict::of(look(process, files)),
        // That no node runs was said.
        (Ok(_), Ok(None)) => Verdict::Elsewhere,
        (Err(why), _) | (_, Err(why)) => Verdict::Unknown(why.clone()),
    }
}
