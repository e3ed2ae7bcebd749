//! The decision about the files that the configuration names: whether they are on both nodes, and hold the same.

use super::{
    check::Check,
    facts::{Facts, Other},
    finding::{Seen, Verdict},
    node::said,
};
use crate::{
    node::named_files::{Content, NamedFile},
    settings::PrimaryUrl,
    status::Status,
};

/// Whether the files that the configuration names are on both nodes, and the same.
pub(super) fn named_files(facts: &Facts) -> Verdict {
    let (Some(here), Some(status)) = (&facts.here, facts.status()) else {
        return Verdict::Elsewhere;
    };
    let mut seen = said(facts, Check::NamedFiles);
    let own = match (&here.named_files, seen.is_empty()) {
        (Ok(own), _) => own,
        (Err(why), true) => return Verdict::Unknown(why.clone()),
        (Err(_), false) => return Verdict::Wrong(seen),
    };
    if seen.is_empty() {
        // A primary does not look for them itself.
        seen.extend(
            own.iter()
                .filter(|file| file.content == Content::Missing)
                .map(missing_here),
        );
    }
    let mut unknown = None;
    for file in own {
        if let Content::Unread(why) = &file.content {
            unknown.get_or_insert_with(|| why.clone());
        }
    }
    for other in facts.others.iter().filter(|_| !own.is_empty()) {
        match (&other.node, &other.named_files) {
            (Ok(_), Some(Ok(told))) => {
                for file in own {
                    // What the other's configuration does not name is on its way there, or from there.
                    match told
                        .content(file.name)
                        .map(|there| compared(status, other, file, there))
                    {
                        Some(Ok(difference)) => seen.extend(difference),
                        Some(Err(why)) => drop(unknown.get_or_insert(why)),
                        None => {}
                    }
                }
            }
            (Ok(_), Some(Err(why))) => drop(unknown.get_or_insert_with(|| why.clone())),
            // The version before does not tell.
            (Ok(_), None) => {}
            (Err(_), _) => drop(unknown.get_or_insert_with(|| "the other node did not say what it is".to_owned())),
        }
    }
    match (seen.is_empty(), unknown) {
        (true, Some(why)) => Verdict::Unknown(why),
        _ => Verdict::of(seen),
    }
}

/// Where a file of this primary is not there.
fn missing_here(file: &NamedFile) -> Seen {
    let (path, property) = (&file.path, &file.property);
    Seen::new(format!(
        "{path} is not here, which cruise-config.xml names ({property})"
    ))
    .mend(page())
}

/// What differs between a file here and what another node tells of it; why nobody can say.
fn compared(status: &Status, other: &Other, file: &NamedFile, there: Content) -> Result<Option<Seen>, String> {
    let (path, property, url) = (&file.path, &file.property, &other.url);
    let what = match (&file.content, &there) {
        (Content::Of(here), Content::Of(there)) if here == there => return Ok(None),
        (Content::Of(_), Content::Of(_)) => format!("{path} ({property}) is another one at {url} than here"),
        (Content::Of(_), Content::Missing) => format!("{path} ({property}) is not at {url}"),
        // That was said of this node, or why it cannot be.
        (Content::Missing | Content::Unread(_), _) => return Ok(None),
        (Content::Of(_), Content::Unread(_)) => return Err(format!("{url} cannot read its {path} ({property})")),
    };
    let seen = Seen::new(what);
    Ok(Some(match copy(status, other, path) {
        Some(command) => seen.mend(command).mend(page()),
        None => seen.mend(page()),
    }))
}

/// What copies a file from the primary to the standby; none for a path that a shell takes for something else, since whoever
/// may edit the configuration is not who types this as root.
fn copy(status: &Status, other: &Other, path: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let host = other.url.parse::<PrimaryUrl>().ok()?.host().to_string();
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return None;
    }
    Some(match status.sync {
        Some(_) => format!("scp {host}:{path} {path}"),
        None => format!("scp {path} {host}:{path}"),
    })
}

/// The page that says what else there is to do.
fn page() -> String {
    format!("gocd-bc explain {}", Check::NamedFiles.name())
}
