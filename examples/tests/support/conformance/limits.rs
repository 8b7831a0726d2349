//! 9: long messages, in one frame, in fragments and in chops, up to the longest that may be; and what is longer.

use super::{BINARY, CONTINUATION, Case, LONGEST, Sent, TEXT, fragments::fragmented, last, more};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, opcode) in [(1, TEXT), (2, BINARY)] {
        for (number, len) in (1..).zip([64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, LONGEST]) {
            let case = Case::new(format!("9.{kind}.{number}, a message of {len} bytes"));
            let payload = payload(len);
            cases.push(case.send([last(opcode, &payload)]).expect(opcode, payload));
        }
        let sizes = [(4 * MIB, 64), (4 * MIB, KIB), (4 * MIB, 64 * KIB), (4 * MIB, MIB), (LONGEST, MIB)];
        for (number, (len, size)) in (1..).zip(sizes) {
            let case = Case::new(format!("9.{}.{number}, {len} bytes in fragments of {size}", kind + 2));
            let payload = payload(len);
            cases.push(case.send(fragmented(opcode, &payload, size)).expect(opcode, payload));
        }
        for (number, size) in (1..).zip([64, 997, 2048]) {
            let case = Case::new(format!("9.{}.{number}, 1 MiB in chops of {size}", kind + 4));
            let payload = payload(MIB);
            cases.push(case.chop(size, [last(opcode, &payload)]).expect(opcode, payload));
        }
        let many = (0..100).fold(Case::new(format!("9.{}, messages to and fro", kind + 6)), |case, number| {
            let payload = payload(number * 40);
            case.send([last(opcode, &payload)]).expect(opcode, payload)
        });
        cases.push(many);
        cases.extend(too_long(opcode));
    }
    cases
}

/// Of what is too long, the header is enough.
fn too_long(opcode: u8) -> Vec<Case> {
    let claims = |sent: Sent, claims: usize| Sent { claims: Some(claims as u64), ..sent };
    let refused = |what: &str| Case::new(format!("opcode {opcode}: {what}")).closed(1009);
    let empty = std::iter::repeat_n(more(CONTINUATION, ""), 100_000);
    vec![
        refused("a byte too much").send([claims(last(opcode, ""), LONGEST + 1)]),
        refused("1 GiB").send([claims(last(opcode, ""), 1 << 30)]),
        refused("the longest there can be").send([claims(last(opcode, ""), usize::MAX >> 1)]),
        refused("fragments in sum")
            .send([more(opcode, payload(KIB)), claims(more(CONTINUATION, ""), LONGEST - KIB + 1)]),
        refused("too many fragments").send(std::iter::once(more(opcode, "")).chain(empty)),
        Case::new(format!("opcode {opcode}: a length that cannot be"))
            .send([claims(last(opcode, ""), usize::MAX)])
            .closed(1002),
    ]
}

/// A text whose parts differ, so that none can be lost or swapped unnoticed.
fn payload(len: usize) -> Vec<u8> {
    let mut bytes =
        (0..).flat_map(|line: u32| format!("{line}: BAsd7&jh23 ä€\n").into_bytes()).take(len).collect::<Vec<_>>();
    while std::str::from_utf8(&bytes).is_err() {
        // A character is cut at the end.
        bytes.pop();
    }
    bytes.resize(len, b'.');
    bytes
}
