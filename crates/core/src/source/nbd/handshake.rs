//! Coming to terms with a server: TLS, structured replies, metadata contexts, the export and its limits.
//!
//! Fixed newstyle negotiation only: a server that cannot do it has neither errors nor limits that could be
//! relied on. Source: NetworkBlockDevice/nbd, `doc/proto.md` (as of 2024), "Fixed newstyle negotiation" and
//! "Block size constraints".

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{NbdStream, Tls};
use super::{NbdError, wire};

/// The longest answer to an option that is read.
const LONGEST_ANSWER: u32 = 64 << 10;

/// How many answers one option may have.
const MOST_ANSWERS: usize = 1024;

/// The longest name of an export or context, by the protocol.
const LONGEST_NAME: usize = 4096;

/// What a server that states no limits may be asked for, by the protocol.
const DEFAULT_MAX_BYTES: u32 = 32 << 20;
const DEFAULT_MIN_BYTES: u32 = 512;

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) size_bytes: u64,
    pub(super) is_structured: bool,
    /// The numbers of the contexts that the server has, by name.
    pub(super) contexts: Vec<(String, u32)>,
    pub(super) min_block: u32,
    pub(super) max_bytes: u32,
}

/// The server's side of the negotiation.
pub(super) struct Handshake<'a> {
    pub(super) stream: Box<dyn NbdStream>,
    pub(super) server: &'a str,
    pub(super) export: &'a str,
}

/// An answer to an option.
struct Answer {
    kind: u32,
    data: Vec<u8>,
}

