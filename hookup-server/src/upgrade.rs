//! From an HTTP request to a session: the handshake, and the choice of a wire format.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
};

use actix::Addr;
use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL},
    web,
};
use hookup_core::wire::Negotiation;

use crate::{builder::Settings, connection, registry::HookupServer, session::Session};

pub(crate) fn upgrade(
    settings: &Arc<Settings>,
    server: &Addr<HookupServer>,
    request: &HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    if settings.stopping.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable().body("the server is stopping\n");
    }
    // Before the subprotocol: what is no handshake at all is not a matter of subprotocols.
    let mut response = match connection::handshake(request) {
        Ok(response) => response,
        Err(error) => return error.error_response(),
    };
    let lines = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect::<Vec<_>>();
    let format = match settings.common.negotiate(lines.iter().map(Cow::as_ref)) {
        Negotiation::Chosen(format) => {
            response.insert_header((SEC_WEBSOCKET_PROTOCOL, format.name()));
            format
        }
        Negotiation::Default(format) => format,
        Negotiation::Unknown => return unknown_subprotocol(settings),
    };
    tracing::debug!(format = format.name(), peer = ?request.peer_addr(), "a session begins");
    let session = Session::start(settings, server.clone(), request.peer_addr(), format);
    response.streaming(connection::start(session, payload, settings.common.limits))
}

fn unknown_subprotocol(settings: &Settings) -> HttpResponse {
    let names = settings.common.formats.names();
    let text = format!("none of the offered subprotocols is known here; known are {names}\n");
    let mut response = HttpResponse::UpgradeRequired();
    response.insert_header(("Upgrade", "websocket"));
    if let Ok(names) = HeaderValue::try_from(names) {
        response.insert_header((SEC_WEBSOCKET_PROTOCOL, names));
    }
    response.body(text)
}
