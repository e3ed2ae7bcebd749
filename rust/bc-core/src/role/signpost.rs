//! A file `role` in the usual state folder that says where the state folder of a standby is instead.
//!
//! `bc.state.dir` goes with the same JVM options as `go.server.mode=standby`, where these are replaced. The usual
//! folder knows nothing then, and a server of which nothing is known starts. So a held node whose state folder is
//! elsewhere leaves a record there that is none: by the table of [`crate::role`] that opens nothing, in Java too. A
//! primary takes it away at its next start.

use std::path::Path;

use super::record::{ELSEWHERE, FILE};
use crate::{
    basics::{Error, Properties, properties, regular_file},
    durable::atomic,
    generation::Layout,
    role::state_dir,
};

/// Leaves a signpost where the state folder is elsewhere and the usual one has no record of its own.
///
/// # Errors
/// [`crate::basics::Kind::File`] naming what cannot be read or written.
pub fn leave(layout: &Layout) -> Result<(), Error> {
    let usual = layout.usual_state_dir();
    if is_same(&usual, layout.state_dir()) {
        return Ok(());
    }
    let elsewhere = layout.state_dir().display().to_string();
    let text = properties::to_text([(ELSEWHERE, elsewhere.as_str())]);
    match in_usual_folder(&usual)? {
        InUsualFolder::Nothing => {
            state_dir::create(&usual, 0o711)?;
        }
        InUsualFolder::Signpost(there) if there != elsewhere => {}
        // A record says as much and more.
        InUsualFolder::Signpost(_) | InUsualFolder::Record => return Ok(()),
    }
    atomic::write(&usual.join(FILE), text.as_bytes(), 0o600)
}

/// Takes the signpost away again.
///
/// # Errors
/// As for [`leave`].
pub fn take_away(layout: &Layout) -> Result<(), Error> {
    let usual = layout.usual_state_dir();
    if !is_same(&usual, layout.state_dir()) && matches!(in_usual_folder(&usual)?, InUsualFolder::Signpost(_)) {
        atomic::remove(&usual.join(FILE))?;
    }
    Ok(())
}

/// What is in the place of a record there.
enum InUsualFolder {
    Nothing,
    Signpost(String),
    Record,
}

/// What the usual state folder has: a signpost, a record of its own, or nothing.
fn in_usual_folder(usual: &Path) -> Result<InUsualFolder, Error> {
    let path = usual.join(FILE);
    let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
        return Ok(InUsualFolder::Nothing);
    };
    let elsewhere = Properties::parse(&text, &path.display().to_string())
        .ok()
        .and_then(|properties| properties.get(ELSEWHERE).map(str::to_owned));
    Ok(elsewhere.map_or(InUsualFolder::Record, InUsualFolder::Signpost))
}

/// Whether the usual state folder and this one are one folder, whatever leads to it.
fn is_same(usual: &Path, state_dir: &Path) -> bool {
    usual == state_dir
        || match (usual.canonicalize(), state_dir.canonicalize()) {
            (Ok(usual), Ok(state_dir)) => usual == state_dir,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        generation::{Epoch, Role},
        role::{Known, Recorded, Start, start},
        settings::Flag,
    };

    fn layout(folder: &Path, state_dir: Option<&str>) -> Layout {
        let mut properties = Properties::from_iter([("user.dir", folder.to_str().expect("UTF-8"))]);
        if let Some(state_dir) = state_dir {
            properties.set("bc.state.dir", state_dir);
        }
        Layout::from_properties(&properties)
    }

    #[test]
    fn a_standby_that_lost_flag_and_state_folder_at_once_opens_nothing_and_says_where_it_was() {
        let folder = tempfile::tempdir().expect("folder");
        let (moved, usual) = (layout(folder.path(), Some("elsewhere")), layout(folder.path(), None));
        assert_eq!(Recorded::load(usual.state_dir()), Ok(None));
        leave(&moved).expect("left");
        leave(&moved).expect("once more");
        let recorded = Recorded::load(usual.state_dir());
        let error = recorded.clone().expect_err("no record");
        let place = folder.path().join("elsewhere");
        assert!(error.message().contains(&place.display().to_string()), "{error}");
        assert!(error.guidance().contains("bc.state.dir"), "{error}");
        let epoch = Epoch::default();
        for flag in [Flag::None, Flag::Property, Flag::File] {
            let known = Known::here(flag, &recorded, &epoch);
            assert_eq!(start(&known), Start::HoldUnknown);
        }
        take_away(&moved).expect("taken away");
        assert_eq!(Recorded::load(usual.state_dir()), Ok(None));
    }

    #[test]
    fn a_record_in_the_usual_folder_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let (moved, usual) = (layout(folder.path(), Some("elsewhere")), layout(folder.path(), None));
        fs::create_dir_all(usual.state_dir()).expect("folder");
        let record = Recorded::new(Role::Standby, Flag::Property, 7);
        record.save(usual.state_dir()).expect("save");
        for change in [leave, take_away] {
            change(&moved).expect("nothing to do");
            change(&usual).expect("nothing to do");
            assert_eq!(Recorded::load(usual.state_dir()), Ok(Some(record.clone())));
        }
        let by_another_way = layout(folder.path(), Some("db/../db/business-continuity"));
        fs::remove_file(usual.state_dir().join(FILE)).expect("remove");
        leave(&by_another_way).expect("nothing to do");
        assert_eq!(Recorded::load(usual.state_dir()), Ok(None));
    }
}
