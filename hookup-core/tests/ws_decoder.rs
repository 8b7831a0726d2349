//! What the WebSocket decoder is for any bytes, and for any messages, however they are fragmented and cut into reads.

use bytes::{Bytes, BytesMut};
use hookup_core::{
    CloseCode, CloseReason,
    ws::{Decoder, Frame, Role, Signal},
};
use proptest::{collection::vec, prelude::*, sample::Index};

const LONGEST: usize = 300;
const FRAGMENTS: usize = 5;

/// A frame as the peer of this role sends it.
fn frame(role: Role, first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let masked = role == Role::Server;
    let bit = u8::from(masked) << 7;
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(len @ ..126) => bytes.push(bit | len),
        _ => {
            bytes.push(bit | 126);
            bytes.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
        }
    }
    let mask = if masked { mask } else { [0; 4] };
    bytes.extend(&mask[..if masked { 4 } else { 0 }]);
    bytes.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What these reads come to: signals, and the reason to close with, if there is one.
fn decode<'a>(role: Role, reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Signal>, Option<CloseReason>) {
    let (mut decoder, mut signals) = (Decoder::new(role, LONGEST, FRAGMENTS), Vec::new());
    for read in reads {
        decoder.buffer().extend_from_slice(read);
        loop {
            match decoder.next_signal() {
                Ok(Some(signal)) => signals.push(signal),
                Ok(None) => break,
                Err(reason) => return (signals, Some(reason)),
            }
        }
    }
    (signals, None)
}

/// The bytes, cut at these places.
fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect::<Vec<_>>();
    cuts.sort_unstable();
    let begins = std::iter::once(0).chain(cuts.iter().copied());
    begins.zip(cuts.iter().copied().chain([bytes.len()])).map(|(begin, end)| &bytes[begin..end]).collect()
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn control() -> impl Strategy<Value = Signal> {
    let payload = || vec(any::<u8>(), 0..=125);
    prop_oneof![payload().prop_map(|payload| Signal::Ping(payload.into())), Just(Signal::Pong)]
}

/// A message, where it is cut into fragments, and the control frame that goes before each of these cuts.
fn message() -> impl Strategy<Value = (Frame, Vec<(Index, Option<Signal>)>)> {
    let text = "\\PC{0,70}".prop_map(|text| Frame::Text(text.into()));
    let frame = prop_oneof![text, vec(any::<u8>(), 0..LONGEST).prop_map(|bytes| Frame::Binary(bytes.into()))];
    (frame, vec((any::<Index>(), proptest::option::of(control())), 0..FRAGMENTS))
}

