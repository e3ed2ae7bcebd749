//! `gocd-bc setup database-standby`: what is wanted, for bc-setup.

use bc_core::basics::Error;

use crate::{args::setup::database_standby::DatabaseStandbyArguments, exit_code::ExitCode};

/// Makes the PostgreSQL of this host a standby, or shows what that would change.
///
/// # Errors
/// It was not done, or not wholly.
#[cfg(target_os = "linux")]
pub(super) fn run(arguments: DatabaseStandbyArguments) -> Result<ExitCode, Error> {
    use bc_setup::database_standby::{self, Wish};

    use super::{absolute, which};
    use crate::console::Terminal;

    let wish = Wish {
        primary: arguments.primary,
        cluster: which(arguments.cluster),
        gocd: arguments.gocd_host,
        user: arguments.user,
        password_file: arguments.password_file,
        slot: arguments.slot,
        tls: arguments.tls,
        root_certificates: arguments.root_certificates.map(absolute).transpose()?,
        share: arguments.share.map(absolute).transpose()?,
        trigger_file: arguments.trigger_file.map(absolute).transpose()?,
        tablespaces: arguments.tablespace,
        starts: !arguments.no_start,
        anew: arguments.anew,
        writes: arguments.write,
    };
    let done = match arguments.reseed {
        true => database_standby::reseed::run(&wish, &mut Terminal::new()),
        false => database_standby::run(&wish, &mut Terminal::new()),
    };
    done.map(|()| ExitCode::Ok)
}

/// Says that it is done elsewhere.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: DatabaseStandbyArguments) -> Result<ExitCode, Error> {
    Err(super::not_here())
}
