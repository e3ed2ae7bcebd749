//! Sessions of people who logged in: in memory, gone with the node and with the token that opened them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, header};
use bc_core::{digest::Digest, random, token::Token};
use tokio::time::Instant;

use crate::routes::PREFIX;

/// The cookie's name.
const COOKIE: &str = "gocd-bc-session";
/// Life of a session, from its login.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at once; the oldest goes when there would be more.
const MOST: usize = 100;

/// All sessions of a node. Only digests of their ids are kept.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// The token that opened them: a digest of what it sends.
    token: Option<Digest>,
    begun: HashMap<Digest, Instant>,
}

impl Sessions {
    /// Begins a session for somebody who has shown `token`, and returns the value of the `Set-Cookie` header.
    /// None when the operating system has no random bytes.
    pub fn begin(&self, token: &Token, encrypted: bool) -> Option<String> {
        let id = format!("{}{}", random::hex_id().ok()?, random::hex_id().ok()?);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.settle(token);
        if table.begun.len() >= MOST
            && let Some(oldest) = table.begun.iter().min_by_key(|(_, begun)| **begun).map(|(id, _)| *id)
        {
            table.begun.remove(&oldest);
        }
        table.begun.insert(Digest::of(id.as_bytes()), Instant::now());
        Some(cookie(&id, LIFE, encrypted))
    }

    /// Whether these headers carry a session that this token opened.
    pub fn is_open(&self, headers: &HeaderMap, token: &Token) -> bool {
        let Some(id) = session_id(headers) else { return false };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.settle(token);
        table.begun.contains_key(&Digest::of(id.as_bytes()))
    }

    /// Ends the session of these headers, and returns the value of a `Set-Cookie` header that forgets it.
    pub fn end(&self, headers: &HeaderMap, encrypted: bool) -> String {
        if let Some(id) = session_id(headers) {
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            table.begun.remove(&Digest::of(id.as_bytes()));
        }
        cookie("", Duration::ZERO, encrypted)
    }
}

impl Table {
    /// Drops what is too old or was opened by another token.
    fn settle(&mut self, token: &Token) {
        let now = Digest::of(token.basic_credentials().as_bytes());
        if self.token != Some(now) {
            self.begun.clear();
            self.token = Some(now);
        }
        self.begun.retain(|_, begun| begun.elapsed() < LIFE);
    }
}

fn cookie(id: &str, life: Duration, encrypted: bool) -> String {
    let secure = if encrypted { "; Secure" } else { "" };
    format!(
        "{COOKIE}={id}; Path={PREFIX}; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        life.as_secs()
    )
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrying(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().expect("a pair");
        HeaderMap::from_iter([(header::COOKIE, format!("other=1; {pair}").parse().expect("a header"))])
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lives_until_logout_another_token_or_its_age() {
        let (token, other) = (Token::generate().expect("random"), Token::generate().expect("random"));
        let sessions = Sessions::default();
        let cookie = sessions.begin(&token, true).expect("random");
        for wanted in [
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
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
}
