//! The shipping of the log to the share: how it goes, and the proof that it does.

use std::time::Duration;

use bc_core::{
    basics::{Error, Kind},
    database::messages::{self, Names},
};

use crate::{plan::Plan, superuser::Superuser, wait::until};

/// The server tries a file three times, a second apart, before it pauses for a minute.
const SHIPS_WITHIN: Duration = Duration::from_secs(60);
/// What failed last, where nothing has been shipped since.
const FAILS: &str = "select last_failed_wal, date_trunc('second', last_failed_time)::text from pg_stat_archiver \
     where last_failed_time > coalesce(last_archived_time, '-infinity')";
const SHIPPED: &str = "select last_archived_wal, date_trunc('second', last_archived_time)::text from pg_stat_archiver \
     where last_archived_time is not null";

/// The shipping as it was looked at.
#[derive(Debug)]
pub(super) struct Shipping {
    share: String,
    /// The file that failed, and when.
    failed: Option<(String, String)>,
    /// The last file that came there, and when.
    shipped: Option<(String, String)>,
}

impl Shipping {
    /// How it goes on a server that ships to `share`.
    pub(super) fn look(server: &Superuser, share: &str) -> Result<Self, Error> {
        Ok(Self {
            share: share.to_owned(),
            failed: pair(server, FAILS)?,
            shipped: pair(server, SHIPPED)?,
        })
    }

    pub(super) fn plan(&self, plan: &mut Plan) {
        let what = format!("share {}", self.share);
        match (&self.failed, &self.shipped) {
            (Some((file, at)), _) => plan.change(
                what,
                format!("does not take {file}, last tried {at}"),
                "tried again",
                "it is full, not mounted, read-only, or has another file of that name",
            ),
            (None, Some((file, at))) => plan.is(what, format!("has {file} since {at}")),
            (None, None) => plan.is(what, "has nothing of this server yet"),
        }
    }

    /// The folder.
    pub(super) fn share(&self) -> &str {
        &self.share
    }

    /// Ends the file of the log that is written now, and waits until the share has it; not where nothing may or had to be
    /// changed and it has been going well. Returns the name of that file.
    pub(super) fn prove(&self, server: &Superuser, may: bool, was_changed: bool) -> Result<Option<String>, Error> {
        match &self.failed {
            Some((file, _)) if !may => return Err(self.refused(file)),
            None if !may || (!was_changed && self.shipped.is_some()) => return Ok(None),
            _ => {}
        }
        // A file without anything in it is not ended.
        let file = server
            .value("select pg_walfile_name(pg_create_restore_point('gocd-bc setup'))")?
            .unwrap_or_default();
        server.run("select pg_switch_wal()")?;
        let is_there =
            format!("select coalesce(last_archived_wal collate \"C\" >= '{file}', false) from pg_stat_archiver");
        let before = server.value("select failed_count from pg_stat_archiver")?;
        let ended = until(SHIPS_WITHIN, || {
            let outcome = || {
                if server.is(&is_there)? {
                    return Ok(Some(()));
                }
                let failed = server.value("select failed_count from pg_stat_archiver")? != before;
                match pair(server, FAILS)?.filter(|_| failed) {
                    Some((failed, _)) => Err(self.refused(&failed)),
                    None => Ok(None),
                }
            };
            outcome().transpose()
        });
        ended.transpose()?.map(|()| Some(file)).ok_or_else(|| {
            Error::new(
                Kind::Unreachable,
                format!("{} has not got the log within {} s", self.share, SHIPS_WITHIN.as_secs()),
                "See how it goes on by `select * from pg_stat_archiver`; a share that hangs is seen by `df`.",
            )
        })
    }

    /// What is said where a file could not be shipped.
    fn refused(&self, file: &str) -> Error {
        let names = Names::default()
            .with("primary", "this host")
            .with("share", self.share.clone())
            .with("file", file);
        let meaning = messages::meaning("archive command failed with exit code 1", &names);
        let (cause, mend) = meaning.map_or_else(Default::default, |meaning| (meaning.cause, meaning.mend));
        Error::new(
            Kind::Refused,
            format!("the file {file} of the log does not come to {}: {cause}", self.share),
            mend,
        )
    }
}

/// The first two columns of the first row; none where there is none.
fn pair(server: &Superuser, statement: &str) -> Result<Option<(String, String)>, Error> {
    let row = server.rows(statement)?.into_iter().next();
    Ok(row.and_then(|row| {
        let mut columns = row.into_iter();
        Some((columns.next()??, columns.next()??))
    }))
}
