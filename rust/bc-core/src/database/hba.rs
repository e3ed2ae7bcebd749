//! `pg_hba.conf`: the lines by which the servers of a pair let each other replicate, and GoCD in from its own host.
//!
//! A GoCD on another host than its database is named once: its line stays when ours are written anew without a word of it,
//! or the next run of a command would lock GoCD out.
//!
//!
//! They name the database `postgres` too: from there `pg_rewind` reads what a former primary lacks, as the same role. It
//! gets to see nothing that a base backup would not show it.
//! The first line that matches decides, and `all` in the column of databases does not match replication. So our lines
//! stand in front of the first one that might, between two comments; what stands between these is written anew each time,
//! and every other line stays as it was, where it was.

use std::net::IpAddr;

/// Begins our lines.
const BEGIN: &str = "# gocd-bc: begin. `gocd-bc setup` writes the lines down to `gocd-bc: end` anew.";
/// How the line that begins ours is known, whatever its other words are.
const BEGIN_MARK: &str = "# gocd-bc: begin";
/// What is connected to.
const DATABASES: &str = "replication,postgres";
/// Lets GoCD in where it runs beside its database and reaches that by an address of the network, as a name of the host
/// leads to; the file of a package lets it in by loopback alone. `md5` takes a password that is kept as SCRAM by SCRAM, and
/// takes those that were made before 14 as well.
const GOCD: &str = "host all all samehost md5 # GoCD on this host";
/// The end of the line for a GoCD on a host of its own, by which it is known as ours.
const GOCD_ELSEWHERE: &str = "md5 # GoCD on its own host";
/// Ends our lines.
const END: &str = "# gocd-bc: end";

/// Who is let in: to replicate, and as GoCD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication<'a> {
    /// The role.
    pub role: &'a str,
    /// From where: both servers of the pair, since their roles swap.
    pub addresses: &'a [IpAddr],
    /// The addresses of a GoCD that uses this database from another host.
    pub gocd: &'a [IpAddr],
}

impl Replication<'_> {
    /// Our lines in a `pg_hba.conf` that is this one now, without line ends.
    pub fn lines(&self, text: &str) -> Vec<String> {
        let line = |address: &IpAddr| {
            format!(
                "hostssl {DATABASES} {} {} scram-sha-256",
                quoted(self.role),
                only(address)
            )
        };
        let mut lines: Vec<String> = self.addresses.iter().map(line).chain([GOCD.to_owned()]).collect();
        let named = self
            .gocd
            .iter()
            .map(|address| format!("host all all {} {GOCD_ELSEWHERE}", only(address)));
        for line in Parts::of(text).gocd.into_iter().chain(named) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    /// A `pg_hba.conf` that lets in who replicates, made of the one that is there. Done twice it is the same as once.
    pub fn admitted_by(&self, text: &str) -> String {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut kept = Parts::of(text).theirs;
        let position = kept
            .iter()
            .enumerate()
            .find(|(index, line)| begins_a_record(&kept, *index) && may_match(line, self.role))
            .map_or(kept.len(), |(index, _)| index);
        // What is in front of it may lack its end, as the last line of a file does.
        if position > 0 && !kept[position - 1].ends_with('\n') {
            kept[position - 1].push_str(end);
        }
        let ours = [vec![BEGIN.to_owned()], self.lines(text), vec![END.to_owned()]].concat();
        kept.splice(position..position, ours.into_iter().map(|line| format!("{line}{end}")));
        kept.concat()
    }
}

/// The addresses of a GoCD on another host that a `pg_hba.conf` lets in by our lines.
pub fn gocd_of(text: &str) -> Vec<IpAddr> {
    let address = |line: String| line.split_whitespace().nth(3)?.split('/').next()?.parse().ok();
    Parts::of(text).gocd.into_iter().filter_map(address).collect()
}

/// An address as a file of rules has it.
fn only(address: &IpAddr) -> String {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    format!("{address}/{bits}")
}

