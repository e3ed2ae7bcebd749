//! Why a command was not done, as a person reads it.

use std::fmt::{self, Write};

use bc_core::basics::Error;

use crate::exit_code::ExitCode;

/// One failed command: what, because of what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: ExitCode,
    message: String,
    causes: Vec<String>,
    hint: String,
}

impl Failure {
    /// Makes the failure of a command: `message` is a fragment without final period, `hint` a sentence or empty.
    pub(crate) fn new(exit: ExitCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: hint.into(),
        }
    }

    /// Adds to a failure what led to it.
    pub(crate) fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Gives a failure another exit code.
    pub(crate) fn with_exit(self, exit: ExitCode) -> Self {
        Self { exit, ..self }
    }

    /// What failed, of the failure of a command.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What the process ends with after this failure.
    pub(crate) fn exit(&self) -> ExitCode {
        self.exit
    }
}

/// `error:` line, `caused by:` lines, an empty line, `hint:` line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {cause}")?;
        }
        if !self.hint.is_empty() {
            f.write_str("\n\nhint: ")?;
            f.write_str(&self.hint)?;
        }
        f.write_char('\n')
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(ExitCode::Failed, error.message(), error.guidance())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_on_stderr() {
        let failure = Failure::new(ExitCode::Failed, "cannot eat", "Drink.")
            .caused_by("no teeth")
            .caused_by("age");
        assert_eq!(
            failure.to_string(),
            "error: cannot eat\n  caused by: no teeth\n  caused by: age\n\nhint: Drink.\n"
        );
        assert_eq!(Failure::new(ExitCode::Failed, "no", "").to_string(), "error: no\n");
    }
}
