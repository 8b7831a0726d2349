//! The server, in its process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hookup_server::{Event, HookupServer, OutboxPolicy, Peer, core::SledStore};

use crate::{
    HEARTBEAT, Life, OUTBOX,
    journal::Journal,
    process::{Side, abort, orders},
    producer::{Producer, record},
};

/// Says where it listens, produces for the one session that there is, and records what it is told; until it is told to
/// end, or its standard input ends, which it does with the parent.
pub(crate) async fn run(life: Life, memory_store: bool) -> hookup_examples::Result {
    let journal = Arc::new(Journal::create(&life.directory, Side::Server, life.number)?);
    let stop = Arc::new(AtomicBool::new(false));
    let (is_producing, on_stop) = (Arc::new(AtomicBool::new(false)), stop.clone());
    let server = HookupServer::new(move || {
        let (journal, is_producing, stop) = (journal.clone(), is_producing.clone(), on_stop.clone());
        move |event: Event, peer: Peer| {
            record(&journal, &event).unwrap_or_else(abort);
            // From the first connection on the session goes on by itself, as long as this process does.
            if matches!(event, Event::Connected(_)) && !is_producing.swap(true, Ordering::Relaxed) {
                let (journal, stop) = (journal.clone(), stop.clone());
                let producer = Producer { life: life.number, messages: life.messages, journal, stop };
                actix::spawn(async move {
                    match producer.run(peer.addr().clone()).await {
                        Ok(()) => println!("produced"),
                        Err(words) => abort(words),
                    }
                });
            }
        }
    });
    let mut server = server
        .outbox_bounds(OUTBOX.0, OUTBOX.1)
        // The producer waits for room.
        .policy(OutboxPolicy::DropNewest)
        .heartbeat(HEARTBEAT)
        .retry_after(Duration::from_millis(100), Duration::from_millis(300))
        .session_ttl(Duration::from_secs(24 * 3600));
    if !memory_store {
        server = server.session_store(SledStore::open(life.directory.join("sessions"))?);
    }
    let server = server.listen("127.0.0.1:0")?;
    println!("listening {}", server.addrs()[0]);

    let hookup = server.hookup().clone();
    tokio::select! {
        served = server.into_future() => {
            served?;
            // The runtime would wait for its thread that reads the standard input.
            std::process::exit(0);
        }
        order = orders(&stop) => if order? {
            hookup.stop(Duration::from_secs(60)).await;
        }
    }
    Ok(())
}
