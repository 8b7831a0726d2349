//! An outbox that lives and dies with its process.

use std::collections::BTreeMap;

use super::{Changes, Entry, Outbox, OutboxError, Stored, Usage};
use crate::{link::v2::State, outbound::Outbound};

/// The default outbox: it survives disconnects, not the end of the process.
#[derive(Debug, Default)]
pub struct MemoryOutbox {
    entries: BTreeMap<u64, Outbound>,
    state: Option<State>,
}

impl Outbox for MemoryOutbox {
    fn stored(&self) -> Stored {
        let mut usage = Usage::default();
        for outbound in self.entries.values() {
            usage.add(outbound.message().len() as u64);
        }
        let last_seq = self.entries.last_key_value().map_or(0, |(&seq, _)| seq);
        Stored { last_seq, usage, state: self.state.clone(), quarantined: None }
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        self.entries.extend(changes.appends.iter().map(|entry| (entry.seq, entry.outbound.clone())));
        for removal in &changes.removes {
            self.entries.remove(&removal.seq);
        }
        if let Some(state) = &changes.state {
            self.state = Some(state.clone());
        }
        Ok(())
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        let mut loaded = Vec::new();
        let mut held = 0;
        for (&seq, outbound) in self.entries.range(from..).take(messages) {
            let entry = Entry { seq, outbound: outbound.clone() };
            held += entry.bytes();
            if held > bytes && !loaded.is_empty() {
                break;
            }
            loaded.push(entry);
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_outbox_keeps_the_contract() {
        crate::testkit::outbox(&mut MemoryOutbox::default());
    }
}
