//! Ports for servers that are started here.

use std::{
    array,
    net::{Ipv4Addr, TcpListener},
};

use anyhow::{Context, Result};

/// Ports on loopback that were free a moment ago, all different.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are known.
    let listeners: [_; N] = array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        let listener = listener.as_ref().ok().context("no free port on loopback")?;
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
