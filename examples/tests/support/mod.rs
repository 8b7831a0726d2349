//! What the tests of server and client together share: a server on a port of its own, and events to wait for.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fmt::Debug, future::Future, net::SocketAddr, time::Duration};

use actix::Addr;
use hookup_client::{Backoff, ClientBuilder, Close, Closed, HookupClient, Reconnecting, SendResult};
use hookup_server::{
    Event, EventHandler, Handling, Hookup, HookupServer, IntoHandler, Peer, ServerBuilder, SessionEnd,
};
use tokio::sync::mpsc;

/// How long anything may take before a test is called stuck; no test waits for it to pass.
const STUCK: Duration = Duration::from_secs(30);

/// Long enough never to pass.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// More time to stop than any server here needs.
pub(crate) const STOP: Duration = Duration::from_secs(60);

/// Awaits something that is sure to happen.
pub(crate) async fn soon<T>(what: impl Debug, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(STUCK, future).await {
        Ok(value) => value,
        Err(_) => panic!("stuck: waited for {what:?}"),
    }
}

/// The clock of this thread jumps.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A server that runs on a port of its own for as long as its System does.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) hookup: Hookup,
}

impl Server {
    pub(crate) fn start(builder: ServerBuilder) -> Self {
        let listening = builder.listen("127.0.0.1:0").expect("listens");
        let (addr, hookup) = (listening.addrs()[0], listening.hookup().clone());
        actix::spawn(async move { listening.await.expect("serves") });
        Self { addr, hookup }
    }

    /// A server whose every session has the same kind of handler.
    pub(crate) fn with<F, H, K>(factory: F) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: IntoHandler<K>,
    {
        Self::start(HookupServer::new(factory))
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// A client of it that reconnects quickly.
    pub(crate) fn client(&self) -> ClientBuilder {
        client(self.url())
    }
}

/// A client that reconnects quickly, and speaks the Hookup formats.
pub(crate) fn client(url: String) -> ClientBuilder {
    let backoff = Backoff::default().initial(Duration::from_millis(1)).max(Duration::from_millis(20));
    HookupClient::builder(url).backoff(backoff).subprotocols(["jsonProtocol", "simpleJson"])
}

/// A client that records.
pub(crate) fn recorded(builder: ClientBuilder) -> (Addr<HookupClient>, Events) {
    let (handler, events) = recorder();
    (builder.start(handler).expect("starts"), events)
}

/// A server that records.
pub(crate) fn recording() -> (Server, Events) {
    recording_with(|builder| builder)
}

/// A server with these settings that records.
pub(crate) fn recording_with(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::start(set(HookupServer::new(move || handler.clone()))), events)
}

/// Waits an hour between attempts.
pub(crate) fn patient() -> Backoff {
    Backoff::default().jitter_by(|_| HOUR)
}

/// What came of a message that an actor was sent.
pub(crate) async fn sent(request: impl Future<Output = Result<SendResult, actix::MailboxError>>) -> SendResult {
    soon("a result", request).await.expect("lives")
}

/// Closes a client; how many messages it could not send.
pub(crate) async fn close(addr: &Addr<HookupClient>, within: Duration) -> usize {
    let Closed { unsent } = soon("closed", addr.send(Close::within(within))).await.expect("lives");
    unsent
}

/// The server has seen the end of one session and the beginning of another. They are two, so neither has to be first.
pub(crate) async fn replaced(received: &mut Events) {
    let (mut ended, mut begun) = (false, false);
    let both = |event: &Event| {
        ended |= matches!(event, Event::SessionEnded(_));
        begun |= matches!(event, Event::Connected(_));
        (ended && begun).then_some(())
    };
    received.until("an end and a beginning", both).await;
}

/// Makes a handler that hands its events on, and what they are received from.
pub(crate) fn recorder() -> (Recorder, Events) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Recorder(sender), Events(receiver))
}

/// A handler that hands its events on, and is done with them at once.
#[derive(Clone)]
pub(crate) struct Recorder(mpsc::UnboundedSender<(Event, Peer)>);

impl EventHandler for Recorder {
    fn handle(&mut self, event: Event, peer: Peer) -> Handling {
        // The test may be over already.
        let _ = self.0.send((event, peer));
        Handling::done()
    }
}

/// Events, to be waited for.
pub(crate) struct Events(mpsc::UnboundedReceiver<(Event, Peer)>);

impl Events {
    /// The next event, whatever it is.
    pub(crate) async fn next(&mut self) -> Event {
        self.next_from().await.0
    }

    /// The next event, and whose session it is.
    pub(crate) async fn next_from(&mut self) -> (Event, Peer) {
        soon("an event", self.0.recv()).await.expect("the handler lives")
    }

    /// Whether no event has come yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops events until one is what is wanted.
    pub(crate) async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let (event, _) = self.0.recv().await.unwrap_or_else(|| panic!("the handler went before {what}"));
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        soon(what, found).await
    }

    pub(crate) async fn connected(&mut self) -> hookup_server::Connected {
        self.until("connected", |event| match event {
            Event::Connected(connected) => Some(connected.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn disconnected(&mut self) -> hookup_server::Cause {
        self.until("disconnected", |event| match event {
            Event::Disconnected(cause) => Some(cause.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn session_ended(&mut self) -> SessionEnd {
        self.until("the session's end", |event| match event {
            Event::SessionEnded(end) => Some(*end),
            _ => None,
        })
        .await
    }

    /// A server's connection ends, and at once its session with it: there is nothing to report in between.
    pub(crate) async fn ended(&mut self) -> hookup_server::Cause {
        let cause = self.disconnected().await;
        let event = self.next().await;
        assert!(matches!(event, Event::SessionEnded(SessionEnd::Closed)), "{event:?}");
        cause
    }

    pub(crate) async fn text(&mut self) -> String {
        self.until("a text", |event| match event {
            Event::Text(text) => Some(text.to_string()),
            _ => None,
        })
        .await
    }

    /// The payload of the next message.
    pub(crate) async fn message(&mut self) -> String {
        self.until("a message", |event| match event {
            Event::Text(text) => Some(text.to_string()),
            Event::Json(json) => Some(json.to_string()),
            Event::Binary(bytes) => Some(format!("{bytes:?}")),
            _ => None,
        })
        .await
    }

    pub(crate) async fn reconnecting(&mut self) -> Reconnecting {
        self.until("reconnecting", |event| match event {
            Event::Reconnecting(reconnecting) => Some(reconnecting.clone()),
            _ => None,
        })
        .await
    }
}
