//! The list of checks for people, as `rust/docs/doctor.md` has it.

use super::check::Check;

/// Makes the table of all checks in Markdown.
pub fn document() -> String {
    let mut text = "| number | name | severity | what holds where nothing is found |\n|---|---|---|---|\n".to_owned();
    for check in Check::ALL {
        text.push_str(&format!(
            "| {} | `{}` | {} | {} |\n",
            check.number(),
            check.name(),
            check.level(),
            check.title()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_list_that_the_table_makes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
        let text = std::fs::read_to_string(file).expect("the file is in the repository");
        let begin = text.find("| number |").expect("a table");
        let end = text[begin..]
            .find("\n\n")
            .map_or(text.len(), |length| begin + length + 1);
        if std::env::var_os("BC_UPDATE").is_some() {
            let made = format!("{}{}{}", &text[..begin], document(), &text[end..]);
            std::fs::write(file, made).expect("write");
            return;
        }
        assert_eq!(&text[begin..end], document(), "run this test with BC_UPDATE=1");
    }
}
