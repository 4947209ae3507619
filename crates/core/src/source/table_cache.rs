//! Tables of an image that are too many to hold at once, the ones used last kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// At most `capacity` tables, by number; the one not used for longest makes room.
///
/// Shared by all readers of an image. A table is read outside the lock, so two threads may read the same
/// one at once; that costs a read, never a wait. Finding the oldest looks at all of them, which is less
/// than reading the table that needs its place.
#[derive(Debug)]
pub(super) struct TableCache<T> {
    capacity: usize,
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    clock: u64,
    tables: HashMap<u64, (u64, Arc<T>)>,
}

impl<T> TableCache<T> {
    /// Keeps up to `capacity` tables, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), kept: Mutex::new(Kept { clock: 0, tables: HashMap::new() }) }
    }

    /// Table `number`, from `read` when it is not at hand.
    pub(super) fn get<E>(&self, number: u64, read: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        if let Some(table) = self.touch(number) {
            return Ok(table);
        }
        let table = Arc::new(read()?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.tables.len() >= self.capacity
            && let Some(oldest) = kept.tables.iter().min_by_key(|(_, (used, _))| *used).map(|(number, _)| *number)
        {
            kept.tables.remove(&oldest);
        }
        kept.clock += 1;
        let now = kept.clock;
        kept.tables.insert(number, (now, Arc::clone(&table)));
        Ok(table)
    }

    fn touch(&self, number: u64) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let (used, table) = kept.tables.get_mut(&number)?;
        *used = now;
        Some(Arc::clone(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cache: &TableCache<u64>, number: u64) -> bool {
        let mut was_read = false;
        let table = cache.get(number, || {
            was_read = true;
            Ok::<_, ()>(number * 10)
        });
        assert_eq!(*table.unwrap(), number * 10);
        was_read
    }

    #[test]
    fn a_table_is_read_once_while_it_is_kept() {
        let cache = TableCache::new(2);

        assert!(read(&cache, 1));
        assert!(!read(&cache, 1));
    }

    #[test]
    fn the_table_not_used_for_longest_makes_room() {
        let cache = TableCache::new(2);
        read(&cache, 1);
        read(&cache, 2);
        read(&cache, 1);

        read(&cache, 3);

        assert!(!read(&cache, 1), "used since");
        assert!(read(&cache, 2), "made room");
    }

    #[test]
    fn a_failed_read_is_tried_again() {
        let cache = TableCache::<u64>::new(2);

        assert_eq!(cache.get(1, || Err("broken")), Err("broken"));
        assert!(read(&cache, 1));
    }
}
