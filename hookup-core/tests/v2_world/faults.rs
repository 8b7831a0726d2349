//! Crashes, old copies, lost sessions, and messages that leave the outbox in other ways than handled.

use hookup_core::link::Transmit;

use super::{
    CLIENT, Loss, SERVER, World,
    ledger::Fate,
    outbox::{Disk, Level, Outbox},
    payload::number,
};

impl World {
    pub(super) fn crash(&mut self, at: usize, luck: usize, restores: bool) {
        self.events.insert(["client crashed", "server crashed"][at]);
        let restores = restores && self.ends[at].backup.is_some();
        let lazy = self.ends[at].level != Level::Confirmed;
        self.drop_at(at);
        if at == SERVER {
            // Its sockets end with it.
            self.cut();
        }
        let before = self.ends[at].outbox.seen.state.clone();
        let mut disk = self.ends[at].crash(luck);
        let keeps = self.ends[at].keeps;
        if restores && keeps {
            self.restored = true;
            self.events.insert("restored");
            disk = self.ends[at].backup.clone().unwrap_or_default();
        }
        // Saves that were confirmed are gone with an outbox that confirms them early.
        self.restored |= self.ends[at].level == Level::Lazy && keeps && before != disk.state;
        self.lost_or_kept(at, disk, lazy || restores || !keeps);
        let is_whole = self.ends[at].outbox.seen.state.as_ref().is_some_and(|state| !state.runs.is_empty());
        if at == SERVER && !is_whole {
            self.owe();
        }
        if at == CLIENT {
            let has_cursors =
                self.ends[CLIENT].outbox.seen.state.as_ref().is_some_and(|state| !state.cursors.is_empty());
            self.client_was_welcomed = has_cursors;
            if !has_cursors {
                self.loss = Loss::None;
            }
            self.open(CLIENT);
        }
    }

    pub(super) fn lost_or_kept(&mut self, at: usize, disk: Disk, loses_confirmed: bool) {
        let kept = disk.entries.values().map(|outbound| number(outbound.message())).collect();
        self.ledgers[at].sender_crashed(&kept, loses_confirmed);
        self.ends[at].outbox = Outbox::of(disk);
    }

    pub(super) fn owe(&mut self) {
        if self.client_was_welcomed {
            self.loss = Loss::Owed;
        }
    }

    pub(super) fn lose(&mut self) {
        if self.ends[SERVER].link.is_none() {
            return;
        }
        self.cut();
        self.ends[SERVER].crash(0);
        self.lost_or_kept(SERVER, Disk::default(), true);
        self.ledgers[CLIENT].receiver_lost_all();
        self.owe();
    }

    pub(super) fn end_session(&mut self) {
        let end = &mut self.ends[SERVER];
        let state = end.outbox.seen.state.clone().filter(|_| end.is_quiet() && end.link.is_some());
        let Some(state) = state.filter(|_| self.present[SERVER].is_none()) else { return };
        self.events.insert("ended");
        self.ends[SERVER].crash(0);
        self.lost_or_kept(SERVER, Disk { state: Some(state.ended()), ..Disk::default() }, true);
        self.owe();
    }

    pub(super) fn give_up(&mut self, at: usize) {
        let given_up = self.ends[at].link.as_mut().and_then(|link| link.give_up());
        if let Some((entry, _)) = given_up {
            self.fail(at, entry.seq, number(entry.outbound.message()));
        }
    }

    /// The peer closes the connection, because of one of the messages that it was sent.
    pub(super) fn too_big(&mut self, at: usize) {
        if self.present[at].is_none() {
            return;
        }
        let failed = self.ends[at].link.as_mut().and_then(|link| link.too_big());
        if let Some(Transmit::Failed { entry, .. }) = failed {
            self.fail(at, entry.seq, number(entry.outbound.message()));
        }
        self.cut();
    }

    pub(super) fn unload(&mut self, at: usize) {
        self.drop_at(at);
        self.ends[at].unload();
    }

    pub(super) fn fail(&mut self, at: usize, place: u64, number: u64) {
        self.events.insert("failed");
        self.ledgers[at].set(number, Fate::Excused);
        self.ends[at].leave(place);
    }
}
