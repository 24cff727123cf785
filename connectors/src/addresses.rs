//! Addresses that text of others must not make a node connect to: those of its own machine, its link and its cloud.

use std::net::{IpAddr, Ipv4Addr};

/// The addresses at which clouds serve metadata and credentials to a machine, beside the link-local ones.
const CLOUD_SERVICES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// True if an address is of this machine or its link, or of a service of its cloud.
pub(crate) fn is_internal(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => match (address.to_ipv4(), address.segments()) {
            (Some(inner), _) => inner,
            // The translation to IPv4 of RFC 6052.
            (None, [0x64, 0xff9b, 0, 0, 0, 0, high, low]) => Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)),
            (None, [0xfd00, 0xec2, ..]) => return true,
            _ => return address.is_unicast_link_local(),
        },
    };
    // Connections to `0.0.0.0` reach this machine.
    let is_own = address.octets()[0] == 0 || address.is_loopback();
    is_own || address.is_link_local() || address.is_broadcast() || CLOUD_SERVICES.contains(&address)
}
