//! What `hookup.v2` promises, end to end: the `torture` program, in a size that fits in here.

use std::process::Command;

use serde_json::Value;

/// Runs the program to its end, and gives what it counted; the seed, and what it found, are in the words of a failure.
fn torture(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_torture")).args(args).arg("--json").output().expect("runs");
    let words = [output.stderr, output.stdout].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success(), "{}: {words}", output.status);
    serde_json::from_str(words.lines().last().expect("a result")).expect("JSON")
}

fn count(result: &Value, at: &str) -> u64 {
    result.pointer(at).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {at} in {result}"))
}

fn none_of(result: &Value, fates: &[&str]) {
    for fate in fates {
        assert_eq!(count(result, fate), 0, "{fate} in {result}");
    }
}

/// In both directions.
const NEVER: [&str; 10] = [
    "/up/repeated_unflagged",
    "/down/repeated_unflagged",
    "/up/out_of_order",
    "/down/out_of_order",
    "/up/wrong_key",
    "/down/wrong_key",
    "/up/refused_and_handled",
    "/down/refused_and_handled",
    "/troubles",
    "/unsent",
];

#[test]
fn nothing_is_lost_or_repeated_unflagged_or_out_of_order_whatever_happens_to_connections_and_processes() {
    let result = torture(&["--messages", "100000", "--kills", "6", "--cut-after", "25000"]);
    none_of(&result, &NEVER);
    none_of(&result, &["/up/lost", "/down/lost", "/down/lost_with_server", "/sessions_lost"]);
    for direction in ["up", "down"] {
        assert_eq!(count(&result, &format!("/{direction}/accepted")), 100_000, "{result}");
        assert!(count(&result, &format!("/{direction}/handled")) >= 100_000, "{result}");
    }
    assert!(count(&result, "/terminations") > 0, "{result}");
    assert!(count(&result, "/client_kills") >= 6 && count(&result, "/server_kills") >= 6, "{result}");
    assert!(count(&result, "/harm/cuts") >= 150, "{result}");
    assert!(count(&result, "/harm/stalls") > 0 && count(&result, "/harm/half_closes") > 0, "{result}");
}

#[test]
fn a_server_that_keeps_its_sessions_in_memory_takes_only_what_it_had_queued_with_it() {
    let result = torture(&["--messages", "10000", "--kills", "4", "--cut-after", "10000", "--memory-store"]);
    none_of(&result, &NEVER);
    none_of(&result, &["/up/lost", "/down/lost"]);
    assert_eq!(count(&result, "/up/accepted"), 10_000, "{result}");
    assert!(count(&result, "/up/handled") >= 10_000, "{result}");
    assert!(count(&result, "/server_kills") >= 4 && count(&result, "/sessions_lost") > 0, "{result}");
}
