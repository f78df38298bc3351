//! Whom a relay with sockets of its own may talk to: never this machine, never its networks.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(first: u16, second: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix))
}

/// Networks that are nobody's on the Internet, or the operator's own, or lead to either by a
/// tunnel; 169.254.169.254, where clouds keep their secrets, is in one of them, and
/// 168.63.129.16 is where one cloud has its machines' agents.
const CLOSED: [IpNet; 28] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(168, 63, 129, 16, 32),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v6(0, 0, 8),
    v6(0x64, 0xff9b, 32),
    v6(0x100, 0, 64),
    // Teredo and others that are no addresses of hosts.
    v6(0x2001, 0, 23),
    v6(0x2001, 0xdb8, 32),
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
    v6(0x5f00, 0, 16),
    v6(0xfc00, 0, 7),
    v6(0xfe80, 0, 10),
    v6(0xfec0, 0, 10),
    v6(0xff00, 0, 8),
];

/// What is closed to relays with sockets of their own.
#[derive(Debug)]
pub(super) struct Reach {
    /// Addresses of this machine, and those by which it is known outside.
    own: HashSet<IpAddr>,
}

impl Reach {
    /// Closes the addresses of this machine's interfaces, and these.
    pub(super) fn around(own: impl IntoIterator<Item = IpAddr>) -> Self {
        let interfaces = webrtc_util::ifaces::ifaces().unwrap_or_default();
        let interfaces = interfaces.into_iter().filter_map(|one| one.addr).map(|one| one.ip());
        Self { own: own.into_iter().chain(interfaces).map(|one| one.to_canonical()).collect() }
    }

    /// Whether an address may be talked to from a relay's socket.
    pub(super) fn is_open(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        !self.own.contains(&address) && !CLOSED.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_own_networks_are_closed() {
        let reach = Reach::around(["8.8.4.4".parse().unwrap()]);
        let closed = [
            "0.0.0.0",
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "100.100.100.200",
            "192.88.99.1",
            "100.64.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:20::1",
            "fec0::1",
            "feff::1",
            "100::1",
            "3fff::1",
            "5f00::1",
            "fd00:ec2::254",
            "8.8.4.4",
            "::ffff:8.8.4.4",
        ];
        for address in closed {
            assert!(!reach.is_open(address.parse().unwrap()), "{address}");
        }
        for address in
            ["8.8.8.8", "172.32.0.1", "168.63.129.17", "2606:4700::1", "2001:4860::8", "100.63.0.1"]
        {
            assert!(reach.is_open(address.parse().unwrap()), "{address}");
        }
    }
}
