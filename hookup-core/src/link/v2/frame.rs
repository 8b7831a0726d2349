//! The frames of `hookup.v2`, read (see the protocol document).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{
    ids::{MAX_SEQ, RunId, SessionId},
    render,
};
use crate::{
    message::{Binary, Json, Message, Text},
    outbox::Usage,
    wire::envelope,
    ws::{CloseCode, CloseReason, Frame},
};

/// How many runs one side may list; a process that never gets through begins one each time that it starts.
pub const MAX_RUNS: usize = 1024;

/// What a `hello` and a `welcome` say of one of the sender's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOffer {
    /// The run.
    pub run: RunId,
    /// The lowest `seq` that is not known to be handled.
    pub lo: u64,
    /// The `seq` that the run's next message will have.
    pub next: u64,
    /// The highest `seq` that may ever have been transmitted.
    pub sent: u64,
}

/// What may be sent and not be acked yet, as it stands in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A client's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The session to begin or to resume.
    pub session: SessionId,
    /// The client's runs, oldest first.
    pub runs: Vec<RunOffer>,
    /// What the client has handled of the server's runs.
    pub recv: BTreeMap<RunId, u64>,
    /// How much the client takes at once.
    pub window: Window,
}

/// A server's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Whether the server knew the session.
    pub resumed: bool,
    /// The server's runs, oldest first.
    pub runs: Vec<RunOffer>,
    /// What the server has handled of the client's runs.
    pub recv: BTreeMap<RunId, u64>,
    /// How much the server takes at once.
    pub window: Window,
    /// The longest frame that the server takes, in bytes.
    pub max_bytes: u64,
    /// How long the server lets a peer be silent before it pings, in milliseconds; 0: it does not ping.
    pub ping_ms: u64,
    /// How long the server keeps a session without a connection, in milliseconds.
    pub retain_ms: u64,
}

/// A frame that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// `hello`.
    Hello(Hello),
    /// `welcome`.
    Welcome(Welcome),
    /// `run`.
    Run(RunId),
    /// `text`, `json`, or a binary frame; a volatile one has no `seq`.
    Message {
        /// Its place in the announced run.
        seq: Option<u64>,
        /// The message.
        message: Message,
    },
    /// `skip`.
    Skip {
        /// The first that carries nothing.
        seq: u64,
        /// The last.
        to: u64,
        /// How many of them were dropped, as there was no room for them.
        lost: u64,
    },
    /// `ack`, or `nack` with a reason.
    Ack {
        /// The run, where it is not that of the last ack.
        run: Option<RunId>,
        /// The cursor.
        seq: u64,
        /// Why the message `seq` was refused.
        refused: Option<String>,
    },
    /// `goaway`.
    Goaway {
        /// The shortest and the longest wait before the client is to connect again.
        retry: (Duration, Duration),
    },
}

/// A close with 4400.
pub(super) fn bad(problem: impl Into<ByteString>) -> CloseReason {
    CloseReason::new(CloseCode::BAD_FRAME, problem)
}

impl Hello {
    /// Reads a client's first frame.
    ///
    /// # Errors
    /// 4400 with the reason when it is something else.
    pub fn parse(frame: Frame) -> Result<Self, CloseReason> {
        match Incoming::parse(frame)? {
            Incoming::Hello(hello) => Ok(hello),
            _ => Err(bad("the first frame must be a hello")),
        }
    }

    /// Writes it.
    pub fn render(&self) -> Frame {
        render::tagged("hello", self)
    }
}

impl Welcome {
    /// Writes it.
    pub fn render(&self) -> Frame {
        render::tagged("welcome", self)
    }
}

impl Incoming {
    /// Reads a frame; a message shares its buffer.
    ///
    /// # Errors
    /// 4400 with the reason.
    pub fn parse(frame: Frame) -> Result<Self, CloseReason> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => return binary(bytes),
        };
        let fields = serde_json::from_str::<Fields<'_>>(&text).map_err(|error| bad(format!("bad frame: {error}")))?;
        match &*fields.kind {
            "text" => {
                let content = envelope::string(fields.content()?).ok_or_else(|| bad("content is not a string"))?;
                let content = match content {
                    Cow::Borrowed(part) => text.slice_ref(part),
                    Cow::Owned(unescaped) => unescaped.into(),
                };
                Ok(Self::Message { seq: fields.optional_seq()?, message: Text(content).into() })
            }
            "json" => {
                let content = Json::checked(text.slice_ref(fields.content()?.get()));
                Ok(Self::Message { seq: fields.optional_seq()?, message: content.into() })
            }
            "ack" => Ok(Self::Ack { run: fields.run()?, seq: fields.cursor()?, refused: None }),
            "nack" => {
                let reason = fields.reason.and_then(envelope::string);
                let reason = reason.ok_or_else(|| bad("a nack without a reason"))?.into_owned();
                Ok(Self::Ack {
                    run: fields.run()?,
                    seq: fields.seq()?,
                    refused: Some(render::shortened(&reason).to_owned()),
                })
            }
            "run" => fields.run()?.map(Self::Run).ok_or_else(|| bad("a run without its id")),
            "skip" => {
                let (seq, to) = (fields.seq()?, number(fields.to, "to")?);
                if to < seq || to > MAX_SEQ {
                    return Err(bad("a skip to a seq that is out of range"));
                }
                let lost = fields.lost.map_or(Ok(0), |lost| number(Some(lost), "lost"))?;
                match lost > to - seq + 1 {
                    true => Err(bad("a skip that lost more than it skips")),
                    false => Ok(Self::Skip { seq, to, lost }),
                }
            }
            "hello" => {
                let hello = control::<Hello>(&text)?;
                check_offer(&hello.runs, &hello.recv, hello.window)?;
                Ok(Self::Hello(hello))
            }
            "welcome" => {
                let welcome = control::<Welcome>(&text)?;
                check_offer(&welcome.runs, &welcome.recv, welcome.window)?;
                Ok(Self::Welcome(welcome))
            }
            "goaway" => {
                let Goaway { retry_ms: (from, to) } = control(&text)?;
                match from <= to && to <= 86_400_000 {
                    true => Ok(Self::Goaway { retry: (Duration::from_millis(from), Duration::from_millis(to)) }),
                    false => Err(bad("a retry_ms that is no range within a day")),
                }
            }
            kind => Err(bad(format!("unknown type {kind:?}"))),
        }
    }
}

