//! What a child process did to the files under a directory, and in which order.
//!
//! `trace.c` is preloaded into the child and writes this down.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A file or directory. One that is made where another was removed is another one.
pub(crate) type Node = usize;

/// The directory that is traced.
pub(crate) const ROOT: Node = 0;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Make {
        dir: Node,
        name: String,
        node: Node,
    },
    Rename {
        dir: Node,
        name: String,
        to_dir: Node,
        to_name: String,
        node: Node,
    },
    Remove {
        dir: Node,
        name: String,
    },
    Truncate {
        node: Node,
        len: u64,
    },
    Write {
        node: Node,
        offset: u64,
        data: Vec<u8>,
    },
    Sync {
        node: Node,
    },
    /// A sync that began with the record `begun` is done.
    Synced {
        node: Node,
        begun: usize,
    },
    /// The child's own remark.
    Mark(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) thread: u32,
    pub(crate) op: Op,
}

/// A file or directory, as it was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// Where it was first, for messages.
    pub(crate) path: PathBuf,
    pub(crate) is_dir: bool,
    /// What was in it before the child was started.
    pub(crate) before: Vec<u8>,
    /// Names in it before the child was started.
    pub(crate) names: BTreeMap<String, Node>,
}

/// What a child did, in order, and with what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) records: Vec<Record>,
    pub(crate) nodes: Vec<Made>,
    inodes: HashMap<u64, Node>,
}

/// The tracer, compiled, and the files by which it and the child speak with the test.
pub(crate) struct Tracer {
    directory: TempDir,
}

impl Tracer {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk_support/trace.c");
        let library = directory.path().join("trace.so");
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .output()
            .expect("a C compiler, which Rust links with, too");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().expect("it is there").join(name)
    }

    /// Has the child traced in what it does under `root`. Returns what is there before it starts.
    pub(crate) fn attach(&self, command: &mut Command, root: &Path) -> Trace {
        let _ = fs::remove_file(self.file("trace"));
        let root = root.canonicalize().expect("it is there");
        File::create(self.file("marks")).expect("creates");
        command.env("LD_PRELOAD", self.file("trace.so")).env("HOOKUP_TRACE_ROOT", &root);
        for (variable, name) in [("FILE", "trace"), ("MARKS", "marks"), ("FAULTS", "faults"), ("HOLD", "hold")] {
            command.env(format!("HOOKUP_TRACE_{variable}"), self.file(name));
        }
        let mut trace = Trace::default();
        trace.find(&root);
        trace
    }

    /// The trace so far.
    pub(crate) fn read(&self, mut trace: Trace) -> Trace {
        let bytes = fs::read(self.file("trace")).unwrap_or_default();
        trace.parse(&bytes);
        trace
    }
}

impl Trace {
    /// Takes in what is there before the child is started.
    fn find(&mut self, path: &Path) -> Node {
        let meta = fs::metadata(path).expect("it is there");
        let before = if meta.is_dir() { Vec::new() } else { fs::read(path).expect("reads") };
        let node = self.add(meta.ino(), path.to_owned(), meta.is_dir());
        self.nodes[node].before = before;
        if meta.is_dir() {
            for found in fs::read_dir(path).expect("reads") {
                let found = found.expect("reads");
                let child = self.find(&found.path());
                self.nodes[node].names.insert(found.file_name().into_string().expect("a name"), child);
            }
        }
        node
    }

    fn add(&mut self, inode: u64, path: PathBuf, is_dir: bool) -> Node {
        self.nodes.push(Made { path, is_dir, before: Vec::new(), names: BTreeMap::new() });
        self.inodes.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn parse(&mut self, mut bytes: &[u8]) {
        let mut names = self.nodes.iter().map(|made| made.names.clone()).collect::<Vec<_>>();
        let mut syncs = HashMap::<u32, usize>::new();
        // A process that was killed may leave a part of a record.
        while let Some(raw) = Raw::split(&mut bytes) {
            let at = self.records.len();
            let node = |inode: u64| *self.inodes.get(&inode).expect("it was made, or was there");
            let name = raw.name.clone();
            let op = match raw.op {
                b'c' | b'd' => {
                    let dir = node(raw.dir);
                    let path = self.nodes[dir].path.join(&name);
                    let node = self.add(raw.node, path, raw.op == b'd');
                    names.resize_with(self.nodes.len(), BTreeMap::new);
                    names[dir].insert(name.clone(), node);
                    Op::Make { dir, name, node }
                }
                b'r' => {
                    let (dir, to_dir, to_name) = (node(raw.dir), node(raw.to_dir), raw.to_name.clone());
                    let node = names[dir].remove(&name).expect("it is there to be renamed");
                    names[to_dir].insert(to_name.clone(), node);
                    Op::Rename { dir, name, to_dir, to_name, node }
                }
                b'u' => {
                    let dir = node(raw.dir);
                    names[dir].remove(&name);
                    Op::Remove { dir, name }
                }
                b't' => Op::Truncate { node: node(raw.node), len: raw.length },
                b'w' => Op::Write { node: node(raw.node), offset: raw.offset, data: raw.data },
                b's' => {
                    syncs.insert(raw.thread, at);
                    Op::Sync { node: node(raw.node) }
                }
                b'e' => Op::Synced { node: node(raw.node), begun: syncs[&raw.thread] },
                b'm' => Op::Mark(String::from_utf8(raw.data).expect("marks are text")),
                _ => panic!("the tracer has no record for {name}; teach it"),
            };
            self.records.push(Record { thread: raw.thread, op });
        }
    }

    /// The index of the first mark of these words.
    pub(crate) fn mark(&self, words: &str) -> Option<usize> {
        self.records.iter().position(|record| matches!(&record.op, Op::Mark(mark) if mark == words))
    }

    /// Whether all that was done to a file or directory before the record `before` is surely on the disk with `by`.
    pub(crate) fn is_synced(&self, node: Node, before: usize, by: usize) -> bool {
        self.records[..by]
            .iter()
            .any(|it| matches!(it.op, Op::Synced { node: of, begun } if of == node && begun > before))
    }

    /// How many syncs were done between two records.
    pub(crate) fn syncs(&self, from: usize, to: usize) -> usize {
        self.records[from..to].iter().filter(|record| matches!(record.op, Op::Synced { .. })).count()
    }

    pub(crate) fn path(&self, node: Node) -> &Path {
        &self.nodes[node].path
    }
}

/// A record as it is in the file: eight bytes of operation and thread, eight numbers, two names, and data.
struct Raw {
    op: u8,
    thread: u32,
    node: u64,
    dir: u64,
    to_dir: u64,
    offset: u64,
    length: u64,
    name: String,
    to_name: String,
    data: Vec<u8>,
}

impl Raw {
    fn split(bytes: &mut &[u8]) -> Option<Self> {
        let mut rest = *bytes;
        let head = rest.split_off(..72)?;
        let number = |i: usize| u64::from_ne_bytes(head[i * 8..][..8].try_into().expect("8 bytes"));
        let mut take = |i: usize| rest.split_off(..usize::try_from(number(i)).ok()?);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("names are UTF-8");
        let [name, to_name, data] = [take(6)?, take(7)?, take(8)?];
        *bytes = rest;
        let thread = u32::from_ne_bytes(head[4..8].try_into().expect("4 bytes"));
        Some(Self {
            op: head[0],
            thread,
            node: number(1),
            dir: number(2),
            to_dir: number(3),
            offset: number(4),
            length: number(5),
            name: text(name),
            to_name: text(to_name),
            data: data.to_vec(),
        })
    }
}
