//! Where the programs of PostgreSQL are: Debian's, else those that `cargo xtask tools` has fetched.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::artefacts;

const OF_DEBIAN: &str = "/usr/lib/postgresql";

/// The folder of the programs of one version.
///
/// # Panics
/// They are not there.
pub fn of(major: u32) -> PathBuf {
    let debian = PathBuf::from(format!("{OF_DEBIAN}/{major}/bin"));
    if debian.join("postgres").exists() {
        return debian;
    }
    let fetched = fetched().join(format!("{major}/bin"));
    assert!(
        fetched.join("postgres").exists(),
        "there is no PostgreSQL {major}: run `cargo xtask tools`, and `eval \"$(cargo xtask env)\"`"
    );
    fetched
}

/// The newest version that Debian has installed.
///
/// # Panics
/// There is none.
pub fn newest_of_debian() -> u32 {
    let versions = fs::read_dir(OF_DEBIAN).expect("this test needs the Debian package postgresql");
    versions
        .filter_map(|version| version.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .expect("a version of PostgreSQL")
}

/// What `cargo xtask tools` has fetched, in a place that the user `postgres` may enter: a checkout may lie in a folder of
/// root's own.
fn fetched() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let usual = || artefacts::repository().join("target/tools/postgresql");
        let place = env::var_os("BC_POSTGRESQL").map_or_else(usual, PathBuf::from);
        if !place.exists() || may_enter(&place) {
            return place;
        }
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        fs::metadata(&place)
            .and_then(|place| place.modified())
            .ok()
            .hash(&mut hasher);
        let copy = env::temp_dir().join(format!("gocd-bc-postgresql-{:x}", hasher.finish()));
        if !copy.exists() {
            let half = tempfile::tempdir().expect("a folder").keep().join("postgresql");
            let copied = Command::new("cp").arg("-a").arg(&place).arg(&half).status();
            assert!(
                copied.expect("cp runs").success(),
                "{} cannot be copied",
                place.display()
            );
            // Another test may have been faster.
            let _ = fs::rename(&half, &copy);
            let _ = fs::remove_dir_all(half.parent().unwrap_or(&half));
        }
        copy
    })
}

fn may_enter(place: &Path) -> bool {
    let mut test = Command::new("setpriv");
    test.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--",
        "test",
        "-x",
    ])
    .arg(place);
    test.status().is_ok_and(|status| status.success())
}
