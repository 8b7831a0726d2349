//! One socket as an actor. The one file that names actix-web-actors.
//!
//! A `WebsocketContext` is polled by the response body, and only while the socket takes more: when the peer stops reading,
//! this actor stands still, its mailbox and timers with it. So it knows nothing of the session but its address, and
//! holds nothing that must go on. It reads the socket itself, so that it can stop reading while the handler is behind.

use std::{
    cell::RefCell,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{self, Poll, Waker},
    time::Duration,
};

use actix::{Actor, ActorContext as _, Addr, Arbiter, AsyncContext as _, Handler, Recipient, StreamHandler};
use actix_web::{Error, error::PayloadError, rt, web};
use actix_web_actors::ws::{self, ProtocolError, WebsocketContext};
use bytes::Bytes;
use futures_util::{Stream, future, stream};
use hookup_core::{
    Cause, CloseCode, CloseReason, Limits,
    link::v2::{Hello, MAX_GREETING_BYTES},
    transport::{CLOSE_TIMEOUT, Command, Credit, Notice, Progress, ReadGate},
    ws::{Batch, Decoder, End, Frame, Outgoing, Role},
};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    admission::Place,
    attach::{Adopted, Attach, Caller, Heard},
    line::{Line, Pieces, Transport},
    registry::HookupServer,
    session::{Opened, Session},
};

/// Starts a connection; what it returns is the body of the handshake's response.
pub(crate) fn start(
    desk: Desk,
    place: Place,
    line: Line,
    payload: web::Payload,
    limits: Limits,
) -> impl Stream<Item = Result<Bytes, Error>> + 'static {
    let gate = Rc::new(RefCell::new(Gate { gate: ReadGate::new(limits.inbox), waker: None }));
    let longest = match desk {
        Desk::Greeting { .. } => limits.max_message_bytes.max(MAX_GREETING_BYTES),
        _ => limits.max_message_bytes,
    };
    let decoder = Decoder::new(Role::Server, longest, limits.max_fragments);
    let incoming = Incoming { payload, decoder, gate: gate.clone(), broken: None, is_over: false };
    let progress = Progress::default();
    let connection = Connection {
        desk,
        place,
        line,
        progress: progress.clone(),
        gate,
        incoming: Some(incoming),
        closing: None,
        ended: false,
    };
    // The context's own reader knows no back-pressure; ours takes its place, and this one never has anything.
    Pieces::new(WebsocketContext::create(connection, stream::pending()), progress)
}

/// The actor of one socket.
pub(crate) struct Connection {
    desk: Desk,
    place: Place,
    line: Line,
    progress: Progress,
    gate: Rc<RefCell<Gate>>,
    incoming: Option<Incoming>,
    /// What we sent a close frame with.
    closing: Option<CloseReason>,
    ended: bool,
}

/// Who is told what comes.
pub(crate) enum Desk {
    /// The session of a format.
    Format(Addr<Session>),
    /// Nobody yet: a client of `hookup.v2` is to say hello, within a time.
    Greeting { greeter: Greeter, patience: Option<Patience> },
    /// The session that the hello named is being found.
    Waiting,
    /// A session, whose connection of this number it is.
    Session { session: Recipient<Heard>, number: u64 },
}

/// What a hello is passed on with.
pub(crate) struct Greeter {
    pub(crate) server: Addr<HookupServer>,
    pub(crate) principal: Option<String>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) timeout: Duration,
    /// The server stops, and takes no hello any more.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What closes a connection whose client says no hello. No timer of the connection's own: that would stand still with it.
pub(crate) struct Patience(AbortHandle);

