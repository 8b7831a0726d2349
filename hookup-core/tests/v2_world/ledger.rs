//! What became of the messages that one end sent: the promise is checked against it.

use std::collections::{BTreeMap, BTreeSet};

use hookup_core::MessageKey;

/// What the sender knows of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its outbox has not confirmed it.
    Accepted,
    /// It is to be handled.
    Promised,
    /// It was never kept: it must not turn up.
    Refused,
    /// It need not be handled: it expired, was given up, or lost with what kept it.
    Excused,
}

/// A message that was handled, or refused, by the receiver.
#[derive(Debug, Clone, Copy)]
struct Handled {
    /// The receiver's process, and the sender's at that time.
    lives: (u32, u32),
    refused: bool,
    /// Whether that is durable.
    committed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By the message's number, from 1.
    fates: BTreeMap<u64, Fate>,
    handled: BTreeMap<u64, Handled>,
    highest: u64,
    /// How often each was put on the wire.
    transmitted: BTreeMap<u64, u32>,
    identities: BTreeMap<MessageKey, u64>,
    volatile: BTreeSet<u64>,
    volatile_sent: u64,
}

impl Ledger {
    pub(crate) fn accept(&mut self) -> u64 {
        let number = self.fates.len() as u64 + 1;
        self.fates.insert(number, Fate::Accepted);
        number
    }

    pub(crate) fn set(&mut self, number: u64, fate: Fate) {
        self.fates.insert(number, fate);
    }

    /// The sender's process ended; these are what its outbox still has.
    pub(crate) fn sender_crashed(&mut self, kept: &BTreeSet<u64>, loses_confirmed: bool) {
        for (number, fate) in &mut self.fates {
            match fate {
                Fate::Accepted if kept.contains(number) => *fate = Fate::Promised,
                Fate::Accepted => *fate = Fate::Excused,
                Fate::Promised if loses_confirmed && !kept.contains(number) => *fate = Fate::Excused,
                _ => {}
            }
        }
    }

    pub(crate) fn next_volatile(&mut self) -> u64 {
        self.volatile_sent += 1;
        self.volatile_sent
    }

    pub(crate) fn volatile_handled(&mut self, number: u64) {
        assert!(self.volatile.insert(number), "volatile message {number} came twice");
    }

    pub(crate) fn transmitted(&mut self, number: u64) {
        *self.transmitted.entry(number).or_default() += 1;
    }

    pub(crate) fn arrived(&mut self, number: u64, key: MessageKey) {
        let first = *self.identities.entry(key).or_insert(number);
        assert_eq!(first, number, "the identity {key} was used twice");
    }

    /// The receiver's handler had its effect. `restored`: an old copy was brought back at either end.
    pub(crate) fn handle(&mut self, number: u64, lives: (u32, u32), redelivered: bool, refused: bool, restored: bool) {
        assert_ne!(self.fates[&number], Fate::Refused, "{number} was never accepted");
        let may_be_repeat = lives.0 + lives.1 > 0 || self.transmitted[&number] > 1;
        assert!(!redelivered || may_be_repeat || restored, "{number} is flagged, and was sent for the first time");
        match self.handled.get(&number) {
            None => {
                // One that was given up can turn up again, when a lazy outbox forgot that it was.
                let is_stray = self.fates[&number] == Fate::Excused;
                assert!(
                    number > self.highest || is_stray || restored,
                    "{number} is out of order, after {}",
                    self.highest
                );
                self.highest = self.highest.max(number);
            }
            Some(before) => {
                assert!(!before.committed || restored, "{number} is a repeat, and its first time was durable");
                assert!(before.lives.0 < lives.0 || restored, "{number} was handled twice by one process");
                assert!(redelivered || restored, "{number} is a repeat, and not flagged");
            }
        }
        self.handled.insert(number, Handled { lives, refused, committed: false });
    }

    /// That it was handled is durable at the receiver.
    pub(crate) fn committed(&mut self, number: u64) {
        self.handled.entry(number).and_modify(|handled| handled.committed = true);
    }

    /// The receiver lost what was durable.
    pub(crate) fn receiver_lost_all(&mut self) {
        self.handled.values_mut().for_each(|handled| handled.committed = false);
    }

    /// The sender was told that the message was handled, or refused.
    pub(crate) fn answered(&mut self, number: u64, refused: bool, lives: (u32, u32), restored: bool) {
        let handled = self.handled.get(&number);
        // One that expired can turn up again after a crash; it has no waiter any more.
        let was_skipped = self.fates[&number] == Fate::Excused;
        assert!(handled.is_some() || was_skipped || restored, "{number} is acked, and was not handled");
        if let Some(handled) = handled.filter(|_| !restored) {
            let may_be_forgotten = handled.lives != lives;
            assert!(
                handled.refused == refused || may_be_forgotten,
                "{number}: {handled:?}, told as refused: {refused}"
            );
        }
    }

    /// Everything has come to rest.
    pub(crate) fn check(&self) {
        for (number, fate) in &self.fates {
            let handled = self.handled.contains_key(number);
            assert!(handled || *fate != Fate::Promised, "{number} is lost");
            assert_ne!(*fate, Fate::Accepted, "{number} was never decided");
        }
    }
}
