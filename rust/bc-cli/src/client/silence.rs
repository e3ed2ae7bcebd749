//! What it means that no node answers, and what to type.

use std::path::Path;

use bc_core::role::lock_holder::{Holder, holder};

use super::platform;
use crate::{exit_code::ExitCode, failure::Failure};

/// Says that no node answers although an order is to be given.
pub(crate) fn nobody_answers(state_dir: &Path) -> Failure {
    let holder = holder(state_dir);
    Failure::new(
        ExitCode::Failed,
        silence(state_dir, &holder),
        after_silence(state_dir, &holder),
    )
}

/// Says what it means that no node answers in `state_dir`: a fragment.
pub(crate) fn silence(state_dir: &Path, holder: &Holder) -> String {
    let folder = state_dir.display();
    match holder {
        Holder::Nobody => format!("no node runs in {folder}"),
        Holder::NobodyInSight => format!("no node runs in {folder} that this command can see"),
        Holder::Process(process) => format!("the node in {folder} runs as {process}, but has no local socket"),
        Holder::NotKnown => format!("no node answers in {folder}"),
    }
}

/// Says what to do where no node answers: whole sentences.
pub(crate) fn after_silence(state_dir: &Path, holder: &Holder) -> String {
    match holder {
        Holder::Nobody => "Start GoCD with the plugin and its -javaagent line, then try again.".to_owned(),
        Holder::NobodyInSight => {
            "Start GoCD with the plugin and its -javaagent line, then try again. If it runs in another container, type the \
             command there."
                .to_owned()
        }
        Holder::Process(process) => {
            let elsewhere = if platform::is_elsewhere(state_dir) {
                let id = process.id;
                format!(" If it runs in a container, type `nsenter --target {id} --mount --net` before the command.")
            } else {
                String::new()
            };
            format!(
                "It makes the socket again by itself: try again in half a minute. If that lasts, its dashboard and its \
                 log say what keeps it from that.{elsewhere}"
            )
        }
        Holder::NotKnown => {
            "Start GoCD with the plugin and its -javaagent line, or look at its log if it should be running.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sees_not_every_process_does_not_say_that_there_is_none() {
        let folder = Path::new("state");
        assert_eq!(silence(folder, &Holder::Nobody), "no node runs in state");
        let in_container = silence(folder, &Holder::NobodyInSight);
        assert_eq!(in_container, "no node runs in state that this command can see");
        assert!(after_silence(folder, &Holder::NobodyInSight).contains("another container"));
    }
}
