//! The server's time: the machine's, moved ahead by tests that will not wait for a lease to run out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The machine's time plus what tests added.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_millis: AtomicU64,
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + Duration::from_millis(self.ahead_millis.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_millis.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

/// As in `Last-Modified` (RFC 9110, 5.6.7).
pub(crate) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// As in `x-ms-snapshot`: seven digits of the second.
pub(crate) fn snapshot_date(time: Timestamp) -> String {
    format!("{}.{:07}Z", time.strftime("%Y-%m-%dT%H:%M:%S"), time.subsec_nanosecond() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_service_writes_them() {
        let time: Timestamp = "2026-03-05T07:08:09.12345678Z".parse().unwrap();
        assert_eq!(http_date(time), "Thu, 05 Mar 2026 07:08:09 GMT");
        assert_eq!(snapshot_date(time), "2026-03-05T07:08:09.1234567Z");
    }
}
