//! A mounted server that speaks plain HTTP, behind a proxy that terminates TLS.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/secure.rs"]
mod secure;
mod support;

use std::{net::SocketAddr, sync::Arc};

use actix_web::{App, HttpServer};
use certificates::Authority;
use hookup_client::{ClientBuilder, Tls};
use hookup_server::ServerBuilder;
use rustls::ServerConfig;
use secure::{answering, client, fails, talks};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Takes TLS off what comes, and passes it on as it is, its `Host` included; the port.
async fn terminate(config: ServerConfig, server: SocketAddr) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let port = listener.local_addr().expect("is bound").port();
    actix::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let acceptor = acceptor.clone();
            actix::spawn(async move {
                // What fails ends its connection, as it does in a proxy.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let Ok(mut inside) = TcpStream::connect(server).await else { return };
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    port
}

/// A mounted server, and its proxy's port and client.
async fn behind_a_proxy(builder: ServerBuilder) -> (u16, impl Fn() -> ClientBuilder) {
    let hookup = builder.start().expect("starts");
    let server = HttpServer::new(move || App::new().service(hookup.resource("/ws")));
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });

    let authority = Authority::new();
    let port = terminate(authority.server("localhost"), addr).await;
    (port, move || client(port).tls(Tls::roots_pem(authority.pem())))
}

#[actix::test]
async fn a_client_talks_to_a_mounted_server_behind_a_proxy_that_terminates_tls() {
    let (_, client) = behind_a_proxy(answering()).await;
    talks(client()).await;
}

#[actix::test]
async fn a_page_of_the_proxys_host_may_connect_and_another_may_not() {
    let (port, client) = behind_a_proxy(answering()).await;
    talks(client().header("Origin", format!("https://localhost:{port}"))).await;
    fails(client().header("Origin", "https://evil.example"), "403").await;
    fails(client().header("Origin", "https://localhost"), "403").await;
}

#[actix::test]
async fn behind_a_proxy_that_changes_the_host_origins_are_listed() {
    let (_, client) = behind_a_proxy(answering().allowed_origins(["https://example.org"])).await;
    talks(client().header("Origin", "https://example.org")).await;
    fails(client().header("Origin", "https://evil.example"), "403").await;
}
