//! A message as bytes, and the reading of bytes that may be anything.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    message::{Binary, Json, Message, Text},
    outbound::Outbound,
};

const TEXT: u8 = 0;
const JSON: u8 = 1;
const BINARY: u8 = 2;
const EXPIRES: u8 = 0x40;
const NEEDS_ACK: u8 = 0x80;

/// Appends a number in 7 bits a byte, the lowest first; all bytes but the last have the highest bit set.
pub(super) fn put_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Bytes that are taken apart from the front; `None` where they end too early.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

/// Appends a byte of kind and flags; the payload's length as a varint; with `NEEDS_ACK`, 8 bytes of seconds and 4 of
/// nanoseconds; with `EXPIRES`, 8 bytes of milliseconds since the Unix epoch; then the payload. Numbers are little-endian.
pub(super) fn encode(outbound: &Outbound, value: &mut Vec<u8>) {
    let mut head = match outbound.message() {
        Message::Text(_) => TEXT,
        Message::Json(_) => JSON,
        Message::Binary(_) => BINARY,
    };
    if outbound.ack_within().is_some() {
        head |= NEEDS_ACK;
    }
    if outbound.expires_at().is_some() {
        head |= EXPIRES;
    }
    let payload = outbound.message().as_bytes();
    value.reserve(31 + payload.len());
    value.push(head);
    put_varint(payload.len() as u64, value);
    if let Some(within) = outbound.ack_within() {
        value.extend_from_slice(&within.as_secs().to_le_bytes());
        value.extend_from_slice(&within.subsec_nanos().to_le_bytes());
    }
    if let Some(at) = outbound.expires_at() {
        value.extend_from_slice(&at.to_le_bytes());
    }
    value.extend_from_slice(payload);
}

/// Messages in bytes that were written by [`encode`] and have been checked to be what was written. The messages share them.
#[derive(Debug)]
pub(super) struct Messages {
    bytes: Bytes,
    /// Where the next one begins.
    at: usize,
}

impl Messages {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next message; `None` when this is not one.
    pub(super) fn next(&mut self) -> Option<Outbound> {
        let Parts { kind, within, expires_at, payload } = self.skip()?;
        let payload = self.bytes.slice(payload);
        let text = |payload| ByteString::try_from(payload).ok();
        let message = match kind {
            TEXT => Message::from(Text(text(payload)?)),
            JSON => Json::checked(text(payload)?).into(),
            _ => Binary(payload).into(),
        };
        let mut outbound = Outbound::from(message);
        if let Some(within) = within {
            outbound = outbound.needs_ack(within);
        }
        if let Some(at) = expires_at {
            outbound = outbound.expiring_at(at);
        }
        Some(outbound)
    }

    /// The parts of the next message.
    pub(super) fn skip(&mut self) -> Option<Parts> {
        let mut fields = Fields::new(self.bytes.get(self.at..)?);
        let [head] = fields.array()?;
        let len = usize::try_from(fields.varint()?).ok()?;
        let mut within = None;
        if head & NEEDS_ACK != 0 {
            let seconds = u64::from_le_bytes(fields.array()?);
            let nanos = Some(u32::from_le_bytes(fields.array()?)).filter(|&nanos| nanos < 1_000_000_000)?;
            within = Some(Duration::new(seconds, nanos));
        }
        let expires_at = if head & EXPIRES != 0 { Some(u64::from_le_bytes(fields.array()?)) } else { None };
        let kind = head & !(NEEDS_ACK | EXPIRES);
        let rest = fields.rest().len();
        if kind > BINARY || len > rest {
            return None;
        }
        let start = self.bytes.len() - rest;
        self.at = start + len;
        Some(Parts { kind, within, expires_at, payload: start..self.at })
    }
}

/// A message, taken apart.
#[derive(Debug)]
pub(super) struct Parts {
    kind: u8,
    within: Option<Duration>,
    expires_at: Option<u64>,
    /// Where in the bytes it is.
    payload: Range<usize>,
}
