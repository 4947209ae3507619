//! A server that says what the test has it say.

use std::time::Duration;

use libmigrate::source::nbd::{self, NbdError, NbdOptions, NbdSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

/// Size of the export.
pub(crate) const SIZE: u64 = 1 << 20;

/// The number of `base:allocation`.
pub(crate) const CONTEXT: u32 = 5;

/// A request that has come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) command: u16,
    pub(crate) cookie: u64,
    pub(crate) len: u32,
}

/// The server's end of the stream.
pub(crate) struct Script {
    stream: DuplexStream,
}

impl Script {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client listens");
    }

    /// The next request; `None` when the client is gone.
    pub(crate) async fn asked(&mut self) -> Option<Asked> {
        let mut head = [0; 28];
        self.stream.read_exact(&mut head).await.ok()?;
        Some(Asked {
            command: u16::from_be_bytes(head[6..8].try_into().unwrap()),
            cookie: u64::from_be_bytes(head[8..16].try_into().unwrap()),
            len: u32::from_be_bytes(head[24..].try_into().unwrap()),
        })
    }

    /// Reads an option and answers it.
    async fn option(&mut self, answers: &[(u32, Vec<u8>)]) -> Option<()> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).await.ok()?;
        let mut data = vec![0; u32::from_be_bytes(head[12..].try_into().unwrap()) as usize];
        self.stream.read_exact(&mut data).await.ok()?;
        for (kind, answer) in answers {
            let mut reply = 0x0003_e889_0455_65a9u64.to_be_bytes().to_vec();
            reply.extend(&head[8..12]);
            reply.extend(kind.to_be_bytes());
            reply.extend((answer.len() as u32).to_be_bytes());
            reply.extend(answer);
            self.stream.write_all(&reply).await.ok()?;
        }
        Some(())
    }

    async fn shake_hands(&mut self, size: u64) -> Option<()> {
        self.stream.write_all(b"NBDMAGICIHAVEOPT\0\x03").await.ok()?;
        self.stream.read_exact(&mut [0; 4]).await.ok()?;
        self.option(&[(1, vec![])]).await?;
        let context = [&CONTEXT.to_be_bytes()[..], b"base:allocation"].concat();
        self.option(&[(4, context), (1, vec![])]).await?;
        let export = [&[0, 0], &size.to_be_bytes()[..], &[0, 3]].concat();
        self.option(&[(3, export), (1, vec![])]).await
    }
}

/// A stream whose server says these bytes and hangs up.
pub(crate) async fn greeted_with(bytes: Vec<u8>) -> NbdError {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        theirs.write_all(&bytes).await.unwrap();
        // Listens to whatever the client says.
        tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await
    });
    nbd::over(Box::new(ours), "server", "", &options()).await.map(|_| ()).unwrap_err()
}

pub(crate) fn options() -> NbdOptions {
    NbdOptions { timeout: Duration::from_secs(20), ..NbdOptions::default() }
}

/// A source whose server does what `script` says, after a handshake as it should be. The second is how the
/// connection ends.
pub(crate) async fn served<F: Future<Output = ()> + Send + 'static>(
    script: impl FnOnce(Script) -> F,
) -> (NbdSource, JoinHandle<Result<(), NbdError>>) {
    let (ours, stream) = tokio::io::duplex(1 << 20);
    let mut server = Script { stream };
    let options = options();
    let connect = nbd::over(Box::new(ours), "server", "", &options);
    let (connected, shaken) = tokio::join!(connect, server.shake_hands(SIZE));
    shaken.expect("the client goes along");
    let (source, connection) = connected.unwrap();
    tokio::spawn(script(server));
    (source, tokio::spawn(connection.run()))
}

/// What comes of an export that is said to have this size.
pub(crate) async fn sized(size: u64) -> Result<NbdSource, NbdError> {
    let (ours, stream) = tokio::io::duplex(1 << 20);
    let mut server = Script { stream };
    let options = options();
    let (connected, _) = tokio::join!(nbd::over(Box::new(ours), "server", "", &options), server.shake_hands(size));
    connected.map(|(source, _)| source)
}

/// A chunk of a structured reply.
pub(crate) fn chunk(asked: Asked, is_last: bool, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = 0x668e_33efu32.to_be_bytes().to_vec();
    bytes.extend(u16::from(is_last).to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(asked.cookie.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A chunk of data.
pub(crate) fn data(asked: Asked, is_last: bool, offset: u64, bytes: &[u8]) -> Vec<u8> {
    chunk(asked, is_last, 1, &[&offset.to_be_bytes(), bytes].concat())
}

/// A chunk that says that bytes are zeros.
pub(crate) fn hole(asked: Asked, is_last: bool, offset: u64, len: u32) -> Vec<u8> {
    chunk(asked, is_last, 2, &[&offset.to_be_bytes()[..], &len.to_be_bytes()].concat())
}

/// A chunk of lengths and flags.
pub(crate) fn status(asked: Asked, context: u32, pairs: &[(u32, u32)]) -> Vec<u8> {
    let pairs = pairs.iter().flat_map(|(len, flags)| [len.to_be_bytes(), flags.to_be_bytes()].concat());
    chunk(asked, true, 5, &context.to_be_bytes().into_iter().chain(pairs).collect::<Vec<_>>())
}
