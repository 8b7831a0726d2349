//! The parent: it starts the two processes, kills them, starts them again, and reads what they record.

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    Args,
    end::End,
    journal::Record,
    ledger::Ledger,
    process::{Process, Said, Side},
    proxy::Proxy,
    report::{Bars, Summary},
};

/// How often journals are read, and kills are due.
const TICK: Duration = Duration::from_millis(20);

/// How long nothing may be handled before it is called stuck; what goes on in between takes seconds at most.
const STUCK: Duration = Duration::from_secs(30);

struct Torture {
    args: Args,
    directory: PathBuf,
    rng: Rng,
    proxy: Proxy,
    ends: [End; 2],
    /// What was handled by the server, and what by the client.
    ledgers: [Ledger; 2],
    said: UnboundedSender<Said>,
    bars: Bars,
    summary: Summary,
    is_stopping: bool,
    /// When something was handled last.
    moved: (u64, Instant),
}

pub(crate) async fn run(args: Args) -> hookup_examples::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let temporary = if args.directory.is_none() { Some(tempfile::tempdir()?) } else { None };
    let directory = match (&args.directory, &temporary) {
        (Some(directory), _) => directory.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => return Err("no directory".into()),
    };
    std::fs::create_dir_all(&directory)?;
    let mut rng = Rng::with_seed(seed);
    let proxy = Proxy::open(rng.fork(), args.cut_after).await?;
    let kills = args.kills.unwrap_or_else(|| args.minutes.map_or(10, |minutes| minutes * 6));
    let ends = Side::BOTH.map(|side| End::new(side, kills, &mut rng));
    let (said, mut heard) = unbounded_channel();
    let (is_json, bars) = (args.json, Bars::new());
    bars.say(&format!("seed {seed}"));
    let mut torture = Torture {
        args,
        directory,
        rng,
        proxy,
        ends,
        ledgers: Default::default(),
        said,
        bars,
        summary: Summary { seed, ..Summary::default() },
        is_stopping: false,
        moved: (0, Instant::now()),
    };
    tokio::select! {
        ran = torture.run(&mut heard) => ran?,
        () = hookup_examples::told_to_end() => return Ok(ExitCode::from(130)),
    }
    torture.bars.clear();
    let summary = torture.summary();
    for fault in torture.ledgers.iter().flat_map(|ledger| &ledger.faults) {
        eprintln!("fault: {fault}");
    }
    if is_json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        summary.print();
    }
    Ok(if summary.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Torture {
    async fn run(&mut self, heard: &mut UnboundedReceiver<Said>) -> hookup_examples::Result {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(said) = heard.recv() => {
                    self.heard(said)?;
                    continue;
                }
                Ok(()) = tokio::signal::ctrl_c() => {
                    if self.is_stopping {
                        return Err("it was stopped before all was handled".into());
                    }
                    self.stop().await?;
                }
            }
            self.read()?;
            self.kill_and_start().await?;
            let is_over = self.args.minutes.is_some_and(|minutes| self.bars.elapsed().as_secs() >= minutes * 60);
            if is_over && !self.is_stopping {
                self.stop().await?;
            }
            let is_done = self.ends.iter().all(|end| end.is_done && end.process.is_some() && end.dies_soon.is_none());
            if is_done && self.ledgers.iter().all(|ledger| ledger.outstanding() == 0) {
                return self.end(heard).await;
            }
            if self.moved.1.elapsed() > STUCK {
                self.trouble("nothing was handled for half a minute");
                return Ok(());
            }
            let summary = self.summary();
            self.bars.show(self.done(), &summary);
        }
    }

    fn heard(&mut self, said: Said) -> hookup_examples::Result {
        let end = &mut self.ends[said.side as usize];
        if said.life != end.life || end.process.is_none() {
            return Ok(());
        }
        match said.line.split_once(' ') {
            Some(("listening", addr)) => {
                end.is_up = true;
                self.proxy.lead_to(Some(addr.parse()?));
            }
            Some(("closed", unsent)) => self.summary.unsent = unsent.parse()?,
            _ if said.line == "produced" => end.is_done = true,
            _ => return Err(format!("the {} said {:?}", said.side, said.line).into()),
        }
        Ok(())
    }

    /// Reads what the processes have recorded.
    fn read(&mut self) -> io::Result<()> {
        for side in Side::BOTH {
            let end = &mut self.ends[side as usize];
            let (life, mut troubles) = (end.life, Vec::new());
            let Some(tail) = &mut end.tail else { continue };
            tail.read(|record| match record {
                // What this end has handled, the other one has sent.
                Record::Handled(handled) => self.ledgers[side.other() as usize].handled(handled, life),
                Record::Accepted { from, to } => {
                    end.accepted += to + 1 - from;
                    self.ledgers[side as usize].accepted(life, from, to);
                }
                Record::Refused { from, to } => self.ledgers[side as usize].refused(life, from, to),
                Record::SessionLost => self.summary.sessions_lost += 1,
                Record::Trouble(words) => troubles.push(words),
            })?;
            for words in troubles {
                self.trouble(&format!("the {side} was told: {words}"));
            }
        }
        let handled = self.ledgers.iter().map(|ledger| ledger.counts.handled).sum();
        if handled != self.moved.0 {
            self.moved = (handled, Instant::now());
        }
        Ok(())
    }

    async fn kill_and_start(&mut self) -> hookup_examples::Result {
        let (now, done) = (Instant::now(), self.done());
        for side in Side::BOTH {
            let end = &mut self.ends[side as usize];
            if let Some(status) = end.process.as_mut().map(Process::ended).transpose()?.flatten() {
                return Err(format!("the {side} ended by itself: {status}").into());
            }
            if end.dies_at.front().is_some_and(|at| *at <= done) {
                end.dies_at.pop_front();
                // Not in step with the reading of journals.
                end.dies_soon = Some(now + Duration::from_millis(self.rng.u64(..2 * TICK.as_millis() as u64)));
            }
            if end.dies_soon.take_if(|at| *at <= now).is_some() && !self.is_stopping {
                self.kill(side).await?;
            }
            let end = &mut self.ends[side as usize];
            if end.starts_at.take_if(|at| *at <= now).is_some() {
                let messages = match self.args.minutes {
                    _ if self.is_stopping => 0,
                    Some(_) => u64::MAX,
                    None => self.args.messages.saturating_sub(end.accepted),
                };
                end.start(&self.args, &self.directory, &self.proxy.url(), messages, self.said.clone())?;
                if end.kills > 0 && self.rng.u8(..4) == 0 {
                    // It is not to get through its start.
                    end.dies_soon = Some(now + Duration::from_millis(self.rng.u64(..300)));
                }
            }
        }
        Ok(())
    }

    async fn kill(&mut self, side: Side) -> io::Result<()> {
        let Some(process) = self.ends[side as usize].process.take() else { return Ok(()) };
        let is_terminable = side == Side::Server && self.ends[side as usize].is_up && !self.args.memory_store;
        if is_terminable && self.rng.bool() {
            // As whoever deploys it would.
            let status = process.terminate().await?;
            self.summary.terminations += 1;
            if !status.success() {
                self.trouble(&format!("the server did not end in order: {status}"));
            }
        } else {
            process.kill().await?;
        }
        self.read()?;
        let end = &mut self.ends[side as usize];
        end.kills += 1;
        end.starts_at = Some(Instant::now() + Duration::from_millis(self.rng.u64(..200)));
        if let Some(tail) = end.tail.take()
            && self.args.directory.is_none()
        {
            tail.remove()?;
        }
        if side == Side::Server {
            self.proxy.lead_to(None);
            if self.args.memory_store {
                self.ledgers[side as usize].gone(end.life);
            }
        }
        Ok(())
    }

    /// Nothing more is produced, and nobody is killed any more.
    async fn stop(&mut self) -> io::Result<()> {
        self.is_stopping = true;
        for process in self.ends.iter_mut().filter_map(|end| end.process.as_mut()) {
            process.stop().await?;
        }
        Ok(())
    }

    /// All is handled. The two end as programs should, and nothing may come of that.
    async fn end(&mut self, heard: &mut UnboundedReceiver<Said>) -> hookup_examples::Result {
        self.proxy.calm();
        for side in Side::BOTH {
            let Some(process) = &mut self.ends[side as usize].process else { continue };
            let status = process.end().await?;
            if !status.success() {
                self.trouble(&format!("the {side} failed at its end: {status}"));
            }
        }
        self.read()?;
        while let Ok(Some(said)) = tokio::time::timeout(TICK, heard.recv()).await {
            self.heard(said)?;
        }
        Ok(())
    }

    /// How much of the whole is done.
    fn done(&self) -> f64 {
        match self.args.minutes {
            Some(minutes) => self.bars.elapsed().as_secs_f64() / (minutes * 60) as f64,
            None => {
                let accepted = self.ends.iter().map(|end| end.accepted.min(self.args.messages)).sum::<u64>();
                accepted as f64 / (2 * self.args.messages) as f64
            }
        }
    }

    fn trouble(&mut self, words: &str) {
        self.summary.troubles += 1;
        // One is enough to fail; thousands would hide it.
        if self.summary.troubles <= 20 {
            self.bars.say(words);
        }
    }

    fn summary(&self) -> Summary {
        let [up, down] = [Side::Client, Side::Server].map(|side| self.ledgers[side as usize].counts());
        let [client_kills, server_kills] = [Side::Client, Side::Server].map(|side| self.ends[side as usize].kills);
        let (seconds, harm) = (self.bars.elapsed().as_secs_f64(), self.proxy.harm());
        Summary { seconds, up, down, harm, client_kills, server_kills, ..self.summary }
    }
}
