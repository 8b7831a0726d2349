//! One end: a link, its outbox, its handler's inbox, and the least of a session that they need around them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hookup_core::{
    Entry, Outbound, RunId, SessionId, Usage,
    link::{
        News, Ticket,
        v2::{Limits, Link, State},
    },
    ws::Role,
};

use super::{
    ledger::{Fate, Ledger},
    outbox::{Call, Disk, Level, Outbox},
    payload::{key, number},
};

/// What waits for the handler.
#[derive(Debug)]
pub(crate) enum Work {
    Message { number: u64, ticket: Ticket, redelivered: bool },
    Gap(Ticket),
}

/// A call of the outbox that has not returned.
#[derive(Debug)]
enum Pending {
    Append {
        call: u64,
        place: u64,
    },
    /// With how many of `done` it has.
    Save {
        call: u64,
        done: usize,
    },
}

/// What an end tells the world of, beyond its own affairs.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) opened: bool,
    pub(crate) session_lost: bool,
    pub(crate) gap: bool,
}

#[derive(Debug)]
pub(crate) struct End {
    role: Role,
    pub(crate) limits: Limits,
    pub(crate) level: Level,
    /// Whether its outbox outlives its process.
    pub(crate) keeps: bool,
    pub(crate) link: Option<Link>,
    pub(crate) outbox: Outbox,
    pub(crate) backup: Option<Disk>,
    /// How many processes were before the present one.
    pub(crate) life: u32,
    last: u64,
    confirmed: u64,
    load_from: u64,
    pending: VecDeque<Pending>,
    pub(crate) inbox: VecDeque<Work>,
    /// What the handler is done with, in this life.
    pub(crate) done: Vec<u64>,
    /// Places whose message has had its outcome in this life, and those with a waiter.
    ended: BTreeSet<u64>,
    waiting: BTreeSet<u64>,
    /// What was sent over the present connection and is not acked, and its bytes.
    in_flight: BTreeMap<u64, u64>,
    /// What was given to the link and has not come back.
    loaded: BTreeSet<u64>,
    pub(crate) peer_window: Usage,
}

impl End {
    pub(crate) fn new(role: Role, limits: Limits, level: Level, keeps: bool) -> Self {
        Self {
            role,
            limits,
            level,
            keeps,
            link: None,
            outbox: Outbox::default(),
            backup: None,
            life: 0,
            last: 0,
            confirmed: 0,
            load_from: 0,
            pending: VecDeque::new(),
            inbox: VecDeque::new(),
            done: Vec::new(),
            ended: BTreeSet::new(),
            waiting: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            loaded: BTreeSet::new(),
            peer_window: limits.window,
        }
    }

    /// Opens the state with a new run.
    pub(crate) fn open(&mut self, session: SessionId, run: RunId) {
        let state = self.outbox.seen.state.clone();
        let mut state = state.unwrap_or_else(|| State::new(session, None));
        let is_known = state.is_whole();
        let last = self.outbox.seen.last();
        state.begin_run(run, last);
        let call = self.outbox.call(Call::Save(state.clone()));
        if self.level != Level::Lazy {
            self.outbox.confirm(call);
        }
        let link = Link::new(self.role, &state, is_known, self.limits);
        self.last = last.max(link.base());
        self.confirmed = last;
        self.load_from = 0;
        self.link = Some(link);
    }

    /// What is left after the process: of the outbox, which is given back, these calls; of the rest, nothing.
    pub(crate) fn crash(&mut self, luck: usize) -> Disk {
        let level = (self.role, self.limits, self.level, self.keeps);
        let next =
            Self { life: self.life + 1, backup: self.backup.take(), ..Self::new(level.0, level.1, level.2, level.3) };
        let before = std::mem::replace(self, next);
        if self.keeps { before.outbox.crashed(luck) } else { Disk::default() }
    }

