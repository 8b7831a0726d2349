//! What lets an actor work once per wake-up, with one timer.
//!
//! Actix polls an actor's spawned futures after its mailbox is drained. [`Driver`] is the one future that our actors
//! spawn: it calls [`Drive::drive`], where what the messages changed is acted upon as one batch.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{self, Poll},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, fut::ActorFuture};
use tokio::time::Sleep;

use crate::{error::ConfigError, panics::catch};

/// An actor that acts once per wake-up.
pub trait Drive: Actor {
    /// Called after the mailbox was drained, and whenever something that was polled with `cx` is ready.
    fn drive(&mut self, ctx: &mut Self::Context, cx: &mut task::Context<'_>);
}

/// The future that calls [`Drive::drive`], for as long as the actor lives.
pub struct Driver<A>(PhantomData<fn(A)>);

impl<A: Drive> Driver<A>
where
    A::Context: AsyncContext<A>,
{
    /// Starts to drive the actor; to be called once, from `started`.
    pub fn spawn(ctx: &mut A::Context) {
        ctx.spawn(Self(PhantomData));
    }
}

impl<A: Drive> ActorFuture<A> for Driver<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, ctx: &mut A::Context, cx: &mut task::Context<'_>) -> Poll<()> {
        actor.drive(ctx, cx);
        Poll::Pending
    }
}

impl<A> fmt::Debug for Driver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

/// Checks that actors can be started here.
///
/// # Errors
/// [`ConfigError`] of `start` outside of a running actix System, and in a task of `tokio::spawn`.
pub fn check_system() -> Result<(), ConfigError> {
    // There is no way to ask tokio, but to try; it panics where only tasks that may move can be spawned.
    let can_spawn = || catch(|| drop(tokio::task::spawn_local(async {}))).is_ok();
    if actix::Arbiter::try_current().is_some() && can_spawn() {
        return Ok(());
    }
    Err(ConfigError::new("start", "call it inside an actix System, as #[actix::main] or #[actix_web::main] makes one"))
}

/// The time, by the clock that tests can pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time since the Unix epoch, in milliseconds, by the wall clock: for what is to expire across restarts.
pub fn wall_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How late a timer may ring before that is the fault of its thread, which something has blocked.
pub const LATE: Duration = Duration::from_millis(10);

/// How long what has come in while the thread was blocked has to be heard: time enough for a socket's news to pass from actor to
/// actor, of which each is behind others in the queue of the thread.
pub const GRACE: Duration = Duration::from_millis(50);

/// A time that is not over merely because the thread was late: then it is put off, once.
#[derive(Debug)]
pub struct Until {
    at: Instant,
    is_put_off: bool,
}

impl Until {
    /// A time.
    pub fn new(at: Instant) -> Self {
        Self { at, is_put_off: false }
    }

    /// When to ask whether it is over.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Whether it is over. To be asked when it has come; if that is late, it is over a little later.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if now < self.at {
            return false;
        }
        if self.is_put_off || now - self.at <= LATE {
            return true;
        }
        *self = Self { at: now + GRACE, is_put_off: true };
        false
    }
}

/// An actor's one timer.
#[derive(Debug, Default)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Alarm {
    /// Sets it to ring at this time, or not at all.
    pub fn set(&mut self, at: Option<Instant>) {
        if self.at == at {
            return;
        }
        self.at = at;
        let Some(at) = at.map(tokio::time::Instant::from_std) else { return };
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Whether this much time has passed since it was asked for the first time; if not, the task is woken when it has.
    pub fn has_passed(&mut self, time: Duration, cx: &mut task::Context<'_>) -> bool {
        if self.sleep.is_none() {
            self.set(Some(now() + time));
        }
        self.rang(cx)
    }

    /// Whether it rang; if not, the task is woken when it does. It rings once.
    pub fn rang(&mut self, cx: &mut task::Context<'_>) -> bool {
        let Some(sleep) = self.sleep.as_mut().filter(|_| self.at.is_some()) else { return false };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.at = None;
        true
    }
}
