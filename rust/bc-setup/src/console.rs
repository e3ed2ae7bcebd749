//! The person or script in front of a set-up.

use bc_core::basics::Error;

/// Where a set-up says what it does. The command implements it.
pub trait Console {
    /// Shows a person what was asked for: a plan, a command to type elsewhere.
    ///
    /// # Errors
    /// It cannot be written.
    fn show(&mut self, text: &str) -> Result<(), Error>;

    /// Says to a person on the way what is being done, as one line.
    fn say(&mut self, text: &str);

    /// Shows a person how far something that takes its time has come: `done` of `total` bytes, where the total is
    /// known.
    fn progress(&mut self, what: &str, done: u64, total: Option<u64>);

    /// Asks a person a question that is answered by yes or no. None where nobody is there to answer.
    fn ask(&mut self, question: &str) -> Option<bool>;
}
