//! GoCD's own port, tried as anybody could: whether it gives its secrets away.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use bc_core::gocd::old_product;

/// One try.
const WITHIN: Duration = Duration::from_secs(2);
/// Below this are its pages.
const CONTEXT: &str = "/go";

/// Whether GoCD at this host and port answers anybody.
pub(super) fn gives_secrets_away(host: &str, port: u16) -> bool {
    let Ok(addresses) = (host, port).to_socket_addrs() else {
        return false;
    };
    let answers = |address| {
        let mut connection = TcpStream::connect_timeout(&address, WITHIN).ok()?;
        connection.set_read_timeout(Some(WITHIN)).ok()?;
        connection.set_write_timeout(Some(WITHIN)).ok()?;
        connection.write_all(old_product::question(CONTEXT).as_bytes()).ok()?;
        let mut answer = Vec::new();
        // One that says no end of it is cut off; what came until then counts.
        drop(connection.take(4096).read_to_end(&mut answer));
        old_product::gives_secrets_away(&answer)
    };
    addresses.take(2).any(|address| answers(address) == Some(true))
}
