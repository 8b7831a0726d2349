//! 6: text, and what is none.

use super::{CONTINUATION, Case, Sent, TEXT, fragments::fragmented, last, more};

pub(super) fn cases() -> Vec<Case> {
    [empty(), valid(), early(), sequences()].concat()
}

fn empty() -> Vec<Case> {
    let three = |middle: &str| [more(TEXT, ""), more(CONTINUATION, middle), last(CONTINUATION, "")];
    vec![
        Case::new("6.1.1, a text of no bytes").send([last(TEXT, "")]).expect(TEXT, ""),
        Case::new("6.1.2, three fragments of no bytes").send(three("")).expect(TEXT, ""),
        Case::new("6.1.3, three fragments of which the middle one has bytes")
            .send(three("middle frame payload"))
            .expect(TEXT, "middle frame payload"),
    ]
}

fn valid() -> Vec<Case> {
    let text = "Hello-µ@ßöäüàá-UTF-8!!";
    let (one, two) = text.split_at("Hello-µ@ßöä".len());
    vec![
        Case::new("6.2.1, a text that is not ASCII").send([last(TEXT, text)]).expect(TEXT, text),
        Case::new("6.2.2, in two fragments, cut between characters")
            .send([more(TEXT, one), last(CONTINUATION, two)])
            .expect(TEXT, text),
        Case::new("6.2.3, in fragments of one byte").send(fragmented(TEXT, text.as_bytes(), 1)).expect(TEXT, text),
        Case::new("6.2.4, κόσμε in fragments of one byte")
            .send(fragmented(TEXT, "κόσμε".as_bytes(), 1))
            .expect(TEXT, "κόσμε"),
        Case::new("a text that is not ASCII in chops of one byte").chop(1, [last(TEXT, text)]).expect(TEXT, text),
    ]
}

/// What is bad is refused before the rest of it comes.
fn early() -> Vec<Case> {
    let good = "κόσμε".as_bytes();
    let surrogate = [good, b"\xed\xa0\x80edited"].concat();
    let (beyond, tail) = (b"\xf4\x90\x80\x80", b"edited");
    // The header of a frame that is to have all of it, and what is there of its payload.
    let begun = |part: &[u8]| {
        let whole = good.len() + beyond.len() + tail.len();
        Sent { claims: Some(whole as u64), ..last(TEXT, part) }
    };
    let cut = [good, &beyond[..1]].concat();
    vec![
        Case::new("6.3.1, a surrogate in a text").send([last(TEXT, &surrogate)]).closed(1007),
        Case::new("6.3.2, in fragments of one byte").send(fragmented(TEXT, &surrogate, 1)).closed(1007),
        Case::new("6.4.1, a fragment that is bad, before the last one comes")
            .send([more(TEXT, good)])
            .silence()
            .send([more(CONTINUATION, beyond)])
            .closed(1007),
        Case::new("6.4.2, a character cut between fragments that goes on badly")
            .send([more(TEXT, &cut)])
            .silence()
            .send([more(CONTINUATION, &beyond[1..2])])
            .closed(1007),
        Case::new("6.4.3, a part of a frame that is bad, before the rest of it comes")
            .send([begun(good)])
            .rest(beyond)
            .closed(1007),
        Case::new("6.4.4, a character cut within a frame that goes on badly")
            .send([begun(&cut)])
            .rest(&beyond[1..2])
            .closed(1007),
    ]
}

fn sequences() -> Vec<Case> {
    let mut cases = Vec::new();
    for (category, (what, sequences)) in (5..).zip(table()) {
        for (number, (is_valid, bytes)) in (1..).zip(sequences) {
            let case = |how: &str| Case::new(format!("6.{category}.{number}, {what}, {how}: {bytes:x?}"));
            for case in [
                case("in one frame").send([last(TEXT, &bytes)]),
                case("in fragments of one byte").send(fragmented(TEXT, &bytes, 1)),
                case("in chops of one byte").chop(1, [last(TEXT, &bytes)]),
            ] {
                cases.push(if is_valid { case.expect(TEXT, &bytes) } else { case.closed(1007) });
            }
        }
    }
    cases
}

type Sequences = Vec<(bool, Vec<u8>)>;

