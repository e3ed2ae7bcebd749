//! The lines of the Tanuki wrapper's configuration, and the JVM arguments that set-up writes there.
//!
//! `wrapper.conf` includes `wrapper-properties.conf`, where administrators write; each JVM argument is a line
//! `wrapper.java.additional.N=…`. What the wrapper 3.5.51 makes of them, as it was tried:
//!
//! | what | the wrapper |
//! |---|---|
//! | two lines with one number | the later one counts, over all files |
//! | one property under two numbers | the JVM gets both, in the order of the numbers, and takes the last |
//! | a gap in the numbers | ends the list, unless `wrapper.ignore_sequence_gaps` is `TRUE`, in whatever file |
//! | the JVM ends with a code | ends as well, unless `wrapper.on_exit.CODE`, or `wrapper.on_exit.default`, is `RESTART` |
//! | names | upper and lower case are the same |
//! | `#` in a value | begins a comment, `##` is a `#` |
//! | a value with blanks | is one argument on Unix without quotes; quotes are handed on. On Windows it needs them |
//!
//! Every line that was there stays, byte by byte, in its place, but for those that say another value of what is asked
//! for: of these the value alone is replaced, and what stands around it stays.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    basics::{Properties, stray_ends::without_stray_ends},
    generation::own_files::OWN_JAR,
    settings::{FENCED_CODE, Property},
};

/// How the wrapper names a JVM argument, in front of its number.
pub const ADDITIONAL: &str = "wrapper.java.additional.";
/// The setting without which a gap in the numbers ends the arguments.
const GAPS: &str = "wrapper.ignore_sequence_gaps";
/// The settings of what the wrapper does where the JVM ends with a code, in front of that code.
const ON_EXIT: &str = "wrapper.on_exit.";
/// From which number on lines are added, as GoCD recommends.
const FIRST_NUMBER: u32 = 100;
/// The line above those that are added.
const HEADING: &str = "# GoCD Business Continuity";
/// How an argument that names a Java agent begins.
const AGENT: &str = "-javaagent:";

/// The file that an include line of a `wrapper.conf` names.
pub fn included(line: &str) -> Option<&str> {
    let directive = line.strip_prefix(['#', '@'])?.strip_prefix("include")?;
    let (kind, file) = directive.split_once(char::is_whitespace)?;
    (matches!(kind, "" | ".required") || (kind == ".optional" && line.starts_with('@'))).then(|| file.trim())
}

/// Name and value of a line of a `wrapper.conf`, both without blanks around them and the value without its comment; none
/// for a comment, an include and anything else.
pub fn pair(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    let (name, value) = line.split_once('=')?;
    let is_pair = !line.starts_with('#') && included(line).is_none();
    is_pair.then(|| (name.trim(), without_comment(value).trim().to_owned()))
}

/// One argument of GoCD's JVM that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A setting.
    Setting {
        /// Which one.
        property: Property,
        /// Its value, which is no secret.
        value: String,
    },
    /// Our jar as a Java agent, by the path at which the JVM finds it.
    Agent {
        /// From the working directory, or absolute.
        jar: String,
    },
}

impl Argument {
    /// The text of an argument that the wrapper gives the JVM.
    pub fn text(&self) -> String {
        match self {
            Self::Setting { property, value } => format!("-D{}={value}", property.name()),
            Self::Agent { jar } => format!("{AGENT}{jar}"),
        }
    }

    /// Sets the property that an argument gives the JVM.
    pub fn set(&self, properties: &mut Properties) {
        if let Self::Setting { property, value } = self {
            properties.set(property.name(), value);
        }
    }

    /// Whether another argument is about the same.
    fn is_meant_by(&self, argument: &str) -> bool {
        match self {
            Self::Setting { property, .. } => pair_of(argument).is_some_and(|(given, _)| given == property.name()),
            Self::Agent { .. } => agent_jar(argument).is_some(),
        }
    }

    /// Whether another argument says the same.
    fn is_said_by(&self, argument: &str) -> bool {
        match self {
            Self::Setting { property, value } => pair_of(argument) == Some((property.name(), value)),
            Self::Agent { jar } => agent_jar(argument).is_some_and(|said| slashes(said) == slashes(jar)),
        }
    }
}

/// How the value of a line is written for the system that GoCD runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// As it is.
    Unix,
    /// In quotes where there is a blank in it.
    Windows,
}

impl Quoting {
    /// How the wrapper quotes on the system that this program runs on.
    pub fn here() -> Self {
        if cfg!(windows) { Self::Windows } else { Self::Unix }
    }

    /// The value of the line of a `wrapper.conf` that gives the JVM this argument.
    pub fn value(self, argument: &Argument) -> String {
        let text = argument.text().replace('#', "##");
        match self {
            Self::Windows if text.contains(char::is_whitespace) => format!("\"{text}\""),
            _ => text,
        }
    }
}

/// One line that is to be another, or to be there at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name in front of its `=`.
    pub name: String,
    /// The value that it has; none where there is no such line.
    pub now: Option<String>,
    /// The value that it is to have.
    pub then: String,
}

