//! `wss://`: whom a client trusts, and what it says of whom it does not.

mod support;

use std::time::Duration;

use actix_web::{App, HttpServer};
use hookup_client::{Backoff, Cause, ClientBuilder, HookupClient, Receipt, Reconnecting, Text, Tls};
use hookup_server::{Event, HookupServer, Peer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use support::{Events, recorder, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// A certificate authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signs"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a server needs to be `name`.
    fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("params");
        let certificate = params.signed_by(&key, &self.0).expect("signs");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_no_client_auth();
        builder.with_single_cert(vec![certificate.der().clone()], key).expect("a configuration")
    }
}

fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

/// A server that answers, mounted in an application, at a port of its own; it lives as long as the System.
fn serve(config: ServerConfig) -> u16 {
    let hookup = HookupServer::new(|| {
        |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                peer.do_send(Text(format!("{text} back")));
            }
        }
    });
    let hookup = hookup.start().expect("starts");
    let server = HttpServer::new(move || App::new().service(hookup.resource("/ws")))
        .workers(1)
        .bind_rustls_0_23("127.0.0.1:0", config)
        .expect("binds");
    let port = server.addrs()[0].port();
    actix::spawn(async move { server.run().await.expect("serves") });
    port
}

fn client(port: u16) -> ClientBuilder {
    let backoff = Backoff::default().jitter_by(|_| Duration::from_millis(1));
    HookupClient::builder(format!("wss://localhost:{port}/ws")).backoff(backoff)
}

async fn talks(builder: ClientBuilder) {
    let (handler, mut events) = recorder();
    let addr = builder.start(handler).expect("starts");
    assert_eq!(events.connected().await.format, "hookup.v2");
    let receipt = soon("an ack", addr.send(Text("there and").needs_ack(HOUR))).await.expect("lives").expect("acked");
    assert_eq!(receipt, Receipt::Acked);
    assert_eq!(events.text().await, "there and back");
}

/// It does not connect, says why in these words, and goes on trying.
async fn fails(builder: ClientBuilder, words: &str) {
    let (handler, mut events) = recorder();
    let _addr = builder.start(handler).expect("starts");
    for attempt in 1..=3 {
        let event = reconnecting(&mut events).await;
        assert_eq!(event.attempt, attempt);
        assert!(matches!(&event.cause, Cause::Failed(why) if why.contains(words)), "{}", event.cause);
    }
}

async fn reconnecting(events: &mut Events) -> Reconnecting {
    match events.next().await {
        Event::Reconnecting(reconnecting) => reconnecting,
        other => panic!("another event: {other:?}"),
    }
}

#[actix::test]
async fn messages_flow_where_the_authority_is_trusted() {
    let authority = Authority::new();
    let port = serve(authority.server("localhost"));
    talks(client(port).tls(Tls::roots_pem(authority.pem()))).await;
    let roots = format!("{}{}", Authority::new().pem(), authority.pem());
    talks(client(port).tls(Tls::roots_pem(roots))).await;
}

#[actix::test]
async fn an_authority_that_is_not_trusted_is_a_failed_attempt() {
    let port = serve(Authority::new().server("localhost"));
    fails(client(port), "certificate").await;
    fails(client(port).tls(Tls::platform()), "certificate").await;
    fails(client(port).tls(Tls::roots_pem(Authority::new().pem())), "certificate").await;
}

#[actix::test]
async fn a_certificate_of_another_name_is_a_failed_attempt() {
    let authority = Authority::new();
    let port = serve(authority.server("example.org"));
    fails(client(port).tls(Tls::roots_pem(authority.pem())), "certificate").await;
}

#[actix::test]
async fn a_server_without_tls_is_a_failed_attempt() {
    let server = support::Server::with(|| recorder().0);
    fails(client(server.addr.port()), "").await;
}

#[actix::test]
async fn a_configuration_of_ones_own_is_used_and_its_h2_is_not_offered() {
    let authority = Authority::new();
    // The server prefers h2, as actix-web does.
    let mut config = authority.server("localhost");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let port = serve(config);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate")).expect("is added");
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    talks(client(port).tls(Tls::config(config))).await;
}
