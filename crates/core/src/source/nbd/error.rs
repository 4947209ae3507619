//! What can go wrong between us and an NBD server.

use crate::error::diagnose;

/// What can go wrong with an NBD server. No error carries a secret: an NBD URI has none.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NbdError {
    /// The URI cannot be understood.
    #[error("{uri:?} is no NBD URI: {problem}")]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server cannot be reached.
    #[error("cannot connect to the NBD server at {server}: {problem}")]
    Connect {
        /// Which server.
        server: String,
        /// Why.
        problem: String,
    },
    /// TLS was asked for and did not come about.
    #[error("no TLS with the NBD server at {server}: {problem}")]
    Tls {
        /// Which server.
        server: String,
        /// Why.
        problem: String,
    },
    /// Server and client have no common ground, or the server refuses the export.
    #[error("the NBD server at {server} does not serve the export {export:?}: {problem}")]
    Refused {
        /// Which server.
        server: String,
        /// Which export.
        export: String,
        /// The server's words, or what it lacks.
        problem: String,
    },
    /// The export has no such metadata context.
    #[error("the export {export:?} of {server} has no metadata context {context:?}")]
    NoContext {
        /// Which server.
        server: String,
        /// Which export.
        export: String,
        /// What was asked for.
        context: String,
    },
    /// The server failed a request.
    #[error("the NBD server at {server} failed the {request} of {len} bytes at offset {offset}: {problem}")]
    Server {
        /// Which server.
        server: String,
        /// What was asked for.
        request: &'static str,
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
        /// Its error number and its words.
        problem: String,
    },
    /// The server broke the protocol; nothing that it says is believed any more.
    #[error("the NBD server at {server} broke the protocol: {problem}")]
    Protocol {
        /// Which server.
        server: String,
        /// What it did.
        problem: String,
    },
    /// The connection is gone.
    #[error("the connection to the NBD server at {server} is closed: {problem}")]
    Closed {
        /// Which server.
        server: String,
        /// Why.
        problem: String,
    },
    /// The server did not answer in time.
    #[error("the NBD server at {server} has not answered for {seconds} seconds")]
    Timeout {
        /// Which server.
        server: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

diagnose!(NbdError {
    Uri: "nbd.uri", Caller, "write it as nbd://host:port/export, nbds://… for TLS, or nbd+unix:///export?socket=/path";
    Connect: "nbd.connect", Retryable, "check that the server runs and listens there, and that this process may reach it";
    Tls: "nbd.tls", Caller, "check the server's certificate, the authorities given, and that the server offers TLS";
    Refused: "nbd.refused", Caller, "check the export's name and what the server demands; `nbdinfo --list URI` shows what it serves";
    NoContext: "nbd.no_context", Caller, "serve the export with that bitmap; without a list the whole disk is compared";
    Server: "nbd.server", Fatal, "see the server's log; what was settled stays, and the next run goes on from there";
    Protocol: "nbd.protocol", Fatal, "update or replace the server; nothing that it said was used";
    Closed: "nbd.closed", Retryable, "connect again; the next run goes on from what was settled";
    Timeout: "nbd.timeout", Retryable, "check the server and what it reads from, then connect again";
});
