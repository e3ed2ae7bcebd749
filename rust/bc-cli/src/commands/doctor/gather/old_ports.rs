//! GoCD's own port, tried as anybody could: whether it gives its secrets away.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// One try.
const WITHIN: Duration = Duration::from_secs(2);
/// Only GoCD 20.6 to 21.2 answer this without a login, and then all the rest.
const PATH: &str = "/go/add-on/business-continuity/api/health-check";

/// Whether GoCD at this host and port answers anybody.
pub(super) fn gives_secrets_away(host: &str, port: u16) -> bool {
    let Ok(addresses) = (host, port).to_socket_addrs() else {
        return false;
    };
    let answers = |address| {
        let mut connection = TcpStream::connect_timeout(&address, WITHIN).ok()?;
        connection.set_read_timeout(Some(WITHIN)).ok()?;
        connection.set_write_timeout(Some(WITHIN)).ok()?;
        write!(connection, "GET {PATH} HTTP/1.0\r\nHost: {host}\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        // One that says no end of it is cut off; what came until then counts.
        drop(connection.take(4096).read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let first = answer.lines().next().unwrap_or_default();
        Some(first.contains(" 200") && answer.ends_with("OK!"))
    };
    addresses.take(2).any(|address| answers(address) == Some(true))
}
