//! `pg_hba.conf` of the primary: the lines for both hosts, checked by the server before it reads them.

use std::{
    cell::RefCell,
    net::IpAddr,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::{Error, Kind},
    database::hba::Replication,
};

use super::{Wish, addresses::Addresses};
use crate::{foreign_file::ForeignFile, plan::Plan, route, superuser::Superuser};

/// `pg_reload_conf()` says yes to a file that is then ignored as a whole; this view reads it at each query. What it says of
/// a line that cannot match while TLS is off keeps no server from taking the file.
const MISTAKE: &str = "select line_number, error from pg_hba_file_rules \
     where error is not null and error not like 'host% record cannot match because %' order by line_number limit 1";

/// The file as it was looked at.
#[derive(Debug)]
pub(super) struct HbaFile {
    file: ForeignFile,
    text: String,
    lines: Vec<String>,
    kept: RefCell<Option<PathBuf>>,
}

impl HbaFile {
    /// Looks at the `pg_hba.conf` of a server, and refuses one with a mistake in it.
    pub(super) fn look(server: &Superuser, wish: &Wish, addresses: &Addresses) -> Result<Self, Error> {
        let path = server.value("show hba_file")?.unwrap_or_default();
        let file = ForeignFile::read(Path::new(&path))?;
        refuse_mistakes(server, &file, "has a mistake already")?;
        let addresses: Vec<IpAddr> = addresses.all();
        let gocd = route::of_gocd(&wish.gocd)?;
        let replication = Replication {
            role: &wish.role,
            addresses: &addresses,
            gocd: &gocd,
        };
        Ok(Self {
            text: replication.admitted_by(file.text()),
            lines: replication.lines(file.text()),
            file,
            kept: RefCell::new(None),
        })
    }

    /// Adds to the plan what is done about the primary's `pg_hba.conf`.
    pub(super) fn plan(&self, plan: &mut Plan) {
        for line in &self.lines {
            // The addresses of the pair are written anew together.
            match self.has_work() {
                true => plan.change("pg_hba.conf", "missing", line, ""),
                false => plan.is("pg_hba.conf", line),
            }
        }
    }

    /// Whether the primary's `pg_hba.conf` is to be changed.
    pub(super) fn has_work(&self) -> bool {
        self.text != self.file.text()
    }

    /// Writes the primary's `pg_hba.conf`; what the server refuses is put back.
    pub(super) fn write(&self, server: &Superuser) -> Result<(), Error> {
        if !self.has_work() {
            return Ok(());
        }
        *self.kept.borrow_mut() = self.file.replace(&self.text, 0o640)?;
        refuse_mistakes(server, &self.file, "is refused by the server").or_else(|error| {
            self.file.put_back()?;
            Err(error)
        })
    }

    /// The primary's `pg_hba.conf`, and where what was in it is kept.
    pub(super) fn kept(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.file.path().to_owned(), self.kept.borrow().clone()?))
    }
}

fn refuse_mistakes(server: &Superuser, file: &ForeignFile, what: &str) -> Result<(), Error> {
    let Some(row) = server.rows(MISTAKE)?.into_iter().next() else {
        return Ok(());
    };
    let mut columns = row.into_iter().map(Option::unwrap_or_default);
    let (line, mistake) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
    Err(Error::new(
        Kind::Refused,
        format!("{}, line {line}, {what}: {mistake}", file.path().display()),
        "Mend that first: the server ignores the whole file while there is a mistake in it.",
    ))
}