/// What becomes of the file in which administrators write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole text; the same one where nothing changes.
    pub text: Vec<u8>,
    /// What changes, in the order of the arguments.
    pub changes: Vec<Change>,
}

/// The text of `file` with which GoCD's JVM gets these arguments, and comes back where it was ended since another node took
/// over and an agent is there that holds it then. `others` are the texts of `wrapper.conf` and all else
/// that it includes, which are read before `file` and stay as they are: a line of theirs that says otherwise is
/// overruled by one of the same number.
pub fn edited(others: &[&[u8]], file: &[u8], arguments: &[Argument], quoting: Quoting) -> Edited {
    let others: Vec<Line<'_>> = others.iter().flat_map(|text| lines(text)).collect();
    let mut file: Vec<Line<'_>> = lines(file).collect();
    let mut numbers: BTreeSet<u32> = others.iter().chain(&file).filter_map(Line::any_number).collect();
    let (mut changes, mut added) = (Vec::new(), Vec::new());
    for argument in arguments {
        let value = quoting.value(argument);
        let in_force = indices_in_force(&file);
        let about: Vec<usize> = in_force
            .into_iter()
            .filter(|index| file[*index].is_about(argument))
            .collect();
        let changed = about
            .iter()
            .filter_map(|index| file[*index].replace_unless_said(argument, &value));
        changes.extend(changed);
        let elsewhere: Vec<&Line<'_>> = indices_in_force(&others)
            .into_iter()
            .map(|index| &others[index])
            .filter(|line| line.is_about(argument))
            .filter(|line| !file.iter().any(|later| later.number() == line.number()))
            .collect();
        if about.is_empty() && elsewhere.is_empty() {
            let number = (FIRST_NUMBER..).find(|number| numbers.insert(*number));
            added.push(Change {
                name: format!("{ADDITIONAL}{}", number.expect("no file has that many lines")),
                now: None,
                then: value.clone(),
            });
        }
        let otherwise = elsewhere
            .into_iter()
            .filter(|line| !line.argument().is_some_and(|said| argument.is_said_by(said)));
        added.extend(otherwise.filter_map(|line| {
            Some(Change {
                name: format!("{ADDITIONAL}{}", line.number()?),
                now: line.value.clone(),
                then: value.clone(),
            })
        }));
    }
    added.extend(gaps(&others, &file, &added));
    if arguments
        .iter()
        .any(|argument| matches!(argument, Argument::Agent { .. }))
    {
        added.extend(restart(&others, &file));
    }
    let text = with_lines(&file, &added);
    changes.extend(added);
    Edited { text, changes }
}

/// What is given to `docker run`, where the image writes the lines itself at each start: it splits the value of this
/// variable as a shell does.
pub fn docker_option(arguments: &[Argument]) -> String {
    let words: Vec<String> = arguments.iter().map(|argument| shell_word(&argument.text())).collect();
    let mut quoted = String::new();
    for c in words.join(" ").chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    format!("-e GOCD_SERVER_JVM_OPTS=\"{quoted}\"")
}

/// A line of a file, with what is known of it.
#[derive(Debug, Clone)]
struct Line<'t> {
    bytes: Cow<'t, [u8]>,
    name: Option<String>,
    value: Option<String>,
}

impl<'t> Line<'t> {
    fn of(bytes: &'t [u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (name, value) = pair(&text)
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .unzip();
        Self {
            bytes: Cow::Borrowed(bytes),
            name,
            value,
        }
    }

    /// The number of the argument that a line of a `wrapper.conf` is.
    fn number(&self) -> Option<u32> {
        self.name.as_deref()?.strip_prefix(ADDITIONAL)?.parse().ok()
    }

    /// The number that a line of a `wrapper.conf` has anything to do with: also as `….100.stripquotes`, and where it is
    /// commented out.
    fn any_number(&self) -> Option<u32> {
        let text = String::from_utf8_lossy(&self.bytes).to_ascii_lowercase();
        let rest = text.trim_start_matches(|c: char| c == '#' || c.is_whitespace());
        let digits = rest.strip_prefix(ADDITIONAL)?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok()
    }

    /// The argument that a line of a `wrapper.conf` is.
    fn argument(&self) -> Option<&str> {
        self.number()?;
        self.value.as_deref()
    }

    fn is_about(&self, argument: &Argument) -> bool {
        self.argument().is_some_and(|given| argument.is_meant_by(given))
    }

    /// Gives a line of a `wrapper.conf` another value unless it says the same.
    fn replace_unless_said(&mut self, argument: &Argument, value: &str) -> Option<Change> {
        let now = self.value.clone()?;
        if argument.is_said_by(&now) {
            return None;
        }
        let (start, end) = value_range(&self.bytes)?;
        let parts = [&self.bytes[..start], value.as_bytes(), &self.bytes[end..]];
        self.bytes = Cow::Owned(parts.concat());
        self.value = Some(value.to_owned());
        Some(Change {
            name: self.name.clone()?,
            now: Some(now),
            then: value.to_owned(),
        })
    }
}

