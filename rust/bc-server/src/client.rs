//! A standby's connection to its primary: [`Transport`] over HTTPS.
//!
//! Nothing but the primary's own answer is ever followed: no redirect, no proxy of the environment, no
//! compression, HTTP/1.1 alone. The token goes out only on a connection whose handshake [`Verifier`] has let
//! pass, or in the clear to a loopback address, which is all that [`PrimaryUrl`] permits. A connection lives no longer
//! than the trust under which it was opened: once that is another, no request goes out on it, and no answer that comes
//! over it counts. Who answers with a manifest must hold the key of the node that it says it is, and who answers to a
//! report that of the node that is followed.
//!
//! An answer that is not a primary's is called what it is (`answer`), and so is a port that does not speak TLS
//! (`not_tls`): after each failed handshake the greeting of TLS is sent once more to see what comes back. The puller's
//! back-off bounds how often.
//!
//! The address that the administrator wrote may stand for two ports ([`PrimaryUrl::candidates`]). Both are tried
//! until one has answered in our protocol; from then on only that one.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bc_core::{
    basics::{Digest, Error, Fingerprint, Kind, NodeId, lock, words},
    database::position::Told,
    generation::{Envelope, KeyHolder, ManifestDocument, Run, concern, delta},
    keys::{Token, trust::Judge},
    settings::PrimaryUrl,
    standby::{ManifestReply, PeerKey, Transport},
    status::{Report, ReportReply, StatusBoard},
};
use bytes::Bytes;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, RANGE},
    redirect::Policy,
    tls::TlsInfo,
};
use rustls_pki_types::CertificateDer;
use tokio::{sync::watch, time::timeout};

use crate::{
    paths::PREFIX,
    routes::{CONCERNS_HEADER, ENVELOPE_HEADER, VERIFIES_HEADER},
    tls::{
        client::{TrustSource, Verifier, config},
        fingerprint_of_certificate,
        node_key::NodeKey,
    },
};

mod answer;
mod failure;
mod not_tls;
mod own_key;
pub(crate) mod site;
mod who;
mod whole_status;

use answer::refused;
use failure::{Failure, broke_off, no_answer, not_ours};

/// The longest answer to where a database is that is read.
const MAX_POSITION: usize = 16 * 1024;

/// The largest manifest that is read.
const MAX_MANIFEST: usize = 16 * 1024 * 1024;

/// The longest tag of a primary's concerns, in characters.
const MAX_TAG: usize = 64;

/// The longest wait for a TCP connection and the TLS handshake.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// An idle connection is given up before the primary closes it (`listener::Limits::head`).
const KEEP_IDLE: Duration = Duration::from_secs(5);

/// Speaks to one primary.
pub struct HttpTransport {
    candidates: Vec<Candidate>,
    /// Which of them answered first as a primary: from then on no other is asked.
    answered: OnceLock<usize>,
    trust: TrustSource,
    token: watch::Receiver<Option<Token>>,
    timeout: Duration,
    /// The judge under which the open connections were opened.
    judged: Mutex<Option<Judge>>,
    /// The tag of the concerns that the primary told last.
    concerns: Mutex<Option<HeaderValue>>,
    /// What this node shows, where it shows anything.
    key: Option<Arc<NodeKey>>,
    /// Which run of which node this is.
    holder: Option<KeyHolder>,
    /// Has the epoch of this node, which whoever is asked who it is is told.
    board: Option<Arc<StatusBoard>>,
}

/// One address that may be the primary's port.
struct Candidate {
    base: String,
    is_secure: bool,
    http: Mutex<Client>,
    verifier: Arc<Verifier>,
    connection_timeout: Duration,
}

impl HttpTransport {
    /// Makes a transport to the primary at `url`, for a node whose own key is `own`, which it does not show.
    /// `connection_timeout` is the longest wait for the primary's next byte, beyond what a long poll was asked to wait.
    ///
    /// # Errors
    /// [`Kind::Setting`] when the operating system lets no client be made.
    pub fn new(
        url: &PrimaryUrl,
        own: Fingerprint,
        trust: TrustSource,
        token: watch::Receiver<Option<Token>>,
        connection_timeout: Duration,
    ) -> Result<Self, Error> {
        let verifier = || Verifier::new(Arc::clone(&trust), own);
        Self::with(url, verifier, Arc::clone(&trust), token, connection_timeout)
    }