impl Patience {
    fn new(greeter: &Greeter, transport: Transport) -> Self {
        let (timeout, mut stopping) = (greeter.timeout, greeter.stopping.clone());
        let task = rt::spawn(async move {
            let (late, stops) = (rt::time::sleep(timeout), stopping.wait_for(|stops| *stops));
            let reason = match future::select(pin!(late), pin!(stops)).await {
                future::Either::Left(_) => CloseReason::new(CloseCode::HELLO_TIMEOUT, "no hello came"),
                future::Either::Right(_) => CloseCode::AWAY.into(),
            };
            transport.send(Command::Close(reason));
        });
        Self(task.abort_handle())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Actor for Connection {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(incoming) = self.incoming.take() {
            ctx.add_stream(incoming);
        }
        let transport = self.transport(ctx);
        match &mut self.desk {
            Desk::Format(session) => {
                session.do_send(Opened::new(transport));
                self.desk = Desk::Session { session: session.clone().recipient(), number: 1 };
            }
            Desk::Greeting { greeter, patience } => *patience = Some(Patience::new(greeter, transport)),
            Desk::Waiting | Desk::Session { .. } => {}
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.end(Cause::EndOfStream);
        // What was written last may have no place in the socket, and never get one.
        self.line.cut_late();
    }
}

impl Connection {
    fn transport(&self, ctx: &WebsocketContext<Self>) -> Transport {
        Transport::new(ctx.address().recipient(), self.line.clone(), self.progress.clone())
    }

    fn tell(&self, notice: Notice) {
        if let Desk::Session { session, number } = &self.desk {
            session.do_send(Heard { number: *number, notice });
        }
    }

    /// Tells the session, once, that the connection is over.
    fn end(&mut self, cause: Cause) {
        if !std::mem::replace(&mut self.ended, true) {
            let cause = self.closing.take().map_or(cause, Cause::WeClosed);
            self.tell(Notice::Ended(cause));
        }
    }

    fn close(&mut self, reason: CloseReason, ctx: &mut WebsocketContext<Self>) {
        if self.closing.is_some() {
            return;
        }
        self.write(Outgoing::Close(reason.clone()), ctx);
        self.closing = Some(reason);
        // The answer may be behind more than the gate lets through; nobody takes any of it any more.
        self.gate.borrow_mut().open_for_good();
        ctx.run_later(CLOSE_TIMEOUT, |_, ctx| ctx.stop());
    }

    fn frames(&mut self, frames: Vec<Frame>, ctx: &mut WebsocketContext<Self>) {
        match &mut self.desk {
            Desk::Greeting { .. } => {
                if let Err(reason) = self.greet(frames, ctx) {
                    self.close(reason, ctx);
                }
            }
            Desk::Waiting => self.close(too_early(), ctx),
            Desk::Format(_) | Desk::Session { .. } => self.tell(Notice::Frames(frames)),
        }
    }

    /// Passes the hello on, which must be all that came.
    fn greet(&mut self, frames: Vec<Frame>, ctx: &mut WebsocketContext<Self>) -> Result<(), CloseReason> {
        let mut credit = Credit::default();
        frames.iter().for_each(|frame| credit.add(frame.len()));
        self.gate.borrow_mut().handled(credit);
        let mut frames = frames.into_iter();
        let Some(first) = frames.next() else { return Ok(()) };
        let hello = Hello::parse(first)?;
        if frames.next().is_some() {
            return Err(too_early());
        }
        if let Desk::Greeting { greeter, .. } = std::mem::replace(&mut self.desk, Desk::Waiting) {
            greeter.server.do_send(Attach {
                hello,
                principal: greeter.principal,
                order: self.place.order,
                remote: greeter.remote,
                arbiter: Arbiter::current(),
                connection: Caller::new(ctx.address(), self.transport(ctx)),
            });
        }
        Ok(())
    }

    fn write(&self, outgoing: Outgoing, ctx: &mut WebsocketContext<Self>) {
        ctx.write_raw(outgoing.into());
    }
}

/// The close of a client that does not wait for its welcome.
fn too_early() -> CloseReason {
    CloseReason::new(CloseCode::BAD_FRAME, "a client sends nothing between its hello and the welcome")
}

impl StreamHandler<Arrival> for Connection {
    fn handle(&mut self, arrival: Arrival, ctx: &mut Self::Context) {
        let batch = match arrival {
            Arrival::Batch(batch) => batch,
            Arrival::Broken(cause) => {
                self.end(cause);
                return ctx.stop();
            }
        };
        for payload in batch.pings {
            self.write(Outgoing::Pong(payload), ctx);
        }
        if self.closing.is_some() {
            // What comes after our close is of no interest, but for the answer to it.
        } else if !batch.frames.is_empty() {
            self.frames(batch.frames, ctx);
        } else if batch.alive {
            self.tell(Notice::Alive);
        }
        match batch.end {
            None => return,
            Some(End::Close(reason)) => {
                let reason = reason.unwrap_or_else(|| CloseCode::NO_STATUS.into());
                if self.closing.is_none() {
                    self.write(Outgoing::Close(reason.clone()), ctx);
                }
                self.end(Cause::PeerClosed(reason));
                self.line.stop_reading();
            }
            Some(End::Violation(reason)) => {
                self.tell(Notice::Violated(reason.clone()));
                if self.closing.is_none() {
                    self.write(Outgoing::Close(reason.clone()), ctx);
                }
                self.end(Cause::WeClosed(reason.clone()));
                // Who is in the midst of a long message reads the close frame only if nothing resets the connection; actix-web
                // reads on for a second.
                if reason.code != CloseCode::TOO_BIG {
                    self.line.stop_reading();
                }
                self.closing = Some(reason);
            }
        }
        ctx.stop();
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Never called: the context's own reader is given a stream that never has anything.
impl StreamHandler<Result<ws::Message, ProtocolError>> for Connection {
    fn handle(&mut self, _: Result<ws::Message, ProtocolError>, _: &mut Self::Context) {}
}

impl Handler<Command> for Connection {
    type Result = ();

    fn handle(&mut self, command: Command, ctx: &mut Self::Context) {
        match command {
            Command::Transmit { frames, credit } => {
                self.gate.borrow_mut().handled(credit);
                if self.closing.is_some() {
                    // Nothing may follow a close frame (RFC 6455, section 5.5.1).
                    return;
                }
                let written = frames.len();
                for frame in frames {
                    self.write(Outgoing::Frame(frame), ctx);
                }
                // Being polled means that the socket took all that was written before: the context encodes these right away.
                if written > 0 {
                    self.tell(Notice::Written(written));
                }
            }
            Command::Ping => self.write(Outgoing::Ping, ctx),
            Command::Close(reason) => self.close(reason, ctx),
            Command::Abort => ctx.stop(),
        }
    }
}

impl Handler<Adopted> for Connection {
    type Result = ();

    fn handle(&mut self, adopted: Adopted, _: &mut Self::Context) {
        self.gate.borrow_mut().gate.owe(adopted.unhandled);
        if let Some((session, number)) = adopted.take() {
            self.desk = Desk::Session { session, number };
        }
        if self.ended {
            // Nobody was told, as nobody was there.
            self.tell(Notice::Ended(Cause::EndOfStream));
        } else if let Some(reason) = self.closing.clone() {
            // It has been closed since, with what its session need not wait for.
            self.end(Cause::WeClosed(reason));
        }
    }
}

/// What the socket's reader hands to the actor.
pub(crate) enum Arrival {
    Batch(Batch),
    Broken(Cause),
}

/// A read gate, and the reader that waits at it.
struct Gate {
    gate: ReadGate,
    waker: Option<Waker>,
}

impl Gate {
    fn open_for_good(&mut self) {
        self.gate = ReadGate::new(Credit { frames: usize::MAX, bytes: usize::MAX });
        self.handled(Credit::default());
    }

    fn handled(&mut self, credit: Credit) {
        self.gate.handled(credit);
        if self.gate.is_open()
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}

/// Reads the socket while the gate is open, and gives what came in together as one batch.
struct Incoming {
    payload: web::Payload,
    decoder: Decoder,
    gate: Rc<RefCell<Gate>>,
    /// How the socket ended, while what came in before has not been handed on yet.
    broken: Option<Cause>,
    is_over: bool,
}

impl Stream for Incoming {
    type Item = Arrival;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Arrival>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let mut gate = this.gate.borrow_mut();
        let (mut batch, mut arrived) = (Batch::default(), false);
        while this.broken.is_none() {
            batch.take(&mut this.decoder, &mut gate.gate);
            this.is_over = batch.end.is_some();
            if this.is_over {
                break;
            }
            if batch.is_held {
                cx.waker().wake_by_ref();
                break;
            }
            if !gate.gate.is_open() {
                gate.waker = Some(cx.waker().clone());
                break;
            }
            match Pin::new(&mut this.payload).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    this.decoder.buffer().extend_from_slice(&bytes);
                    arrived = true;
                }
                // What an HTTP body would lack, a WebSocket's stream does not: it has no length.
                Poll::Ready(Some(Err(PayloadError::Incomplete(_))) | None) => this.broken = Some(Cause::EndOfStream),
                Poll::Ready(Some(Err(error))) => this.broken = Some(Cause::Failed(error.to_string())),
                Poll::Pending => break,
            }
        }
        // A part of a long message is a sign of life, too.
        batch.alive |= arrived && batch.is_empty();
        if !batch.is_empty() {
            return Poll::Ready(Some(Arrival::Batch(batch)));
        }
        match this.broken.take() {
            Some(cause) => {
                this.is_over = true;
                Poll::Ready(Some(Arrival::Broken(cause)))
            }
            None => Poll::Pending,
        }
    }
}
