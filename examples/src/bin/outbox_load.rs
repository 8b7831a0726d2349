//! What an outbox on disk takes of the disk and of the memory: `cargo run --release --bin outbox_load`.
//!
//! First a million messages are queued, as while a peer is away for long; then the outbox is opened again, and drained.
//! Then a few messages wait all the time while many pass through, as behind a slow peer. Each step is a process of its
//! own, so that what one of them has taken of the memory does not count for the next.
//!
//! Linux says how much memory a process holds, and has held at most; elsewhere it is left out.

use std::{
    fmt, fs, io,
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use clap::{Parser, Subcommand, ValueEnum};
use hookup_client::{
    Entry, Outbox as _, SledOutbox, Text,
    core::{Changes, Durability, SledOptions},
};
use hookup_examples::{Bytes, Memory};
use serde::{Deserialize, Serialize};

/// Fills an outbox on disk and drains it, and says what it takes of the disk and of the memory.
#[derive(Parser)]
#[command(disable_help_subcommand = true)]
struct Args {
    #[command(flatten)]
    load: Load,
    /// Where to make the outboxes, in directories that are removed at the end [default: the directory for temporary files]
    #[arg(long)]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(clap::Args, Clone, Copy)]
struct Load {
    /// How many messages to queue, and then to drain
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    messages: u64,
    /// How many messages wait while others pass through
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    backlog: u64,
    /// How many messages pass through
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    through: u64,
    /// The bytes of a message
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=1 << 20))]
    size: u32,
    /// How many messages are accepted at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// What an accepted message survives
    #[arg(long, value_enum, default_value_t = Survives::ProcessCrash)]
    survives: Survives,
}

#[derive(Clone, Copy, ValueEnum)]
enum Survives {
    ProcessCrash,
    PowerLoss,
}

/// What the processes do that this one starts.
#[derive(Subcommand, Clone, Copy)]
enum Child {
    #[command(hide = true)]
    Queue,
    #[command(hide = true)]
    Open,
    #[command(hide = true)]
    Drain,
    #[command(hide = true)]
    Backlog,
}

impl Child {
    fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Open => "open",
            Self::Drain => "drain",
            Self::Backlog => "backlog",
        }
    }
}

/// What a process has seen, and tells the one that started it in a line of JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// To open the outbox.
    opening: f64,
    /// For what came then.
    seconds: f64,
    /// How many messages it holds in the end.
    held: u64,
    memory: Option<Memory>,
    /// The directory when the backlog was there and nothing had passed through yet.
    start: Space,
    /// The directory at its largest.
    largest: Space,
}

fn main() -> hookup_examples::Result {
    let Args { load, directory, child } = Args::parse();
    match child {
        Some(child) => {
            let seen = load.run(child, &directory.ok_or("it is told where")?)?;
            println!("{}", serde_json::to_string(&seen)?);
            Ok(())
        }
        None => load.report(&directory.unwrap_or_else(std::env::temp_dir)),
    }
}

impl Load {
    fn report(self, directory: &Path) -> hookup_examples::Result {
        let Self { messages, backlog, through, size, batch, .. } = self;
        let begin = |name| {
            fs::create_dir_all(directory)?;
            tempfile::Builder::new().prefix(name).tempdir_in(directory)
        };

        let outbox = begin("queued")?;
        println!("{messages} messages of {size} bytes, in batches of {batch}: {}", Bytes(messages * u64::from(size)));
        let queued = self.start(Child::Queue, outbox.path())?;
        queued.print("queued", messages, Space::of(outbox.path())?);
        self.start(Child::Open, outbox.path())?.print("opened again", 0, Space::of(outbox.path())?);
        let drained = self.start(Child::Drain, outbox.path())?;
        let (peak, after) = (queued.largest.max(drained.largest), Space::of(outbox.path())?);
        drained.print("drained", messages, after);
        println!("  the directory had {peak} at its peak, and has {} of that now", after.percent_of(peak));
        drop(outbox);

        let outbox = begin("backlog")?;
        println!("{through} messages pass through while {backlog} wait: {}", Bytes(backlog * u64::from(size)));
        let seen = self.start(Child::Backlog, outbox.path())?;
        let after = Space::of(outbox.path())?;
        seen.print("passed through", through, after);
        let Seen { start, largest, .. } = seen;
        println!("  the directory had {start} at the beginning and {largest} at its peak");
        println!("  it has {} of what it had at the beginning", after.percent_of(start));
        Ok(())
    }

