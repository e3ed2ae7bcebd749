//! Who is meant by the primary: what its name leads to from here, and who answers there.

use std::net::{IpAddr, ToSocketAddrs};

use bc_core::{
    basics::error::{Error, Kind},
    database::{conninfo::Conninfo, messages::Names, url::Server},
};

use super::place::Place;
use crate::{replication::Remote, route};

/// The addresses that the name of the primary leads to here.
///
/// # Errors
/// [`Kind::Setting`]: none.
pub(super) fn addresses(primary: &Server) -> Result<Vec<IpAddr>, Error> {
    let resolved = (primary.host.as_str(), primary.port).to_socket_addrs();
    let mut addresses: Vec<IpAddr> = resolved.into_iter().flatten().map(|address| address.ip()).collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(Error::new(
            Kind::Setting,
            format!("the name {} leads to nothing on this host", primary.host),
            format!(
                "Check it with `getent hosts {}`, or name the primary's address by --primary.",
                primary.host
            ),
        ));
    }
    Ok(addresses)
}

/// Asks the primary who it is. Where its name leads to several addresses, all of them have to be one server.
pub(super) fn ask(
    place: &Place,
    primary: &Server,
    addresses: &[IpAddr],
    conninfo: &Conninfo,
    names: &Names,
) -> Result<Remote, Error> {
    let at = |address: &IpAddr| {
        let conninfo = conninfo.clone().with("hostaddr", &address.to_string());
        Remote::ask(place.psql()?, &conninfo, names)
    };
    let [first, others @ ..] = addresses else {
        return Remote::ask(place.psql()?, conninfo, names);
    };
    if others.is_empty() {
        return Remote::ask(place.psql()?, conninfo, names);
    }
    // One of them may be of a family on which nothing listens.
    let mut found: Option<(IpAddr, Remote)> = None;
    let mut failed = None;
    for address in [first].into_iter().chain(others) {
        match (at(address), &found) {
            (Ok(remote), None) => found = Some((*address, remote)),
            (Ok(remote), Some((one, seen)))
                if (remote.system, remote.is_in_recovery()) != (seen.system, seen.is_in_recovery()) =>
            {
                return Err(Error::new(
                    Kind::Refused,
                    format!(
                        "the name {} leads to two servers: {one} is of system {}, {address} of system {}",
                        primary.host, seen.system, remote.system
                    ),
                    "Name the primary's address by --primary, or mend the name: which server a standby follows must not be \
                     left to chance.",
                ));
            }
            (Ok(_), Some(_)) => {}
            (Err(error), _) => failed = Some(error),
        }
    }
    match (found, failed) {
        (Some((_, remote)), _) => Ok(remote),
        (None, Some(error)) => Err(error),
        (None, None) => Remote::ask(place.psql()?, conninfo, names),
    }
}

/// The address that this host has on the way to the primary, by which the primary knows it.
pub(super) fn own_address(addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.iter().find_map(route::own_towards)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str) -> Server {
        Server {
            host: host.to_owned(),
            port: 5432,
        }
    }

    #[test]
    fn a_name_that_leads_nowhere_says_how_to_check_it() {
        let error = addresses(&server("nowhere.invalid")).expect_err("reserved to lead nowhere");
        assert!(error.guidance().contains("getent hosts nowhere.invalid"), "{error}");
        assert_eq!(addresses(&server("127.0.0.1")), Ok(vec![[127, 0, 0, 1].into()]));
    }

    #[test]
    fn our_own_addresses_are_known() {
        assert!(route::is_own(&[127, 0, 0, 1].into()));
        // Of the range that is for documents alone.
        assert!(!route::is_own(&[192, 0, 2, 1].into()));
        assert_eq!(own_address(&[[127, 0, 0, 1].into()]), Some([127, 0, 0, 1].into()));
    }
}
