//! A message, and the state of a session, as values in the database.

use std::time::Duration;

use crate::{
    link::v2::State,
    message::{Binary, Json, Message, Text},
    outbound::Outbound,
};

const TEXT: u8 = 0;
const JSON: u8 = 1;
const BINARY: u8 = 2;
const EXPIRES: u8 = 0x40;
const NEEDS_ACK: u8 = 0x80;

const LIVE: u8 = 0;
const ENDED: u8 = 1;

/// Appends to `value` a byte of kind and flags; with `NEEDS_ACK`, 8 bytes of seconds and 4 of nanoseconds; with `EXPIRES`,
/// 8 bytes of milliseconds since the Unix epoch; then the payload. All numbers are big-endian.
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
    value.reserve(21 + payload.len());
    value.push(head);
    if let Some(within) = outbound.ack_within() {
        value.extend_from_slice(&within.as_secs().to_be_bytes());
        value.extend_from_slice(&within.subsec_nanos().to_be_bytes());
    }
    if let Some(at) = outbound.expires_at() {
        value.extend_from_slice(&at.to_be_bytes());
    }
    value.extend_from_slice(payload);
}

/// A message's value, taken apart.
struct Parts<'a> {
    kind: u8,
    within: Option<Duration>,
    expires_at: Option<u64>,
    payload: &'a [u8],
}

fn split(value: &[u8]) -> Option<Parts<'_>> {
    let (&head, mut rest) = value.split_first()?;
    let mut within = None;
    if head & NEEDS_ACK != 0 {
        let (seconds, after) = rest.split_first_chunk()?;
        let (nanos, after) = after.split_first_chunk()?;
        let nanos = Some(u32::from_be_bytes(*nanos)).filter(|&nanos| nanos < 1_000_000_000)?;
        within = Some(Duration::new(u64::from_be_bytes(*seconds), nanos));
        rest = after;
    }
    let mut expires_at = None;
    if head & EXPIRES != 0 {
        let (at, after) = rest.split_first_chunk()?;
        expires_at = Some(u64::from_be_bytes(*at));
        rest = after;
    }
    let kind = head & !(NEEDS_ACK | EXPIRES);
    (kind <= BINARY).then_some(Parts { kind, within, expires_at, payload: rest })
}

/// The length of the payload; `None` when this is not the value of a message.
pub(super) fn payload_len(value: &[u8]) -> Option<u64> {
    split(value).map(|parts| parts.payload.len() as u64)
}

/// The message; `None` when this is not the value of one.
pub(super) fn decode(value: &[u8]) -> Option<Outbound> {
    let parts = split(value)?;
    let text = || std::str::from_utf8(parts.payload).ok();
    let message = match parts.kind {
        TEXT => Message::from(Text(text()?)),
        JSON => Json::from_raw(text()?).ok()?.into(),
        _ => Binary(parts.payload.to_vec()).into(),
    };
    let mut outbound = Outbound::from(message);
    if let Some(within) = parts.within {
        outbound = outbound.needs_ack(within);
    }
    if let Some(at) = parts.expires_at {
        outbound = outbound.expiring_at(at);
    }
    Some(outbound)
}

/// A byte that says whether the session has ended; if it has, 8 bytes of when, in milliseconds since the Unix epoch,
/// big-endian; then the state as JSON.
pub(super) fn encode_state(state: &State, ended_at: Option<u64>) -> serde_json::Result<Vec<u8>> {
    let mut value = Vec::with_capacity(256);
    match ended_at {
        None => value.push(LIVE),
        Some(at) => {
            value.push(ENDED);
            value.extend_from_slice(&at.to_be_bytes());
        }
    }
    serde_json::to_writer(&mut value, state)?;
    Ok(value)
}

/// When the session ended, if it has, and its state as JSON; `None` when this is not the value of a state.
pub(super) fn split_state(value: &[u8]) -> Option<(Option<u64>, &[u8])> {
    match value.split_first()? {
        (&LIVE, json) => Some((None, json)),
        (&ENDED, rest) => rest.split_first_chunk().map(|(at, json)| (Some(u64::from_be_bytes(*at)), json)),
        _ => None,
    }
}

/// The state; `None` when this is not the value of one.
pub(super) fn decode_state(value: &[u8]) -> Option<State> {
    let (_, json) = split_state(value)?;
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::v2::SessionId;

    #[test]
    fn a_value_that_is_cut_short_or_of_an_unknown_kind_is_not_a_message() {
        let mut value = Vec::new();
        encode(&Text("").needs_ack(Duration::from_secs(1)).expiring_at(1), &mut value);
        assert_eq!(payload_len(&value), Some(0));
        for len in 0..value.len() {
            assert_eq!(payload_len(&value[..len]), None, "{len} bytes");
        }
        assert_eq!(decode(&[3]), None);
        assert_eq!(decode(&[TEXT, 0xff]), None, "not UTF-8");
        assert_eq!(decode(&[JSON, b'{']), None, "not JSON");
    }

    #[test]
    fn the_value_of_a_state_says_whether_the_session_has_ended() {
        let state = State::new(SessionId(1), Some("ä".into()));
        for ended_at in [None, Some(0), Some(u64::MAX)] {
            let value = encode_state(&state, ended_at).expect("encodes");
            assert_eq!(split_state(&value).map(|(at, _)| at), Some(ended_at));
            assert_eq!(decode_state(&value).as_ref(), Some(&state));
        }
        assert_eq!(split_state(&[]), None);
        assert_eq!(split_state(&[ENDED, 0]), None);
        assert_eq!(split_state(&[2]), None);
    }
}
