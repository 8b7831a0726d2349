//! Networks that misbehave, and servers that do: a TCP proxy in front of a server, and a WebSocket server whose every
//! byte the test decides.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use hookup_client::{
    ClientBuilder,
    core::ws::{CloseReason, Decoder, Encoder, Frame, Outgoing, Role, Signal},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::support::{client, patient, soon};

/// A TCP proxy on a port of its own, which it keeps while it refuses connections.
pub(crate) struct Proxy {
    addr: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    /// Bound and not listening: connections are refused.
    shut: Option<TcpSocket>,
    open: Option<JoinHandle<()>>,
    line: watch::Sender<Line>,
    accepted: Arc<AtomicUsize>,
}

/// What becomes of bytes, and how often all connections were cut.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    swallows: bool,
    cuts: usize,
}

impl Proxy {
    /// A proxy that lets everything pass.
    pub(crate) fn open(server: SocketAddr) -> Self {
        let mut proxy = Self::shut(server);
        proxy.accept();
        proxy
    }

    /// A proxy that refuses connections until it is told to [`Proxy::accept`] them.
    pub(crate) fn shut(server: SocketAddr) -> Self {
        let socket = bind(([127, 0, 0, 1], 0).into());
        Self {
            addr: socket.local_addr().expect("is bound"),
            server: Arc::new(Mutex::new(server)),
            shut: Some(socket),
            open: None,
            line: watch::Sender::default(),
            accepted: Arc::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// How many connections were ever accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Takes new connections, from now on.
    pub(crate) fn accept(&mut self) {
        let Some(socket) = self.shut.take() else { return };
        let listener = socket.listen(64).expect("listens");
        let (server, line, accepted) = (self.server.clone(), self.line.subscribe(), self.accepted.clone());
        self.open = Some(tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("accepts");
                accepted.fetch_add(1, Ordering::SeqCst);
                let server = *server.lock().expect("not poisoned");
                tokio::spawn(forward(client, server, line.clone()));
            }
        }));
    }

    /// Refuses new connections, from now on.
    pub(crate) async fn refuse(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.abort();
        // It was aborted, and has dropped its listener.
        let _ = open.await;
        self.shut = Some(bind(self.addr));
    }

    /// Leads new connections to another server, and ends those there are.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().expect("not poisoned") = server;
        self.cut();
    }

    /// Ends all connections there are.
    pub(crate) fn cut(&self) {
        self.line.send_modify(|line| line.cuts += 1);
    }

    /// Swallows what comes from either side, and tells neither; until [`Proxy::pass`].
    pub(crate) fn swallow(&self) {
        self.line.send_modify(|line| line.swallows = true);
    }

    /// Lets what comes pass again.
    pub(crate) fn pass(&self) {
        self.line.send_modify(|line| line.swallows = false);
    }
}

/// A client that nothing listens for, and that stays alone.
pub(crate) fn offline() -> (Proxy, ClientBuilder) {
    let proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let builder = client(proxy.url()).backoff(patient());
    (proxy, builder)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.abort();
        }
    }
}

fn bind(addr: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("is set");
    socket.bind(addr).expect("binds");
    socket
}

/// One connection, until an end of it is gone, or it is cut, or the proxy is gone.
async fn forward(client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>) {
    let cuts = line.borrow().cuts;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, line.clone()) => {}
        () = pump(from_server, to_client, line.clone()) => {}
        // An error is a proxy that is gone.
        _ = line.wait_for(|line| line.cuts != cuts) => {}
    }
}

/// Until `from` ends; which nobody is told of while everything is swallowed.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, line: watch::Receiver<Line>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        match line.borrow().swallows {
            true if read == 0 => break,
            true => continue,
            false => {}
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    pending().await
}

/// A WebSocket server whose every byte the test decides.
pub(crate) struct RawServer {
    listener: TcpListener,
}

impl RawServer {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("listens") }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.listener.local_addr().expect("is bound"))
    }

    /// The next connection's handshake.
    pub(crate) async fn request(&self) -> Request {
        let (mut stream, _) = soon("a connection", self.listener.accept()).await.expect("accepts");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("a request", stream.read_u8()).await.expect("reads"));
        }
        Request { stream, head: String::from_utf8(head).expect("is text") }
    }

    /// The next connection, in `jsonProtocol`.
    pub(crate) async fn connection(&self) -> RawConnection {
        self.request().await.upgrade(Some("jsonProtocol")).await
    }
}

