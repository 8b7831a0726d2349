//! The promise of `hookup.v2`, tested as a promise: two links over random schedules of faults.

mod v2_world;

use std::{cell::RefCell, collections::BTreeMap};

use hookup_core::Usage;
use proptest::{prelude::*, test_runner::TestRunner};
use v2_world::{Kind, World};

fn window() -> impl Strategy<Value = Usage> {
    (1..6_usize, 8..60_u64).prop_map(|(messages, bytes)| Usage { messages, bytes })
}

fn kind() -> impl Strategy<Value = Kind> {
    let flag = || prop::bool::weighted(0.3);
    let parts = ([window(), window()], 0..4_u32, 0..20_u32, flag(), flag(), any::<bool>(), any::<bool>());
    parts.prop_map(|(windows, client, server, restores, loses, refuses, withdraws)| Kind {
        windows,
        client,
        server,
        restores,
        loses,
        refuses,
        withdraws,
    })
}

fn schedule() -> impl Strategy<Value = (Kind, Vec<u32>)> {
    (kind(), prop::collection::vec(any::<u32>(), 0..200))
}

fn play((kind, steps): (Kind, Vec<u32>)) -> World {
    let mut world = World::new(kind);
    for step in steps {
        world.take(step);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn whatever_fails_each_message_is_handled_once_and_in_order_and_every_waiter_is_told(schedule in schedule()) {
        play(schedule);
    }
}

/// With a seed that is always the same, so that it says what the schedules above are worth.
#[test]
fn the_schedules_reach_every_kind_of_fault() {
    const CASES: u32 = 300;
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let rng = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let counts = RefCell::new(BTreeMap::new());
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&schedule(), |schedule| {
        for event in &play(schedule).events {
            *counts.borrow_mut().entry(*event).or_insert(0_u32) += 1;
        }
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    let counts = counts.into_inner();
    let expected = [
        "opened",
        "handled",
        "redelivered",
        "refused",
        "failed",
        "gap",
        "session lost",
        "takeover",
        "half open",
        "restored",
        "client crashed",
        "server crashed",
        "crash after effect",
        "ended",
    ];
    for event in expected {
        let count = counts.get(event).copied().unwrap_or(0);
        assert!(count >= CASES / 60, "{event}: only {count} of {CASES}, {counts:?}");
    }
}
