//! Masks (RFC 6455, section 5.3).

/// Takes the mask off a part of a payload that begins this many bytes behind the payload's beginning.
pub(super) fn unmask(part: &mut [u8], mask: [u8; 4], offset: usize) {
    let mask: [u8; 4] = std::array::from_fn(|i| mask[(offset + i) % 4]);
    // As wide as the compiler can make use of; then eight bytes at a time.
    let wide: [u8; 64] = std::array::from_fn(|i| mask[i % 4]);
    let (chunks, rest) = part.as_chunks_mut::<64>();
    for chunk in chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = rest.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(wide) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_payload_is_unmasked_as_the_whole_is() {
        let (mask, payload) = ([0x12, 0x34, 0x56, 0x78], (0..200).collect::<Vec<u8>>());
        let masked = payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask).collect::<Vec<_>>();
        for begin in 0..=payload.len() {
            for end in begin..=payload.len() {
                let mut part = masked[begin..end].to_vec();
                unmask(&mut part, mask, begin);
                assert_eq!(part, payload[begin..end], "{begin}..{end}");
            }
        }
    }
}
