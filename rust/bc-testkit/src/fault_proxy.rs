//! A network that fails on purpose: a TCP relay in front of a node, on a thread of its own.
//!
//! It sees TLS records and nothing of what is in them, as the cable does. A fault counts from the moment it is set,
//! also for connections that are open. Bytes of one stream cannot be reordered, since TCP forbids it; answers on
//! different connections can ([`Fault::Shuffled`]).

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// What is wrong with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every connection ends, and new ones end at once.
    Cut,
    /// Connections are accepted and stay open, and nothing comes through any more. Those that saw this never
    /// recover, as behind a firewall that forgot them.
    HalfOpen,
    /// One byte a second comes from the node.
    Trickle,
    /// Each connection is reset when so many bytes came from the node over it.
    ResetAfter(u64),
    /// Each connection ends in order (FIN) when so many bytes came from the node over it.
    TruncateAfter(u64),
    /// Nothing more comes over a connection after so many bytes from the node; it stays open.
    SilentAfter(u64),
    /// Everything from the node comes later by a time that differs between connections, so that answers overtake
    /// each other.
    Shuffled,
}

/// A relay to one node; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    counts: Arc<Counts>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    delivered: AtomicU64,
}

impl FaultProxy {
    /// A relay on a free port of loopback to the node at `target`, without a fault.
    ///
    /// # Panics
    /// Loopback has no free port.
    pub fn start(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a fresh socket");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (fault, faults) = watch::channel(Fault::None);
        let counts = Arc::<Counts>::default();
        let shared = Arc::clone(&counts);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(accept(listener, target, faults, shared));
        });
        Self {
            address,
            fault,
            counts,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes this the fault from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Bytes from the node that were passed on so far, TLS included.
    pub fn delivered(&self) -> u64 {
        self.counts.delivered.load(Ordering::SeqCst)
    }

    /// Connections that were opened so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The accepting task ends when nobody can set a fault any more.
        self.fault = watch::Sender::new(Fault::None);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was printed when it happened.
            drop(thread.join());
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    target: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    counts: Arc<Counts>,
) {
    let listener = TcpListener::from_std(listener).expect("a runtime");
    loop {
        let near = tokio::select! {
            changed = faults.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = listener.accept() => match accepted {
                Ok((near, _)) => near,
                Err(_) => continue,
            },
        };
        let number = counts.connections.fetch_add(1, Ordering::SeqCst);
        let connection = Connection {
            number,
            faults: faults.clone(),
            counts: Arc::clone(&counts),
            from_node: 0,
        };
        tokio::spawn(connection.relay(near, target));
    }
}

struct Connection {
    number: u64,
    faults: watch::Receiver<Fault>,
    counts: Arc<Counts>,
    from_node: u64,
}

/// How a connection goes on after a piece of an answer.
enum Next {
    Open,
    Reset,
    End,
    /// Nothing comes through any more.
    Dead,
}

impl Connection {
    async fn relay(mut self, near: TcpStream, target: SocketAddr) {
        let now = *self.faults.borrow_and_update();
        if now == Fault::Cut {
            return;
        }
        let far = match now {
            Fault::HalfOpen => None,
            _ => TcpStream::connect(target).await.ok(),
        };
        let Some(far) = far else {
            return if now == Fault::HalfOpen {
                self.stay_dead(near).await
            };
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        match self.pass(&near, &far).await {
            Next::Reset => {
                // A reset drops what is still on its way, which would count as delivered.
                sleep(Duration::from_millis(200)).await;
                // Closing a socket that must not linger is what sends a reset.
                let none = nix::libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                let _ = (
                    setsockopt(&near, sockopt::Linger, &none),
                    setsockopt(&far, sockopt::Linger, &none),
                );
            }
            Next::Dead => self.stay_dead((near, far)).await,
            Next::End | Next::Open => {}
        }
    }

    /// Keeps sockets open without reading them, until the connections are cut or the proxy ends.
    async fn stay_dead<T>(&mut self, sockets: T) {
        while self.faults.changed().await.is_ok() {
            if *self.faults.borrow_and_update() == Fault::Cut {
                break;
            }
        }
        drop(sockets);
    }

    /// Passes bytes both ways until one side ends or a fault does it.
    async fn pass(&mut self, near: &TcpStream, far: &TcpStream) -> Next {
        let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        loop {
            let now = *self.faults.borrow_and_update();
            match now {
                Fault::Cut => return Next::End,
                Fault::HalfOpen => return Next::Dead,
                _ => {}
            }
            tokio::select! {
                changed = self.faults.changed() => if changed.is_err() { return Next::End },
                ready = near.readable() => match ready.and_then(|()| near.try_read(&mut asked)) {
                    Ok(0) => return Next::End,
                    Ok(read) => if write(far, &asked[..read]).await.is_err() { return Next::End },
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Next::End,
                },
                ready = far.readable() => match ready.and_then(|()| far.try_read(&mut answered)) {
                    Ok(0) => return Next::End,
                    Ok(read) => match self.deliver(now, near, &answered[..read]).await {
                        Ok(Next::Open) => {}
                        Ok(other) => return other,
                        Err(_) => return Next::End,
                    },
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Next::End,
                },
            }
        }
    }

    /// Passes on what came from the node, as far as the fault lets it.
    async fn deliver(&mut self, fault: Fault, near: &TcpStream, bytes: &[u8]) -> io::Result<Next> {
        let (limit, end) = match fault {
            Fault::ResetAfter(limit) => (limit, Next::Reset),
            Fault::TruncateAfter(limit) => (limit, Next::End),
            Fault::SilentAfter(limit) => (limit, Next::Dead),
            Fault::Trickle => return self.trickle(near, bytes).await,
            Fault::Shuffled => {
                // Neighbours differ by more than an answer takes.
                sleep(Duration::from_millis(40 * (self.number * 5 % 7))).await;
                (u64::MAX, Next::Open)
            }
            Fault::None | Fault::Cut | Fault::HalfOpen => (u64::MAX, Next::Open),
        };
        let room = usize::try_from(limit.saturating_sub(self.from_node)).unwrap_or(usize::MAX);
        let passed = &bytes[..bytes.len().min(room)];
        self.count(passed.len());
        write(near, passed).await?;
        Ok(if self.from_node >= limit { end } else { Next::Open })
    }

    async fn trickle(&mut self, near: &TcpStream, bytes: &[u8]) -> io::Result<Next> {
        for (index, byte) in bytes.iter().enumerate() {
            tokio::select! {
                changed = self.faults.changed() => {
                    if changed.is_err() {
                        return Ok(Next::End);
                    }
                    self.count(bytes.len() - index);
                    write(near, &bytes[index..]).await?;
                    // The loop must see the change too.
                    self.faults.mark_changed();
                    return Ok(Next::Open);
                }
                () = sleep(Duration::from_secs(1)) => {}
            }
            self.count(1);
            write(near, &[*byte]).await?;
        }
        Ok(Next::Open)
    }

    fn count(&mut self, bytes: usize) {
        self.from_node += bytes as u64;
        self.counts.delivered.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What comes within `limit`, and how the stream ended if it was not in order.
    async fn rest(stream: &mut TcpStream, limit: Duration) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut came = Vec::new();
        let end = tokio::time::timeout(limit, stream.read_to_end(&mut came)).await;
        let end = match end {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.kind()),
            Err(_) => Some(io::ErrorKind::TimedOut),
        };
        (came, end)
    }

