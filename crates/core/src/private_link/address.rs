//! What kind of address it is, and which ones bytes may go to.
//!
//! Sources: IANA, "IPv4 Special-Purpose Address Registry" and "IPv6 Special-Purpose Address Registry"
//! (2024 editions); RFC 1918 (private), RFC 6598 (carrier-grade), RFC 4193 (unique local), RFC 5737 and RFC 3849
//! and RFC 9637 (documentation). An address that wraps an IPv4 one (mapped, NAT64, 6to4) is what it wraps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClass {
    /// Of a private network, RFC 1918.
    Private,
    /// Unique local IPv6, RFC 4193.
    UniqueLocal,
    /// Shared by a carrier's customers, RFC 6598. Private only where a network is built of them.
    CarrierGrade,
    /// Of one link; routed nowhere.
    LinkLocal,
    /// This machine.
    Loopback,
    /// For examples in documents; nobody has one.
    Documentation,
    /// Of no host: unspecified, broadcast, multicast, benchmarks, reserved.
    Reserved,
    /// Anything else: the internet.
    Public,
}

impl AddressClass {
    /// The class of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match wrapped(address) {
                // Through a translator on the way: never private, whatever it leads to.
                Some(inner) => match Self::of_v4(inner) {
                    Self::Private | Self::CarrierGrade | Self::Loopback => Self::Reserved,
                    other => other,
                },
                None => Self::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::CarrierGrade,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Documentation,
            [0 | 224..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfc00..=0xfdff, ..] => Self::UniqueLocal,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Self::Documentation,
            // Benchmarks, ORCHID, discard-only, and what is not global unicast at all.
            [0x2001, 2, 0, ..] | [0x2001, 0x10..=0x2f, ..] => Self::Reserved,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Reserved,
        }
    }

    /// As JSON spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::UniqueLocal => "unique_local",
            Self::CarrierGrade => "carrier_grade",
            Self::LinkLocal => "link_local",
            Self::Loopback => "loopback",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::UniqueLocal => "unique local",
            Self::CarrierGrade => "carrier-grade",
            Self::LinkLocal => "link-local",
            Self::Loopback => "loopback",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
            Self::Public => "public",
        })
    }
}

/// The IPv4 address that a translator would send to: NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-compatible.
fn wrapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(v4(high, low)),
        _ => None,
    }
}

/// Which addresses bytes may go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRule {
    /// Networks that count as private besides RFC 1918 and RFC 4193: a virtual network of carrier-grade or
    /// of public addresses, a tunnel's end on this machine.
    pub also_private: Vec<IpNet>,
    /// The addresses of the private endpoint. If there are any, no other is let through, however private.
    pub only: Vec<IpAddr>,
}

impl AddressRule {
    /// Whether bytes may go to `address`.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let private = match AddressClass::of(address) {
            AddressClass::Private | AddressClass::UniqueLocal => true,
            _ => self.also_private.iter().any(|network| network.contains(&address)),
        };
        private && (self.only.is_empty() || self.only.iter().any(|only| only.to_canonical() == address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().unwrap())
    }

    #[test]
    fn each_class_is_told_from_the_others_at_its_edges() {
        use AddressClass as C;
        for (first, last, expected) in [
            ("10.0.0.0", "10.255.255.255", C::Private),
            ("172.16.0.0", "172.31.255.255", C::Private),
            ("192.168.0.0", "192.168.255.255", C::Private),
            ("100.64.0.0", "100.127.255.255", C::CarrierGrade),
            ("127.0.0.0", "127.255.255.255", C::Loopback),
            ("169.254.0.0", "169.254.255.255", C::LinkLocal),
            ("192.0.2.0", "192.0.2.255", C::Documentation),
            ("198.18.0.0", "198.19.255.255", C::Reserved),
            ("224.0.0.0", "255.255.255.255", C::Reserved),
            ("0.0.0.0", "0.255.255.255", C::Reserved),
            ("172.32.0.0", "172.255.255.255", C::Public),
            ("100.128.0.0", "100.255.255.255", C::Public),
            ("9.255.255.255", "11.0.0.0", C::Public),
            ("fc00::", "fdff:ffff::1", C::UniqueLocal),
            ("fe80::", "febf::1", C::LinkLocal),
            ("2001:db8::", "3fff:fff::1", C::Documentation),
            ("2603:1000::1", "2a01::1", C::Public),
            ("::", "ff02::1", C::Reserved),
        ] {
            assert_eq!((class(first), class(last)), (expected, expected), "{first} {last}");
        }
        assert_eq!(class("::1"), C::Loopback);
    }

    #[test]
    fn an_address_that_wraps_another_is_never_more_private_than_it() {
        assert_eq!(class("::ffff:10.0.0.5"), AddressClass::Private);
        assert_eq!(class("::ffff:20.60.0.1"), AddressClass::Public);
        assert_eq!(class("64:ff9b::20.60.0.1"), AddressClass::Public);
        assert_eq!(class("64:ff9b::10.0.0.5"), AddressClass::Reserved);
        assert_eq!(class("2002:143c:1::1"), AddressClass::Public);
        assert_eq!(class("::20.60.0.1"), AddressClass::Public);
    }

    #[test]
    fn a_rule_lets_through_what_is_private_or_was_named() {
        let rule = AddressRule { also_private: vec!["100.64.0.0/10".parse().unwrap()], only: Vec::new() };
        assert!(rule.allows([10, 0, 0, 5].into()) && rule.allows([100, 64, 0, 1].into()));
        assert!(!rule.allows([20, 60, 0, 1].into()) && !rule.allows([127, 0, 0, 1].into()));
        assert!(!AddressRule::default().allows([100, 64, 0, 1].into()));
    }

    #[test]
    fn a_rule_with_the_endpoints_address_lets_no_other_private_one_through() {
        let rule = AddressRule { only: vec![[10, 0, 0, 5].into()], ..AddressRule::default() };
        assert!(rule.allows([10, 0, 0, 5].into()) && !rule.allows([10, 0, 0, 6].into()));
        let public = AddressRule { only: vec![[20, 60, 0, 1].into()], ..AddressRule::default() };
        assert!(!public.allows([20, 60, 0, 1].into()));
    }

    proptest! {
        #[test]
        fn what_the_default_rule_allows_the_standard_library_does_not_call_global(bits: u32) {
            let address = Ipv4Addr::from(bits);
            prop_assert_eq!(AddressRule::default().allows(address.into()), address.is_private());
        }

        #[test]
        fn a_mapped_address_is_what_it_maps(bits: u32) {
            let address = Ipv4Addr::from(bits);
            prop_assert_eq!(AddressClass::of(address.to_ipv6_mapped().into()), AddressClass::of(address.into()));
        }
    }
}