impl Handshake<'_> {
    /// Agrees on everything; the stream is then ready for requests.
    pub(super) async fn run(
        mut self,
        tls: Option<&Tls>,
        contexts: &[String],
    ) -> Result<(Box<dyn NbdStream>, Terms), NbdError> {
        if self.export.len() > LONGEST_NAME || contexts.iter().any(|name| name.len() > LONGEST_NAME) {
            return Err(self.refused("a name has at most 4096 bytes"));
        }
        self.greet().await?;
        if let Some(tls) = tls {
            self.option(wire::OPT_STARTTLS, &[]).await?;
            let answer = self.answer(wire::OPT_STARTTLS).await?;
            if answer.kind != wire::REP_ACK {
                let problem = format!("it does not offer it ({})", words(&answer));
                return Err(NbdError::Tls { server: self.server.to_owned(), problem });
            }
            self.stream = tls.over(self.stream, self.server).await?;
        }
        self.option(wire::OPT_STRUCTURED_REPLY, &[]).await?;
        let is_structured = self.answer(wire::OPT_STRUCTURED_REPLY).await?.kind == wire::REP_ACK;
        let contexts = if is_structured { self.contexts(contexts).await? } else { Vec::new() };
        let terms = self.go(is_structured, contexts).await?;
        Ok((self.stream, terms))
    }

    async fn greet(&mut self) -> Result<(), NbdError> {
        let mut greeting = [0; 18];
        self.read(&mut greeting[..16]).await?;
        if &greeting[..8] != wire::GREETING {
            return Err(self.protocol("it does not greet as an NBD server"));
        }
        if &greeting[8..16] != wire::IHAVEOPT {
            return Err(self.refused("it speaks the old style of negotiation"));
        }
        self.read(&mut greeting[16..]).await?;
        let flags = u16::from_be_bytes([greeting[16], greeting[17]]);
        if flags & wire::FIXED_NEWSTYLE == 0 {
            return Err(self.refused("it does not speak the fixed newstyle of negotiation"));
        }
        let ours = u32::from(flags & (wire::FIXED_NEWSTYLE | wire::NO_ZEROES));
        self.write(&ours.to_be_bytes()).await
    }

    /// The numbers of those contexts that the server has.
    async fn contexts(&mut self, wanted: &[String]) -> Result<Vec<(String, u32)>, NbdError> {
        let mut data = Vec::new();
        put_name(&mut data, self.export);
        data.extend((wanted.len() as u32).to_be_bytes());
        wanted.iter().for_each(|name| put_name(&mut data, name));
        self.option(wire::OPT_SET_META_CONTEXT, &data).await?;
        let mut found = Vec::new();
        for _ in 0..MOST_ANSWERS {
            let answer = self.answer(wire::OPT_SET_META_CONTEXT).await?;
            match answer.kind {
                wire::REP_ACK => return Ok(found),
                wire::REP_META_CONTEXT => {
                    let id = wire::be32(&answer.data, 0).ok_or_else(|| self.protocol("a context without a number"))?;
                    found.push((String::from_utf8_lossy(&answer.data[4..]).into_owned(), id));
                }
                error if error & wire::REP_ERROR != 0 => return Ok(Vec::new()),
                other => return Err(self.protocol(&format!("answer {other} to a question for contexts"))),
            }
        }
        Err(self.protocol("too many contexts"))
    }

    /// Enters the export.
    async fn go(&mut self, is_structured: bool, contexts: Vec<(String, u32)>) -> Result<Terms, NbdError> {
        let mut data = Vec::new();
        put_name(&mut data, self.export);
        data.extend(1u16.to_be_bytes());
        data.extend(wire::INFO_BLOCK_SIZE.to_be_bytes());
        self.option(wire::OPT_GO, &data).await?;
        let mut size = None;
        let (mut min_block, mut max_bytes) = (DEFAULT_MIN_BYTES, DEFAULT_MAX_BYTES);
        for _ in 0..MOST_ANSWERS {
            let answer = self.answer(wire::OPT_GO).await?;
            match answer.kind {
                wire::REP_ACK => {
                    let size_bytes = size.ok_or_else(|| self.protocol("an export without a size"))?;
                    return Ok(Terms { size_bytes, is_structured, contexts, min_block, max_bytes });
                }
                wire::REP_INFO => match wire::be16(&answer.data, 0) {
                    Some(wire::INFO_EXPORT) => size = wire::be64(&answer.data, 2),
                    Some(wire::INFO_BLOCK_SIZE) => {
                        let limits = wire::be32(&answer.data, 2).zip(wire::be32(&answer.data, 10));
                        let (min, max) = limits.ok_or_else(|| self.protocol("limits that are cut short"))?;
                        if !min.is_power_of_two() || min > 64 << 10 || max < min {
                            return Err(self.protocol(&format!("blocks of {min} to {max} bytes")));
                        }
                        (min_block, max_bytes) = (min, max.min(DEFAULT_MAX_BYTES) / min * min);
                    }
                    _ => {}
                },
                error if error & wire::REP_ERROR != 0 => return Err(self.refused(&words(&answer))),
                other => return Err(self.protocol(&format!("answer {other} to a request for an export"))),
            }
        }
        Err(self.protocol("too much information on an export"))
    }

    async fn option(&mut self, option: u32, data: &[u8]) -> Result<(), NbdError> {
        let mut bytes = wire::IHAVEOPT.to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
        self.write(&bytes).await
    }

    async fn answer(&mut self, option: u32) -> Result<Answer, NbdError> {
        let mut head = [0; 20];
        self.read(&mut head).await?;
        let field = |at| wire::be32(&head, at).unwrap_or_default();
        if wire::be64(&head, 0) != Some(wire::OPTION_REPLY) || field(8) != option {
            return Err(self.protocol("an answer to a question that was not asked"));
        }
        let len = field(16);
        if len > LONGEST_ANSWER {
            return Err(self.protocol(&format!("an answer of {len} bytes")));
        }
        let mut data = vec![0; len as usize];
        self.read(&mut data).await?;
        Ok(Answer { kind: field(12), data })
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<(), NbdError> {
        self.stream.read_exact(bytes).await.map(drop).map_err(|e| closed(self.server, &e))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), NbdError> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|e| closed(self.server, &e))
    }

    fn protocol(&self, problem: &str) -> NbdError {
        NbdError::Protocol { server: self.server.to_owned(), problem: problem.to_owned() }
    }

    fn refused(&self, problem: &str) -> NbdError {
        let (server, export) = (self.server.to_owned(), self.export.to_owned());
        NbdError::Refused { server, export, problem: problem.to_owned() }
    }
}

pub(super) fn closed(server: &str, error: &io::Error) -> NbdError {
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server hung up".to_owned(),
        _ => error.to_string(),
    };
    NbdError::Closed { server: server.to_owned(), problem }
}

fn put_name(data: &mut Vec<u8>, name: &str) {
    data.extend((name.len() as u32).to_be_bytes());
    data.extend(name.as_bytes());
}

/// A refusal in words.
fn words(answer: &Answer) -> String {
    let reason = match answer.kind & !wire::REP_ERROR {
        1 => "not supported",
        2 => "not allowed by the server",
        3 => "not understood",
        4 => "not supported by the server's platform",
        5 => "only over TLS",
        6 => "no such export",
        7 => "the server is shutting down",
        8 => "only with the server's block sizes",
        9 => "the name is too long",
        _ => "refused",
    };
    let text: String = String::from_utf8_lossy(&answer.data).chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { reason.to_owned() } else { format!("{reason}: {text}") }
}
