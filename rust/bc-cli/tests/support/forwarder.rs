//! An address that leads to one server now and to another later, as a virtual one does.

use bc_core::basics::lock;
use std::{
    io::copy,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Forwards connections for as long as the test runs.
pub struct Forwarder {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    to: String,
    open: Vec<TcpStream>,
}

impl Forwarder {
    pub fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            to: to.to_owned(),
            open: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = lock(&shared);
                // A server that is not there is not there for the client either.
                if let Ok(server) = TcpStream::connect(&state.to) {
                    for (from, into) in [(&client, &server), (&server, &client)] {
                        let (mut from, mut into) = (twin(from), twin(into));
                        thread::spawn(move || {
                            // Either end may go away at any time.
                            drop(copy(&mut from, &mut into));
                            drop(into.shutdown(Shutdown::Both));
                        });
                    }
                    state.open.extend([client, server]);
                }
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads there from now on; connections that are open end.
    pub fn lead_to(&self, to: &str) {
        let mut state = lock(&self.state);
        to.clone_into(&mut state.to);
        for stream in state.open.drain(..) {
            // It may have ended already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn twin(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}
