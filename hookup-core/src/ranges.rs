//! A set of numbers that mostly follow each other.

use std::{collections::BTreeMap, ops::Range};

/// A set of numbers, kept as ranges: as large as it has holes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// From the first number of each range to the one behind its last. They do not touch.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many numbers of `within` are in the set.
    pub(crate) fn count(&self, within: Range<u64>) -> u64 {
        self.overlaps(within).map(|range| range.end - range.start).sum()
    }

    /// Takes out all numbers up to this one.
    pub(crate) fn remove_upto(&mut self, number: u64) {
        let behind = number.saturating_add(1);
        let rest = self.around(behind).map_or(behind, |range| range.end);
        let ends = self.ends.split_off(&behind);
        self.ends = ends;
        if behind < rest {
            self.ends.insert(behind, rest);
        }
    }

    /// The ranges, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ends.iter().map(|(&start, &end)| start..end)
    }

    /// The range that a number is in.
    fn around(&self, number: u64) -> Option<Range<u64>> {
        let (&start, &end) = self.ends.range(..=number).next_back()?;
        (number < end).then_some(start..end)
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.around(number).is_some()
    }

    /// What of `within` is in the set, in order.
    pub(crate) fn overlaps(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        // In a range without numbers there are none, be it in the middle of one of the set.
        let around = self.around(within.start).filter(|_| !within.is_empty());
        let first = around.map_or(within.start, |range| range.start);
        self.ends
            .range(first..within.end.max(first))
            .map(move |(&start, &end)| start.max(within.start)..end.min(within.end))
    }

    /// Adds numbers.
    pub(crate) fn insert(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((&start, &end)) = self.ends.range(..=range.start).next_back()
            && end >= range.start
        {
            range = start..end.max(range.end);
        }
        while let Some((&start, &end)) = self.ends.range(range.start..=range.end).next() {
            self.ends.remove(&start);
            range.end = range.end.max(end);
        }
        self.ends.insert(range.start, range.end);
    }

    /// Takes numbers out, if all of them are there; whether they were.
    pub(crate) fn remove(&mut self, numbers: Range<u64>) -> bool {
        if numbers.is_empty() {
            return true;
        }
        let Some(Range { start, end }) = self.around(numbers.start).filter(|range| numbers.end <= range.end) else {
            return false;
        };
        match start < numbers.start {
            true => self.ends.insert(start, numbers.start),
            false => self.ends.remove(&start),
        };
        if numbers.end < end {
            self.ends.insert(numbers.end, end);
        }
        true
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut all = Self::default();
        ranges.into_iter().for_each(|range| all.insert(range));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(ops in prop::collection::vec((any::<bool>(), 0..40_u64, 0..8_u64), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (inserts, start, len) in ops {
                if inserts {
                    ranges.insert(start..start + len);
                    set.extend(start..start + len);
                } else {
                    let is_there = (start..start + len).all(|number| set.contains(&number));
                    prop_assert_eq!(ranges.remove(start..start + len), is_there);
                    if is_there {
                        set.retain(|number| !(start..start + len).contains(number));
                    }
                }
                prop_assert!(ranges.iter().flatten().eq(set.iter().copied()));
                prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.end < next.start));
                prop_assert!(ranges.overlaps(start..start + len).flatten().eq(set.range(start..start + len).copied()));
                prop_assert!(ranges.overlaps(start..start + len).all(|range| !range.is_empty()));
                prop_assert!(ranges.overlaps(start + len..start).next().is_none());
                prop_assert_eq!(ranges.contains(start), set.contains(&start));
                prop_assert_eq!(ranges.count(start..start + len), set.range(start..start + len).count() as u64);
                let (mut rest, mut numbers) = (ranges.clone(), set.clone());
                rest.remove_upto(start);
                numbers.retain(|&number| number > start);
                prop_assert!(rest.iter().flatten().eq(numbers));
            }
        }
    }
}
