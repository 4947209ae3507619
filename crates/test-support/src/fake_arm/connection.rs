//! From the socket to a service and back, with the faults in between.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::answer::{Answer, ArmError, Outcome};
use super::faults::{ArmFault, LastRequest};
use super::request::Request;
use super::{Shared, services, versions};
use crate::page_blob_server::connection::closed;
use crate::page_blob_server::lock;

/// Serves connections until it is dropped, and they with it.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let _ = socket.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&shared), request));
            // A client that goes away, and a fault that closes the connection, both end here.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

/// An error of the service closes the connection.
async fn serve(shared: Arc<Shared>, request: HttpRequest<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::read(&parts, &body);
    if let Some(last) = shared.faults.meets_the_end() {
        if last == LastRequest::Unanswered {
            let _ = act(&shared, &request);
        }
        shared.faults.note_cut();
        std::future::pending::<()>().await;
    }
    let answer = act(&shared, &request).ok_or_else(closed)?;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let content = match &answer.body {
        Some(body) => {
            response = response.header(CONTENT_TYPE, "application/json; charset=utf-8");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    response.body(Full::new(content)).map_err(io::Error::other)
}

/// The answer, recorded; none where a fault closes the connection.
fn act(shared: &Shared, request: &Request) -> Option<Answer> {
    let fault = shared.faults.take(request);
    let outcome = match &fault {
        Some(ArmFault::ResetBefore) => return None,
        Some(ArmFault::Refuse(error)) => Err(error.clone()),
        _ => answer(shared, request, fault.as_ref()),
    };
    if fault == Some(ArmFault::ResetAfter) {
        return None;
    }
    let mut answer = outcome.unwrap_or_else(|error| error.answer());
    let mut world = lock(&shared.world);
    answer.headers.push(("x-ms-request-id", world.uuid()));
    lock(&shared.recorder).record(&world.origin, request, &answer);
    Some(answer)
}

fn answer(shared: &Shared, request: &Request, fault: Option<&ArmFault>) -> Outcome {
    let token = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if token.is_none_or(str::is_empty) {
        return Err(ArmError::new(
            401,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing or has no bearer token.",
        ));
    }
    if request.garbled {
        return Err(ArmError::bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized.",
        ));
    }
    let mut world = lock(&shared.world);
    if let Some(outcome) = world.ask_after(request) {
        return outcome;
    }
    versions::check(request)?;
    match fault {
        Some(ArmFault::FailOperation(error)) => world.doom = Some(error.clone()),
        Some(ArmFault::Hide { reads }) => world.hide_next = *reads,
        _ => {}
    }
    let outcome = services::dispatch(&mut world, request);
    world.doom = None;
    world.hide_next = 0;
    outcome
}
