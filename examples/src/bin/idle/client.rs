//! A client that costs little: it greets, and answers pings.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::Protocol;

/// How many connections to one server come from one address: fewer than there are ports for it.
const PER_ADDRESS: u32 = 20_000;

/// More than any frame has that the server has reason to send.
const MAX_BYTES: usize = 1 << 16;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// An open connection.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Connects the client of this number, and greets the server.
    pub(crate) async fn open(number: u32, server: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Ok(further @ 1..) = u8::try_from(number / PER_ADDRESS) {
            // Linux answers for all of 127.0.0.0/8.
            socket.bind((Ipv4Addr::new(127, 0, 0, further + 1), 0).into())?;
        }
        let mut client = Self { stream: socket.connect(server).await?, unread: Vec::new() };
        let handshake = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            protocol.name()
        );
        client.stream.write_all(handshake.as_bytes()).await?;
        client.upgraded().await?;
        if protocol == Protocol::V2 {
            client.greet().await?;
        }
        Ok(client)
    }

    /// Answers pings, each of which it reports, until the connection ends; says how it did.
    pub(crate) async fn keep(mut self, mut pinged: impl FnMut()) -> String {
        loop {
            match self.next().await {
                Ok((PING, payload)) => {
                    pinged();
                    if let Err(error) = self.write(PONG, &payload).await {
                        return error.to_string();
                    }
                }
                Ok((CLOSE, payload)) => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return format!("closed by the server, with {code:?}");
                }
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    async fn upgraded(&mut self) -> io::Result<()> {
        let end = loop {
            match self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.fill().await?,
            }
        };
        let head = self.take(end).await?;
        if head.starts_with(b"HTTP/1.1 101 ") {
            return Ok(());
        }
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        Err(io::Error::other(format!("the server answered {:?}", String::from_utf8_lossy(line))))
    }

    async fn greet(&mut self) -> io::Result<()> {
        let (session, run) = (fastrand::u128(..), fastrand::u64(..));
        let hello = format!(
            r#"{{"type":"hello","session":"{session:032x}","runs":[{{"run":"{run:016x}","lo":1,"next":1,"sent":0}}],"recv":{{}},"window":{{"messages":256,"bytes":1048576}}}}"#
        );
        self.write(TEXT, hello.as_bytes()).await?;
        let (first, payload) = self.next().await?;
        let welcome = serde_json::from_slice::<serde_json::Value>(&payload).unwrap_or_default();
        if first == TEXT && welcome["type"] == "welcome" {
            return Ok(());
        }
        Err(io::Error::other(format!("no welcome came, but {:?}", String::from_utf8_lossy(&payload))))
    }

    /// The next frame's first eight bits, and its payload.
    async fn next(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let head = self.take(2).await?;
        let len = match head[1] {
            short @ ..126 => usize::from(short),
            126 => self.take(2).await?.iter().fold(0, |len, &byte| len << 8 | usize::from(byte)),
            _ => usize::MAX,
        };
        if len > MAX_BYTES {
            return Err(io::Error::other("the server sends more than it has reason to"));
        }
        Ok((head[0], self.take(len).await?))
    }

    /// Writes a frame.
    async fn write(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        // A mask of zeros is one, too, and leaves the payload as it is.
        let mut bytes = vec![first];
        match u8::try_from(payload.len()) {
            Ok(short @ ..126) => bytes.push(0x80 | short),
            _ => {
                let len = u16::try_from(payload.len()).map_err(io::Error::other)?;
                bytes.push(0x80 | 126);
                bytes.extend(len.to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        self.stream.write_all(&bytes).await
    }

    async fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < len {
            self.fill().await?;
        }
        let rest = self.unread.split_off(len);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::Error::other("the connection has ended")),
            _ if self.unread.len() > MAX_BYTES => Err(io::Error::other("the server sends more than it has reason to")),
            _ => Ok(()),
        }
    }
}
