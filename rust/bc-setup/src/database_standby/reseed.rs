//! `gocd-bc setup database-standby --reseed`: makes the database of a former primary follow the one that was promoted in
//! its place.
//!
//! Which way that goes is decided in `bc_core::database::reseed`; here both servers are looked at, and the way is gone:
//!
//! | way | what is done | what is kept of before |
//! |---|---|---|
//! | plain rejoin | the files that make it a standby are written, and it starts | those files |
//! | rewind | `pg_rewind` works in a copy, which then takes the place of the data folder | the whole folder |
//! | base backup | a copy of the new primary takes the place of the data folder | the whole folder |
//!
//! Without the order to write nothing changes on this machine. On the new primary a checkpoint may be made, which is only
//! the one that it would make by itself minutes later: without it `pg_rewind` takes it for its former timeline.
//!
//! It ends when the standby has replayed what the new primary had written when it was asked. A run that ends before is
//! repeated: the data folder is at any moment the former one, or whole and a standby's.

use std::{net::IpAddr, path::PathBuf};

use bc_core::{
    basics::{Error, Kind, words},
    database::{
        conninfo::Conninfo,
        hba::Replication,
        lsn::Lsn,
        messages::Names,
        reseed::{Case, End, Obstacle, Timelines, Way, WhyAnew, timelines},
    },
};
use tempfile::TempPath;
use zeroize::Zeroizing;

use self::{former::Former, new_primary::NewPrimary, rewind::DryRun};
use super::{Wish, configuration::Configuration, follow, free, own, place, primary, room};
use crate::{
    cluster::{self, Cluster},
    console::Console,
    data_folder::DataFolder,
    passfile,
    plan::Plan,
    replication::Remote,
    route,
    superuser::Superuser,
};

mod former;
mod new_primary;
mod rewind;
mod slots;

/// How the new primary is reached.
struct Primary {
    /// The addresses of both.
    pair: Vec<IpAddr>,
    /// Those of a GoCD on a host of its own.
    gocd: Vec<IpAddr>,
    password: Zeroizing<String>,
    /// With a passfile that the programs of this run read.
    asked: Conninfo,
    names: Names,
    /// Removes that file.
    _passfile: TempPath,
}

/// What was found, and what follows from it.
struct Found<'a> {
    new: NewPrimary<'a>,
    former: Former,
    timelines: Timelines,
    end: End,
    way: Way,
}

/// Brings a former primary's database back, or shows how.
///
/// # Errors
/// One of the two cannot be looked at; the way is to be decided by a person; a step failed: it says what is to be done, and
/// the same command goes on.
pub fn run(wish: &Wish, console: &mut dyn Console) -> Result<(), Error> {
    let cluster = cluster::find(&wish.cluster)?;
    let primary = Primary::of(wish, &cluster)?;
    let found = look(&cluster, &primary, console)?;
    let mut plan = shown(&cluster, &found);
    if found.former.only_replays && follows(&cluster, found.new.remote.position) {
        plan.is("way", "none is needed: it follows the new primary already");
        return console.show(&plan.to_string());
    }
    show_way(&mut plan, &cluster, &found);
    console.show(&plan.to_string())?;
    permitted(wish, &cluster, &found)?;
    if !wish.writes {
        console.say("Nothing was changed: --write does it.");
        return Ok(());
    }
    if !cluster.is_running {
        return go(wish, &cluster, &primary, &found, console);
    }
    console.say(&format!("Stopping {}.", cluster.name));
    cluster.stop()?;
    // Where its log ends is known only now, and what pg_rewind says.
    let stopped = cluster.refreshed();
    let done = look(&stopped, &primary, console).and_then(|found| {
        permitted(wish, &stopped, &found)?;
        console.say(&format!("The way is the {}.", found.way));
        go(wish, &stopped, &primary, &found, console)
    });
    if done.is_err() && !stopped.refreshed().is_running {
        console.say(&format!(
            "{} is stopped now. The same command goes on; it starts as the primary that it was by: {}",
            cluster.name,
            cluster.control_command("start")
        ));
    }
    done
}

impl Primary {
    fn of(wish: &Wish, cluster: &Cluster) -> Result<Self, Error> {
        let addresses = primary::addresses(&wish.primary)?;
        let is_local = addresses.iter().all(route::is_own);
        if is_local && cluster.port == wish.primary.port && cluster.is_running {
            return Err(Error::new(
                Kind::Refused,
                format!("{} is this very server: {}", wish.primary, cluster.name),
                "Run this where the former primary is, and name the new one by --primary.",
            ));
        }
        let place = place::find(&wish.cluster)?;
        let password = super::password(wish, &place)?;
        let secret = passfile::temporary(&cluster.owner, &wish.user, &password)?;
        let own_address = primary::own_address(&addresses);
        Ok(Self {
            asked: super::upstream(wish, &secret.display().to_string()).conninfo(),
            names: super::names(wish, &cluster.data, own_address),
            pair: route::pair(&addresses, own_address),
            gocd: route::of_gocd(&wish.gocd)?,
            password,
            _passfile: secret,
        })
    }
}

