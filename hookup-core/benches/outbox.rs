//! What an outbox on disk costs beside a plain file, and beside a database with one value per message.
//!
//! Three competitors take the same messages, of 200 bytes, in batches of 1, 32 and 256:
//!
//! - *plain*: what one would write by hand in ten lines. A file that is appended to: a length and a payload for each
//!   message, encoded into one buffer that is used again, and one `write_all` for each batch.
//! - *outbox*: [`SledOutbox`].
//! - *values*: a tree of sled's with a value for each message, by its number, and a `flush` for each batch. It is opened
//!   with a cache of 16 MiB, in sled's mode for little space.
//!
//! A *kill-safe* row is of messages that survive SIGKILL once they are accepted: they have been given to the system. A
//! *power-safe* row is of messages that survive a loss of power: the plain file does a `sync_data` for each batch, the
//! outbox is opened with [`Durability::PowerLoss`], and the tree does a `sync_data` of sled's file after its `flush`.
//!
//! *accept* is the time from messages that are in memory to a batch of them that is durable. *drain* is the time to read
//! a batch, to decode it into owned messages and to forget it. No promise is made of how soon a message is forgotten:
//! what turns up again after a crash is sent again. So nobody is made to wait for the disk there, nor is anyone in a
//! power-safe row: the plain file writes its new position into a small file, which it never syncs; the tree removes
//! values, and sled writes that within half a second; the outbox does what it does. All read what they have just
//! written, so it comes from the system's memory. The plain file has it easier than the outbox in that it has no
//! checksums and never gives space back: the rounds of a row only make it longer.
//!
//! All three go through many short rounds in one process, by turns and in all orders; so what disturbs the machine
//! disturbs all of them. The rates are the medians of the rounds. A ratio is that of two rates: the median of those of
//! the rounds, in brackets their quartiles, and then that of the whole times. Where the last is off the median, there
//! are rounds that cost much more than others.
//!
//! It writes below Cargo's target directory and cleans up after itself. In a file system that is kept in memory a sync
//! costs nothing, and the power-safe rows say nothing.
//!
//! `cargo bench -p hookup-core --bench outbox` takes a minute, or a little more. With `-- power` it is only the rows whose
//! names have that in them. Outside of `cargo bench` it is one round of each row, to see that it works.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    hint::black_box,
    io::{self, BufReader, Read as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use hookup_core::{Changes, Durability, Entry, Outbox as _, SledOptions, SledOutbox, Text};

/// The length of a message.
const LEN: usize = 200;

/// How many messages a batch has, and how many batches a round, of a kill-safe row and of a power-safe one.
const BATCHES: [(usize, [usize; 2]); 3] = [(1, [1024, 64]), (32, [128, 32]), (256, [16, 16])];

/// How long the rounds of a row may take, and how many there are at least and at most.
const ROW: Duration = Duration::from_secs(11);
const ROUNDS: (usize, usize) = (9, 149);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Messages that are accepted at once, in the forms that the competitors take them in.
struct Batch {
    texts: Vec<Text>,
    changes: Changes,
}

impl Batch {
    fn new(texts: Vec<Text>, first: u64) -> Self {
        let entries = texts.iter().zip(first..).map(|(text, seq)| Entry { seq, outbound: text.clone().into() });
        Self { changes: Changes::append(entries.collect::<Vec<_>>()), texts }
    }
}

trait Competitor {
    fn accept(&mut self, batch: &Batch) -> Result;

    /// Reads the next so many messages and forgets them.
    fn drain(&mut self, messages: usize) -> Result;
}

struct Plain {
    file: File,
    buffer: Vec<u8>,
    reader: BufReader<File>,
    position: u64,
    position_file: File,
    sync: bool,
}

impl Plain {
    fn open(directory: &Path, sync: bool) -> Result<Self> {
        fs::create_dir(directory)?;
        let path = directory.join("messages");
        Ok(Self {
            file: OpenOptions::new().append(true).create(true).open(&path)?,
            buffer: Vec::new(),
            reader: BufReader::with_capacity(64 << 10, File::open(path)?),
            position: 0,
            position_file: File::create(directory.join("position"))?,
            sync,
        })
    }
}

impl Competitor for Plain {
    fn accept(&mut self, batch: &Batch) -> Result {
        self.buffer.clear();
        for text in &batch.texts {
            self.buffer.extend_from_slice(&u32::try_from(text.len())?.to_be_bytes());
            self.buffer.extend_from_slice(text.as_bytes());
        }
        self.file.write_all(&self.buffer)?;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn drain(&mut self, messages: usize) -> Result {
        let mut texts = Vec::with_capacity(messages);
        for _ in 0..messages {
            let mut len = [0; 4];
            self.reader.read_exact(&mut len)?;
            let mut payload = vec![0; u32::from_be_bytes(len) as usize];
            self.reader.read_exact(&mut payload)?;
            self.position += (len.len() + payload.len()) as u64;
            texts.push(Text(String::from_utf8(payload)?));
        }
        black_box(texts);
        self.write_position()?;
        Ok(())
    }
}

impl Plain {
    #[cfg(unix)]
    fn write_position(&self) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.position_file, &self.position.to_be_bytes(), 0)
    }

    #[cfg(not(unix))]
    fn write_position(&self) -> io::Result<()> {
        let mut file = &self.position_file;
        io::Seek::rewind(&mut file)?;
        file.write_all(&self.position.to_be_bytes())
    }
}

