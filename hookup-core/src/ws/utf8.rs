//! UTF-8 that comes in parts, checked as it comes.

/// What is no UTF-8, however it may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

/// A text of which one part after the other comes, cut anywhere.
///
/// It is made of parts that were checked, so the whole need not be checked again.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    text: String,
    /// The character that is not whole yet, and how many bytes of it are here.
    cut: [u8; 4],
    cut_len: usize,
}

impl Utf8 {
    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.cut_len
    }

    /// Adds the next part.
    ///
    /// # Errors
    /// At the first byte that no text could have there.
    pub(super) fn push(&mut self, mut part: &[u8]) -> Result<(), NotUtf8> {
        // At most three bytes end the character that was cut; the rest is checked in one go.
        while self.cut_len > 0
            && let Some((&next, rest)) = part.split_first()
        {
            self.cut[self.cut_len] = next;
            self.cut_len += 1;
            part = rest;
            match std::str::from_utf8(&self.cut[..self.cut_len]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.cut_len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => {}
            }
        }
        let (whole, cut) = part.split_at(last_cut(part));
        self.text.push_str(std::str::from_utf8(whole).map_err(|_| NotUtf8)?);
        if std::str::from_utf8(cut).is_err_and(|error| error.error_len().is_some()) {
            return Err(NotUtf8);
        }
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len += cut.len();
        Ok(())
    }

    /// The text, if it may end here.
    ///
    /// # Errors
    /// When its last character is not whole.
    pub(super) fn finish(self) -> Result<String, NotUtf8> {
        if self.cut_len == 0 { Ok(self.text) } else { Err(NotUtf8) }
    }
}

/// Where the character begins that is cut at the end of this part; the part's end, if none is.
fn last_cut(part: &[u8]) -> usize {
    let is_first = |&byte: &u8| byte & 0xc0 != 0x80;
    let tail = &part[part.len().saturating_sub(3)..];
    let Some(at) = tail.iter().rposition(is_first) else { return part.len() };
    let here = tail.len() - at;
    let needed = match tail[at] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
        _ => 1,
    };
    if here < needed { part.len() - here } else { part.len() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// After how many bytes the text is known to be bad; `None` when it is good, and its length when it ends too early.
    fn known_after(bytes: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        let found = bytes.iter().position(|&byte| utf8.push(&[byte]).is_err()).map(|at| at + 1);
        found.or_else(|| utf8.finish().is_err().then_some(bytes.len()))
    }

    #[test]
    fn it_is_known_at_the_first_byte_that_cannot_be() {
        for (bytes, known) in [
            (&b"\xce\xba\xe1\xbd\xb9"[..], None),
            (b"\xf4\x8f\xbf\xbf", None),
            (b"\xf4\x90", Some(2)),
            (b"\xf5", Some(1)),
            (b"\xed\xa0", Some(2)),
            (b"\xc0", Some(1)),
            (b"\xe0\x80", Some(2)),
            (b"\xf0\x8f", Some(2)),
            (b"ok\x80", Some(3)),
            (b"\xf0\x9f\x92", Some(3)),
        ] {
            assert_eq!(known_after(bytes), known, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_judged_as_the_whole_is(
            parts in proptest::collection::vec(prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..4),
                any::<char>().prop_map(|c| c.to_string().into_bytes()),
                any::<char>().prop_map(|c| c.to_string().into_bytes()[..1].to_vec()),
                any::<char>().prop_map(|c| c.to_string().into_bytes()[1..].to_vec()),
            ], 0..8),
        ) {
            let mut utf8 = Utf8::default();
            let judged = parts.iter().try_for_each(|part| utf8.push(part)).and_then(|()| utf8.finish());
            prop_assert_eq!(judged.ok(), String::from_utf8(parts.concat()).ok());
        }
    }
}
