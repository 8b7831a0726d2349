//! A client that sends what is typed, a line each, and prints what comes back. Start `echo_server` before it, or after.

use std::time::Duration;

use clap::Parser;
use hookup_client::{Close, Event, HookupClient, Peer, Text};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Sends what is typed, a line each, and prints what comes back.
#[derive(Parser)]
struct Args {
    /// The server's address
    #[arg(default_value = "ws://127.0.0.1:8125/")]
    url: String,
}

#[actix::main]
async fn main() -> hookup_examples::Result {
    tracing_subscriber::fmt::init();
    let args = Args::parse();
    let addr = HookupClient::builder(args.url).start(print)?;

    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        addr.do_send(Text(line).needs_ack(Duration::from_secs(5)));
    }

    let closed = addr.send(Close::within(Duration::from_secs(5))).await?;
    match closed.unsent {
        0 => Ok(()),
        unsent => Err(format!("{unsent} lines were not acked").into()),
    }
}

fn print(event: Event, _: Peer) {
    match event {
        Event::Text(text) => println!("{text}"),
        Event::Connected(connected) => eprintln!("connected, speaking {}", connected.format),
        Event::Reconnecting(next) => eprintln!("{}; attempt {} in {:?}", next.cause, next.attempt, next.wait),
        Event::AckFailed(error) => eprintln!("{error}: {:?}", error.message.message()),
        _ => {}
    }
}