fn is_gocd_elsewhere(line: &str) -> bool {
    let address = line.trim().strip_prefix("host all all ");
    let address = address.and_then(|rest| rest.strip_suffix(GOCD_ELSEWHERE)?.strip_suffix(' '));
    address.is_some_and(|address| !address.contains(char::is_whitespace))
}

/// What a `pg_hba.conf` consists of.
struct Parts {
    /// All lines but ours, each with its end. A line of another form that somebody wrote between our comments is among them.
    theirs: Vec<String>,
    /// Of ours those that let a GoCD in which is on another host.
    gocd: Vec<String>,
}

impl Parts {
    fn of(text: &str) -> Self {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut gocd = Vec::new();
        while let Some(begin) = lines.iter().position(|line| line.trim().starts_with(BEGIN_MARK)) {
            let rest = &lines[begin + 1..];
            let end = rest.iter().position(|line| line.trim() == END);
            // Where our end was lost, ours are those that look like ours.
            let length = end.unwrap_or_else(|| rest.iter().take_while(|line| is_like_ours(line)).count());
            let (ours, theirs): (Vec<&str>, Vec<&str>) = rest[..length].iter().partition(|line| is_like_ours(line));
            let elsewhere = ours.into_iter().filter(|line| is_gocd_elsewhere(line));
            gocd.extend(elsewhere.map(|line| line.trim().to_owned()));
            let behind = begin + 1 + length + usize::from(end.is_some());
            lines.splice(begin..behind, theirs);
        }
        Self {
            theirs: lines.into_iter().map(str::to_owned).collect(),
            gocd,
        }
    }
}

