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

/// The failures of one run of all programs of tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FailedTests {
    /// Arguments by which cargo finds each target that failed, such as `-p bc-core --lib`.
    targets: Vec<String>,
    /// Name of each test that failed and what it said first.
    tests: Vec<(String, String)>,
    /// The end of what each program printed that failed without naming a test: it crashed.
    crashed: Vec<String>,
}

impl FailedTests {
    /// Adds a program that failed, by its target and all that it printed.
    pub(super) fn add(&mut self, target: &str, said: &str) {
        let tests = said
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
            .map(|name| (name.to_owned(), first_words(said, name)));
        let known = self.tests.len();
        self.tests.extend(tests);
        self.targets.push(target.to_owned());
        if self.tests.len() == known {
            self.crashed.push(command::last_lines(said));
        }
    }

    /// Whether nothing failed.
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// One paragraph with a line per test, to be read last.
    pub(super) fn report(&self) -> String {
        let mut report = String::new();
        for (name, said) in &self.tests {
            let _ = writeln!(report, "  {name}\n    {said}");
        }
        for target in &self.targets {
            let _ = writeln!(report, "  in: cargo test {target}");
        }
        for said in &self.crashed {
            let _ = writeln!(report, "{said}");
        }
        report
    }

    /// Runs the tests that failed alone, several times.
    ///
    /// # Errors
    /// One of them fails again, there are too many, or they cannot be told from what was printed: a crash.
    pub(super) fn pass_alone(
        &self,
        project: &Project,
        environment: &[(impl AsRef<std::ffi::OsStr>, impl AsRef<std::ffi::OsStr>)],
    ) -> Result<()> {
        if !self.crashed.is_empty() {
            bail!("{} programs of tests failed without naming a test", self.crashed.len());
        }
        if self.tests.len() > MOST {
            bail!("{} tests failed", self.tests.len());
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

/// How many tests passed in what one `cargo test`, or one program of tests, printed.
pub(super) fn passed_in(said: &str) -> usize {
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
";

    #[test]
    fn what_failed_is_named_with_its_first_words() {
        let mut failed = FailedTests::default();
        assert!(failed.is_empty());
        failed.add("-p bc-core --lib", SAID);
        assert_eq!(
            failed,
            FailedTests {
                targets: vec!["-p bc-core --lib".to_owned()],
                tests: vec![(
                    "a::fails".to_owned(),
                    "rust/a.rs:1:2: assertion failed: left == right |   left: 1".to_owned()
                )],
                crashed: vec![],
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
    fn a_crash_is_shown_and_never_taken_for_a_test_that_passes_alone() {
        let mut failed = FailedTests::default();
        failed.add("-p bc-core --lib", SAID);
        failed.add("-p bc-cli --test fence", "running 2 tests\nsignal: 11");
        assert!(failed.report().ends_with("running 2 tests\nsignal: 11\n"));
        let project = Project::of_this_checkout().expect("a checkout");
        let error = failed.pass_alone(&project, &[("A", "1")]).expect_err("it crashed");
        assert_eq!(error.to_string(), "1 programs of tests failed without naming a test");
    }
}
