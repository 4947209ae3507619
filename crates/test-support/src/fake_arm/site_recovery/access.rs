//! Whether a vault's identity may use the storage accounts of a replication.
//!
//! Source: Microsoft Learn, "Migrate servers to Azure by using Private Link" (2022-12-14): Contributor, and with
//! it Storage Blob Data Contributor on a standard account or Storage Blob Data Owner on a premium one. For
//! `VMware` the service grants both by itself.

use serde_json::Value;

use super::super::answer::ArmError;
use super::super::place::up_to;
use super::super::services::Standing;
use super::super::world::World;

/// Who grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// The user, before anything is enabled.
    ByTheUser,
    /// The service, where the user did not.
    ByTheService,
}

/// That the vault of `item` may use the account.
pub(super) fn demand(world: &World, item: &str, account: &str, granted: Granted) -> Result<(), ArmError> {
    let found = world.get(account).ok_or_else(|| {
        ArmError::bad_request("ResourceNotFound", format!("The storage account {account} was not found."))
    })?;
    let premium = found.pointer("/sku/tier").is_some_and(|tier| tier == "Premium");
    let data = if premium { "Storage Blob Data Owner" } else { "Storage Blob Data Contributor" };
    let vault = up_to(item, "vaults").unwrap_or_default();
    let principal = world.get(vault).and_then(|vault| vault.pointer("/identity/principalId")).and_then(Value::as_str);
    let Some(principal) = principal else {
        return match granted {
            Granted::ByTheService => Ok(()),
            Granted::ByTheUser => Err(refused("The vault has no identity.", account)),
        };
    };
    for role in ["Contributor", data] {
        match world.standing(principal, role, account) {
            Standing::InEffect => {}
            Standing::NotGranted if granted == Granted::ByTheService => {}
            Standing::NotGranted | Standing::NotYet => {
                return Err(refused(
                    &format!("The vault's identity {principal} does not have the role '{role}'."),
                    account,
                ));
            }
        }
    }
    Ok(())
}

fn refused(why: &str, account: &str) -> ArmError {
    let error = ArmError::new(403, "150097", format!("The vault cannot access the storage account {account}."));
    error.because("AuthorizationFailed", why)
}
