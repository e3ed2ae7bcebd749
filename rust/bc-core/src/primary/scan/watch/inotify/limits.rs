//! Why the kernel does not tell of changed files, for a person: which limit is met, and what raises it.
//!
//! Facts: inotify(7), inotify_init(2), inotify_add_watch(2), namespaces(7). Neither call says which limit it is: "Too
//! many open files" and "No space left on device" are about something else.

use std::{fs, path::Path};

use nix::{
    errno::Errno,
    sys::eventfd::{EfdFlags, EventFd},
};

use crate::basics::{Shortage, shortage::SYSCTL_FILE};

/// Where the kernel shows its settings.
const SETTINGS: &str = "/proc/sys";

/// A limit of inotify. Each has a second setting in a user namespace of its own, such as that of a container.
struct Limit {
    what: &'static str,
    name: &'static str,
    of_namespace: &'static str,
    usual: u64,
}

const INSTANCES: Limit = Limit {
    what: "inotify instances",
    name: "fs.inotify.max_user_instances",
    of_namespace: "user.max_inotify_instances",
    usual: 1024,
};

const WATCHES: Limit = Limit {
    what: "inotify watches",
    name: "fs.inotify.max_user_watches",
    of_namespace: "user.max_inotify_watches",
    usual: 1_048_576,
};

/// Why the kernel gives no inotify instance, so that nothing can be watched.
pub(super) fn no_instance(error: Errno) -> String {
    let reason = match error {
        // Of the two reasons for this one, the other would leave no descriptor for anything else either.
        Errno::EMFILE if EventFd::from_flags(EfdFlags::EFD_CLOEXEC).is_ok() => INSTANCES.reached(Path::new(SETTINGS)),
        other => reason(other),
    };
    format!("changed files are found by regular reading only, since {reason} It is tried again by itself.")
}

/// Why the kernel gives no inotify watch for this folder.
pub(super) fn no_watch(folder: &Path, error: Errno) -> String {
    let reason = match error {
        Errno::ENOSPC => WATCHES.reached(Path::new(SETTINGS)),
        other => reason(other),
    };
    format!(
        "changes in {} are found by regular reading only, since {reason} It is tried again by itself.",
        folder.display()
    )
}

/// Why inotify refuses, by the kernel's error.
fn reason(error: Errno) -> String {
    match Shortage::of(&error.into()) {
        Some(shortage) => format!("{shortage}. {}", shortage.advice()),
        None => format!("the operating system does not tell of them: {}.", error.desc()),
    }
}

impl Limit {
    /// A reason with what to type, as a whole sentence.
    fn reached(&self, settings: &Path) -> String {
        let value = |name: &str| {
            let text = fs::read_to_string(settings.join(name.replace('.', "/"))).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let (whole, own) = (value(self.name), value(self.of_namespace));
        let (name, value) = match (whole, own) {
            (Some(whole), Some(own)) if own < whole => (self.of_namespace, Some(own)),
            _ => (self.name, whole),
        };
        let more = value.map_or(self.usual, |value| value.saturating_mul(2).max(self.usual));
        let all = value.map_or_else(String::new, |value| format!(" {value}"));
        format!(
            "the user that this process runs as has all{all} {} that {name} lets it have. Raise that limit with `sysctl -w \
             {name}={more}`, and write the line `{name} = {more}` into {SYSCTL_FILE}.",
            self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_named_with_what_raises_it() {
        let folder = tempfile::tempdir().expect("folder");
        let set = |name: &str, value: &str| {
            let file = folder.path().join(name.replace('.', "/"));
            fs::create_dir_all(file.parent().expect("a folder")).expect("folder");
            fs::write(file, value).expect("write");
        };
        assert!(
            INSTANCES
                .reached(folder.path())
                .contains("`sysctl -w fs.inotify.max_user_instances=1024`")
        );
        set("fs.inotify.max_user_watches", "8192\n");
        set("user.max_inotify_watches", "8192\n");
        assert_eq!(
            WATCHES.reached(folder.path()),
            "the user that this process runs as has all 8192 inotify watches that fs.inotify.max_user_watches lets it \
             have. Raise that limit with `sysctl -w fs.inotify.max_user_watches=1048576`, and write the line \
             `fs.inotify.max_user_watches = 1048576` into /etc/sysctl.d/60-gocd-bc.conf."
        );
        set("fs.inotify.max_user_watches", "2000000\n");
        assert!(
            WATCHES
                .reached(folder.path())
                .contains("user.max_inotify_watches=1048576")
        );
        set("user.max_inotify_watches", "3000000\n");
        assert!(
            WATCHES
                .reached(folder.path())
                .contains("fs.inotify.max_user_watches=4000000")
        );
    }

    #[test]
    fn no_message_says_what_the_limit_is_not() {
        let folder = Path::new("/a");
        for (message, names) in [
            (no_instance(Errno::EMFILE), "fs.inotify.max_user_instances"),
            (no_instance(Errno::ENFILE), "fs.file-max"),
            (no_watch(folder, Errno::ENOSPC), "fs.inotify.max_user_watches"),
            (
                no_watch(folder, Errno::EACCES),
                "changes in /a are found by regular reading only",
            ),
        ] {
            assert!(
                message.contains(names) && message.ends_with("It is tried again by itself."),
                "{message}"
            );
            for wrong in ["open files", "space left", "os error"] {
                assert!(!message.contains(wrong), "{message}");
            }
        }
    }
}
