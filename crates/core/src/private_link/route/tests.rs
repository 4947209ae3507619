//! The clock stands still in here, and goes on when everybody waits.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::private_link::{Answer, LookupFailure, Origin, WhyNot};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 5));
const PATIENT: Duration = Duration::from_secs(30);

/// What one look finds.
#[derive(Clone, Debug)]
enum Line {
    Address { valid_for: Duration },
    Fails(WhyNot),
    NeverEnds,
}

/// Answers in turn; the last one from then on.
#[derive(Debug)]
struct Script {
    lines: Vec<Line>,
    looks: AtomicUsize,
}

#[async_trait::async_trait]
impl NameLookup for Script {
    async fn look_up(&self, _: &HostName) -> Result<Answer, LookupFailure> {
        let turn = self.looks.fetch_add(1, Ordering::SeqCst);
        match self.lines[turn.min(self.lines.len() - 1)] {
            Line::Address { valid_for } => {
                Ok(Answer { origin: Origin::Dns, chain: Vec::new(), addresses: vec![HERE], valid_for })
            }
            Line::Fails(why) => Err(LookupFailure { why, chain: Vec::new(), words: "no".to_owned() }),
            Line::NeverEnds => std::future::pending().await,
        }
    }
}

struct World {
    script: Arc<Script>,
    route: Arc<PrivateRoute>,
}

impl World {
    fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        let script = Arc::new(Script { lines: lines.into_iter().collect(), looks: AtomicUsize::new(0) });
        let lookup = Arc::<Script>::clone(&script);
        let Route::Private(route) = Route::of(&PrivateLink::Required { rule: AddressRule::default(), lookup }) else {
            unreachable!("it is required")
        };
        Self { script, route }
    }

    /// One whose name was let through a while ago.
    async fn connected(then: Line) -> Self {
        let world = Self::new([Line::Address { valid_for: Duration::ZERO }, then]);
        world.admit(PATIENT).await.unwrap();
        tokio::time::advance(FRESH).await;
        world
    }

    async fn admit(&self, within: Duration) -> Result<(), PrivateLinkError> {
        self.route.admit(&"https://webcache01.blob.core.windows.net/replicas".parse().unwrap(), within).await
    }

    async fn connect(&self) -> bool {
        let resolver = RouteResolver(Gate::Private(Arc::clone(&self.route)));
        reqwest::dns::Resolve::resolve(&resolver, "webcache01.blob.core.windows.net".parse().unwrap()).await.is_ok()
    }

    fn looks(&self) -> usize {
        self.script.looks.load(Ordering::SeqCst)
    }

    fn epoch(&self) -> u64 {
        self.route.epoch.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_without_end_holds_up_what_is_connected_for_a_moment_only() {
    let world = World::connected(Line::NeverEnds).await;
    let began = Instant::now();
    world.admit(PATIENT).await.unwrap();
    assert_eq!(began.elapsed(), REFRESH_LIMIT);
    for _ in 0..100 {
        world.admit(PATIENT).await.unwrap();
    }
    assert_eq!((began.elapsed(), world.looks(), world.epoch()), (REFRESH_LIMIT, 2, 0));
    tokio::time::advance(AFTER_SILENCE).await;
    world.admit(PATIENT).await.unwrap();
    assert_eq!(world.looks(), 3, "the name is asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_request_in_a_hurry_is_not_ended_by_a_look() {
    let world = World::connected(Line::NeverEnds).await;
    let hurry = Duration::from_secs(1);
    tokio::time::timeout(hurry, world.admit(hurry)).await.unwrap().unwrap();
    tokio::time::timeout(Duration::ZERO, world.admit(hurry)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_its_address_holds_up_nobody_else() {
    let valid_for = Duration::from_secs(3600);
    let world = World::new([Line::Address { valid_for }, Line::NeverEnds]);
    world.admit(PATIENT).await.unwrap();
    tokio::time::advance(FRESH).await;
    let connecting = world.connect();
    tokio::pin!(connecting);
    assert!(tokio::time::timeout(Duration::ZERO, &mut connecting).await.is_err());
    assert_eq!(world.looks(), 2);
    tokio::time::timeout(Duration::ZERO, world.admit(PATIENT)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_ends_no_connection_and_makes_none() {
    for why in [WhyNot::NoAnswer, WhyNot::BadAnswer, WhyNot::NoServer] {
        let world = World::connected(Line::Fails(why)).await;
        for _ in 0..2 {
            world.admit(PATIENT).await.unwrap();
            tokio::time::advance(FRESH).await;
        }
        assert_eq!((world.looks(), world.epoch()), (2, 0));
        assert!(!world.connect().await);
        assert_eq!(world.looks(), 3, "a new connection asks for itself");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_more_ends_what_is_connected() {
    for why in [WhyNot::NoSuchName, WhyNot::NoAddress] {
        let world = World::connected(Line::Fails(why)).await;
        let error = world.admit(PATIENT).await.unwrap_err();
        assert!(matches!(error, PrivateLinkError::Lookup { .. }), "{error}");
        assert_eq!(world.epoch(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_ever_counts_for_an_hour() {
    let world = World::new([Line::Address { valid_for: Duration::MAX }]);
    world.admit(PATIENT).await.unwrap();
    tokio::time::advance(MAX_VALID / 2).await;
    world.admit(PATIENT).await.unwrap();
    assert_eq!(world.looks(), 1);
    tokio::time::advance(MAX_VALID / 2).await;
    world.admit(PATIENT).await.unwrap();
    assert_eq!(world.looks(), 2);
}

#[tokio::test(start_paused = true)]
async fn names_without_end_are_not_all_kept() {
    let world = World::new([Line::Address { valid_for: Duration::MAX }]);
    let known = || world.route.hosts.lock().unwrap().len();
    let admit = |host: String| {
        let url = format!("https://{host}/").parse().unwrap();
        let route = Arc::clone(&world.route);
        async move { route.admit(&url, PATIENT).await }
    };
    assert!(admit("one-part".to_owned()).await.is_err());
    assert_eq!(known(), 0, "what is no name is not kept");
    for number in 0..=MAX_HOSTS {
        admit(format!("n{number}.example")).await.unwrap();
    }
    assert!(known() <= MAX_HOSTS);
    assert_eq!(world.epoch(), 1, "who is forgotten connects anew");
}
