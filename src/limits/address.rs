//! The address of a client, which nobody can choose for themselves.
//!
//! It is that of the TCP connection. Only if that is a proxy which we were told to trust does `X-Forwarded-For` count, and of
//! it only what trusted proxies wrote: each appends whom it was called by, so from the right the first that is no trusted proxy
//! is the client, and whatever stands left of it is the client's own invention. `Forwarded` (RFC 7239) is not read: a proxy that
//! writes the one header passes the other on as it came.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A network of addresses, such as `10.0.0.0/8`; a single address is one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many leading bits of an address name the network.
    bits: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "an address or a network such as 10.0.0.0/8 or ::1 is expected".to_owned();
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| expected())?;
        if bits > most {
            return Err(expected());
        }
        // Addresses are compared as what they are: ::ffff:10.0.0.1 is 10.0.0.1.
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), mapped @ IpAddr::V4(_)) if bits >= 96 => Ok(Self { address: mapped, bits: bits - 96 }),
            _ => Ok(Self { address, bits }),
        }
    }
}

/// Whether an address is that of a trusted proxy.
pub fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address.to_canonical()))
}

/// The client behind a request that came from `peer` with these values of `X-Forwarded-For`. Several headers are one list
/// (RFC 9110 §5.3).
pub fn client<'a>(peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a [u8]>, trusted: &[Network]) -> IpAddr {
    let mut client = peer.to_canonical();
    for hop in forwarded.rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        if !is_trusted(client, trusted) {
            break;
        }
        // What cannot be read was written by nobody whom we could name: then it is the proxy that counts.
        let Some(address) = std::str::from_utf8(hop).ok().and_then(read) else { break };
        client = address;
    }
    client
}

/// Reads one hop: an address, with a port as some proxies write it.
fn read(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|address: SocketAddr| address.ip())).ok()?;
    Some(address.to_canonical())
}

/// The source that an address is counted as. One who has an IPv6 address usually has its whole /64 (RFC 6177).
pub fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client(peer.parse().unwrap(), lines.iter().map(|line| line.as_bytes()), &trusted).to_string()
    }

    #[test]
    fn nobody_untrusted_is_believed() {
        assert_eq!(client_of("203.0.113.9", &["1.2.3.4"], &[]), "203.0.113.9");
        assert_eq!(client_of("203.0.113.9", &["1.2.3.4"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn the_client_is_the_rightmost_hop_that_is_no_trusted_proxy() {
        let trusted = ["10.0.0.0/8", "::1"];
        assert_eq!(client_of("10.0.0.1", &["1.2.3.4"], &trusted), "1.2.3.4");
        assert_eq!(client_of("::1", &["1.2.3.4, 10.9.9.9"], &trusted), "1.2.3.4");
        assert_eq!(client_of("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &trusted), "1.2.3.4");
        assert_eq!(client_of("10.0.0.1", &["6.6.6.6, 10.0.0.7, 1.2.3.4,10.0.0.2"], &trusted), "1.2.3.4");
        assert_eq!(client_of("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"], &trusted), "1.2.3.4");
        assert_eq!(client_of("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &trusted), "10.0.0.3");
        assert_eq!(client_of("10.0.0.1", &[], &trusted), "10.0.0.1");
    }

    #[test]
    fn hops_are_read_as_proxies_write_them_and_what_is_no_address_ends_the_list() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client_of("::ffff:10.0.0.1", &["::ffff:1.2.3.4"], &trusted), "1.2.3.4");
        assert_eq!(client_of("10.0.0.1", &["1.2.3.4:5678"], &trusted), "1.2.3.4");
        assert_eq!(client_of("10.0.0.1", &["[2001:db8::1]:80"], &trusted), "2001:db8::1");
        assert_eq!(client_of("10.0.0.1", &["[2001:db8::1]"], &trusted), "2001:db8::1");
        for bad in ["unknown", "", "1.2.3.4, ", "1.2.3.4, _hidden", "1.2.3.4, 10.0.0.2 x", "1.2.3.4, 999.1.1.1"] {
            assert_eq!(client_of("10.0.0.1", &[bad], &trusted), "10.0.0.1", "{bad:?}");
        }
    }

    #[test]
    fn networks_are_read_and_bad_ones_refused() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()) && !network.contains(outside.parse().unwrap()), "{network:?}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_ipv6_address_counts_as_its_64() {
        let of = |address: &str| source(address.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2::"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
    }
}