    /// Makes a transport to the primary for a node that shows `key`, as its client certificate.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn of_node(
        url: &PrimaryUrl,
        key: &Arc<NodeKey>,
        trust: TrustSource,
        token: watch::Receiver<Option<Token>>,
        connection_timeout: Duration,
    ) -> Result<Self, Error> {
        let verifier = || Verifier::of_node(Arc::clone(&trust), Arc::clone(key));
        let transport = Self::with(url, verifier, Arc::clone(&trust), token, connection_timeout)?;
        Ok(Self {
            key: Some(Arc::clone(key)),
            ..transport
        })
    }

    /// Gives a transport the run and the id of its node: a copy of its server, and another node with its key, are told
    /// from itself.
    #[must_use]
    pub fn by(self, run: &Run, node_id: &NodeId) -> Self {
        Self {
            holder: Some(KeyHolder {
                run: run.clone(),
                node_id: Some(node_id.clone()),
            }),
            ..self
        }
    }

    /// Has a transport tell whomever it asks who it is which epoch this node has: one that was replaced asks back at once.
    #[must_use]
    pub fn telling(self, board: &Arc<StatusBoard>) -> Self {
        Self {
            board: Some(Arc::clone(board)),
            ..self
        }
    }

    /// Leaves a transport the address alone that its URL says, and no other port of that host.
    #[must_use]
    pub fn at_its_port_alone(mut self) -> Self {
        self.candidates.truncate(1);
        self
    }

    /// Makes a transport to each address that may be the primary's, with a verifier for each.
    fn with(
        url: &PrimaryUrl,
        verifier: impl Fn() -> Arc<Verifier>,
        trust: TrustSource,
        token: watch::Receiver<Option<Token>>,
        connection_timeout: Duration,
    ) -> Result<Self, Error> {
        let candidates = url
            .candidates()
            .into_iter()
            .map(|base| Candidate::new(base, url, verifier(), connection_timeout))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            candidates,
            answered: OnceLock::new(),
            trust,
            token,
            timeout: connection_timeout,
            judged: Mutex::new(None),
            concerns: Mutex::default(),
            key: None,
            holder: None,
            board: None,
        })
    }

    /// The key that the primary showed this transport last, accepted or not; none before the first handshake.
    pub fn seen(&self) -> Option<Fingerprint> {
        match self.answered.get() {
            Some(&index) => self.candidates[index].verifier.seen(),
            None => self.candidates.iter().find_map(|candidate| candidate.verifier.seen()),
        }
    }

    /// The address at which this transport found a primary; none before one answered.
    pub fn answering_address(&self) -> Option<&str> {
        self.answered.get().map(|&index| self.candidates[index].base.as_str())
    }

    /// The address that is asked for a digest: one comes from a manifest, so an address has answered.
    fn followed(&self) -> &Candidate {
        &self.candidates[self.answered.get().copied().unwrap_or(0)]
    }

    /// Reads whom this transport trusts at this moment. Connections that were opened under another one are given up.
    fn current_judge(&self) -> Result<Judge, Error> {
        let judge = (self.trust)();
        let mut judged = lock(&self.judged);
        if judged.as_ref() != Some(&judge) {
            if judged.is_some() {
                self.candidates.iter().try_for_each(Candidate::forget_connections)?;
            }
            *judged = Some(judge.clone());
        }
        Ok(judge)
    }

    /// Judges whether the holder of the key `shown` may answer as the node `node_id`; in the clear nobody shows a key.
    fn judge_node(&self, shown: Option<Fingerprint>, node_id: &str) -> Result<(), Error> {
        shown.map_or(Ok(()), |shown| (self.trust)().node(&shown, node_id))
    }

    /// Makes the `Authorization` header of requests to the primary from the token of the moment.
    fn credentials(&self) -> Result<HeaderValue, Error> {
        let token = self.token.borrow();
        let token = token.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Setting,
                "there is no valid token on this node",
                "Copy the file business-continuity-token from the primary's configuration folder.",
            )
        })?;
        let mut header = HeaderValue::try_from(token.basic_credentials()).expect("base64 makes a header");
        header.set_sensitive(true);
        Ok(header)
    }

    /// Asks one address for the primary's manifest, for as long as `wait`, and judges who answers.
    async fn ask_for_manifest(
        &self,
        candidate: &Candidate,
        known: Option<Digest>,
        wait: Duration,
    ) -> Result<ManifestReply, Failure> {
        let seconds = wait.as_millis().div_ceil(1000);
        let mut request = candidate.get("/api/v2/manifest", self.credentials()?);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, format!("\"{known}\""));
        }
        if let Some(concerns) = &*lock(&self.concerns) {
            request = request.header(CONCERNS_HEADER, concerns);
        }
        if seconds > 0 {
            // Without a known generation it is the first reading of a primary that starts which may be waited for.
            request = request.header("prefer", format!("wait={seconds}"));
        }
        let sent = candidate.send(request, wait + Duration::from_secs(1) + self.timeout);
        let response = match sent.await {
            Ok(response) => response,
            Err(error) => return Err(self.explained(candidate, error).await.into()),
        };
        let shown = key_of(&response)?;
        let concerns = response.headers().get(CONCERNS_HEADER).cloned();
        let heard = || {
            let short = concerns.filter(|concerns| concerns.len() <= MAX_TAG);
            *lock(&self.concerns) = short;
        };
        let address = response.remote_addr().map(|address| address.ip());
        match response.status() {
            StatusCode::OK => {
                let body = self.body(candidate, response, MAX_MANIFEST, "a manifest").await?;
                let mut document = ManifestDocument::parse(&body)?;
                self.judge_node(shown, &document.envelope.node_id)?;
                heard();
                document.envelope.run = document.envelope.run.map(|run| run.at(address));
                Ok(ManifestReply::Changed(document))
            }
            StatusCode::NOT_MODIFIED if known.is_some() => {
                let mut envelope = envelope(candidate, &response)?;
                self.judge_node(shown, &envelope.node_id)?;
                heard();
                envelope.run = envelope.run.map(|run| run.at(address));
                Ok(ManifestReply::Unchanged(envelope))
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                let envelope = envelope(candidate, &response).ok();
                let envelope = envelope.filter(|envelope| {
                    envelope.odd_text().is_none() && self.judge_node(shown, &envelope.node_id).is_ok()
                });
                let said = envelope.and_then(|envelope| concern::said(&envelope.concerns));
                match said {
                    Some(said) => {
                        heard();
                        Err(failure::nothing_yet(&candidate.base, &said))
                    }
                    None => Err(refused(&candidate.base, &response)),
                }
            }
            _ => Err(refused(&candidate.base, &response)),
        }
    }

    /// Sends a standby's report to the primary, and reads its reply; none from one of an earlier version.
    async fn send_report(
        &self,
        candidate: &Candidate,
        report: &Report,
        to: &str,
    ) -> Result<Option<ReportReply>, Error> {
        self.current_judge()?;
        let body = serde_json::to_vec(report).expect("a report has only plain fields");
        let request = candidate
            .http()
            .post(format!("{}{PREFIX}/api/v2/reports", candidate.base))
            .header(AUTHORIZATION, self.credentials()?)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let response = candidate.send(request, self.timeout).await?;
        let shown = key_of(&response)?;
        let address = response.remote_addr().map(|address| address.ip());
        // Another node that is trusted leads nobody: not before its files were found to be those to follow.
        self.judge_node(shown, to)?;
        match response.status() {
            StatusCode::OK => {}
            // A primary of an earlier version.
            StatusCode::NOT_FOUND if answer::is_ours(response.headers()) => return Ok(None),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::INTERNAL_SERVER_ERROR
                if answer::is_ours(response.headers()) =>
            {
                return Err(failure::report_refused(&candidate.base, response, self.timeout).await);
            }
            _ => return Err(refused(&candidate.base, &response).error),
        }
        let body = self.body(candidate, response, MAX_MANIFEST, "an answer").await?;
        let mut reply: ReportReply = serde_json::from_slice(&body).map_err(|error| {
            // It may quote what came.
            let reason = words::shown(&error.to_string(), 200);
            not_ours(&candidate.base, &format!("an answer to a report with {reason}"))
        })?;
        if shown.is_none() {
            // In the clear nobody has proven anything: whoever sits on that port may name no keys.
            reply = ReportReply::default();
        }
        reply.run = reply.run.map(|run| run.at(address));
        Ok(Some(reply))
    }

    /// Asks the primary for an answer that is `what`, `longest` bytes at most; none where the primary has none, or is of
    /// an earlier version.
    async fn ask_if_there(
        &self,
        candidate: &Candidate,
        path: &str,
        longest: usize,
        what: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.current_judge()?;
        let request = candidate.get(path, self.credentials()?);
        let response = candidate.send(request, self.timeout).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND if answer::is_ours(response.headers()) => return Ok(None),
            _ => return Err(refused(&candidate.base, &response).error),
        }
        self.body(candidate, response, longest, what).await.map(Some)
    }

    /// Reads the body of the primary's answer, which is `what`, in time; `longest` bytes at most.
    async fn body(
        &self,
        candidate: &Candidate,
        response: Response,
        longest: usize,
        what: &str,
    ) -> Result<Vec<u8>, Error> {
        timeout(self.timeout, whole_body(candidate, response, longest, what))
            .await
            .map_err(|_| no_answer(&candidate.base, self.timeout))?
    }

    /// Asks the primary over HTTP where its database is and what it is like; none where it does not say, as one of the version before. None
    /// before an address has answered the puller.
    ///
    /// # Errors
    /// It does not answer, or something else answers in its place.
    pub async fn database(&self) -> Result<Option<Told>, Error> {
        let Some(candidate) = self.answered.get().map(|&index| &self.candidates[index]) else {
            return Ok(None);
        };
        let what = "where its database is";
        let body = self
            .ask_if_there(candidate, "/api/v2/database", MAX_POSITION, what)
            .await?;
        // What is not understood is not known.
        Ok(body.and_then(|body| serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Fetches the bytes with this digest from the primary, from `offset` on, into `sink`.
    async fn ask_for_blob(
        &self,
        candidate: &Candidate,
        digest: Digest,
        offset: u64,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send),
    ) -> Result<(), Error> {
        self.current_judge()?;
        let base = &candidate.base;
        let mut request = candidate
            .get(&format!("/api/v2/blobs/{digest}"), self.credentials()?)
            .header(VERIFIES_HEADER, "sha-256");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let mut response = candidate.send(request, self.timeout).await?;
        match response.status() {
            StatusCode::OK if offset == 0 => {}
            StatusCode::PARTIAL_CONTENT if begins_at(&response, offset) => {}
            StatusCode::NOT_FOUND if answer::is_ours(response.headers()) => {
                return Err(Error::new(
                    Kind::Superseded,
                    format!("the primary at {base} no longer has the bytes with the digest {digest}"),
                    "Its next manifest names what it has now.",
                ));
            }
            _ => return Err(refused(base, &response).error),
        }
        loop {
            let piece = timeout(self.timeout, response.chunk())
                .await
                .map_err(|_| no_answer(base, self.timeout))?
                .map_err(|error| broke_off(base, &error))?;
            match piece {
                Some(piece) => sink(&piece)?,
                None => return Ok(()),
            }
        }
    }
}

impl Candidate {
    /// Makes one address that may be the primary's, with an HTTP client of its own.
    fn new(
        base: String,
        url: &PrimaryUrl,
        verifier: Arc<Verifier>,
        connection_timeout: Duration,
    ) -> Result<Self, Error> {
        let is_secure = url.is_secure();
        let http = Mutex::new(client(&base, is_secure, &verifier, connection_timeout)?);
        Ok(Self {
            base,
            is_secure,
            http,
            verifier,
            connection_timeout,
        })
    }

    /// Gives up the open connections to this address: the next request opens one of its own.
    fn forget_connections(&self) -> Result<(), Error> {
        let other = client(&self.base, self.is_secure, &self.verifier, self.connection_timeout)?;
        *lock(&self.http) = other;
        Ok(())
    }

    /// The HTTP client for this address.
    fn http(&self) -> Client {
        lock(&self.http).clone()
    }

    /// A GET request to this address with the token.
    fn get(&self, path: &str, credentials: HeaderValue) -> RequestBuilder {
        self.http()
            .get(format!("{}{PREFIX}{path}", self.base))
            .header(AUTHORIZATION, credentials)
    }

    /// Sends a request to the primary and waits for the head of its answer; another server's answer is an error.
    async fn send(&self, request: RequestBuilder, within: Duration) -> Result<Response, Error> {
        let sent = timeout(within, request.send())
            .await
            .map_err(|_| no_answer(&self.base, within))?;
        match sent {
            Ok(response) => match answer::foreign(&self.base, response.status(), response.headers()) {
                Some(error) => Err(error),
                None => Ok(response),
            },
            Err(error) => {
                let failed = failure::unreachable(&self.base, &error);
                if self.is_secure && failure::may_speak_otherwise(&error) {
                    return Err(not_tls::explained(&self.base, &self.verifier, failed).await);
                }
                Err(failed)
            }
        }
    }
}

impl HttpTransport {
    /// Asks one address after the other for the manifest until one answers as a primary; from then on that one alone.
    async fn ask(&self, known: Option<Digest>, wait: Duration) -> Result<ManifestReply, Error> {
        if let Some(&index) = self.answered.get() {
            let answer = self.ask_for_manifest(&self.candidates[index], known, wait).await;
            return answer.map_err(|failure| failure.error);
        }
        let mut failures = Vec::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            match self.ask_for_manifest(candidate, known, wait).await {
                Ok(reply) => {
                    // A parallel call that heard the same answer is as good.
                    self.answered.get_or_init(|| index);
                    return Ok(reply);
                }
                Err(failure) if failure.is_ours && index == 0 => return Err(failure.error),
                Err(failure) => failures.push((candidate.base.as_str(), failure.error)),
            }
        }
        Err(failure::summed_up(failures))
    }
}

