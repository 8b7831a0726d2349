//! A session without sockets: the test is its transport, and hears its events.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{sync::Arc, task, time::Duration};

use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use hookup_core::{
    ClosePeer, Error, Event, EventHandler, Handling, JsonProtocol, Limits, MemoryOutbox, Message, Outbound, Outbox,
    Peer, SendError, SendResult, Usage, WireFormat,
    ack::AckOutcomes,
    driver::{Alarm, Drive, Driver, now},
    session::{Opened, SessionCore, Submission},
    ws::Frame,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The test's hold on a session.
pub(crate) struct Session {
    pub(crate) addr: Addr<Driven>,
    pub(crate) peer: Peer,
    events: UnboundedReceiver<String>,
    written: UnboundedReceiver<String>,
}

/// The session's actor.
pub(crate) struct Driven {
    pub(crate) core: SessionCore,
    /// Whether what is to be written is confirmed at once.
    pub(crate) confirms: bool,
    ending: bool,
    ended: bool,
    alarm: Alarm,
    written: UnboundedSender<String>,
}

/// Says every event to the test before it is handled.
struct Told<F>(UnboundedSender<String>, F);

impl<F: FnMut(&str, Peer) -> Handling + 'static> EventHandler for Told<F> {
    fn handle(&mut self, event: Event, peer: Peer) -> Handling {
        let event = shown(&event);
        self.0.send(event.clone()).expect("the test listens");
        (self.1)(&event, peer)
    }
}

fn shown(event: &Event) -> String {
    match event {
        Event::Connected(connected) => format!("connected {}", connected.format),
        Event::Text(text) => text.to_string(),
        Event::AckFailed(error) => format!("ack failed, {}", shown_error(error)),
        Event::Disconnected(_) => "the end".into(),
        Event::Error(Error::NotSent(error)) => format!("not sent, {}", shown_error(error)),
        Event::Error(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

fn shown_error(error: &SendError) -> String {
    match error.message.message() {
        Message::Text(text) => format!("{text}: {error}"),
        other => format!("{other:?}: {error}"),
    }
}

fn outcome(result: SendResult) -> String {
    result.map_or_else(|error| shown_error(&error), |receipt| format!("{receipt:?}"))
}

pub(crate) fn limits() -> Limits {
    Limits { outbox: Usage { messages: 2000, bytes: 10_000 }, max_message_bytes: 100, ..Limits::default() }
}

pub(crate) fn done(_: &str, _: Peer) -> Handling {
    Handling::done()
}

impl Session {
    /// A session that is not connected yet, on a clock that only moves on when nothing else is left to do.
    pub(crate) fn start(
        limits: Limits,
        outbox: impl Outbox,
        handler: impl FnMut(&str, Peer) -> Handling + 'static,
    ) -> Self {
        Self::start_with(limits, outbox, |told| Box::new(Told(told, handler)))
    }

    /// The same, with a handler that is given where to say what it was told.
    pub(crate) fn start_with(
        limits: Limits,
        outbox: impl Outbox,
        handler: impl FnOnce(UnboundedSender<String>) -> Box<dyn EventHandler>,
    ) -> Self {
        tokio::time::pause();
        let (told, events) = unbounded_channel();
        let (write, written) = unbounded_channel();
        let mut peer = None;
        let addr = Driven::create(|ctx| {
            let addr = ctx.address();
            let new = Peer::new(None, addr.clone().recipient(), addr.clone().recipient());
            peer = Some(new.clone());
            let mut core = SessionCore::new(limits, new, handler(told), addr.recipient());
            core.opened(Opened::without_link(Box::new(outbox)));
            Driven { core, confirms: true, ending: false, ended: false, alarm: Alarm::default(), written: write }
        });
        Self { addr, peer: peer.expect("it was made"), events, written }
    }

    /// One that is connected over `jsonProtocol`.
    pub(crate) async fn open(handler: impl FnMut(&str, Peer) -> Handling + 'static) -> Self {
        let mut session = Self::start(limits(), MemoryOutbox::default(), handler);
        session.connect(JsonProtocol).await;
        session
    }

    pub(crate) async fn connect(&mut self, format: impl WireFormat) {
        let expected = format!("connected {}", format.name());
        self.with(move |session| session.core.connected(Arc::new(format)));
        assert_eq!(self.event().await, expected);
    }

    /// Does something to the session when its actor comes to it.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Driven) + Send + 'static) {
        self.addr.do_send(With(Box::new(change)));
    }

    /// These text frames arrive together.
    pub(crate) fn receive(&self, frames: &[&str]) {
        let frames = frames.iter().map(|&text| Frame::Text(text.to_owned().into())).collect();
        self.with(|session| session.core.receive(frames).expect("no frame asks for a close"));
    }

    /// The session ends, and "the end" is its last event.
    pub(crate) fn end(&self) {
        self.with(|session| {
            session.core.disconnected();
            session.ending = true;
        });
    }

    /// Begins to send, and says what came of it in words: `Accepted`, `Acked`, or the message that came back and why.
    pub(crate) fn send(&self, message: impl Into<Outbound>) -> LocalBoxFuture<'static, String> {
        let (peer, message) = (self.peer.clone(), message.into());
        let mut sending = async move { outcome(peer.send(message).await) }.boxed_local();
        assert_eq!((&mut sending).now_or_never(), None, "the session's actor has not seen it yet");
        sending
    }

    pub(crate) async fn event(&mut self) -> String {
        next(&mut self.events).await.expect("an event comes")
    }

    pub(crate) async fn written(&mut self) -> String {
        next(&mut self.written).await.expect("something is written")
    }

    /// All that happens until time is all that can.
    pub(crate) async fn events_until_quiet(&mut self) -> Vec<String> {
        until_quiet(&mut self.events).await
    }

    pub(crate) async fn written_until_quiet(&mut self) -> Vec<String> {
        until_quiet(&mut self.written).await
    }
}

/// The next one, however long it takes on the clock of the test.
async fn next(receiver: &mut UnboundedReceiver<String>) -> Option<String> {
    tokio::time::timeout(Duration::from_secs(3600), receiver.recv()).await.ok().flatten()
}

async fn until_quiet(receiver: &mut UnboundedReceiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_millis(1), receiver.recv()).await {
        all.push(next);
    }
    all
}

