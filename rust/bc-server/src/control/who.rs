//! Who is at the other end of the local socket, for the audit.
//!
//! The kernel says which user, and which process: of that Linux knows who had logged in, whatever sudo made of him since.
//! Names of users may come from a directory service that never answers, so nobody waits long for one.

#[cfg(unix)]
use std::time::Duration;

use bc_core::node::audit::Who;
#[cfg(unix)]
use nix::unistd::{Uid, User};
#[cfg(unix)]
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::rights::Caller;

/// How long a name may take.
#[cfg(unix)]
const NAMED_WITHIN: Duration = Duration::from_secs(2);
/// Names that are looked up at a time.
#[cfg(unix)]
const NAMED_AT_ONCE: usize = 2;
/// What Linux says where nobody has logged in, such as for a service.
#[cfg(unix)]
const NOBODY_LOGGED_IN: u32 = u32::MAX;

/// One who is connected to the local socket: what rights depend on, and what the kernel says besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) caller: Caller,
    /// The number of the user.
    pub(super) uid: Option<u32>,
    /// The number of the user who had logged in.
    pub(super) login: Option<u32>,
}

impl From<Caller> for Visitor {
    /// A visitor of the local socket of whom nothing else is known.
    fn from(caller: Caller) -> Self {
        Self {
            caller,
            uid: None,
            login: None,
        }
    }
}

impl Visitor {
    /// Says for the audit who this visitor of the local socket is, with the names of users where they can be had in time.
    pub(super) async fn who(self) -> Who {
        Who {
            uid: self.uid,
            user: name_of(self.uid).await,
            login: name_of(self.login).await,
        }
    }
}

/// The number of the user who had logged in where this process belongs to, by the kernel; none where it does not know.
#[cfg(unix)]
pub(super) fn logged_in(process: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
    let login = text.trim().parse().ok()?;
    (login != NOBODY_LOGGED_IN).then_some(login)
}

/// The name of a user at the local socket; his number where nobody says it in time.
#[cfg(unix)]
async fn name_of(uid: Option<u32>) -> Option<String> {
    static PLACES: Semaphore = Semaphore::const_new(NAMED_AT_ONCE);
    let uid = uid?;
    if uid == 0 {
        return Some("root".to_owned());
    }
    let looking = async {
        let place = PLACES.acquire().await;
        // The place is taken for as long as the thread is.
        spawn_blocking(move || {
            let _place = place;
            User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
        })
        .await
    };
    let name = timeout(NAMED_WITHIN, looking).await.ok()?.ok()?;
    Some(name.unwrap_or_else(|| format!("uid {uid}")))
}

/// The name of a user at the named pipe of Windows, who is not known.
#[cfg(not(unix))]
async fn name_of(_: Option<u32>) -> Option<String> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_have_names_and_one_without_has_his_number() {
        let visitor = |uid, login| Visitor {
            uid: Some(uid),
            login,
            ..Caller::Owner.into()
        };
        let who = visitor(0, Some(3_999_999_999)).who().await;
        assert_eq!((who.uid, who.user.as_deref()), (Some(0), Some("root")));
        assert_eq!(who.login.as_deref(), Some("uid 3999999999"));
        let who = visitor(65_534, None).who().await;
        assert_eq!((who.user.as_deref(), who.login), (Some("nobody"), None));
        assert_eq!(logged_in(-1), None, "there is no such process");
    }
}
