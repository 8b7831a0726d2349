//! 7: the closing handshake, its codes and reasons.

use super::{CLOSE, CONTINUATION, Case, PING, TEXT, close, last, more};

/// The codes that may stand in a close frame, at their bounds (RFC 6455, section 7.4; 1012 to 1014 were registered later).
const ALLOWED: [u16; 16] =
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];

const FORBIDDEN: [u16; 14] = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65_535];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("7.1.1, a message, then a close").send([last(TEXT, "Hello World!")]).expect(TEXT, "Hello World!"),
        Case::new("7.1.2, two closes").send([close(1000, ""), close(1000, "")]).closed(1000),
        Case::new("7.1.3, a close, then a ping").send([close(1000, ""), last(PING, "")]).closed(1000),
        Case::new("7.1.4, a close, then a text").send([close(1000, ""), last(TEXT, "Hello World!")]).closed(1000),
        Case::new("7.1.5, a close within a message")
            .send([more(TEXT, "fragment1"), close(1000, ""), last(CONTINUATION, "fragment2")])
            .closed(1000),
        Case::new("7.1.5, what cannot be read behind a close")
            .send([close(1000, ""), more(0x73, [0xff; 20])])
            .closed(1000),
        Case::new("7.3.1, a close without a payload").send([last(CLOSE, "")]).closed(None),
        Case::new("7.3.2, a close with half a code").send([last(CLOSE, "a")]).closed(1002),
        Case::new("7.3.3, a close with a code").send([close(1000, "")]).closed(1000),
        Case::new("7.3.4, a close with a reason").send([close(1000, "Hello World!")]).closed(1000),
        Case::new("7.3.5, with the longest reason").send([close(1000, "*".repeat(123))]).closed(1000),
        Case::new("7.3.6, with a reason that is too long").send([close(1000, "*".repeat(124))]).closed(1002),
        Case::new("7.5.1, with a reason that is not UTF-8")
            .send([close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")])
            .closed(1007),
        Case::new("a close in chops of one byte").chop(1, [close(1000, "Hello World!")]).closed(1000),
        Case::new("a close in fragments").send([more(CLOSE, ""), last(CONTINUATION, "")]).closed(1002),
    ];
    for (number, code) in (1..).zip(ALLOWED) {
        let reason = format!("code {code}");
        cases.push(Case::new(format!("7.7.{number}, a close with {code}")).send([close(code, reason)]).closed(code));
    }
    for (number, code) in (1..).zip(FORBIDDEN) {
        cases.push(Case::new(format!("7.9.{number}, a close with {code}")).send([close(code, "")]).closed(1002));
    }
    cases
}
