//! An address that moves, as a virtual IP does: whatever connects to one port is led to the server that has it now.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// How long the server behind the address may take to accept.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(5);

/// The address. It is there until this program ends.
#[derive(Debug)]
pub(crate) struct Address {
    /// Its port.
    pub(crate) port: u16,
    behind: Arc<AtomicU16>,
}

impl Address {
    /// Opens the address, with the server at this port behind it.
    pub(crate) fn open(behind: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
        let port = listener.local_addr()?.port();
        let behind = Arc::new(AtomicU16::new(behind));
        let leads_to = Arc::clone(&behind);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, leads_to.load(Ordering::Relaxed)));
                thread::spawn(move || lead(stream, to));
            }
        });
        Ok(Self { port, behind })
    }

    /// Moves the address to the server at another port.
    pub(crate) fn move_to(&self, port: u16) {
        self.behind.store(port, Ordering::Relaxed);
    }
}

/// Carries bytes both ways until one end closes. A server that is not there closes at once.
fn lead(from: TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect_timeout(&to, ACCEPTS_WITHIN) else {
        return;
    };
    let (Ok(mut client_in), Ok(mut server_out)) = (from.try_clone(), server.try_clone()) else {
        return;
    };
    thread::spawn(move || {
        let _ = io::copy(&mut client_in, &mut server_out);
        let _ = server_out.shutdown(std::net::Shutdown::Write);
    });
    let (mut server_in, mut client_out) = (server, from);
    let _ = io::copy(&mut server_in, &mut client_out);
    let _ = client_out.shutdown(std::net::Shutdown::Both);
}
