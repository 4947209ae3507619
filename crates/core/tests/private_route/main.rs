//! Bytes go to private addresses only, whatever names, redirects and name servers do.
//!
//! "Private" are 127.0.0.1 and 127.0.0.2 here, by the rule; everything else on loopback stands for the internet,
//! and something listens there. `no_leak.rs` does the same with real addresses in a network of its own.

mod no_leak;
mod scripted;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{ClientOptions, Method, Pipeline, Request, RetryOptions};
use libmigrate::private_link::{
    AddressRule, Cloud, PrivateLink, PrivateLinkError, TransportOptions, control_plane_transport, private_transport,
};
use libmigrate::progress::EventKind;
use libmigrate::secret::Secret;
use libmigrate::target::azure::{AzurePageBlob, Credential};
use libmigrate::target::{PageTarget, TargetError, TargetRoute};
use libmigrate::{CancellationToken, DiskDescription, Engine, EngineOptions};
use libmigrate_test_support::page_blob_server::PageBlobServer;
use libmigrate_test_support::tls_front::{Authority, TlsFront};

use crate::scripted::{Scripted, no_answer, resolves_to};

const HOST: &str = "webcache01.blob.core.windows.net";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ALSO_HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const INTERNET: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

/// The service at its private endpoint, and the same behind an address that is not private.
struct Network {
    server: PageBlobServer,
    authority: Authority,
    private: TlsFront,
    internet: TlsFront,
}

impl Network {
    async fn start() -> Self {
        let (server, authority) = (PageBlobServer::start().await, Authority::new());
        server.create_container("replicas");
        let private = TlsFront::start(SocketAddr::new(HERE, 0), &authority, &[HOST], server.address()).await;
        let port = private.address().port();
        let internet = TlsFront::start(SocketAddr::new(INTERNET, port), &authority, &[HOST], server.address()).await;
        Self { server, authority, private, internet }
    }

    fn port(&self) -> u16 {
        self.private.address().port()
    }

    fn options(&self, private_link: PrivateLink) -> TransportOptions {
        TransportOptions {
            private_link,
            extra_certificates_pem: Some(self.authority.pem().into_bytes()),
            ..TransportOptions::default()
        }
    }

    fn target(&self, script: &Arc<Scripted>) -> AzurePageBlob {
        self.target_at(&format!("https://{HOST}:{}/replicas/web01.vhd", self.port()), required(script))
    }

    fn target_at(&self, url: &str, private_link: PrivateLink) -> AzurePageBlob {
        let credential = Credential::Sas(Secret::new("sv=1&sig=c2ln".to_owned()));
        AzurePageBlob::new(url, credential, self.options(private_link)).unwrap()
    }
}

fn required(script: &Arc<Scripted>) -> PrivateLink {
    let also_private = vec!["127.0.0.0/30".parse().unwrap()];
    PrivateLink::Required {
        rule: AddressRule { also_private, only: Vec::new() },
        lookup: Arc::<Scripted>::clone(script),
    }
}

fn not_private(error: &TargetError) -> bool {
    matches!(error, TargetError::NotPrivate { .. })
}

#[tokio::test]
async fn a_private_answer_is_used_under_the_names_own_certificate() {
    let network = Network::start().await;
    let script = Scripted::always(resolves_to(&[HERE]));
    let target = network.target(&script);
    assert_eq!(target.state().await.unwrap(), None);
    assert_eq!(target.capabilities().route, TargetRoute::PrivateLink);
    assert_eq!((network.private.accepted(), network.internet.accepted()), (1, 0));
    let host = network.server.journal();
    assert!(!host.is_empty());
}

#[tokio::test]
async fn a_public_answer_is_refused_and_named_and_nothing_is_sent() {
    let network = Network::start().await;
    let error = network.target(&Scripted::always(resolves_to(&[INTERNET]))).state().await.unwrap_err();
    assert!(not_private(&error), "{error}");
    assert!(error.to_string().contains("127.0.0.66 (loopback)") && error.to_string().contains(HOST), "{error}");
    assert_eq!((network.private.accepted(), network.internet.accepted()), (0, 0));
}

#[tokio::test]
async fn one_public_address_among_private_ones_refuses_them_all() {
    let network = Network::start().await;
    let error = network.target(&Scripted::always(resolves_to(&[HERE, INTERNET]))).state().await.unwrap_err();
    assert!(not_private(&error), "{error}");
    assert_eq!((network.private.accepted(), network.internet.accepted()), (0, 0));
}

/// DNS rebinding: the name server answers the check with one address and the connection with another.
#[tokio::test]
async fn an_answer_that_turns_public_after_the_check_leads_nowhere() {
    let network = Network::start().await;
    let script = Scripted::in_turn([resolves_to(&[HERE]), resolves_to(&[INTERNET])]);
    let target = network.target(&script);
    // The connection goes to what was checked, not to what a second look would say.
    target.state().await.unwrap();
    assert_eq!(script.looks(), 1);
    let error = scripted::until_refused(&target).await;
    assert!(not_private(&error), "{error}");
    assert_eq!((network.private.accepted(), network.internet.accepted()), (1, 0));
}

#[tokio::test]
async fn a_new_connection_asks_again_while_the_last_answer_is_still_good() {
    let network = Network::start().await;
    let day = Duration::from_secs(86_400);
    let script = Scripted::in_turn([resolves_to(&[HERE]).good_for(day), resolves_to(&[INTERNET]).good_for(day)]);
    let target = network.target(&script);
    target.state().await.unwrap();
    // The server closes what is open: the next request needs a new connection.
    drop(network.private);
    let error = scripted::until_refused(&target).await;
    assert!(not_private(&error), "{error}");
    assert_eq!(network.internet.accepted(), 0);
}

