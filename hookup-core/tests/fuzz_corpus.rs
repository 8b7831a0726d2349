//! Replays the fuzzers' corpus, as it is and with bytes changed, added and taken away.

#[allow(unreachable_pub, reason = "they are public to the fuzzers")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::Path};

/// A generator of numbers that is the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }
}

fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut seeds = 0;
    for file in fs::read_dir(directory).expect("there is a corpus") {
        let seed = fs::read(file.expect("can be read").path()).expect("can be read");
        seeds += 1;
        run(&seed);
        let mut numbers = Numbers(seeds);
        for _ in 0..200 {
            let mut bytes = seed.clone();
            for _ in 0..=numbers.below(4) {
                let (at, byte) = (numbers.below(bytes.len()), numbers.below(256) as u8);
                match numbers.below(4) {
                    0 => bytes.insert(at, byte),
                    1 if !bytes.is_empty() => drop(bytes.remove(at)),
                    2 => bytes.truncate(at),
                    _ if !bytes.is_empty() => bytes[at] = byte,
                    _ => bytes.push(byte),
                }
            }
            run(&bytes);
        }
    }
    assert!(seeds > 0, "the corpus has a seed");
}

#[test]
fn the_frames_of_v2() {
    replay("v2_frame", targets::v2_frame);
}

#[test]
fn sequences_of_operations_on_a_link() {
    replay("v2_link", targets::v2_link);
}

#[test]
fn the_frames_of_the_formats() {
    replay("formats", targets::formats);
}

#[test]
fn the_bytes_of_a_websocket() {
    replay("websocket", targets::websocket);
}
