//! 1 to 4: lengths, pings and pongs, reserved bits, opcodes; and masks, which the public suite takes for granted.

use super::{BINARY, CLOSE, Case, PING, PONG, Sent, TEXT, last};

pub(super) fn cases() -> Vec<Case> {
    [lengths(), pings(), reserved_bits(), opcodes(), headers()].concat()
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, opcode, byte) in [(1, TEXT, b'*'), (2, BINARY, 0xfe)] {
        let lens = [0, 125, 126, 127, 128, 65_535, 65_536];
        for (number, len) in (1..).zip(lens) {
            let payload = vec![byte; len];
            let case = Case::new(format!("1.{kind}.{number}, a message of {len} bytes"));
            cases.push(case.send([last(opcode, &payload)]).expect(opcode, payload));
        }
        let payload = vec![byte; 65_536];
        let case = Case::new(format!("1.{kind}.8, a message of 65536 bytes in chops of 997"));
        cases.push(case.chop(997, [last(opcode, &payload)]).expect(opcode, payload));
    }
    cases
}

fn pings() -> Vec<Case> {
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let ten = || (0..10).map(|number| format!("payload-{number}"));
    let answered = |case: Case| ten().fold(case, |case, payload| case.expect(PONG, payload));
    let long = [0xfe; 125];
    let ping = |name: &str, payload: &[u8]| Case::new(name).send([last(PING, payload)]).expect(PONG, payload);
    vec![
        ping("2.1, a ping without a payload", b""),
        ping("2.2, a ping with text", b"Hello, world!"),
        ping("2.3, a ping with what is no text", &binary),
        ping("2.4, a ping of 125 bytes", &long),
        Case::new("2.5, a ping of 126 bytes").send([last(PING, [0xfe; 126])]).closed(1002),
        Case::new("2.6, a ping of 125 bytes in chops of 1").chop(1, [last(PING, long)]).expect(PONG, long),
        Case::new("2.7, a pong that nobody asked for").send([last(PONG, "")]).silence(),
        Case::new("2.8, the same with a payload").send([last(PONG, "unsolicited")]).silence(),
        Case::new("2.9, a pong that nobody asked for, and a ping")
            .send([last(PONG, "unsolicited"), last(PING, "ping")])
            .expect(PONG, "ping"),
        answered(Case::new("2.10, ten pings").send(ten().map(|payload| last(PING, payload)))),
        answered(Case::new("2.11, ten pings in chops of 1").chop(1, ten().map(|payload| last(PING, payload)))),
    ]
}

fn reserved(bits: u8, sent: Sent) -> Sent {
    Sent { first: sent.first | bits << 4, ..sent }
}

/// A message, then what is forbidden, then a ping: the message is answered, and the ping is not.
fn in_between(name: &str, forbidden: Sent) -> [Case; 3] {
    let frames = [last(TEXT, "Hello, world!"), forbidden, last(PING, "")];
    let case = |how: &str| Case::new(format!("{name}, {how}")).expect(TEXT, "Hello, world!").closed(1002);
    let first = |mut case: Case, send: Case| {
        case.steps.splice(..0, send.steps);
        case
    };
    [
        first(case("at once"), Case::new("").send(frames.clone())),
        first(case("each by itself"), Case::new("").send_each(frames.clone())),
        first(case("in chops of 1"), Case::new("").chop(1, frames)),
    ]
}

fn reserved_bits() -> Vec<Case> {
    let alone = |name: &str, bits, sent| Case::new(name).send([reserved(bits, sent)]).closed(1002);
    let mut cases = vec![alone("3.1, a text with reserved bits 1", 1, last(TEXT, "Hello, world!"))];
    for (number, bits) in [(2, 2), (3, 3), (4, 4)] {
        let name = format!("3.{number}, a text, then one with reserved bits {bits}, then a ping");
        cases.extend(in_between(&name, reserved(bits, last(TEXT, "Hello, world!"))));
    }
    cases.extend([
        alone("3.5, a binary message with reserved bits 5", 5, last(BINARY, [0, 0xff])),
        alone("3.6, a ping with reserved bits 6", 6, last(PING, "Hello, world!")),
        alone("3.7, a close with reserved bits 7", 7, last(CLOSE, [0x03, 0xe8])),
    ]);
    cases
}

fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, opcodes) in [(1, 3..=7), (2, 11..=15)] {
        for (number, opcode) in (1..).zip(opcodes) {
            let name = format!("4.{kind}.{number}, opcode {opcode}");
            cases.push(Case::new(name.clone()).send([last(opcode, ""), last(PING, "")]).closed(1002));
            cases.extend(in_between(&format!("{name} behind a text"), last(opcode, "reserved opcode")));
        }
    }
    cases
}

fn headers() -> Vec<Case> {
    let wrong = |name: &str, sent: Sent| Case::new(name).send([Sent { is_masked_wrongly: true, ..sent }]).closed(1002);
    vec![
        wrong("masks: a text with the wrong bit", last(TEXT, "Hello, world!")),
        wrong("masks: a ping with the wrong bit", last(PING, "")),
        wrong("masks: a close with the wrong bit", last(CLOSE, "")),
    ]
}
