//! From an HTTP request to a session: the choice of a wire format, and the session's beginning.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use actix::Addr;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ContentType, HeaderValue, SEC_WEBSOCKET_PROTOCOL},
    web,
};
use hookup_core::{
    panics::catch_future,
    wire::{Negotiation, Protocol},
};

use crate::{
    admission::{Admitted, admit, check},
    builder::Settings,
    connection::{self, Desk, Greeter},
    handshake::handshake,
    line::Line,
    registry::HookupServer,
    session::Session,
};

/// Answers a request. A panic of the user's code in it, such as the handler's factory, is a 500.
pub(crate) async fn upgrade(
    settings: &Arc<Settings>,
    server: &Addr<HookupServer>,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let answered = catch_future(answer(settings, server, request, payload)).await;
    answered.unwrap_or_else(|message| {
        tracing::error!(%message, "a handshake panicked");
        HttpResponse::InternalServerError().finish()
    })
}

async fn answer(
    settings: &Arc<Settings>,
    server: &Addr<HookupServer>,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    // Before the subprotocol: what is no handshake at all is not a matter of subprotocols.
    let mut response = match handshake(request) {
        Ok(response) => response,
        Err(refused) => {
            tracing::debug!(remote = ?request.peer_addr(), "a handshake is refused: {refused}");
            return refused.response();
        }
    };
    if let Err(refusal) = check(settings, request) {
        return *refusal;
    }
    let lines = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect::<Vec<_>>();
    let protocol = match settings.common.negotiate(lines.iter().map(Cow::as_ref)) {
        Negotiation::Chosen(protocol) => {
            response.insert_header((SEC_WEBSOCKET_PROTOCOL, protocol.name()));
            protocol
        }
        Negotiation::Default(protocol) => protocol,
        Negotiation::Unknown => {
            tracing::debug!(remote = ?request.peer_addr(), ?lines, "a handshake is refused: its subprotocols are unknown");
            return unknown_subprotocol(settings);
        }
    };
    let Admitted { place, principal, payload } = match admit(settings, request, payload).await {
        Ok(admitted) => admitted,
        Err(refusal) => return *refusal,
    };
    let remote = request.peer_addr();
    tracing::debug!(?protocol, ?remote, "a connection begins");
    let desk = match protocol {
        Protocol::Format(format) => {
            Desk::Format(Session::of_format(settings, server.clone(), remote, principal, format))
        }
        Protocol::V2 => {
            let timeout = settings.config.hello_timeout;
            let (server, stopping) = (server.clone(), settings.stopping.subscribe());
            Desk::Greeting { greeter: Greeter { server, principal, remote, timeout, stopping }, patience: None }
        }
    };
    let line = Line::of(request);
    if !line.is_held() && !settings.warned.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "a connection that stalls stays open: give hookup_server::on_connect to the HttpServer's on_connect"
        );
    }
    response.streaming(connection::start(desk, place, line, payload, settings.common.limits))
}

fn unknown_subprotocol(settings: &Settings) -> HttpResponse {
    let names = settings.common.formats.names();
    let text = format!("none of the offered subprotocols is known here; known are {names}\n");
    let mut response = HttpResponse::UpgradeRequired();
    response.insert_header(("Upgrade", "websocket"));
    if let Ok(names) = HeaderValue::try_from(names) {
        response.insert_header((SEC_WEBSOCKET_PROTOCOL, names));
    }
    response.content_type(ContentType::plaintext()).body(text)
}
