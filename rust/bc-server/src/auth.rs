//! Who may ask: the one place where our HTTP faces compare credentials.
//!
//! Right credentials are admitted at once, always. Wrong ones are answered later and later, by address, until a
//! right pair comes from there (several nodes may share an address behind a proxy). Somebody without
//! credentials is told to bring some, without delay: browsers and the old standby ask like that first. Both are
//! noted in the [`RejectionLog`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bc_core::{
    basics::{Network, lock},
    keys::Token,
    status::Rejection,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{credentials::basic_credentials, listener::Connection, rejection_log::RejectionLog};

/// The realm of our Basic authentication, that of the original product.
pub(crate) const CHALLENGE: &str = "Basic realm=\"GoCD Business Continuity\"";

/// Admits who has the token. Clones share their memory of wrong attempts.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    token: watch::Receiver<Option<Token>>,
    attempts: Arc<Attempts>,
    rejections: RejectionLog,
}

impl Gate {
    /// Makes the gate that admits whoever has the token of the moment; while there is none, nobody is admitted.
    pub(crate) fn new(token: watch::Receiver<Option<Token>>, rejections: RejectionLog) -> Self {
        Self {
            token,
            attempts: Arc::default(),
            rejections,
        }
    }

    /// Whether this user and password are those of the token. A wrong pair from `address` is told so only after a while
    /// that doubles up to [`LONGEST_DELAY`].
    pub(crate) async fn admits(&self, user: &str, password: &str, address: IpAddr) -> bool {
        let right = self
            .token
            .borrow()
            .as_ref()
            .is_some_and(|token| token.matches(user, password));
        if right {
            self.attempts.forget(address);
            self.rejections.admitted(address);
        } else {
            self.rejections.note(Rejection::WrongCredentials, address);
            sleep(self.attempts.delay_after_wrong(address)).await;
        }
        right
    }

    /// Makes and notes the 401 for a request with no credentials, or with something that is none.
    pub(crate) fn asks_for_credentials(&self, address: IpAddr) -> Response {
        self.rejections.note(Rejection::NoCredentials, address);
        refusal()
    }
}

/// The longest time after which wrong credentials are refused. Nodes wait 4 s for each other: one with a wrong token is to
/// hear that it is refused, and not to take its peer for silent.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Makes the 401 for everybody who is not admitted, whatever the reason: the original product's words.
pub(crate) fn refusal() -> Response {
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, CHALLENGE)],
        "bad credentials!",
    )
        .into_response()
}

/// Middleware of the port: only requests with the token pass, and prove their connection.
pub(crate) async fn require_token(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let address = connection.peer().ip();
    let Some((user, password)) = basic_credentials(request.headers()) else {
        return gate.asks_for_credentials(address);
    };
    if !gate.admits(&user, &password, address).await {
        return refusal();
    }
    connection.mark_proven();
    next.run(request).await
}

/// Wrong attempts of late, by network.
#[derive(Debug, Default)]
struct Attempts {
    by_network: Mutex<HashMap<Network, Wrong>>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

/// Networks remembered at most.
const MAX_NETWORKS: usize = 1024;

/// After this long without one, wrong attempts are forgotten.
const MEMORY: Duration = Duration::from_secs(300);

impl Attempts {
    /// Forgets the wrong credentials that came from this network, since right ones have come.
    fn forget(&self, address: IpAddr) {
        self.by_network().remove(&Network::of(address));
    }

    /// Counts wrong credentials from this network, and says how long their refusal waits.
    fn delay_after_wrong(&self, address: IpAddr) -> Duration {
        let (now, network) = (Instant::now(), Network::of(address));
        let mut by_network = self.by_network();
        if by_network.len() >= MAX_NETWORKS && !by_network.contains_key(&network) {
            by_network.retain(|_, wrong| now.duration_since(wrong.last) < MEMORY);
            let oldest = by_network
                .iter()
                .min_by_key(|(_, wrong)| wrong.last)
                .map(|(network, _)| *network);
            if let Some(oldest) = oldest.filter(|_| by_network.len() >= MAX_NETWORKS) {
                by_network.remove(&oldest);
            }
        }
        let wrong = by_network.entry(network).or_insert(Wrong { count: 0, last: now });
        if now.duration_since(wrong.last) >= MEMORY {
            wrong.count = 0;
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        (Duration::from_millis(100) * 2_u32.pow((wrong.count - 1).min(10))).min(LONGEST_DELAY)
    }

    /// The wrong credentials of each network, locked.
    fn by_network(&self) -> MutexGuard<'_, HashMap<Network, Wrong>> {
        lock(&self.by_network)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bc_core::{
        basics::SystemClock,
        generation::Role,
        status::{Phase, Status, StatusBoard},
    };

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn gate_for(token: Option<Token>) -> Gate {
        let board = StatusBoard::new(
            Status::new("node", Role::Primary, Phase::Running, 0),
            Arc::new(SystemClock),
        );
        Gate::new(
            watch::Sender::new(token).subscribe(),
            RejectionLog::new(Arc::new(board)),
        )
    }

    fn gate() -> Gate {
        gate_for(Some(Token::parse(b"user = secret", Path::new("token")).expect("valid")))
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_credentials_wait_and_right_ones_never_do() {
        let gate = gate();
        let mut delays = Vec::new();
        for _ in 0..8 {
            let asked = Instant::now();
            assert!(!gate.admits("user", "guess", ADDRESS).await);
            delays.push(asked.elapsed().as_millis());
        }
        assert_eq!(delays, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        let asked = Instant::now();
        assert!(gate.admits("user", "secret", ADDRESS).await);
        assert_eq!(asked.elapsed(), Duration::ZERO);
        assert!(!gate.admits("user", "guess", ADDRESS).await);
        assert_eq!(asked.elapsed().as_millis(), 100, "the right pair cleared the back-off");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_of_strangers_is_bounded() {
        let gate = gate();
        for number in 0..3000_u32 {
            gate.attempts.delay_after_wrong(IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(gate.attempts.by_network().len(), MAX_NETWORKS);
    }

    #[tokio::test(start_paused = true)]
    async fn one_stranger_with_many_addresses_is_one_stranger() {
        let gate = gate();
        for last in 1..=3 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
            assert!(!gate.admits("user", "guess", address).await);
        }
        let asked = Instant::now();
        let neighbour = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9]);
        assert!(!gate.admits("user", "guess", neighbour).await);
        assert_eq!(asked.elapsed().as_millis(), 800);
    }

    #[tokio::test(start_paused = true)]
    async fn right_credentials_from_a_besieged_address_wait_for_nobody() {
        let gate = gate();
        let besieged: Vec<_> = (0..200)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.admits("user", "guess", ADDRESS).await })
            })
            .collect();
        sleep(Duration::from_millis(1)).await;
        let asked = Instant::now();
        assert!(gate.admits("user", "secret", ADDRESS).await);
        assert_eq!(asked.elapsed(), Duration::ZERO);
        for attempt in besieged {
            assert!(!attempt.await.expect("ends"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_admitted_without_a_token() {
        assert!(!gate_for(None).admits("", "", ADDRESS).await);
    }
}
