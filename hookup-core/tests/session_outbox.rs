//! A session on a durable outbox: accepted means kept, and what could not be kept comes back.

mod session_support;

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use futures_util::FutureExt as _;
use hookup_core::{
    Binary, Changes, Entry, Handling, JsonProtocol, Limits, MemoryOutbox, Outbox, OutboxError, OutboxPolicy,
    Quarantined, Stored, Text, Usage,
};
use session_support::{Session, done, limits};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What an append is to come to.
enum Verdict {
    Keep,
    Fail,
    Panic,
}

/// A durable outbox whose every append waits for the test to say what it comes to.
struct Gated {
    kept: Arc<Mutex<MemoryOutbox>>,
    appending: UnboundedSender<usize>,
    verdicts: mpsc::Receiver<Verdict>,
}

/// The test's side of it.
struct Gate {
    kept: Arc<Mutex<MemoryOutbox>>,
    /// Says how many entries an append is about to keep.
    appending: UnboundedReceiver<usize>,
    verdicts: mpsc::Sender<Verdict>,
}

impl Gate {
    fn new() -> (Gated, Self) {
        let kept = Arc::<Mutex<MemoryOutbox>>::default();
        let (began, appending) = unbounded_channel();
        let (verdicts, given) = mpsc::channel();
        (Gated { kept: kept.clone(), appending: began, verdicts: given }, Self { kept, appending, verdicts })
    }

    fn decide(&self, verdict: Verdict) {
        self.verdicts.send(verdict).expect("the outbox is open");
    }

    fn kept(&self) -> Vec<String> {
        let entries = self.kept.lock().expect("not poisoned").load(0, usize::MAX, u64::MAX).expect("it loads");
        entries.iter().map(|entry| String::from_utf8_lossy(entry.outbound.message().as_bytes()).into_owned()).collect()
    }
}

impl Gated {
    fn memory(&self) -> std::sync::MutexGuard<'_, MemoryOutbox> {
        self.kept.lock().expect("not poisoned")
    }
}

impl Outbox for Gated {
    fn stored(&self) -> Stored {
        self.memory().stored()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        if !changes.appends.is_empty() {
            let _ = self.appending.send(changes.appends.len());
            match self.verdicts.recv() {
                Ok(Verdict::Fail) => return Err(OutboxError::Other("the disk is full".into())),
                Ok(Verdict::Panic) => panic!("boom"),
                Ok(Verdict::Keep) | Err(_) => {}
            }
        }
        self.memory().commit(changes)
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        self.memory().load(from, messages, bytes)
    }
}