fn is_like_ours(line: &str) -> bool {
    if line.trim() == GOCD || is_gocd_elsewhere(line) {
        return true;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    // The version before wrote `replication` alone.
    matches!(words[..], ["hostssl", DATABASES | "replication", _, _, "scram-sha-256"])
}

/// Whether a line is not the continuation of the one before, which 14 and newer take one for that follows a backslash.
fn begins_a_record(lines: &[String], index: usize) -> bool {
    index == 0 || !lines[index - 1].trim_end_matches(['\r', '\n']).ends_with('\\')
}

/// Whether a line may decide on a replication connection of `role`: a record for that from anywhere, or the name of a
/// file that may have one.
fn may_match(line: &str, role: &str) -> bool {
    let fields = fields(line);
    let field = |index: usize| fields.get(index).map_or(&[][..], Vec::as_slice);
    let Some(kind) = field(0).first() else { return false };
    match kind.text.as_str() {
        "include" | "include_if_exists" | "include_dir" => true,
        "host" | "hostssl" | "hostnossl" | "hostgssenc" | "hostnogssenc" => {
            let is_replication = |name: &Name| !name.is_quoted && name.text == "replication";
            field(1)
                .iter()
                .any(|name| is_replication(name) || name.text.starts_with('@'))
                && field(2)
                    .iter()
                    .any(|name| name.text == "all" || name.text == role || name.text.starts_with(['+', '@', '/']))
        }
        _ => false,
    }
}

/// One name in a field; what stands in quotes has no special meaning.
#[derive(Default)]
struct Name {
    text: String,
    is_quoted: bool,
}

/// The fields of a record, each of them a list whose names are separated by commas.
fn fields(line: &str) -> Vec<Vec<Name>> {
    let mut fields: Vec<Vec<Name>> = Vec::new();
    let (mut name, mut in_quotes, mut goes_on) = (Name::default(), false, false);
    for character in line.chars().chain(['\n']) {
        match character {
            '"' => {
                in_quotes = !in_quotes;
                name.is_quoted = true;
            }
            _ if in_quotes => name.text.push(character),
            ',' | '#' => {}
            _ if character.is_whitespace() => {}
            _ => name.text.push(character),
        }
        let ends = !in_quotes && (matches!(character, ',' | '#') || character.is_whitespace());
        let is_named = name.is_quoted || !name.text.is_empty();
        if ends && is_named {
            let name = std::mem::take(&mut name);
            match fields.last_mut().filter(|_| goes_on) {
                Some(field) => field.push(name),
                None => fields.push(vec![name]),
            }
            goes_on = character == ',';
        }
        if ends && character == '#' {
            break;
        }
    }
    fields
}

fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.chars().all(is_plain) && !matches!(name, "all" | "") {
        true => name.to_owned(),
        false => format!("\"{name}\""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEBIAN: &str = "\
# TYPE  DATABASE        USER            ADDRESS                 METHOD

local   all             postgres                                peer
local   all             all                                     peer
host    all             all             127.0.0.1/32            scram-sha-256
# Allow replication connections from localhost, by a user with the
# replication privilege.
local   replication     all                                     peer
host    replication     all             127.0.0.1/32            scram-sha-256
host    replication     all             ::1/128                 scram-sha-256
";

    fn pair() -> Vec<IpAddr> {
        ["10.0.0.6", "2001:db8::5"]
            .map(|address| address.parse().expect("an address"))
            .to_vec()
    }

    fn admitted_by(text: &str) -> String {
        let addresses = pair();
        let role = "gocd_replication";
        Replication {
            role,
            addresses: &addresses,
            gocd: &[],
        }
        .admitted_by(text)
    }

    #[test]
    fn ours_stand_before_what_would_decide_first() {
        let text = admitted_by(DEBIAN);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.starts_with(BEGIN_MARK))
            .expect("it is there");
        assert_eq!(
            lines[at + 1],
            "hostssl replication,postgres gocd_replication 10.0.0.6/32 scram-sha-256"
        );
        assert_eq!(
            lines[at + 2],
            "hostssl replication,postgres gocd_replication 2001:db8::5/128 scram-sha-256"
        );
        assert_eq!(lines[at + 3], GOCD);
        assert_eq!(lines[at + 4], END);
        assert!(lines[at + 5].starts_with("host    replication     all             127.0.0.1/32"));
    }

    #[test]
    fn what_may_decide_is_known_in_every_form() {
        for (line, decides) in [
            ("host replication all 10.0.0.0/8 reject", true),
            ("hostnossl replication all all reject", true),
            ("host all,replication all samenet md5", true),
            ("host all, replication rep , all all md5", false),
            ("host all, replication rep,all all md5", true),
            ("host replication gocd_replication 0.0.0.0/0 md5", true),
            ("host replication \"gocd_replication\" 0.0.0.0/0 md5", true),
            ("host replication +staff all md5", true),
            ("host replication rep 10.0.0.6/32 md5", false),
            ("host \"replication\" all all md5", false),
            ("host all all all reject", false),
            ("local replication all peer", false),
            ("# host replication all all reject", false),
            ("include_dir conf.d", true),
            ("host @databases @users all md5", true),
            ("", false),
        ] {
            assert_eq!(may_match(line, "gocd_replication"), decides, "{line}");
        }
    }

    #[test]
    fn a_record_of_several_lines_is_not_torn() {
        let text = "host all all \\\n  all md5\nhost \\\nreplication all all reject\nhost replication all all md5\n";
        let made = admitted_by(text);
        assert!(
            made.starts_with("host all all \\\n  all md5\nhost \\\nreplication all all reject\n# gocd-bc"),
            "{made}"
        );
    }

    #[test]
    fn former_addresses_go_and_what_others_wrote_in_between_stays() {
        let former = admitted_by("local all all peer").replace("10.0.0.6", "10.9.9.9");
        let former = former.replace(END, &format!("host all all 10.1.1.1/32 md5\n{END}"));
        let made = admitted_by(&former);
        assert!(
            !made.contains("10.9.9.9") && made.contains("host all all 10.1.1.1/32 md5\n"),
            "{made}"
        );
        let lost = made.replace(&format!("{END}\n"), "");
        assert_eq!(admitted_by(&lost).matches("hostssl").count(), 2);
    }

    #[test]
    fn odd_names_are_quoted() {
        let addresses = pair();
        let of = |role: &str| {
            Replication {
                role,
                addresses: &addresses,
                gocd: &[],
            }
            .lines("")[0]
                .clone()
        };
        assert!(of("Go CD").contains(" \"Go CD\" 10.0.0.6/32 "));
        assert!(of("all").contains(" \"all\" "));
    }

    #[test]
    fn a_gocd_on_another_host_is_let_in_and_stays_when_nobody_names_it_again() {
        let addresses = pair();
        let gocd: Vec<IpAddr> = vec!["10.0.0.8".parse().expect("an address")];
        let role = "gocd_replication";
        let with = |gocd: &[IpAddr], text: &str| {
            let admitted = Replication {
                role,
                addresses: &addresses,
                gocd,
            };
            admitted.admitted_by(text)
        };
        let line = "host all all 10.0.0.8/32 md5 # GoCD on its own host";
        let once = with(&gocd, DEBIAN);
        assert_eq!(once.lines().filter(|other| *other == line).count(), 1, "{once}");
        assert_eq!(with(&gocd, &once), once);
        assert_eq!(with(&[], &once), once, "the next run locks nobody out");
        assert_eq!((gocd_of(DEBIAN), gocd_of(&once)), (Vec::new(), gocd.clone()));
        let another: Vec<IpAddr> = vec!["2001:db8::8".parse().expect("an address")];
        let both = with(&another, &once);
        assert!(
            both.contains(line) && both.contains("host all all 2001:db8::8/128 md5 # GoCD on its own host"),
            "{both}"
        );
        assert_eq!(
            with(&[], &both.replace(&format!("{line}\n"), ""))
                .matches("10.0.0.8")
                .count(),
            0,
            "a person took it out"
        );
        // One that stands elsewhere is somebody else's.
        assert_eq!(with(&[], &format!("{line}\n{DEBIAN}")).matches(line).count(), 1);
    }

    /// Lines as people write them, some of them ours.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(BEGIN.to_owned()),
            Just(END.to_owned()),
            Just("hostssl replication gocd_replication 10.0.0.9/32 scram-sha-256".to_owned()),
            Just("host replication all all reject".to_owned()),
            Just(GOCD.to_owned()),
            Just(format!("host all all 10.0.0.8/32 {GOCD_ELSEWHERE}")),
            Just("host all all all \\".to_owned()),
            Just("include more.conf".to_owned()),
            "[ -~]{0,40}",
            "(host|local|hostssl|#host) (all|replication|a,replication) (all|rep|\"x y\") [0-9.]{1,9} (md5|reject)",
        ]
    }

    proptest! {
        #[test]
        fn every_line_stays_and_twice_is_once(
            lines in proptest::collection::vec(line(), 0..12),
            end in prop_oneof![Just("\n"), Just("\r\n")],
            has_end in any::<bool>(),
        ) {
            let mut text = lines.join(end);
            if has_end && !lines.is_empty() {
                text.push_str(end);
            }
            let once = admitted_by(&text);
            prop_assert_eq!(admitted_by(&once), once.clone());
            let is_theirs = |line: &&str| {
                !line.trim().starts_with(BEGIN_MARK) && line.trim() != END && !is_like_ours(line)
            };
            let before: Vec<&str> = text.lines().filter(is_theirs).collect();
            let after: Vec<&str> = once.lines().filter(is_theirs).collect();
            prop_assert_eq!(before, after);
            // Without our marks nothing is ours, and every line stays, whatever it looks like.
            if !text.contains(BEGIN_MARK) {
                let begin = once.find(BEGIN_MARK).expect("it is there");
                let (_, behind) = once[begin..].split_once(END).expect("it is there");
                let behind = behind.split_once('\n').map_or("", |(_, behind)| behind);
                let around = format!("{}{behind}", &once[..begin]);
                let kept: Vec<&str> = around.lines().collect();
                prop_assert_eq!(kept, text.lines().collect::<Vec<_>>());
            }
            let ours: Vec<&str> = once.lines().filter(|line| is_like_ours(line) && line.contains("10.0.0.6/32")).collect();
            prop_assert_eq!(ours.len(), 1);
        }
    }
}
