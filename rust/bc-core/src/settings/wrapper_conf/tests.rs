use std::process::Command;

use proptest::prelude::*;

use super::*;

fn standby() -> [Argument; 3] {
    let setting = |property, value: &str| Argument::Setting {
        property,
        value: value.to_owned(),
    };
    [
        setting(Property::Mode, "standby"),
        setting(Property::PrimaryUrl, "https://primarygo:8155"),
        agent("plugins/external/gocd-business-continuity.jar"),
    ]
}

fn agent(jar: &str) -> Argument {
    Argument::Agent { jar: jar.to_owned() }
}

/// `wrapper.conf` as GoCD has it.
const MAIN: &str = "wrapper.ignore_sequence_gaps=TRUE\nwrapper.java.additional.1=-Xms512m\n\
                    wrapper.java.additional.2=-Dcruise.config.dir=/etc/go\n";

fn in_file(main: &str, file: &str) -> (String, Vec<Change>) {
    edit(main, file, &standby(), Quoting::Unix)
}

fn edit(main: &str, file: &str, arguments: &[Argument], quoting: Quoting) -> (String, Vec<Change>) {
    let edited = edited(&[main.as_bytes()], file.as_bytes(), arguments, quoting);
    (String::from_utf8(edited.text).expect("text"), edited.changes)
}

const ADDED: &str = "# GoCD Business Continuity\n\
    wrapper.java.additional.100=-Dgo.server.mode=standby\n\
    wrapper.java.additional.101=-Dbc.primary.url=https://primarygo:8155\n\
    wrapper.java.additional.102=-javaagent:plugins/external/gocd-business-continuity.jar\n\
    wrapper.on_exit.75=RESTART\n";

#[test]
fn lines_are_added_behind_those_that_are_there_from_100_on() {
    let (text, changes) = in_file(MAIN, "# mine\nwrapper.java.additional.20=-Xmx2g");
    assert_eq!(text, format!("# mine\nwrapper.java.additional.20=-Xmx2g\n{ADDED}"));
    let names: Vec<_> = changes.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "wrapper.java.additional.100",
            "wrapper.java.additional.101",
            "wrapper.java.additional.102",
            "wrapper.on_exit.75"
        ]
    );
    assert_eq!(
        in_file(MAIN, &text),
        (text, Vec::new()),
        "the second time nothing changes"
    );
    assert_eq!(in_file(MAIN, "").0, ADDED);
}

#[test]
fn a_number_that_anybody_uses_stays_theirs() {
    let main = format!("{MAIN}wrapper.java.additional.101=-Da=b\n");
    let file = "wrapper.java.additional.100=-Dc=d\n#wrapper.java.additional.103=-Xmx2g\n\
                wrapper.java.additional.104.stripquotes=TRUE\nWRAPPER.java.additional.105=-De=f\n";
    let (text, _) = in_file(&main, file);
    let added = ADDED
        .replace(".102=", ".107=")
        .replace(".101=", ".106=")
        .replace(".100=", ".102=");
    assert_eq!(text, format!("{file}{added}"));
}

#[test]
fn a_line_of_ours_is_changed_in_its_place() {
    // As the original set-up page has them, quotes and all.
    let file = "wrapper.java.additional.100 = -Dgo.server.mode=standby\r\n\
                wrapper.java.additional.101=-Dbc.primary.url=\"https://oldgo   # the address of August\r\n\
                wrapper.java.additional.7=-javaagent:/opt/old/gocd-business-continuity.jar\r\n\
                wrapper.java.additional.102=-Da=b\r\nwrapper.on_exit.75=RESTART\r\n";
    let (text, changes) = in_file(MAIN, file);
    let expected = file
        .replace("\"https://oldgo", "https://primarygo:8155")
        .replace("/opt/old", "plugins/external");
    assert_eq!(text, expected);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0].now.as_deref(), Some("-Dbc.primary.url=\"https://oldgo"));
    assert_eq!(in_file(MAIN, &text), (text, Vec::new()));
}

