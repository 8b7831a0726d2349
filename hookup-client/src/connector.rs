//! From an address to an open WebSocket. The one file that names awc.

use std::{sync::Arc, time::Duration};

use actix_service::ServiceExt as _;
use awc::{
    BoxedSocket, Client, Connector as AwcConnector,
    error::WsClientError,
    http::{
        Uri,
        header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL},
    },
};
use bytes::BytesMut;
use rustls::ClientConfig;

use crate::{ConfigError, Tls};

/// Opens WebSockets to one address.
pub(crate) struct Connector {
    client: Client,
    uri: Uri,
    subprotocols: Vec<String>,
}

/// An open WebSocket.
pub(crate) struct Opened {
    pub(crate) io: BoxedSocket,
    /// What came right behind the handshake.
    pub(crate) read: BytesMut,
    /// The subprotocol that the server chose; it is one of those that were offered.
    pub(crate) subprotocol: Option<String>,
}

/// The request headers that a client adds to its handshakes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    pub(crate) fn push(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = |what: &str| format!("{what} of header {name:?} has characters that a header cannot have");
        let header = HeaderName::try_from(name).map_err(|_| bad("the name"))?;
        let reserved = ["connection", "upgrade", "host", "content-length", "transfer-encoding", "te", "expect"];
        if reserved.contains(&header.as_str()) || header.as_str().starts_with("sec-websocket-") {
            return Err(format!("header {name:?} belongs to the WebSocket handshake and cannot be set"));
        }
        self.0.push((header, HeaderValue::try_from(value).map_err(|_| bad("the value"))?));
        Ok(())
    }
}

/// Checks an address: `ws://` or `wss://`, a host, and perhaps a port, path and query.
pub(crate) fn parse_url(url: &str) -> Result<Uri, ConfigError> {
    let bad = |problem: String| ConfigError::new("url", problem);
    if url.is_empty() {
        return Err(bad("it is not set; an empty text is not a URL, which begins with ws:// or wss://".into()));
    }
    let uri = url
        .parse::<Uri>()
        .map_err(|error| bad(format!("{url:?} is not a URL: {error}; it begins with ws:// or wss://")))?;
    if url.contains('#') {
        return Err(bad(format!("{url:?} has a fragment, which a WebSocket's URL cannot have (RFC 6455, section 3)")));
    }
    match uri.scheme_str() {
        Some("ws" | "wss") => {}
        Some(scheme) => return Err(bad(format!("the scheme of {url:?} is {scheme}, and must be ws or wss"))),
        None => return Err(bad(format!("{url:?} has no scheme; it must begin with ws:// or wss://"))),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err(bad("user and password do not belong into a URL; use `header` or `credentials`".into()));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad(format!("{url:?} has no host")));
    }
    // What stands behind the host, if anything does, is a port that has to be a number.
    if uri.port().is_none() && authority.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
        return Err(bad(format!("the port of {url:?} is not a number from 0 to 65535")));
    }
    if uri.port_u16() == Some(0) {
        return Err(bad(format!("nothing can be reached at port 0 of {url:?}")));
    }
    Ok(uri)
}

impl Connector {
    pub(crate) fn new(uri: Uri, subprotocols: Vec<String>, tls: &Tls, timeout: Duration) -> Result<Self, ConfigError> {
        let tls = if uri.scheme_str() == Some("wss") { Some(tls.build()?) } else { None };
        Ok(Self { client: client(tls, timeout), uri, subprotocols })
    }

    /// Makes one attempt.
    ///
    /// # Errors
    /// In words: what the network, TLS or the server said.
    pub(crate) async fn connect(&self, headers: Headers) -> Result<Opened, String> {
        let mut request = self.client.ws(&self.uri).protocols(&self.subprotocols);
        for (name, value) in headers.0 {
            request = request.header(name, value);
        }
        let (response, framed) = request.connect().await.map_err(in_words)?;
        let subprotocol = match response.headers().get(SEC_WEBSOCKET_PROTOCOL) {
            None => None,
            Some(name) => {
                let offered = self.subprotocols.iter().find(|offered| offered.as_bytes() == name.as_bytes());
                Some(
                    offered
                        .ok_or_else(|| format!("the server chose subprotocol {name:?}, which was not offered"))?
                        .clone(),
                )
            }
        };
        let parts = framed.into_parts();
        Ok(Opened { io: parts.io, read: parts.read_buf, subprotocol })
    }
}

/// awc puts its causes into its messages, but of a refusal says only that there was one.
fn in_words(error: WsClientError) -> String {
    match error {
        WsClientError::InvalidResponseStatus(status) => format!("the server answered with HTTP {status}"),
        error => error.to_string(),
    }
}

fn client(tls: Option<Arc<ClientConfig>>, timeout: Duration) -> Client {
    let tcp =
        actix_tls::connect::Connector::default().service().map(|connection: actix_tls::connect::Connection<Uri, _>| {
            let socket: &actix_tls::connect::Connection<Uri, tokio::net::TcpStream> = &connection;
            if let Err(error) = socket.io_ref().set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
            connection
        });
    // The pool counts an open WebSocket for its whole life; 0 is no limit.
    let mut connector = AwcConnector::new().connector(tcp).limit(0).timeout(timeout).handshake_timeout(timeout);
    if let Some(tls) = tls {
        connector = connector.rustls_0_23(tls);
    }
    Client::builder().disable_timeout().connector(connector).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_must_be_one_that_can_be_connected_to() {
        for good in
            ["ws://localhost/ws", "wss://example.org", "ws://127.0.0.1:8125/?a=b", "ws://[::1]:80/", "ws://[::1]/"]
        {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for (bad, words) in [
            ("", "is not a URL"),
            ("ws://", "is not a URL"),
            ("localhost:8125", "no scheme"),
            ("/ws", "no scheme"),
            ("http://localhost/", "must be ws or wss"),
            ("ftp://localhost/", "must be ws or wss"),
            ("ws://user:word@localhost/", "use `header` or `credentials`"),
            ("ws://localhost:99999/", "not a number"),
            ("ws://localhost:x/", "is not a"),
            ("ws://localhost:0/", "port 0"),
            ("ws://localhost/#there", "fragment"),
            ("ws://a b/", "is not a URL"),
        ] {
            let error = parse_url(bad).expect_err(bad);
            assert_eq!(error.setting(), "url");
            assert!(error.to_string().contains(words), "{bad:?} gives {error}");
        }
    }

    #[test]
    fn a_header_must_be_one_that_can_be_sent() {
        let mut headers = Headers::default();
        assert_eq!(headers.push("authorization", "Bearer x"), Ok(()));
        assert!(headers.push("bad name", "x").expect_err("refused").contains("the name"));
        assert!(headers.push("x", "a\nb").expect_err("refused").contains("the value"));
        for reserved in ["Upgrade", "Sec-WebSocket-Extensions", "Content-Length"] {
            assert!(headers.push(reserved, "x").expect_err("refused").contains("belongs to"), "{reserved}");
        }
    }
}