    pub(crate) fn accept(&mut self, outbound: Outbound) {
        let base = self.link.as_ref().map_or(0, Link::base);
        self.last = self.last.max(base) + 1;
        let place = self.last;
        if outbound.ack_within().is_some() {
            self.waiting.insert(place);
        }
        let call = self.outbox.call(Call::Append(place, outbound));
        self.pending.push_back(Pending::Append { call, place });
    }

    /// Asks for a save, if one is due.
    pub(crate) fn save(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        if !self.keeps {
            let due = link.begin_save();
            link.saved(true);
            return due;
        }
        let Some(state) = link.poll_save() else { return false };
        assert!(state.runs.len() < 80 && state.cursors.len() < 80, "the state grows: {state:?}");
        let call = self.outbox.call(Call::Save(state));
        self.pending.push_back(Pending::Save { call, done: self.done.len() });
        true
    }

    /// The oldest call of the outbox returns.
    pub(crate) fn complete(&mut self, succeeds: bool, ledger: &mut Ledger, theirs: &mut Ledger) -> bool {
        let Some(pending) = self.pending.pop_front() else { return false };
        let call = match pending {
            Pending::Append { call, .. } | Pending::Save { call, .. } => call,
        };
        match self.level {
            _ if !succeeds => {}
            Level::Confirmed => self.outbox.confirm(call),
            Level::LazyMessages if matches!(pending, Pending::Save { .. }) => self.outbox.confirm(call),
            _ => {}
        }
        match pending {
            Pending::Save { done, .. } => {
                self.link.iter_mut().for_each(|link| link.saved(succeeds));
                if !succeeds {
                    self.outbox.fail(call);
                } else if self.level != Level::Lazy {
                    self.done[..done].iter().for_each(|&number| theirs.committed(number));
                }
            }
            // It was withdrawn before the outbox had it.
            Pending::Append { place, .. } if !self.outbox.seen.entries.contains_key(&place) => {}
            Pending::Append { place, .. } if succeeds => {
                ledger.set(number(self.outbox.seen.entries[&place].message()), Fate::Promised);
                self.confirmed = place;
                self.link.iter_mut().for_each(|link| link.committed(place));
            }
            Pending::Append { call, place } => {
                ledger.set(number(self.outbox.seen.entries[&place].message()), Fate::Refused);
                self.outbox.fail(call);
                self.end(place);
            }
        }
        true
    }

    /// The message at this place has its outcome.
    fn end(&mut self, place: u64) {
        assert!(self.ended.insert(place), "the message at {place} has a second outcome");
        self.waiting.remove(&place);
        self.in_flight.remove(&place);
        self.loaded.remove(&place);
    }

    pub(crate) fn leave(&mut self, place: u64) {
        self.end(place);
        self.outbox.call(Call::Remove(place));
    }

    /// A confirmed message that was not loaded is taken back, as one that expired in the outbox.
    pub(crate) fn withdraw(&mut self, luck: usize, ledger: &mut Ledger) {
        let waiting = self.outbox.seen.entries.range(self.load_from..=self.confirmed.max(self.load_from));
        let waiting = waiting.map(|(&place, outbound)| (place, number(outbound.message()))).collect::<Vec<_>>();
        if let Some(&(place, number)) =
            waiting.get(luck % waiting.len().max(1)).filter(|(place, _)| *place <= self.confirmed)
        {
            ledger.set(number, Fate::Excused);
            self.leave(place);
        }
    }

    pub(crate) fn load(&mut self, ledger: &mut Ledger, peer_life: u32, restored: bool) {
        let Some(link) = &mut self.link else { return };
        let room = link.room();
        let to = self.confirmed.max(self.load_from);
        let entries = self.outbox.seen.entries.range(self.load_from..=to).take(room);
        for (&seq, outbound) in entries.filter(|(seq, _)| **seq <= self.confirmed) {
            self.load_from = seq + 1;
            self.loaded.insert(seq);
            link.push(Entry { seq, outbound: outbound.clone() });
        }
        let bound = self.limits.window.messages;
        assert!(self.loaded.len() <= 2 * bound, "{} messages are in memory", self.loaded.len());
        self.hear(ledger, &mut Ledger::default(), peer_life, restored);
    }

