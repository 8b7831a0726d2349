//! What is sent, how it is recognised, and the note of what was accepted.

use std::{
    borrow::Cow,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::Recipient;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use hookup_client::{Binary, Cause, CloseCode, Event, Json, MessageKey, Outbound, SendFailure, SessionEnd, Text};

use crate::journal::{Handled, Journal, Record};

/// How many messages await their acceptance at a time.
const IN_FLIGHT: usize = 256;

/// How long a full outbox is given to drain.
const DRAIN: Duration = Duration::from_millis(5);

/// Sends messages until so many of them were accepted, or it is told to stop.
pub(crate) struct Producer {
    pub(crate) life: u32,
    pub(crate) messages: u64,
    pub(crate) journal: Arc<Journal>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Producer {
    /// Each send has a number of its own, a second try after a refusal too: so what is handled at the other end says
    /// exactly which send it comes from.
    pub(crate) async fn run(self, to: Recipient<Outbound>) -> hookup_examples::Result {
        let (mut last, mut accepted, mut in_flight) = (0, 0, FuturesOrdered::new());
        let (mut is_full, mut at_once) = (false, IN_FLIGHT);
        loop {
            while !is_full && in_flight.len() < at_once && accepted + (in_flight.len() as u64) < self.messages {
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
                last += 1;
                if !to.connected() {
                    // The server was told to end.
                    return Ok(());
                }
                let (n, sent) = (last, to.send(message(self.life, last)?));
                in_flight.push_back(async move { (n, sent.await) });
            }
            let Some(mut next) = in_flight.next().await else {
                if !is_full {
                    return Ok(());
                }
                // There will be room for a few, and the more the longer none is refused.
                (is_full, at_once) = (false, 1);
                tokio::time::sleep(DRAIN).await;
                continue;
            };
            // What was accepted together is noted together.
            let mut notes = Notes { journal: &self.journal, pending: None };
            loop {
                let (n, result) = next;
                // The server was told to end, and this send was not decided: it may have been accepted.
                let Ok(result) = result else { return notes.write().map_err(Into::into) };
                match result {
                    Err(error) if matches!(error.reason, SendFailure::Closed) => {
                        notes.add(n, false)?;
                        notes.write()?;
                        return Ok(());
                    }
                    Ok(_) => {
                        accepted += 1;
                        at_once = IN_FLIGHT.min(at_once + 1);
                        notes.add(n, true)?;
                    }
                    Err(error) if matches!(error.reason, SendFailure::Full { .. }) => {
                        is_full = true;
                        notes.add(n, false)?;
                    }
                    Err(error) => return Err(error.into()),
                }
                match in_flight.next().now_or_never() {
                    Some(Some(another)) => next = another,
                    _ => break,
                }
            }
            notes.write()?;
        }
    }
}

/// Messages that met the same fate, one after the other.
struct Notes<'a> {
    journal: &'a Journal,
    pending: Option<(u64, u64, bool)>,
}

impl Notes<'_> {
    fn add(&mut self, n: u64, is_accepted: bool) -> io::Result<()> {
        match &mut self.pending {
            Some((_, to, before)) if *before == is_accepted => *to = n,
            _ => {
                self.write()?;
                self.pending = Some((n, n, is_accepted));
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        match self.pending.take() {
            Some((from, to, true)) => self.journal.record(&Record::Accepted { from, to }),
            Some((from, to, false)) => self.journal.record(&Record::Refused { from, to }),
            None => Ok(()),
        }
    }
}

/// Message `n` of this process: of each kind, mostly short, now and then long.
fn message(life: u32, n: u64) -> hookup_examples::Result<Outbound> {
    let words = words(life, n);
    Ok(match n % 3 {
        0 => Text(words).into(),
        1 => Json(&words)?.into(),
        _ => Binary(words.into_bytes()).into(),
    })
}

fn words(life: u32, n: u64) -> String {
    const FILL: &str = "the quick brown fox jumps over the lazy dog, and ";
    let len = if n.is_multiple_of(1000) { 20_000 } else { n.wrapping_mul(37) % 100 };
    let fill = FILL.chars().cycle().take(usize::try_from(len).unwrap_or_default());
    format!("{life} {n} {}", fill.collect::<String>())
}

/// Records what a handler is told.
pub(crate) fn record(journal: &Journal, event: &Event) -> io::Result<()> {
    let message = match event {
        Event::Text(text) => handled(Some(Cow::Borrowed(text.as_str())), text.redelivered(), text.key()),
        Event::Json(json) => handled(json.parse::<String>().ok().map(Cow::Owned), json.redelivered(), json.key()),
        Event::Binary(bytes) => {
            let words = std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
            handled(words, bytes.redelivered(), bytes.key())
        }
        Event::SessionLost => return journal.record(&Record::SessionLost),
        Event::Connected(_) | Event::Reconnecting(_) | Event::SessionEnded(SessionEnd::Stopped) => return Ok(()),
        Event::Disconnected(cause) if is_to_be_expected(cause) => return Ok(()),
        _ => None,
    };
    let record = message.map(Record::Handled);
    journal.record(&record.unwrap_or_else(|| Record::Trouble(format!("{event:?}"))))
}

/// `None` unless the message is, word for word, one that was sent.
fn handled(arrived: Option<Cow<'_, str>>, redelivered: bool, key: Option<MessageKey>) -> Option<Handled> {
    let arrived = arrived?;
    let mut numbers = arrived.split(' ');
    let (life, n) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    (arrived == words(life, n)).then_some(Handled { life, n, redelivered, key: key? })
}

/// A connection may end in any way that a network can bring about; not by a complaint of either end about the other.
fn is_to_be_expected(cause: &Cause) -> bool {
    match cause {
        Cause::PeerClosed(reason) => {
            [CloseCode::NORMAL, CloseCode::AWAY, CloseCode::HELLO_TIMEOUT].contains(&reason.code)
        }
        Cause::WeClosed(reason) => {
            [CloseCode::NORMAL, CloseCode::AWAY, CloseCode::HELLO_TIMEOUT, CloseCode::SUPERSEDED].contains(&reason.code)
        }
        _ => true,
    }
}
