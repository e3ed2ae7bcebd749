//! GoCD under the Tanuki wrapper, as its packages start it: a JVM that ends is started again by it, and by nobody else.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{demo::folders::GocdFolder, project::Project};

/// Where Debian has it.
pub(crate) const PROGRAM: &str = "/usr/sbin/wrapper";
/// What its packages bring for the JVM.
const LINES: [&str; 8] = [
    "wrapper.java.mainclass=org.tanukisoftware.wrapper.WrapperJarApp",
    "wrapper.java.classpath.1=/usr/share/java/wrapper.jar",
    "wrapper.java.library.path.1=/usr/lib/jni",
    "wrapper.console_input=DISABLED",
    "wrapper.console.format=M",
    "wrapper.console.flush=TRUE",
    "wrapper.logfile=",
    // What a server that was replaced ends with: it comes back, and is held.
    "wrapper.on_exit.75=RESTART",
];

/// Writes the `wrapper.conf` of a server in this folder, whose JVM gets these arguments, and the id of its process goes
/// to `pid`.
pub(crate) fn write_conf(
    conf: &Path,
    pid: &Path,
    project: &Project,
    java: &Path,
    folder: &GocdFolder,
    arguments: &[String],
) -> Result<()> {
    let launcher = project.host_jar().display().to_string();
    let mut lines: Vec<String> = LINES.map(str::to_owned).into();
    lines.extend([
        format!("wrapper.java.command={}", java.display()),
        format!("wrapper.java.classpath.2={launcher}"),
        format!("wrapper.app.parameter.1={launcher}"),
        format!("wrapper.working.dir={}", folder.root().display()),
        format!("wrapper.java.pidfile={}", pid.display()),
    ]);
    let numbered = (1..).zip(arguments);
    lines.extend(numbered.map(|(number, argument)| format!("wrapper.java.additional.{number}={argument}")));
    fs::write(conf, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", conf.display()))
}