    /// Runs a part in a process of its own.
    fn start(self, child: Child, outbox: &Path) -> hookup_examples::Result<Seen> {
        let Self { messages, backlog, through, size, batch, survives } = self;
        let mut command = Command::new(std::env::current_exe()?);
        for (name, value) in [("messages", messages), ("backlog", backlog), ("through", through)] {
            command.arg(format!("--{name}={value}"));
        }
        command.arg(format!("--size={size}")).arg(format!("--batch={batch}"));
        if let Some(value) = survives.to_possible_value() {
            command.arg(format!("--survives={}", value.get_name()));
        }
        command.arg("--directory").arg(outbox).arg(child.name());
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("the part that is to {} ended with {}", child.name(), output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What a process does.
    fn run(self, child: Child, directory: &Path) -> hookup_examples::Result<Seen> {
        let begun = Instant::now();
        let outbox = self.open(directory)?;
        let opening = begun.elapsed().as_secs_f64();
        let stored = outbox.stored();
        let next = stored.last_seq + 1;
        let mut run = Run { load: self, directory, outbox, largest: Space::default() };
        let mut start = Space::default();
        let mut begun = Instant::now();
        match child {
            Child::Queue => run.pass(next..next + self.messages, 0..0)?,
            Child::Open => {}
            Child::Drain => run.pass(0..0, next - stored.usage.messages as u64..next)?,
            Child::Backlog => {
                run.pass(next..next + self.backlog, 0..0)?;
                start = Space::of(directory)?;
                begun = Instant::now();
                let appended = next + self.backlog..next + self.backlog + self.through;
                run.pass(appended, next..next + self.through)?;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let held = run.outbox.stored().usage.messages as u64;
        Ok(Seen { opening, seconds, held, memory: Memory::of(std::process::id()), start, largest: run.largest })
    }

    fn open(self, directory: &Path) -> hookup_examples::Result<SledOutbox> {
        let durability = match self.survives {
            Survives::ProcessCrash => Durability::ProcessCrash,
            Survives::PowerLoss => Durability::PowerLoss,
        };
        Ok(SledOptions::new().durability(durability).outbox(directory)?)
    }
}

/// An outbox at work.
struct Run<'a> {
    load: Load,
    directory: &'a Path,
    outbox: SledOutbox,
    largest: Space,
}

impl Run<'_> {
    /// Appends the one and takes out the other, a batch of each at a time.
    fn pass(&mut self, mut append: Range<u64>, mut take: Range<u64>) -> hookup_examples::Result {
        let batch = u64::from(self.load.batch);
        let batches = (append.end - append.start).max(take.end - take.start) / batch;
        for number in 0.. {
            if append.is_empty() && take.is_empty() {
                break;
            }
            let (appended, taken) = (next(&mut append, batch), next(&mut take, batch));
            let mut changes = Changes::default();
            if !taken.is_empty() {
                let count = (taken.end - taken.start) as usize;
                let entries = self.outbox.load(taken.start, count, u64::MAX)?;
                if !entries.iter().map(|entry| entry.seq).eq(taken) {
                    return Err("the outbox has lost messages".into());
                }
                changes = Changes::remove(&entries);
            }
            changes.appends = appended.map(|seq| self.entry(seq)).collect();
            self.outbox.commit(&changes)?;
            // A hundred looks are enough, and cost little.
            if number % (batches / 100).max(1) == 0 {
                self.look()?;
            }
        }
        self.look()
    }

    fn entry(&self, seq: u64) -> Entry {
        Entry { seq, outbound: Text(format!("{seq:0>len$}", len = self.load.size as usize)).into() }
    }

    fn look(&mut self) -> hookup_examples::Result {
        self.largest = self.largest.max(Space::of(self.directory)?);
        Ok(())
    }
}

/// The next so many, taken from the front.
fn next(range: &mut Range<u64>, count: u64) -> Range<u64> {
    let start = range.start;
    range.start = range.end.min(start + count);
    start..range.start
}

impl Seen {
    /// Prints what a step did with so many messages, and what the directory has after it.
    fn print(&self, what: &str, messages: u64, after: Space) {
        print!("  {what}");
        if messages > 0 {
            print!(" in {:.2} s, {:.0} messages/s", self.seconds, messages as f64 / self.seconds);
        }
        println!("; it took {:.3} s to open, and holds {} messages", self.opening, self.held);
        print!("    the directory has {after}");
        match self.memory {
            Some(Memory { held, most }) => {
                println!("; the process held {} of memory, {} at most", Bytes(held), Bytes(most))
            }
            None => println!(),
        }
    }
}

/// What a directory takes of the disk.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Space {
    /// The lengths of its files.
    length: u64,
    /// Their blocks. A file may have holes, and blocks after its end.
    blocks: u64,
}

impl Space {
    fn of(directory: &Path) -> io::Result<Self> {
        let mut space = Self::default();
        for file in fs::read_dir(directory)? {
            let file = file?;
            // A file may be removed meanwhile.
            let Ok(metadata) = file.metadata() else { continue };
            let Self { length, blocks } = match metadata.is_dir() {
                true => Self::of(&file.path())?,
                // Blocks are counted in units of 512 bytes, whatever the file system's are.
                false => Self { length: metadata.len(), blocks: metadata.blocks() * 512 },
            };
            space.length += length;
            space.blocks += blocks;
        }
        Ok(space)
    }

    fn max(self, other: Self) -> Self {
        Self { length: self.length.max(other.length), blocks: self.blocks.max(other.blocks) }
    }

    fn percent_of(self, whole: Self) -> String {
        let percent = |part, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        format!("{:.2}% ({:.2}% of the blocks)", percent(self.length, whole.length), percent(self.blocks, whole.blocks))
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} in blocks)", Bytes(self.length), Bytes(self.blocks))
    }
}
