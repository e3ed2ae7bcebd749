//! Which tests failed, said last and with their first words, and whether they fail alone as well.
//!
//! What thousands of tests print buries the one that failed, and who reads only the end of it never learns its name.
//! Also, a test that fails beside all the others and then passes alone, time after time, has met either a crowded
//! machine or a race of the product. It does not stop the check, since nobody could go on then; but it is named at the
//! end of every run that saw it, with what it said, so that it is looked into and not slept over.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use crate::{command, project::Project};

/// More failures than that are no accident of a crowded machine.
const MOST: usize = 2;
/// How many times in a row such a test has to pass alone.
const TIMES: usize = 5;

/// The failures of one run of `cargo test --no-fail-fast`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FailedTests {
    /// Arguments by which cargo finds each target that failed, such as `-p bc-core --lib`.
    targets: Vec<String>,
    /// Name of each test that failed and what it said first.
    tests: Vec<(String, String)>,
}

impl FailedTests {
    /// Reads what `cargo test` printed on both streams.
    pub(crate) fn parse(said: &str) -> Self {
        let targets = said
            .lines()
            .skip_while(|line| !(line.starts_with("error: ") && line.contains(" failed:")))
            .skip(1)
            .map_while(|line| line.strip_prefix("    `")?.strip_suffix('`'))
            .map(str::to_owned)
            .collect();
        let tests = said
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
            .map(|name| (name.to_owned(), first_words(said, name)))
            .collect();
        Self { targets, tests }
    }

    /// Whether no test that failed is known by name: one that crashed, or tests that were not built.
    pub(crate) fn is_unknown(&self) -> bool {
        self.tests.is_empty()
    }

    /// One paragraph with a line per test, to be read last.
    pub(crate) fn report(&self) -> String {
        let mut report = String::new();
        for (name, said) in &self.tests {
            let _ = writeln!(report, "  {name}\n    {said}");
        }
        for target in &self.targets {
            let _ = writeln!(report, "  in: cargo test {target}");
        }
        report
    }

    /// Runs the tests that failed alone, several times.
    ///
    /// # Errors
    /// One of them fails again, there are too many, or they cannot be told from what was printed: a crash, a failed
    /// example in the documentation.
    pub(crate) fn pass_alone(
        &self,
        project: &Project,
        environment: &[(impl AsRef<std::ffi::OsStr>, impl AsRef<std::ffi::OsStr>)],
    ) -> Result<()> {
        if self.tests.is_empty() || self.targets.is_empty() || self.tests.len() > MOST {
            bail!("{} failed tests are known by name", self.tests.len());
        }
        for _ in 0..TIMES {
            let mut passed = 0;
            for target in &self.targets {
                let mut test = project.cargo();
                test.args(["test", "--locked"])
                    .args(target.split(' '))
                    .args(["--", "--exact"]);
                test.args(self.tests.iter().map(|(name, _)| name));
                for (key, value) in environment {
                    test.env(key, value);
                }
                let said = command::read(&mut test).context("a test that failed beside the others fails alone too")?;
                passed += passed_in(&said);
            }
            if passed < self.tests.len() {
                bail!("only {passed} of {} failed tests could be run alone", self.tests.len());
            }
        }
        Ok(())
    }
}

/// How many tests passed in what one `cargo test` printed.
fn passed_in(said: &str) -> usize {
    said.lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split_once(" passed"))
        .filter_map(|(count, _)| count.parse::<usize>().ok())
        .sum()
}

/// The message of the test's own panic, on one line. Other threads of a test panic on purpose, so the one of the
/// thread that bears the test's name counts.
fn first_words(said: &str, name: &str) -> String {
    let head = format!("thread '{name}'");
    let mut lines = said.lines().skip_while(|line| !line.starts_with(&head));
    let Some(place) = lines.next() else {
        return "it said nothing".to_owned();
    };
    let place = place.split_once("panicked at ").map_or(place, |(_, place)| place);
    let message: Vec<&str> = lines
        .take_while(|line| !line.starts_with("stack backtrace:") && !line.starts_with("note: "))
        .take(4)
        .collect();
    format!("{place} {}", message.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
test a::passes ... ok
test a::fails ... FAILED

failures:

---- a::fails stdout ----

thread 'a::fails' (17) panicked at rust/a.rs:1:2:
assertion failed: left == right
  left: 1
stack backtrace:
   0: somewhere

failures:
    a::fails

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: 1 target failed:
    `-p bc-core --lib`
";

    #[test]
    fn what_failed_is_named_with_its_first_words() {
        let failed = FailedTests::parse(SAID);
        assert_eq!(
            failed,
            FailedTests {
                targets: vec!["-p bc-core --lib".to_owned()],
                tests: vec![(
                    "a::fails".to_owned(),
                    "rust/a.rs:1:2: assertion failed: left == right |   left: 1".to_owned()
                )],
            }
        );
        assert_eq!(
            failed.report(),
            "  a::fails\n    rust/a.rs:1:2: assertion failed: left == right |   left: 1\n  \
             in: cargo test -p bc-core --lib\n"
        );
    }

    #[test]
    fn passes_are_counted_over_targets_and_a_failing_one_counts_nothing() {
        assert_eq!(passed_in(SAID), 3);
        assert_eq!(passed_in(&format!("{SAID}{SAID}")), 6);
        assert_eq!(passed_in("test result: FAILED. 1 passed; 1 failed;"), 0);
    }

    #[test]
    fn a_crash_names_no_test() {
        let crash = "error: test failed\n\nerror: 1 target failed:\n    `-p bc-core --lib`\n";
        assert_eq!(FailedTests::parse(crash).tests, []);
    }
}
