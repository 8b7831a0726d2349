//! A message as a value in the database.

use std::{path::Path, time::Duration};

use hookup_core::{Binary, Entry, Json, Message, Outbound, OutboxError, Text};

use super::damaged;

const TEXT: u8 = 0;
const JSON: u8 = 1;
const BINARY: u8 = 2;
const NEEDS_ACK: u8 = 0x80;

/// A byte of kind and flag; with the flag, 8 bytes of seconds and 4 of nanoseconds, big-endian; then the payload.
pub(super) fn encode(outbound: &Outbound) -> Vec<u8> {
    let kind = match outbound.message() {
        Message::Text(_) => TEXT,
        Message::Json(_) => JSON,
        Message::Binary(_) => BINARY,
    };
    let mut value = Vec::with_capacity(13 + outbound.message().len());
    match outbound.ack_within() {
        None => value.push(kind),
        Some(within) => {
            value.push(kind | NEEDS_ACK);
            value.extend_from_slice(&within.as_secs().to_be_bytes());
            value.extend_from_slice(&within.subsec_nanos().to_be_bytes());
        }
    }
    value.extend_from_slice(outbound.message().as_bytes());
    value
}

pub(super) fn decode(path: &Path, key: &[u8], value: &[u8]) -> Result<Entry, OutboxError> {
    let entry = || {
        let seq = u64::from_be_bytes(key.try_into().ok()?);
        let (&kind, rest) = value.split_first()?;
        let (within, payload) = if kind & NEEDS_ACK == 0 {
            (None, rest)
        } else {
            let (seconds, rest) = rest.split_first_chunk()?;
            let (nanos, rest) = rest.split_first_chunk()?;
            let nanos = Some(u32::from_be_bytes(*nanos)).filter(|&nanos| nanos < 1_000_000_000)?;
            (Some(Duration::new(u64::from_be_bytes(*seconds), nanos)), rest)
        };
        let message = match kind & !NEEDS_ACK {
            TEXT => Message::from(Text(String::from_utf8(payload.to_vec()).ok()?)),
            JSON => Json::from_raw(String::from_utf8(payload.to_vec()).ok()?).ok()?.into(),
            BINARY => Binary(payload.to_vec()).into(),
            _ => return None,
        };
        let outbound = Outbound::from(message);
        let outbound = match within {
            Some(within) => outbound.needs_ack(within),
            None => outbound,
        };
        Some(Entry { seq, outbound })
    };
    entry().ok_or_else(|| damaged(path, "a message in it is not in a form that this version knows"))
}
