//! Two links joined by a connection that is cut at any frame, in virtual time, over random schedules.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use hookup_core::{
    Entry, JsonProtocol, Outbound, SimpleJson, Text, Usage, WireFormat,
    ack::{AckTable, Owner},
    link::{FormatLink, News, Ticket, Transmit},
    ws::Frame,
};
use proptest::prelude::*;

const WINDOW: Usage = Usage { messages: 3, bytes: 30 };

/// What can happen next; the number says at which end.
#[derive(Debug, Clone)]
enum Step {
    /// A message is accepted: of this length, and if it wants an ack, within this many ms.
    Accept(usize, usize, Option<u64>),
    /// The next thing is put on the wire.
    Transmit(usize),
    /// The next frame arrives.
    Deliver(usize),
    /// The handler is done with its next message.
    Handle(usize),
    /// The supervisor says which acks have ended.
    Decide(usize),
    /// Time goes by.
    Wait(u64),
    /// The connection breaks; what is on the wire is lost.
    Cut,
    /// A connection opens, in a format with acks, or seldom in one without.
    Connect { acks: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let end = || 0..2_usize;
    prop_oneof![
        6 => (end(), 2..40_usize, prop::option::of(1..200_u64)).prop_map(|(e, len, ack)| Step::Accept(e, len, ack)),
        8 => end().prop_map(Step::Transmit),
        8 => end().prop_map(Step::Deliver),
        6 => end().prop_map(Step::Handle),
        4 => end().prop_map(Step::Decide),
        2 => (1..50_u64).prop_map(Step::Wait),
        2 => Just(Step::Cut),
        4 => prop::bool::weighted(0.9).prop_map(|acks| Step::Connect { acks }),
    ]
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Acked,
    TimedOut,
    Unsupported,
}

/// One end: the link, and the least of a session that it needs around it.
struct End {
    link: FormatLink,
    outbox: BTreeMap<u64, Outbound>,
    /// The `seq` from which the outbox is to be loaded.
    cursor: u64,
    accepted: u64,
    owner: Owner,
    /// Messages on the wire or beyond, whose ack has not ended, and their bytes.
    pending: BTreeMap<u64, u64>,
    answered: BTreeSet<u64>,
    outcomes: BTreeMap<u64, Outcome>,
    /// What the handler has been given, and what it is done with.
    inbox: VecDeque<(u64, Ticket)>,
    handled: Vec<u64>,
}

struct World {
    ends: [End; 2],
    /// What is on its way to each end.
    wires: [VecDeque<Frame>; 2],
    table: AckTable,
    now: Instant,
}

impl End {
    fn new() -> Self {
        Self {
            link: FormatLink::new(WINDOW),
            outbox: BTreeMap::new(),
            cursor: 0,
            accepted: 0,
            owner: Owner::new(),
            pending: BTreeMap::new(),
            answered: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            inbox: VecDeque::new(),
            handled: Vec::new(),
        }
    }

    fn accept(&mut self, len: usize, ack: Option<u64>) {
        self.accepted += 1;
        let outbound = Outbound::from(Text(format!("{:0len$}", self.accepted)));
        let outbound = ack.map(Duration::from_millis).map_or(outbound.clone(), |within| outbound.needs_ack(within));
        self.outbox.insert(self.accepted, outbound);
    }

    fn load(&mut self) {
        let loaded = self.outbox.range(self.cursor..).take(self.link.room());
        for (&seq, outbound) in loaded {
            self.cursor = seq + 1;
            self.link.push(Entry { seq, outbound: outbound.clone() });
        }
    }

    fn end_ack(&mut self, seq: u64, outcome: Outcome) {
        self.pending.remove(&seq);
        self.outbox.remove(&seq);
        assert_eq!(self.outcomes.insert(seq, outcome), None, "the ack of {seq} ended twice");
    }
}

impl World {
    fn new() -> Self {
        let ends = [End::new(), End::new()];
        Self { ends, wires: Default::default(), table: AckTable::default(), now: Instant::now() }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Accept(at, len, ack) => self.ends[at].accept(len, ack),
            Step::Transmit(at) => _ = self.transmit(at),
            Step::Deliver(at) => _ = self.deliver(at),
            Step::Handle(at) => _ = self.handle(at),
            Step::Decide(at) => _ = self.decide(at),
            Step::Wait(ms) => self.now += Duration::from_millis(ms),
            Step::Cut => {
                self.wires = Default::default();
                self.ends.iter_mut().for_each(|end| end.link.disconnected());
            }
            Step::Connect { acks } => {
                self.run(Step::Cut);
                let format: Arc<dyn WireFormat> = if acks { Arc::new(JsonProtocol) } else { Arc::new(SimpleJson) };
                for end in &mut self.ends {
                    end.link.connected(format.clone());
                    end.cursor = 0;
                }
            }
        }
    }

