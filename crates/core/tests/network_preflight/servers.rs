//! Several name servers: which of them is asked, when, and whose answer counts.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use libmigrate::private_link::{Answer, LookupFailure, NameLookup, Resolver, WhyNot};
use libmigrate_test_support::dns_server::LOOPBACK;
use libmigrate_test_support::hostile_dns::{GarbageDns, SilentDns, answer, asks_for_ipv6};

use crate::{ENDPOINT, HOST, asking};

const PUBLIC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(20, 60, 0, 1));
const NO_ERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

fn knowing(address: IpAddr) -> GarbageDns {
    GarbageDns::answering(LOOPBACK, move |question| answer(question, NO_ERROR, &[address]))
}

fn knowing_nothing(code: u8) -> GarbageDns {
    GarbageDns::answering(LOOPBACK, move |question| answer(question, code, &[]))
}

async fn looked_up(servers: &[SocketAddr]) -> Result<Answer, LookupFailure> {
    let resolver = Resolver { servers: servers.to_vec(), ..asking(servers[0]) };
    resolver.look_up(&HOST.parse().unwrap()).await
}

#[tokio::test]
async fn the_first_server_is_waited_for_though_the_second_is_faster() {
    let slow = GarbageDns::answering(LOOPBACK, |question| {
        thread::sleep(Duration::from_millis(250));
        answer(question, NO_ERROR, &[ENDPOINT])
    });
    let fast = knowing(PUBLIC);
    let answer = looked_up(&[slow.address(), fast.address()]).await.unwrap();
    assert_eq!(answer.addresses, [ENDPOINT]);
    assert_eq!(fast.questions(), 0, "the name is told to those only who have to know it");
}

#[tokio::test]
async fn who_refuses_fails_or_is_not_there_is_passed_over() {
    for code in [REFUSED, SERVFAIL] {
        let (first, second) = (knowing_nothing(code), knowing(ENDPOINT));
        let answer = looked_up(&[first.address(), second.address()]).await.unwrap();
        assert_eq!(answer.addresses, [ENDPOINT]);
        assert!(first.questions() > 0);
    }
    let (silent, second) = (SilentDns::start(), knowing(ENDPOINT));
    let closed = std::net::UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
    for first in [silent.address(), closed] {
        assert_eq!(looked_up(&[first, second.address()]).await.unwrap().addresses, [ENDPOINT]);
    }
}

#[tokio::test]
async fn what_one_server_says_of_the_name_no_other_is_asked_about() {
    for (code, why) in [(NXDOMAIN, WhyNot::NoSuchName), (NO_ERROR, WhyNot::NoAddress)] {
        let (first, other) = (knowing_nothing(code), knowing(PUBLIC));
        let failure = looked_up(&[first.address(), other.address()]).await.unwrap_err();
        assert_eq!((failure.why, other.questions()), (why, 0));
    }
}

#[tokio::test]
async fn the_first_servers_failure_is_the_one_that_is_told() {
    let (refuses, silent) = (knowing_nothing(REFUSED), SilentDns::start());
    let failure = looked_up(&[refuses.address(), silent.address()]).await.unwrap_err();
    assert_eq!(failure.why, WhyNot::NoAnswer);
    assert!(failure.words.to_lowercase().contains("refused"), "{}", failure.words);
}

#[tokio::test]
async fn a_family_that_is_never_answered_counts_as_none() {
    let only_ipv4 = GarbageDns::answering(LOOPBACK, |question| {
        let no_message_at_all = Vec::new();
        if asks_for_ipv6(question) { no_message_at_all } else { answer(question, NO_ERROR, &[ENDPOINT]) }
    });
    let began = Instant::now();
    assert_eq!(looked_up(&[only_ipv4.address()]).await.unwrap().addresses, [ENDPOINT]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn more_addresses_than_a_name_has_are_no_answer_to_choose_from() {
    let many = GarbageDns::answering(LOOPBACK, |question| {
        let addresses: Vec<IpAddr> = (1..=65).map(|host| [10, 77, 1, host].into()).collect();
        answer(question, NO_ERROR, &addresses)
    });
    assert_eq!(looked_up(&[many.address()]).await.unwrap_err().why, WhyNot::BadAnswer);
}