#[tokio::test]
async fn connections_to_an_address_that_the_name_has_left_are_not_kept() {
    let network = Network::start().await;
    let elsewhere = SocketAddr::new(ALSO_HERE, network.port());
    let moved = TlsFront::start(elsewhere, &network.authority, &[HOST], network.server.address()).await;
    let script = Scripted::in_turn([resolves_to(&[HERE]), resolves_to(&[ALSO_HERE])]);
    let target = network.target(&script);
    target.state().await.unwrap();
    scripted::until(|| async {
        target.state().await.unwrap();
        moved.accepted() == 1
    })
    .await;
    let before = network.private.accepted();
    target.state().await.unwrap();
    assert_eq!((network.private.accepted(), moved.accepted()), (before, 1));
}

#[tokio::test]
async fn a_name_server_that_is_down_does_not_end_what_is_connected() {
    let network = Network::start().await;
    let script = Scripted::in_turn([resolves_to(&[HERE]), no_answer()]);
    let target = network.target(&script);
    target.state().await.unwrap();
    scripted::until(|| async {
        target.state().await.unwrap();
        script.looks() >= 2
    })
    .await;
    assert_eq!(network.private.accepted(), 1);
    // A new connection is another matter, and may be tried again.
    drop(network.private);
    let error = scripted::until_refused(&target).await;
    assert!(
        matches!(&error, TargetError::Transient { reason, .. } if reason.contains("cannot be resolved")),
        "{error}"
    );
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_worth_another_try() {
    let network = Network::start().await;
    let error = network.target(&Scripted::always(no_answer())).state().await.unwrap_err();
    assert!(matches!(&error, TargetError::Transient { reason, .. } if reason.contains(HOST)), "{error}");
}

#[tokio::test]
async fn an_address_in_place_of_a_name_passes_the_same_rule() {
    let network = Network::start().await;
    let script = Scripted::always(resolves_to(&[HERE]));
    for host in ["20.60.0.1", "0x143c0001", "[2603:1000::1]", "[::ffff:20.60.0.1]", "[64:ff9b::10.0.0.5]", "100.64.0.1"]
    {
        let target = network.target_at(&format!("https://{host}/acct/replicas/web01.vhd"), required(&script));
        let error = target.state().await.unwrap_err();
        assert!(not_private(&error), "{host}: {error}");
    }
    assert_eq!(script.looks(), 0);
}

#[tokio::test]
async fn the_private_endpoints_own_address_can_be_demanded() {
    let network = Network::start().await;
    let lookup = Scripted::always(resolves_to(&[ALSO_HERE]));
    let also_private = vec!["127.0.0.0/30".parse().unwrap()];
    let link = PrivateLink::Required { rule: AddressRule { also_private, only: vec![HERE] }, lookup };
    let url = format!("https://{HOST}:{}/replicas/web01.vhd", network.port());
    assert!(not_private(&network.target_at(&url, link).state().await.unwrap_err()));
}

#[tokio::test]
async fn without_private_link_an_event_says_so_before_anything_is_sent() {
    let network = Network::start().await;
    // A name that nobody has: the opening fails, and has been announced.
    let target = Arc::new(network.target_at("https://acct.blob.invalid/replicas/web01.vhd", PrivateLink::NotRequired));
    assert_eq!(target.capabilities().route, TargetRoute::Any);
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let mut events = engine.events().after(0);
    let cancel = CancellationToken::new();
    let opening = engine.open(target, DiskDescription { size_bytes: 1 << 20, identity: None }, &cancel);
    let event = tokio::select! {
        event = events.next() => event,
        _ = opening => panic!("the name cannot be resolved, and giving up takes longer"),
    };
    assert_eq!(event.kind, EventKind::PublicRouteAllowed);
}

/// A client of `azure_core` that is not ours.
fn pipeline(transport: azure_core::http::Transport) -> Pipeline {
    let options = ClientOptions { transport: Some(transport), retry: RetryOptions::none(), ..ClientOptions::default() };
    Pipeline::new(None, None, options, Vec::new(), Vec::new(), None)
}

async fn ask(pipeline: &Pipeline, url: &str) -> azure_core::Result<u16> {
    let mut request = Request::new(url.parse().unwrap(), Method::Get);
    let answer = pipeline.send(&azure_core::http::Context::new(), &mut request, None).await?;
    Ok(answer.status().into())
}

#[tokio::test]
async fn other_clients_of_azure_core_can_use_the_private_transport() {
    let network = Network::start().await;
    let private = network.options(required(&Scripted::always(resolves_to(&[INTERNET]))));
    let error = ask(&pipeline(private_transport(private).unwrap()), &format!("https://{HOST}:{}/", network.port()))
        .await
        .unwrap_err();
    assert!(matches!(PrivateLinkError::behind(&error), Some(PrivateLinkError::NotPrivate { .. })), "{error:?}");
    assert_eq!(network.internet.accepted(), 0);
}

#[tokio::test]
async fn the_control_planes_transport_asks_its_clouds_hosts_and_nobody_else() {
    let control = control_plane_transport(Cloud::Public, TransportOptions::default()).unwrap();
    let pipeline = pipeline(control);
    for url in [
        "https://webcache01.blob.core.windows.net/replicas",
        "https://management.usgovcloudapi.net/subscriptions",
        "https://management.azure.com.evil.example/",
        "http://management.azure.com/subscriptions",
    ] {
        let error = ask(&pipeline, url).await.unwrap_err();
        assert!(matches!(PrivateLinkError::behind(&error), Some(PrivateLinkError::ForeignHost { .. })), "{error:?}");
    }
}
