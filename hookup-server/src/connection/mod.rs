//! One socket as an actor. The one file that names actix-web-actors.
//!
//! A `WebsocketContext` is polled by the response body, and only while the socket takes more: when the peer stops reading,
//! this actor stands still, its mailbox and timers with it. So it knows nothing of the session but its address, and
//! holds nothing that must go on. It reads the socket itself, so that it can stop reading while the handler is behind.

mod greeting;
mod incoming;

use std::{cell::RefCell, rc::Rc};

use actix::{Actor, ActorContext as _, Addr, Arbiter, AsyncContext as _, Handler, Recipient, StreamHandler};
use actix_web::{Error, web};
use actix_web_actors::ws::{self, ProtocolError, WebsocketContext};
use bytes::Bytes;
use futures_util::{Stream, stream};
use hookup_core::{
    Cause, CloseCode, CloseReason, Limits,
    link::v2::{Hello, MAX_GREETING_BYTES},
    transport::{CLOSE_TIMEOUT, Command, Credit, Notice, Progress},
    ws::{Decoder, End, Frame, Outgoing, Role},
};

pub(crate) use self::greeting::{Greeter, Patience};
use self::incoming::{Arrival, Gate, Incoming};
use crate::{
    admission::Place,
    attach::{Adopted, Attach, Caller, Heard},
    line::{Line, Pieces, Transport},
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
    let gate = Rc::new(RefCell::new(Gate::new(limits.inbox)));
    let longest = match desk {
        Desk::Greeting { .. } => limits.max_message_bytes.max(MAX_GREETING_BYTES),
        _ => limits.max_message_bytes,
    };
    let decoder = Decoder::new(Role::Server, longest, limits.max_fragments);
    let incoming = Incoming::new(payload, decoder, gate.clone());
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
        self.line.cut_late(&self.progress);
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
        // What comes after our close is of no interest, but for the answer to it; nor may anything follow the close.
        if self.closing.is_none() {
            for payload in batch.pings {
                self.write(Outgoing::Pong(payload), ctx);
            }
            if !batch.frames.is_empty() {
                self.frames(batch.frames, ctx);
            } else if batch.alive {
                self.tell(Notice::Alive);
            }
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
        self.gate.borrow_mut().owe(adopted.unhandled);
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