    /// Sends 10,000 bytes to everybody who says something.
    async fn node() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if stream.read(&mut [0; 8]).await.is_ok() {
                        let _ = stream.write_all(&[7; 10_000]).await;
                        sleep(Duration::from_secs(60)).await;
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn each_fault_is_what_it_says() {
        let proxy = FaultProxy::start(node().await);
        let cases: [(Fault, usize, Option<io::ErrorKind>); 7] = [
            (Fault::None, 10_000, Some(io::ErrorKind::TimedOut)),
            (Fault::Shuffled, 10_000, Some(io::ErrorKind::TimedOut)),
            (Fault::HalfOpen, 0, Some(io::ErrorKind::TimedOut)),
            (Fault::SilentAfter(3000), 3000, Some(io::ErrorKind::TimedOut)),
            (Fault::ResetAfter(3000), 3000, Some(io::ErrorKind::ConnectionReset)),
            (Fault::TruncateAfter(3000), 3000, None),
            // The last one, since it delivers what it held back when the fault is lifted.
            (Fault::Trickle, 0, Some(io::ErrorKind::TimedOut)),
        ];
        for (fault, bytes, end) in cases {
            proxy.set(fault);
            let before = proxy.delivered();
            let mut stream = TcpStream::connect(proxy.address()).await.expect("accepted");
            stream.write_all(b"x").await.expect("sent");
            let (came, ended) = rest(&mut stream, Duration::from_millis(500)).await;
            assert_eq!(came.len(), bytes, "{fault:?}");
            assert_eq!(ended, end, "{fault:?}");
            assert_eq!(proxy.delivered() - before, bytes as u64, "{fault:?}");
        }
        proxy.set(Fault::Cut);
        let mut stream = TcpStream::connect(proxy.address()).await.expect("accepted");
        let _ = stream.write_all(b"x").await;
        let (came, ended) = rest(&mut stream, Duration::from_millis(500)).await;
        assert!(came.is_empty());
        assert_ne!(ended, Some(io::ErrorKind::TimedOut));
        assert_eq!(proxy.connections(), 8);
    }

    #[tokio::test]
    async fn a_connection_that_was_cut_off_stays_dead_and_a_new_one_works() {
        let proxy = FaultProxy::start(node().await);
        let mut old = TcpStream::connect(proxy.address()).await.expect("accepted");
        sleep(Duration::from_millis(200)).await;
        proxy.set(Fault::HalfOpen);
        sleep(Duration::from_millis(200)).await;
        proxy.set(Fault::None);
        old.write_all(b"x").await.expect("its end is not known here");
        assert_eq!(rest(&mut old, Duration::from_millis(300)).await.0.len(), 0);
        let mut new = TcpStream::connect(proxy.address()).await.expect("accepted");
        new.write_all(b"x").await.expect("sent");
        assert_eq!(rest(&mut new, Duration::from_millis(300)).await.0.len(), 10_000);
    }
}