/// A client's handshake, not answered yet.
pub(crate) struct Request {
    stream: TcpStream,
    head: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// Answers with these bytes, and closes.
    pub(crate) async fn answer(mut self, response: &str) {
        self.stream.write_all(response.as_bytes()).await.expect("writes");
    }

    /// Answers with as much of these bytes as the client takes before it goes.
    pub(crate) async fn try_answer(mut self, response: &str) {
        // An error is a client that has had enough.
        let _ = soon("an answer", self.stream.write_all(response.as_bytes())).await;
    }

    /// Answers as a WebSocket server, in this subprotocol.
    pub(crate) async fn upgrade(mut self, subprotocol: Option<&str>) -> RawConnection {
        let key = self.header("sec-websocket-key").expect("has a key");
        let accept = actix_http::ws::hash_key(key.as_bytes());
        let mut response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            String::from_utf8_lossy(&accept)
        );
        if let Some(name) = subprotocol {
            response += &format!("Sec-WebSocket-Protocol: {name}\r\n");
        }
        response += "\r\n";
        self.stream.write_all(response.as_bytes()).await.expect("writes");
        RawConnection {
            stream: self.stream,
            decoder: Decoder::new(Role::Server, 1 << 20, 1000),
            encoder: Encoder::new(Role::Server),
        }
    }
}

/// An open WebSocket; it ends when it is dropped.
pub(crate) struct RawConnection {
    stream: TcpStream,
    decoder: Decoder,
    encoder: Encoder,
}

impl RawConnection {
    /// The next thing that the client sends.
    pub(crate) async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.decoder.next_signal().expect("is WebSocket") {
                return signal;
            }
            let read = self.stream.read_buf(self.decoder.buffer());
            assert_ne!(soon("a frame", read).await.expect("reads"), 0, "the client went");
        }
    }

    /// The next thing that the client sends, which is a text frame.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Signal::Frame(Frame::Text(text)) => text.to_string(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, outgoing: Outgoing) {
        self.send_together([outgoing]).await;
    }

    /// Sends with one write.
    pub(crate) async fn send_together(&mut self, outgoing: impl IntoIterator<Item = Outgoing>) {
        let mut bytes = Default::default();
        outgoing.into_iter().for_each(|outgoing| self.encoder.encode(outgoing, &mut bytes));
        self.stream.write_all(&bytes).await.expect("writes");
    }

    /// Sends bytes as they are.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("writes");
    }

    /// The next frame's first byte and payload, where nothing but control frames can come.
    pub(crate) async fn control_frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 6];
        soon("a frame", self.stream.read_exact(&mut head)).await.expect("reads");
        let [first, second, mask @ ..] = head;
        assert!(second & 0x80 != 0, "a client masks what it sends");
        let mut payload = vec![0; usize::from(second & 0x7f)];
        soon("its payload", self.stream.read_exact(&mut payload)).await.expect("reads");
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        (first, payload)
    }

    pub(crate) async fn ack(&mut self, id: u64) {
        self.send(Outgoing::Frame(Frame::Text(format!(r#"{{"type":"ack","id":{id}}}"#).into()))).await;
    }

    /// Closes, and takes the client's answer.
    pub(crate) async fn close(mut self, reason: impl Into<CloseReason>) {
        self.send(Outgoing::Close(reason.into())).await;
        while !matches!(self.next().await, Signal::Close(_)) {}
    }

    /// Takes the client's close, and answers it; what came before it is returned.
    pub(crate) async fn closed(mut self) -> Vec<Signal> {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Signal::Close(reason) => {
                    self.send(Outgoing::Close(reason.expect("has a code"))).await;
                    return before;
                }
                other => before.push(other),
            }
        }
    }

    /// Sends a ping, and takes the pong, so that all that the client had to send before is here: it is returned.
    pub(crate) async fn ping(&mut self) -> Vec<Signal> {
        self.send(Outgoing::Ping).await;
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Signal::Pong => return before,
                other => before.push(other),
            }
        }
    }
}

/// How an ack request of a text looks.
pub(crate) fn ack_request(id: u64, text: &str) -> String {
    format!(r#"{{"type":"ack_request","id":{id},"content":{{"type":"text","content":"{text}"}}}}"#)
}

/// How a text without one looks.
pub(crate) fn envelope(text: &str) -> String {
    format!(r#"{{"type":"text","content":"{text}"}}"#)
}
