//! What those are told who compare both nodes by MD5, while the store changes files.

use std::collections::BTreeMap;

use super::*;
use crate::{
    generation::{Md5, Md5s, Reason, Withheld},
    node::both::{Both, Followed, Side},
    standby::{pull::newest::Newest, store::contract::withheld::withholding},
};

const NEVER: &dyn Fn() -> bool = &|| false;

/// The MD5s of these files.
fn of(files: &Files) -> BTreeMap<Name, Result<Md5, String>> {
    let md5 = |(name, bytes): (&Name, &Vec<u8>)| (name.clone(), Ok(Md5::of(bytes)));
    files.0.iter().map(md5).collect()
}

/// What is said of one node.
fn said(both: &Both, side: Side) -> BTreeMap<Name, Result<Md5, String>> {
    let named = |file: &crate::status::FileStatus| Some((file.name.clone(), both.md5(side, file)?));
    both.files.iter().filter_map(named).collect()
}

fn followed(place: &Place, probe: Probe) -> Followed {
    Followed {
        store: Arc::new(place.open_with(probe)),
        newest: Newest::default(),
    }
}

#[test]
fn every_answer_is_of_one_set_while_another_is_being_applied() {
    let place = Place::new();
    // Long enough for somebody to look between any two steps.
    let nodes = followed(
        &place,
        Arc::new(|change| {
            if change.replaces_live() || change.takes_away() {
                sleep(Duration::from_millis(1));
            }
            Ok(())
        }),
    );
    let sets = [Files::usual(), next()];
    let (md5s, expected) = (Md5s::default(), sets.clone().map(|files| of(&files)));
    sets[0].apply(&nodes.store, 1).expect("applied");
    let mut seen = [0, 0];
    thread::scope(|scope| {
        let applying = scope.spawn(|| {
            for (number, files) in (2..40).zip(sets.iter().cycle()) {
                let document = Arc::new(files.document(number));
                nodes.newest.set(&document);
                files.fetch(&nodes.store, &document);
                let allowed = Permit {
                    deletions: true,
                    ..Permit::default()
                };
                nodes.store.apply(&document, allowed).expect("applied");
            }
        });
        while !applying.is_finished() {
            let both = Both::of_standby(&nodes, &Arc::default(), &md5s, NEVER);
            let live = said(&both, Side::Standby);
            match expected.iter().position(|set| *set == live) {
                Some(set) => seen[set] += 1,
                // The primary had not said anything yet.
                None => assert!(live.is_empty(), "{live:#?}"),
            }
        }
    });
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    let both = Both::of_standby(&nodes, &Arc::default(), &md5s, NEVER);
    assert_eq!(said(&both, Side::Primary), said(&both, Side::Standby));
    assert!(both.is_whole());
}

#[test]
fn what_was_edited_here_is_said_and_what_is_still_to_come_is_not_known() {
    let place = Place::new();
    let nodes = followed(&place, no_probe());
    let files = Files::usual();
    files.apply(&nodes.store, 1).expect("applied");
    nodes
        .newest
        .set(&Arc::new(files.with(Name::CruiseConfig, EDITED).document(2)));
    let edited = b"<cruise><server serverId=\"edited here\"/></cruise>";
    fs::write(place.path(&Name::CruiseConfig), edited).expect("write");
    let both = Both::of_standby(&nodes, &Arc::default(), &Md5s::default(), NEVER);
    let (there, here) = (said(&both, Side::Primary), said(&both, Side::Standby));
    assert_eq!(here[&Name::CruiseConfig], Ok(Md5::of(edited)));
    assert_eq!(there[&Name::CruiseConfig], Err("its bytes are not here yet".to_owned()));
    assert_eq!(there[&Name::CipherAes], here[&Name::CipherAes]);
    assert!(there[&jar("a.jar")].is_ok());
}

#[test]
fn bytes_that_came_and_were_not_applied_are_the_primarys() {
    let place = Place::new();
    let nodes = followed(&place, no_probe());
    Files::usual().apply(&nodes.store, 1).expect("applied");
    let refused = Files::usual().with(Name::CruiseConfig, b"<cruise><server");
    refused.apply(&nodes.store, 2).expect_err("no whole XML");
    nodes.newest.set(&Arc::new(refused.document(2)));
    let both = Both::of_standby(&nodes, &Arc::default(), &Md5s::default(), NEVER);
    assert_eq!(said(&both, Side::Primary), of(&refused));
    assert_eq!(said(&both, Side::Standby), of(&Files::usual()));
}

#[test]
fn what_the_primary_withholds_is_neither_missing_nor_equal() {
    let place = Place::new();
    let nodes = followed(&place, no_probe());
    let files = Files::usual();
    files.apply(&nodes.store, 1).expect("applied");
    let document = withholding(
        &files.clone().without(&jar("a.jar")),
        Withheld {
            files: BTreeMap::from([(jar("a.jar"), Reason::of(&io::ErrorKind::PermissionDenied.into()))]),
            ..Withheld::default()
        },
        2,
    );
    nodes.newest.set(&Arc::new(document));
    let both = Both::of_standby(&nodes, &Arc::default(), &Md5s::default(), NEVER);
    let (there, here) = (said(&both, Side::Primary), said(&both, Side::Standby));
    assert!(
        there[&jar("a.jar")]
            .as_ref()
            .is_err_and(|why| why.contains("does not offer"))
    );
    assert_eq!(here, of(&files));
}

#[test]
fn a_live_folder_that_cannot_be_looked_at_says_nothing_of_what_is_live() {
    let place = Place::new();
    let nodes = followed(&place, no_probe());
    let files = Files::usual();
    files.apply(&nodes.store, 1).expect("applied");
    nodes.newest.set(&Arc::new(files.document(1)));
    let md5s = Md5s::default();
    let shown = Both::of_standby(&nodes, &Arc::default(), &md5s, NEVER).files;
    // A name that is too long for any file stands in the way of a look.
    let plugins = place.layout.plugins_external();
    fs::rename(plugins, plugins.with_extension("away")).expect("moved");
    std::os::unix::fs::symlink("x".repeat(300), plugins).expect("linked");
    let both = Both::of_standby(&nodes, &shown, &md5s, NEVER);
    assert!(!both.is_whole());
    let (there, here) = (said(&both, Side::Primary), said(&both, Side::Standby));
    assert_eq!(there, of(&files), "those bytes were read before");
    assert_eq!(here.len(), files.0.len());
    assert!(
        here.values()
            .all(|md5| md5.as_ref().is_err_and(|why| why.contains("external"))),
        "{here:#?}"
    );
}