/// Whether the server runs as a standby that streams and has replayed up to `position`.
fn follows(cluster: &Cluster, position: Lsn) -> bool {
    let asked = format!(
        "select pg_is_in_recovery() and exists (select 1 from pg_stat_wal_receiver where status = 'streaming') and \
         pg_last_wal_replay_lsn() >= '{position}'"
    );
    let server = cluster.is_running.then(|| Superuser::open(cluster, "postgres"));
    server.is_some_and(|server| server.and_then(|server| server.is(&asked)).unwrap_or(false))
}

/// Goes the way; the server is stopped.
fn go(
    wish: &Wish,
    cluster: &Cluster,
    primary: &Primary,
    found: &Found<'_>,
    console: &mut dyn Console,
) -> Result<(), Error> {
    let own = own::look(cluster)?;
    let upstream = super::upstream(wish, passfile::FILE);
    let recovery = super::recovery(wish, upstream, cluster, &own, &found.new.remote);
    let configuration = Configuration {
        cluster,
        recovery: &recovery,
        settings: &own.settings,
        user: &wish.user,
        password: &primary.password,
    };
    let kept = match &found.way {
        Way::Rejoin => rejoined(cluster, &configuration)?,
        Way::Rewind => match rewound(cluster, &configuration, found, console)? {
            Ok(kept) => kept,
            Err(obstacle) => {
                console.say(&format!(
                    "The rewind came to nothing, and a base backup is taken: {obstacle}."
                ));
                return base_backup(wish, console);
            }
        },
        Way::BaseBackup(_) => return base_backup(wish, console),
        Way::Refuse(_) => return permitted(wish, cluster, found),
    };
    let admitted = Replication {
        role: &wish.user,
        addresses: &primary.pair,
        gocd: &primary.gocd,
    };
    configuration.write_hba(&admitted, console)?;
    Remote::make_slot(cluster.program("psql"), &primary.asked, &wish.slot, &primary.names)?;
    if !wish.starts {
        console.say("The data folder is ready. Start the container on it: it follows the primary.");
        return Ok(());
    }
    follow::start(cluster, &[], false, console, &primary.names)?;
    follow::report(cluster, wish, &primary.asked, &primary.names, console)?;
    slots::drop_former(&cluster.refreshed(), &wish.slot, console)?;
    if let Some(kept) = kept {
        console.say(&format!(
            "What was there before is kept, {}. When you do not need it any more: rm -r {}",
            words::size(rewind::size_of(&kept)),
            kept.display()
        ));
    }
    Ok(())
}

/// Copies the new primary, by the command for that.
fn base_backup(wish: &Wish, console: &mut dyn Console) -> Result<(), Error> {
    let wish = Wish {
        anew: true,
        ..wish.clone()
    };
    super::run(&wish, console)
}

/// Makes the data folder a standby's as it is. Returns where the former one is, if a run that was interrupted has moved it
/// away already.
fn rejoined(cluster: &Cluster, configuration: &Configuration<'_>) -> Result<Option<PathBuf>, Error> {
    let folder = DataFolder::new(&cluster.data, &cluster.owner)?;
    let _lock = folder.lock()?;
    let kept = folder.tidy()?;
    configuration.amend(&cluster.data)?;
    folder.settle()?;
    Ok(kept)
}

/// Rewinds a copy and puts it in the place of the data folder. Returns where that one is now.
fn rewound(
    cluster: &Cluster,
    configuration: &Configuration<'_>,
    found: &Found<'_>,
    console: &mut dyn Console,
) -> Result<Result<Option<PathBuf>, Obstacle>, Error> {
    let folder = DataFolder::new(&cluster.data, &cluster.owner)?;
    let lock = folder.lock()?;
    let copy = folder.begin()?;
    let size = rewind::size_of(&cluster.data);
    if let Some(misfit) = room(size, free(folder.disk()), folder.disk()) {
        folder.abandon();
        return Err(Error::new(Kind::DiskFull, misfit.what, misfit.mend));
    }
    match rewind::in_copy(cluster, &found.former, &found.new, &copy, &lock, console) {
        Ok(Ok(())) => {}
        Ok(Err(obstacle)) => {
            folder.abandon();
            return Ok(Err(obstacle));
        }
        Err(error) => {
            folder.abandon();
            return Err(error);
        }
    }
    configuration.amend(&copy)?;
    folder.complete()?;
    let kept = folder.move_in()?;
    folder.settle()?;
    Ok(Ok(kept))
}

