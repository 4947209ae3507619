//! Settings: structures that grow at their end, and the JSON that they become.

use std::mem::{MaybeUninit, offset_of};
use std::ptr;

use libmigrate_embed::{CallError, Failure};
use serde_json::{Map, Value};

use crate::border::{array, optional_text};
use crate::{
    migrate_blob, migrate_config, migrate_cycle_settings, migrate_disk, migrate_extent, migrate_reader,
    migrate_token_source,
};

/// A structure of C whose first field is its size, so that fields can be added at its end.
///
/// # Safety
///
/// `#[repr(C)]`, `size_t struct_size` first, and all zeros is a value.
pub(crate) unsafe trait Versioned: Copy {
    /// What messages call it.
    const NAME: &'static str;
    /// Size of its first version.
    const FIRST: usize;
}

macro_rules! versioned {
    ($($type:ident: $name:literal, to $last:ident;)+) => {
        $(
            // SAFETY: each begins so, and has only numbers, pointers and callbacks that may be NULL.
            unsafe impl Versioned for $type {
                const NAME: &'static str = $name;
                // Its last field is a pointer.
                const FIRST: usize = offset_of!($type, $last) + size_of::<usize>();
            }
        )+
    };
}

// Each with the last field of its first version.
versioned! {
    migrate_config: "config", to extra_json;
    migrate_blob: "blob", to extra_json;
    migrate_disk: "disk", to extra_json;
    migrate_cycle_settings: "cycle settings", to extra_json;
    migrate_reader: "reader", to ended;
    migrate_token_source: "token source", to ended;
}

/// Reads a structure of this version, an older or a newer one: what the caller's does not have is zero; what ours
/// does not have must be.
///
/// # Safety
///
/// `given` is NULL or points to as many bytes as its `struct_size` says.
pub(crate) unsafe fn read<T: Versioned>(given: *const T) -> Result<Option<T>, Failure> {
    if given.is_null() {
        return Ok(None);
    }
    let wrong = |problem: &str| Err(CallError::argument(T::NAME, problem).into());
    if !given.is_aligned() {
        return wrong("its pointer is not aligned");
    }
    // SAFETY: it is neither NULL nor unaligned, and begins with its size.
    let size = unsafe { given.cast::<usize>().read() };
    if size < T::FIRST {
        return wrong("its struct_size is not set, or too small");
    }
    if size > 4096 {
        return wrong("its struct_size is too large");
    }
    // SAFETY: it has that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(given.cast::<u8>(), size) };
    let (known, unknown) = bytes.split_at(size.min(size_of::<T>()));
    if unknown.iter().any(|byte| *byte != 0) {
        return wrong("it sets a field that this version of the library does not have");
    }
    let mut ours = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is no longer than `ours`, and all zeros is a value of it.
    unsafe {
        ptr::copy_nonoverlapping(known.as_ptr(), ours.as_mut_ptr().cast(), known.len());
        Ok(Some(ours.assume_init()))
    }
}

/// The same, where there must be one.
///
/// # Safety
///
/// That of [`read`].
pub(crate) unsafe fn read_required<T: Versioned>(given: *const T) -> Result<T, Failure> {
    // SAFETY: the same.
    unsafe { read(given) }?.ok_or_else(|| CallError::argument(T::NAME, "it is NULL").into())
}

/// The JSON that a structure becomes.
pub(crate) struct Fields {
    what: &'static str,
    fields: Map<String, Value>,
}