    /// Everything that was loaded goes back, and is loaded again.
    pub(crate) fn unload(&mut self) {
        let Some(link) = &mut self.link else { return };
        for entry in link.unload() {
            assert!(self.loaded.remove(&entry.seq), "{} was not loaded", entry.seq);
        }
        assert!(self.loaded.is_empty(), "{:?} did not come back", self.loaded);
        self.in_flight.clear();
        self.load_from = 0;
    }

    pub(crate) fn disconnected(&mut self) {
        self.in_flight.clear();
        self.link.iter_mut().for_each(Link::disconnected);
    }

    /// A message was put on the wire.
    pub(crate) fn sent(&mut self, place: u64, now: u64, ledger: &mut Ledger) {
        assert!(!self.ended.contains(&place), "{place} has had its outcome, and is sent again");
        let outbound = &self.outbox.seen.entries[&place];
        assert!(outbound.expires_at().is_none_or(|at| at > now), "{place} has expired, and is sent");
        let message = outbound.message();
        ledger.transmitted(number(message));
        let bytes = message.len() as u64;
        assert!(self.in_flight.insert(place, bytes).is_none(), "{place} was sent twice over one connection");
        let amount = self.in_flight.values().sum::<u64>();
        let (ours, theirs) = (self.limits.window, self.peer_window);
        let fits = self.in_flight.len() <= ours.messages.min(theirs.messages) && amount <= ours.bytes.min(theirs.bytes);
        assert!(fits || self.in_flight.len() == 1, "the window is exceeded: {:?}", self.in_flight);
    }

    /// Takes the link's news. `ours` is of what this end sends, `theirs` of what it receives.
    pub(crate) fn hear(&mut self, ours: &mut Ledger, theirs: &mut Ledger, peer_life: u32, restored: bool) -> Told {
        let mut told = Told::default();
        while let Some(news) = self.link.as_mut().and_then(Link::poll_news) {
            match news {
                News::Opened { .. } => told.opened = true,
                News::SessionLost => told.session_lost = true,
                News::Gap { missed, ticket } => {
                    assert!(missed > 0);
                    told.gap = true;
                    self.inbox.push_back(Work::Gap(ticket));
                }
                News::Message { message, ticket: Ticket::Volatile } => {
                    assert_eq!(key(&message), None);
                    theirs.volatile_handled(number(&message));
                }
                News::Message { message, ticket } => {
                    let (number, (key, redelivered)) = (number(&message), key(&message).expect("it has an identity"));
                    theirs.arrived(number, key);
                    self.inbox.push_back(Work::Message { number, ticket, redelivered });
                }
                News::Delivered { entry } => {
                    ours.answered(number(entry.outbound.message()), false, (peer_life, self.life), restored);
                    self.leave(entry.seq);
                }
                News::Refused { entry, reason } => {
                    let number = number(entry.outbound.message());
                    assert_eq!(reason, format!("no {number}"));
                    ours.answered(number, true, (peer_life, self.life), restored);
                    self.leave(entry.seq);
                }
                News::Nothing => {}
                other => unreachable!("{other:?}"),
            }
        }
        told
    }

    /// Whether nothing is left to be done, as far as this end knows.
    pub(crate) fn rests(&self) -> bool {
        let is_idle = self.link.as_ref().is_some_and(|link| link.is_idle() && link.is_open());
        let is_empty = self.outbox.seen.entries.is_empty() && self.pending.is_empty() && self.inbox.is_empty();
        assert!(!(is_idle && is_empty) || self.waiting.is_empty(), "these wait for ever: {:?}", self.waiting);
        is_idle && is_empty
    }

    /// Whether what its outbox confirms can be lost.
    pub(crate) fn is_lazy(&self) -> bool {
        self.level != Level::Confirmed || !self.keeps
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.link.as_ref().is_none_or(|link| !link.is_saving())
    }
}