#[actix::test]
async fn a_message_is_accepted_and_sent_when_the_outbox_has_kept_it_and_the_session_does_not_wait() {
    let (outbox, mut gate) = Gate::new();
    let mut session = Session::start(limits(), outbox, done);
    session.connect(JsonProtocol).await;
    let mut sending = session.send(Text("a"));
    assert_eq!(gate.appending.recv().await, Some(1));

    session.receive(&[&session_support::request(1, "meanwhile")]);
    assert_eq!(session.event().await, "meanwhile");
    assert_eq!(session.written().await, session_support::ack(1), "before the message");
    assert!((&mut sending).now_or_never().is_none());

    gate.decide(Verdict::Keep);
    assert_eq!(sending.await, "Accepted");
    assert_eq!(session.written().await, r#"{"type":"text","content":"a"}"#);
}

#[actix::test]
async fn messages_that_come_while_the_outbox_works_share_its_next_append() {
    let (outbox, mut gate) = Gate::new();
    let session = Session::start(limits(), outbox, done);
    session.peer.do_send(Text("a"));
    assert_eq!(gate.appending.recv().await, Some(1));
    session.peer.do_send(Text("b"));
    let last = session.send(Text("c"));
    gate.decide(Verdict::Keep);
    gate.decide(Verdict::Keep);
    assert_eq!(last.await, "Accepted");
    assert_eq!(gate.appending.recv().await, Some(2));
    assert_eq!(gate.kept(), ["a", "b", "c"]);
}

#[actix::test]
async fn a_message_that_could_not_be_kept_comes_back_and_the_next_is_sent() {
    let (outbox, gate) = Gate::new();
    let mut session = Session::start(limits(), outbox, done);
    session.connect(JsonProtocol).await;
    for (verdict, problem) in
        [(Verdict::Fail, "the outbox failed: the disk is full"), (Verdict::Panic, "the outbox's code panicked")]
    {
        gate.decide(verdict);
        assert_eq!(session.send(Text("a")).await, format!("a: {problem}"));
    }
    gate.decide(Verdict::Fail);
    session.peer.do_send(Text("b"));
    assert_eq!(session.event().await, "not sent, b: the outbox failed: the disk is full");
    gate.decide(Verdict::Keep);
    assert_eq!(session.send(Text("c")).await, "Accepted");
    assert_eq!(session.written().await, r#"{"type":"text","content":"c"}"#);
}

#[actix::test]
async fn when_nobody_waits_for_it_any_more_a_message_that_could_not_be_kept_is_an_event() {
    let (outbox, mut gate) = Gate::new();
    let mut session = Session::start(limits(), outbox, done);
    let sending = session.send(Text("a"));
    assert_eq!(gate.appending.recv().await, Some(1));
    drop(sending);
    gate.decide(Verdict::Fail);
    assert_eq!(session.event().await, "not sent, a: the outbox failed: the disk is full");
}

#[actix::test]
async fn the_end_waits_for_the_outbox_and_what_was_not_sent_stays_in_it() {
    let (outbox, mut gate) = Gate::new();
    let mut session = Session::start(limits(), outbox, done);
    session.peer.do_send(Text("a"));
    assert_eq!(gate.appending.recv().await, Some(1));
    session.end();
    gate.decide(Verdict::Keep);
    assert_eq!(session.event().await, "the end");
    assert_eq!(gate.kept(), ["a"]);
    assert!(gate.verdicts.send(Verdict::Keep).is_err(), "the outbox is closed before the last event");
}

#[actix::test]
async fn what_the_outbox_held_when_it_was_opened_is_sent_first() {
    let (outbox, gate) = Gate::new();
    let entries = [Entry { seq: 7, outbound: Text("old").into() }];
    gate.kept.lock().expect("not poisoned").commit(&Changes::append(entries)).expect("it keeps them");
    let mut session = Session::start(limits(), outbox, done);
    session.peer.do_send(Text("new"));
    gate.decide(Verdict::Keep);
    session.connect(JsonProtocol).await;
    assert_eq!(session.written().await, r#"{"type":"text","content":"old"}"#);
    assert_eq!(session.written().await, r#"{"type":"text","content":"new"}"#);
}

/// An outbox that took the place of a damaged one.
#[derive(Default)]
struct Successor(MemoryOutbox);

impl Outbox for Successor {
    fn stored(&self) -> Stored {
        let quarantined = Quarantined::new("outbox", "outbox.damaged", "it was wet", 3);
        Stored { quarantined: Some(quarantined), ..self.0.stored() }
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        self.0.commit(changes)
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        self.0.load(from, messages, bytes)
    }
}

#[actix::test]
async fn the_handler_is_told_of_a_quarantine_before_anything_else() {
    let mut session = Session::start(limits(), Successor::default(), done);
    session.with(|session| session.core.connected(Arc::new(JsonProtocol)));
    let first = session.event().await;
    assert!(first.starts_with("Quarantined") && first.contains("it was wet"), "{first}");
    assert_eq!(session.event().await, "connected jsonProtocol");
}

/// A durable outbox that keeps what it is given, and cannot be read.
#[derive(Default)]
struct Unreadable(MemoryOutbox);

impl Outbox for Unreadable {
    fn stored(&self) -> Stored {
        self.0.stored()
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        self.0.commit(changes)
    }

    fn load(&mut self, _: u64, _: usize, _: u64) -> Result<Vec<Entry>, OutboxError> {
        Err(OutboxError::Other("the disk is broken".into()))
    }
}

#[actix::test]
async fn what_failed_before_the_end_is_not_tried_again_after_it() {
    let bound = Usage { messages: 1, bytes: 100 };
    let limits = Limits { outbox: bound, policy: OutboxPolicy::DropOldest, ..limits() };
    // On the paused clock: slower than failures are tried again.
    let slow = |_: &str, _| {
        Handling::later(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(())
        })
    };
    let mut session = Session::start(limits, Unreadable::default(), slow);
    for text in ["a", "b"] {
        assert_eq!(session.send(Text(text)).await, "Accepted");
    }
    assert_eq!(session.event().await, "the outbox failed: the disk is broken");
    session.end();
    assert_eq!(session.event().await, "the end");
}

#[actix::test]
async fn errors_of_the_outbox_do_not_pile_up_behind_a_handler_that_is_at_work() {
    let bound = Usage { messages: 10, bytes: 1000 };
    let limits = Limits { outbox: bound, policy: OutboxPolicy::DropOldest, ..limits() };
    let (release, released) = tokio::sync::watch::channel(false);
    let waits = move |_: &str, _| {
        let mut released = released.clone();
        Handling::later(async move {
            let _ = released.wait_for(|released| *released).await;
            Ok(())
        })
    };
    let mut session = Session::start(limits, Unreadable::default(), waits);
    // From the eleventh on, each makes the session look for what it may drop.
    for n in 1..=45 {
        assert_eq!(session.send(Text(n.to_string())).await, "Accepted");
    }
    release.send(true).expect("the handler waits");
    session.end();
    let mut errors = 0;
    loop {
        match &*session.event().await {
            "the end" => break,
            event => errors += usize::from(event == "the outbox failed: the disk is broken"),
        }
    }
    // Sixteen that waited, the one that was at work, and those of the end.
    assert!((16..=20).contains(&errors), "{errors} were told");
}

/// An outbox that says how many bytes each load gives.
struct Weighed(MemoryOutbox, UnboundedSender<u64>);

impl Outbox for Weighed {
    fn stored(&self) -> Stored {
        self.0.stored()
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), OutboxError> {
        self.0.commit(changes)
    }

    fn load(&mut self, from: u64, messages: usize, bytes: u64) -> Result<Vec<Entry>, OutboxError> {
        let loaded = self.0.load(from, messages, bytes)?;
        let _ = self.1.send(loaded.iter().map(Entry::bytes).sum());
        Ok(loaded)
    }
}

#[actix::test]
async fn what_is_far_above_a_bound_that_was_lowered_is_dropped_a_part_at_a_time() {
    const LEN: u64 = 10 << 20;
    let payload = Binary(vec![0; LEN as usize]);
    let mut outbox = MemoryOutbox::default();
    let entries = (1..=10).map(|seq| Entry { seq, outbound: payload.clone().into() });
    outbox.commit(&Changes::append(entries.collect::<Vec<_>>())).expect("it keeps them");
    let bound = Usage { messages: 1, bytes: 100 * LEN };
    let limits = Limits { outbox: bound, policy: OutboxPolicy::DropOldest, ..limits() };
    let (told, mut loads) = unbounded_channel();
    let mut session = Session::start(limits, Weighed(outbox, told), done);
    let dropped = format!("Dropped {{ messages: 1, bytes: {LEN} }}");
    assert_eq!(session.events_until_quiet().await, vec![dropped; 9]);
    while let Ok(bytes) = loads.try_recv() {
        assert_eq!(bytes, LEN, "two are more than is read at once");
    }
}
