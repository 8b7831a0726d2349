//! Two links, their outboxes and handlers, and a network between them that fails in every way that it can.

mod end;
mod faults;
mod ledger;
mod network;
mod outbox;
mod payload;
mod steps;

use std::{collections::BTreeSet, time::Duration};

use hookup_core::{
    Outbound, RunId, SessionId, Usage,
    link::v2::Limits,
    ws::{Frame, Role},
};

use self::{
    end::{End, Work},
    ledger::Ledger,
    network::Connection,
    outbox::Level,
    payload::message,
    steps::{STEPS, Step},
};

const CLIENT: usize = 0;
const SERVER: usize = 1;
const SESSION: SessionId = SessionId(7);

/// What kind of a world it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Of each end.
    pub(crate) windows: [Usage; 2],
    pub(crate) client: u32,
    pub(crate) server: u32,
    /// Whether outboxes are brought back from old copies.
    pub(crate) restores: bool,
    /// Whether the server's store, or its sessions, are lost.
    pub(crate) loses: bool,
    /// Whether handlers refuse.
    pub(crate) refuses: bool,
    /// Whether messages leave the outbox in other ways than handled.
    pub(crate) withdraws: bool,
}

/// What happened, and at which end.
#[derive(Debug)]
#[allow(dead_code, reason = "it is printed")]
enum Trace {
    Step(Step, usize, usize),
    Sends(usize, Frame),
    Gets(usize, Frame),
    Handles { at: usize, number: u64, redelivered: bool },
}

/// Whether the client is to be told that the server lost its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    Owed,
    /// Told, and not persisted yet; it may be told again.
    Told,
}

#[derive(Debug)]
pub(crate) struct World {
    kind: Kind,
    ends: [End; 2],
    /// Of what each end sent.
    ledgers: [Ledger; 2],
    connections: Vec<Connection>,
    /// The connection that each end takes to be the present one.
    present: [Option<u64>; 2],
    /// The last connection that brought a hello.
    greeted: u64,
    count: u64,
    now: u64,
    restored: bool,
    client_was_welcomed: bool,
    loss: Loss,
    pub(crate) events: BTreeSet<&'static str>,
    /// What happened, for whoever has to find out why it failed.
    trace: Vec<Trace>,
}

/// Of what this end sends, and of what it receives.
fn both(ledgers: &mut [Ledger; 2], at: usize) -> (&mut Ledger, &mut Ledger) {
    let [client, server] = ledgers;
    if at == CLIENT { (client, server) } else { (server, client) }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:?}", self.kind);
            self.trace.iter().for_each(|happened| println!("{happened:?}"));
        }
    }
}

fn limits(window: Usage) -> Limits {
    let second = Duration::from_secs(1);
    Limits { window, max_frame_bytes: 1000, ping: second, retain: second }
}

impl World {
    pub(crate) fn new(kind: Kind) -> Self {
        let level = |n| match n % 4 {
            0 | 1 => Level::Confirmed,
            2 => Level::LazyMessages,
            _ => Level::Lazy,
        };
        let ends = [
            End::new(Role::Client, limits(kind.windows[CLIENT]), level(kind.client), true),
            End::new(Role::Server, limits(kind.windows[SERVER]), level(kind.server), kind.server % 5 > 1),
        ];
        let mut world = Self {
            kind,
            ends,
            ledgers: Default::default(),
            connections: Vec::new(),
            present: [None, None],
            greeted: 0,
            count: 0,
            now: 1,
            restored: false,
            client_was_welcomed: false,
            loss: Loss::None,
            events: BTreeSet::new(),
            trace: Vec::new(),
        };
        world.open(CLIENT);
        world
    }

    fn count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn open(&mut self, at: usize) {
        let run = RunId(self.count());
        self.ends[at].open(SESSION, run);
    }

    /// Takes the step that a number stands for.
    pub(crate) fn take(&mut self, code: u32) {
        let mut left = code % 64;
        let (rest, at) = ((code / 128) as usize, (code / 64 % 2) as usize);
        let step = STEPS.iter().find(|(_, weight)| {
            let hit = left < *weight;
            left = left.saturating_sub(*weight);
            hit
        });
        self.step(step.map_or(Step::Flow, |(step, _)| *step), at, rest);
    }

