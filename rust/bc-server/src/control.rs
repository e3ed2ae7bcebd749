//! The server side of the local socket: how `gocd-bc` talks to a running node.
//!
//! | module | does |
//! |---|---|
//! | this one | one connection: an order in, progress and one reply out |
//! | `rights` | who may give which order |
//! | `who` | who is at the other end, for the audit |
//! | `visitors` | who is connected, and who must make room |
//! | `unix` | `control.sock` in the state folder |
//! | `windows` | a named pipe |
//!
//! A connection carries one [`Order`] on one line and is closed after the last [`Reply`]. Anybody on the machine
//! may connect and ask for the status; orders that change anything are judged by the caller's operating-system
//! user, which the kernel tells us. Nothing of this is reachable from the network.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bc_core::{
    basics::Error,
    node::{
        Order, Reply,
        audit::{Ordered, Who},
    },
};
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Semaphore, mpsc},
    task::{JoinError, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

mod groups;
mod rights;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod visitors;
mod who;
#[cfg(windows)]
mod windows;

pub use rights::Rights;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

use rights::Caller;
use who::Visitor;

use crate::off_worker::OffWorker;

/// The longest order, in bytes.
pub(crate) const MAX_ORDER_SIZE: u64 = 64 * 1024;

/// How long a caller may take to send its order: it has it ready when it connects.
const ORDER_WITHIN: Duration = Duration::from_secs(5);
/// How long a caller may take to read one line of the answer.
const LINE_WITHIN: Duration = Duration::from_secs(5);
/// Callers whose groups are looked up at a time: a directory service may never answer.
const LOOKED_UP_AT_ONCE: usize = 2;
/// How long a caller waits for that.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer waits until its order is written down: no longer than nobody notices.
const NOTED_WITHIN: Duration = Duration::from_millis(50);

/// Carries orders out.
pub trait ControlHandler: Send + Sync + 'static {
    /// Carries out an `order` from the local socket, whose caller was found to have the right to give it. Steps may be
    /// told through `progress`; a caller that went away does not end the call.
    fn handle(&self, order: Order, progress: mpsc::Sender<String>) -> impl Future<Output = Reply> + Send;

    /// Writes down what came of an order from the local socket that changes anything, whether or not its caller was found
    /// to have the right to give it.
    fn note(&self, _: BoxFuture<'static, Who>, _: Ordered) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// Called with the path of the socket whenever it is there, and with the reason whenever nobody can connect.
pub(crate) type Tell = Arc<dyn Fn(Result<&Path, &Error>) + Send + Sync>;

/// A listening local socket. It lives until `shutdown`, whether or not this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    address: PathBuf,
    task: JoinHandle<()>,
}

impl ControlServer {
    /// Starts the local socket of the node whose state folder is `state_dir`, which answers until `shutdown`. Must be
    /// called inside a tokio runtime, by the holder of the state folder's lock: a socket that is there is a dead one's.
    /// One that cannot be made, or is gone later, is tried again; `tell` hears of it.
    pub fn start<H: ControlHandler>(
        state_dir: &Path,
        rights: Rights,
        handler: Arc<H>,
        tell: Tell,
        shutdown: CancellationToken,
    ) -> Self {
        let (address, task) = platform::serve(state_dir, rights, handler, tell, shutdown);
        Self { address, task }
    }

    /// Waits until nobody answers on the local socket any more. Dropping this future ends the answering; a panic in it
    /// is passed on.
    pub(crate) async fn ended(self) {
        let mut task = Answering(self.task);
        if let Err(Ok(panic)) = (&mut task.0).await.map_err(JoinError::try_into_panic) {
            std::panic::resume_unwind(panic);
        }
    }

    /// Where the local socket is, or is to be: a path, the name of a pipe, or `@` and that of an abstract socket.
    pub fn address(&self) -> &Path {
        &self.address
    }
}

/// A task that is not to outlive its owner.
struct Answering(JoinHandle<()>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves one connection to the local socket: reads the order, judges its caller, and answers. Errors of the caller end
/// in a refusal that it may read, those of the connection in its end. `stay` says that an order is about to be carried
/// out, and learns whether the connection is still there for it.
async fn converse<S, H>(stream: S, visitor: Visitor, rights: &Rights, handler: &H, stay: impl FnOnce() -> bool)
where
    S: AsyncRead + AsyncWrite + Send,
    H: ControlHandler,
{
    let (read, write) = tokio::io::split(stream);
    let mut answer = Answer { write, gone: false };
    let reply = match timeout(ORDER_WITHIN, read_order(read)).await {
        Ok(Ok(order)) if order.changes_anything() => {
            let who = named(visitor);
            let judged = allow(&order, visitor.caller, rights).await;
            let allowed = judged.is_ok();
            let last_word = match judged {
                Ok(()) if !stay() => return,
                Ok(()) => carry_out(order.clone(), handler, &mut answer).await,
                Err(refusal) => refusal,
            };
            note(handler, who, Ordered::new(&order, allowed, &last_word)).await;
            last_word
        }
        Ok(Ok(order)) => carry_out(order, handler, &mut answer).await,
        Ok(Err(reason)) => not_understood(&reason),
        Err(_) => not_understood("it did not arrive within 5 seconds"),
    };
    answer.line(&reply).await;
    answer.end().await;
}

/// Begins to find out who a visitor of the local socket is. The names of users may take their time, which no order waits
/// for.
fn named(visitor: Visitor) -> BoxFuture<'static, Who> {
    let naming = tokio::spawn(visitor.who());
    Box::pin(async { naming.await.unwrap_or_default() })
}

/// Has an order from the local socket written down. Its answer waits for that a moment at most, and it goes on after.
async fn note<H: ControlHandler>(handler: &H, who: BoxFuture<'static, Who>, ordered: Ordered) {
    let noting = tokio::spawn(handler.note(who, ordered));
    // Whoever writes it says where it cannot be written.
    drop(timeout(NOTED_WITHIN, noting).await);
}

/// Reads the one line with the order of a caller on the local socket.
async fn read_order(read: impl AsyncRead + Unpin) -> Result<Order, String> {
    let mut line = Vec::new();
    BufReader::new(read.take(MAX_ORDER_SIZE + 1))
        .read_until(b'\n', &mut line)
        .await
        .map_err(|error| error.to_string())?;
    if line.len() as u64 > MAX_ORDER_SIZE {
        return Err("it is longer than 64 KiB".to_owned());
    }
    serde_json::from_slice(&line).map_err(|error| error.to_string())
}

/// Judges whether the caller on the local socket may give this order, and logs that.
async fn allow(order: &Order, caller: Caller, rights: &Rights) -> Result<(), Reply> {
    if !order.changes_anything() {
        return Ok(());
    }
    let judged = if rights.needs_groups_of(caller) {
        looked_up(caller, rights).await
    } else {
        rights.judge(caller)
    };
    match &judged {
        Ok(()) => info!("{caller} orders {order:?}"),
        Err(_) => info!("{caller} was refused {order:?}"),
    }
    judged
}

/// Judges a caller on the local socket by the groups of its user. Looking them up may ask a directory service, which
/// may never answer: whoever is known without it never waits for those who are not.
async fn looked_up(caller: Caller, rights: &Rights) -> Result<(), Reply> {
    static PLACES: Semaphore = Semaphore::const_new(LOOKED_UP_AT_ONCE);
    let rights = rights.clone();
    let looking = async {
        let place = PLACES.acquire().await;
        // The place is taken for as long as the thread is.
        tokio::task::spawn_blocking(move || {
            let _place = place;
            rights.judge(caller)
        })
        .await
    };
    match timeout(LOOKED_UP_WITHIN, looking).await {
        Ok(Ok(judged)) => judged,
        _ => Err(Reply::refused(
            "whether you may give this order could not be found out: the groups of this machine cannot be looked up",
            "Run the command as root.",
        )),
    }
}

/// Has an order from the local socket carried out, and writes its steps to the caller.
async fn carry_out<W, H>(order: Order, handler: &H, answer: &mut Answer<W>) -> Reply
where
    W: AsyncWrite + Unpin,
    H: ControlHandler,
{
    let (progress, mut steps) = mpsc::channel(16);
    let is_order = order.changes_anything();
    let work = handler.handle(order, progress);
    // What is only asked for touches no file, or does so elsewhere.
    let mut work = pin!(async {
        if is_order {
            OffWorker::new(work).await
        } else {
            work.await
        }
    });
    let reply = loop {
        tokio::select! {
            biased;
            Some(message) = steps.recv() => answer.line(&Reply::Progress { message }).await,
            reply = &mut work => break reply,
        }
    };
    while let Ok(message) = steps.try_recv() {
        answer.line(&Reply::Progress { message }).await;
    }
    reply
}

/// Refuses what came over the local socket and is no order.
fn not_understood(reason: &str) -> Reply {
    Reply::refused(
        format!("the order was not understood: {reason}"),
        "Use the gocd-bc of the plugin's own version.",
    )
}

/// Writes the answer to a caller, who may have gone: what was ordered goes on all the same.
struct Answer<W> {
    write: W,
    gone: bool,
}

impl<W: AsyncWrite + Unpin> Answer<W> {
    /// Writes one line to the caller on the local socket, unless it has gone.
    async fn line(&mut self, reply: &Reply) {
        if self.gone {
            return;
        }
        let mut line = serde_json::to_vec(reply).expect("a reply has only plain fields");
        line.push(b'\n');
        let written = timeout(LINE_WITHIN, async {
            self.write.write_all(&line).await?;
            self.write.flush().await
        });
        self.gone = !matches!(written.await, Ok(Ok(())));
    }

    /// Ends the answer to a caller on the local socket.
    async fn end(mut self) {
        // Nothing follows whether or not the caller hears of the end.
        drop(timeout(LINE_WITHIN, self.write.shutdown()).await);
    }
}

#[cfg(test)]
mod tests {
    use bc_core::basics::Fingerprint;
    use tokio::io::duplex;

    use super::*;

    /// Tells two steps, then is done.
    struct TwoSteps;

    impl ControlHandler for TwoSteps {
        async fn handle(&self, _: Order, progress: mpsc::Sender<String>) -> Reply {
            for step in ["one", "two"] {
                progress.send(step.to_owned()).await.expect("somebody listens");
            }
            Reply::Done {
                message: "done".to_owned(),
            }
        }
    }

    async fn answers(request: &[u8], caller: Caller) -> Vec<Reply> {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(request).await.expect("room");
        converse(server, caller.into(), &Rights::default(), &TwoSteps, || true).await;
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a reply"))
            .collect()
    }

    fn order_to_promote() -> Order {
        Order::Promote {
            without_database: true,
            as_it_is: false,
            accept_loss: false,
            force: false,
            maintenance: false,
            replay_within_s: None,
        }
    }

    fn line(order: &Order) -> Vec<u8> {
        let mut line = serde_json::to_vec(order).expect("plain");
        line.push(b'\n');
        line
    }

    #[tokio::test]
    async fn steps_come_before_the_last_line() {
        let replies = answers(&line(&order_to_promote()), Caller::Root).await;
        let step = |message: &str| Reply::Progress {
            message: message.to_owned(),
        };
        assert_eq!(
            replies,
            [
                step("one"),
                step("two"),
                Reply::Done {
                    message: "done".to_owned()
                }
            ]
        );
    }

    #[tokio::test]
    async fn a_changing_order_needs_the_right() {
        let order = Order::Trust {
            fingerprint: Fingerprint::of_public_key(b"key"),
            remove: false,
        };
        let replies = answers(&line(&order), Caller::Owner).await;
        assert!(matches!(replies.as_slice(), [Reply::Refused { .. }]), "{replies:?}");
        assert_eq!(answers(&line(&Order::Status), Caller::Owner).await.len(), 3);
    }

    #[tokio::test]
    async fn what_is_no_order_is_refused_with_the_reason() {
        let long = vec![b' '; MAX_ORDER_SIZE as usize + 1];
        for (request, reason) in [
            (&b"nonsense\n"[..], "expected"),
            (b"{\"order\":\"dance\"}\n", "dance"),
            (long.as_slice(), "64 KiB"),
        ] {
            let replies = answers(request, Caller::Root).await;
            let [Reply::Refused { message, .. }] = replies.as_slice() else {
                panic!("{replies:?}")
            };
            assert!(message.contains(reason), "{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_says_nothing_is_let_go() {
        let (mut client, server) = duplex(1024);
        converse(server, Caller::Root.into(), &Rights::default(), &TwoSteps, || true).await;
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("text");
        assert!(text.contains("5 seconds"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_does_not_end_the_work() {
        struct Counts(std::sync::atomic::AtomicUsize);
        impl ControlHandler for Counts {
            async fn handle(&self, _: Order, progress: mpsc::Sender<String>) -> Reply {
                for _ in 0..100 {
                    drop(progress.send("x".repeat(1000)).await);
                }
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Reply::Done { message: String::new() }
            }
        }
        let handler = Counts(std::sync::atomic::AtomicUsize::new(0));
        let rights = Rights::default();
        let (mut client, server) = duplex(64);
        let ask = async move {
            client.write_all(&line(&order_to_promote())).await.expect("room");
            drop(client);
        };
        tokio::join!(ask, converse(server, Caller::Root.into(), &rights, &handler, || true));
        assert_eq!(handler.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