/// The sequences of Markus Kuhn's UTF-8 decoder test, in the public suite's order.
fn table() -> Vec<(&'static str, Sequences)> {
    fn all<const N: usize>(is_valid: bool, sequences: [&[u8]; N]) -> Sequences {
        sequences.into_iter().map(|bytes| (is_valid, bytes.to_vec())).collect()
    }
    let kosme = "κόσμε".as_bytes();
    let prefixes = (1..=kosme.len()).map(|end| (std::str::from_utf8(&kosme[..end]).is_ok(), kosme[..end].to_vec()));
    let lonely = |range: std::ops::Range<u8>| (false, range.flat_map(|byte| [byte, b' ']).collect());
    let cut: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let highs = [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"];
    let lows = [b"\xed\xb0\x80", b"\xed\xbf\xbf"];
    let pairs = highs.into_iter().flat_map(|high| lows.map(|low| (false, [high.as_slice(), low].concat())));
    let no_characters = (0..=0x10u32).flat_map(|plane| [0xfffe, 0xffff].map(|low| plane << 16 | low));
    let no_characters = no_characters.filter_map(char::from_u32).map(|c| (true, c.to_string().into_bytes()));
    vec![
        (
            "valid",
            all(
                true,
                [
                    b"hello$world",
                    b"hello\xc2\xa2world",
                    b"hello\xe2\x82\xacworld",
                    b"hello\xf0\xa4\xad\xa2world",
                    kosme,
                ],
            ),
        ),
        ("prefixes of a text", prefixes.collect()),
        ("the first of each length", all(true, [b"\0", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"])),
        ("the first of five and six bytes", all(false, [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        ("the last of each length", all(true, [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"])),
        (
            "the last of four to six bytes",
            all(false, [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        ),
        (
            "other boundaries",
            [
                all(true, [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"]),
                all(false, [b"\xf4\x90\x80\x80"]),
            ]
            .concat(),
        ),
        (
            "bytes that continue nothing",
            [
                all(
                    false,
                    [b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf", b"\x80\xbf\x80\xbf\x80"],
                ),
                vec![(false, (0x80..0xc0).collect())],
            ]
            .concat(),
        ),
        (
            "bytes that begin nothing",
            [0xc0..0xe0, 0xe0..0xf0, 0xf0..0xf8, 0xf8..0xfc, 0xfc..0xfe].into_iter().map(lonely).collect(),
        ),
        ("the last byte missing", all(false, cut)),
        ("the same, one behind the other", vec![(false, cut.concat())]),
        ("bytes that cannot be", all(false, [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
        ("an overlong slash", overlong(&[0xc0, 0xaf])),
        (
            "the longest overlong",
            all(
                false,
                [
                    b"\xc1\xbf",
                    b"\xe0\x9f\xbf",
                    b"\xf0\x8f\xbf\xbf",
                    b"\xf8\x87\xbf\xbf\xbf",
                    b"\xfc\x83\xbf\xbf\xbf\xbf",
                ],
            ),
        ),
        ("an overlong NUL", overlong(&[0xc0, 0x80])),
        (
            "surrogates",
            all(
                false,
                [
                    b"\xed\xa0\x80",
                    b"\xed\xad\xbf",
                    b"\xed\xae\x80",
                    b"\xed\xaf\xbf",
                    b"\xed\xb0\x80",
                    b"\xed\xbe\x80",
                    b"\xed\xbf\xbf",
                ],
            ),
        ),
        ("surrogates in pairs", pairs.collect()),
        ("no characters, but valid", no_characters.collect()),
        ("special ones", ('\u{fff9}'..='\u{ffff}').map(|c| (true, c.to_string().into_bytes())).collect()),
    ]
}

/// A character of two bytes that should be one, written in two to six.
fn overlong(two: &[u8; 2]) -> Sequences {
    let longer = [&[0xe0u8][..], &[0xf0, 0x80], &[0xf8, 0x80, 0x80], &[0xfc, 0x80, 0x80, 0x80]];
    let longer = longer.into_iter().map(|begin| [begin, &[0x80, two[1]]].concat());
    std::iter::once(two.to_vec()).chain(longer).map(|bytes| (false, bytes)).collect()
}
