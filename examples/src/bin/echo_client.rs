//! A client that sends what is typed, a line each, and prints what comes back. Start `echo_server` before it, or after.

use std::time::Duration;

use clap::Parser;
use hookup_client::{Close, Event, HookupClient, Peer, Text};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    sync::watch,
};

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
    let (echoed, mut echoes) = watch::channel(0);
    let addr = HookupClient::builder(args.url).start(move |event: Event, _: Peer| {
        if let Event::Text(_) = event {
            echoed.send_modify(|echoes| *echoes += 1);
        }
        print(event);
    })?;

    let mut sent = 0;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        addr.do_send(Text(line).needs_ack(Duration::from_secs(5)));
        sent += 1;
    }

    // An ack says that the server has handled a line, not that its echo is here.
    let all = echoes.wait_for(|&echoes| echoes >= sent);
    if tokio::time::timeout(Duration::from_secs(5), all).await.is_err() {
        eprintln!("not every line came back");
    }
    let closed = addr.send(Close::within(Duration::from_secs(5))).await?;
    match closed.unsent {
        0 => Ok(()),
        unsent => Err(format!("{unsent} lines were not acked").into()),
    }
}

fn print(event: Event) {
    match event {
        Event::Text(text) => println!("{text}"),
        Event::Connected(connected) => eprintln!("connected, speaking {}", connected.format),
        Event::Reconnecting(next) => eprintln!("{}; attempt {} in {:?}", next.cause, next.attempt, next.wait),
        Event::AckFailed(error) => eprintln!("{error}: {:?}", error.message.message()),
        _ => {}
    }
}
