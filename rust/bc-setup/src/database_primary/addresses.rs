//! Which hosts the pair of databases is: the standby's addresses, and those of this host on the way there.

use std::{fmt, net::IpAddr};

use bc_core::basics::{Error, Kind};

use crate::route;

/// The addresses of a pair, each list with at most one of each family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Of the standby's database host.
    pub(super) standby: Vec<IpAddr>,
    /// Of this host, as the standby sees it.
    pub(super) own: Vec<IpAddr>,
}

impl Addresses {
    /// Finds the standby by its address or name, and this host's address on the way there.
    pub(super) fn of(standby: &str, own: Option<IpAddr>) -> Result<Self, Error> {
        let standby = route::addresses_of(standby, "the standby's database host")?;
        let own = match own {
            Some(own) => vec![own],
            None => standby.iter().filter_map(route::own_towards).collect(),
        };
        if own.is_empty() {
            return Err(Error::new(
                Kind::Setting,
                format!("there is no way from here to {}", standby[0]),
                "Say by which address the standby will know this host: --address ADDRESS",
            ));
        }
        Ok(Self { standby, own })
    }

    /// All addresses by which the standby may come, its own first, each once.
    pub(super) fn all(&self) -> Vec<IpAddr> {
        route::pair(&self.standby, self.own.iter().copied())
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        write!(
            f,
            "{}, which knows this host as {}",
            texts(&self.standby),
            texts(&self.own)
        )?;
        match self.standby == self.own {
            true => f.write_str(" (both on one host: good for a trial)"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_is_taken_as_it_is_and_ours_is_the_one_on_the_way() {
        let addresses = Addresses::of("127.0.0.1", None).expect("loopback");
        assert_eq!(addresses.all(), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        let addresses = Addresses::of("10.0.0.6", Some(Ipv4Addr::new(10, 0, 0, 5).into())).expect("said");
        let all: Vec<String> = addresses.all().iter().map(IpAddr::to_string).collect();
        assert_eq!(all, ["10.0.0.6", "10.0.0.5"]);
    }

    #[test]
    fn a_name_that_leads_nowhere_or_back_here_is_refused() {
        for (name, words) in [
            ("no-such-host.invalid", "leads nowhere"),
            ("localhost", "this host itself"),
            ("0.0.0.0", "no host"),
            ("", "leads nowhere"),
        ] {
            let error = Addresses::of(name, None).expect_err(name);
            assert!(error.message().contains(words), "{name}: {error}");
            assert_eq!(error.kind(), Kind::Setting);
        }
    }
}
