//! Tables of our documents, to be compared with what the program does.

use std::collections::BTreeMap;

use serde_json::Value;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The words in backticks of its first cell; each of them has the other cells.
    pub names: Vec<String>,
    /// The other cells.
    pub cells: Vec<String>,
}

/// The rows of all tables below a heading of the second level, up to the next one. Heads of tables name nothing and are
/// left out.
///
/// # Panics
/// There is no such heading.
pub fn rows(document: &str, heading: &str) -> Vec<Row> {
    let heading = format!("## {heading}");
    assert!(document.lines().any(|line| line == heading), "no heading {heading}");
    document
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'))
        .map(|line| {
            let mut cells = line.split('|').map(|cell| cell.trim().to_owned());
            Row {
                names: words(&cells.next().unwrap_or_default()),
                cells: cells.collect(),
            }
        })
        .filter(|row| !row.names.is_empty())
        .collect()
}

/// The second cell of each name below a heading.
///
/// # Panics
/// There is no such heading, or a name has two rows.
pub fn kinds(document: &str, heading: &str) -> BTreeMap<String, String> {
    let mut kinds = BTreeMap::new();
    for row in rows(document, heading) {
        for name in row.names {
            let before = kinds.insert(name.clone(), row.cells[0].clone());
            assert_eq!(before, None, "{name} has two rows");
        }
    }
    kinds
}

/// The words in backticks of a text.
pub fn words(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The kind of each key of an object, as the documents say it: `files[].name` is a `text`, `files` a `list of objects`.
/// The keys of objects in `by_name` are no keys of ours. Of a list its first member is looked at.
///
/// # Panics
/// Something is null or empty, so that its kind cannot be seen.
pub fn shape(value: &Value, by_name: &[&str]) -> BTreeMap<String, String> {
    let mut shape = BTreeMap::new();
    walk("", value, by_name, &mut shape);
    shape
}

fn walk(path: &str, value: &Value, by_name: &[&str], shape: &mut BTreeMap<String, String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let member = match value {
            Value::Array(members) => Some((members.first(), "list")),
            Value::Object(members) if by_name.contains(&path.as_str()) => Some((members.values().next(), "object")),
            _ => None,
        };
        let kind = match member {
            None => kind(&path, value).to_owned(),
            Some((member, of)) => {
                let member = member.unwrap_or_else(|| panic!("{path} is empty"));
                format!("{of} of {}s", kind(&path, member))
            }
        };
        match value {
            Value::Array(members) => members
                .iter()
                .take(1)
                .for_each(|member| walk(&format!("{path}[]"), member, by_name, shape)),
            _ if member.is_none() => walk(&path, value, by_name, shape),
            _ => {}
        }
        shape.insert(path, kind);
    }
}

fn kind(path: &str, value: &Value) -> &'static str {
    match value {
        Value::Null => panic!("{path} is null"),
        Value::Bool(_) => "true or false",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DOCUMENT: &str =
        "## One\n\n| key | type |\n|---|---|\n| `a`, `b[].c` | text | `x` or y |\n\n## Two\n\n| `d` | list |\n";

    #[test]
    fn rows_of_one_chapter() {
        let row = Row {
            names: vec!["a".to_owned(), "b[].c".to_owned()],
            cells: vec!["text".to_owned(), "`x` or y".to_owned()],
        };
        assert_eq!(rows(DOCUMENT, "One"), [row]);
        let kinds = kinds(DOCUMENT, "One");
        assert_eq!(kinds["a"], "text");
        assert_eq!(kinds["b[].c"], "text");
        assert_eq!(kinds.len(), 2);
    }

    #[test]
    fn the_shape_of_an_object() {
        let value = json!({"a": "", "b": [{"c": 1}], "d": {"e": true}, "f": {"any.jar": 7}, "g": ["x"]});
        let shape = shape(&value, &["f"]);
        let shape: Vec<_> = shape
            .iter()
            .map(|(path, kind)| (path.as_str(), kind.as_str()))
            .collect();
        assert_eq!(
            shape,
            [
                ("a", "text"),
                ("b", "list of objects"),
                ("b[].c", "number"),
                ("d", "object"),
                ("d.e", "true or false"),
                ("f", "object of numbers"),
                ("g", "list of texts"),
            ]
        );
    }
}
