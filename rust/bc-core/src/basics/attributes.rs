//! The attributes of chattr(1), which stop root as well.

use std::path::Path;

/// The first of the attributes `i` and `a` that a file or folder has, with its meaning. None where its file system has
/// no attributes, or it cannot be opened.
pub(crate) fn in_the_way(path: &Path) -> Option<(char, &'static str)> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, open};

        let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let attributes = open(path, how, Mode::empty()).and_then(ioctl_getflags).ok()?;
        [
            (IFlags::IMMUTABLE, 'i', "immutable"),
            (IFlags::APPEND, 'a', "append only"),
        ]
        .into_iter()
        .find(|(attribute, ..)| attributes.contains(*attribute))
        .map(|(_, letter, word)| (letter, word))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}
