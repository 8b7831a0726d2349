//! A server whose clock the test moves.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{net::SocketAddr, time::Duration};

use actix_web::{App, HttpServer, web};
use hookup_server::{HookupServer, ServerBuilder};

use crate::{
    raw::Raw,
    support::{Events, pass, recorder},
};

/// A server on one thread, whose clock jumps by as many seconds as are asked for.
pub(crate) fn server(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (SocketAddr, Events) {
    let (handler, events) = recorder();
    let hookup = set(HookupServer::new(move || handler.clone())).start().expect("starts");
    let passes = |seconds: web::Path<u64>| async move {
        pass(Duration::from_secs(seconds.into_inner())).await;
        "passed"
    };
    let server = HttpServer::new(move || {
        App::new().service(hookup.resource("/")).route("/pass/{seconds}", web::get().to(passes))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .client_request_timeout(Duration::ZERO)
        .bind(("127.0.0.1", 0))
        .expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });
    (addr, events)
}

/// The clock of the server jumps.
pub(crate) async fn server_passes(addr: SocketAddr, time: Duration) {
    let mut raw = Raw::connect(addr).await;
    let response = raw.request("GET", &format!("/pass/{}", time.as_secs()), &[]).await;
    assert_eq!((response.status, response.body.as_str()), (200, "passed"));
}
