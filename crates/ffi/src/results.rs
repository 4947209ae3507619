//! Recovery points and reports.

use std::ffi::{CString, c_char};
use std::ptr;

use serde_json::Value;

use crate::border::{c_text, free, getter, quietly};
use crate::handle::{self, Handle};

/// A recovery point: a moment of the disk that the target holds whole.
pub struct migrate_point(());

/// What a verification found.
pub struct migrate_report(());

/// A recovery point as it was told, and its texts as C reads them.
pub(crate) struct PointObject {
    fields: Value,
    json: CString,
    kind: Option<CString>,
    root: Option<CString>,
    change_id: Option<CString>,
    sealed_at: Option<CString>,
}

/// A report as it was told.
pub(crate) struct ReportObject {
    fields: Value,
    json: CString,
}

impl Handle for migrate_point {
    type Object = PointObject;
    const NAME: &'static str = "point";
}

impl Handle for migrate_report {
    type Object = ReportObject;
    const NAME: &'static str = "report";
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

impl PointObject {
    pub(crate) fn new(json: String) -> Self {
        let fields = read(&json);
        let text = |name: &str| fields[name].as_str().map(c_text);
        Self {
            kind: text("kind"),
            root: text("root"),
            change_id: text("change_id"),
            sealed_at: text("sealed_at"),
            json: c_text(json),
            fields,
        }
    }
}

impl ReportObject {
    pub(crate) fn new(json: String) -> Self {
        Self { fields: read(&json), json: c_text(json) }
    }
}

fn of(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}

/// Number of its cycle; grows by one with each. 0 if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_cycle(point: *const migrate_point) -> u32 {
    getter(0, || Ok(handle::get(point)?.fields["cycle"].as_u64().and_then(|cycle| cycle.try_into().ok()).unwrap_or(0)))
}

/// Kind of its cycle: `initial`, `delta`, `final`, `resync`, …
///
/// Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_kind(point: *const migrate_point) -> *const c_char {
    getter(ptr::null(), || Ok(of(handle::get(point)?.kind.as_ref())))
}

/// Root of its digest tree: what the disk is, in 64 hexadecimal digits.
///
/// Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_root(point: *const migrate_point) -> *const c_char {
    getter(ptr::null(), || Ok(of(handle::get(point)?.root.as_ref())))
}

/// The id of the source's moment, from which the next change list goes on; NULL if none was given.
///
/// Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_change_id(point: *const migrate_point) -> *const c_char {
    getter(ptr::null(), || Ok(of(handle::get(point)?.change_id.as_ref())))
}

/// When it was sealed, by this machine's clock, in RFC 3339.
///
/// Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_sealed_at(point: *const migrate_point) -> *const c_char {
    getter(ptr::null(), || Ok(of(handle::get(point)?.sealed_at.as_ref())))
}

/// Size of the replica's disk in bytes: the source's, rounded up to whole MiB. 0 if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_disk_bytes(point: *const migrate_point) -> u64 {
    getter(0, || Ok(handle::get(point)?.fields["disk_bytes"].as_u64().unwrap_or(0)))
}

/// What its cycle came to, by name: `read`, `hole`, `unlisted`, `sent`, `cleared`, `skipped`, `hole_cleared` (bytes),
/// `puts`, `clears` (requests). 0 if `point` is no point, or there is no count of that name. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_point_count(point: *const migrate_point, name: *const c_char) -> u64 {
    // SAFETY: the caller keeps the header's rules.
    unsafe {
        getter(0, || {
            let name = crate::border::text(name, "name")?;
            Ok(handle::get(point)?.fields["counts"][name].as_u64().unwrap_or(0))
        })
    }
}

/// All of it as JSON.
///
/// Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_point_json(point: *const migrate_point) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(point)?.json.as_ptr()))
}

/// Frees a point, and its texts with it, and sets the variable to NULL; the recovery point at the target stays.
/// Nothing happens if `point` or what it points to is NULL or freed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_point_free(point: *mut *mut migrate_point) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(point) }));
}

/// Whether nothing differs. False if `report` is no report. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_report_equal(report: *const migrate_report) -> bool {
    getter(false, || Ok(handle::get(report)?.fields["equal"].as_bool().unwrap_or(false)))
}

/// How many blocks differ (the footer counts as one). 0 if `report` is no report: ask migrate_report_equal. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_report_mismatched(report: *const migrate_report) -> u64 {
    getter(0, || Ok(handle::get(report)?.fields["mismatched"].as_u64().unwrap_or(0)))
}

/// How many blocks were compared. 0 if `report` is no report. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_report_compared(report: *const migrate_report) -> u64 {
    getter(0, || Ok(handle::get(report)?.fields["compared"].as_u64().unwrap_or(0)))
}

/// All of it as JSON, with where the differences are.
///
/// Owner: the report; valid until it is freed. NULL if `report` is no report. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn migrate_report_json(report: *const migrate_report) -> *const c_char {
    getter(ptr::null(), || Ok(handle::get(report)?.json.as_ptr()))
}

/// Frees a report, and its text with it, and sets the variable to NULL. Nothing happens if `report` or what it points
/// to is NULL or freed. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn migrate_report_free(report: *mut *mut migrate_report) {
    // SAFETY: the caller keeps the header's rules.
    quietly(|| drop(unsafe { free(report) }));
}