    fn step(&mut self, step: Step, at: usize, luck: usize) {
        self.trace.push(Trace::Step(step, at, luck));
        if step == Step::Leave && self.present == [self.present[SERVER]; 2] && self.present[SERVER].is_some() {
            self.events.insert("half open");
        }
        match step {
            Step::Flow => self.flow(luck),
            Step::Accept => self.accept(at, luck),
            Step::Volatile => self.send_volatile(at),
            Step::Load => self.load(at),
            Step::Transmit => _ = self.transmit(at),
            Step::Deliver => _ = self.deliver(at, luck),
            Step::Handle => _ = self.handle(at, self.kind.refuses && luck.is_multiple_of(3), false),
            Step::Save => _ = self.ends[at].save(),
            Step::Complete => _ = self.complete(at, true),
            Step::Fail => _ = self.complete(at, false),
            Step::Connect => self.connect(),
            Step::Cut => self.cut(),
            Step::Leave => self.drop_at(CLIENT),
            Step::Close => self.drop_at(SERVER),
            Step::Crash => self.crash(at, luck, false),
            Step::CrashAfterEffect => _ = self.handle(at, false, true),
            Step::Withdraw if self.kind.withdraws => self.ends[at].withdraw(luck, &mut self.ledgers[at]),
            Step::GiveUp if self.kind.withdraws => self.give_up(at),
            Step::TooBig if self.kind.withdraws => self.too_big(at),
            Step::Unload if luck.is_multiple_of(3) => self.unload(at),
            Step::Backup if self.kind.restores => self.ends[at].backup = Some(self.ends[at].outbox.durable.clone()),
            Step::Restore if self.kind.restores => self.crash(at, luck, true),
            Step::Lose if self.kind.loses => self.lose(),
            Step::EndSession if self.kind.loses => self.end_session(),
            Step::Wait => self.now += 20,
            _ => {}
        }
    }

    /// Lets things happen for a while.
    fn flow(&mut self, luck: usize) {
        if self.present[CLIENT].is_none() {
            self.connect();
        }
        // Sometimes one end's outbox is slow.
        let slow = luck / 24 % 6;
        for i in 0..luck % 24 {
            let at = (luck >> (i % 8)) % 2;
            self.ends[at].save();
            if i % 3 != 0 && at != slow {
                self.complete(at, true);
            }
            self.transmit(at);
            self.deliver(1 - at, luck);
            if i % 4 == 0 {
                self.handle(at, false, false);
            }
        }
    }

    fn accept(&mut self, at: usize, luck: usize) {
        let end = &mut self.ends[at];
        if end.link.is_none() {
            return;
        }
        let ledger = &mut self.ledgers[at];
        let mut outbound = Outbound::from(message(ledger.accept(), 1 + luck % 12));
        if luck.is_multiple_of(2) {
            outbound = outbound.needs_ack(Duration::from_secs(1));
        }
        if self.kind.withdraws && luck.is_multiple_of(5) {
            outbound = outbound.expires_in(Duration::from_millis(30));
        }
        end.accept(outbound.accepted_at(self.now));
    }

    fn send_volatile(&mut self, at: usize) {
        let number = self.ledgers[at].next_volatile();
        self.ends[at].link.iter_mut().for_each(|link| _ = link.push_volatile(message(number, 3)));
    }

    fn load(&mut self, at: usize) {
        let life = self.ends[1 - at].life;
        self.ends[at].load(&mut self.ledgers[at], life, self.restored);
    }

    fn complete(&mut self, at: usize, succeeds: bool) -> bool {
        let (ours, theirs) = both(&mut self.ledgers, at);
        self.ends[at].complete(succeeds, ours, theirs)
    }

    fn handle(&mut self, at: usize, refuses: bool, crashes: bool) -> bool {
        let Some(work) = self.ends[at].inbox.pop_front() else { return false };
        let lives = (self.ends[at].life, self.ends[1 - at].life);
        let ticket = match work {
            Work::Gap(ticket) => ticket,
            Work::Message { number, ticket, redelivered } => {
                self.trace.push(Trace::Handles { at, number, redelivered });
                self.events.insert(if redelivered { "redelivered" } else { "handled" });
                self.ledgers[1 - at].handle(number, lives, redelivered, refuses && !crashes, self.restored);
                if !crashes {
                    self.ends[at].done.push(number);
                }
                if refuses && !crashes {
                    self.events.insert("refused");
                    let reason = format!("no {number}");
                    self.ends[at].link.iter_mut().for_each(|link| link.handled(ticket, Err(&reason)));
                    return true;
                }
                ticket
            }
        };
        if crashes {
            self.events.insert("crash after effect");
            self.crash(at, 0, false);
        } else {
            self.ends[at].link.iter_mut().for_each(|link| link.handled(ticket, Ok(())));
        }
        true
    }

    /// Lets everything happen that can, on a connection that stays, and checks what came of all messages.
    pub(crate) fn settle(&mut self) {
        self.cut();
        self.connect();
        let mut rounds = 0;
        while !(self.ends[CLIENT].rests() && self.ends[SERVER].rests() && self.is_silent()) {
            for at in [CLIENT, SERVER] {
                self.ends[at].save();
                self.complete(at, true);
                self.transmit(at);
                self.deliver(at, 1);
                self.handle(at, false, false);
            }
            rounds += 1;
            assert!(rounds < 5_000, "it does not come to rest: {self:#?}");
        }
        self.ledgers.iter().for_each(Ledger::check);
        assert!(self.loss != Loss::Owed || self.restored, "the session was lost, and nobody is told");
    }
}
