//! What a primary withholds was not removed there.

use super::*;
use crate::generation::{Reason, Withheld};

/// What a primary with these files says, that withholds something besides.
pub(in crate::standby::store) fn withholding(files: &Files, withheld: Withheld, sequence: u64) -> ManifestDocument {
    let document = files.document(sequence);
    let manifest = Manifest {
        files: document.files,
        withheld,
    };
    ManifestDocument {
        generation: manifest.generation(),
        files: manifest.files,
        withheld: manifest.withheld,
        ..document
    }
}

/// These names, of which nobody has the right to read the files.
pub(in crate::standby::store) fn denied(names: &[Name]) -> Withheld {
    Withheld {
        files: names.iter().map(|name| (name.clone(), Reason::Denied)).collect(),
        plugins: None,
    }
}

fn apply(subject: &OnDisk, files: &Files, withheld: Withheld, sequence: u64) -> Applied {
    let document = withholding(files, withheld, sequence);
    files.fetch(subject.store(), &document);
    let store = subject.store();
    store.apply(&document, Permit::default()).expect("applied")
}

#[test]
fn what_is_withheld_stays_and_what_is_gone_goes() {
    let subject = &OnDisk::new();
    let all = Files::usual()
        .with(jar("b.jar"), &plugin("b", "1"))
        .with(jar("c.jar"), &plugin("c", "1"))
        .with(Name::JettyXml, b"<Configure/>");
    all.apply(subject.store(), 1).expect("applied");
    let without = |files: &Files, names: &[Name]| names.iter().fold(files.clone(), |files, name| files.without(name));
    let unseen = [jar("a.jar"), jar("b.jar"), Name::JettyXml, Name::CipherAes];
    let left = without(&all, &unseen)
        .with(Name::CruiseConfig, EDITED)
        .without(&jar("c.jar"));
    for sequence in 2..5 {
        let applied = apply(subject, &left, denied(&unseen), sequence);
        assert_eq!(applied.warnings, Vec::<String>::new());
        let gone = if sequence == 2 { vec![jar("c.jar")] } else { Vec::new() };
        assert_eq!(applied.removed, gone);
        subject.assert_live(&all.clone().without(&jar("c.jar")).with(Name::CruiseConfig, EDITED));
        let live = subject.store().live().expect("readable");
        assert!(
            unseen.iter().all(|name| live[name].ours),
            "they can go once they are gone"
        );
    }
    // One is readable again, one is gone, and of the others nothing is known still.
    let still = [jar("b.jar"), Name::CipherAes];
    let left = left.with(jar("a.jar"), &plugin("a", "2"));
    let applied = apply(subject, &left, denied(&still), 5);
    assert_eq!(
        (applied.written, applied.removed),
        (vec![jar("a.jar")], vec![Name::JettyXml])
    );
    let applied = apply(subject, &left, Withheld::default(), 6);
    assert_eq!(applied.removed, still);
    subject.assert_live(&left);
}

#[test]
fn two_jars_of_one_plugin_are_said() {
    let subject = &OnDisk::new();
    Files::usual().apply(subject.store(), 1).expect("applied");
    let newer = Files::usual()
        .without(&jar("a.jar"))
        .with(jar("a-2.jar"), &plugin("a", "2"));
    let applied = apply(subject, &newer, denied(&[jar("a.jar")]), 2);
    assert_eq!(applied.removed, []);
    let [warning] = &applied.warnings[..] else {
        panic!("one: {:?}", applied.warnings);
    };
    for named in ["a.jar and", "a-2.jar are both the plugin a,", "GoCD would load either"] {
        assert!(warning.contains(named), "{warning}");
    }
    let applied = apply(subject, &newer, denied(&[jar("a.jar")]), 3);
    assert_eq!(applied.warnings.len(), 1, "for as long as that is so");
    let other = newer.without(&jar("a-2.jar")).with(jar("b.jar"), &plugin("b", "1"));
    assert_eq!(
        apply(subject, &other, denied(&[jar("a.jar")]), 4).warnings,
        Vec::<String>::new()
    );
}

#[test]
fn a_folder_that_cannot_be_listed_keeps_every_plugin() {
    let subject = &OnDisk::new();
    let all = Files::usual().with(jar("b.jar"), &plugin("b", "1"));
    all.apply(subject.store(), 1).expect("applied");
    let config = all
        .without(&jar("a.jar"))
        .without(&jar("b.jar"))
        .with(Name::CruiseConfig, EDITED);
    let unlisted = Withheld {
        plugins: Some(Reason::Stale),
        ..Withheld::default()
    };
    let applied = apply(subject, &config, unlisted, 2);
    assert_eq!((applied.removed, applied.kept), (vec![], vec![]));
    subject.assert_live(&config);
    assert!(subject.bytes(&jar("a.jar")).is_some() && subject.bytes(&jar("b.jar")).is_some());
}

#[test]
fn what_is_withheld_at_the_first_sync_comes_later() {
    let subject = &OnDisk::new();
    let local = plugin("b", "0");
    subject.put(&jar("b.jar"), &local);
    let seen = Files::usual().without(&jar("a.jar"));
    let unseen = [jar("a.jar"), jar("b.jar"), Name::JettyXml];
    let applied = apply(subject, &seen, denied(&unseen), 1);
    assert!(
        applied
            .warnings
            .iter()
            .any(|warning| warning.contains("b.jar stays as it is"))
    );
    assert_eq!(subject.bytes(&jar("b.jar")), Some(local), "it may be another one there");
    subject.assert_live(&seen);
    assert_eq!(subject.bytes(&jar("a.jar")), None);
    let whole = Files::usual().with(jar("b.jar"), &plugin("b", "1"));
    whole.apply(subject.store(), 2).expect("applied");
    subject.assert_live(&whole);
}

#[test]
fn without_a_configuration_here_a_withheld_one_is_refused() {
    let subject = &OnDisk::new();
    let files = Files::usual().without(&Name::CruiseConfig);
    let document = withholding(&files, denied(&[Name::CruiseConfig]), 1);
    let error = subject.store().missing(&document).expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.message().contains("cannot be read by the user"), "{error}");
    Files::usual().apply(subject.store(), 2).expect("applied");
    let more = files.with(jar("b.jar"), &plugin("b", "1"));
    apply(subject, &more, denied(&[Name::CruiseConfig]), 3);
    subject.assert_live(&more.with(Name::CruiseConfig, CONFIG));
}

#[test]
fn plugins_that_wait_for_an_administrator_go_on_waiting() {
    let subject = &OnDisk::new();
    let full = Files::usual().with(jar("b.jar"), &plugin("b", "1"));
    full.apply(subject.store(), 1).expect("applied");
    let none = full.without(&jar("a.jar")).without(&jar("b.jar"));
    assert_eq!(none.apply(subject.store(), 2).expect("applied").kept.len(), 2);
    let applied = apply(subject, &none, denied(&[jar("b.jar")]), 3);
    assert_eq!(applied.kept, [jar("a.jar"), jar("b.jar")]);
    let one = none.with(jar("a.jar"), &plugin("a", "1"));
    assert_eq!(one.apply(subject.store(), 4).expect("applied").kept, [jar("b.jar")]);
}