impl Transport for HttpTransport {
    async fn manifest(&self, known: Option<Digest>, wait: Duration) -> Result<ManifestReply, Error> {
        let judge = self.current_judge()?;
        match self.ask(known, wait).await {
            // It came over a connection that was opened when something else decided, and whoever was trusted then says
            // nothing about whom another one leads to.
            Err(error) if error.kind() == Kind::Trust && self.current_judge()? != judge => self.ask(known, wait).await,
            answer => answer,
        }
    }

    fn blob(
        &self,
        digest: Digest,
        offset: u64,
        sink: &mut (dyn FnMut(&[u8]) -> Result<(), Error> + Send),
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.ask_for_blob(self.followed(), digest, offset, sink)
    }

    async fn delta(&self, digest: Digest, former: Digest) -> Result<Option<Bytes>, Error> {
        let path = format!("/api/v2/blobs/{digest}/from/{former}");
        let asked = self.ask_if_there(self.followed(), &path, delta::MAX_LENGTH, "a delta");
        Ok(asked.await?.map(Bytes::from))
    }

    async fn report(&self, report: &Report, to: &str) -> Result<Option<ReportReply>, Error> {
        match self.answered.get() {
            Some(&index) => self.send_report(&self.candidates[index], report, to).await,
            None => Ok(None),
        }
    }