/// Where the value of a line of a `wrapper.conf` is: behind the `=` and its blanks, in front of a comment and the end
/// of the line.
fn value_range(line: &[u8]) -> Option<(usize, usize)> {
    let blanks = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let content = line.trim_ascii_end();
    let behind = content.iter().position(|byte| *byte == b'=')? + 1;
    let start = behind + blanks(&content[behind..]);
    let mut end = start;
    while end < content.len() {
        match content[end..] {
            [b'#', b'#', ..] => end += 2,
            [b'#', ..] => break,
            _ => end += 1,
        }
    }
    let value = content[start..end].trim_ascii_end();
    Some((start, start + value.len()))
}

/// The lines of a `wrapper.conf` that no later one with their number takes the place of.
fn indices_in_force(lines: &[Line<'_>]) -> Vec<usize> {
    let mut last = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        last.extend(line.number().map(|number| (number, index)));
    }
    last.into_values().collect()
}

/// The setting that makes the wrapper read on behind a gap, where the numbers have one and nothing says so yet.
fn gaps(others: &[Line<'_>], file: &[Line<'_>], added: &[Change]) -> Option<Change> {
    let of_change = |change: &Change| change.name.strip_prefix(ADDITIONAL)?.parse().ok();
    let lines = || others.iter().chain(file);
    let numbers: BTreeSet<u32> = lines()
        .filter_map(Line::number)
        .chain(added.iter().filter_map(of_change))
        .collect();
    let has_gap = (1..).zip(&numbers).any(|(expected, number)| expected != *number);
    let now = setting(others, file, GAPS);
    let is_set = now
        .as_deref()
        .is_some_and(|value| without_stray_ends(value).eq_ignore_ascii_case("true"));
    (has_gap && !is_set).then(|| Change {
        name: GAPS.to_owned(),
        now,
        then: "TRUE".to_owned(),
    })
}

/// The setting that makes the wrapper start the JVM again that a node has ended, where nobody has decided about that code
/// and another end is not restarted anyway.
fn restart(others: &[Line<'_>], file: &[Line<'_>]) -> Option<Change> {
    let name = format!("{ON_EXIT}{FENCED_CODE}");
    let is_restarted = |value: String| without_stray_ends(&value).eq_ignore_ascii_case("restart");
    let by_default = setting(others, file, &format!("{ON_EXIT}default")).is_some_and(is_restarted);
    (setting(others, file, &name).is_none() && !by_default).then(|| Change {
        name,
        now: None,
        then: "RESTART".to_owned(),
    })
}

/// The value of a setting of the wrapper, by all the lines that it reads.
fn setting(others: &[Line<'_>], file: &[Line<'_>], name: &str) -> Option<String> {
    let mut lines = others.iter().chain(file);
    lines
        .rfind(|line| line.name.as_deref() == Some(name))
        .and_then(|line| line.value.clone())
}

/// The text of all lines of a `wrapper.conf` and of those that are added, with the line ends that the file has.
fn with_lines(file: &[Line<'_>], added: &[Change]) -> Vec<u8> {
    let mut text: Vec<u8> = file.iter().flat_map(|line| line.bytes.iter().copied()).collect();
    if added.is_empty() {
        return text;
    }
    let end: &[u8] = if file.iter().any(|line| line.bytes.ends_with(b"\r\n")) {
        b"\r\n"
    } else {
        b"\n"
    };
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.extend_from_slice(end);
    }
    let is_headed = file.iter().any(|line| line.bytes.trim_ascii() == HEADING.as_bytes());
    let heading = (!is_headed).then(|| HEADING.to_owned());
    let added = added.iter().map(|change| format!("{}={}", change.name, change.then));
    for line in heading.into_iter().chain(added) {
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(end);
    }
    text
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text.split_inclusive(|byte| *byte == b'\n').map(Line::of)
}

/// Name and value of a system property among the JVM's arguments.
fn pair_of(argument: &str) -> Option<(&str, &str)> {
    let (name, value) = without_stray_ends(argument).strip_prefix("-D")?.split_once('=')?;
    Some((name.trim(), without_stray_ends(value)))
}

/// The path of our jar in an argument that names it as an agent.
fn agent_jar(argument: &str) -> Option<&str> {
    let agent = without_stray_ends(argument).strip_prefix(AGENT)?;
    let jar = without_stray_ends(agent.split('=').next().unwrap_or_default());
    jar.rsplit(['/', '\\'])
        .next()
        .is_some_and(|name| name == OWN_JAR)
        .then_some(jar)
}

fn slashes(path: &str) -> String {
    path.replace('\\', "/")
}

fn without_comment(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '#' && characters.next_if_eq(&'#').is_none() {
            break;
        }
        text.push(character);
    }
    text
}

/// A word that a shell takes as it is, for an option of `docker run`.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%[]".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests;
