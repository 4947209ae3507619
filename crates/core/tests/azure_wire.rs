//! The Azure target against answers that no emulator gives: silence, slowness, broken and hostile
//! bodies, differences, throttling.
//!
//! Each test scripts a service of its own on this machine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use libmigrate::secret::Secret;
use libmigrate::size::{MIB, PageRange};
use libmigrate::target::azure::{AzureOptions, AzurePageBlob, Credential, Proxy};
use libmigrate::target::{Fence, LeaseId, PageTarget, SnapshotId, TargetError, View};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A service that answers as a function of the request's head, and remembers the heads.
struct Service {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn answering(answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&heads);
        let url = listening(move |connection| serve(connection, answer.clone(), Arc::clone(&remembered))).await;
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The URL of a blob at a listener that hands each connection to `talk`.
async fn listening<T>(talk: impl Fn(TcpStream) -> T + Send + 'static) -> String
where
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(talk(connection));
        }
    });
    format!("http://{address}/acct/disks/web01.vhd")
}

async fn serve(connection: TcpStream, answer: impl Fn(&str) -> String, heads: Arc<Mutex<Vec<String>>>) {
    let mut connection = BufReader::new(connection);
    while let Some((head, len)) = read_head(&mut connection).await {
        let mut body = vec![0; len];
        connection.read_exact(&mut body).await.unwrap();
        heads.lock().unwrap().push(head.clone());
        connection.write_all(answer(&head).as_bytes()).await.unwrap();
    }
}