#[test]
fn a_line_that_says_the_same_in_other_characters_is_left_alone() {
    let file = "wrapper.java.additional.100=\"-Dgo.server.mode=standby\"\n\
                wrapper.java.additional.101=-Dbc.primary.url='https://primarygo:8155'\n\
                wrapper.java.additional.102=-javaagent:plugins\\external\\gocd-business-continuity.jar\n\
                wrapper.on_exit.75=SHUTDOWN\n";
    assert_eq!(in_file(MAIN, file), (file.to_owned(), Vec::new()));
}

#[test]
fn what_another_line_of_the_same_number_took_the_place_of_counts_no_more() {
    let file = format!("{ADDED}wrapper.java.additional.100=-Xmx2g\n");
    let (text, changes) = in_file(MAIN, &file);
    assert_eq!(
        text,
        format!("{file}wrapper.java.additional.103=-Dgo.server.mode=standby\n")
    );
    assert_eq!(changes.len(), 1);
}

#[test]
fn a_line_of_wrapper_conf_itself_is_overruled_under_its_number() {
    let main = format!("{MAIN}wrapper.java.additional.50=-Dbc.primary.url=https://oldgo\n");
    let (text, changes) = in_file(&main, "");
    assert!(
        text.contains("wrapper.java.additional.50=-Dbc.primary.url=https://primarygo:8155\n"),
        "{text}"
    );
    assert_eq!(changes.len(), 4);
    assert_eq!(in_file(&main, &text), (text, Vec::new()));
    let said = format!("{MAIN}{ADDED}");
    assert_eq!(in_file(&said, ""), (String::new(), Vec::new()));
}

#[test]
fn the_wrapper_is_told_to_read_on_behind_a_gap() {
    for (main, is_added) in [
        ("wrapper.java.additional.1=-Xms512m\n", true),
        ("wrapper.ignore_sequence_gaps=FALSE\n", true),
        ("wrapper.ignore_sequence_gaps=true\n", false),
        ("Wrapper.Ignore_Sequence_Gaps=TRUE\n", false),
    ] {
        let (text, _) = in_file(main, "");
        assert_eq!(
            text.contains("\nwrapper.ignore_sequence_gaps=TRUE\n"),
            is_added,
            "{main}"
        );
        assert_eq!(in_file(main, &text), (text, Vec::new()));
    }
}

#[test]
fn the_wrapper_is_told_to_start_a_server_again_that_was_ended_unless_somebody_has_decided_that() {
    for (line, is_added) in [
        ("wrapper.on_exit.0=RESTART\n", true),
        ("wrapper.on_exit.default=SHUTDOWN\n", true),
        ("wrapper.on_exit.default=restart\n", false),
        ("Wrapper.On_Exit.75=SHUTDOWN\n", false),
    ] {
        for (main, file) in [
            (format!("{MAIN}{line}"), String::new()),
            (MAIN.to_owned(), line.to_owned()),
        ] {
            let (text, _) = in_file(&main, &file);
            assert_eq!(text.contains("wrapper.on_exit.75=RESTART\n"), is_added, "{line}");
            assert_eq!(in_file(&main, &text), (text, Vec::new()));
        }
    }
    let without_agent = edit(MAIN, "", &standby()[..2], Quoting::Unix).0;
    assert!(
        !without_agent.contains("on_exit"),
        "nothing would hold it: {without_agent}"
    );
}

#[test]
fn windows_has_its_line_ends_and_its_quotes() {
    let arguments = [agent("C:\\Go CD\\plugins\\external\\gocd-business-continuity.jar")];
    let (text, changes) = edit(
        MAIN,
        "wrapper.java.additional.16=-Xmx2g\r\n",
        &arguments,
        Quoting::Windows,
    );
    assert_eq!(
        text,
        "wrapper.java.additional.16=-Xmx2g\r\n# GoCD Business Continuity\r\n\
         wrapper.java.additional.100=\"-javaagent:C:\\Go CD\\plugins\\external\\gocd-business-continuity.jar\"\r\n\
         wrapper.on_exit.75=RESTART\r\n"
    );
    assert_eq!(changes.len(), 2);
    let again = edit(MAIN, &text, &arguments, Quoting::Windows);
    assert_eq!(again, (text, Vec::new()));
}

