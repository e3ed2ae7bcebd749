//! By which addresses the two servers of a pair know each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};

use bc_core::basics::{Error, Kind};

/// The address from which this host would reach another one; none where there is no way. Nothing is sent.
pub(crate) fn own_towards(other: &IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match other {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((*other, 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_unspecified()).then_some(own)
}

/// Whether an address is one of this host: only such a one can be bound to. `bc_server::database` asks so too, which this
/// crate does not import.
pub(crate) fn is_own(address: &IpAddr) -> bool {
    UdpSocket::bind((*address, 0)).is_ok()
}

/// The addresses of both servers, the other one's first, those of this host behind them unless they are the same.
pub(crate) fn pair(other: &[IpAddr], own: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut both = other.to_vec();
    both.extend(own.into_iter().filter(|own| !other.contains(own)));
    both
}

/// The addresses of another host, at most one of each family; `what` says which host it is.
///
/// # Errors
/// [`Kind::Setting`]: the name leads nowhere, back here, or to several hosts.
pub(crate) fn addresses_of(host: &str, what: &str) -> Result<Vec<IpAddr>, Error> {
    let wrong = |mistake: String| Error::new(Kind::Setting, mistake, format!("Name {what} by its address."));
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return match address.is_unspecified() || address.is_multicast() {
            true => Err(wrong(format!("{address} is the address of no host"))),
            false => Ok(vec![address]),
        };
    }
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| wrong(format!("the name {host} leads nowhere: {error}")))?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if let Some(own) = addresses.iter().find(|address| address.is_loopback()) {
        return Err(wrong(format!(
            "the name {host} leads to {own}, which is this host itself"
        )));
    }
    let of_v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    if of_v4 > 1 || addresses.len() - of_v4 > 1 {
        let listed: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        return Err(wrong(format!(
            "the name {host} leads to several hosts: {}",
            listed.join(", ")
        )));
    }
    match addresses.is_empty() {
        true => Err(wrong(format!("the name {host} leads nowhere"))),
        false => Ok(addresses),
    }
}

/// The addresses of each host on which a GoCD is that uses the database here.
///
/// # Errors
/// As [`addresses_of`].
pub(crate) fn of_gocd(hosts: &[String]) -> Result<Vec<IpAddr>, Error> {
    let found: Result<Vec<_>, _> = hosts
        .iter()
        .map(|host| addresses_of(host, "the host of GoCD"))
        .collect();
    Ok(found?.concat())
}
