use super::*;
use crate::gocd::cruise_config::CruiseConfig;

/// The sample configuration of GoCD.
const CONFIG: &str = include_str!("../../../../../../tests/fixtures/data/config/cruise-config.xml");

fn difference(from: &str, to: &str) -> ConfigurationDiff {
    let side = |text: &str| Side {
        generation: None,
        files: BTreeMap::new(),
        configuration: Some(text.as_bytes().to_vec()),
    };
    configuration(&side(from), &side(to)).expect("nothing is read")
}

/// What is shown, without the two titles.
fn shown(from: &str, to: &str) -> String {
    match difference(from, to) {
        ConfigurationDiff::Shown { difference } => difference.lines().skip(2).map(|line| format!("{line}\n")).collect(),
        other => panic!("{other:?}: {to}"),
    }
}

/// Everything of a text as it is shown.
fn whole(text: &str) -> String {
    let side = |configuration| Side {
        generation: None,
        files: BTreeMap::new(),
        configuration,
    };
    match configuration(&side(None), &side(Some(text.as_bytes().to_vec()))).expect("nothing is read") {
        ConfigurationDiff::Shown { difference } => difference,
        other => panic!("{other:?}: {text}"),
    }
}

#[test]
fn an_edit_of_a_pipeline_is_shown_with_what_is_around_it() {
    let edited = CONFIG.replace("<pipeline name=\"up42\"", "<pipeline name=\"up43\"");
    assert_ne!(edited, CONFIG);
    let shown = shown(CONFIG, &edited);
    assert!(
        shown.contains("\n-    <pipeline name=\"up42\"") && shown.contains("\n+    <pipeline name=\"up43\""),
        "{shown}"
    );
}

#[test]
fn no_secret_of_a_whole_configuration_is_shown() {
    let shown = whole(CONFIG);
    for secret in [
        "AES:",
        "lzcCuNSe4vUx",
        "DelRFu6mCN7k",
        "323040d4-f2e4",
        "3d5cd2f5-7fe7",
        "8c3c8dc9-08bf",
    ] {
        assert!(
            CONFIG.contains(secret) && !shown.contains(secret),
            "{secret} in {shown}"
        );
    }
    assert!(
        shown.contains("serverId=\"60f5f682-5248-4ba9-bb35-72c92841bd75\""),
        "{shown}"
    );
    assert!(
        shown.contains("<server agentAutoRegisterKey=\"[secret]\" webhookSecret=\"[secret]\""),
        "{shown}"
    );
}

#[test]
fn a_secret_alone_that_changed_says_so() {
    let edited = CONFIG.replace("DelRFu6mCN7kC", "DelRFu6mCN7kD");
    assert_eq!(
        shown(CONFIG, &edited)
            .lines()
            .filter(|line| line.starts_with(['-', '+']))
            .map(str::trim_start)
            .collect::<Vec<_>>(),
        [
            "-          <encryptedValue>[secret: former value]</encryptedValue>",
            "+          <encryptedValue>[secret: new value]</encryptedValue>",
        ]
    );
}

#[test]
fn a_secret_that_only_moved_is_not_called_changed() {
    let pipeline = |name: &str, secret: &str| {
        format!(
            "<pipeline name='{name}'><variable name='v' secure='true'><value>{secret}</value></variable></pipeline>"
        )
    };
    let one = format!("<cruise>{}</cruise>", pipeline("a", "one"));
    let two = format!("<cruise>{}{}</cruise>", pipeline("b", "two"), pipeline("a", "one"));
    let shown = shown(&one, &two);
    assert!(shown.contains("[secret]") && !shown.contains("value]"), "{shown}");
}

/// Every one of these holds the word that must not be shown, in a form that somebody could have overlooked.
#[test]
fn hostile_values_are_not_shown_in_any_form() {
    let within = [
        "<variable name='v' secure='true'><value>MARK</value></variable>",
        "<variable secure=\"true\" name='v'><value><![CDATA[MARK]]></value></variable>",
        "<variable\n  secure\n = 'TRUE'\n><value>\n  MA<!-- -->RK\n  MARK\n</value></variable>",
        "<variable secure='&#116;rue' name='v'><value>a&amp;MARK</value></variable>",
        "<variable secure='1' value='MARK'/>",
        "<variable secure='true'><value a='MARK'><b><c>MARK</c></b></value></variable>",
        "<encryptedValue>MARK</encryptedValue>",
        "<encryptedValue>DES<b>MARK</b><![CDATA[MARK]]></encryptedValue>",
        "<g:encryptedPassword>MARK</g:encryptedPassword>",
        "<svn url='u' encryptedPassword='MARK'/>",
        "<svn password='MARK' username='me'/>",
        "<svn password=\"\n MARK\n\"/>",
        "<password>MARK</password>",
        "<property><key>Password</key><value>MARK</value></property>",
        "<property><value>MARK</value><key>GitHub<![CDATA[Token]]></key></property>",
        "<property><key>AWS_SECRET</key>\n<value>\nMARK\n</value></property>",
        "<variable name='DEPLOY_TOKEN'><value>MARK</value></variable>",
        "<param name='PASSWORD'>MARK</param>",
        "<arg>AES:MARK</arg>",
        "<arg>x AE<!-- -->S:MARK</arg>",
        "<arg>A&#69;S:MARK</arg>",
        "<arg>AES:<b/>MARK</arg>",
        "<x y='AES:MARK'/>",
        "<git url='https://MARK@github.com/a'/>",
        "<git url='https://me:MARK@github.com/a'/>",
        "<arg>git clone https://me:a/MARK@github.com/a</arg>",
        "<server tokenGenerationKey='MARK' agentAutoRegisterKey='MARK' webhookSecret='MARK' serverId='s'/>",
        "<!-- <variable secure='true'><value>MARK</value></variable> -->",
        "<?xml-stylesheet MARK?>",
    ];
    for text in within {
        let (before, after) = (
            format!("<cruise>{}</cruise>", text.replace("MARK", "hunter2")),
            format!("<cruise>{}</cruise>", text.replace("MARK", "correcthorse")),
        );
        let shown = format!("{}{}", whole(&after), shown(&before, &after));
        for secret in ["hunter2", "correcthorse"] {
            assert!(!shown.contains(secret), "{text} is shown as\n{shown}");
        }
        assert!(
            shown.contains(": former value]") && shown.contains(": new value]"),
            "{text}: that it changed is not told:\n{shown}"
        );
    }
}

