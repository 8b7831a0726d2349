//! Messages in both directions over connections that end at any moment, by schedules that are drawn from fixed seeds:
//! nothing that asks for an ack is lost, nothing that does not comes twice, and whatever fails is told once.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use hookup_client::{Close, Closed, Disconnect, Reconnect};
use hookup_server::{Error, Event, Message, Outbound, Peer, Receipt, SendError, SendFailure, Text};
use proxy::Proxy;
use support::{HOUR, Server, client, soon};

/// How many messages the client sends.
const MESSAGES: u64 = 400;
/// How many messages each session of the server sends.
const PER_SESSION: u64 = 20;

/// Numbers that look random, and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What one side's handlers were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    /// The numbers of messages that came in, and whether they asked for an ack.
    came: Vec<(u64, bool)>,
    /// The numbers of messages that were not delivered.
    failed: Vec<u64>,
    errors: Vec<Error>,
}

impl Told {
    fn note(&self, event: Event) {
        let mut log = self.0.lock().expect("not poisoned");
        match event {
            Event::Text(text) => log.came.push(read(&text)),
            Event::AckFailed(SendError { message, .. }) | Event::Error(Error::NotSent(SendError { message, .. })) => {
                let Message::Text(text) = message.message() else { unreachable!("only texts are sent") };
                log.failed.push(read(text).0);
            }
            Event::Error(error) => log.errors.push(error),
            _ => {}
        }
    }

    fn take(&self) -> Log {
        std::mem::take(&mut self.0.lock().expect("not poisoned"))
    }
}

/// A message: its number, whether it asks for an ack, and something to make it longer.
fn written(number: u64, acked: bool, pad: u64) -> Outbound {
    let text = Text(format!("{number} {acked} {}", "x".repeat(usize::try_from(pad).expect("is small"))));
    if acked { text.needs_ack(HOUR) } else { text.into() }
}

fn read(text: &str) -> (u64, bool) {
    let mut words = text.split(' ');
    let mut word = || words.next().expect("a word");
    (word().parse().expect("a number"), word().parse().expect("true or false"))
}

/// A server whose sessions each send some messages, numbered on.
fn server(told: Told, sent: Arc<AtomicU64>) -> Server {
    Server::with(move || {
        let (told, sent) = (told.clone(), sent.clone());
        move |event: Event, peer: Peer| {
            if let Event::Connected(_) = event {
                for _ in 0..PER_SESSION {
                    peer.do_send(written(sent.fetch_add(1, Ordering::SeqCst), true, 0));
                }
            }
            told.note(event);
        }
    })
}

/// Lets the others have their turn a few times.
async fn yields(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// One schedule. Where nothing is cut, connections still end, by closes.
async fn run(seed: u64, cuts: bool, on_disk: bool) {
    let case = format!("seed {seed}, cuts {cuts}, on disk {on_disk}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (at_server, at_client, sent_back) = (Told::default(), Told::default(), Arc::<AtomicU64>::default());
    let server = server(at_server.clone(), sent_back.clone());
    let mut proxy = Proxy::open(server.addr);
    let directory = tempfile::tempdir().expect("a directory");
    let mut builder = client(proxy.url()).window(16, 1 << 16);
    if on_disk {
        builder = builder.outbox(directory.path());
    }
    let notes = at_client.clone();
    let addr = builder.start(move |event: Event, _: Peer| notes.note(event)).expect("starts");

    let (mut waiting, mut asked) = (Vec::new(), HashSet::new());
    for number in 0..MESSAGES {
        let acked = random.below(2) == 0;
        let pad = if random.below(20) == 0 { random.below(30_000) } else { random.below(20) };
        asked.extend(acked.then_some(number));
        match random.below(2) {
            0 => addr.do_send(written(number, acked, pad)),
            _ => waiting.push((number, acked, addr.send(written(number, acked, pad)))),
        }
        match random.below(60) {
            0 => addr.do_send(Disconnect),
            1..=3 => addr.do_send(Reconnect),
            4 | 5 if cuts => proxy.cut(),
            6 if cuts => {
                proxy.swallow();
                yields(random.below(50)).await;
                proxy.cut();
                proxy.pass();
            }
            7 if cuts => {
                proxy.refuse().await;
                proxy.cut();
                yields(random.below(50)).await;
                proxy.accept();
            }
            8..=13 => {
                if let Some(waits) = waiting.pop() {
                    resolves(&case, waits).await;
                }
            }
            14..=40 => yields(random.below(20)).await,
            _ => {}
        }
    }
    addr.do_send(Reconnect);
    let closed = soon(&case, addr.send(Close::within(HOUR))).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 0 }, "{case}");
    for waits in waiting {
        resolves(&case, waits).await;
    }
    soon(&case, server.hookup.stop(support::STOP)).await;
    let (at_server, at_client) = (at_server.take(), at_client.take());
    check_to_server(&case, &at_server, &at_client, &asked, cuts);
    check_to_client(&case, &at_server, &at_client, sent_back.load(Ordering::SeqCst));
}