pub(crate) fn request(id: u64, text: &str) -> String {
    format!(r#"{{"type":"ack_request","id":{id},"content":"{text}"}}"#)
}

pub(crate) fn ack(id: u64) -> String {
    format!(r#"{{"type":"ack","id":{id}}}"#)
}

impl Actor for Driven {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        Driver::<Self>::spawn(ctx);
    }
}

impl Drive for Driven {
    fn drive(&mut self, ctx: &mut Self::Context, cx: &mut task::Context<'_>) {
        loop {
            self.act(ctx, cx);
            self.alarm.set(match self.ending {
                false => self.core.deadline(),
                true => self.core.handler_deadline(),
            });
            if !self.alarm.rang(cx) {
                break;
            }
        }
    }
}

impl Driven {
    fn act(&mut self, ctx: &mut Context<Self>, cx: &mut task::Context<'_>) {
        if self.ending && !self.ended {
            let last = Event::Disconnected(hookup_core::Cause::EndOfStream);
            self.ended = self.core.poll_end(true, Some(last), cx).is_ready();
            if !self.ended {
                return;
            }
        }
        loop {
            let mut count = 0;
            self.core.poll(now(), cx, |frames, _| {
                count += frames.len();
                for frame in frames {
                    let Frame::Text(text) = frame else { unreachable!("the tests send text") };
                    // The test may be over.
                    let _ = self.written.send(text.to_string());
                }
            });
            if !self.confirms || count == 0 {
                break;
            }
            self.core.written(count);
        }
        if self.ended && self.core.poll_told(now(), cx).is_ready() {
            ctx.stop();
        }
    }
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct With(Box<dyn FnOnce(&mut Driven) + Send>);

impl Handler<With> for Driven {
    type Result = ();

    fn handle(&mut self, With(change): With, _: &mut Self::Context) {
        change(self);
    }
}

impl Handler<Outbound> for Driven {
    type Result = Submission;

    fn handle(&mut self, outbound: Outbound, _: &mut Self::Context) -> Submission {
        self.core.submit(outbound)
    }
}

impl Handler<AckOutcomes> for Driven {
    type Result = ();

    fn handle(&mut self, outcomes: AckOutcomes, _: &mut Self::Context) {
        self.core.acks_ended(outcomes);
    }
}

impl Handler<ClosePeer> for Driven {
    type Result = ();

    fn handle(&mut self, _: ClosePeer, _: &mut Self::Context) {
        self.core.stop_accepting();
    }
}
