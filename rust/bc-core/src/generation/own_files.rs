//! What is ours in GoCD's folders, and is never synced.

/// The id of our own plugin: jars with it are never synced.
pub(crate) const OWN_PLUGIN_ID: &str = "cd.go.contrib.business-continuity";

/// The name of our own jar, which has no version in it, since `-javaagent` names it.
pub const OWN_JAR: &str = "gocd-business-continuity.jar";

/// The name of the token file, as in the original product.
pub const TOKEN_FILE: &str = "business-continuity-token";
/// The name of the peers file.
pub(crate) const PEERS_FILE: &str = "business-continuity-peers";
/// The name of the file beside it in which a primary keeps what it gives out while its state folder cannot be written.
pub(crate) const GIVEN_OUT_FILE: &str = "business-continuity-given-out";
/// The file whose presence asks for a standby, as the original set-up page suggests it.
pub const START_IN_STANDBY_FILE: &str = "start.in.standby";