#[test]
fn what_the_image_splits_is_what_was_meant() {
    assert_eq!(
        docker_option(&standby()),
        "-e GOCD_SERVER_JVM_OPTS=\"-Dgo.server.mode=standby -Dbc.primary.url=https://primarygo:8155 \
         -javaagent:plugins/external/gocd-business-continuity.jar\""
    );
    let odd = [
        agent("a b/it's \"$HOME\"/`id`\\/gocd-business-continuity.jar"),
        standby()[0].clone(),
    ];
    // The shell of whoever types it, and then the one in the image.
    let script = format!(
        "set -- {}; eval \"set -- ${{2#GOCD_SERVER_JVM_OPTS=}}\"; printf '%s\\n' \"$@\"",
        docker_option(&odd)
    );
    let output = Command::new("sh").arg("-c").arg(script).output().expect("a shell");
    let words: Vec<String> = odd.iter().map(Argument::text).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), words.join("\n") + "\n");
}

/// Lines of all kinds, ours among them.
fn any_line() -> impl Strategy<Value = String> {
    let argument = prop_oneof![
        Just("-Dgo.server.mode=standby".to_owned()),
        Just("-Dgo.server.mode=production # not yet".to_owned()),
        Just("-Dbc.primary.url=\"https://x\"".to_owned()),
        Just("-javaagent:x\\gocd-business-continuity.jar".to_owned()),
        Just("-javaagent:/opt/other.jar=a".to_owned()),
        "[ -~]{0,20}",
    ];
    prop_oneof![
        (0_u32..110, argument).prop_map(|(number, value)| format!("wrapper.java.additional.{number}={value}")),
        (98_u32..104).prop_map(|number| format!("# wrapper.java.additional.{number}=-Xmx1g")),
        Just("wrapper.ignore_sequence_gaps=TRUE".to_owned()),
        Just("#include ../other.conf".to_owned()),
        "[ -~\u{e4}]{0,30}",
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    (prop::collection::vec(any_line(), 0..12), end, any::<bool>())
        .prop_map(|(lines, end, is_ended)| lines.join(end) + if is_ended { end } else { "" })
}

proptest! {
    #[test]
    fn no_line_is_lost_and_twice_is_once(main in any_text(), file in any_text()) {
        let (text, changes) = in_file(&main, &file);
        prop_assert_eq!(in_file(&main, &text), (text.clone(), Vec::new()));
        // Every line stands where it stood; of those that changed only the value is another.
        let before: Vec<&str> = file.lines().collect();
        let after: Vec<&str> = text.lines().collect();
        let differing: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        prop_assert!(after.len() >= before.len());
        prop_assert!(differing.len() <= changes.iter().filter(|change| change.now.is_some()).count());
        for (before, after) in differing {
            prop_assert_eq!(before.split('=').next(), after.split('=').next());
            prop_assert_eq!(before.contains(" # not yet"), after.contains(" # not yet"));
        }
        // And the JVM gets each of ours.
        let all = [main.as_bytes(), b"\n", text.as_bytes()].concat();
        let lines: Vec<Line<'_>> = lines(&all).collect();
        let in_force: Vec<&str> = indices_in_force(&lines).into_iter().filter_map(|index| lines[index].argument()).collect();
        for argument in standby() {
            let about: Vec<_> = in_force.iter().filter(|given| argument.is_meant_by(given)).collect();
            prop_assert!(!about.is_empty(), "{argument:?}");
            prop_assert!(about.iter().all(|given| argument.is_said_by(given)), "{about:?}");
        }
    }
}
