//! A connection to GoCD's PostgreSQL that is kept and asked again and again.
//!
//! Whether a server lives is learnt by deadlines of our own alone: the limit of tokio-postgres covers the TCP connection
//! and no more, a limit that the server is told does nothing once it is frozen, and a request to cancel is answered by
//! nobody then. So a connection that has not answered in time is dropped together with its task.

use std::{
    error::Error as StdError,
    io,
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use bc_core::{
    basics::NodeId,
    database::{
        configured::Login,
        facts::{self, Facts, Lock},
        in_hand::{self, InHand},
        look::{COLUMNS, Look, STATEMENT},
        refusal::Refusal,
        url::{Server, TlsMode},
    },
    generation::Epoch,
    role::claim::{self, Holder},
};

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::failure::{causes, described};

mod tls;

/// TCP, TLS and login together.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// One statement.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What the server's list of connections calls us.
const APPLICATION: &str = "gocd-bc";

/// Whether an address is one of this host: only such a one can be bound to.
pub fn is_own_address(address: &IpAddr) -> bool {
    UdpSocket::bind((*address, 0)).is_ok()
}

/// A connection to one server. Dropping it closes it.
pub struct Connection {
    client: Client,
    /// Carries what `client` sends and receives.
    task: JoinHandle<()>,
}

impl Connection {
    /// Logs in at GoCD's database server `server`, one of those that `login` names.
    ///
    /// # Errors
    /// Why nobody let us in; [`Refusal::Silent`] after three seconds.
    pub async fn open(login: &Login, server: &Server) -> Result<Self, Refusal> {
        Self::open_at(login, server, &[]).await
    }

    /// Logs in at GoCD's database server `server`, whose host has these addresses; without any the name is looked up.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_at(login: &Login, server: &Server, addresses: &[IpAddr]) -> Result<Self, Refusal> {
        Self::connect(login, &config(login, server, addresses)).await
    }

    /// Connects to GoCD's database with this configuration, and logs in.
    async fn connect(login: &Login, config: &Config) -> Result<Self, Refusal> {
        let tls = MakeRustlsConnect::new(tls::config(login));
        let connecting = async {
            let (client, connection) = config.connect(tls).await.map_err(|error| refusal(&error))?;
            let task = tokio::spawn(async move {
                // Whoever asks next hears of it.
                drop(connection.await);
            });
            Ok(Self { client, task })
        };
        timeout(CONNECT_WITHIN, connecting)
            .await
            .unwrap_or(Err(Refusal::Silent))
    }

    /// Asks GoCD's database server what it is, and where it is.
    ///
    /// # Errors
    /// Why it does not say; [`Refusal::Silent`] after two seconds. The connection is of no use then.
    pub async fn look(&self) -> Result<Look, Refusal> {
        let messages = match self.ask(STATEMENT).await {
            Err(Refusal::Other(code)) => return Err(self.who_runs_it().await.unwrap_or(Refusal::Other(code))),
            asked => asked?,
        };
        let row = row(&messages, COLUMNS)?;
        let texts: Vec<Option<&str>> = (0..COLUMNS).map(|column| row.get(column)).collect();
        Look::of(&texts).map_err(|column| Refusal::Other(format!("no answer in column {column}")))
    }

    /// Says who runs GoCD's database server, which does not tell where its log is; none where nobody is known to.
    async fn who_runs_it(&self) -> Option<Refusal> {
        let messages = self.ask(&facts::who_runs_it()).await.ok()?;
        let signs = row(&messages, 1).ok()?.get(0).and_then(Facts::of)?;
        Some(Refusal::Managed(signs.platform()?))
    }

    /// Asks GoCD's database server of version `version` what changes seldom; none where it does not know all that is
    /// asked.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn facts(&self, version: u32) -> Result<Option<Facts>, Refusal> {
        match self.ask(&facts::statement(version)).await {
            Ok(messages) => Ok(row(&messages, 1)?.get(0).and_then(Facts::of)),
            Err(Refusal::Other(_)) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Asks whether the lock of GoCD's migrations in `table` is held ([`Facts::lock_table`]); none also while somebody
    /// changes that table.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn lock(&self, table: &str) -> Result<Option<Lock>, Refusal> {
        let asked = timeout(ANSWER_WITHIN, self.client.simple_query(&facts::lock_statements(table))).await;
        match asked.map_err(|_| Refusal::Silent)? {
            // The lock has a row only once GoCD has begun to migrate.
            Ok(messages) => Ok(row(&messages, 2).ok().and_then(|row| Lock::of(row.get(0), row.get(1)))),
            Err(error) if error.as_db_error().is_some() => self.ask("rollback").await.map(|_| None),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// Takes the lock of a running primary in GoCD's database, under the id of this node, unless somebody has it. Once in each
    /// session: PostgreSQL counts.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn take_lock(&self, node_id: &NodeId) -> Result<bool, Refusal> {
        self.ask(&claim::introduce(node_id)).await?;
        let messages = self.ask(claim::LOCK).await?;
        Ok(row(&messages, 1)?.get(0) == Some("t"))
    }

    /// Asks who has the lock of a running primary in GoCD's database, as the node with this id sees it.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn lock_holder(&self, own_node_id: &NodeId) -> Result<Holder, Refusal> {
        let messages = self.ask(claim::HOLDER).await?;
        Ok(Holder::of(row(&messages, 1)?.get(0), own_node_id))
    }

    /// Asks for the epoch in GoCD's database; none where no node has written one, or where it is not ours to read.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn epoch(&self) -> Result<Option<claim::Row>, Refusal> {
        if !self.has_table().await? {
            return Ok(None);
        }
        match self.ask(claim::READ).await {
            Ok(messages) => Ok(row(&messages, 3)
                .ok()
                .and_then(|row| claim::Row::of(row.get(0), row.get(1), row.get(2)))),
            Err(Refusal::Other(_)) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes the epoch of the node with this id into GoCD's database, unless a higher one is there. False where this user may
    /// not.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn write_epoch(&self, epoch: &Epoch, node_id: &NodeId) -> Result<bool, Refusal> {
        let is_there = self.has_table().await?;
        match self.ask(&claim::write(epoch, node_id, is_there)).await {
            Ok(_) => Ok(true),
            Err(Refusal::Other(_)) => self.ask("rollback").await.map(|_| false),
            Err(refusal) => Err(refusal),
        }
    }

    /// Asks whether the table of the epoch is in GoCD's database; not where its schema is somebody else's.
    async fn has_table(&self) -> Result<bool, Refusal> {
        match self.ask(claim::READ_TABLE).await {
            Ok(messages) => Ok(row(&messages, 1)?.get(0) == Some("t")),
            Err(Refusal::Other(_)) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// Has GoCD's database carry out one statement within so long; returns the first column of its row, where it has one.
    ///
    /// # Errors
    /// As [`Connection::look`].
    pub async fn run(&self, statement: &str, within: Duration) -> Result<Option<String>, Refusal> {
        let ran = timeout(within, self.client.simple_query(statement)).await;
        let messages = ran.map_err(|_| Refusal::Silent)?.map_err(|error| refusal(&error))?;
        Ok(row(&messages, 1).ok().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Asks GoCD's database what GoCD has in its hands.
    ///
    /// # Errors
    /// As [`Connection::look`]. The connection is of no use then.
    pub async fn in_hand(&self) -> Result<InHand, Refusal> {
        let messages = self.ask(&in_hand::statements()).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column)).collect()),
            _ => None,
        });
        InHand::of::<'_>(rows).map_err(Refusal::Other)
    }

    /// Asks GoCD's database one statement, in time.
    async fn ask(&self, statement: &str) -> Result<Vec<SimpleQueryMessage>, Refusal> {
        let answer = timeout(ANSWER_WITHIN, self.client.simple_query(statement)).await;
        answer.map_err(|_| Refusal::Silent)?.map_err(|error| refusal(&error))
    }
}

