//! What connections cost a server that nobody says anything to: `cargo run --release --bin idle`.
//!
//! The server is a process of its own, so that what is measured is the server's alone. Its connections are opened here,
//! by clients that know as much of WebSockets as is needed to greet and to answer pings. They are kept for longer than
//! two heartbeats. It fails when a connection could not be opened, or was lost.
//!
//! The server has two file descriptors for each connection, actix-web's and a second hold on the socket; so 10,000 take
//! a limit of open files above 20,000, which is raised where that is allowed. Where it is not, there are as many servers as
//! it takes, each a process of its own, and what is printed is the sum of them.

mod client;
mod report;
mod run;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Opens many connections to a server, keeps them idle, and says what each costs the server.
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Args {
    /// How many connections to open
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// How long to keep them when all are open, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// After how many seconds of silence the server pings a client
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    heartbeat: u64,
    /// What the clients speak
    #[arg(long, value_enum, default_value_t = Protocol::V2)]
    protocol: Protocol,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

/// A subprotocol.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    #[value(name = "hookup.v2")]
    V2,
    #[value(name = "simpleJson")]
    SimpleJson,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::V2 => "hookup.v2",
            Self::SimpleJson => "simpleJson",
        }
    }
}

/// What the process does that this one starts.
#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Server {
        /// The server's settings, in JSON.
        settings: String,
    },
}

#[actix::main]
async fn main() -> hookup_examples::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Child::Server { settings }) = args.child {
        server::run(&settings).await?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        lost = run::run(&args) => Ok(if lost? == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        () = hookup_examples::told_to_end() => Ok(ExitCode::from(130)),
    }
}
