//! The example programs, run as a user would.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A server program on a port of its own, ended with the test.
struct Program {
    child: Child,
    addr: String,
}

impl Program {
    fn start(path: &str) -> Self {
        let mut child = Command::new(path).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        let addr = line.trim().split("://").nth(1).expect("says where it listens").trim_end_matches('/').to_owned();
        Self { child, addr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("it ends");
    }
}

/// Runs a program to its end: whether it succeeded, and what it printed.
fn run(path: &str, args: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(path)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn http(addr: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(addr).expect("connects");
    socket.write_all(request.as_bytes()).expect("writes");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("reads");
    response
}

#[test]
fn the_echo_client_prints_what_the_echo_server_sends_back() {
    let server = Program::start(env!("CARGO_BIN_EXE_echo_server"));
    let url = format!("ws://{}/", server.addr);
    let (ok, output) = run(env!("CARGO_BIN_EXE_echo_client"), &[&url], "one\ntwo\n");
    assert!(ok, "{output}");
    assert!(output.contains("one\ntwo\n"), "{output}");
}

#[test]
fn a_server_ends_in_order_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Program::start(env!("CARGO_BIN_EXE_echo_server"));
        let mut socket = TcpStream::connect(&server.addr).expect("connects");
        let handshake = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(handshake.as_bytes()).expect("writes");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("reads");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));
        let pid = Pid::from_raw(server.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("signals");
        let mut rest = [0; 4];
        socket.read_exact(&mut rest).expect("a close frame");
        assert_eq!(rest, [0x88, 2, 3, 0xe9], "a close with 1001");
        drop(socket);
        assert!(server.child.wait().expect("ends").success());
    }
}

#[test]
fn a_port_that_is_taken_is_said_without_a_panic() {
    let taken = Program::start(env!("CARGO_BIN_EXE_echo_server"));
    for program in [env!("CARGO_BIN_EXE_echo_server"), env!("CARGO_BIN_EXE_existing_app")] {
        let (ok, output) = run(program, &[&taken.addr], "");
        assert!(!ok && output.contains("already in use") && !output.contains("panicked"), "{output}");
    }
}

#[test]
fn the_all_events_programs_tell_each_other_things() {
    let server = Program::start(env!("CARGO_BIN_EXE_all_events_server"));
    let url = format!("ws://{}/", server.addr);
    let (ok, output) = run(env!("CARGO_BIN_EXE_all_events_client"), &[&url, "--times", "1"], "");
    assert!(ok, "{output}");
    for line in ["connected, speaking hookup.v2", "text welcome", "closed, 0 messages unsent"] {
        assert!(output.contains(line), "{line:?} is not in {output}");
    }
}

#[test]
fn the_existing_app_serves_http_beside_hookup() {
    let app = Program::start(env!("CARGO_BIN_EXE_existing_app"));
    let index = http(&app.addr, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(index.starts_with("HTTP/1.1 200") && index.ends_with("connected\n"), "{index}");
    let say = "POST /say HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert!(http(&app.addr, say).ends_with("heard it\n"));
}

#[test]
fn the_quickstart_loses_nothing_while_its_server_is_killed() {
    let (ok, output) = run(env!("CARGO_BIN_EXE_quickstart"), &["--messages", "2000", "--rate", "500"], "");
    assert!(ok, "{output}");
    let count = |what: &str| {
        let row = output.lines().find(|line| line.trim_start().starts_with(what)).expect(what);
        row.trim_start()[what.len()..].split_whitespace().next().expect("a count").to_owned()
    };
    assert_eq!((count("sent"), count("acked"), count("lost")), ("2000".into(), "2000".into(), "0".into()), "{output}");
    assert_eq!(count("server killed"), "2", "{output}");
    assert_ne!(count("buffered while offline"), "0", "{output}");
}

#[test]
fn the_outbox_load_says_what_an_outbox_takes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("text");
    let args = ["--directory", path, "--messages", "2000", "--backlog", "500", "--through", "3000"];
    let (ok, output) = run(env!("CARGO_BIN_EXE_outbox_load"), &args, "");
    assert!(ok, "{output}");
    for (step, held) in [("queued", 2000), ("opened again", 2000), ("drained", 0), ("passed through", 500)] {
        let line = output.lines().find(|line| line.trim_start().starts_with(step)).expect(step);
        assert!(line.ends_with(&format!(" {held} messages")), "{output}");
    }
    assert_eq!(directory.path().read_dir().expect("reads").count(), 0, "it has cleaned up");
}

#[test]
fn idle_says_what_sessions_of_hookup_v2_cost_and_loses_none() {
    idle("hookup.v2");
}

#[test]
fn idle_says_what_connections_of_a_format_cost_and_loses_none() {
    idle("simpleJson");
}

fn idle(protocol: &str) {
    let args = ["--connections", "300", "--seconds", "3", "--heartbeat", "1", "--protocol", protocol, "--json"];
    let (ok, output) = run(env!("CARGO_BIN_EXE_idle"), &args, "");
    assert!(ok, "{output}");
    let result = serde_json::from_str::<serde_json::Value>(&output).expect("JSON");
    assert_eq!((&result["connections"], &result["lost"]), (&300.into(), &0.into()), "{output}");
    assert!(result["pings"].as_u64() >= Some(600), "each was pinged twice: {output}");
    if cfg!(target_os = "linux") {
        let bytes = result["bytes_per_connection"].as_u64().expect("a number");
        assert!((1000..60_000).contains(&bytes), "{output}");
        assert!(result["open_files"].as_u64() > Some(600), "two for each connection: {output}");
    }
}

#[test]
fn a_program_says_what_is_wrong_with_its_arguments() {
    let (ok, output) = run(env!("CARGO_BIN_EXE_echo_client"), &["http://localhost/"], "");
    assert!(!ok && output.contains("must be ws or wss"), "{output}");
    let (ok, output) = run(env!("CARGO_BIN_EXE_echo_server"), &["nowhere"], "");
    assert!(!ok && output.contains("cannot listen"), "{output}");
}
