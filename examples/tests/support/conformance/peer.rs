//! The peer: it writes frames as either end would, reads them strictly, and plays the conversations.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{CLOSE, Case, Ending, PING, PONG, Sent, Step, close};
use crate::support::soon;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

pub(crate) struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    /// A client masks what it sends; a server does not.
    is_client: bool,
    /// How many bytes of the last frame's payload have been sent.
    sent: usize,
}

impl Peer {
    /// Opens a WebSocket to a server, without a subprotocol.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(addr)).await.expect("connects");
        let mut peer = Self { stream, unread: Vec::new(), is_client: true, sent: 0 };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        peer.write(request.as_bytes()).await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        peer
    }

    /// Takes a client's next connection, and upgrades it.
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = soon("a client", listener.accept()).await.expect("accepts");
        let mut peer = Self { stream, unread: Vec::new(), is_client: false, sent: 0 };
        let head = peer.head().await;
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        });
        let accept = actix_http::ws::hash_key(key.expect("there is a key").as_bytes());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            String::from_utf8_lossy(&accept)
        );
        peer.write(response.as_bytes()).await;
        peer
    }

    /// Plays a conversation to its end.
    pub(crate) async fn play(mut self, case: &Case) {
        let name = &case.name;
        for step in &case.steps {
            match step {
                Step::Send(frames) => {
                    let bytes = self.encode(frames);
                    self.write(&bytes).await;
                }
                Step::Chop(size, frames) => {
                    let bytes = self.encode(frames);
                    for chop in bytes.chunks(*size) {
                        self.write(chop).await;
                        // The other end has its turn, and mostly reads this by itself; nothing depends on it.
                        tokio::task::yield_now().await;
                    }
                }
                Step::Rest(payload) => {
                    let bytes = self.mask(payload);
                    self.write(&bytes).await;
                }
                Step::Expect(opcode, payload) => self.expect(name, *opcode, payload).await,
                Step::Silence => {
                    let ping = self.encode(&[super::last(PING, "silence?")]);
                    self.write(&ping).await;
                    self.expect(name, PONG, b"silence?").await;
                }
            }
        }
        let code = match case.ending {
            Ending::Closed(code) => code,
            Ending::Clean => {
                let bytes = self.encode(&[close(1000, "")]);
                self.write(&bytes).await;
                Some(1000)
            }
        };
        let (opcode, payload) = self.next(name).await.unwrap_or_else(|| panic!("{name}: the end, and no close frame"));
        assert_eq!(opcode, CLOSE, "{name}: {} instead of a close frame", String::from_utf8_lossy(&payload));
        let found = payload.first_chunk().map(|&code| u16::from_be_bytes(code));
        assert_eq!(found, code, "{name}: {}", String::from_utf8_lossy(&payload));
        assert_eq!(self.next(name).await, None, "{name}: something follows the close frame");
    }

    async fn expect(&mut self, name: &str, opcode: u8, payload: &[u8]) {
        let shown = |payload: &[u8]| String::from_utf8_lossy(&payload[..payload.len().min(80)]).into_owned();
        let Some((found, bytes)) = self.next(name).await else {
            panic!("{name}: the end instead of {}", shown(payload))
        };
        assert!(
            found == opcode && bytes == payload,
            "{name}: opcode {found} with {} bytes, {:?}, instead of opcode {opcode} with {} bytes, {:?}",
            bytes.len(),
            shown(&bytes),
            payload.len(),
            shown(payload)
        );
    }

    fn encode(&mut self, frames: &[Sent]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for Sent { first, payload, claims, is_masked_wrongly } in frames {
            let is_masked = self.is_client != *is_masked_wrongly;
            let bit = u8::from(is_masked) << 7;
            bytes.push(*first);
            match claims.unwrap_or(payload.len() as u64) {
                len @ ..126 => bytes.push(bit | len.to_le_bytes()[0]),
                len @ ..65_536 => {
                    bytes.push(bit | 126);
                    bytes.extend(&len.to_be_bytes()[6..]);
                }
                len => {
                    bytes.push(bit | 127);
                    bytes.extend(len.to_be_bytes());
                }
            }
            bytes.extend(is_masked.then_some(MASK).into_iter().flatten());
            self.sent = 0;
            bytes.extend(self.mask(payload));
        }
        bytes
    }

    fn mask(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        if self.is_client {
            apply(MASK, self.sent, &mut payload);
        }
        self.sent += payload.len();
        payload
    }

    /// The other end may be gone already, which is seen when it is read from.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = soon("room to write", self.stream.write_all(bytes)).await;
    }

    /// The next frame's opcode and payload, which must keep the rules; `None` at the end.
    async fn next(&mut self, name: &str) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2).await?;
        assert_eq!(head[0] & 0xf0, 0x80, "{name}: a whole message, without reserved bits");
        assert_eq!(head[1] & 0x80 != 0, !self.is_client, "{name}: a client masks, a server does not");
        let wide = match head[1] & 0x7f {
            126 => self.take(2).await.expect("a whole header"),
            127 => self.take(8).await.expect("a whole header"),
            short => vec![short],
        };
        let len = wide.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        let mask = if self.is_client { vec![0; 4] } else { self.take(4).await.expect("a whole header") };
        let mut payload = self.take(len).await.expect("a whole frame");
        if let Some(&mask) = mask.first_chunk().filter(|_| !self.is_client) {
            apply(mask, 0, &mut payload);
        }
        assert!(head[0] & 0x08 == 0 || payload.len() <= 125, "{name}: a control frame is short");
        Some((head[0] & 0x0f, payload))
    }

    /// An HTTP head.
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return String::from_utf8(self.take(end + 4).await.expect("was read")).expect("UTF-8");
            }
            assert!(self.fill().await, "a whole head");
        }
    }

    /// The next bytes; `None` when the stream has ended before the first.
    async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.unread.len() < len {
            if !self.fill().await {
                assert!(self.unread.is_empty(), "the stream ended within a frame");
                return None;
            }
        }
        let rest = self.unread.split_off(len);
        Some(std::mem::replace(&mut self.unread, rest))
    }

    /// Reads what is there; false at the end, be it a reset: who ends with something unread resets.
    async fn fill(&mut self) -> bool {
        soon("bytes", self.stream.read_buf(&mut self.unread)).await.unwrap_or(0) > 0
    }
}

/// A loop that is quick without optimisation, too.
fn apply(mask: [u8; 4], offset: usize, payload: &mut [u8]) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[(offset + at) & 3];
    }
}