impl Fields {
    /// What `extra_json` says.
    pub(crate) fn beginning(what: &'static str, extra_json: Option<&str>) -> Result<Self, Failure> {
        let fields = match extra_json.map(str::trim) {
            None | Some("") => Map::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(fields)) => fields,
                Ok(_) => return Err(CallError::argument(what, "its extra_json is no JSON object").into()),
                Err(e) => return Err(CallError::argument(what, format!("its extra_json is no JSON: {e}")).into()),
            },
        };
        Ok(Self { what, fields })
    }

    /// Adds a field of the structure, unless it was left out.
    pub(crate) fn put(&mut self, name: &str, value: Option<impl Into<Value>>) -> Result<(), Failure> {
        let Some(value) = value else { return Ok(()) };
        if self.fields.insert(name.to_owned(), value.into()).is_some() {
            let problem = "it is in the structure and in extra_json";
            return Err(CallError::argument(format!("{}.{name}", self.what), problem).into());
        }
        Ok(())
    }

    /// Adds a number, of which 0 is none.
    pub(crate) fn put_number(&mut self, name: &str, number: u64) -> Result<(), Failure> {
        self.put(name, (number != 0).then_some(number))
    }

    /// A number that is there.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name)?.as_u64()
    }

    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }
}

fn extents(extents: &[migrate_extent]) -> Value {
    let json = |extent: &migrate_extent| serde_json::json!({ "offset": extent.offset, "len": extent.len });
    extents.iter().map(json).collect()
}

/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn engine(config: *const migrate_config) -> Result<String, Failure> {
    // SAFETY: the same rules.
    unsafe {
        let Some(config) = read(config)? else { return Ok(String::new()) };
        let mut fields = Fields::beginning("config", optional_text(config.extra_json, "config.extra_json")?)?;
        fields.put("state_dir", optional_text(config.state_dir, "config.state_dir")?)?;
        fields.put_number("memory_limit", config.memory_limit)?;
        fields.put_number("bytes_per_second", config.bytes_per_second)?;
        fields.put_number("run_bytes", config.run_bytes)?;
        fields.put_number("block_size", config.block_size)?;
        fields.put_number("threads", config.threads.into())?;
        fields.put_number("readers", config.readers.into())?;
        fields.put_number("requests_in_flight", config.requests_in_flight.into())?;
        fields.put_number("requests_in_flight_in_all", config.requests_in_flight_in_all.into())?;
        fields.put_number("lease_seconds", config.lease_seconds.into())?;
        Ok(fields.to_json())
    }
}

/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn blob(blob: *const migrate_blob) -> Result<String, Failure> {
    // SAFETY: the same rules.
    unsafe {
        let blob = read_required(blob)?;
        let mut fields = Fields::beginning("blob", optional_text(blob.extra_json, "blob.extra_json")?)?;
        fields.put("url", optional_text(blob.url, "blob.url")?)?;
        let sas = optional_text(blob.sas, "blob.sas")?;
        fields.put("credential", sas.map(|sas| serde_json::json!({ "sas": sas })))?;
        fields.put("ca_file", optional_text(blob.ca_file, "blob.ca_file")?)?;
        fields.put("proxy", optional_text(blob.proxy, "blob.proxy")?)?;
        let public = serde_json::json!({ "required": false });
        fields.put("private_link", (blob.allow_public_route != 0).then_some(public))?;
        Ok(fields.to_json())
    }
}

/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn disk(disk: *const migrate_disk) -> Result<Fields, Failure> {
    // SAFETY: the same rules.
    unsafe {
        let disk = read_required(disk)?;
        let mut fields = Fields::beginning("disk", optional_text(disk.extra_json, "disk.extra_json")?)?;
        fields.put_number("size_bytes", disk.size_bytes)?;
        fields.put("identity", optional_text(disk.identity, "disk.identity")?)?;
        fields.put("point", optional_text(disk.point, "disk.point")?)?;
        let zero = array(disk.zero, disk.zero_count, "disk.zero")?;
        fields.put("zero", (!zero.is_empty()).then(|| extents(zero)))?;
        fields.put_number("max_in_flight", disk.max_in_flight.into())?;
        Ok(fields)
    }
}

