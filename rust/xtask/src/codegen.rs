//! The C header of the natives, written by cbindgen, and the proof that Java, the header and the built library
//! speak of the same functions.
//!
//! cbindgen's parameter types are not javac's, so names and numbers of parameters are compared.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{
    command, library, natives,
    platform::Platform,
    project::{Project, Variant},
    tools::{BuildTools, Jdk},
};

const HEADER: &str = "rust/bc-jni/include/gocd_bc.h";
const NATIVE_CLASS: &str = "java-shim/src/main/java/cd/go/contrib/businesscontinuity/Native.java";

/// Options of `cargo xtask codegen`.
#[derive(Debug, Args)]
pub(crate) struct CodegenOptions {
    /// Write nothing: fail if the header is not what would be written
    #[arg(long)]
    verify: bool,
}

/// The `codegen` command.
pub(crate) fn run(project: &Project, options: &CodegenOptions) -> Result<()> {
    let tools = BuildTools::ready(project)?;
    if !options.verify {
        write(project)?;
    }
    natives::build(project, &tools, Variant::Product, Platform::LinuxX86_64)?;
    verify(project, &tools.jdk)
}

/// Checks that the header is up to date and that all three sides agree.
pub(crate) fn verify(project: &Project, jdk: &Jdk) -> Result<()> {
    let written = fs::read_to_string(project.path(HEADER)).with_context(|| format!("cannot read {HEADER}"))?;
    ensure!(
        written == generated(project)?,
        "{HEADER} is not what cbindgen makes of rust/bc-jni; run `cargo xtask codegen` and commit it"
    );
    compare(project, jdk)
}

fn write(project: &Project) -> Result<()> {
    let file = project.path(HEADER);
    let folder = file.parent().context("the header has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&file, generated(project)?).with_context(|| format!("cannot write {}", file.display()))
}

fn generated(project: &Project) -> Result<String> {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some("/* The natives of the plugin jar. Made by `cargo xtask codegen`; do not edit. */".to_owned()),
        include_guard: Some("GOCD_BC_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["jni.h".to_owned()],
        ..cbindgen::Config::default()
    };
    // The names that jni.h has for what the natives take.
    for (rust, c) in [("EnvUnowned", "JNIEnv*"), ("JClass", "jclass"), ("JString", "jstring")] {
        config.export.rename.insert(rust.to_owned(), c.to_owned());
    }
    let bindings = cbindgen::Builder::new()
        .with_crate(project.path("rust/bc-jni"))
        .with_config(config)
        .generate()
        .context("cbindgen cannot read rust/bc-jni")?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).context("cbindgen wrote no UTF-8")
}

fn compare(project: &Project, jdk: &Jdk) -> Result<()> {
    let in_java = declared(&header_of_javac(project, jdk)?);
    let in_rust = declared(&fs::read_to_string(project.path(HEADER))?);
    ensure!(!in_java.is_empty(), "javac finds no native method in {NATIVE_CLASS}");
    if in_java != in_rust {
        bail!("Native.java and rust/bc-jni disagree, by name and number of parameters:\n  {in_java:?}\n  {in_rust:?}");
    }
    let library = project.library(Variant::Product, Platform::LinuxX86_64);
    check_exports(&library, in_java.keys().map(String::as_str))
}

fn check_exports<'a>(library: &Path, natives: impl Iterator<Item = &'a str>) -> Result<()> {
    let exported = library::exported_functions(library)?;
    let exported: Vec<&str> = exported
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("Java_"))
        .collect();
    let natives: Vec<&str> = natives.collect();
    ensure!(
        exported == natives,
        "{} exports {exported:?}, but Native.java declares {natives:?}",
        library.display()
    );
    Ok(())
}

/// What `javac -h` writes for the class of the natives.
fn header_of_javac(project: &Project, jdk: &Jdk) -> Result<String> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut javac = project.command(jdk.program("javac"));
    javac
        .args(["-implicit:none", "-sourcepath", "java-shim/src/main/java"])
        .arg("-h")
        .arg(folder.path())
        .arg("-d")
        .arg(folder.path())
        .arg(NATIVE_CLASS);
    command::run(&mut javac)?;
    let header = folder.path().join("cd_go_contrib_businesscontinuity_Native.h");
    fs::read_to_string(&header).with_context(|| format!("javac has not made {}", header.display()))
}

/// The functions of a C header whose names begin as the JVM wants it, with their numbers of parameters.
fn declared(header: &str) -> BTreeMap<String, usize> {
    let text = without_comments(header);
    text.match_indices("Java_")
        .filter_map(|(start, _)| {
            let (name, rest) = text[start..].split_once('(')?;
            let (parameters, _) = rest.split_once(')')?;
            let count = match parameters.trim() {
                "" | "void" => 0,
                some => some.split(',').count(),
            };
            Some((name.trim().to_owned(), count))
        })
        .collect()
}

fn without_comments(header: &str) -> String {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_of_header() {
        let javac = "/*\n * Class: Native\n * Method: Java_not_this(int)\n */\nJNIEXPORT jlong JNICALL Java_a_Native_open\n  \
                     (JNIEnv *, jclass, jstring);\n";
        let cbindgen =
            "/**\n * Opens.\n */\njlong Java_a_Native_open(JNIEnv* env,\n    jclass _class,\n    jstring settings);\n";
        assert_eq!(declared(javac), declared(cbindgen));
        assert_eq!(declared(javac), BTreeMap::from([("Java_a_Native_open".to_owned(), 3)]));
    }
}
