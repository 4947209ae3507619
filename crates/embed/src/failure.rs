//! Errors as the other languages see them: the same five things each time.

use std::error::Error as _;

use libmigrate::error::ErrorKind;
use serde::{Deserialize, Serialize};

/// An error of this library, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable: `area.what`. Every code has a section in the guide's catalogue of errors.
    pub code: String,
    /// Whose turn it is.
    pub kind: ErrorKind,
    /// Whether the same call may succeed later without any change.
    pub retryable: bool,
    /// What failed, on what, and why. Never a secret.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// What it came from, nearest first.
    pub causes: Vec<String>,
}

impl Failure {
    /// The error as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a failure has only strings and a flag")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<libmigrate::Error> for Failure {
    fn from(error: libmigrate::Error) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
        Self {
            code: error.code().to_owned(),
            kind: error.kind(),
            retryable: error.is_retryable(),
            message: error.to_string(),
            remedy: error.remedy().to_owned(),
            causes,
        }
    }
}

macro_rules! from_core {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                libmigrate::Error::from(error).into()
            }
        })+
    };
}

from_core!(
    libmigrate::ReplicateError,
    libmigrate::control::arm::ArmError,
    libmigrate::control::cutover::CutoverError,
    libmigrate::control::plan::ApplyError,
    libmigrate::schedule::ScheduleError,
    libmigrate::source::ChangeListError,
    libmigrate::source::SourceError,
    libmigrate::target::TargetError,
);

/// What can go wrong between a language and the library, before the library is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// An argument has the wrong type, form or range.
    #[error("{argument} cannot be used: {problem}")]
    Argument {
        /// Which.
        argument: String,
        /// Why not.
        problem: String,
    },
    /// The object was closed, or used up.
    #[error("the {what} is closed")]
    Closed {
        /// Which.
        what: &'static str,
    },
    /// The process was forked after the engine was opened.
    #[error("the engine was opened in process {opened_in}, and its threads are there and not in this one")]
    Forked {
        /// Which process.
        opened_in: u32,
    },
    /// A blocking call on one of the engine's own threads.
    #[error("a blocking call on a thread of the engine would wait for itself")]
    Reentered,
    /// The system gives no threads.
    #[error("the system gives the engine no threads: {problem}")]
    Threads {
        /// Its words.
        problem: String,
    },
    /// The process has another log already.
    #[error("this library's log was opened before, and there is one in a process")]
    LogOpen,
}

impl CallError {
    /// Every code with its kind and its remedy, for the catalogue.
    pub const CATALOGUE: &[(&str, ErrorKind, &str)] = &[
        ("call.argument", ErrorKind::Caller, "correct the argument"),
        ("call.closed", ErrorKind::Caller, "open a new one"),
        ("call.forked", ErrorKind::Caller, "open an engine in the child process, or start it by spawn instead of fork"),
        ("call.reentered", ErrorKind::Caller, "make the call on a thread of your own"),
        ("call.threads", ErrorKind::Fatal, "raise the process's limit of threads or memory"),
        ("call.log_open", ErrorKind::Caller, "read the log that is open, or close it first"),
    ];

    /// An argument and what is wrong with it.
    pub fn argument(argument: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Argument { argument: argument.into(), problem: problem.into() }
    }

    const fn row(&self) -> usize {
        match self {
            Self::Argument { .. } => 0,
            Self::Closed { .. } => 1,
            Self::Forked { .. } => 2,
            Self::Reentered => 3,
            Self::Threads { .. } => 4,
            Self::LogOpen => 5,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (code, kind, remedy) = CallError::CATALOGUE[error.row()];
        Self {
            code: code.to_owned(),
            kind,
            retryable: kind == ErrorKind::Retryable,
            message: error.to_string(),
            remedy: remedy.to_owned(),
            causes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_library_keeps_code_remedy_and_causes() {
        let error = libmigrate::source::open("/nowhere/web01.raw", libmigrate::source::Format::Raw).err().unwrap();
        let failure = Failure::from(error);
        assert_eq!((failure.code.as_str(), failure.retryable), ("source.open", false));
        assert!(failure.message.contains("/nowhere/web01.raw") && !failure.remedy.is_empty());
        assert_eq!(failure.causes.len(), 1, "{failure:?}");
        assert_eq!(serde_json::from_str::<Failure>(&failure.to_json()).unwrap(), failure);
    }

    #[test]
    fn each_call_error_has_its_own_row() {
        let code = |error: CallError| Failure::from(error).code;
        assert_eq!(code(CallError::argument("size", "it is negative")), "call.argument");
        assert_eq!(code(CallError::Closed { what: "engine" }), "call.closed");
        assert_eq!(code(CallError::Forked { opened_in: 1 }), "call.forked");
        assert_eq!(code(CallError::Reentered), "call.reentered");
        assert_eq!(code(CallError::Threads { problem: String::new() }), "call.threads");
        assert_eq!(code(CallError::LogOpen), "call.log_open");
    }
}
