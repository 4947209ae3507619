//! What can go wrong with names and routes.

use std::net::IpAddr;

use super::name::shown;
use crate::error::diagnose;

/// What can go wrong with names and routes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateLinkError {
    /// The text is no name, or none of the kind that is needed.
    #[error("{name:?} cannot be used: {problem}")]
    Name {
        /// The text, shortened.
        name: String,
        /// Why not.
        problem: String,
    },
    /// The name leads to an address that bytes must not go to. Nothing was sent there.
    #[error("{host} resolves to {}, and Private Link is required: nothing was sent", Listed(addresses))]
    NotPrivate {
        /// The name.
        host: String,
        /// Everything it resolved to, with the class of each.
        addresses: Vec<(IpAddr, String)>,
    },
    /// The name cannot be resolved now.
    #[error("{host} cannot be resolved: {reason}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        reason: String,
    },
    /// A request to a host that this transport does not serve.
    #[error("{host} is no host of the control plane, and nothing else is asked over its transport")]
    ForeignHost {
        /// The host.
        host: String,
    },
    /// Options that do not go together.
    #[error("{problem}")]
    Options {
        /// Which, and why.
        problem: String,
    },
}

diagnose! {
    PrivateLinkError {
        Name: "private_link.name", Caller,
            "give the name as the portal or Azure Resource Manager shows it";
        NotPrivate: "private_link.not_private", Fatal,
            "run the network preflight on this machine and follow its findings: the private DNS zone, its link or its record is missing, or a forwarder on the way does not reach them";
        Lookup: "private_link.lookup", Retryable,
            "check the name servers of this machine; the network preflight shows what each name answers";
        ForeignHost: "private_link.foreign_host", Caller,
            "use this transport for Azure Resource Manager and Microsoft Entra ID of its cloud only";
        Options: "private_link.options", Caller,
            "change the options as the error says";
    }
}

impl PrivateLinkError {
    /// The one among the causes of an error of a client that uses a transport of this module.
    pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }

    pub(super) fn name(name: &str, problem: &str) -> Self {
        Self::Name { name: shown(name), problem: problem.to_owned() }
    }
}

/// `20.60.0.1 (public), 10.0.0.5 (private)`, or `nothing`.
struct Listed<'a>(&'a [(IpAddr, String)]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (address, class)) in self.0.iter().enumerate() {
            write!(f, "{}{address} ({class})", if at == 0 { "" } else { ", " })?;
        }
        if self.0.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_route_names_every_address_and_its_class() {
        let addresses =
            vec![([20, 60, 0, 1].into(), "public".to_owned()), ([10, 0, 0, 5].into(), "private".to_owned())];
        let error = PrivateLinkError::NotPrivate { host: "acct.blob.core.windows.net".to_owned(), addresses };
        assert!(error.to_string().contains("20.60.0.1 (public), 10.0.0.5 (private)"), "{error}");
    }
}
