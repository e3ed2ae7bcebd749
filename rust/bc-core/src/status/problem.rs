//! What is wrong, and how bad it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{manifest::Name, withheld::Withheld};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Nothing is wrong.
    Ok,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

impl Severity {
    /// How bad it is that a primary cannot offer this. Without its configuration, or the key of its secrets, what a
    /// standby holds is of another day than what it would be promoted for.
    pub fn of_withheld(withheld: &Withheld) -> Self {
        let is_needed = |name: &Name| withheld.reason(name).is_some_and(|reason| !reason.is_passing());
        let needed = [Name::CruiseConfig, Name::CipherAes, Name::CipherDes];
        match needed.iter().any(is_needed) {
            true => Self::Critical,
            false => Self::Warning,
        }
    }
}

/// The word for it, as monitoring systems know it.
impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Ok => "OK",
            Severity::Warning => "WARNING",
            Severity::Critical => "CRITICAL",
        })
    }
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: one problem for each topic, a newer one replaces it.
    pub topic: String,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
    /// Since when.
    pub since_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::withheld::Reason;

    #[test]
    fn configuration_and_key_weigh_more_than_the_rest() {
        let severity = |name, reason| {
            let mut withheld = Withheld::default();
            withheld.files.insert(name, reason);
            Severity::of_withheld(&withheld)
        };
        assert_eq!(severity(Name::CruiseConfig, Reason::Denied), Severity::Critical);
        assert_eq!(severity(Name::CipherAes, Reason::Failing), Severity::Critical);
        assert_eq!(severity(Name::JettyXml, Reason::Denied), Severity::Warning);
        assert_eq!(severity(Name::CruiseConfig, Reason::BeingWritten), Severity::Warning);
        let folder = Withheld {
            plugins: Some(Reason::Stale),
            ..Withheld::default()
        };
        assert_eq!(Severity::of_withheld(&folder), Severity::Warning);
    }
}
