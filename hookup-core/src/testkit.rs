//! Checks for what users can bring along.

use std::time::Duration;

use crate::{Binary, Entry, Json, Outbound, Outbox, Text, Usage};

/// Checks that an outbox, given empty, keeps the contract of [`Outbox`]; it is empty again afterwards.
///
/// # Panics
/// With a sentence that says what it did wrong.
pub fn outbox(outbox: &mut dyn Outbox) {
    assert_eq!(outbox.stored().usage, Usage::default(), "it was to be given empty");
    let first = outbox.stored().last_seq + 1;
    let entries =
        messages().into_iter().zip(first..).map(|(outbound, seq)| Entry { seq, outbound }).collect::<Vec<_>>();
    let [all @ .., last] = &entries[..] else { unreachable!("there are messages") };

    let load = |outbox: &mut dyn Outbox, from, messages, bytes| outbox.load(from, messages, bytes).expect("load works");
    let everything = |outbox: &mut dyn Outbox| load(outbox, 0, usize::MAX, u64::MAX);

    assert_eq!(everything(outbox), [], "it was to be given empty");
    outbox.append(all).expect("append works");
    outbox.append(std::slice::from_ref(last)).expect("append works");
    assert_eq!(everything(outbox), entries, "what was appended comes back, in order and unchanged");

    let usage = outbox.stored().usage;
    assert_eq!(usage.messages, entries.len(), "it counts its messages");
    assert_eq!(usage.bytes, entries.iter().map(Entry::bytes).sum::<u64>(), "it counts their bytes");
    assert_eq!(outbox.stored().last_seq, last.seq, "it knows the last seq");

    assert_eq!(load(outbox, entries[2].seq, 2, u64::MAX), entries[2..4], "it loads from a seq, up to a number");
    assert_eq!(load(outbox, first, usize::MAX, 0), entries[..1], "it loads at least one");
    let two = entries[0].bytes() + entries[1].bytes();
    assert_eq!(load(outbox, first, usize::MAX, two), entries[..2], "it loads up to a number of bytes");
    assert_eq!(load(outbox, last.seq + 1, usize::MAX, u64::MAX), [], "nothing lies behind the last");

    outbox.remove(&[entries[1].seq, entries[3].seq, last.seq + 100]).expect("remove works");
    outbox.remove(&[entries[1].seq]).expect("remove works");
    let rest = entries.iter().enumerate().filter(|(i, _)| ![1, 3].contains(i)).map(|(_, e)| e.clone());
    assert_eq!(everything(outbox), rest.collect::<Vec<_>>(), "what was removed is gone, and nothing else");

    outbox.remove(&entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()).expect("remove works");
    assert_eq!(everything(outbox), [], "all was removed");
    assert_eq!(outbox.stored().usage, Usage::default(), "nothing is left to count");
}

/// Messages of every kind, empty and large, with and without a wish for an ack.
fn messages() -> Vec<Outbound> {
    let json = Json(&["a", "b"]).expect("this is JSON");
    vec![
        Text("first").into(),
        Text("ä\0\n").needs_ack(Duration::from_millis(5)),
        json.needs_ack(Duration::from_secs(u64::from(u32::MAX))),
        Binary(vec![0xff, 0, 0xfe]).into(),
        Text("").into(),
        Binary(Vec::new()).needs_ack(Duration::ZERO),
        Text("x".repeat(100_000)).into(),
        Text("last").into(),
    ]
}
