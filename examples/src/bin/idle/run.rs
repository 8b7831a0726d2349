//! One run: the server is started, the connections are opened and kept, and what they cost is measured.

use std::{
    cell::{Cell, RefCell},
    io::{self, IsTerminal as _},
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use hookup_examples::{Memory, cpu_seconds, open_files, raise_open_files};
use serde_json::json;

use crate::{Args, client::Client, report::Report, server::Server};

/// How many connections are being opened at a time.
const AT_A_TIME: usize = 256;

/// Files that are no connections.
const OTHER_FILES: u64 = 100;

/// What is seen of the connections.
#[derive(Default)]
struct Tally {
    pings: Cell<u64>,
    lost: Cell<u32>,
    /// How the first that was lost came to its end.
    first: RefCell<Option<String>>,
}

impl Tally {
    fn lost(&self, why: String) {
        self.lost.set(self.lost.get() + 1);
        self.first.borrow_mut().get_or_insert(why);
    }
}

/// Runs, prints what it saw, and says how many connections were lost.
pub(crate) async fn run(args: &Args) -> hookup_examples::Result<u32> {
    raise_open_files(2 * u64::from(args.connections) + OTHER_FILES)?;
    let settings = json!({
        "max_connections": args.connections,
        "max_sessions": args.connections,
        "heartbeat": format!("{}s", args.heartbeat),
    });
    let server = Server::start(&settings.to_string()).await?;
    let before = Memory::of(server.process);

    let tally = Rc::<Tally>::default();
    let begun = Instant::now();
    let (addr, protocol) = (server.addr, args.protocol);
    stream::iter(0..args.connections)
        .map(|number| Client::open(number, addr, protocol))
        .buffer_unordered(AT_A_TIME)
        .for_each(async |client| match client {
            Ok(client) => keep(client, tally.clone()),
            Err(error) => tally.lost(error.to_string()),
        })
        .await;
    let connecting = begun.elapsed();

    if io::stderr().is_terminal() {
        eprintln!("the connections are open, and are kept for {} s", args.seconds);
    }
    let worked = cpu_seconds(server.process);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let cpu = cpu_seconds(server.process).zip(worked).map(|(now, before)| now - before);

    let report = Report {
        protocol: protocol.name(),
        connections: args.connections,
        connecting: connecting.as_secs_f64(),
        seconds: args.seconds,
        before,
        after: Memory::of(server.process),
        open_files: open_files(server.process),
        cpu,
        pings: tally.pings.get(),
        lost: tally.lost.get(),
        first_lost: tally.first.take(),
    };
    report.print(args.json)?;
    Ok(report.lost)
}

fn keep(client: Client, tally: Rc<Tally>) {
    actix::spawn(async move {
        let pings = &tally.pings;
        let why = client.keep(|| pings.set(pings.get() + 1)).await;
        tally.lost(why);
    });
}
