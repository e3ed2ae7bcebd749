//! Compiling all modules at once, and one jar for each.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use regex::Regex;

use super::{files, jars::Jar, libraries::Libraries, sources::Sources};
use crate::{command, project::Project, tools::Jdk};

/// Compiles all modules into `classes`, unless that was done.
///
/// # Errors
/// javac fails: its words are in a file beside the folder.
pub(crate) fn compile(
    project: &Project,
    jdk: &Jdk,
    sources: &Sources,
    libraries: &Libraries,
    classes: &Path,
) -> Result<()> {
    if classes.exists() {
        return Ok(());
    }
    let beside = classes.with_extension("part");
    let list = classes.with_extension("files");
    let mut all = String::new();
    for module in sources.modules()? {
        for file in sources.java(&module)? {
            all.push_str(&format!("{}\n", file.display()));
        }
    }
    fs::write(&list, all).with_context(|| format!("cannot write {}", list.display()))?;
    let mut javac = project.command(jdk.program("javac"));
    javac.args(["-nowarn", "-parameters", "-g", "-J-Xmx3g"]);
    if jdk.major >= 23 {
        // From then on javac runs annotation processors only where it is told.
        javac.arg("-proc:full");
    }
    javac
        .arg("-cp")
        .arg(libraries.class_path())
        .arg("-d")
        .arg(&beside)
        .arg(format!("@{}", list.display()));
    command::run_into(&mut javac, &classes.with_extension("log"))?;
    fs::rename(&beside, classes).with_context(|| format!("cannot write {}", classes.display()))
}

/// Packs a jar for each module into `folder`.
pub(crate) fn pack(tag: &str, sources: &Sources, classes: &Path, folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut by_package: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for class in files::under(classes)? {
        let package = class.parent().map(|package| files::relative(classes, package));
        by_package.entry(package.unwrap_or_default()).or_default().push(class);
    }
    let packing = Packing {
        package: Regex::new(r"(?m)^package ([\w.]+);").expect("a constant"),
        types: Regex::new(r"(?m)^(?:(?:final|abstract|public|sealed) )*(?:class|interface|enum|record) (\w+)")
            .expect("a constant"),
        by_package,
        sources,
        tag,
    };
    let mut jars = BTreeMap::new();
    for module in sources.modules()? {
        let path = folder.join(format!("{}.jar", module.replace('/', "-")));
        jars.insert(module.clone(), packing.module(&module, path)?);
    }
    Ok(jars)
}

struct Packing<'a> {
    /// In a Java file: its package, and the types at its top.
    package: Regex,
    types: Regex,
    by_package: HashMap<String, Vec<PathBuf>>,
    sources: &'a Sources,
    tag: &'a str,
}

impl Packing<'_> {
    fn module(&self, module: &str, path: PathBuf) -> Result<PathBuf> {
        let mut jar = Jar::create(path)?;
        for file in self.sources.java(module)? {
            self.classes_of(&file, &mut jar)?;
        }
        for set in self.sources.sets(module)? {
            let resources = set.join("resources");
            if resources.is_dir() {
                jar.tree(&resources, |_| true)?;
            }
        }
        if module == "base" {
            self.version(&mut jar)?;
        }
        jar.folders()?;
        jar.finish()
    }

    /// Puts in the classes that a Java file makes. One of 22.3 lies in a folder that is not its package.
    fn classes_of(&self, file: &Path, jar: &mut Jar) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Some(package) = self.package.captures(&text).map(|found| found[1].replace('.', "/")) else {
            return Ok(());
        };
        let mut types: HashSet<String> = self
            .types
            .captures_iter(&text)
            .map(|found| found[1].to_owned())
            .collect();
        types.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        for class in self.by_package.get(&package).into_iter().flatten() {
            let name = class.file_name().context("no name")?.to_string_lossy();
            let outer = name.split(['.', '$']).next().unwrap_or_default();
            if types.contains(outer) {
                jar.file(&format!("{package}/{name}"), class)?;
            }
        }
        Ok(())
    }

    /// Puts in which version this is, as GoCD's build writes it.
    fn version(&self, jar: &mut Jar) -> Result<()> {
        let templates = files::under(&self.sources.path("base/resource-templates"))?;
        let template = templates
            .iter()
            .find(|file| file.ends_with("gocd-version.properties"))
            .or(templates.first())
            .context("base has no version")?;
        let mut text = fs::read_to_string(template)?;
        for (name, value) in [
            ("goVersion", self.tag),
            ("distVersion", "1"),
            ("fullVersion", &format!("{}-1", self.tag)),
            ("gitRevision", "built-here"),
            ("copyrightYear", "2022"),
        ] {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        let name = template.file_name().context("no name")?.to_string_lossy().into_owned();
        jar.text(&name, &text)
    }
}
