//! The supervisor as its owners see it: every pending ack ends exactly once, on a clock that the test moves.

use std::{collections::BTreeMap, time::Duration};

use actix::{Actor, Addr, Context, Handler};
use hookup_core::{
    ack::{AckBatch, AckOp, AckOutcome, AckOutcomes, AckSupervisor, Enrol, Leave, Owner},
    driver::now,
};
use tokio::{
    sync::mpsc,
    time::{advance, pause},
};

const SECOND: Duration = Duration::from_secs(1);

/// Passes what it is told on to the test, message by message.
struct Told(mpsc::UnboundedSender<Vec<(u64, AckOutcome)>>);

impl Actor for Told {
    type Context = Context<Self>;
}

impl Handler<AckOutcomes> for Told {
    type Result = ();

    fn handle(&mut self, AckOutcomes(outcomes): AckOutcomes, _: &mut Self::Context) {
        self.0.send(outcomes).expect("the test listens");
    }
}

/// An owner of acks.
struct Sender {
    owner: Owner,
    supervisor: Addr<AckSupervisor>,
    told: Addr<Told>,
    outcomes: mpsc::UnboundedReceiver<Vec<(u64, AckOutcome)>>,
}

impl Sender {
    fn enrol(supervisor: &Addr<AckSupervisor>) -> Self {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let (owner, told) = (Owner::new(), Told(sender).start());
        supervisor.do_send(Enrol { owner, outcomes: told.clone().recipient() });
        Self { owner, supervisor: supervisor.clone(), told, outcomes }
    }

    /// One with a supervisor of its own, and a clock that stands still.
    fn alone() -> Self {
        pause();
        Self::enrol(&AckSupervisor::default().start())
    }

    fn does(&self, ops: impl IntoIterator<Item = AckOp>) {
        self.supervisor.do_send(AckBatch { owner: self.owner, ops: ops.into_iter().collect() });
    }

    fn leaves(&self) {
        self.supervisor.do_send(Leave { owner: self.owner });
    }

    /// What it has been told since the last time, message by message, once all that was sent has been handled.
    async fn told(&mut self) -> Vec<Vec<(u64, AckOutcome)>> {
        let nothing = AckBatch { owner: self.owner, ops: Vec::new() };
        self.supervisor.send(nothing).await.expect("the supervisor lives");
        // The supervisor looks at its clock when its mailbox is empty, so only now.
        tokio::task::yield_now().await;
        self.told.send(AckOutcomes(Vec::new())).await.expect("it lives");
        std::iter::from_fn(|| self.outcomes.try_recv().ok()).filter(|outcomes| !outcomes.is_empty()).collect()
    }
}

fn arm(seq: u64, within: Duration) -> AckOp {
    AckOp::Arm { seq, deadline: now() + within }
}

fn acked(seq: u64) -> AckOp {
    AckOp::Acked { seq }
}

fn refused(seq: u64) -> AckOp {
    AckOp::Refused { seq, reason: "no".into() }
}

const NOTHING: [Vec<(u64, AckOutcome)>; 0] = [];

#[actix::test]
async fn an_ack_that_comes_in_time_ends_as_acked() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND)]);
    assert_eq!(sender.told().await, NOTHING);
    sender.does([acked(1)]);
    assert_eq!(sender.told().await, [[(1, AckOutcome::Acked)]]);
    advance(2 * SECOND).await;
    assert_eq!(sender.told().await, NOTHING, "and with that it has ended");
}

#[actix::test]
async fn an_ack_that_does_not_come_times_out_at_its_deadline() {
    let mut sender = Sender::alone();
    let start = now();
    sender.does([arm(1, SECOND)]);
    assert_eq!(sender.outcomes.recv().await, Some(vec![(1, AckOutcome::TimedOut)]));
    let waited = now() - start;
    assert!((SECOND..=SECOND + Duration::from_millis(1)).contains(&waited), "{waited:?}");
    advance(2 * SECOND).await;
    assert_eq!(sender.told().await, NOTHING);
}

#[actix::test]
async fn a_refusal_ends_it_with_the_peers_words() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND), refused(1), acked(1)]);
    assert_eq!(sender.told().await, [[(1, AckOutcome::Refused("no".into()))]]);
    advance(2 * SECOND).await;
    assert_eq!(sender.told().await, NOTHING);
}

#[actix::test]
async fn what_is_pending_when_its_owner_leaves_is_lost() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND), arm(2, SECOND), arm(3, SECOND), acked(2)]);
    sender.leaves();
    let lost = vec![(1, AckOutcome::Lost), (3, AckOutcome::Lost)];
    assert_eq!(sender.told().await, [vec![(2, AckOutcome::Acked)], lost]);
    sender.does([acked(1)]);
    sender.leaves();
    advance(2 * SECOND).await;
    assert_eq!(sender.told().await, NOTHING);
}

#[actix::test]
async fn an_ack_that_comes_late_changes_nothing() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND)]);
    assert_eq!(sender.outcomes.recv().await, Some(vec![(1, AckOutcome::TimedOut)]));
    sender.does([acked(1), refused(1)]);
    assert_eq!(sender.told().await, NOTHING);
}

#[actix::test]
async fn an_ack_that_nobody_waits_for_changes_nothing() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND), acked(2), refused(3)]);
    assert_eq!(sender.told().await, NOTHING);
    sender.does([acked(1)]);
    assert_eq!(sender.told().await, [[(1, AckOutcome::Acked)]]);
}

#[actix::test]
async fn an_ack_that_comes_twice_counts_once() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND), acked(1), acked(1)]);
    sender.does([acked(1)]);
    assert_eq!(sender.told().await, [[(1, AckOutcome::Acked)]]);
}