/// The head of the next request and the length of its body.
async fn read_head(connection: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let len = head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    Some((head, len.unwrap_or(0)))
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn refusal(status: &str, code: &str) -> String {
    answer(status, &format!("x-ms-error-code: {code}\r\n"), "")
}

/// What a page blob of 8 MiB tells about itself.
fn properties() -> String {
    "HTTP/1.1 200 OK\r\nx-ms-blob-type: PageBlob\r\nContent-Length: 8388608\r\nETag: \"1\"\r\n\
        x-ms-blob-sequence-number: 7\r\nx-ms-lease-state: leased\r\n\r\n"
        .to_owned()
}

fn target(url: &str) -> AzurePageBlob {
    with_options(url, AzureOptions::default())
}

fn with_options(url: &str, options: AzureOptions) -> AzurePageBlob {
    AzurePageBlob::new(&format!("{url}?sv=1&sig=canary-signature"), Credential::SasUrl, options).unwrap()
}

/// Answers are due at once.
fn impatient() -> AzureOptions {
    AzureOptions { base_timeout: Duration::from_millis(300), ..AzureOptions::default() }
}

fn pages(offset: u64, len: u64) -> PageRange {
    PageRange::new(offset, len).unwrap()
}

fn fence() -> Fence {
    Fence { lease: LeaseId::random(), sequence: 7 }
}

fn since() -> SnapshotId {
    SnapshotId("2026-11-23T10:00:00.0000000Z".to_owned())
}

fn shown(error: &TargetError) -> String {
    let source = std::error::Error::source(error);
    format!("{error} {error:?} {source:?}")
}

#[tokio::test]
async fn a_refused_connection_shows_no_signature() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/acct/disks/web01.vhd", listener.local_addr().unwrap());
    drop(listener);
    let target = target(&url);

    let error = target.state().await.unwrap_err();

    assert!(matches!(error, TargetError::Transient { .. }), "{error}");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!shown(&error).contains("sig="), "{error:?}");
    assert!(!format!("{target:?} {}", target.location()).contains("canary"));
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let url = listening(|connection| async move {
        let _open = connection;
        std::future::pending::<()>().await;
    })
    .await;

    let error = with_options(&url, impatient()).state().await.unwrap_err();

    assert!(matches!(error, TargetError::Transient { .. }), "{error}");
    assert!(error.to_string().contains("no answer within 300ms"), "{error}");
    assert!(!shown(&error).contains("canary"), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_stops_midway_ends_with_the_deadline() {
    let url = listening(|connection| async move {
        let mut connection = BufReader::new(connection);
        read_head(&mut connection).await.unwrap();
        let start = "HTTP/1.1 206 OK\r\nContent-Length: 1024\r\nContent-Range: bytes 0-1023/4096\r\n\r\nstart";
        connection.write_all(start.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;

    let error = with_options(&url, impatient()).read(&View::Live, pages(0, 1024)).await.unwrap_err();

    assert!(matches!(error, TargetError::Transient { .. }), "{error}");
    assert!(error.to_string().contains("stopped after 5 bytes"), "{error}");
}

/// The body takes several times the base timeout, at a rate that is slow but allowed.
#[tokio::test]
async fn a_slow_uplink_is_given_its_time() {
    let url = listening(|connection| async move {
        let mut connection = BufReader::new(connection);
        read_head(&mut connection).await.unwrap();
        connection.write_all(properties().as_bytes()).await.unwrap();
        let (_, len) = read_head(&mut connection).await.unwrap();
        let mut quarter = vec![0; len / 4];
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            connection.read_exact(&mut quarter).await.unwrap();
        }
        connection.write_all(answer("201 Created", "", "").as_bytes()).await.unwrap();
    })
    .await;
    let options = AzureOptions { minimum_bytes_per_second: 256 << 10, ..impatient() };

    with_options(&url, options).put(pages(0, 4 * MIB), vec![1; 4 << 20].into(), fence()).await.unwrap();
}

#[tokio::test]
async fn a_body_that_breaks_off_may_be_tried_again() {
    let url = listening(|connection| async move {
        let mut connection = BufReader::new(connection);
        read_head(&mut connection).await.unwrap();
        let start = "HTTP/1.1 206 OK\r\nContent-Length: 1024\r\nContent-Range: bytes 0-1023/4096\r\n\r\nstart";
        connection.write_all(start.as_bytes()).await.unwrap();
    })
    .await;

    let error = target(&url).read(&View::Live, pages(0, 1024)).await.unwrap_err();

    assert!(matches!(error, TargetError::Transient { .. }), "{error}");
}

#[tokio::test]
async fn fewer_bytes_than_asked_for_may_be_tried_again() {
    let short = answer("206 Partial Content", "Content-Range: bytes 0-511/4096\r\n", &"x".repeat(512));
    let service = Service::answering(move |_| short.clone()).await;

    let error = target(&service.url).read(&View::Live, pages(0, 1024)).await.unwrap_err();

    assert!(matches!(error, TargetError::Transient { .. }), "{error}");
    assert!(error.to_string().contains("512 of 1024 bytes"), "{error}");
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_no_answer() {
    let elsewhere = answer("206 Partial Content", "Content-Range: bytes 512-1023/4096\r\n", &"x".repeat(512));
    let whole = answer("200 OK", "", &"x".repeat(4096));
    let other_start = Service::answering(move |_| elsewhere.clone()).await;
    let no_range = Service::answering(move |_| whole.clone()).await;

    let shifted = target(&other_start.url).read(&View::Live, pages(0, 512)).await.unwrap_err();
    let longer = target(&no_range.url).read(&View::Live, pages(0, 512)).await.unwrap_err();

    assert!(matches!(shifted, TargetError::BadAnswer { .. }), "{shifted}");
    assert!(matches!(longer, TargetError::BadAnswer { .. }), "{longer}");
}

#[tokio::test]
async fn a_busy_service_is_asked_once_and_its_time_is_kept() {
    let busy = answer("503 Busy", "x-ms-error-code: ServerBusy\r\nRetry-After: 7\r\n", "");
    let service = Service::answering(move |_| busy.clone()).await;

    let error = target(&service.url).renew_lease(LeaseId::random()).await.unwrap_err();

    assert!(
        matches!(error, TargetError::Transient { retry_after: Some(wait), .. } if wait == Duration::from_secs(7)),
        "{error:?}"
    );
    assert_eq!(service.heads().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Service::answering(|_| properties()).await;
    let moved = answer("307 Moved", &format!("Location: {}\r\n", elsewhere.url), "");
    let service = Service::answering(move |_| moved.clone()).await;

    let error = target(&service.url).state().await.unwrap_err();

    assert!(matches!(error, TargetError::Refused { status: 307, .. }), "{error}");
    assert!(elsewhere.heads().is_empty());
}

#[tokio::test]
async fn a_page_that_greets_instead_of_the_service_is_no_answer() {
    let service = Service::answering(|_| answer("200 OK", "", "<html>Welcome</html>")).await;
    let target = target(&service.url);

    let state = target.state().await.unwrap_err();
    let ranges = target.page_ranges(&View::Live, 0..MIB).await.unwrap_err();
    let lease = target.renew_lease(LeaseId::random()).await;
    let create = target.create(MIB, &[].into()).await.unwrap_err();

    assert!(matches!(state, TargetError::BadAnswer { .. }), "{state}");
    assert!(matches!(ranges, TargetError::BadAnswer { .. }), "{ranges}");
    assert!(matches!(create, TargetError::BadAnswer { .. }), "{create}");
    // A renewal's answer is its status alone.
    lease.unwrap();
}

#[tokio::test]
async fn no_proxy_stands_between_here_and_this_machine() {
    let service = Service::answering(|_| properties()).await;
    let proxy = Proxy::Url(Secret::new("http://127.0.0.1:9".parse().unwrap()));

    let state = with_options(&service.url, AzureOptions { proxy, ..AzureOptions::default() }).state().await;

    assert_eq!(state.unwrap().unwrap().len, 8 * MIB);
}

#[tokio::test]
async fn a_write_carries_its_fence_and_its_checksum() {
    let service = Service::answering(|head| match head.split(' ').next() {
        Some("HEAD") => properties(),
        _ => answer("201 Created", "", ""),
    })
    .await;
    let fence = fence();
    let target = target(&service.url);

    target.put(pages(512, 512), Bytes::from_static(&[0; 512]), fence).await.unwrap();
    target.clear(pages(1024, 512), fence).await.unwrap();

    let heads = service.heads();
    let lease = format!("x-ms-lease-id: {}\r\n", fence.lease);
    for head in &heads[1..] {
        assert!(head.contains(&lease) && head.contains("x-ms-if-sequence-number-eq: 7\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("accept-encoding"), "{head}");
    }
    assert!(heads[1].contains("range: bytes=512-1023\r\n"), "{}", heads[1]);
    // CRC-64/NVME of 512 zeros, computed bit by bit from its polynomial in Python.
    assert!(heads[1].contains("x-ms-content-crc64: 6YKnaCgO5h0=\r\n"), "{}", heads[1]);
}

/// Answers about changes as an honest service does.
fn knows_differences(head: &str) -> String {
    if head.starts_with("HEAD") {
        return properties();
    }
    if head.contains("prevsnapshot=2001") {
        return refusal("409 Conflict", "PreviousSnapshotNotFound");
    }
    let list = if head.contains("marker=next") {
        "<PageList><ClearRange><Start>4096</Start><End>4607</End></ClearRange>\
            <PageRange><Start>4608</Start><End>5119</End></PageRange>\
            <PageRange><Start>1048576</Start><End>2097151</End></PageRange><NextMarker/></PageList>"
    } else {
        "<PageList><PageRange><Start>0</Start><End>511</End></PageRange>\
            <ClearRange><Start>1024</Start><End>1535</End></ClearRange>\
            <PageRange><Start>2048</Start><End>2559</End></PageRange><NextMarker>next</NextMarker></PageList>"
    };
    answer("200 OK", "", list)
}

#[tokio::test]
async fn changes_are_written_and_cleared_pages_of_all_answers() {
    let service = Service::answering(knows_differences).await;
    let target = target(&service.url);

    let changed = target.changed_ranges(&since(), 0..MIB).await.unwrap().unwrap();
    target.changed_ranges(&since(), 0..MIB).await.unwrap();

    assert_eq!(changed, [pages(0, 512), pages(1024, 512), pages(2048, 512), pages(4096, 1024)]);
    let probes = service.heads().iter().filter(|head| head.contains("prevsnapshot=2001")).count();
    assert_eq!((probes, service.heads().len()), (1, 6));
}

#[tokio::test]
async fn a_service_without_differences_says_nothing_about_changes() {
    let service = Service::answering(|_| refusal("409 Conflict", "PreviousSnapshotOperationNotSupported")).await;

    assert_eq!(target(&service.url).changed_ranges(&since(), 0..MIB).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_blob_is_not_mistaken_for_a_refused_snapshot() {
    let service = Service::answering(|_| refusal("404 Not Found", "BlobNotFound")).await;

    let error = target(&service.url).changed_ranges(&since(), 0..MIB).await.unwrap_err();

    assert!(matches!(error, TargetError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_busy_service_leaves_the_trust_open() {
    let calls = Arc::new(Mutex::new(0));
    let service = Service::answering(move |head| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        if *calls == 1 { refusal("503 Busy", "ServerBusy") } else { knows_differences(head) }
    })
    .await;
    let target = target(&service.url);

    let first = target.changed_ranges(&since(), 0..MIB).await.unwrap_err();

    assert!(matches!(first, TargetError::Transient { .. }), "{first}");
    assert!(target.changed_ranges(&since(), 0..MIB).await.unwrap().is_some());
}

#[tokio::test]
async fn a_page_list_without_end_ends() {
    let again = answer("200 OK", "", "<PageList><NextMarker>again</NextMarker></PageList>");
    let service = Service::answering(move |_| again.clone()).await;

    let error = target(&service.url).page_ranges(&View::Live, 0..MIB).await.unwrap_err();

    assert!(error.to_string().contains("without end"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_ends() {
    let url = listening(|connection| async move {
        let mut connection = BufReader::new(connection);
        read_head(&mut connection).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
        while connection.write_all(&chunk).await.is_ok() {}
    })
    .await;

    let error = target(&url).page_ranges(&View::Live, 0..MIB).await.unwrap_err();

    assert!(error.to_string().contains("longer than 67108864 bytes"), "{error}");
}
