//! Both ends for the Autobahn testsuite, the public conformance suite of WebSockets: they send back what they get.
//!
//! The server is tested by `wstest -m fuzzingclient -s spec.json`, where `servers` in the spec has its address; the client,
//! while `wstest -m fuzzingserver -s spec.json` runs, case by case. Leave out the cases `12.*` and `13.*`, which are about
//! compression. `wstest` comes with `pip install autobahntestsuite`, and needs Python 2.7.

use std::time::Duration;

use clap::Parser;
use hookup_client::{Close, HookupClient};
use hookup_server::{Event, HookupServer, Peer};
use tokio::sync::mpsc;

/// The longest message of the suite, and room for some of them.
const LONGEST: usize = 16 << 20;
const ROOM: (usize, u64) = (1000, 64 << 20);

/// An end of a WebSocket that sends back what it gets, for the Autobahn testsuite.
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
enum Args {
    /// Listens, and sends back what comes
    Server {
        /// Where to listen; port 0 takes any that is free
        #[arg(default_value = "127.0.0.1:9001")]
        listen: String,
    },
    /// Goes through the cases of a fuzzing server, and has it write its report
    Client {
        /// The fuzzing server's address
        #[arg(default_value = "ws://127.0.0.1:9001")]
        url: String,
    },
}

#[actix::main]
async fn main() -> hookup_examples::Result {
    tracing_subscriber::fmt::init();
    match Args::parse() {
        Args::Server { listen } => {
            let server = HookupServer::new(|| echo).max_message_bytes(LONGEST).outbox_bounds(ROOM.0, ROOM.1);
            let server = server.listen(listen)?;
            for addr in server.addrs() {
                println!("listening on ws://{addr}/");
            }
            server.await?;
        }
        Args::Client { url } => {
            let cases = visit(&format!("{url}/getCaseCount")).await?;
            let cases = cases.ok_or("the server has not said how many cases it has")?.parse::<u32>()?;
            for case in 1..=cases {
                visit(&format!("{url}/runCase?case={case}&agent=hookup")).await?;
            }
            visit(&format!("{url}/updateReports?agent=hookup")).await?;
            println!("went through {cases} cases");
        }
    }
    Ok(())
}

/// Connects once, and sends back what comes until the server closes; the first text that came.
async fn visit(url: &str) -> hookup_examples::Result<Option<String>> {
    let (told, mut tells) = mpsc::unbounded_channel();
    let client = HookupClient::builder(url).max_message_bytes(LONGEST).outbox_bounds(ROOM.0, ROOM.1);
    let client = client.start(move |event: Event, peer: Peer| {
        let news = match &event {
            Event::Text(text) => Some(Some(text.to_string())),
            Event::Disconnected(_) | Event::Reconnecting(_) => Some(None),
            _ => None,
        };
        echo(event, peer);
        // Whoever listens may have heard enough.
        news.map(|news| told.send(news));
    })?;
    let mut first = None;
    while let Some(Some(text)) = tells.recv().await {
        first.get_or_insert(text);
    }
    client.send(Close::within(Duration::ZERO)).await?;
    Ok(first)
}

fn echo(event: Event, peer: Peer) {
    match event {
        Event::Text(text) => peer.do_send(text),
        Event::Json(json) => peer.do_send(json),
        Event::Binary(bytes) => peer.do_send(bytes),
        _ => {}
    }
}