/// The fields of the frames that are not rare. What they hold is read where the type has them; elsewhere they are unknown
/// fields, and ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    seq: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    lost: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    run: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

/// A `null` is a value like another: the content of a json message.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Fields<'a> {
    fn content(&self) -> Result<&'a RawValue, CloseReason> {
        self.content.ok_or_else(|| bad("a message without content"))
    }

    fn run(&self) -> Result<Option<RunId>, CloseReason> {
        self.run.map(|run| control(run.get())).transpose()
    }

    fn seq(&self) -> Result<u64, CloseReason> {
        match number(self.seq, "seq")? {
            seq @ 1..=MAX_SEQ => Ok(seq),
            _ => Err(bad("a seq that is not from 1 to 2^53-1")),
        }
    }

    fn optional_seq(&self) -> Result<Option<u64>, CloseReason> {
        self.seq.map(|_| self.seq()).transpose()
    }

    /// The `seq` of an ack: 0 where nothing has been handled.
    fn cursor(&self) -> Result<u64, CloseReason> {
        match number(self.seq, "seq")? {
            seq @ 0..=MAX_SEQ => Ok(seq),
            _ => Err(bad("a cursor above 2^53-1")),
        }
    }
}

fn number(raw: Option<&RawValue>, name: &str) -> Result<u64, CloseReason> {
    let number = raw.and_then(|raw| raw.get().parse().ok());
    number.ok_or_else(|| bad(format!("{name} is missing or not a whole number")))
}

#[derive(Deserialize)]
struct Goaway {
    retry_ms: (u64, u64),
}

fn control<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, CloseReason> {
    serde_json::from_str(text).map_err(|error| bad(format!("bad frame: {error}")))
}

fn check_offer(runs: &[RunOffer], recv: &BTreeMap<RunId, u64>, window: Window) -> Result<(), CloseReason> {
    let is_sound = |run: &RunOffer| 1 <= run.lo && run.lo <= run.next && run.sent < run.next && run.next <= MAX_SEQ + 1;
    let ids = runs.iter().map(|run| run.run).collect::<BTreeSet<_>>();
    let size = 1..=MAX_SEQ;
    if runs.is_empty() || runs.len() > MAX_RUNS || recv.len() > MAX_RUNS {
        Err(bad(format!("the runs must be from 1 to {MAX_RUNS}")))
    } else if ids.len() < runs.len() {
        Err(bad("a run is listed twice"))
    } else if !runs.iter().all(is_sound) {
        Err(bad("a run's lo, next and sent do not fit each other"))
    } else if recv.values().any(|&cursor| cursor > MAX_SEQ) {
        Err(bad("a cursor above 2^53-1"))
    } else if !size.contains(&window.messages) || !size.contains(&window.bytes) {
        Err(bad("a window that is not from 1 to 2^53-1"))
    } else {
        Ok(())
    }
}

fn binary(mut bytes: Bytes) -> Result<Incoming, CloseReason> {
    let seq = bytes.first_chunk().map(|seq| u64::from_be_bytes(*seq));
    let seq = seq.ok_or_else(|| bad("a binary frame shorter than its seq"))?;
    let message = Binary(bytes.split_off(8)).into();
    match seq {
        0 => Ok(Incoming::Message { seq: None, message }),
        1..=MAX_SEQ => Ok(Incoming::Message { seq: Some(seq), message }),
        _ => Err(bad("a seq above 2^53-1")),
    }
}

impl Window {
    /// A bound of ours, as the peer is told it.
    pub fn new(usage: Usage) -> Self {
        Self { messages: (usage.messages as u64).min(MAX_SEQ), bytes: usage.bytes.min(MAX_SEQ) }
    }

    /// The smaller of the peer's window and a bound of ours.
    pub(super) fn within(self, bound: Usage) -> Usage {
        let messages = usize::try_from(self.messages).unwrap_or(usize::MAX);
        Usage { messages: messages.min(bound.messages), bytes: self.bytes.min(bound.bytes) }
    }
}
