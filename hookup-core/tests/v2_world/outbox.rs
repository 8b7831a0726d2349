//! An outbox whose calls become durable in their order, and a crash of which leaves some first part of them.

use std::collections::{BTreeMap, VecDeque};

use hookup_core::{Outbound, link::v2::State};

/// When what an outbox confirms is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// When it is confirmed.
    Confirmed,
    /// A message only with the next state that is saved.
    LazyMessages,
    /// At some later time, if at all: a crash may bring an older copy back.
    Lazy,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) entries: BTreeMap<u64, Outbound>,
    pub(crate) state: Option<State>,
}

#[derive(Debug)]
pub(crate) enum Call {
    Append(u64, Outbound),
    Remove(u64),
    Save(State),
    /// One that failed, and left nothing.
    Failed,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What is durable.
    pub(crate) durable: Disk,
    /// The calls since, and the number of the first of them.
    calls: VecDeque<Call>,
    first: u64,
    /// What all calls have left.
    pub(crate) seen: Disk,
}

impl Disk {
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Append(place, outbound) => _ = self.entries.insert(*place, outbound.clone()),
            Call::Remove(place) => _ = self.entries.remove(place),
            Call::Save(state) => self.state = Some(state.clone()),
            Call::Failed => {}
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(&place, _)| place)
    }
}

impl Outbox {
    pub(crate) fn of(disk: Disk) -> Self {
        Self { durable: disk.clone(), seen: disk, ..Self::default() }
    }

    /// Makes a call; its number is for [`Outbox::confirm`].
    pub(crate) fn call(&mut self, call: Call) -> u64 {
        self.seen.apply(&call);
        self.calls.push_back(call);
        self.first + self.calls.len() as u64 - 1
    }

    /// This call, and all before it, are durable.
    pub(crate) fn confirm(&mut self, number: u64) {
        while self.first <= number
            && let Some(call) = self.calls.pop_front()
        {
            self.durable.apply(&call);
            self.first += 1;
        }
    }

    /// A call failed. Nothing of an append turns up later; a save may, and sometimes does.
    pub(crate) fn fail(&mut self, number: u64) {
        let call = number.checked_sub(self.first).and_then(|at| self.calls.get_mut(at as usize));
        let Some(call) = call.filter(|call| matches!(call, Call::Append(..)) || number.is_multiple_of(2)) else {
            return;
        };
        if let Call::Append(place, _) = std::mem::replace(call, Call::Failed) {
            self.seen.entries.remove(&place);
        }
    }

    /// What is left when the process ends now: some of the calls beyond those that are durable, from the first on.
    pub(crate) fn crashed(mut self, luck: usize) -> Disk {
        let kept = luck % (self.calls.len() + 1);
        for call in self.calls.iter().take(kept) {
            self.durable.apply(call);
        }
        self.durable
    }
}
