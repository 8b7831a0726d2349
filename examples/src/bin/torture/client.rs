//! The client, in its process.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use hookup_client::{Backoff, Close, Event, HookupClient, Peer};

use crate::{
    HEARTBEAT, Life, OUTBOX,
    journal::Journal,
    process::{Side, abort, orders},
    producer::{Producer, record},
};

/// How long the last acks may take, with the network as it should be.
const WITHIN: Duration = Duration::from_secs(30);

/// Produces, and records what it is told; until it is told to end, or its standard input ends, which it does with the
/// parent.
pub(crate) async fn run(life: Life, url: String) -> hookup_examples::Result {
    let journal = Arc::new(Journal::create(&life.directory, Side::Client, life.number)?);
    let on_event = journal.clone();
    let client = HookupClient::builder(url)
        .outbox(life.directory.join("outbox"))
        .outbox_bounds(OUTBOX.0, OUTBOX.1)
        .require_reliable(true)
        .heartbeat(HEARTBEAT)
        .connect_timeout(Duration::from_secs(2))
        .backoff(Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(50)))
        .start(move |event: Event, _: Peer| record(&on_event, &event).unwrap_or_else(abort))?;

    let stop = Arc::new(AtomicBool::new(false));
    let producer = Producer { life: life.number, messages: life.messages, journal, stop: stop.clone() };
    let produced = producer.run(client.clone().recipient());
    actix::spawn(async move {
        match produced.await {
            Ok(()) => println!("produced"),
            Err(words) => abort(words),
        }
    });

    if orders(&stop).await? {
        println!("closed {}", client.send(Close::within(WITHIN)).await?.unsent);
    }
    Ok(())
}
