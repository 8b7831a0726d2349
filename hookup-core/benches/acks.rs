//! What one message's ack costs while none, a thousand and a hundred thousand others are pending.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, System};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hookup_core::ack::{AckBatch, AckOp, AckOutcomes, AckSupervisor, AckTable, Enrol, Owner};

const PENDING: [u64; 3] = [0, 1_000, 100_000];

/// Beyond the end of any run.
const WITHIN: Duration = Duration::from_secs(24 * 3600);

/// When the pending ones expire: before and after the one that is measured.
fn deadline(start: Instant, seq: u64) -> Instant {
    start + WITHIN / 2 + Duration::from_millis(seq * 7919 % 100_000 * 1000)
}

/// Arms and ends one ack in the table.
fn table(c: &mut Criterion) {
    let mut group = c.benchmark_group("one message through the table");
    group.throughput(Throughput::Elements(1));
    for pending in PENDING {
        let (owner, start, mut table) = (Owner::new(), Instant::now(), AckTable::default());
        (1..=pending).for_each(|seq| table.arm(owner, seq, deadline(start, seq)));
        let mut seq = pending;
        group.bench_function(BenchmarkId::from_parameter(pending), |b| {
            b.iter(|| {
                seq += 1;
                table.arm(owner, seq, start + WITHIN);
                black_box(table.end(owner, seq))
            });
        });
    }
    group.finish();
}

/// An owner that is told the outcomes.
struct Told;

impl Actor for Told {
    type Context = Context<Self>;
}

impl Handler<AckOutcomes> for Told {
    type Result = ();

    fn handle(&mut self, outcomes: AckOutcomes, _: &mut Self::Context) {
        black_box(outcomes);
    }
}

/// Arms acks in one message to the supervisor, and ends them in a second, as a session does.
fn actor(c: &mut Criterion) {
    for batch in [1, 64] {
        let mut group = c.benchmark_group(format!("messages through the actor, in batches of {batch}"));
        group.throughput(Throughput::Elements(batch));
        for pending in PENDING {
            let system = System::new();
            let (owner, start) = (Owner::new(), Instant::now());
            let supervisor = system.block_on(async {
                let supervisor = AckSupervisor::default().start();
                let ops = (1..=pending).map(|seq| AckOp::Arm { seq, deadline: deadline(start, seq) }).collect();
                supervisor.do_send(Enrol { owner, outcomes: Told.start().recipient() });
                supervisor.send(AckBatch { owner, ops }).await.expect("it lives");
                supervisor
            });
            let mut seq = pending;
            group.bench_function(BenchmarkId::from_parameter(pending), |b| {
                b.iter_custom(|rounds| {
                    system.block_on(async {
                        let begun = Instant::now();
                        for _ in 0..rounds {
                            let seqs = seq + 1..=seq + batch;
                            seq += batch;
                            let ops = seqs.clone().map(|seq| AckOp::Arm { seq, deadline: start + WITHIN }).collect();
                            supervisor.send(AckBatch { owner, ops }).await.expect("it lives");
                            let ops = seqs.map(|seq| AckOp::Acked { seq }).collect();
                            supervisor.send(AckBatch { owner, ops }).await.expect("it lives");
                        }
                        begun.elapsed()
                    })
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, table, actor);
criterion_main!(benches);
