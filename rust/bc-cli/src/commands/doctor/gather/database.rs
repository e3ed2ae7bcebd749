//! GoCD's database, which may be on another host, where no node says what it is: GoCD is down, and it is looked at from here
//! as the node would.

use bc_core::{
    database::{
        finding::{Fault, Finding},
        picture::Picture,
    },
    generation::layout::may_be_there,
    settings::{Flag, Settings},
};
use bc_server::node::look_at_database;

use super::{Installation, Late, Node, UnderWay, within};

/// It says what it is within this time: some seconds for the way there, some for the answer.
const DATABASE_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Begins to look at it; none where nobody knows where it is, or where it is left to others (`bc.db.watch=off`).
pub(super) fn begin(node: &Node, installation: Option<&Installation>) -> Option<UnderWay<Option<Picture>>> {
    let layout = node.layout.as_ref()?;
    let mut properties = match installation {
        Some(installation) => installation.properties.clone(),
        None => [("user.dir", layout.working_dir().display().to_string())]
            .into_iter()
            .collect(),
    };
    if properties.get("user.home").is_none()
        && let Some(home) = home_of_gocd(node)
    {
        properties.set("user.home", home);
    }
    let (settings, _) = Settings::parse(&properties, may_be_there);
    // Where nobody knows how GoCD is started, nobody knows either what it does without the file.
    let is_known = installation.is_some() || settings.database.file.exists();
    if !settings.watches_database || !is_known {
        return None;
    }
    let is_standby = settings.flag != Flag::None;
    Some(within(DATABASE_WITHIN, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let looking = look_at_database(&settings.database, runtime.handle(), is_standby);
        let picture = runtime.block_on(looking);
        // A resolver that hangs keeps nobody here.
        runtime.shutdown_background();
        Some(picture)
    }))
}

/// What it said; that it was silent is a finding of its own.
pub(super) fn heard(looking: UnderWay<Option<Picture>>) -> Option<Picture> {
    let late = |late: Late| {
        let finding = Finding::warning(Fault::Unreachable, late.of("GoCD's database"));
        Some(Picture::not_watched(None, finding))
    };
    looking.wait().unwrap_or_else(late)
}

/// The home folder of the user that GoCD runs as, where its driver looks for certificates.
#[cfg(unix)]
fn home_of_gocd(node: &Node) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let owner = std::fs::metadata(node.layout.as_ref()?.cruise_config()).ok()?.uid();
    let user = nix::unistd::User::from_uid(owner.into()).ok()??;
    Some(user.dir.display().to_string())
}

#[cfg(not(unix))]
fn home_of_gocd(_: &Node) -> Option<String> {
    None
}
