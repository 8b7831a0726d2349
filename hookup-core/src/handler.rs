//! The user's half of a session: what is given its events.

use std::{fmt, future::Future, marker::PhantomData};

use actix::Recipient;
use futures_util::future::LocalBoxFuture;

use crate::{event::Event, peer::Peer};

/// What receives the events of one session, one after the other.
///
/// Closures of `(Event, Peer)`, plain or async, and a `Recipient<Event>` are handlers too; see [`IntoHandler`].
///
/// ```
/// # use hookup_core::{Event, EventHandler, Handling, Peer};
/// #[derive(Default)]
/// struct Count { texts: usize }
///
/// impl EventHandler for Count {
///     fn handle(&mut self, event: Event, peer: Peer) -> Handling {
///         if let Event::Text(text) = event {
///             self.texts += 1;
///             return Handling::later(async move {
///                 peer.send(text).await?;
///                 Ok(())
///             });
///         }
///         Handling::done()
///     }
/// }
/// ```
pub trait EventHandler: 'static {
    /// Takes one event. A message is acked when this, or the future in it, is done.
    ///
    /// A panic, here or in the future, refuses the message, and is reported as `Event::Error`. So is a future that does not
    /// end within `handler_timeout`, which is dropped, and a call that blocks its thread for more than a second.
    fn handle(&mut self, event: Event, peer: Peer) -> Handling;

    /// Whether there is nobody any more who could handle an event, now or later: so it is with an actor that has stopped.
    ///
    /// It is asked when an event was refused. Then a server closes the session with 1011 and ends it, so that its client's
    /// next one gets a new handler; a client refuses all that comes in, and goes on to deliver what it is given to send.
    fn is_gone(&self) -> bool {
        false
    }
}

/// A handler's answer: done, refused, or later.
pub struct Handling(pub(crate) State);

pub(crate) enum State {
    Done(Result<(), Refusal>),
    Later(LocalBoxFuture<'static, Result<(), Refusal>>),
}

impl Handling {
    /// The event has been handled.
    pub fn done() -> Self {
        Self(State::Done(Ok(())))
    }

    /// The message is refused: its sender gets no ack, and where the wire format can say so, this reason. Over `hookup.v2`
    /// it has left its sender's outbox then, and does not come again.
    pub fn refused(reason: impl fmt::Display) -> Self {
        Self(State::Done(Err(Refusal::new(reason))))
    }

    /// The event will have been handled when this future is done.
    pub fn later(future: impl Future<Output = Result<(), Refusal>> + 'static) -> Self {
        Self(State::Later(Box::pin(future)))
    }
}

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Done(Ok(())) => "Handling::Done",
            State::Done(Err(_)) => "Handling::Refused",
            State::Later(_) => "Handling::Later",
        })
    }
}

/// Why a handler refuses a message. Any error becomes one with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: String,
}

impl Refusal {
    /// A refusal in these words.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }

    /// The words.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// What a handler closure may return: nothing, or a `Result` whose error, in its own words, refuses the message.
pub trait IntoOutcome {
    /// The outcome.
    fn into_outcome(self) -> Result<(), Refusal>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl<E: fmt::Display> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<(), Refusal> {
        self.map_err(Refusal::new)
    }
}

/// What can be used as a handler. `Kind` only keeps the four ways apart and is always inferred.
///
/// ```
/// # use hookup_core::{Event, EventHandler, Handling, IntoHandler, Peer};
/// fn accepts<K>(_: impl IntoHandler<K>) {}
///
/// accepts(|event: Event, peer: Peer| println!("{event:?} from {peer:?}"));
/// accepts(|event: Event, peer: Peer| async move {
///     if let Event::Text(text) = event {
///         peer.send(text).await?;
///     }
///     Ok::<(), hookup_core::Refusal>(())
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a handler",
    note = "a handler is a closure, `|event: Event, peer: Peer| …`, plain or async, that returns () or a Result<(), _> \
            whose error has a Display; a type that implements EventHandler; or a Recipient<Event>"
)]
pub trait IntoHandler<Kind> {
    /// The handler.
    type Handler: EventHandler;

    /// Makes it.
    fn into_handler(self) -> Self::Handler;
}

/// [`IntoHandler`] of a type that implements [`EventHandler`].
#[derive(Debug)]
pub struct Plain;

/// [`IntoHandler`] of a closure.
#[derive(Debug)]
pub struct Closure;

/// [`IntoHandler`] of an async closure.
#[derive(Debug)]
pub struct AsyncClosure;

/// [`IntoHandler`] of an actor's recipient.
#[derive(Debug)]
pub struct Actor;

impl<H: EventHandler> IntoHandler<Plain> for H {
    type Handler = H;

    fn into_handler(self) -> H {
        self
    }
}

/// A closure, or an actor, as an [`EventHandler`].
pub struct Adapted<T, Kind>(T, PhantomData<Kind>);

impl<T, Kind> fmt::Debug for Adapted<T, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adapted")
    }
}

impl<F, R> IntoHandler<Closure> for F
where
    F: FnMut(Event, Peer) -> R + 'static,
    R: IntoOutcome,
{
    type Handler = Adapted<F, Closure>;

    fn into_handler(self) -> Self::Handler {
        Adapted(self, PhantomData)
    }
}

impl<F, R> EventHandler for Adapted<F, Closure>
where
    F: FnMut(Event, Peer) -> R + 'static,
    R: IntoOutcome,
{
    fn handle(&mut self, event: Event, peer: Peer) -> Handling {
        Handling(State::Done((self.0)(event, peer).into_outcome()))
    }
}

impl<F, Fut> IntoHandler<AsyncClosure> for F
where
    F: FnMut(Event, Peer) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoOutcome,
{
    type Handler = Adapted<F, AsyncClosure>;

    fn into_handler(self) -> Self::Handler {
        Adapted(self, PhantomData)
    }
}

impl<F, Fut> EventHandler for Adapted<F, AsyncClosure>
where
    F: FnMut(Event, Peer) -> Fut + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoOutcome,
{
    fn handle(&mut self, event: Event, peer: Peer) -> Handling {
        let future = (self.0)(event, peer);
        Handling::later(async move { future.await.into_outcome() })
    }
}

impl IntoHandler<Actor> for Recipient<Event> {
    type Handler = Adapted<Recipient<Event>, Actor>;

    fn into_handler(self) -> Self::Handler {
        Adapted(self, PhantomData)
    }
}

impl EventHandler for Adapted<Recipient<Event>, Actor> {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        // One whose mailbox is full keeps it waiting, and takes it when there is room: only one that has stopped fails.
        let handled = self.0.send(event);
        Handling::later(async move { Ok(handled.await?) })
    }

    fn is_gone(&self) -> bool {
        !self.0.connected()
    }
}
