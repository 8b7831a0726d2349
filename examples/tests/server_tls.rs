//! A server that speaks TLS by itself, clients that prove who they are with a certificate, and files that cannot be used.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/secure.rs"]
mod secure;
mod support;

use std::time::Duration;

use actix_web::{HttpRequest, error::ErrorForbidden};
use certificates::{Authority, save};
use hookup_client::{ClientConfig, HookupClient, Tls as ClientTls};
use hookup_server::{ClientCertificates, Event, ListenError, Peer, ServerConfig, Tls, TlsFiles};
use raw::Raw;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secure::{answering, client, fails, talks};
use support::Server;
use tempfile::TempDir;

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn serve(tls: Tls) -> u16 {
    Server::start(answering().tls(tls)).addr.port()
}

fn refused(tls: Tls) -> String {
    match answering().tls(tls).listen("127.0.0.1:0") {
        Err(ListenError::Config(error)) if error.setting() == "tls" => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[actix::test]
async fn a_server_listens_with_a_certificate_and_a_key_from_files() {
    let (authority, dir) = (Authority::new(), dir());
    let [chain, key] = authority.issue("localhost").save(dir.path());
    let port = serve(Tls::files(chain, key));
    talks(client(port).tls(ClientTls::roots_pem(authority.pem()))).await;
    fails(client(port).tls(ClientTls::roots_pem(Authority::new().pem())), "certificate").await;
}

#[actix::test]
async fn a_server_listens_with_a_configuration_of_ones_own() {
    let authority = Authority::new();
    let port = serve(Tls::config(authority.server("localhost")));
    talks(client(port).tls(ClientTls::roots_pem(authority.pem()))).await;
}

#[actix::test]
async fn with_a_client_ca_only_clients_with_a_certificate_of_it_come_in() {
    let (servers, clients, dir) = (Authority::new(), Authority::new(), dir());
    let [chain, key] = servers.issue("localhost").save(dir.path());
    let port = serve(Tls::files(chain, key).client_ca(save(dir.path(), "clients.pem", &clients.pem())));
    let trusting = || ClientTls::roots_pem(servers.pem());

    let pump = clients.issue("pump-7");
    talks(client(port).tls(trusting().client_certificate_pem(pump.chain.clone(), pump.key.clone()))).await;
    let own = dir.path().join("pump");
    std::fs::create_dir(&own).expect("a directory");
    let [chain, key] = pump.save(&own);
    talks(client(port).tls(trusting().client_certificate_files(chain, key))).await;

    fails(client(port).tls(trusting()), "CertificateRequired").await;
    let stranger = Authority::new().issue("pump-7");
    fails(client(port).tls(trusting().client_certificate_pem(stranger.chain, stranger.key)), "alert").await;
}

#[actix::test]
async fn certificates_and_keys_may_be_named_in_the_settings() {
    let (authority, clients, dir) = (Authority::new(), Authority::new(), dir());
    let [certificate, key] = authority.issue("localhost").save(dir.path());
    let client_ca = Some(save(dir.path(), "clients.pem", &clients.pem()));
    let mut config = ServerConfig::default();
    config.tls = Some(TlsFiles { certificate, key, client_ca });
    let port = Server::start(answering().config(config.clone())).addr.port();
    let error = answering().config(config).start().expect_err("a mounted server's TLS is not its own");
    assert_eq!(error.setting(), "tls");

    let own = dir.path().join("own");
    std::fs::create_dir(&own).expect("a directory");
    let [certificate, key] = clients.issue("pump-7").save(&own).map(Some);
    let roots = Some(save(dir.path(), "roots.pem", &authority.pem()));
    let mut config = ClientConfig::default();
    config.url = format!("wss://localhost:{port}/");
    config.tls = Some(hookup_client::TlsFiles { roots: roots.clone(), certificate, key: key.clone() });
    talks(HookupClient::from_config(config.clone())).await;

    config.tls = Some(hookup_client::TlsFiles { roots, certificate: None, key });
    let error = HookupClient::from_config(config).start(|_: Event, _: Peer| {}).expect_err("cannot work");
    assert!(error.to_string().contains("a key with its certificate"), "{error}");
}

#[actix::test]
async fn the_hook_sees_whose_certificate_it_is() {
    let (servers, clients, dir) = (Authority::new(), Authority::new(), dir());
    let [chain, key] = servers.issue("localhost").save(dir.path());
    let [known, unknown] = ["pump-7", "pump-8"].map(|name| clients.issue(name));
    let expected = CertificateDer::from_pem_slice(known.chain.as_bytes()).expect("a certificate");
    let tls = Tls::files(chain, key).client_ca(save(dir.path(), "clients.pem", &clients.pem()));
    let builder = answering().tls(tls).authenticate(move |request: HttpRequest| {
        let shown = request.conn_data::<ClientCertificates>().and_then(|shown| shown.0.first());
        let name = if shown == Some(&expected) { Ok("pump-7") } else { Err(ErrorForbidden("an unknown pump")) };
        async move { name }
    });
    let port = Server::start(builder).addr.port();
    let pump = |issued: certificates::Issued| {
        let trusting = ClientTls::roots_pem(servers.pem());
        client(port).tls(trusting.client_certificate_pem(issued.chain, issued.key))
    };
    talks(pump(known)).await;
    fails(pump(unknown), "403").await;
}

#[actix::test]
async fn who_does_not_speak_tls_and_who_says_nothing_is_not_waited_for() {
    let authority = Authority::new();
    let builder = answering().tls(Tls::config(authority.server("localhost")));
    let server = Server::start(builder.handshake_timeout(Duration::from_millis(300)));
    let mut silent = Raw::connect(server.addr).await;
    assert!(silent.ended().await, "the handshake's time is up");
    let mut plain = Raw::connect(server.addr).await;
    plain.write(raw::request("GET", "/", &raw::UPGRADE)).await;
    while !plain.ended().await {}
}

#[actix::test]
async fn files_that_cannot_be_used_are_refused_by_name() {
    let (authority, dir) = (Authority::new(), dir());
    let [chain, key] = authority.issue("localhost").save(dir.path());
    let other = save(dir.path(), "other.pem", &authority.issue("localhost").key);
    let (missing, empty) = (dir.path().join("missing.pem"), save(dir.path(), "empty.pem", ""));
    let broken = save(dir.path(), "broken.pem", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n");
    let nonsense = save(dir.path(), "nonsense.pem", "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n");
    let secret = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nbm8=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = save(dir.path(), "encrypted.pem", secret);

    for (tls, words) in [
        (Tls::files(&missing, &key), "missing.pem cannot be read"),
        (Tls::files(&chain, &missing), "missing.pem cannot be read"),
        (Tls::files(dir.path(), &key), "cannot be read"),
        (Tls::files(&empty, &key), "empty.pem has no certificate in it"),
        (Tls::files(&key, &chain), "key.pem has no certificate in it"),
        (Tls::files(&chain, &empty), "empty.pem has no private key in it"),
        (Tls::files(&chain, &chain), "chain.pem has no private key in it"),
        (Tls::files(&chain, &encrypted), "not encrypted"),
        (Tls::files(&broken, &key), "broken.pem"),
        (Tls::files(&nonsense, &key), "nonsense.pem"),
        (Tls::files(&chain, &other), "is not that of the certificate in"),
        (Tls::files(&chain, &key).client_ca(&missing), "missing.pem cannot be read"),
        (Tls::files(&chain, &key).client_ca(&empty), "empty.pem has no certificate in it"),
        (Tls::files(&chain, &key).client_ca(&nonsense), "nonsense.pem has a bad certificate"),
        (Tls::config(authority.server("localhost")).client_ca(&chain), "brings its own"),
    ] {
        let sentence = refused(tls);
        assert!(sentence.contains(words), "{sentence}, and not {words}");
    }
}

#[actix::test]
async fn tls_of_a_mounted_server_is_refused_as_it_is_the_applications() {
    let error = answering().tls(Tls::files("a", "b")).start().expect_err("cannot work");
    assert_eq!(error.setting(), "tls");
    assert!(error.to_string().contains("a mounted server's TLS is the application's"), "{error}");
}
