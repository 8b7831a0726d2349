//! The main job in one command: `cargo run --release --bin quickstart`.
//!
//! A server runs as a process of its own. A client sends it messages that need an ack, and keeps them on disk until they
//! are acked. The server is killed with SIGKILL, twice, while messages keep coming, and started again. In the end
//! every message must have been handled.

mod report;
mod server;

use std::{cell::Cell, process::ExitCode, rc::Rc, time::Duration};

use actix::clock::{Instant, interval, sleep_until};
use clap::Parser;
use hookup_client::{Backoff, Close, Event, HookupClient, Peer, SendFailure, Text};
use report::Report;
use server::Server;

/// Sends messages to a server that is killed twice on the way, and counts what became of them.
#[derive(Parser)]
struct Args {
    /// How many messages to send
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    messages: u64,
    /// How many to send per second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Be the server, on this port
    #[arg(long, hide = true)]
    serve: Option<u16>,
}

/// How long a message may take to be acked, counted from its first transmission; a kill and a restart fit in.
const WITHIN: Duration = Duration::from_secs(20);

/// How long the server stays dead each time.
const DOWN: Duration = Duration::from_secs(1);

#[actix::main]
async fn main() -> hookup_examples::Result<ExitCode> {
    let args = Args::parse();
    if let Some(port) = args.serve {
        server::serve(port).await?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        lost = run(&args) => Ok(if lost? == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        // What is left behind by another signal is the outbox in the temporary directory.
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        () = hookup_examples::told_to_end() => Ok(ExitCode::from(130)),
    }
}

async fn run(args: &Args) -> hookup_examples::Result<u64> {
    let outbox = tempfile::tempdir()?;
    let report = Rc::new(Report::new(args.messages));
    let mut server = Server::start(report.clone()).await?;

    let is_connected = Rc::new(Cell::new(false));
    let shown = (report.clone(), is_connected.clone());
    let client = HookupClient::builder(server.url())
        .outbox(outbox.path())
        .backoff(Backoff::default().max(Duration::from_secs(1)))
        .start(move |event: Event, _: Peer| {
            let (report, is_connected) = &shown;
            match event {
                Event::Connected(_) => is_connected.set(true),
                Event::Disconnected(_) => is_connected.set(false),
                _ => {}
            }
            report.connection(is_connected.get());
        })?;

    let mut kills = [args.messages / 4, args.messages * 5 / 8].into_iter().peekable();
    let mut restart = None;
    let mut pace = interval(Duration::from_secs(1) / u32::try_from(args.rate)?);
    for n in 1..=args.messages {
        pace.tick().await;
        let acked = client.send(Text(n.to_string()).needs_ack(WITHIN));
        report.sent(!is_connected.get());
        let counted = report.clone();
        actix::spawn(async move {
            match acked.await {
                Ok(Ok(_)) => counted.acked(),
                Ok(Err(error)) => counted.failed(&error.reason),
                Err(_) => counted.failed(&SendFailure::Closed),
            }
        });
        match restart {
            Some(at) if at <= Instant::now() => {
                restart = None;
                server.restart().await?;
            }
            None if is_connected.get() && kills.next_if(|&at| at <= n).is_some() => {
                server.kill().await?;
                restart = Some(Instant::now() + DOWN);
            }
            _ => {}
        }
    }
    if let Some(at) = restart {
        sleep_until(at).await;
        server.restart().await?;
    }

    client.send(Close::within(WITHIN)).await?;
    // What the server printed before it ends is part of the count.
    server.end().await?;
    Ok(report.finish())
}
