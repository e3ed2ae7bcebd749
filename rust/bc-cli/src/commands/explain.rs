//! `gocd-bc explain`: the pages of the doctor's checks.

use bc_core::doctor::Check;

use crate::{
    exit_code::ExitCode,
    failure::Failure,
    output::{self, table},
};

/// Runs `gocd-bc explain`: prints the page of a check, or the list of all.
pub(crate) fn run(check: Option<&str>) -> Result<ExitCode, Failure> {
    let text = match check {
        Some(text) => {
            let check = text.parse::<Check>();
            check
                .map_err(|message| Failure::new(ExitCode::Usage, message, ""))?
                .page()
        }
        None => {
            let row = |check: &Check| vec![check.number(), check.name().to_owned(), check.title().to_owned()];
            table(&Check::ALL.iter().map(row).collect::<Vec<_>>())
        }
    };
    output::print(&text)?;
    Ok(ExitCode::Ok)
}
