//! 5 and 10: messages in fragments, and what is none.

use super::{BINARY, CONTINUATION, Case, PING, PONG, Sent, TEXT, last, more};

pub(super) fn cases() -> Vec<Case> {
    [control_frames(), messages(), continuations(), automatic()].concat()
}

/// The same frames with one write, with one for each, and byte by byte; numbered from this one.
fn three_ways(number: u32, what: &str, frames: &[Sent], then: impl Fn(Case) -> Case) -> [Case; 3] {
    let case = |more, how: &str| Case::new(format!("5.{}, {what}, {how}", number + more));
    [
        then(case(0, "at once").send(frames.to_vec())),
        then(case(1, "each by itself").send_each(frames.to_vec())),
        then(case(2, "in chops of 1").chop(1, frames.to_vec())),
    ]
}

fn control_frames() -> Vec<Case> {
    let parts = |opcode| [more(opcode, "fragment1"), last(CONTINUATION, "fragment2")];
    vec![
        Case::new("5.1, a ping in fragments").send(parts(PING)).closed(1002),
        Case::new("5.2, a pong in fragments").send(parts(PONG)).closed(1002),
    ]
}

fn messages() -> Vec<Case> {
    let (one, two) = (more(TEXT, "fragment1"), last(CONTINUATION, "fragment2"));
    let echoed = |case: Case| case.expect(TEXT, "fragment1fragment2");
    let mut cases = Vec::new();
    cases.extend(three_ways(3, "a text in two fragments", &[one.clone(), two.clone()], echoed));
    let with_ping = [one, last(PING, "ping"), two];
    cases.extend(three_ways(6, "with a ping in between", &with_ping, |case| echoed(case.expect(PONG, "ping"))));
    let (first, second) = (
        [more(TEXT, "fragment1"), more(CONTINUATION, "fragment2"), last(PING, "pongme 1!")],
        [
            more(CONTINUATION, "fragment3"),
            more(CONTINUATION, "fragment4"),
            last(PING, "pongme 2!"),
            last(CONTINUATION, "fragment5"),
        ],
    );
    let whole = "fragment1fragment2fragment3fragment4fragment5";
    cases.extend([
        Case::new("5.19, pings between fragments are answered at once")
            .send(first.clone())
            .expect(PONG, "pongme 1!")
            .send(second.clone())
            .expect(PONG, "pongme 2!")
            .expect(TEXT, whole),
        Case::new("5.20, the same with each frame by itself")
            .send_each(first)
            .expect(PONG, "pongme 1!")
            .send_each(second)
            .expect(PONG, "pongme 2!")
            .expect(TEXT, whole),
        Case::new("a binary message in three fragments, of which one is empty")
            .send([more(BINARY, [0, 0xff]), more(CONTINUATION, ""), last(CONTINUATION, [0xfe])])
            .expect(BINARY, [0, 0xff, 0xfe]),
    ]);
    cases
}

fn continuations() -> Vec<Case> {
    let failed = |case: Case| case.closed(1002);
    let text = last(TEXT, "Hello, world!");
    let mut cases = Vec::new();
    for (number, what, nothing) in [
        (9, "a last fragment of nothing", last(CONTINUATION, "non-continuation payload")),
        (12, "a fragment of nothing", more(CONTINUATION, "non-continuation payload")),
    ] {
        cases.extend(three_ways(number, what, &[nothing, text.clone()], failed));
    }
    let two = [more(TEXT, "fragment1"), last(CONTINUATION, "fragment2")];
    let behind = [more(CONTINUATION, "fragment3"), last(TEXT, "fragment4")];
    cases.extend([
        Case::new("5.15, a text in two fragments, then a fragment of nothing")
            .send([two.as_slice(), &behind].concat())
            .expect(TEXT, "fragment1fragment2")
            .closed(1002),
        failed(Case::new("5.16, a fragment of nothing before a text").send([&behind[..1], &two].concat())),
        failed(
            Case::new("5.17, a last fragment of nothing before a text")
                .send([&[last(CONTINUATION, "fragment1")], two.as_slice()].concat()),
        ),
        failed(Case::new("5.18, a text within a text").send([more(TEXT, "fragment1"), last(TEXT, "fragment2")])),
        failed(Case::new("a beginning within a text").send([more(TEXT, "fragment1"), more(BINARY, "fragment2")])),
    ]);
    cases
}

fn automatic() -> Vec<Case> {
    let payload = [b'*'; 65_536];
    vec![
        Case::new("10.1.1, a text of 65536 bytes in fragments of 1300")
            .send(fragmented(TEXT, &payload, 1300))
            .expect(TEXT, payload),
    ]
}

/// A message in fragments of this size.
pub(super) fn fragmented(opcode: u8, payload: &[u8], size: usize) -> Vec<Sent> {
    let mut frames = payload.chunks(size).map(|part| more(CONTINUATION, part)).collect::<Vec<_>>();
    if let Some(first) = frames.first_mut() {
        first.first |= opcode;
    }
    if let Some(last) = frames.last_mut() {
        last.first |= 0x80;
    }
    frames
}