/// Whether what answers at GoCD's database server `server` is PgBouncer: it takes no options with a login, which
/// PostgreSQL does.
pub async fn is_pooler(login: &Login, server: &Server, addresses: &[IpAddr]) -> bool {
    let mut config = config(login, server, addresses);
    config.options("-c geqo=on");
    // protocol_violation
    matches!(Connection::connect(login, &config).await, Err(Refusal::Other(code)) if code == "08P01")
}

/// The one row that GoCD's database answers with; it must have so many columns.
fn row(messages: &[SimpleQueryMessage], columns: usize) -> Result<&SimpleQueryRow, Refusal> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) if row.len() == columns => Some(row),
        _ => None,
    });
    row.ok_or_else(|| Refusal::Other("no row".to_owned()))
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How tokio-postgres is to connect to GoCD's database.
fn config(login: &Login, server: &Server, addresses: &[IpAddr]) -> Config {
    let mut config = Config::new();
    match &login.url.socket {
        #[cfg(unix)]
        Some(socket) => {
            // PostgreSQL's own name for it, `.s.PGSQL.<port>`, is made of folder and port.
            let port = socket.extension().and_then(|port| port.to_str()?.parse().ok());
            config.host_path(socket.parent().unwrap_or(socket));
            config.port(port.unwrap_or(server.port));
        }
        _ if addresses.is_empty() => {
            config.host(&server.host).port(server.port);
        }
        _ => {
            // The name is what a certificate is checked against.
            for address in addresses {
                config.host(&server.host).hostaddr(*address).port(server.port);
            }
        }
    }
    config
        .user(&login.user)
        .dbname(login.database())
        .application_name(APPLICATION)
        .ssl_mode(match login.url.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Allow | TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        })
        .connect_timeout(CONNECT_WITHIN)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(10));
    if !login.password().is_empty() {
        config.password(login.password());
    }
    config
}

/// Says why GoCD's database cannot be asked, by an error of tokio-postgres. Its own words are for those who program
/// with it, and reach nobody.
fn refusal(error: &tokio_postgres::Error) -> Refusal {
    if let Some(code) = error.code() {
        return Refusal::of_code(code.code());
    }
    for cause in causes(error) {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Refusal::Tls(described(error).to_owned());
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            let inner = error.get_ref().map(|inner| inner as &(dyn StdError + 'static));
            if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return Refusal::Tls(described(error).to_owned());
            }
            return match error.kind() {
                io::ErrorKind::TimedOut => Refusal::Silent,
                // So the standard library begins what the resolver says.
                _ if error.to_string().starts_with("failed to lookup address") => Refusal::NoSuchHost,
                _ => Refusal::Unreachable(error.to_string()),
            };
        }
    }
    if error.is_closed() {
        return Refusal::Ending;
    }
    let words = |words: &str| causes(error).any(|cause| cause.to_string().contains(words));
    if words("password missing") {
        Refusal::Password
    } else if words("TLS") {
        Refusal::Tls("it has no TLS, and db.url asks for it".to_owned())
    } else {
        Refusal::Unreachable("its name leads nowhere, or what answers there is no PostgreSQL".to_owned())
    }
}
