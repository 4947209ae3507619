//! Handles: numbers that look like pointers.
//!
//! What C holds is never an address of ours. It is a number that is given out once, and a table here says what it
//! stands for. So a handle that was freed, one of another kind, or one that never was is found out without touching
//! memory that is not ours, and freeing one while another thread uses it takes it away from the next call only.

use std::any::Any;
use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use libmigrate_embed::{CallError, Failure};

/// A type of C, and what its handles stand for.
pub(crate) trait Handle {
    /// What one stands for.
    type Object: Send + Sync + 'static;
    /// What messages call it.
    const NAME: &'static str;
}

type Table = HashMap<usize, Arc<dyn Any + Send + Sync>>;

static TABLE: RwLock<Option<Table>> = RwLock::new(None);
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// `mi` in the upper two bytes: no address of a 64-bit system, so that a handle that is taken for a pointer faults
/// where it is used.
#[cfg(target_pointer_width = "64")]
const MARK: usize = 0x6d69 << 48;
#[cfg(not(target_pointer_width = "64"))]
const MARK: usize = 0;

/// Makes a handle.
pub(crate) fn keep<H: Handle>(object: H::Object) -> *mut H {
    let object: Arc<dyn Any + Send + Sync> = Arc::new(object);
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let table = table.get_or_insert_default();
    loop {
        // A number does not come again before all 2^48 of them (on 32-bit systems 2^32) were given out.
        let number = MARK | (NEXT.fetch_add(1, Ordering::Relaxed) & !MARK);
        if number != MARK && !table.contains_key(&number) {
            table.insert(number, object);
            return ptr::without_provenance_mut(number);
        }
    }
}

/// What a handle stands for; `call.argument` for NULL and handles of another kind, `call.closed` for one that was
/// freed or never was.
pub(crate) fn get<H: Handle>(handle: *const H) -> Result<Arc<H::Object>, Failure> {
    optional(handle)?.ok_or_else(|| CallError::argument(H::NAME, "it is NULL").into())
}

/// The same, but NULL is none.
pub(crate) fn optional<H: Handle>(handle: *const H) -> Result<Option<Arc<H::Object>>, Failure> {
    if handle.is_null() {
        return Ok(None);
    }
    let found = {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        table.as_ref().and_then(|table| table.get(&handle.addr()).map(Arc::clone))
    };
    let found = found.ok_or(CallError::Closed { what: H::NAME })?;
    let wrong = |_| CallError::argument(H::NAME, "it is a handle of another kind").into();
    found.downcast::<H::Object>().map(Some).map_err(wrong)
}

/// Takes a handle out of the table; none if it is not there, or is of another kind.
pub(crate) fn take<H: Handle>(handle: *const H) -> Option<Arc<H::Object>> {
    // What it stands for is dropped by the caller, outside the lock.
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let table = table.as_mut()?;
    if !table.get(&handle.addr())?.is::<H::Object>() {
        return None;
    }
    table.remove(&handle.addr())?.downcast::<H::Object>().ok()
}

/// How many handles there are.
pub(crate) fn count() -> usize {
    TABLE.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, HashMap::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number;
    impl Handle for Number {
        type Object = u32;
        const NAME: &'static str = "number";
    }

    struct Word;
    impl Handle for Word {
        type Object = String;
        const NAME: &'static str = "word";
    }

    #[test]
    fn a_handle_stands_for_its_object_until_it_is_taken() {
        let handle = keep::<Number>(7);
        assert_eq!(get(handle).as_deref(), Ok(&7));
        assert_eq!(take(handle).as_deref(), Some(&7));
        assert_eq!(get(handle).unwrap_err().code, "call.closed");
        assert_eq!(take(handle), None);
    }

    #[test]
    fn a_handle_of_another_kind_and_null_are_refused_and_left_alone() {
        let handle = keep::<Number>(7);
        let refused = get::<Word>(handle.cast()).unwrap_err();
        assert_eq!((refused.code.as_str(), refused.message.contains("another kind")), ("call.argument", true));
        assert_eq!(take::<Word>(handle.cast()), None);
        assert_eq!(get(handle).as_deref(), Ok(&7));
        assert_eq!(get::<Word>(ptr::null()).unwrap_err().code, "call.argument");
        assert_eq!(optional::<Word>(ptr::null()), Ok(None));
        take(handle);
    }

    #[test]
    fn a_number_does_not_come_again() {
        let first = keep::<Number>(1);
        take(first);
        let second = keep::<Number>(2);
        assert_ne!(first, second);
        assert_eq!(get(first).unwrap_err().code, "call.closed");
        take(second);
    }
}
