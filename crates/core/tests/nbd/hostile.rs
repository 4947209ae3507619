//! Servers that break the protocol, lie, fall silent or go away.

use std::time::Duration;

use libmigrate::source::nbd::{NbdError, NbdSource};
use libmigrate::source::{DiskSource, SourceError};

use crate::scripted_server::{Asked, CONTEXT, SIZE, chunk, data, greeted_with, hole, served, sized, status};

/// How a read of the bytes 4096..8192 ends, when the server answers it like this.
async fn read_answered(answer: impl FnOnce(Asked) -> Vec<u8> + Send + 'static) -> Result<Vec<u8>, NbdError> {
    let (source, _connection) = served(|mut server| async move {
        let asked = server.asked().await.expect("a read");
        server.send(&answer(asked)).await;
        // Stays there: what is missing must be noticed by what was said.
        server.asked().await;
    })
    .await;
    source.read(4096, 4096).await.map(|bytes| bytes.to_vec())
}

/// The extents that are found when the server answers the question for them like this.
async fn extents_answered(
    answer: impl FnOnce(Asked) -> Vec<u8> + Send + 'static,
) -> Result<Vec<(u64, bool)>, NbdError> {
    let (source, _connection) = served(|mut server| async move {
        let asked = server.asked().await.expect("a status request");
        server.send(&answer(asked)).await;
        server.asked().await;
    })
    .await;
    let found = tokio::task::spawn_blocking(move || source.extents(0..SIZE, 99)).await.unwrap();
    match found {
        Ok(found) => Ok(found.into_iter().map(|found| (found.extent.len_bytes(), found.reads_as_zero)).collect()),
        Err(SourceError::Nbd(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_broken<T: std::fmt::Debug>(result: Result<T, NbdError>, reason: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, NbdError::Protocol { problem, .. } if problem.contains(reason)), "{error:?}");
}

#[tokio::test]
async fn chunks_come_in_any_order() {
    let read = read_answered(|asked| {
        [hole(asked, false, 6144, 1024), data(asked, false, 7168, &[3; 1024]), data(asked, true, 4096, &[1; 2048])]
            .concat()
    })
    .await
    .unwrap();

    assert!(read == [vec![1; 2048], vec![0; 1024], vec![3; 1024]].concat());
}

#[tokio::test]
async fn bytes_that_were_not_asked_for_are_refused() {
    assert_broken(read_answered(|asked| data(asked, true, 0, &[1; 4096])).await, "not asked for");
    assert_broken(read_answered(|asked| data(asked, true, 6144, &[1; 4096])).await, "not asked for");
    assert_broken(read_answered(|asked| hole(asked, true, 4096, 8192)).await, "not asked for");
    assert_broken(read_answered(|asked| hole(asked, true, u64::MAX, 2)).await, "not asked for");
}

#[tokio::test]
async fn bytes_that_come_twice_or_not_at_all_are_refused() {
    let twice = |asked| [data(asked, false, 4096, &[1; 4096]), hole(asked, true, 5000, 10)].concat();
    assert_broken(read_answered(twice).await, "twice");
    assert_broken(read_answered(|asked| data(asked, true, 4096, &[1; 4095])).await, "missing");
    assert_broken(read_answered(|asked| chunk(asked, true, 0, &[])).await, "missing");
}

#[tokio::test]
async fn a_chunk_longer_than_what_was_asked_for_is_refused_before_it_is_read() {
    // It says four GiB and sends nothing: whoever made room for them would wait for them.
    let endless = |asked: Asked| {
        let mut bytes = data(asked, true, 4096, &[]);
        let at = bytes.len() - 12;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        bytes
    };
    assert_broken(read_answered(endless).await, "4294967295 bytes");
}

#[tokio::test]
async fn an_answer_to_nobody_is_refused() {
    let stray = |asked: Asked| data(Asked { cookie: asked.cookie + 1, ..asked }, true, 4096, &[1; 4096]);
    assert_broken(read_answered(stray).await, "not asked");
}

#[tokio::test]
async fn a_reply_of_another_kind_is_refused() {
    assert_broken(read_answered(|_| vec![7; 32]).await, "no reply starts like this");
    assert_broken(read_answered(|asked| status(asked, CONTEXT, &[(4096, 0)])).await, "Status for a read");
    assert_broken(read_answered(|asked| chunk(asked, true, 77, &[])).await, "Unknown(77)");
    let simple = |asked: Asked| [&0x6744_6698u32.to_be_bytes()[..], &[0; 4], &asked.cookie.to_be_bytes()].concat();
    assert_broken(read_answered(simple).await, "simple reply");
}

#[tokio::test]
async fn the_servers_error_is_passed_on_with_its_words_and_its_place() {
    let failed = |asked| chunk(asked, true, (1 << 15) + 1, &[&5u32.to_be_bytes()[..], &[0, 3], b"\x1bno"].concat());

    let error = read_answered(failed).await.unwrap_err();

    let NbdError::Server { offset: 4096, len: 4096, problem, .. } = &error else { panic!("{error:?}") };
    assert_eq!(problem, "input/output error (5):  no");
}

#[tokio::test]
async fn after_a_failed_read_the_next_one_may_succeed() {
    let (source, _connection) = served(|mut server| async move {
        let asked = server.asked().await.unwrap();
        let error = [&5u32.to_be_bytes()[..], &[0, 0]].concat();
        server.send(&chunk(asked, true, (1 << 15) + 1, &error)).await;
        let asked = server.asked().await.unwrap();
        server.send(&data(asked, true, 0, &[9; 512])).await;
        server.asked().await;
    })
    .await;

    assert!(source.read(0, 512).await.is_err());
    assert!(source.read(0, 512).await.unwrap().iter().all(|byte| *byte == 9));
}

#[tokio::test]
async fn zero_and_hole_are_two_claims() {
    let flags = |asked: Asked| {
        let rest = asked.len - 4 * 4096;
        status(asked, CONTEXT, &[(4096, 0), (4096, 1), (4096, 2), (4096, 3), (rest, 0)])
    };

    let found = extents_answered(flags).await.unwrap();

    let zero: Vec<bool> = found.into_iter().map(|(_, reads_as_zero)| reads_as_zero).collect();
    assert_eq!(zero, [false, false, true, true, false], "a hole alone does not promise zeros");
}

#[tokio::test]
async fn a_status_that_says_more_than_was_asked_is_clipped() {
    let more = |asked: Asked| status(asked, CONTEXT, &[(4096, 0), (u32::MAX, 3)]);
    assert_eq!(extents_answered(more).await.unwrap(), [(4096, false), (SIZE - 4096, true)]);
}

#[tokio::test]
async fn a_status_that_does_not_go_on_is_refused() {
    assert_broken(extents_answered(|asked| status(asked, CONTEXT, &[(0, 0)])).await, "does not go on");
    let after_the_end = |asked: Asked| status(asked, CONTEXT, &[(asked.len, 0), (512, 0)]);
    assert_broken(extents_answered(after_the_end).await, "does not go on");
    assert_broken(extents_answered(|asked| status(asked, CONTEXT, &[])).await, "cut short");
    assert_broken(extents_answered(|asked| chunk(asked, true, 0, &[])).await, "says nothing");
    assert_broken(extents_answered(|asked| status(asked, CONTEXT + 1, &[(4096, 0)])).await, "not agreed on");
}

#[tokio::test]
async fn a_server_that_hangs_up_ends_every_call_now_and_later() {
    let (source, connection) = served(|mut server| async move {
        server.asked().await;
        server.asked().await;
    })
    .await;

    let (one, other) = tokio::join!(source.read(0, 512), source.read(512, 512));

    for result in [one, other, source.read(0, 512).await] {
        assert!(matches!(&result, Err(NbdError::Closed { problem, .. }) if problem.contains("hung up")), "{result:?}");
    }
    assert!(connection.await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_that_hangs_up_in_the_middle_of_a_reply_is_noticed() {
    let (source, _connection) = served(|mut server| async move {
        let asked = server.asked().await.unwrap();
        let whole = data(asked, true, 0, &[1; 512]);
        server.send(&whole[..100]).await;
    })
    .await;

    assert!(matches!(source.read(0, 512).await, Err(NbdError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_not_waited_for_for_ever() {
    let (source, _connection) = served(|mut server| async move {
        server.asked().await;
        std::future::pending::<()>().await;
    })
    .await;
    let started = tokio::time::Instant::now();

    let result = source.read(0, 512).await;

    assert!(matches!(result, Err(NbdError::Timeout { seconds: 20, .. })), "{result:?}");
    assert!(started.elapsed() <= Duration::from_secs(26), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_in_the_middle_of_a_reply_is_not_waited_for_either() {
    let (source, _connection) = served(|mut server| async move {
        let asked = server.asked().await.unwrap();
        server.send(&data(asked, true, 0, &[1; 512])[..30]).await;
        std::future::pending::<()>().await;
    })
    .await;

    assert!(matches!(source.read(0, 512).await, Err(NbdError::Timeout { .. })));
}

#[tokio::test]
async fn a_connection_that_nobody_runs_is_an_error_and_no_wait() {
    let (source, connection) = served(|mut server| async move {
        server.asked().await;
    })
    .await;
    connection.abort();
    _ = connection.await;

    assert!(matches!(source.read(0, 512).await, Err(NbdError::Closed { .. })));
}

#[tokio::test]
async fn the_last_source_that_goes_says_goodbye() {
    let (gone, said) = tokio::sync::oneshot::channel();
    let (source, connection) = served(|mut server| async move {
        gone.send(server.asked().await.map(|asked| asked.command)).unwrap();
    })
    .await;
    let other: NbdSource = source.clone();
    drop((source, other));

    assert_eq!(said.await.unwrap(), Some(2));
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_nbd_server_is_told_apart() {
    let http = greeted_with(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let oldstyle = greeted_with([&b"NBDMAGIC"[..], &0x0000_4202_8186_1253u64.to_be_bytes()].concat()).await;
    let unfixed = greeted_with(b"NBDMAGICIHAVEOPT\0\0".to_vec()).await;

    assert!(matches!(http, NbdError::Protocol { .. }), "{http:?}");
    assert!(matches!(&oldstyle, NbdError::Refused { problem, .. } if problem.contains("old style")), "{oldstyle:?}");
    assert!(matches!(&unfixed, NbdError::Refused { problem, .. } if problem.contains("fixed newstyle")), "{unfixed:?}");
}

#[tokio::test]
async fn an_answer_of_absurd_length_is_refused_in_the_handshake() {
    let reply = [&0x0003_e889_0455_65a9u64.to_be_bytes()[..], &8u32.to_be_bytes(), &1u32.to_be_bytes(), &[0xff; 4]];
    let error = greeted_with([b"NBDMAGICIHAVEOPT\0\x03".to_vec(), reply.concat()].concat()).await;

    assert!(matches!(&error, NbdError::Protocol { problem, .. } if problem.contains("4294967295")), "{error:?}");
}

/// Found by fuzzing: near 2^64, the end of a read did not fit a number.
#[tokio::test]
async fn an_export_of_no_bytes_or_of_more_than_a_file_can_have_is_refused() {
    for size in [0, 1 << 63, u64::MAX - 4096, u64::MAX] {
        let refused = sized(size).await;
        assert!(matches!(refused, Err(NbdError::Refused { .. })), "{size}: {refused:?}");
    }
    assert!(sized((1 << 63) - 512).await.is_ok());
}