/// Bytes that get far: headers that keep the rules, and some that break them.
fn nearly_frames(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => proptest::sample::select(vec![0x01u8, 0x02, 0x00, 0x80, 0x81, 0x82, 0x89, 0x8a]),
        1 => Just(0x88u8),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        "\\PC{0,40}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..130),
        Just([1000u16.to_be_bytes().as_slice(), b"bye"].concat()),
    ];
    let whole =
        (first, payload, any::<[u8; 4]>()).prop_map(move |(first, payload, mask)| frame(role, first, &payload, mask));
    vec(prop_oneof![9 => whole, 1 => vec(any::<u8>(), 0..20)], 0..10).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn any_messages_in_any_fragments_and_reads_are_what_was_sent(
        role in role(),
        messages in vec(message(), 0..6),
        close in proptest::option::of((4000u16..5000, "\\PC{0,20}")),
        mask in any::<[u8; 4]>(),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let (mut bytes, mut sent) = (Vec::new(), Vec::new());
        for (message, mut fragments) in messages {
            let (opcode, payload) = match &message {
                Frame::Text(text) => (0x01, &text.as_bytes()[..]),
                Frame::Binary(bytes) => (0x02, &bytes[..]),
            };
            fragments.sort_by_key(|(cut, _)| cut.index(payload.len() + 1));
            fragments.truncate(FRAGMENTS - 1);
            let mut begin = 0;
            for (number, (cut, control)) in fragments.iter().enumerate() {
                let end = cut.index(payload.len() + 1);
                bytes.extend(frame(role, if number == 0 { opcode } else { 0 }, &payload[begin..end], mask));
                begin = end;
                match control {
                    Some(Signal::Ping(payload)) => bytes.extend(frame(role, 0x89, payload, mask)),
                    Some(_) => bytes.extend(frame(role, 0x8a, b"unasked", mask)),
                    None => {}
                }
                sent.extend(control.clone());
            }
            let last = if fragments.is_empty() { opcode } else { 0 };
            bytes.extend(frame(role, 0x80 | last, &payload[begin..], mask));
            sent.push(Signal::Frame(message));
        }
        if let Some((code, reason)) = close {
            bytes.extend(frame(role, 0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat(), mask));
            sent.push(Signal::Close(Some(CloseReason::new(CloseCode(code), reason))));
            bytes.extend(b"what comes behind a close is not looked at");
        }
        prop_assert_eq!(decode(role, cut(&bytes, &cuts)), (sent, None));
    }

    #[test]
    fn any_bytes_come_to_the_same_however_they_are_cut(
        (role, bytes) in role().prop_flat_map(|role| (Just(role), nearly_frames(role))),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let whole = decode(role, [&bytes[..]]);
        prop_assert_eq!(&decode(role, cut(&bytes, &cuts)), &whole);
        prop_assert_eq!(&decode(role, bytes.chunks(1)), &whole);
    }

    #[test]
    fn random_bytes_never_panic(role in role(), bytes in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode(role, bytes.chunks(1)), decode(role, [&bytes[..]]));
    }
}

#[test]
fn what_a_header_claims_is_not_reserved() {
    for opcode in [0x02, 0x82] {
        let mut decoder = Decoder::new(Role::Server, 1 << 30, 10);
        decoder.buffer().extend_from_slice(&[opcode, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4]);
        decoder.buffer().extend_from_slice(&[0; 1000]);
        assert_eq!(decoder.next_signal(), Ok(None));
        assert!(decoder.buffer().capacity() < 10_000, "{}", decoder.buffer().capacity());
    }
}

#[test]
fn a_message_in_one_frame_is_not_copied() {
    let mut decoder = Decoder::new(Role::Client, 1 << 20, 1);
    *decoder.buffer() = BytesMut::from(&frame(Role::Client, 0x81, &[b'x'; 1000], [0; 4])[..]);
    let place = decoder.buffer()[4..].as_ptr();
    let Ok(Some(Signal::Frame(Frame::Text(text)))) = decoder.next_signal() else { panic!("not a text") };
    assert_eq!(text.as_bytes().as_ptr(), place);
}

#[test]
fn a_ping_does_not_hold_what_was_read_with_it() {
    let mut decoder = Decoder::new(Role::Client, 1 << 20, 1);
    let read = [frame(Role::Client, 0x89, b"ping", [0; 4]), vec![0x82, 0x7e]].concat();
    *decoder.buffer() = BytesMut::from(&read[..]);
    let Ok(Some(Signal::Ping(payload))) = decoder.next_signal() else { panic!("not a ping") };
    assert_eq!(payload, Bytes::from_static(b"ping"));
    assert!(std::mem::take(decoder.buffer()).freeze().is_unique());
}

#[test]
fn after_an_error_nothing_is_looked_at_or_kept() {
    let mut decoder = Decoder::new(Role::Client, 100, 1);
    decoder.buffer().extend_from_slice(&[0xff]);
    let refused = decoder.next_signal();
    assert_eq!(refused.as_ref().expect_err("refused").code, CloseCode::PROTOCOL);
    decoder.buffer().extend_from_slice(&frame(Role::Client, 0x81, b"after it", [0; 4]));
    assert_eq!(decoder.next_signal(), refused);
    assert!(decoder.buffer().is_empty());
}