    fn transmit(&mut self, at: usize) -> bool {
        let end = &mut self.ends[at];
        end.load();
        let Some(transmit) = end.link.poll_transmit(0) else { return false };
        let frame = match transmit {
            Transmit::Reply(frame) => frame,
            Transmit::Message { frame, entry } => {
                end.outbox.remove(&entry.seq);
                frame
            }
            Transmit::Request { frame, seq, within } => {
                assert!(!end.answered.contains(&seq), "{seq} was answered, and is sent again");
                self.table.arm(end.owner, seq, self.now + within.expect("only those that want an ack are pending"));
                end.pending.insert(seq, end.outbox[&seq].message().len() as u64);
                let bytes = end.pending.values().sum::<u64>();
                let within_window = end.pending.len() <= WINDOW.messages && bytes <= WINDOW.bytes;
                assert!(within_window || end.pending.len() == 1, "the window is exceeded: {:?}", end.pending);
                frame
            }
            Transmit::Frame(frame) => unreachable!("nothing volatile was pushed: {frame:?}"),
            Transmit::Failed { entry, .. } => {
                self.table.end(end.owner, entry.seq);
                end.end_ack(entry.seq, Outcome::Unsupported);
                return true;
            }
        };
        self.wires[1 - at].push_back(frame);
        true
    }

    fn deliver(&mut self, at: usize) -> bool {
        let Some(frame) = self.wires[at].pop_front() else { return false };
        match self.ends[at].link.receive(frame).expect("it is well formed") {
            News::Message { message, ticket } => {
                let seq = std::str::from_utf8(message.as_bytes()).ok().and_then(|text| text.parse().ok());
                self.ends[at].inbox.push_back((seq.expect("a message says its seq"), ticket));
            }
            News::Acked { seq } => {
                assert!(self.ends[1 - at].handled.contains(&seq), "{seq} is acked, and was not handled");
                self.ends[at].answered.insert(seq);
            }
            News::Nothing => {}
            other => unreachable!("nobody refuses, and the rest is of `hookup.v2`: {other:?}"),
        }
        true
    }

    fn handle(&mut self, at: usize) -> bool {
        let end = &mut self.ends[at];
        let Some((seq, ticket)) = end.inbox.pop_front() else { return false };
        end.handled.push(seq);
        end.link.handled(ticket, Ok(()));
        true
    }

    fn decide(&mut self, at: usize) -> bool {
        let end = &mut self.ends[at];
        let mut ended = Vec::new();
        for &seq in &end.answered {
            if self.table.end(end.owner, seq) {
                ended.push((end.owner, seq, Outcome::Acked));
            }
        }
        while let Some((owner, seq)) = self.table.pop_expired(self.now) {
            ended.push((owner, seq, Outcome::TimedOut));
        }
        let any = !ended.is_empty();
        for (owner, seq, outcome) in ended {
            let end = self.ends.iter_mut().find(|end| end.owner == owner).expect("it is one of the two");
            assert!(end.link.ended(seq).is_some(), "{seq} is pending");
            end.end_ack(seq, outcome);
        }
        any
    }

    /// Lets everything happen that can, on a connection that stays; false when it does not come to rest.
    fn settle(&mut self) -> bool {
        self.run(Step::Connect { acks: true });
        for _ in 0..10_000 {
            let mut busy = false;
            for at in 0..2 {
                busy |= self.transmit(at) | self.deliver(at) | self.handle(at) | self.decide(at);
            }
            if !busy {
                return true;
            }
        }
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_schedule_of_cuts_comes_to_rest_with_each_message_delivered_as_promised(
        steps in prop::collection::vec(step(), 0..250),
    ) {
        let wants_ack = |ack: &Option<u64>| ack.is_some();
        let mut sent = [Vec::new(), Vec::new()];
        let mut world = World::new();
        for step in steps {
            if let Step::Accept(at, _, ack) = &step {
                sent[*at].push(wants_ack(ack));
            }
            world.run(step);
        }
        prop_assert!(world.settle(), "it comes to rest");
        prop_assert!(world.table.is_empty(), "no ack is pending");

        for (at, sent) in sent.iter().enumerate() {
            let (sender, receiver) = (&world.ends[at], &world.ends[1 - at]);
            prop_assert!(sender.link.is_idle() && sender.outbox.is_empty());

            let mut times = BTreeMap::new();
            let firsts = receiver.handled.iter().filter(|&&seq| {
                let count = times.entry(seq).or_insert(0);
                *count += 1;
                *count == 1
            });
            prop_assert!(firsts.is_sorted(), "messages are first handled in the order of their sending");

            for (seq, &wants_ack) in (1..).zip(sent) {
                let times = times.get(&seq).copied().unwrap_or(0);
                if wants_ack {
                    let outcome = sender.outcomes.get(&seq);
                    prop_assert!(outcome.is_some(), "every ack ends");
                    prop_assert!(times >= 1 || outcome != Some(&Outcome::Acked), "what is acked was handled");
                } else {
                    prop_assert!(times <= 1, "a plain message is handled at most once");
                    prop_assert!(!sender.outcomes.contains_key(&seq), "and has no ack that could end");
                }
            }
        }
    }
}