#[actix::test]
async fn what_is_armed_twice_keeps_its_first_deadline() {
    for second in [SECOND / 2, 3 * SECOND] {
        let mut sender = Sender::alone();
        let start = now();
        sender.does([arm(1, SECOND), arm(1, second)]);
        assert_eq!(sender.outcomes.recv().await, Some(vec![(1, AckOutcome::TimedOut)]));
        assert!((SECOND..2 * SECOND).contains(&(now() - start)));
        advance(3 * SECOND).await;
        assert_eq!(sender.told().await, NOTHING, "and it ends once");
        tokio::time::resume();
    }
}

#[actix::test]
async fn a_number_may_be_used_again_when_its_ack_has_ended() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND), acked(1), arm(1, 2 * SECOND)]);
    assert_eq!(sender.told().await, [[(1, AckOutcome::Acked)]]);
    advance(SECOND * 3 / 2).await;
    assert_eq!(sender.told().await, NOTHING, "the first deadline went with the first ack");
    assert_eq!(sender.outcomes.recv().await, Some(vec![(1, AckOutcome::TimedOut)]));
}

#[actix::test]
async fn an_earlier_deadline_that_comes_later_is_not_missed() {
    let mut sender = Sender::alone();
    sender.does([arm(1, 60 * SECOND)]);
    assert_eq!(sender.told().await, NOTHING);
    sender.does([arm(2, SECOND)]);
    assert_eq!(sender.outcomes.recv().await, Some(vec![(2, AckOutcome::TimedOut)]));
    assert_eq!(sender.outcomes.recv().await, Some(vec![(1, AckOutcome::TimedOut)]));
}

#[actix::test]
async fn two_owners_do_not_mix() {
    let mut one = Sender::alone();
    let mut other = Sender::enrol(&one.supervisor);
    one.does([arm(1, SECOND), arm(2, SECOND)]);
    other.does([arm(1, SECOND), arm(2, SECOND), acked(1)]);
    assert_eq!(other.told().await, [[(1, AckOutcome::Acked)]]);
    assert_eq!(one.told().await, NOTHING);
    one.leaves();
    assert_eq!(one.told().await, [[(1, AckOutcome::Lost), (2, AckOutcome::Lost)]]);
    assert_eq!(other.told().await, NOTHING);
    advance(SECOND).await;
    assert_eq!(other.told().await, [[(2, AckOutcome::TimedOut)]]);
    assert_eq!(one.told().await, NOTHING);
}

#[actix::test]
async fn an_ack_that_a_blocked_thread_reads_late_counts() {
    let mut sender = Sender::alone();
    sender.does([arm(1, SECOND), arm(2, SECOND), arm(3, 5 * SECOND)]);
    // The clock goes on, and nothing on the thread does.
    advance(3 * SECOND).await;
    assert_eq!(sender.told().await, NOTHING, "its ack may have come in");
    sender.does([acked(1)]);
    assert_eq!(sender.told().await, [[(1, AckOutcome::Acked)]]);
    let start = now();
    assert_eq!(sender.outcomes.recv().await, Some(vec![(2, AckOutcome::TimedOut)]), "the other one has not come");
    assert!(now() - start < SECOND / 10, "{:?}", now() - start);
    assert_eq!(sender.outcomes.recv().await, Some(vec![(3, AckOutcome::TimedOut)]), "and its own time has not changed");
}

#[actix::test]
async fn what_ends_in_one_wake_up_is_told_in_one_message() {
    let mut sender = Sender::alone();
    sender.does((1..=6).map(|seq| arm(seq, SECOND)));
    sender.does([acked(2), refused(1), acked(9), acked(3)]);
    let ended = vec![(2, AckOutcome::Acked), (1, AckOutcome::Refused("no".into())), (3, AckOutcome::Acked)];
    assert_eq!(sender.told().await, [ended], "in the order of their coming");
    let timed_out = (4..=6).map(|seq| (seq, AckOutcome::TimedOut)).collect::<Vec<_>>();
    assert_eq!(sender.outcomes.recv().await, Some(timed_out));
}

/// How the ack of message `seq` is to end.
fn planned(seq: u64) -> AckOutcome {
    match seq % 4 {
        0 => AckOutcome::Acked,
        1 => AckOutcome::Refused("no".into()),
        2 => AckOutcome::TimedOut,
        _ => AckOutcome::Lost,
    }
}

#[actix::test]
async fn ten_thousand_acks_that_end_in_all_ways_each_end_once() {
    const COUNT: u64 = 10_000;
    let mut sender = Sender::alone();
    let start = now();
    let deadline =
        |seq| start + if planned(seq) == AckOutcome::TimedOut { SECOND * (seq % 7) as u32 } else { 60 * SECOND };
    sender.does((1..=COUNT).map(|seq| AckOp::Arm { seq, deadline: deadline(seq) }));

    let answer = |seq| match planned(seq) {
        AckOutcome::Acked => Some(acked(seq)),
        AckOutcome::Refused(_) => Some(refused(seq)),
        _ => None,
    };
    // In an order of their own, in batches, each twice; and while they come, deadlines pass.
    let shuffled = (1..=COUNT).map(|n| n * 7919 % COUNT + 1).collect::<Vec<_>>();
    for batch in shuffled.chunks(100) {
        sender.does(batch.iter().flat_map(|&seq| [answer(seq), answer(seq)]).flatten());
        advance(SECOND / 10).await;
    }
    let mut told = sender.told().await.concat();
    sender.leaves();
    told.extend(sender.told().await.concat());

    let ends = told.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!(told.len() as u64, COUNT, "none ended twice");
    assert_eq!(ends, (1..=COUNT).map(|seq| (seq, planned(seq))).collect(), "and all as planned");
}
