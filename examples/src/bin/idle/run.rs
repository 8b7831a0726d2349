//! One run: the server is started, the connections are opened and kept, and what they cost is measured.

use std::{
    cell::{Cell, RefCell},
    io::{self, IsTerminal as _},
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use hookup_examples::{Memory, allowed_open_files, cpu_seconds, open_files, raise_open_files};
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
    raise_open_files(u64::from(args.connections) + OTHER_FILES)?;
    // A server has two files for each connection.
    let most = allowed_open_files().map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES) / 2).max(1);
    let processes = u64::from(args.connections).div_ceil(most);
    let settings = json!({
        "max_connections": args.connections,
        "max_sessions": args.connections,
        "heartbeat": format!("{}s", args.heartbeat),
    });
    let mut servers = Vec::new();
    for _ in 0..processes {
        servers.push(Server::start(&settings.to_string()).await?);
    }
    let before = memory(&servers);

    let tally = Rc::<Tally>::default();
    let begun = Instant::now();
    let protocol = args.protocol;
    stream::iter((0..args.connections).zip(servers.iter().cycle()))
        .map(|(number, server)| Client::open(number, server.addr, protocol))
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
    let cpu = || servers.iter().map(|server| cpu_seconds(server.process)).sum::<Option<f64>>();
    let worked = cpu();
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let cpu = cpu().zip(worked).map(|(now, before)| now - before);

    let report = Report {
        protocol: protocol.name(),
        connections: args.connections,
        processes,
        connecting: connecting.as_secs_f64(),
        seconds: args.seconds,
        before,
        after: memory(&servers),
        open_files: servers.iter().map(|server| open_files(server.process)).sum(),
        cpu,
        pings: tally.pings.get(),
        lost: tally.lost.get(),
        first_lost: tally.first.take(),
    };
    report.print(args.json)?;
    Ok(report.lost)
}

/// What all of them have.
fn memory(servers: &[Server]) -> Option<Memory> {
    servers.iter().map(|server| Memory::of(server.process)).try_fold(Memory { held: 0, most: 0 }, |all, one| {
        let one = one?;
        Some(Memory { held: all.held + one.held, most: all.most + one.most })
    })
}

fn keep(client: Client, tally: Rc<Tally>) {
    actix::spawn(async move {
        let pings = &tally.pings;
        let why = client.keep(|| pings.set(pings.get() + 1)).await;
        tally.lost(why);
    });
}
