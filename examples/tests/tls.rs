//! `wss://`: whom a client trusts, and what it says of whom it does not.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/secure.rs"]
mod secure;
mod support;

use actix_web::{App, HttpServer};
use certificates::{Authority, provider, save};
use hookup_client::{ClientBuilder, ConfigError, Tls};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secure::{answering, client, fails, talks};
use support::recorder;

/// A server that answers, mounted in an application, at a port of its own; it lives as long as the System.
fn serve(config: ServerConfig) -> u16 {
    let hookup = answering().start().expect("starts");
    let server = HttpServer::new(move || App::new().service(hookup.resource("/ws")))
        .workers(1)
        .bind_rustls_0_23("127.0.0.1:0", config)
        .expect("binds");
    let port = server.addrs()[0].port();
    actix::spawn(async move { server.run().await.expect("serves") });
    port
}

fn refused(builder: ClientBuilder) -> String {
    let error: ConfigError = builder.start(recorder().0).expect_err("cannot work");
    assert_eq!(error.setting(), "tls");
    error.to_string()
}

#[actix::test]
async fn messages_flow_where_the_authority_is_trusted() {
    let authority = Authority::new();
    let port = serve(authority.server("localhost"));
    talks(client(port).tls(Tls::roots_pem(authority.pem()))).await;
    let roots = format!("{}{}", Authority::new().pem(), authority.pem());
    talks(client(port).tls(Tls::roots_pem(roots.clone()))).await;
    let dir = tempfile::tempdir().expect("a directory");
    talks(client(port).tls(Tls::roots_file(save(dir.path(), "roots.pem", &roots)))).await;
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

#[actix::test]
async fn files_that_cannot_be_used_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let (one, other) = (authority.issue("one"), authority.issue("other"));
    let [chain, key] = one.save(dir.path());
    let (missing, empty) = (dir.path().join("missing.pem"), save(dir.path(), "empty.pem", ""));
    let with = |tls: Tls| refused(client(1).tls(tls));

    let words = with(Tls::roots_file(&missing));
    assert!(words.contains("missing.pem cannot be read"), "{words}");
    let words = with(Tls::roots_file(&empty));
    assert!(words.contains("empty.pem has no certificate"), "{words}");
    let words = with(Tls::platform().client_certificate_files(&empty, &key));
    assert!(words.contains("empty.pem has no certificate"), "{words}");
    let words = with(Tls::platform().client_certificate_files(&chain, &chain));
    assert!(words.contains("chain.pem has no private key"), "{words}");
    let words = with(Tls::platform().client_certificate_files(&chain, &missing));
    assert!(words.contains("missing.pem cannot be read"), "{words}");
    let words = with(Tls::roots_pem(authority.pem()).client_certificate_pem(one.chain, other.key));
    assert!(words.contains("is not that of the certificate"), "{words}");

    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let words = with(Tls::config(config).client_certificate_files(&chain, &key));
    assert!(words.contains("brings its own"), "{words}");
}