struct Outbox {
    outbox: SledOutbox,
    next: u64,
}

impl Outbox {
    fn open(directory: &Path, sync: bool) -> Result<Self> {
        let durability = if sync { Durability::PowerLoss } else { Durability::ProcessCrash };
        Ok(Self { outbox: SledOptions::new().durability(durability).outbox(directory)?, next: 1 })
    }
}

impl Competitor for Outbox {
    fn accept(&mut self, batch: &Batch) -> Result {
        Ok(self.outbox.commit(&batch.changes)?)
    }

    fn drain(&mut self, messages: usize) -> Result {
        let entries = black_box(self.outbox.load(self.next, messages, u64::MAX)?);
        assert_eq!(entries.len(), messages, "all of them were accepted");
        self.next += messages as u64;
        Ok(self.outbox.commit(&Changes::remove(&entries))?)
    }
}

struct Values {
    tree: sled::Db,
    /// sled's file, to be synced.
    file: Option<File>,
    last: u64,
    next: u64,
}

impl Values {
    fn open(directory: &Path, sync: bool) -> Result<Self> {
        let config = sled::Config::new().path(directory).cache_capacity(16 << 20).mode(sled::Mode::LowSpace);
        let tree = config.open()?;
        let file = sync.then(|| OpenOptions::new().write(true).open(directory.join("db"))).transpose()?;
        Ok(Self { tree, file, last: 0, next: 1 })
    }
}

impl Competitor for Values {
    fn accept(&mut self, batch: &Batch) -> Result {
        for text in &batch.texts {
            self.last += 1;
            self.tree.insert(self.last.to_be_bytes(), text.as_bytes())?;
        }
        self.tree.flush()?;
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        Ok(())
    }

    fn drain(&mut self, messages: usize) -> Result {
        let mut texts = Vec::with_capacity(messages);
        for item in self.tree.range(self.next.to_be_bytes()..).take(messages) {
            texts.push(Text(String::from_utf8(item?.1.to_vec())?));
        }
        assert_eq!(black_box(texts).len(), messages, "all of them were accepted");
        for _ in 0..messages {
            self.tree.remove(self.next.to_be_bytes())?;
            self.next += 1;
        }
        Ok(())
    }
}

/// Which numbers of a [`Round`] are whose.
const PLAIN: usize = 0;
const OUTBOX: usize = 1;
const VALUES: usize = 2;

/// How many seconds the competitors took.
#[derive(Default)]
struct Round {
    accept: [f64; 3],
    drain: [f64; 3],
}

/// What is measured together.
struct Row {
    sync: bool,
    batch: usize,
    /// How many batches a round has.
    batches: usize,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, batches of {}", if self.sync { "power-safe" } else { "kill-safe" }, self.batch)
    }
}

