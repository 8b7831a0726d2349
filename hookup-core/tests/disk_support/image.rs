//! What may be on a disk after a loss of power.
//!
//! What was synced is there. Of what was done since to a file or to a directory's names, any part may be: each page of a
//! file as it was at any moment since, whatever its other pages are; a size of any moment since, with zeros where no page
//! came; each name made, changed or removed, or not. So much disorder no file system allows itself; what gets through this
//! gets through theirs.

use std::{collections::BTreeMap, fs, path::Path};

use fastrand::Rng;

use super::trace::{Node, Op, ROOT, Trace};

const PAGE: usize = 4096;

/// How much of what was not synced is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Luck {
    None,
    All,
    /// Each part with this probability.
    Some(f64),
}

impl Luck {
    pub(crate) fn any(rng: &mut Rng) -> Self {
        match rng.u8(..6) {
            0 => Self::None,
            1 => Self::All,
            _ => Self::Some([0.1, 0.5, 0.9][rng.usize(..3)]),
        }
    }

    fn strikes(self, rng: &mut Rng) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(chance) => rng.f64() < chance,
        }
    }
}

/// A page as it was at one moment.
struct Version {
    at: usize,
    contents: Vec<u8>,
    /// It was cut off, and what was in it before is not there any more once that has reached the disk.
    is_cut: bool,
}

pub(crate) struct PowerLoss<'a> {
    trace: &'a Trace,
    /// Which records are of a file.
    of_file: Vec<Vec<usize>>,
}

impl<'a> PowerLoss<'a> {
    pub(crate) fn new(trace: &'a Trace) -> Self {
        let mut of_file = vec![Vec::new(); trace.nodes.len()];
        for (at, record) in trace.records.iter().enumerate() {
            if let Op::Truncate { node, .. } | Op::Write { node, .. } = record.op {
                of_file[node].push(at);
            }
        }
        Self { trace, of_file }
    }

    /// Makes in an empty directory what may be there when the power went just before the record `cut`.
    pub(crate) fn strike(&self, cut: usize, luck: Luck, rng: &mut Rng, into: &Path) {
        // What was done to a file or directory before this record is surely there.
        let mut synced = vec![0; self.trace.nodes.len()];
        for record in &self.trace.records[..cut] {
            if let Op::Synced { node, begun } = record.op {
                synced[node] = synced[node].max(begun);
            }
        }
        let mut names = self.trace.nodes.iter().map(|made| made.names.clone()).collect::<Vec<_>>();
        for (at, record) in self.trace.records[..cut].iter().enumerate() {
            let mut is_there = |dirs: &[Node]| dirs.iter().all(|&dir| at < synced[dir]) || luck.strikes(rng);
            match &record.op {
                Op::Make { dir, name, node } if is_there(&[*dir]) => {
                    names[*dir].insert(name.clone(), *node);
                }
                Op::Remove { dir, name } if is_there(&[*dir]) => {
                    names[*dir].remove(name);
                }
                Op::Rename { dir, name, to_dir, to_name, node } if is_there(&[*dir, *to_dir]) => {
                    if names[*dir].get(name) == Some(node) {
                        names[*dir].remove(name);
                    }
                    names[*to_dir].insert(to_name.clone(), *node);
                }
                _ => {}
            }
        }
        let mut open = vec![(ROOT, into.to_owned())];
        while let Some((dir, path)) = open.pop() {
            for (name, &node) in &names[dir] {
                let path = path.join(name);
                if self.trace.nodes[node].is_dir {
                    fs::create_dir(&path).expect("creates");
                    open.push((node, path));
                } else {
                    fs::write(&path, self.contents(node, synced[node], cut, luck, rng)).expect("writes");
                }
            }
        }
    }

    fn contents(&self, node: Node, synced: usize, cut: usize, luck: Luck, rng: &mut Rng) -> Vec<u8> {
        let mut now = self.trace.nodes[node].before.clone();
        let mut surely = None;
        let mut sizes = Vec::new();
        let mut pages = BTreeMap::<usize, Vec<Version>>::new();
        for &at in self.of_file[node].iter().take_while(|&&at| at < cut) {
            if at >= synced && surely.is_none() {
                surely = Some(now.clone());
            }
            let (changed, is_cut) = match &self.trace.records[at].op {
                Op::Write { offset, data, .. } => {
                    let offset = usize::try_from(*offset).expect("it fits");
                    now.resize(now.len().max(offset + data.len()), 0);
                    now[offset..][..data.len()].copy_from_slice(data);
                    (offset..offset + data.len(), false)
                }
                Op::Truncate { len, .. } => {
                    let (len, before) = (usize::try_from(*len).expect("it fits"), now.len());
                    now.resize(len, 0);
                    (len..before, true)
                }
                _ => unreachable!("it is a change of a file"),
            };
            if at >= synced {
                sizes.push((at, now.len()));
                if !changed.is_empty() {
                    for page in changed.start / PAGE..=(changed.end - 1) / PAGE {
                        let contents = now.get(page * PAGE..).unwrap_or_default();
                        let contents = contents[..contents.len().min(PAGE)].to_vec();
                        pages.entry(page).or_default().push(Version { at, contents, is_cut });
                    }
                }
            }
        }
        let Some(mut image) = surely else { return now };
        let as_of = match luck {
            Luck::None => None,
            Luck::All => sizes.last().copied(),
            Luck::Some(_) => sizes.get(rng.usize(..=sizes.len())).copied(),
        };
        let (as_of, size) = as_of.unwrap_or((0, image.len()));
        image.resize(size, 0);
        for (page, versions) in pages {
            // A cut is there if the size of that moment is, and then nothing of before.
            let cut = versions.iter().rposition(|version| version.is_cut && version.at <= as_of);
            let rest = versions.iter().skip(cut.map_or(0, |cut| cut + 1)).filter(|version| !version.is_cut);
            let rest = rest.collect::<Vec<_>>();
            let chosen = match luck {
                Luck::Some(_) if luck.strikes(rng) => rest.get(rng.usize(..=rest.len())).or(rest.last()).copied(),
                Luck::All => rest.last().copied(),
                _ => None,
            };
            let Some(version) = chosen.or(cut.map(|cut| &versions[cut])) else { continue };
            let start = (page * PAGE).min(image.len());
            let end = (start + PAGE).min(image.len());
            let place = &mut image[start..end];
            place.fill(0);
            let len = version.contents.len().min(place.len());
            place[..len].copy_from_slice(&version.contents[..len]);
        }
        image
    }
}