type Sending = actix::dev::Request<hookup_client::HookupClient, Outbound>;

/// Whoever waits for a message is answered; only while the client is told to stay offline not by an ack.
async fn resolves(case: &str, (number, acked, sending): (u64, bool, Sending)) {
    match soon((case, number), sending).await.expect("lives") {
        Ok(receipt) => assert_eq!(receipt == Receipt::Acked, acked, "{case}: {number}"),
        Err(error) => assert!(acked && matches!(error.reason, SendFailure::Offline), "{case}: {number}: {error}"),
    }
}

fn check_to_server(case: &str, at_server: &Log, at_client: &Log, asked: &HashSet<u64>, cuts: bool) {
    assert!(at_client.failed.is_empty() && at_client.errors.is_empty(), "{case}: {:?}", at_client.errors);
    let mut seen = HashSet::new();
    let mut last = None;
    for &(number, acked) in &at_server.came {
        let is_new = seen.insert(number);
        assert!(acked || is_new, "{case}: {number} came twice, and did not ask for an ack");
        if acked && is_new {
            assert!(Some(number) > last, "{case}: {number} came after {last:?}");
            last = Some(number);
        }
    }
    for number in 0..MESSAGES {
        let may_be_lost = cuts && !asked.contains(&number);
        assert!(may_be_lost || seen.contains(&number), "{case}: {number} is lost");
    }
}

fn check_to_client(case: &str, at_server: &Log, at_client: &Log, sent: u64) {
    assert!(at_server.errors.is_empty(), "{case}: {:?}", at_server.errors);
    let failed = at_server.failed.iter().copied().collect::<HashSet<_>>();
    assert_eq!(failed.len(), at_server.failed.len(), "{case}: a failure was told twice");
    let came = at_client.came.iter().map(|&(number, _)| number).collect::<HashSet<_>>();
    assert_eq!(came.len(), at_client.came.len(), "{case}: a session never sends twice");
    for number in 0..sent {
        assert!(came.contains(&number) || failed.contains(&number), "{case}: {number} of the server's is lost, untold");
    }
}

#[actix::test]
async fn closes_at_any_moment_lose_nothing() {
    for seed in 1..=3 {
        run(seed, false, false).await;
    }
}

#[actix::test]
async fn closes_at_any_moment_lose_nothing_on_disk() {
    for seed in 4..=5 {
        run(seed, false, true).await;
    }
}

#[actix::test]
async fn cuts_at_any_moment_lose_nothing_that_asks_for_an_ack() {
    for seed in 6..=9 {
        run(seed, true, false).await;
    }
}

#[actix::test]
async fn cuts_at_any_moment_lose_nothing_that_asks_for_an_ack_on_disk() {
    for seed in 10..=12 {
        run(seed, true, true).await;
    }
}
