//! Whether anything says of a server that it was ever more than a plain GoCD: a standby, a promoted one, or one of a pair.
//!
//! A node that does not open must not let GoCD run by that: another one may have a higher epoch, and nobody could ask. Of a
//! server that never was one of a pair nobody can have one, and a mistake of ours must not keep it down.

use super::{FILE, KnownPeers, Ledger, Recorded, known_peers};
use crate::{
    basics::Error,
    generation::{Layout, Role, layout::may_be_there},
    keys::PeersFile,
    settings::{Flag, Restriction, Settings},
};

/// What only a standby has in its state folder.
const OF_A_STANDBY: [&str; 2] = ["applied.json", "generations"];

/// Whether nothing says that this server was ever anything but a plain GoCD. What is there and cannot be read or
/// understood says it was.
pub fn is_plain(settings: &Settings) -> bool {
    let layout = &settings.layout;
    settings.flag == Flag::None
        && settings.primary_url.is_none()
        && matches!(settings.peers, Restriction::Absent)
        && knows_nobody(layout).unwrap_or(false)
}

/// Whether the files of this server name nobody else, and no promotion.
fn knows_nobody(layout: &Layout) -> Result<bool, Error> {
    let folders = [layout.state_dir().to_owned(), layout.usual_state_dir()];
    for folder in folders.iter().filter(|folder| may_be_there(folder)) {
        let is_there = |name: &str| may_be_there(&folder.join(name));
        if OF_A_STANDBY.iter().any(|name| is_there(name)) {
            return Ok(false);
        }
        if is_there(FILE)
            && let Some(recorded) = Recorded::load(folder)?
        {
            let epoch = recorded.epochs.map_or(1, |epochs| epochs.highest.number);
            if recorded.role != Role::Primary || recorded.promoted_ms.is_some() || epoch > 1 {
                return Ok(false);
            }
        }
        if is_there("ledger.json")
            && let Some(ledger) = Ledger::load(&folder.join("ledger.json"))?
            && (ledger.highest_epoch.number > 1 || ledger.followed.is_some())
        {
            return Ok(false);
        }
        if is_there(known_peers::FILE) {
            let known = KnownPeers::load(folder)?;
            if !known.all().is_empty() || known.highest.is_some() {
                return Ok(false);
            }
        }
    }
    // Its own key alone, or not even that.
    let keys = layout.peers();
    Ok(!may_be_there(&keys) || PeersFile::new(&keys, None).load()?.all().len() <= 1)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        basics::Properties,
        generation::Epoch,
        role::{Followed, StateDir, memory::KeptEpochs},
    };

    fn settings(folder: &Path, more: &[(&str, &str)]) -> Settings {
        let folder = folder.display().to_string();
        let all = [("user.dir", folder.as_str())];
        Settings::parse(&Properties::from_iter(all.iter().chain(more).copied()), may_be_there).0
    }

    #[test]
    fn whatever_names_another_server_or_a_promotion_or_cannot_be_read_is_no_plain_gocd() {
        let two = Epoch {
            number: 2,
            promotion: "b".to_owned(),
        };
        let role = |recorded: Recorded, state: &Path| recorded.save(state).expect("written");
        type Arrange<'a> = &'a dyn Fn(&Path);
        let arrange: [(&str, bool, Arrange<'_>); 11] = [
            ("nothing", true, &|_| {}),
            ("a primary", true, &|state| {
                role(Recorded::new(Role::Primary, Flag::None, 1), state)
            }),
            ("a standby", false, &|state| {
                role(Recorded::new(Role::Standby, Flag::None, 1), state)
            }),
            ("an epoch in the record", false, &|state| {
                let epochs = Some(KeptEpochs {
                    own: two.clone(),
                    highest: two.clone(),
                });
                role(
                    Recorded {
                        epochs,
                        ..Recorded::new(Role::Primary, Flag::None, 1)
                    },
                    state,
                );
            }),
            ("a record that is damaged", false, &|state| {
                fs::write(state.join(FILE), "").expect("written")
            }),
            ("a ledger", true, &|state| {
                Ledger::default().save(&state.join("ledger.json")).expect("written")
            }),
            ("one of a standby", false, &|state| {
                let followed = Some(Followed {
                    node_id: "x".to_owned(),
                    epoch: two.clone(),
                });
                let ledger = Ledger {
                    followed,
                    ..Ledger::default()
                };
                ledger.save(&state.join("ledger.json")).expect("written");
            }),
            ("one that is damaged", false, &|state| {
                fs::write(state.join("ledger.json"), "").expect("written")
            }),
            ("peers that are damaged", false, &|state| {
                fs::write(state.join(known_peers::FILE), "").expect("written");
            }),
            ("generations", false, &|state| {
                fs::create_dir(state.join("generations")).expect("made")
            }),
            ("a folder in the place of the record", false, &|state| {
                fs::create_dir(state.join(FILE)).expect("made");
            }),
        ];
        for (what, plain, arrange) in arrange {
            let folder = tempfile::tempdir().expect("a folder");
            let settings = settings(folder.path(), &[]);
            drop(StateDir::open(settings.layout.state_dir()).expect("made"));
            arrange(settings.layout.state_dir());
            assert_eq!(is_plain(&settings), plain, "{what}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        for (name, value) in [
            ("go.server.mode", "standby"),
            ("bc.primary.url", "https://primarygo"),
            ("bc.peers", "::"),
        ] {
            assert!(!is_plain(&settings(folder.path(), &[(name, value)])), "{name}");
        }
        // A state folder that cannot be one says nothing of a pair.
        fs::write(folder.path().join("db"), "").expect("written");
        assert!(is_plain(&settings(folder.path(), &[])));
    }
}
