//! What is taken of each connection when it opens: a hold on its socket, and whose certificate it came with.

use std::{any::Any, sync::Arc};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{dev::Extensions, rt::net::TcpStream};
use rustls::pki_types::CertificateDer;
use socket2::SockRef;

use crate::line::Held;

/// The certificates that a client has shown, its own first: in the data of its connection, if it has shown any, and
/// [`on_connect`] was called. TLS has checked them against the authorities that clients are trusted by.
///
/// ```
/// # use actix_web::{HttpRequest, error::ErrorForbidden};
/// # use hookup_server::{ClientCertificates, Event, HookupServer, Peer};
/// # fn device_of(der: &[u8]) -> Option<String> { None }
/// HookupServer::new(|| |_: Event, _: Peer| {}).authenticate(|request: HttpRequest| async move {
///     let own = request.conn_data::<ClientCertificates>().and_then(|shown| shown.0.first());
///     own.and_then(|own| device_of(own)).ok_or_else(|| ErrorForbidden("an unknown device"))
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates(pub Vec<CertificateDer<'static>>);

/// Gives the server a hold on the sockets of an application's connections, so that it can close those whose peers have
/// stopped reading: to be given to [`HttpServer::on_connect`](actix_web::HttpServer::on_connect). It takes a second file
/// descriptor for each connection. [`ServerBuilder::listen`](crate::ServerBuilder::listen) does so by itself.
///
/// Without it such a socket stays open until the operating system gives it up, though its session goes on.
///
/// It also notes the [`ClientCertificates`] of TLS connections, for [`authenticate`](crate::ServerBuilder::authenticate).
///
/// It knows TCP connections, plain and with rustls 0.23; others are left as they are. An application that needs `on_connect`
/// itself calls this from it.
///
/// ```no_run
/// # use actix_web::{App, HttpServer};
/// # use hookup_server::{Event, HookupServer, Peer};
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// # let hookup = HookupServer::new(|| |_: Event, _: Peer| {}).start()?;
/// let mounted = hookup.clone();
/// let server = HttpServer::new(move || App::new().service(mounted.resource("/ws")))
///     .on_connect(hookup_server::on_connect)
///     .disable_signals()
///     .bind(("127.0.0.1", 8125))?
///     .run();
/// hookup.run(server, std::time::Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
pub fn on_connect(connection: &dyn Any, data: &mut Extensions) {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref());
    if let Some(certificates) = tls.and_then(|(_, tls)| tls.peer_certificates()) {
        data.insert(ClientCertificates(
            certificates.iter().map(|certificate| certificate.clone().into_owned()).collect(),
        ));
    }
    let tcp = connection.downcast_ref::<TcpStream>().or(tls.map(|(tcp, _)| tcp));
    match tcp.map(|tcp| SockRef::from(tcp).try_clone()) {
        None => {}
        Some(Ok(socket)) => _ = data.insert(Arc::new(Held { socket, is_tls: tls.is_some() })),
        Some(Err(error)) => tracing::warn!(%error, "the handle of a connection's socket could not be duplicated"),
    }
}
