//! Who may ask: the one place where our HTTP faces compare credentials.
//!
//! Right credentials are admitted at once, always. Wrong ones are answered later and later, by address, until a
//! right pair comes from there (several nodes may share an address behind a proxy). Somebody without
//! credentials is told to bring some, without delay: browsers and the old standby ask like that first.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bc_core::token::Token;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::listener::Connection;

/// The realm of our Basic authentication, that of the original product.
pub const CHALLENGE: &str = "Basic realm=\"GoCD Business Continuity\"";

/// Admits who has the token. Clones share their memory of wrong attempts.
#[derive(Debug, Clone)]
pub struct Gate {
    token: watch::Receiver<Option<Token>>,
    attempts: Arc<Attempts>,
}

impl Gate {
    /// A gate for the token of the moment; while there is none, nobody is admitted.
    pub fn new(token: watch::Receiver<Option<Token>>) -> Self {
        Self {
            token,
            attempts: Arc::default(),
        }
    }

    /// Whether these credentials are right. A wrong pair from `address` is told so only after a while that
    /// doubles up to [`LONGEST_DELAY`].
    pub async fn admits(&self, user: &str, password: &str, address: Option<IpAddr>) -> bool {
        let right = self
            .token
            .borrow()
            .as_ref()
            .is_some_and(|token| token.matches(user, password));
        if right {
            self.attempts.forget(address);
        } else {
            sleep(self.attempts.delay_after_wrong(address)).await;
        }
        right
    }
}

/// The longest time after which wrong credentials are refused.
pub const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// User and password of an `Authorization: Basic` header; none without one or when it is malformed.
pub fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    // Java clients send Latin-1 where the password is not ASCII.
    let pair =
        String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What everybody hears who is not admitted, whatever the reason: the original product's words.
pub fn refusal() -> Response {
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, CHALLENGE)],
        "bad credentials!",
    )
        .into_response()
}

/// Middleware: only requests with the token pass, and prove their connection.
pub async fn require_token(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>().cloned();
    let address = connection.as_ref().map(|connection| connection.peer().ip());
    let Some((user, password)) = basic_credentials(request.headers()) else {
        return refusal();
    };
    if !gate.admits(&user, &password, address).await {
        return refusal();
    }
    if let Some(connection) = connection {
        connection.mark_proven();
    }
    next.run(request).await
}

/// Wrong attempts of late, by address.
#[derive(Debug, Default)]
struct Attempts {
    by_address: Mutex<HashMap<Option<IpAddr>, Wrong>>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

/// Addresses remembered at most.
const MAX_ADDRESSES: usize = 1024;

/// After this long without one, wrong attempts are forgotten.
const MEMORY: Duration = Duration::from_secs(300);

impl Attempts {
    fn forget(&self, address: Option<IpAddr>) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wrong) = by_address.remove(&address) {
            tracing::info!(
                "right credentials from {} after {} wrong ones",
                name(address),
                wrong.count
            );
        }
    }

    fn delay_after_wrong(&self, address: Option<IpAddr>) -> Duration {
        let now = Instant::now();
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.len() >= MAX_ADDRESSES && !by_address.contains_key(&address) {
            by_address.retain(|_, wrong| now.duration_since(wrong.last) < MEMORY);
            let oldest = by_address
                .iter()
                .min_by_key(|(_, wrong)| wrong.last)
                .map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| by_address.len() >= MAX_ADDRESSES) {
                by_address.remove(&oldest);
            }
        }
        let wrong = by_address.entry(address).or_insert(Wrong { count: 0, last: now });
        if now.duration_since(wrong.last) >= MEMORY {
            wrong.count = 0;
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        if wrong.count == 1 {
            // Once a burst; the credentials themselves never reach a log.
            tracing::warn!("wrong credentials from {}", name(address));
        }
        (Duration::from_millis(100) * 2_u32.pow((wrong.count - 1).min(10))).min(LONGEST_DELAY)
    }
}

fn name(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn gate() -> Gate {
        let token = Token::parse(b"user = secret", Path::new("token")).expect("valid");
        Gate::new(watch::Sender::new(Some(token)).subscribe())
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_credentials_wait_and_right_ones_never_do() {
        let gate = gate();
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        let mut delays = Vec::new();
        for _ in 0..8 {
            let asked = Instant::now();
            assert!(!gate.admits("user", "guess", address).await);
            delays.push(asked.elapsed().as_millis());
        }
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let asked = Instant::now();
        assert!(gate.admits("user", "secret", address).await);
        assert_eq!(asked.elapsed(), Duration::ZERO);
        assert!(!gate.admits("user", "guess", address).await);
        assert_eq!(asked.elapsed().as_millis(), 100, "the right pair cleared the back-off");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_of_strangers_is_bounded() {
        let gate = gate();
        for number in 0..3000_u32 {
            gate.attempts
                .delay_after_wrong(Some(IpAddr::from(number.to_be_bytes())));
        }
        assert_eq!(
            gate.attempts.by_address.lock().expect("not poisoned").len(),
            MAX_ADDRESSES
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_admitted_without_a_token() {
        let gate = Gate::new(watch::Sender::new(None).subscribe());
        assert!(!gate.admits("", "", None).await);
    }

    #[test]
    fn credentials_are_read_from_basic_headers_alone() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("header"))]);
            basic_credentials(&headers)
        };
        assert_eq!(read("basic dTpwOnE="), Some(("u".to_owned(), "p:q".to_owned())));
        assert_eq!(read("Basic dTr8"), Some(("u".to_owned(), "ü".to_owned())), "Latin-1");
        for malformed in ["Bearer dTpw", "Basic", "Basic !!", "Basic dXA="] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }
}
