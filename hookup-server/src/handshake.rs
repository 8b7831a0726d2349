//! The opening handshake: what a request must be (RFC 6455, section 4.2.1), and the head of its answer.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Method, StatusCode, Version,
        header::{
            ALLOW, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
            TRANSFER_ENCODING, UPGRADE,
        },
    },
};

/// Checks that a request is a WebSocket handshake, and begins the response.
pub(crate) fn handshake(request: &HttpRequest) -> Result<HttpResponseBuilder, NoHandshake> {
    let accept = actix_http::ws::hash_key(check(request)?.as_bytes());
    let mut response = HttpResponse::SwitchingProtocols();
    response.upgrade("websocket");
    // It is base64, so it can be a header's value.
    if let Ok(accept) = HeaderValue::from_bytes(&accept) {
        response.insert_header((SEC_WEBSOCKET_ACCEPT, accept));
    }
    Ok(response)
}

/// The key of a request that is a handshake.
fn check(request: &HttpRequest) -> Result<&HeaderValue, NoHandshake> {
    if request.method() != Method::GET {
        return Err(NoHandshake::Method);
    }
    if request.version() != Version::HTTP_11 {
        return Err(NoHandshake::HttpVersion);
    }
    // A line of its own it must be, and no part of a list: only then does actix-http read on behind the request.
    if !lines(request, UPGRADE).any(|line| line.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(NoHandshake::Upgrade);
    }
    if !request.head().upgrade() {
        return Err(NoHandshake::Connection);
    }
    if lines(request, TRANSFER_ENCODING).next().is_some() {
        return Err(NoHandshake::Body);
    }
    if only(request, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(NoHandshake::Version);
    }
    only(request, SEC_WEBSOCKET_KEY).filter(|key| is_base64_of_16_bytes(key.as_bytes())).ok_or(NoHandshake::Key)
}

fn lines(request: &HttpRequest, name: HeaderName) -> impl Iterator<Item = &HeaderValue> {
    request.headers().get_all(name)
}

/// The value of a header that must not have several.
fn only(request: &HttpRequest, name: HeaderName) -> Option<&HeaderValue> {
    let mut lines = lines(request, name);
    lines.next().filter(|_| lines.next().is_none())
}

fn is_base64_of_16_bytes(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(is_digit))
}

/// Why a request is no handshake that this server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoHandshake {
    #[error("a WebSocket is opened with a GET request")]
    Method,
    #[error("a WebSocket is opened over HTTP/1.1; over HTTP/2 it is not supported here")]
    HttpVersion,
    #[error("this is a WebSocket; the request needs a header line \"Upgrade: websocket\", with nothing else in it")]
    Upgrade,
    #[error(
        "the request needs a header \"Connection\" with the token \"Upgrade\", and without \"close\"; a proxy on the way may have \
         to be told to pass it on"
    )]
    Connection,
    #[error("a request that opens a WebSocket has no \"Transfer-Encoding\"")]
    Body,
    #[error("the request needs one header \"Sec-WebSocket-Version\", of 13, the version of RFC 6455")]
    Version,
    #[error("the request needs one header \"Sec-WebSocket-Key\", of 16 bytes in base64")]
    Key,
}

impl NoHandshake {
    pub(crate) fn response(self) -> HttpResponse {
        let mut response = HttpResponse::build(match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        });
        match self {
            Self::Method => {
                response.insert_header((ALLOW, "GET"));
            }
            Self::Version => {
                response.insert_header((UPGRADE, "websocket")).insert_header((SEC_WEBSOCKET_VERSION, "13"));
            }
            _ => {}
        }
        response.content_type("text/plain; charset=utf-8").body(format!("{self}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_base64_of_16_bytes() {
        assert!(is_base64_of_16_bytes(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            "",
            "==",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhlIHNhbXBsZSBub25j-Q==",
        ] {
            assert!(!is_base64_of_16_bytes(key.as_bytes()), "{key}");
        }
    }
}
