//! Sessions of people who logged in: in memory, gone with the node and with the token that opened them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::http::{HeaderMap, header};
use bc_core::{
    basics::{Digest, lock, random},
    keys::Token,
};
use tokio::time::Instant;

use crate::paths::PREFIX;

/// What a cookie's name begins with. The node's mark follows: browsers keep cookies by host and not by port, and
/// two nodes may be reached through the same name.
const COOKIE: &str = "gocd-bc-";
/// Goes before that over TLS: browsers then insist on encryption (RFC 6265bis). The other name is free for the
/// same host's plain port, where they would not let a cookie replace a secure one.
const SECURE: &str = "__Secure-";
/// Life of a session, from its login.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at once; the oldest goes when there would be more.
const MOST: usize = 100;

/// All sessions of a node. Only digests of their ids are kept.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    cookie: Arc<str>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    /// The token that opened them: a digest of what it sends.
    token: Option<Digest>,
    begun: HashMap<Digest, Instant>,
}

impl Sessions {
    /// Makes the table of people's sessions, which is empty, on the node with this id.
    pub(crate) fn new(node_id: &str) -> Self {
        let mark: String = Digest::of(node_id.as_bytes()).to_string().chars().take(8).collect();
        Self {
            cookie: format!("{COOKIE}{mark}").into(),
            table: Arc::default(),
        }
    }

    /// Begins a session for a person who has shown `token`, and returns the value of the `Set-Cookie` header. None when
    /// the operating system has no random bytes.
    pub(crate) fn begin(&self, token: &Token, encrypted: bool) -> Option<String> {
        let id = format!("{}{}", random::hex_id().ok()?, random::hex_id().ok()?);
        let mut table = self.table();
        table.drop_ended(token);
        if table.begun.len() >= MOST
            && let Some(oldest) = table.begun.iter().min_by_key(|(_, begun)| **begun).map(|(id, _)| *id)
        {
            table.begun.remove(&oldest);
        }
        table.begun.insert(Digest::of(id.as_bytes()), Instant::now());
        Some(self.cookie(&id, LIFE, encrypted))
    }

    /// Whether these headers carry a session of the dashboard that this token opened.
    pub(crate) fn is_open(&self, headers: &HeaderMap, token: &Token) -> bool {
        let mut table = self.table();
        table.drop_ended(token);
        self.ids(headers).any(|id| table.begun.contains_key(&id))
    }

    /// Ends the session of the dashboard in these headers, and returns the `Set-Cookie` header that forgets it.
    pub(crate) fn end(&self, headers: &HeaderMap, encrypted: bool) -> String {
        let mut table = self.table();
        for id in self.ids(headers) {
            table.begun.remove(&id);
        }
        self.cookie("", Duration::ZERO, encrypted)
    }

    /// The table of sessions, locked.
    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// The cookie of a session with this life.
    fn cookie(&self, id: &str, life: Duration, encrypted: bool) -> String {
        let (before, after) = if encrypted { (SECURE, "; Secure") } else { ("", "") };
        format!(
            "{before}{}={id}; Path={PREFIX}; HttpOnly; SameSite=Strict; Max-Age={}{after}",
            self.cookie,
            life.as_secs()
        )
    }

    /// The digests of the session ids in our cookies. A browser may send several of them.
    fn ids<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = Digest> + 'a {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| name.strip_prefix(SECURE).unwrap_or(name) == &*self.cookie)
            .map(|(_, id)| Digest::of(id.as_bytes()))
    }
}

impl Table {
    /// Drops the sessions that are too old, and all of them where another token counts now.
    fn drop_ended(&mut self, token: &Token) {
        let now = Digest::of(token.basic_credentials().as_bytes());
        if self.token != Some(now) {
            self.begun.clear();
            self.token = Some(now);
        }
        self.begun.retain(|_, begun| begun.elapsed() < LIFE);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn carrying(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().expect("a pair");
        HeaderMap::from_iter([(header::COOKIE, format!("other=1; {pair}").parse().expect("a header"))])
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lives_until_logout_another_token_or_its_age() {
        let (token, other) = (Token::generate().expect("random"), Token::generate().expect("random"));
        let sessions = Sessions::new("one");
        let cookie = sessions.begin(&token, true).expect("random");
        for wanted in [
            "HttpOnly",
            "SameSite=Strict",
            "; Secure",
            "__Secure-gocd-bc-",
            "Path=/go/add-on/business-continuity",
        ] {
            assert!(cookie.contains(wanted), "{cookie}");
        }
        let headers = carrying(&cookie);
        assert!(sessions.is_open(&headers, &token));
        assert!(!sessions.is_open(&HeaderMap::new(), &token));
        assert!(!sessions.is_open(&headers, &other));
        assert!(!sessions.is_open(&headers, &token), "another token ends all sessions");

        let headers = carrying(&sessions.begin(&token, false).expect("random"));
        sessions.end(&headers, false);
        assert!(!sessions.is_open(&headers, &token));

        let headers = carrying(&sessions.begin(&token, false).expect("random"));
        tokio::time::advance(LIFE).await;
        assert!(!sessions.is_open(&headers, &token));
    }

    #[test]
    fn two_nodes_and_both_ports_of_one_get_along_in_one_browser() {
        let token = Token::generate().expect("random");
        let (one, other) = (Sessions::new("one"), Sessions::new("other"));
        let cookies = [(&one, true), (&one, false), (&other, true), (&other, false)]
            .map(|(sessions, encrypted)| sessions.begin(&token, encrypted).expect("random"));
        let pairs = cookies
            .each_ref()
            .map(|cookie| cookie.split(';').next().expect("a pair"));
        let names: HashSet<_> = pairs.iter().map(|pair| pair.split('=').next()).collect();
        assert_eq!(names.len(), 4, "a browser would let one replace another: {pairs:?}");
        assert!(!cookies[1].contains("Secure"), "{}", cookies[1]);

        let all = HeaderMap::from_iter([(header::COOKIE, pairs.join("; ").parse().expect("a header"))]);
        assert!(one.is_open(&all, &token) && other.is_open(&all, &token));
        one.end(&all, true);
        assert!(!one.is_open(&all, &token), "a logout ends what the browser has");
        assert!(other.is_open(&all, &token));
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let (token, sessions) = (Token::generate().expect("random"), Sessions::new("one"));
        let first = carrying(&sessions.begin(&token, true).expect("random"));
        for _ in 0..MOST {
            sessions.begin(&token, true).expect("random");
        }
        assert_eq!(sessions.table().begun.len(), MOST);
        assert!(!sessions.is_open(&first, &token));
    }
}