    fn peer_key(&self) -> PeerKey {
        let seen = self.seen();
        PeerKey {
            seen,
            trust: (self.trust)().trust.description().to_owned(),
            is_proven: seen.is_some(),
        }
    }

    fn address(&self) -> Option<String> {
        self.answering_address().map(str::to_owned)
    }
}

/// Makes the HTTP client of a transport: HTTP/1.1 alone, no redirect, no proxy, the key judged by `verifier`.
fn client(
    base: &str,
    is_secure: bool,
    verifier: &Arc<Verifier>,
    connection_timeout: Duration,
) -> Result<Client, Error> {
    let mut builder = Client::builder();
    if !is_secure {
        // Whatever a resolver makes of the name: in the clear nothing leaves this host.
        let own = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        builder = builder.resolve_to_addrs("localhost", &own.map(|address| SocketAddr::new(address, 0)));
    }
    builder
        .tls_backend_preconfigured(config(Arc::clone(verifier)))
        .tls_info(true)
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .connect_timeout(connection_timeout.min(LONGEST_CONNECT))
        .pool_idle_timeout(KEEP_IDLE)
        .user_agent(concat!("gocd-business-continuity/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::new(Kind::Setting, format!("cannot make a client for {base}: {error}"), ""))
}

/// The key that was proven on the very connection over which this HTTP answer came; none in the clear.
fn key_of(response: &Response) -> Result<Option<Fingerprint>, Error> {
    let certificate = response
        .extensions()
        .get::<TlsInfo>()
        .and_then(TlsInfo::peer_certificate);
    certificate
        .map(|der| fingerprint_of_certificate(&CertificateDer::from(der)))
        .transpose()
}

/// Reads the body of the primary's answer, which is `what`, `longest` bytes at most.
async fn whole_body(
    candidate: &Candidate,
    mut response: Response,
    longest: usize,
    what: &str,
) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| broke_off(&candidate.base, &error))?
    {
        if body.len() + piece.len() > longest {
            let longest = longest / (1024 * 1024);
            return Err(not_ours(&candidate.base, &format!("{what} of more than {longest} MiB")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Reads the envelope that the primary sends as a header where its answer has no body.
fn envelope(candidate: &Candidate, response: &Response) -> Result<Envelope, Error> {
    response
        .headers()
        .get(ENVELOPE_HEADER)
        .and_then(|header| serde_json::from_slice(header.as_bytes()).ok())
        .ok_or_else(|| not_ours(&candidate.base, "304 without saying who it is"))
}

/// Whether the primary's partial answer begins at `offset`.
fn begins_at(response: &Response, offset: u64) -> bool {
    response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok())
        .is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}
