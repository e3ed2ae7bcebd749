//! No message is made with the `Debug` form of anything that is not ours: what libraries call their errors is for those
//! who program with them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where something is shown by its Debug form: a name or a text of ours in quotes, or a value of our own types that no
/// library has a part in.
const ALLOWED: [(&str, &str); 14] = [
    (
        "bc-cli/src/client.rs",
        "answered something else than was asked: {other:?}",
    ),
    ("bc-core/src/generation/jar_name.rs", "the plugin name {:?} {objection}"),
    ("bc-core/src/generation/extra_name.rs", "the file name {:?} {objection}"),
    (
        "bc-core/src/standby/store/rules/set.rs",
        "has the root element {:?}, not cruise",
    ),
    ("bc-core/src/standby/store/generations/kept.rs", "{id:?} is no sequence"),
    (
        "bc-core/src/standby/store/generations/kept.rs",
        "no generation {id:?} is kept here",
    ),
    (
        "bc-core/src/standby/store/generations/kept.rs",
        "{id:?} is more than one kept generation",
    ),
    (
        "bc-core/src/files/plugin_folder.rs",
        "the plugin name {name:?} is not UTF-8",
    ),
    ("bc-server/src/node/question.rs", "whether it is a primary: {heard:?}"),
    // Fields of a log line, which are numbers and texts.
    ("bc-server/src/node/log.rs", "write!(self.message, \"{value:?}\")"),
    ("bc-server/src/node/log.rs", "\" {}={value:?}\""),
    ("bc-server/src/control.rs", "orders {order:?}"),
    ("bc-server/src/control.rs", "was refused {order:?}"),
    ("bc-server/src/control/unix.rs", "{order:?}"),
];

#[test]
fn no_message_is_made_of_the_debug_form_of_an_error() {
    let rust = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below rust");
    let mut looked_at = 0;
    let mut found = Vec::new();
    for name in ["bc-core", "bc-server", "bc-cli", "bc-jni"] {
        for file in sources(&rust.join(name).join("src")) {
            looked_at += 1;
            let text = fs::read_to_string(&file).expect("UTF-8");
            let shown = file.strip_prefix(rust).expect("below it").display().to_string();
            let program = text.split("#[cfg(test)]\nmod tests").next().expect("a first part");
            for (number, line) in program.lines().enumerate() {
                let is_debug = [":?}", ":#?}", "?error", "?err)", "?reason"]
                    .iter()
                    .any(|form| line.contains(form));
                let is_allowed = ALLOWED
                    .iter()
                    .any(|(allowed, part)| *allowed == shown && line.contains(part));
                // What a test says when it fails is for those who program.
                let is_of_tests = line.contains("assert") || line.contains("panic!");
                if is_debug && !is_allowed && !is_of_tests && !line.trim_start().starts_with("//") {
                    found.push(format!("{shown}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(looked_at > 200, "only {looked_at} files");
    assert!(
        found.is_empty(),
        "say it in words, or name it above with a reason:\n{}",
        found.join("\n")
    );
}

/// All that is compiled into the product.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let is_of_tests = |path: &Path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        matches!(name.as_str(), "tests" | "contract" | "never_wider")
    };
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    entries
        .filter(|path| !is_of_tests(path))
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => Vec::from_iter(path.extension().is_some_and(|kind| kind == "rs").then_some(path)),
        })
        .collect()
}
