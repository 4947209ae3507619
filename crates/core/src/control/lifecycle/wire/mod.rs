//! What the lifecycle is on the wire: two families of resources, as data.
//!
//! `VMware` machines are `replicationMigrationItems`, Hyper-V machines and servers with an agent
//! `replicationProtectedItems`, both below a protection container of a Recovery Services vault.
//!
//! ```text
//! word.rs    the service's enums
//! item.rs    the resources, as far as the lifecycle needs them
//! call.rs    which operation each verb is
//! meaning.rs which state each word of the service is
//! ```
//!
//! Source: Azure REST API specification, Site Recovery, service.json and its examples (2024-04-01).

mod call;
mod item;
mod meaning;
mod word;

pub use self::call::{CALLS, CHOICE_CALLS, Call, ChoiceCall, Method, call};
pub use self::item::{
    InitialReplicationDetails, Item, MigrationItem, MigrationProperties, ProtectedDetails, ProtectedItem,
    ProtectedProperties, VmwareCbtDetails,
};
pub use self::meaning::{Field, MEANINGS, Meaning, Means};
pub use self::word::{MigrationItemOperation, MigrationState, ResyncState, TestMigrateState};