/// # Safety
///
/// The rules of the header.
pub(crate) unsafe fn cycle(settings: *const migrate_cycle_settings) -> Result<String, Failure> {
    // SAFETY: the same rules.
    unsafe {
        let Some(cycle) = read(settings)? else { return Ok(String::new()) };
        let mut fields = Fields::beginning("cycle", optional_text(cycle.extra_json, "cycle.extra_json")?)?;
        fields.put("kind", optional_text(cycle.kind, "cycle.kind")?)?;
        fields.put("change_id", optional_text(cycle.change_id, "cycle.change_id")?)?;
        fields.put("moving", (cycle.moving != 0).then_some(true))?;
        let base = optional_text(cycle.changes_base, "cycle.changes_base")?;
        let end = optional_text(cycle.changes_end, "cycle.changes_end")?;
        let changed = array(cycle.changes, cycle.change_count, "cycle.changes")?;
        let changes = match (base, end) {
            (None, None) if changed.is_empty() => None,
            (Some(base), Some(end)) => {
                Some(serde_json::json!({ "base": base, "end": end, "extents": extents(changed) }))
            }
            _ => return Err(CallError::argument("cycle.changes", "a change list needs its base and its end").into()),
        };
        fields.put("changes", changes)?;
        Ok(fields.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_structure_of_this_version_is_its_first() {
        assert_eq!(migrate_config::FIRST, size_of::<migrate_config>());
        assert_eq!(migrate_blob::FIRST, size_of::<migrate_blob>());
        assert_eq!(migrate_disk::FIRST, size_of::<migrate_disk>());
        assert_eq!(migrate_cycle_settings::FIRST, size_of::<migrate_cycle_settings>());
        assert_eq!(migrate_reader::FIRST, size_of::<migrate_reader>());
        assert_eq!(migrate_token_source::FIRST, size_of::<migrate_token_source>());
    }

    fn config() -> migrate_config {
        // SAFETY: all zeros is a value of it.
        let zero: migrate_config = unsafe { MaybeUninit::zeroed().assume_init() };
        migrate_config { struct_size: size_of::<migrate_config>(), ..zero }
    }

    #[test]
    fn fields_become_json_and_none_is_said_twice() {
        // SAFETY: texts end with a zero byte, and the rest is NULL.
        let json = |config: migrate_config| unsafe { engine(&raw const config) };
        assert_eq!(json(config()).unwrap(), "{}");
        let given = migrate_config { threads: 3, extra_json: c"{\"bridge_gaps\": true}".as_ptr(), ..config() };
        assert_eq!(json(given).unwrap(), r#"{"bridge_gaps":true,"threads":3}"#);
        let twice = migrate_config { threads: 3, extra_json: c"{\"threads\": 4}".as_ptr(), ..config() };
        assert!(json(twice).unwrap_err().message.contains("config.threads"));
        let broken = migrate_config { extra_json: c"[]".as_ptr(), ..config() };
        assert_eq!(json(broken).unwrap_err().code, "call.argument");
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { engine(ptr::null()) }.unwrap(), "");
    }

    #[repr(C)]
    struct Newer {
        known: migrate_config,
        added: u64,
    }

    #[test]
    fn a_newer_structure_is_read_while_it_says_nothing_new() {
        let read_newer = |added| {
            let known = migrate_config { struct_size: size_of::<Newer>(), threads: 3, ..config() };
            let newer = Newer { known, added };
            // SAFETY: it has as many bytes as it says.
            unsafe { read((&raw const newer).cast::<migrate_config>()) }.map(|config| config.unwrap().threads)
        };
        assert_eq!(read_newer(0), Ok(3));
        assert!(read_newer(1).unwrap_err().message.contains("does not have"));
    }

    #[test]
    fn a_structure_without_its_size_is_refused() {
        for struct_size in [0, 8, 4097] {
            let wrong = migrate_config { struct_size, ..config() };
            // SAFETY: its size is refused before anything else is read.
            assert_eq!(unsafe { read(&raw const wrong) }.map(drop).unwrap_err().code, "call.argument");
        }
    }
}
