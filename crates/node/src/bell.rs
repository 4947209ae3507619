//! How threads of an engine call the environment's own thread.

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};

/// A JavaScript function that any thread may have called. It must not throw.
///
/// At most one call waits: whoever is called looks at everything that there is to see. An environment that has
/// ended is not called, which is no error.
pub(crate) enum Bell {
    /// Keeps the process alive, as a request under way does.
    Holding(ThreadsafeFunction<(), (), (), napi::Status, false, false, 1>),
    /// Lets the process end, as a listener does.
    Weak(ThreadsafeFunction<(), (), (), napi::Status, false, true, 1>),
}

impl Bell {
    /// One that rings `callback`; with `weak`, it lets the process end.
    pub(crate) fn new(callback: &Function<'_, (), ()>, weak: bool) -> napi::Result<Self> {
        let bell = callback.build_threadsafe_function::<()>().callee_handled::<false>().max_queue_size::<1>();
        Ok(if weak { Self::Weak(bell.weak::<true>().build()?) } else { Self::Holding(bell.build()?) })
    }

    /// Rings, and never waits.
    pub(crate) fn ring(&self) {
        // Full: a call is on its way already. Closing: nobody is there any more.
        let _ = match self {
            Self::Holding(bell) => bell.call((), ThreadsafeFunctionCallMode::NonBlocking),
            Self::Weak(bell) => bell.call((), ThreadsafeFunctionCallMode::NonBlocking),
        };
    }
}
