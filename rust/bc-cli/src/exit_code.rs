//! What the command ends with. A contract: monitoring and scripts depend on the numbers.

use bc_core::basics::Severity;

/// How a command ended. `status` and `token check` follow the convention of monitoring plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// 0: done, or all is well.
    Ok,
    /// 1: somebody should look.
    Warning,
    /// 2: somebody must act.
    Critical,
    /// 3: it could not be found out.
    Unknown,
    /// 1: not done; nothing has changed unless the message says so.
    Failed,
    /// 2, of `promote` alone: GoCD was released, but ended, or was not seen running in time.
    Unconfirmed,
    /// 3, of `promote` alone: GoCD runs, but not with all that it was promoted with.
    Differs,
    /// 64: the command line is wrong, or does not say which node is meant.
    Usage,
}

impl ExitCode {
    /// The number with which the process ends.
    pub(crate) fn number(self) -> u8 {
        match self {
            ExitCode::Ok => 0,
            ExitCode::Warning | ExitCode::Failed => 1,
            ExitCode::Critical | ExitCode::Unconfirmed => 2,
            ExitCode::Unknown | ExitCode::Differs => 3,
            ExitCode::Usage => 64,
        }
    }
}

impl From<Severity> for ExitCode {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Ok => ExitCode::Ok,
            Severity::Warning => ExitCode::Warning,
            Severity::Critical => ExitCode::Critical,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(exit: ExitCode) -> Self {
        exit.number().into()
    }
}
