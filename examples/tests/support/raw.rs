//! A WebSocket peer that writes and reads the bytes itself, so that it can do what no well-behaved client does.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::soon;

/// The key of RFC 6455's example, and what it is answered with.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// The headers that ask for an upgrade, without a subprotocol.
pub(crate) const UPGRADE: [(&str, &str); 4] =
    [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)];

/// A frame as a client sends it: masked, with these first eight bits.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let payload = payload.as_ref();
    let mut bytes = header(first, payload.len() as u64, true);
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame's header up to its length: without the mask and the payload.
pub(crate) fn header(first: u8, len: u64, masked: bool) -> Vec<u8> {
    let bit = u8::from(masked) << 7;
    let mut bytes = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..126), _) => bytes.push(bit | len),
        (_, Ok(len)) => {
            bytes.push(bit | 126);
            bytes.extend(len.to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes
}

/// A close frame's payload.
pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// The head of a response, and its body where it has a length.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The subprotocol that was chosen, or those that are known.
    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.header("Sec-WebSocket-Protocol")
    }
}

/// The peer.
pub(crate) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(addr)).await.expect("connects");
        Self { stream, unread: Vec::new() }
    }

    /// A connection that holds as little as a socket can, before it is read.
    pub(crate) async fn connect_narrow(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(1).expect("is set, to the least that there is");
        let stream = soon("a connection", socket.connect(addr)).await.expect("connects");
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("is connected")
    }

    /// A connection with this subprotocol.
    pub(crate) async fn open(addr: SocketAddr, subprotocol: &str) -> Self {
        let mut raw = Self::connect(addr).await;
        let response = raw.handshake("/", &[("Sec-WebSocket-Protocol", subprotocol)]).await;
        assert_eq!((response.status, response.subprotocol()), (101, Some(subprotocol)));
        raw
    }

    /// Asks for an upgrade, with these headers added.
    pub(crate) async fn handshake(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        let response = self.request("GET", path, &[&UPGRADE, headers].concat()).await;
        if response.status == 101 {
            assert_eq!(response.header("Sec-WebSocket-Accept"), Some(ACCEPT));
        }
        response
    }

    pub(crate) async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.write(request(method, path, headers)).await;
        self.response().await
    }

    pub(crate) async fn response(&mut self) -> Response {
        let end = loop {
            match self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(self.fill().await, "the response has an end"),
            }
        };
        let head = String::from_utf8(self.take(end).await.expect("was read")).expect("UTF-8");
        let (first, lines) = head.split_once("\r\n").expect("a status line");
        let headers = lines.lines().filter_map(|line| line.split_once(": "));
        let mut response = Response {
            status: first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: String::new(),
        };
        if let Some(len) = response.header("Content-Length").and_then(|len| len.parse().ok()) {
            response.body = String::from_utf8(self.take(len).await.expect("a whole body")).expect("UTF-8");
        }
        response
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon("room to write", self.stream.write_all(bytes.as_ref())).await.expect("writes");
    }

    /// Sends a text frame.
    pub(crate) async fn text(&mut self, text: &str) {
        self.write(frame(TEXT, text)).await;
    }

    /// The next frame's first eight bits and payload; `None` when the stream has ended before it.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2).await?;
        let len = match head[1] {
            126 => {
                let bytes = self.take(2).await.expect("a whole header");
                usize::from(bytes[0]) << 8 | usize::from(bytes[1])
            }
            127 => {
                let bytes = self.take(8).await.expect("a whole header");
                bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte))
            }
            short => usize::from(short),
        };
        Some((head[0], self.take(len).await.expect("a whole frame")))
    }

    /// The next frame, which is a text.
    pub(crate) async fn next_text(&mut self) -> String {
        let (first, payload) = self.next().await.expect("a frame, not the end");
        let text = String::from_utf8(payload).expect("UTF-8");
        assert_eq!(first, TEXT, "{text}");
        text
    }

    /// The next frame is a close, and after it comes the end: its code, if it has one.
    ///
    /// actix-http waits up to a second for the peer to end first, so this does.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let (first, payload) = self.next().await.expect("a close, not the end");
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        self.finish().await;
        assert_eq!(self.next().await, None, "nothing follows a close");
        payload.get(..2).map(|code| u16::from(code[0]) << 8 | u16::from(code[1]))
    }

    /// A ping is answered, and nothing came before.
    pub(crate) async fn nothing_came(&mut self) {
        self.write(frame(PING, "nothing?")).await;
        assert_eq!(self.next().await, Some((PONG, b"nothing?".to_vec())));
    }

    /// Ends the connection with a TCP reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    /// Ends the writing half: no close frame, and no reset.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.expect("shuts down");
    }

    /// Whether this could be written: not to a connection that was cut.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        soon("room to write", self.stream.write_all(bytes)).await.is_ok()
    }

    /// Reads so many bytes, whatever they are.
    pub(crate) async fn read_any(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        soon("bytes", self.stream.read_exact(&mut bytes)).await.expect("reads");
    }

    /// The connection is cut: what is still there of it is read, and then it has ended or was reset.
    pub(crate) async fn cut(&mut self) {
        // It may be much.
        self.unread.reserve(1 << 16);
        while !self.ended().await {
            self.unread.clear();
        }
    }

    /// Waits until there is something to be read, if only the end.
    pub(crate) async fn readable(&self) {
        soon("bytes", self.stream.readable()).await.expect("is open");
    }

    /// All that comes until the end, be it a reset.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while !self.ended().await {}
        std::mem::take(&mut self.unread)
    }

    /// The next bytes; `None` when the stream has ended before the first.
    async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.unread.len() < len {
            if !self.fill().await {
                assert!(self.unread.is_empty(), "the stream ended within a frame: {:?}", self.unread);
                return None;
            }
        }
        let rest = self.unread.split_off(len);
        Some(std::mem::replace(&mut self.unread, rest))
    }

    /// Takes what there is, whatever it is; true at the end, be it a reset.
    pub(crate) async fn ended(&mut self) -> bool {
        soon("bytes", self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) == 0
    }

    /// Reads what is there; false at the end.
    async fn fill(&mut self) -> bool {
        soon("bytes", self.stream.read_buf(&mut self.unread)).await.expect("reads") > 0
    }
}

/// A request's bytes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}
