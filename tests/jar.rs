//! The shape of the jar: what must hold for every class in it.

use std::{path::PathBuf, process::Command};

use bc_testkit::artefacts;

fn javap() -> PathBuf {
    artefacts::java(17).with_file_name("javap")
}

fn disassembled(class: &str) -> String {
    let output = Command::new(javap())
        .args(["-c", "-p", "-constants", "-classpath"])
        .arg(artefacts::jar())
        .arg(class)
        .output()
        .expect("javap starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("javap prints text")
}

fn entries() -> Vec<String> {
    let jar = std::fs::File::open(artefacts::jar()).expect("the jar");
    let jar = zip::ZipArchive::new(jar).expect("a zip");
    jar.file_names()
        .map(|name| name.expect("a name").into_owned())
        .collect()
}

#[test]
fn loading_a_class_of_ours_never_runs_code_that_loads_others() {
    let classes: Vec<_> = entries()
        .into_iter()
        .filter_map(|entry| Some(entry.strip_suffix(".class")?.replace('/', ".")))
        .collect();
    assert!(classes.len() >= 8, "{classes:?}");
    for class in classes {
        let code = disassembled(&class);
        assert!(
            !code.contains("invokedynamic"),
            "{class} has a lambda or an indy string concatenation"
        );
        assert!(!code.contains("static {}"), "{class} has a static initialiser");
    }
}

#[test]
fn classes_run_on_java_11() {
    let output = Command::new(javap())
        .args(["-v", "-classpath"])
        .arg(artefacts::jar())
        .arg("cd.go.contrib.businesscontinuity.Agent")
        .output()
        .expect("javap starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("major version: 55"));
}
