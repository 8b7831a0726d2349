//! A server that is restarted while its clients are busy.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use hookup_client::{Event, HookupClient, Peer, Text};
use hookup_server::{HookupServer, OutboxPolicy, SledStore};
use proxy::Proxy;
use support::{HOUR, STOP, Server, close, soon};

const CLIENTS: usize = 50;
const MESSAGES: usize = 200;
const RESTARTS: usize = 3;

/// Between these the clients are to come back.
const RANGE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1600));

/// What was handled, by whom it came from, in order.
type Journal = Arc<Mutex<HashMap<String, Vec<usize>>>>;

fn note(journal: &Journal, text: &str) {
    let (client, number) = text.split_once(' ').expect("two words");
    let number = number.parse().expect("a number");
    journal.lock().expect("not poisoned").entry(client.to_owned()).or_default().push(number);
}

fn noted(journal: &Journal) -> usize {
    journal.lock().expect("not poisoned").values().map(Vec::len).sum()
}

fn check(journal: &Journal) {
    let journal = journal.lock().expect("not poisoned");
    let all = (0..MESSAGES).collect::<Vec<_>>();
    assert_eq!(journal.len(), CLIENTS);
    assert!(journal.values().all(|numbers| *numbers == all), "all, once, in order");
}

/// A server that sends back what it gets.
fn server(store: Arc<SledStore>, journal: &Journal) -> Server {
    let journal = journal.clone();
    let builder = HookupServer::new(move || {
        let journal = journal.clone();
        move |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                note(&journal, &text);
                peer.do_send(text);
            }
        }
    });
    let builder = builder.session_store(store).session_ttl(HOUR).policy(OutboxPolicy::DropNewest);
    Server::start(builder.retry_after(RANGE.0, RANGE.1))
}

#[actix::test]
async fn nothing_is_lost_or_repeated_and_the_clients_come_back_one_by_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(SledStore::open(directory.path()).expect("opens"));
    let (there, back, waits) = (Journal::default(), Journal::default(), Arc::new(Mutex::new(Vec::new())));
    let mut running = server(store.clone(), &there);
    let proxy = Proxy::open(running.addr);

    let clients = (0..CLIENTS).map(|client| {
        let (back, waits, mut is_first) = (back.clone(), waits.clone(), false);
        let on_event = move |event: Event, _: Peer| match event {
            Event::Text(text) => note(&back, &text),
            Event::Disconnected(_) => is_first = true,
            // What comes of later attempts, while there is no server yet, is a matter of the client's backoff.
            Event::Reconnecting(next) if std::mem::take(&mut is_first) => {
                waits.lock().expect("not poisoned").push(next.wait);
            }
            _ => {}
        };
        let addr = v2::reliable(proxy.url()).start(on_event).expect("starts");
        let sending = actix::spawn(send_all(client, addr.clone()));
        (addr, sending)
    });
    let (addrs, sending): (Vec<_>, Vec<_>) = clients.unzip();

    for restart in 1..=RESTARTS {
        let some = async {
            while noted(&there) < CLIENTS * MESSAGES * restart / (RESTARTS + 1) {
                tokio::task::yield_now().await;
            }
        };
        soon("messages", some).await;
        assert_eq!(soon("the stop", running.hookup.stop(STOP)).await.abandoned, 0);
        running = server(store.clone(), &there);
        proxy.lead_to(running.addr);
    }
    for sent in join_all(sending).await {
        sent.expect("its task ended");
    }
    let all = async {
        while noted(&back) < CLIENTS * MESSAGES {
            tokio::task::yield_now().await;
        }
    };
    soon("all of them back", all).await;
    check(&there);
    check(&back);

    let mut waits = waits.lock().expect("not poisoned").clone();
    assert!(waits.len() >= CLIENTS, "each was told to come back at least once: {}", waits.len());
    waits.sort();
    assert!(*waits.last().expect("there are some") <= RANGE.1, "{waits:?}");
    // Drawn from the whole range; that a quarter of it stays empty has a chance of one in a million.
    let width = (RANGE.1 - RANGE.0) / 4;
    for quarter in 0..4 {
        let within = (RANGE.0 + width * quarter)..=(RANGE.0 + width * (quarter + 1));
        assert!(waits.iter().any(|wait| within.contains(wait)), "{quarter} of {waits:?}");
    }
    for addr in &addrs {
        assert_eq!(close(addr, HOUR).await, 0);
    }
}

/// Sends a client's messages, some at a time, and waits for the acks.
async fn send_all(client: usize, addr: actix::Addr<HookupClient>) {
    for first in (0..MESSAGES).step_by(5) {
        let some = first..first + 5;
        let acks = some.map(|number| addr.send(Text(format!("{client} {number}")).needs_ack(HOUR)));
        for acked in join_all(acks).await {
            acked.expect("lives").expect("acked");
        }
    }
}
