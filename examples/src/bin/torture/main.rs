//! What `hookup.v2` promises, put to the test for as long as you like: `cargo run --release --bin torture -- --minutes 60`.
//!
//! A server and a client run as processes of their own and send each other messages, as fast as they can, through a
//! proxy that cuts their connections at random bytes, stalls them and half-closes them. Both are killed with SIGKILL
//! again and again, at any time, and started again on what they had on disk. Every message that one of them has accepted
//! must be handled at the other end: in order, and once, unless the handler was told that it may be a repeat.
//!
//! Ctrl-C ends it early: what was accepted is still to arrive, and is counted.
//!
//! Without arguments it takes 100,000 messages each way and 10 kills of each process. It fails when anything was lost,
//! repeated without a flag, or out of order; the seed that it prints gives the same plan of cuts and kills, but not the same timing.

mod client;
mod end;
mod journal;
mod ledger;
mod process;
mod producer;
mod proxy;
mod report;
mod run;
mod server;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

/// Sends messages both ways over connections that break, between processes that are killed, and checks what arrived.
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Args {
    /// How many messages each end is to accept
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "minutes")]
    messages: u64,
    /// How long to go on, in place of a number of messages
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: Option<u64>,
    /// Of the random cuts and kills; one is drawn, and printed, where none is given
    #[arg(long)]
    seed: Option<u64>,
    /// How often to kill each process; some die a few times more, while they start [default: 10, or 6 a minute]
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    kills: Option<u64>,
    /// After how many bytes, on average, a connection is cut, stalled or half-closed
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    cut_after: u64,
    /// Keep the server's sessions in memory, so that what it had queued dies with it, and nothing else
    #[arg(long)]
    memory_store: bool,
    /// Where to keep the outbox, the sessions and what was recorded, for a look at it later [default: a temporary directory]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

/// What the processes are that this one starts.
#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Server {
        #[command(flatten)]
        life: Life,
        #[arg(long)]
        memory_store: bool,
    },
    #[command(hide = true)]
    Client {
        #[command(flatten)]
        life: Life,
        url: String,
    },
}

/// One process's share.
#[derive(clap::Args)]
struct Life {
    directory: PathBuf,
    /// How many of its kind there were, with this one.
    number: u32,
    /// How many messages it is to accept.
    messages: u64,
}

/// After how much silence a peer is pinged; so a stall ends a connection that lasts twice as long.
const HEARTBEAT: Duration = Duration::from_millis(300);

/// What either outbox may hold: so little that they are often full, and a producer is never far ahead of its peer.
const OUTBOX: (usize, u64) = (2000, 16 << 20);

#[actix::main]
async fn main() -> hookup_examples::Result<ExitCode> {
    let args = Args::parse();
    match args.child {
        Some(Child::Server { life, memory_store }) => server::run(life, memory_store).await?,
        Some(Child::Client { life, url }) => client::run(life, url).await?,
        None => return run::run(args).await,
    }
    Ok(ExitCode::SUCCESS)
}
