//! DNS servers that do what no real one does: [`SilentDns`] never answers, [`GarbageDns`] answers whatever it
//! is told to, a well-formed [`answer`] too. Both listen on UDP only; a client that comes by TCP is refused.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::dns_server::LOOPBACK;

/// The largest question that there is.
const QUESTION_MAX_BYTES: usize = 65_535;
/// A header's length.
const HEADER: usize = 12;
/// The type of a question for IPv6 addresses.
const AAAA: u16 = 28;

/// What a resolver answers to `question`: this code, and those of the addresses that are of the kind asked for.
///
/// # Panics
/// When it is no question.
pub fn answer(question: &[u8], code: u8, addresses: &[IpAddr]) -> Vec<u8> {
    let end = end_of(question);
    let asked = addresses.iter().filter(|address| address.is_ipv6() == asks_for_ipv6(question));
    let mut records = Vec::new();
    for address in asked.clone() {
        let (kind, data) = match address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
        };
        // The question's name, class IN, a minute.
        records.extend([0xc0, HEADER as u8, 0, kind as u8, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        records.extend(data);
    }
    let header = [question[0], question[1], 0x81, 0x80 | code, 0, 1, 0, asked.count() as u8, 0, 0, 0, 0];
    [&header, &question[HEADER..end], &records].concat()
}

/// Whether `question` is for IPv6 addresses.
///
/// # Panics
/// When it is no question.
pub fn asks_for_ipv6(question: &[u8]) -> bool {
    let end = end_of(question);
    question[end - 4..end - 2] == AAAA.to_be_bytes()
}

/// Where the first question ends: after its name, its type and its class.
fn end_of(question: &[u8]) -> usize {
    let mut at = HEADER;
    while question[at] != 0 {
        at += 1 + usize::from(question[at]);
    }
    at + 5
}

/// Takes questions, and does not answer.
#[derive(Debug)]
pub struct SilentDns {
    socket: UdpSocket,
}

impl SilentDns {
    /// One on loopback, on a free port.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        Self::start_at(LOOPBACK)
    }

    /// One at this address of the machine's; port 0 stands for a free one.
    ///
    /// # Panics
    /// When the address cannot be listened at.
    pub fn start_at(at: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind(at).expect("the address is free") }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }
}

/// Answers every question with what a function makes of it.
#[derive(Debug)]
pub struct GarbageDns {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    ends: AtomicBool,
    questions: AtomicUsize,
}

impl GarbageDns {
    /// One on loopback that answers these bytes to everything, the first two replaced by the question's id.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::answering(LOOPBACK, move |question| {
            let mut answer = bytes.clone();
            answer.iter_mut().zip(question).take(2).for_each(|(byte, id)| *byte = *id);
            answer
        })
    }

    /// One at this address of the machine's (port 0 stands for a free one) that sends what `answer` makes of
    /// each question, an id of its own included.
    ///
    /// # Panics
    /// When the address cannot be listened at.
    pub fn answering(at: SocketAddr, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(at).expect("the address is free");
        let address = socket.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || serve(&socket, &of_thread, answer));
        Self { address, shared, thread: Some(thread) }
    }

    /// Where it answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions it has answered.
    pub fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::Acquire)
    }
}

fn serve(socket: &UdpSocket, shared: &Shared, answer: impl Fn(&[u8]) -> Vec<u8>) {
    let mut question = vec![0; QUESTION_MAX_BYTES];
    loop {
        // An error here is the last answer's: its reader has gone.
        let Ok((length, client)) = socket.recv_from(&mut question) else { continue };
        if shared.ends.load(Ordering::Acquire) {
            return;
        }
        // Before the answer: who has it may ask for the count.
        shared.questions.fetch_add(1, Ordering::AcqRel);
        _ = socket.send_to(&answer(&question[..length]), client);
    }
}

impl Drop for GarbageDns {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        // Wakes the thread. Without the wake it would wait for ever, and so would we: then let it be.
        let woken = UdpSocket::bind(SocketAddr::new(self.address.ip(), 0)).and_then(|s| s.send_to(&[], self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    fn client(server: SocketAddr) -> UdpSocket {
        let client = UdpSocket::bind(LOOPBACK).unwrap();
        client.connect(server).unwrap();
        client
    }

    #[test]
    fn garbage_comes_with_the_id_of_the_question() {
        let server = GarbageDns::start([0, 0, 0xff, 0xfe]);
        let client = client(server.address());
        let mut answer = [0; 16];
        for id in [[1, 2], [3, 4]] {
            client.send(&[id[0], id[1], 9, 9, 9]).unwrap();
            let length = client.recv(&mut answer).unwrap();
            assert_eq!(answer[..length], [id[0], id[1], 0xff, 0xfe]);
        }
        assert_eq!(server.questions(), 2);
    }

    #[test]
    fn garbage_shorter_than_an_id_and_garbage_made_of_the_question_are_sent_as_they_are() {
        let mut answer = [0; 16];
        for server in [GarbageDns::start([]), GarbageDns::answering(LOOPBACK, |question| question[3..].to_vec())] {
            let client = client(server.address());
            client.send(&[1, 2, 3]).unwrap();
            assert_eq!(client.recv(&mut answer).unwrap(), 0);
        }
    }

    #[test]
    fn an_answer_holds_what_was_asked_for() {
        use hickory_resolver::proto::op::{Message, Query, ResponseCode};
        use hickory_resolver::proto::rr::{Name, RecordType};

        let addresses = ["10.0.0.5", "fd00::5", "fd00::6"].map(|address| address.parse().unwrap());
        for (kind, expected) in [(RecordType::A, &addresses[..1]), (RecordType::AAAA, &addresses[1..])] {
            let mut question = Message::query();
            question.add_query(Query::query(Name::from_ascii("acct.blob.core.windows.net.").unwrap(), kind));
            let answer = Message::from_vec(&answer(&question.to_vec().unwrap(), 3, &addresses)).unwrap();
            let found: Vec<IpAddr> = answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
            assert_eq!((found.as_slice(), answer.metadata.response_code), (expected, ResponseCode::NXDomain));
            assert_eq!((answer.metadata.id, &answer.queries), (question.metadata.id, &question.queries));
        }
    }

    #[test]
    fn garbage_ends_when_it_is_dropped() {
        let server = GarbageDns::start([1]);
        let address = server.address();
        drop(server);
        assert!(UdpSocket::bind(address).is_ok());
    }

    #[test]
    fn silence_is_no_refusal() {
        let server = SilentDns::start();
        let client = client(server.address());
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        client.send(&[1, 2, 3]).unwrap();
        let error = client.recv(&mut [0; 16]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }
}
