//! Which size of machine comes closest to a server, and why not another.
//!
//! The portal "picks a size based on the closest match in the Azure subscription" (Microsoft Learn, "Migrate servers
//! to Azure by using Private Link", 2022-12-14) and does not say how. Here: a size fits when it has at least as much
//! of everything as the server needs. Of those that fit, the one with the fewest cores is the closest, then the one
//! with the least memory, then one that does not share its processors, then the newest version, then the name.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::server::{DiskSettings, ServerSettings};
use super::target::Availability;
use crate::control::model::{Firmware, Machine};

/// What a server needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeNeed {
    /// Processors.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disks besides the operating system's.
    pub data_disks: u32,
    /// Network interfaces.
    pub nics: u32,
    /// Whether a disk is a premium one.
    pub premium_disks: bool,
    /// The generation that its firmware asks for: 1 for BIOS, 2 for UEFI, 0 where nobody knows.
    pub generation: u8,
    /// The zone that it must be offered in.
    pub zone: Option<String>,
}

impl SizeNeed {
    /// What a server needs with these settings; of a machine that nobody has seen, only what the settings say.
    pub fn of(server: &ServerSettings, machine: Option<&Machine>) -> Self {
        let nics = server.nics.iter().filter(|nic| nic.role.place().is_some()).count();
        let premium = |disk: &DiskSettings| disk.disk_type.as_str().starts_with("Premium");
        Self {
            cores: machine.and_then(|machine| machine.cores).unwrap_or(0),
            memory_mib: machine.and_then(|machine| machine.memory_mb).unwrap_or(0),
            data_disks: u32::try_from(server.disks.iter().filter(|disk| !disk.is_os).count()).unwrap_or(u32::MAX),
            nics: u32::try_from(nics).unwrap_or(u32::MAX),
            premium_disks: server.disks.iter().any(premium),
            generation: match machine.and_then(|machine| machine.firmware.as_ref()) {
                Some(Firmware::Bios) => 1,
                Some(Firmware::Uefi) => 2,
                _ => 0,
            },
            zone: match &server.availability {
                Availability::Zone(zone) => Some(zone.clone()),
                Availability::None | Availability::Set(_) => None,
            },
        }
    }
}

/// A size that the subscription offers in a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeChoice {
    /// `Standard_D4s_v5`.
    pub name: String,
    /// Processors.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Data disks at most.
    pub data_disks: u32,
    /// Network interfaces at most.
    pub nics: u32,
    /// Graphics processors.
    pub gpus: u32,
    /// Whether it takes premium disks.
    pub premium_disks: bool,
    /// The generations that it starts: 1, 2 or both.
    pub generations: Vec<u8>,
    /// The zones that it is offered in.
    pub zones: Vec<String>,
    /// Why this subscription cannot have it; empty where it can.
    pub restrictions: Vec<String>,
}

/// Why a size does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Misfit {
    /// The subscription cannot have it.
    Restricted {
        /// The service's reasons.
        reasons: Vec<String>,
    },
    /// It has graphics processors, which cost and which nobody asked for.
    Gpus,
    /// It has too little of something.
    TooLittle {
        /// Of what.
        what: &'static str,
        /// What it has.
        has: u64,
        /// What is needed.
        needs: u64,
    },
    /// It takes no premium disks.
    NoPremiumDisks,
    /// It does not start this generation.
    Generation {
        /// The generation.
        needs: u8,
    },
    /// It is not offered in the zone.
    Zone {
        /// The zone.
        needs: String,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restricted { reasons } => {
                write!(f, "this subscription cannot have it ({})", reasons.join(", "))
            }
            Self::Gpus => f.write_str("it has graphics processors"),
            Self::TooLittle { what, has, needs } => write!(f, "{what}: it has {has}, {needs} are needed"),
            Self::NoPremiumDisks => f.write_str("it takes no premium disks"),
            Self::Generation { needs } => write!(f, "it does not start generation {needs}"),
            Self::Zone { needs } => write!(f, "it is not offered in zone {needs}"),
        }
    }
}

/// A size that was looked at, and why it was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The size.
    pub name: String,
    /// Why it does not fit; empty where it fits, but another one is closer.
    pub misfits: Vec<Misfit>,
}

/// No size fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of {} sizes fits", considered.len())]
pub struct NoSize {
    /// All of them, with what keeps each from fitting.
    pub considered: Vec<Considered>,
}

/// Why `size` does not fit; empty where it does.
pub fn misfits(need: &SizeNeed, size: &SizeChoice) -> Vec<Misfit> {
    let mut found = Vec::new();
    if !size.restrictions.is_empty() {
        found.push(Misfit::Restricted { reasons: size.restrictions.clone() });
    }
    let measures = [
        ("cores", u64::from(size.cores), u64::from(need.cores)),
        ("memory in MiB", size.memory_mib, need.memory_mib),
        ("data disks", u64::from(size.data_disks), u64::from(need.data_disks)),
        ("network interfaces", u64::from(size.nics), u64::from(need.nics)),
    ];
    let too_little = measures.into_iter().filter(|(_, has, needs)| has < needs);
    found.extend(too_little.map(|(what, has, needs)| Misfit::TooLittle { what, has, needs }));
    if need.premium_disks && !size.premium_disks {
        found.push(Misfit::NoPremiumDisks);
    }
    if need.generation != 0 && !size.generations.contains(&need.generation) {
        found.push(Misfit::Generation { needs: need.generation });
    }
    if let Some(zone) = &need.zone
        && !size.zones.contains(zone)
    {
        found.push(Misfit::Zone { needs: zone.clone() });
    }
    found
}