/// One table for both who ask what is secret: whoever tries it with the key, and whoever shows it.
#[test]
fn what_gocd_encrypts_is_tried_and_all_that_may_be_secret_is_not_shown() {
    for (text, is_tried, is_shown) in [
        (
            "<variable><encryptedValue>AES:MARK</encryptedValue></variable>",
            true,
            false,
        ),
        ("<encryptedValue>\n AES:MARK\n</encryptedValue>", true, false),
        ("<encryptedValue><![CDATA[AES:MARK]]></encryptedValue>", true, false),
        ("<svn url='u' encryptedPassword='AES:MARK'/>", true, false),
        // GoCD knows none of these, or reads them in another way than as one value.
        ("<encryptedValue>DES MARK</encryptedValue>", false, false),
        ("<encryptedValue>x AES:MARK</encryptedValue>", false, false),
        ("<encryptedValue>AES:<!-- -->MARK</encryptedValue>", false, false),
        ("<encryptedValue>AES:MARK&#61;</encryptedValue>", false, false),
        ("<EncryptedValue>AES:MARK</EncryptedValue>", false, false),
        ("<svn ENCRYPTEDPASSWORD='AES:MARK'/>", false, false),
        (
            "<x xmlns:g='g'><g:encryptedValue>AES:MARK</g:encryptedValue></x>",
            false,
            false,
        ),
        ("<arg>AES:MARK</arg>", false, false),
        (
            "<variable name='v' secure='true'><value>MARK</value></variable>",
            false,
            false,
        ),
        ("<property><key>Token</key><value>MARK</value></property>", false, false),
        ("<git url='https://MARK@host/a'/>", false, false),
        ("<!-- MARK -->", false, false),
        (
            "<property><key>SecretsFilePath</key><value>MARK</value></property>",
            false,
            true,
        ),
        ("<pipeline name='MARK'/>", false, true),
        ("<arg>MARK</arg>", false, true),
    ] {
        let text = format!("<cruise>{}</cruise>", text.replace("MARK", "hunter2"));
        let read = CruiseConfig::read(text.as_bytes()).unwrap_or_else(|reason| panic!("{reason}: {text}"));
        assert_eq!(!read.secrets.is_empty(), is_tried, "{text}");
        assert_eq!(whole(&text).contains("hunter2"), is_shown, "{text}");
        assert!(!(is_tried && is_shown), "{text}");
    }
}

#[test]
fn even_a_name_is_not_shown_where_it_holds_a_secret() {
    for text in ["<AES:MARK/>", "<AES:MARK>x</AES:MARK>", "<x AES:MARK='y'/>"] {
        let shown = whole(&format!("<cruise>{text}</cruise>"));
        assert!(shown.contains("[secret]") && !shown.contains("MARK"), "{shown}");
    }
}

#[test]
fn what_is_no_secret_stays_readable() {
    let text = "<cruise><authConfig id='file'><property><key>PasswordFilePath</key><value>config/p&amp;q</value>\
                </property></authConfig><exec command='bash'><arg>a\n  b</arg></exec><variable name='V' \
                secure='false'><value>plain</value></variable></cruise>";
    let shown = whole(text);
    for part in [
        "+      <key>PasswordFilePath</key>\n+      <value>config/p&q</value>\n",
        "+    <arg>a\n+      b</arg>\n",
        "+    <value>plain</value>\n",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn another_way_to_write_the_same_is_no_difference_to_show() {
    assert_eq!(
        difference(
            "<cruise><a b='c'/></cruise>",
            "<cruise>\r\n <a b=\"c\"></a>\r\n</cruise>\n"
        ),
        ConfigurationDiff::OnlyLayout
    );
    assert_eq!(difference(CONFIG, CONFIG), ConfigurationDiff::Same);
}

#[test]
fn nothing_of_what_is_not_whole_is_shown() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    for text in [
        "",
        "<cruise",
        "<cruise><a></cruise>",
        "<cruise/>x",
        "<cruise a='1 b=2/>",
        deep.as_str(),
    ] {
        let found = difference(CONFIG, text);
        let is_empty = text.is_empty();
        assert!(
            found == ConfigurationDiff::NotWhole || is_empty,
            "{:.60}: {found:?}",
            text
        );
    }
}

#[test]
fn two_long_texts_without_a_common_line_take_no_longer_than_they_may() {
    let text = |word: &str| {
        let lines: String = (0..20_000).map(|n| format!("<a b='{word}{n}'/>")).collect();
        format!("<cruise>{lines}</cruise>")
    };
    let start = std::time::Instant::now();
    shown(&text("x"), &text("y"));
    assert!(start.elapsed() < SHORTEST_WITHIN * 4, "{:?}", start.elapsed());
}
