//! An NBD server that says anything: in the handshake, or after one as it should be.

#![no_main]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use libmigrate::DiskSource;
use libmigrate::source::nbd::{self, NbdOptions};
use libmigrate_fuzz::nbd_handshake;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Says its bytes and hangs up; hears nothing.
struct Server {
    bytes: Vec<u8>,
    said: usize,
}

impl AsyncRead for Server {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = &self.bytes[self.said..];
        let len = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..len]);
        self.said += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(serve(data.to_vec()));
    runtime.block_on(serve([nbd_handshake(), data.to_vec()].concat()));
});

async fn serve(bytes: Vec<u8>) {
    let options = NbdOptions { bitmaps: vec!["b".into()], max_in_flight: 4, ..NbdOptions::default() };
    let server = Box::new(Server { bytes, said: 0 });
    let Ok((source, connection)) = nbd::over(server, "server", "", &options).await else { return };
    let size = source.size_bytes();
    // Moved in, so that the connection sees its last source go.
    let calls = async move {
        let read = async {
            let len = size.min(4096) as usize;
            if let Ok(bytes) = source.read(0, len).await {
                assert_eq!(bytes.len(), len);
            }
        };
        let dirty = async {
            if let Ok(dirty) = source.dirty("b").await {
                assert!(dirty.iter().all(|extent| extent.end() <= size));
            }
        };
        tokio::join!(read, dirty);
    };
    _ = tokio::join!(connection.run(), calls);
}