/// The size that comes closest to what is needed, and all others with the reason why it is not them. Takes time in
/// proportion to the number of sizes and its logarithm.
///
/// # Errors
///
/// When none fits: with the reason for each.
pub fn closest_size<'a>(
    need: &SizeNeed,
    offered: &'a [SizeChoice],
) -> Result<(&'a SizeChoice, Vec<Considered>), NoSize> {
    let mut fitting: Vec<&SizeChoice> = Vec::new();
    let mut considered = Vec::new();
    for size in offered {
        let mut misfits = misfits(need, size);
        if size.gpus > 0 {
            misfits.push(Misfit::Gpus);
        }
        if misfits.is_empty() {
            fitting.push(size);
        } else {
            considered.push(Considered { name: size.name.clone(), misfits });
        }
    }
    fitting.sort_by_key(|size| {
        (size.cores, size.memory_mib, shares_processors(&size.name), Reverse(version(&size.name)), size.name.clone())
    });
    let Some((closest, others)) = fitting.split_first() else {
        return Err(NoSize { considered });
    };
    let farther = others.iter().map(|size| Considered { name: size.name.clone(), misfits: Vec::new() });
    Ok((closest, farther.chain(considered).collect()))
}

/// The B series: processors at full speed for some of the time only.
fn shares_processors(name: &str) -> bool {
    name.strip_prefix("Standard_B").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `5` of `Standard_D4s_v5`; the first version has no number.
fn version(name: &str) -> u32 {
    name.rsplit_once("_v").and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(name: &str, cores: u32, memory_gib: u64) -> SizeChoice {
        SizeChoice {
            name: name.into(),
            cores,
            memory_mib: memory_gib << 10,
            data_disks: cores * 2,
            nics: 2,
            gpus: 0,
            premium_disks: name.contains('s'),
            generations: vec![1, 2],
            zones: vec!["1".into(), "2".into()],
            restrictions: Vec::new(),
        }
    }

    fn need(cores: u32, memory_gib: u64) -> SizeNeed {
        SizeNeed { cores, memory_mib: memory_gib << 10, nics: 1, generation: 2, ..SizeNeed::default() }
    }

    fn closest(need: &SizeNeed, offered: &[SizeChoice]) -> String {
        closest_size(need, offered).unwrap().0.name.clone()
    }

    #[test]
    fn the_fewest_cores_then_the_least_memory_come_closest() {
        let offered = [
            size("Standard_D8s_v5", 8, 32),
            size("Standard_E4s_v5", 4, 32),
            size("Standard_D4s_v5", 4, 16),
            size("Standard_D2s_v5", 2, 8),
        ];
        assert_eq!(closest(&need(4, 16), &offered), "Standard_D4s_v5");
        assert_eq!(closest(&need(3, 20), &offered), "Standard_E4s_v5");
        assert_eq!(closest(&need(5, 1), &offered), "Standard_D8s_v5");
    }

    #[test]
    fn of_equals_the_one_with_its_own_processors_and_the_newest_is_closest() {
        let offered = [size("Standard_B4ms", 4, 16), size("Standard_D4s_v3", 4, 16), size("Standard_D4s_v5", 4, 16)];
        assert_eq!(closest(&need(4, 16), &offered), "Standard_D4s_v5");
        assert_eq!(closest(&need(4, 16), &offered[..1]), "Standard_B4ms");
    }

    #[test]
    fn each_reason_against_a_size_is_told() {
        let mut small = size("Standard_A2_v2", 2, 4);
        small.premium_disks = false;
        small.generations = vec![1];
        small.zones.clear();
        small.gpus = 1;
        small.restrictions = vec!["NotAvailableForSubscription".into()];
        let need = SizeNeed { data_disks: 9, nics: 3, premium_disks: true, zone: Some("3".into()), ..need(4, 16) };
        let NoSize { considered } = closest_size(&need, &[small]).unwrap_err();
        let words: Vec<_> = considered[0].misfits.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "this subscription cannot have it (NotAvailableForSubscription)",
                "cores: it has 2, 4 are needed",
                "memory in MiB: it has 4096, 16384 are needed",
                "data disks: it has 4, 9 are needed",
                "network interfaces: it has 2, 3 are needed",
                "it takes no premium disks",
                "it does not start generation 2",
                "it is not offered in zone 3",
                "it has graphics processors",
            ]
        );
    }

    #[test]
    fn nothing_offered_is_told_as_such() {
        assert_eq!(closest_size(&need(1, 1), &[]).unwrap_err().to_string(), "none of 0 sizes fits");
    }

    proptest! {
        #[test]
        fn what_is_chosen_fits_and_nothing_that_fits_is_smaller_in_everything(
            offers in proptest::collection::vec((1u32..64, 1u64..256, 0u32..9), 0..20),
            cores in 1u32..32,
            memory in 1u64..128,
        ) {
            let offered: Vec<_> = offers
                .iter()
                .map(|&(cores, memory, version)| size(&format!("Standard_D{cores}s_v{version}"), cores, memory))
                .collect();
            let need = need(cores, memory);
            match closest_size(&need, &offered) {
                Ok((chosen, considered)) => {
                    prop_assert!(misfits(&need, chosen).is_empty());
                    prop_assert_eq!(considered.len() + 1, offered.len());
                    for other in offered.iter().filter(|other| misfits(&need, other).is_empty()) {
                        prop_assert!((chosen.cores, chosen.memory_mib) <= (other.cores, other.memory_mib));
                    }
                }
                Err(NoSize { considered }) => {
                    prop_assert_eq!(considered.len(), offered.len());
                    prop_assert!(considered.iter().all(|one| !one.misfits.is_empty()));
                }
            }
        }
    }
}
