//! By which addresses the two servers of a pair know each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

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

/// The addresses of both servers, the other one's first, those of this host behind them unless they are the same.
pub(crate) fn pair(other: &[IpAddr], own: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut both = other.to_vec();
    both.extend(own.into_iter().filter(|own| !other.contains(own)));
    both
}
