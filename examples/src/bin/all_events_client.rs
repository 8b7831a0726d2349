//! A client whose handler names every event that it can be given. Stop and start the server to see them.

use std::time::Duration;

use actix::clock::interval;
use clap::Parser;
use hookup_client::{Backoff, Binary, Event, HookupClient, Json, Peer, Text};

/// Sends a message of each kind every second, and prints every event.
#[derive(Parser)]
struct Args {
    /// The server's address
    #[arg(default_value = "ws://127.0.0.1:8125/")]
    url: String,
    /// How many times to send; for ever if not given
    #[arg(long)]
    times: Option<u64>,
}

#[actix::main]
async fn main() -> hookup_examples::Result {
    tracing_subscriber::fmt::init();
    let args = Args::parse();
    let addr = HookupClient::builder(args.url)
        .heartbeat(Duration::from_secs(5))
        .backoff(Backoff::default().max(Duration::from_secs(5)))
        .start(on_event)?;

    let mut every_second = interval(Duration::from_secs(1));
    for round in 1..=args.times.unwrap_or(u64::MAX) {
        every_second.tick().await;
        addr.do_send(Text(format!("round {round}")).needs_ack(Duration::from_secs(3)));
        addr.do_send(Json(&["a", "json", "message"])?);
        addr.do_send(Binary(vec![0, 1, 2]));
    }
    let closed = addr.send(hookup_client::Close::within(Duration::from_secs(5))).await?;
    println!("closed, {} messages unsent", closed.unsent);
    Ok(())
}

fn on_event(event: Event, _: Peer) {
    match event {
        Event::Connected(connected) => println!("connected, speaking {}", connected.format),
        Event::Text(text) => println!("text {text}"),
        Event::Json(json) => println!("json {json}"),
        Event::Binary(bytes) => println!("{} bytes", bytes.len()),
        Event::AckFailed(error) => println!("{:?} was not acked: {error}", error.message.message()),
        Event::Reconnecting(next) => println!("attempt {} in {:?}, because {}", next.attempt, next.wait, next.cause),
        Event::Disconnected(cause) => println!("disconnected: {cause}"),
        Event::Gap { missed } => println!("{missed} messages are lost"),
        Event::SessionLost => println!("the session is lost"),
        Event::Dropped { messages, .. } => println!("{messages} messages made room for newer ones"),
        Event::Quarantined(old) => println!("{} was damaged: {}", old.path.display(), old.problem),
        Event::Error(error) => println!("{error}"),
        other => println!("{other:?}"),
    }
}