/// Whether a way may be gone at all.
fn permitted(wish: &Wish, cluster: &Cluster, found: &Found<'_>) -> Result<(), Error> {
    match &found.way {
        Way::Refuse(refusal) => Err(refusal.error(&cluster.data.display().to_string(), &wish.primary.to_string())),
        _ => Ok(()),
    }
}

/// Looks at both servers, and decides: by what `pg_rewind` says without writing as well, where it can be asked, since the
/// server here is stopped in order.
fn look<'a>(cluster: &'a Cluster, primary: &Primary, console: &mut dyn Console) -> Result<Found<'a>, Error> {
    let new = NewPrimary::look(cluster, &primary.asked, &primary.names)?;
    let former = Former::look(cluster)?;
    let timelines = former.lineage.as_ref().map_or(Timelines::Unclear, |lineage| {
        timelines(lineage, &new.lineage, former.only_replays)
    });
    let end = match timelines {
        Timelines::Left(fork) => former.end(cluster, fork)?,
        _ => End::Unknown,
    };
    let mut case = Case {
        other_is_standby: new.remote.is_in_recovery(),
        systems: (former.control.system, new.remote.system),
        majors: (cluster.major, new.major()),
        timelines,
        end,
        rewind: former.can_be_rewound(cluster),
    };
    // The new primary is asked for a checkpoint only where that is of use.
    if case.way() == Way::Rewind {
        case.rewind = new.be_ready_for_rewind(&mut |text| console.say(text))?;
    }
    let mut way = case.way();
    if way == Way::Rewind && !cluster.is_running && former.is_stopped_in_order() {
        way = match rewind::dry_run(cluster, &new)? {
            Ok(DryRun::Undoes) => Way::Rewind,
            Ok(DryRun::NothingToDo) => Way::Rejoin,
            Err(obstacle) => Way::BaseBackup(WhyAnew::NoRewind(obstacle)),
        };
    }
    Ok(Found {
        new,
        former,
        timelines,
        end,
        way,
    })
}

fn shown(cluster: &Cluster, found: &Found<'_>) -> Plan {
    let mut plan = Plan::default();
    let remote = &found.new.remote;
    plan.is("here", cluster.to_string());
    plan.is(
        "system",
        format!("{} here, {} there", found.former.control.system, remote.system),
    );
    let timeline = found
        .former
        .lineage
        .as_ref()
        .map_or("unknown".to_owned(), |own| own.timeline().to_string());
    let left = match found.timelines {
        Timelines::Left(fork) => format!(", which left the former at {fork}"),
        _ => String::new(),
    };
    plan.is("timeline", format!("{timeline} here, {} there{left}", remote.timeline));
    if let Timelines::Left(fork) = found.timelines {
        plan.is("log here", end(found.end, fork));
    }
    plan
}

fn end(end: End, fork: Lsn) -> String {
    let behind = |at: Lsn| match at.bytes_since(fork) {
        0 => String::new(),
        bytes => format!(", {} after it", words::size(bytes)),
    };
    match end {
        End::LastRecordAt(record) if record < fork => format!("ends before that, with a record at {record}"),
        End::LastRecordAt(record) => format!("has a record that is not there at {record}{}", behind(record)),
        End::UpTo(at) if at <= fork => "ends before that".to_owned(),
        End::UpTo(at) => format!("ends at {at}{}", behind(at)),
        End::StillWriting => "goes on: the server runs as a primary".to_owned(),
        End::Unknown => "ends nobody knows where: the server was not stopped in order".to_owned(),
    }
}

fn show_way(plan: &mut Plan, cluster: &Cluster, found: &Found<'_>) {
    if cluster.is_running {
        plan.change("server", "runs", "stopped, and started as a standby", "");
    }
    plan.change("way", "former primary", found.way.to_string(), "");
    let folder = cluster.data.display().to_string();
    match found.way {
        Way::Rewind | Way::BaseBackup(_) => {
            plan.change("data folder", folder, "a new one", "this one is kept beside it, whole");
            if found.way == Way::Rewind && cluster.is_running {
                plan.is(
                    "pg_rewind",
                    "says what it would do once the server is stopped; if it cannot, a base backup is taken",
                );
            }
        }
        _ => plan.is("data folder", format!("{folder} stays, and becomes a standby's")),
    }
}
