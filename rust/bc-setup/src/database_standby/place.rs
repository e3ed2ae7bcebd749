//! Which data folder is meant, and with which programs it is filled. It need not be there: a container's volume is empty
//! at first.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bc_core::basics::error::{Error, Kind};

use crate::{
    cluster::{self, Cluster, Control, Which},
    os_user::OsUser,
    program::Program,
};

/// The user that packages and images run PostgreSQL as.
const USUAL_OWNER: &str = "postgres";

/// Where the copy will be.
pub(super) struct Place {
    /// The data folder.
    pub(super) data: PathBuf,
    /// Whose it is or will be.
    pub(super) owner: OsUser,
    /// The cluster that is there.
    cluster: Option<Cluster>,
}

/// Finds the data folder that is meant.
pub(super) fn find(which: &Which) -> Result<Place, Error> {
    if let Which::Data(folder) = which
        && !folder.join("PG_VERSION").exists()
    {
        return empty(folder);
    }
    let cluster = cluster::find(which)?;
    Ok(Place {
        data: cluster.data.clone(),
        owner: cluster.owner.clone(),
        cluster: Some(cluster),
    })
}

impl Place {
    /// A `psql` for asking the primary: that of the cluster, or any that there is.
    pub(super) fn psql(&self) -> Result<Program, Error> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.program("psql"));
        }
        let majors = (11..=30).rev();
        let folder = majors
            .filter_map(cluster::usual_programs)
            .find(|folder| folder.join("psql").exists());
        let psql = folder.ok_or_else(|| {
            Error::new(
                Kind::Setting,
                "the programs of PostgreSQL are not found on this host",
                "Install the same major version as the primary's (Debian: `apt-get install postgresql-15`).",
            )
        })?;
        Ok(Program::new(psql.join("psql")).as_user(&self.owner))
    }

    /// The cluster that is there, or the one that will be: of the primary's major version.
    pub(super) fn cluster(&self, major: u32) -> Result<Cluster, Error> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.clone());
        }
        let programs = cluster::usual_programs(major).ok_or_else(|| {
            Error::new(
                Kind::Setting,
                format!("the primary is PostgreSQL {major}, whose programs are not found on this host"),
                format!(
                    "Install them (Debian: `apt-get install postgresql-{major}`; RHEL with PGDG: `dnf install \
                     postgresql{major}-server`)."
                ),
            )
        })?;
        Ok(Cluster {
            major,
            name: self.data.display().to_string(),
            port: cluster::DEFAULT_PORT,
            data: self.data.clone(),
            configuration: self.data.clone(),
            programs,
            owner: self.owner.clone(),
            control: Control::PgCtl,
            sockets: None,
            is_running: false,
            is_in_recovery: false,
        })
    }
}

/// A data folder that is missing or empty. Anything else in it is somebody's.
fn empty(folder: &Path) -> Result<Place, Error> {
    let folder = std::path::absolute(folder).map_err(|error| Error::io("look at", folder, &error))?;
    let data = fs::canonicalize(&folder).unwrap_or(folder);
    if let Ok(entries) = fs::read_dir(&data) {
        let is_ours =
            |name: &str| name.starts_with(".gocd-bc-") || name.starts_with(".before-gocd-bc-") || name == "lost+found";
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        if let Some(name) = names.find(|name| !is_ours(name)) {
            return Err(Error::new(
                Kind::Setting,
                format!(
                    "{} is no data folder of PostgreSQL, and {name} is in it",
                    data.display()
                ),
                "Name the data folder of a cluster by --pgdata, or an empty folder.",
            ));
        }
    }
    let parent = data.parent().unwrap_or(Path::new("/"));
    let owner = OsUser::owning(if data.exists() { &data } else { parent })?;
    let owner = match owner.is_root() {
        true => OsUser::named(USUAL_OWNER)?,
        false => owner,
    };
    Ok(Place {
        data,
        owner,
        cluster: None,
    })
}
