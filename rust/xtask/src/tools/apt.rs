//! What comes from the operating system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{command, tools::java};

/// A Debian package, and how to see that what we want of it is there (it may have come another way).
pub(crate) struct Package {
    name: &'static str,
    /// Another package to take where the distribution has not got the first one.
    instead: Option<&'static str>,
    present: fn() -> bool,
}

/// For building the jar.
pub(crate) const FOR_BUILDS: &[Package] = &[
    Package {
        name: "gradle",
        instead: None,
        present: || command::on_path("gradle").is_some(),
    },
    Package {
        name: "openjdk-17-jdk-headless",
        instead: Some("default-jdk-headless"),
        present: || java::build_jdk().is_ok(),
    },
    Package {
        name: "binutils",
        instead: None,
        present: || command::on_path("readelf").is_some(),
    },
    Package {
        name: "python3-venv",
        instead: None,
        present: || command::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])),
    },
];

/// For running a server as GoCD's packages do.
pub(crate) const FOR_WRAPPER: &[Package] = &[
    Package {
        name: "service-wrapper",
        instead: None,
        present: || Path::new("/usr/sbin/wrapper").exists(),
    },
    Package {
        name: "libservice-wrapper-java",
        instead: None,
        present: || Path::new("/usr/share/java/wrapper.jar").exists(),
    },
];

/// For running the tests.
pub(crate) const FOR_TESTS: &[Package] = &[
    Package {
        name: "openssl",
        instead: None,
        present: || command::on_path("openssl").is_some(),
    },
    Package {
        name: "iproute2",
        instead: None,
        present: || command::on_path("ip").is_some(),
    },
    Package {
        name: "ntfs-3g",
        instead: None,
        present: || command::on_path("lowntfs-3g").is_some(),
    },
    POSTGRESQL,
    Package {
        name: "pgbouncer",
        instead: None,
        present: || Path::new("/usr/sbin/pgbouncer").exists(),
    },
    Package {
        name: "locales",
        instead: None,
        present: || Path::new("/usr/share/i18n/locales/de_DE").exists(),
    },
    Package {
        name: "xz-utils",
        instead: None,
        present: || command::on_path("xz").is_some(),
    },
    Package {
        name: "chromium",
        instead: None,
        present: || command::on_path("chromium").is_some(),
    },
    Package {
        name: "chromium-driver",
        instead: None,
        present: || command::on_path("chromedriver").is_some(),
    },
];

/// For databases of the demo.
pub(crate) const FOR_DATABASES: &[Package] = &[POSTGRESQL];

const POSTGRESQL: Package = Package {
    name: "postgresql",
    instead: None,
    present: || Path::new("/usr/lib/postgresql").exists(),
};

/// For building twice at different times.
pub(crate) const FOR_VERIFICATION: &[Package] = &[Package {
    name: "libfaketime",
    instead: None,
    present: || faketime_library().is_some(),
}];

/// Where the package puts the library that is preloaded.
pub(crate) fn faketime_library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"].map(Path::new);
    folders
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .into_iter()
        .find(|file| file.is_file())
}

/// Installs what is missing of `packages`: as root on Debian and its kin, otherwise it says what to run.
pub(crate) fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !(package.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = || missing.iter().map(|package| package.name).collect::<Vec<_>>().join(" ");
    if !has_apt() {
        bail!(
            "missing on this machine: {} (names of Debian packages); install them and start again",
            names()
        );
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "missing on this machine; run this line and start again:\n  \
             sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}",
            names()
        );
    }
    command::run(apt_get().arg("update"))?;
    let install = missing.iter().map(|package| match package.instead {
        Some(instead) if !is_offered(package.name) => instead,
        _ => package.name,
    });
    command::run(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(install),
    )?;
    match missing.iter().find(|package| !(package.present)()) {
        Some(package) => bail!(
            "{} was installed, but what it should bring is still not found",
            package.name
        ),
        None => Ok(()),
    }
}

/// A program that [`ensure`] has seen.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    command::on_path(name).with_context(|| format!("{name} is not in PATH"))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_offered(package: &str) -> bool {
    command::succeeds(Command::new("apt-cache").args(["show", package]))
}

fn has_apt() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is_kin = release
        .lines()
        .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="))
        .any(|line| line.contains("debian") || line.contains("ubuntu"));
    is_kin && command::on_path("apt-get").is_some()
}