impl Row {
    fn measure(&self, is_bench: bool) -> Result<Vec<Round>> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = |name| directory.path().join(name);
        let mut competitors: [Box<dyn Competitor>; 3] = [
            Box::new(Plain::open(&path("plain"), self.sync)?),
            Box::new(Outbox::open(&path("outbox"), self.sync)?),
            Box::new(Values::open(&path("values"), self.sync)?),
        ];
        let mut first = 1;
        let mut round = |number: usize| -> Result<Round> {
            let batches = (0..self.batches).map(|_| {
                let texts = (first..).take(self.batch).map(|seq| Text(format!("{seq:0>LEN$}"))).collect();
                first += self.batch as u64;
                Batch::new(texts, first - self.batch as u64)
            });
            let batches = batches.collect::<Vec<_>>();
            let mut round = Round::default();
            // Each is the first in turn, and each of the others comes after it as often.
            for whose in [0, 1, 2].map(|turn| (number + turn * (1 + number % 2)) % 3) {
                let competitor = &mut competitors[whose];
                let begun = Instant::now();
                batches.iter().try_for_each(|batch| competitor.accept(batch))?;
                round.accept[whose] = begun.elapsed().as_secs_f64();
                let begun = Instant::now();
                batches.iter().try_for_each(|_| competitor.drain(self.batch))?;
                round.drain[whose] = begun.elapsed().as_secs_f64();
            }
            Ok(round)
        };
        // The first is not like the others: files are made in it, and buffers.
        let warm = round(0)?;
        if !is_bench {
            return Ok(vec![warm]);
        }
        let begun = Instant::now();
        let is_enough = |rounds: usize| rounds >= ROUNDS.1 || rounds >= ROUNDS.0 && begun.elapsed() >= ROW;
        let mut rounds = Vec::new();
        while !is_enough(rounds.len()) {
            rounds.push(round(rounds.len())?);
        }
        Ok(rounds)
    }

    /// Prints one kind of times of the rounds.
    fn print(&self, what: &str, rounds: &[Round], times: impl Fn(&Round) -> [f64; 3]) {
        let messages = (self.batch * self.batches) as f64;
        let rate = |whose| median(rounds.iter().map(|round| messages / times(round)[whose])).1;
        let ratio = |to| {
            let (lower, median, upper) = median(rounds.iter().map(|round| times(round)[to] / times(round)[OUTBOX]));
            let total = |whose: usize| rounds.iter().map(|round| times(round)[whose]).sum::<f64>();
            let [lower, median, upper, whole] = [lower, median, upper, total(to) / total(OUTBOX)].map(digits);
            format!("{median:>6} {:>15} {whole:>6}", format!("({lower}..{upper})"))
        };
        println!(
            "{:<28} {what:<6} {:>9.0} {:>9.0} {:>9.0}  {}  {}  {:>3}",
            self.to_string(),
            rate(PLAIN),
            rate(OUTBOX),
            rate(VALUES),
            ratio(PLAIN),
            ratio(VALUES),
            rounds.len(),
        );
    }
}

/// The lower quartile, the median and the upper quartile.
fn median(numbers: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut numbers = numbers.collect::<Vec<_>>();
    numbers.sort_by(f64::total_cmp);
    let at = |quarters| numbers[(numbers.len() - 1) * quarters / 4];
    (at(1), at(2), at(3))
}

/// The ratio with about three digits.
fn digits(ratio: f64) -> String {
    let decimals = match ratio {
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{ratio:.decimals$}")
}

fn main() -> Result {
    let (flags, filters) = std::env::args().skip(1).partition::<Vec<_>, _>(|arg| arg.starts_with('-'));
    let is_bench = flags.iter().any(|flag| flag == "--bench");
    println!("{:<35} {:^29}  {:^29}  {:^29}", "", "messages/s", "outbox / plain", "outbox / values");
    println!(
        "{:<35} {:>9} {:>9} {:>9}  {:>6} {:>15} {:>6}  {:>6} {:>15} {:>6}  rounds",
        "", "plain", "outbox", "values", "median", "(quartiles)", "whole", "median", "(quartiles)", "whole"
    );
    for sync in [false, true] {
        for (batch, batches) in BATCHES {
            let row = Row { sync, batch, batches: batches[usize::from(sync)] };
            if !filters.iter().all(|filter| row.to_string().contains(filter.as_str())) {
                continue;
            }
            let rounds = row.measure(is_bench)?;
            row.print("accept", &rounds, |round| round.accept);
            row.print("drain", &rounds, |round| round.drain);
        }
    }
    Ok(())
}
