//! The server side of the local socket: how `gocd-bc` talks to a running node.
//!
//! | module | does |
//! |---|---|
//! | this one | one connection: an order in, progress and one reply out |
//! | `rights` | who may give which order |
//! | `unix` | `control.sock` in the state folder, or in `/tmp` where that path is too long |
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
    control::{Order, Reply},
    error::Error,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

mod rights;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use rights::Rights;
#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

use rights::Caller;

/// The longest order, in bytes.
pub const MAX_ORDER_SIZE: u64 = 64 * 1024;

/// How long a caller may take to send its order: it has it ready when it connects.
const ORDER_WITHIN: Duration = Duration::from_secs(5);
/// How long a caller may take to read one line of the answer.
const LINE_WITHIN: Duration = Duration::from_secs(5);
/// Connections of root at a time.
const CONNECTIONS_OF_ROOT: usize = 8;
/// Connections of everybody else at a time: nobody keeps root out by opening many.
const CONNECTIONS_OF_OTHERS: usize = 16;

/// Carries orders out.
pub trait ControlHandler: Send + Sync + 'static {
    /// Carries `order` out, whose caller was found to have the right to give it. Steps may be told through
    /// `progress`; a caller that went away does not end the call.
    fn handle(&self, order: Order, progress: mpsc::Sender<String>) -> impl Future<Output = Reply> + Send;
}

/// A listening local socket. It lives until `shutdown`, whether or not this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    address: PathBuf,
}

impl ControlServer {
    /// Listens for the node whose state folder is `state_dir` and answers until `shutdown`. Must be called inside
    /// a tokio runtime, by the holder of the state folder's lock: a socket that is there is a dead one's.
    ///
    /// # Errors
    /// The socket cannot be made, or a file of somebody else is in its place.
    pub fn start<H: ControlHandler>(
        state_dir: &Path,
        rights: Rights,
        handler: Arc<H>,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let address = platform::serve(state_dir, rights, handler, shutdown)?;
        Ok(Self { address })
    }

    /// Where it listens: a path, or the name of a pipe.
    pub fn address(&self) -> &Path {
        &self.address
    }
}

/// Serves one connection. Errors of the caller end in a refusal that it may read, those of the connection in its
/// end.
async fn converse<S, H>(stream: S, caller: Caller, rights: &Rights, handler: &H)
where
    S: AsyncRead + AsyncWrite + Send,
    H: ControlHandler,
{
    let (read, write) = tokio::io::split(stream);
    let mut answer = Answer { write, gone: false };
    let reply = match timeout(ORDER_WITHIN, read_order(read)).await {
        Ok(Ok(order)) => match allow(&order, caller, rights).await {
            Ok(()) => carry_out(order, handler, &mut answer).await,
            Err(refusal) => refusal,
        },
        Ok(Err(reason)) => not_understood(&reason),
        Err(_) => not_understood("it did not arrive within 5 seconds"),
    };
    answer.line(&reply).await;
    answer.end().await;
}

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

async fn allow(order: &Order, caller: Caller, rights: &Rights) -> Result<(), Reply> {
    if !order.changes_anything() {
        return Ok(());
    }
    let judged = {
        let rights = rights.clone();
        // Looking up groups may ask a directory service.
        tokio::task::spawn_blocking(move || rights.judge(caller)).await
    };
    let judged = judged.unwrap_or_else(|_| {
        Err(Reply::refused(
            "whether you may give this order could not be found out",
            "",
        ))
    });
    match &judged {
        Ok(()) => info!("{caller} orders {order:?}"),
        Err(_) => info!("{caller} was refused {order:?}"),
    }
    judged
}

async fn carry_out<W, H>(order: Order, handler: &H, answer: &mut Answer<W>) -> Reply
where
    W: AsyncWrite + Unpin,
    H: ControlHandler,
{
    let (progress, mut steps) = mpsc::channel(16);
    let mut work = pin!(handler.handle(order, progress));
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

fn not_understood(reason: &str) -> Reply {
    Reply::refused(
        format!("the order was not understood: {reason}"),
        "Use the gocd-bc of the plugin's own version.",
    )
}

/// The way back to a caller, who may have gone: what was ordered goes on all the same.
struct Answer<W> {
    write: W,
    gone: bool,
}

impl<W: AsyncWrite + Unpin> Answer<W> {
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

    async fn end(mut self) {
        // Nothing follows whether or not the caller hears of the end.
        drop(timeout(LINE_WITHIN, self.write.shutdown()).await);
    }
}

#[cfg(test)]
mod tests {
    use bc_core::fingerprint::Fingerprint;
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
        converse(server, caller, &Rights::default(), &TwoSteps).await;
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a reply"))
            .collect()
    }

    fn line(order: &Order) -> Vec<u8> {
        let mut line = serde_json::to_vec(order).expect("plain");
        line.push(b'\n');
        line
    }

    #[tokio::test]
    async fn steps_come_before_the_last_line() {
        let replies = answers(&line(&Order::Promote { without_database: true }), Caller::Root).await;
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
        converse(server, Caller::Root, &Rights::default(), &TwoSteps).await;
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
            client
                .write_all(&line(&Order::Promote { without_database: true }))
                .await
                .expect("room");
            drop(client);
        };
        tokio::join!(ask, converse(server, Caller::Root, &rights, &handler));
        assert_eq!(handler.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
