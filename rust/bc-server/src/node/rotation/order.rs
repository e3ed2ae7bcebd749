//! Answers `gocd-bc identity rotate`.

use bc_core::{
    basics::Fingerprint,
    generation::run,
    keys::rotation::{self, Ordered},
    node::Reply,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{LOOK_EVERY, Rotation};

impl Rotation {
    /// Carries the order out, with `now` without those who do not confirm; says who is waited for through `progress`.
    pub(crate) async fn order(&self, now: bool, progress: &mpsc::Sender<String>) -> Reply {
        if let Err(refused) = self.locked().may_be_ordered() {
            return refused.into();
        }
        let former = self.own.shown();
        let next = match self.publish() {
            Ok(next) => next,
            Err(error) => return error.into(),
        };
        let published = Instant::now();
        let (mut said, mut skipped) = (Vec::new(), Vec::new());
        loop {
            let missing = self.missing(&next);
            let is_shown = self.own.shown() == next;
            match rotation::ordered(is_shown, published.elapsed(), now, missing.is_empty()) {
                Ordered::Done => break,
                Ordered::LeftToItself => {
                    return Reply::Done {
                        message: format!(
                            "the next key {next} is published, but {} did not confirm it yet; this node switches by \
                             itself once they have. To switch without them: gocd-bc identity rotate --now",
                            missing.join(", ")
                        ),
                    };
                }
                Ordered::Switch => {
                    if let Err(error) = self.switch() {
                        return error.into();
                    }
                    skipped = missing;
                    if self.own.shown() == next {
                        break;
                    }
                }
                Ordered::Wait if !now && missing != said => {
                    // A caller that went away is no reason to stop.
                    drop(progress.send(format!("waiting for {}", missing.join(", "))).await);
                    said = missing;
                }
                Ordered::Wait => {}
            }
            sleep(LOOK_EVERY).await;
        }
        Reply::Done {
            message: self.shown_in_words(&former, &next, &skipped),
        }
    }

    /// What is true once the key `next` is shown, for people.
    fn shown_in_words(&self, former: &Fingerprint, next: &Fingerprint, skipped: &[String]) -> String {
        let without = if skipped.is_empty() {
            String::new()
        } else {
            format!(
                "; not confirmed by {}: run `gocd-bc trust {next}` and `gocd-bc trust --remove {former}` there",
                skipped.join(", ")
            )
        };
        let copies = self.standbys.copies();
        let shut_out = if copies.is_empty() {
            String::new()
        } else {
            format!(
                ". A copy of this server has the former key alone, so it is shut out now: {}",
                run::named(&copies)
            )
        };
        format!(
            "this node shows the key {next} from now on, and the former one, {former}, is trusted no longer: here at \
             once, and on each standby with its next report{without}{shut_out}"
        )
    }
}
