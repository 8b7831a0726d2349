//! Reading a file of the log from its beginning, with an eye on what may be wrong with it.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use super::{
    ledger::Place,
    record::{HEADER_BYTES, Header, Record},
    segment::{self, START, Segment},
};

/// How much is read at a time, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// A file of the log that is being read.
pub(super) struct Scan {
    number: u64,
    reader: BufReader<File>,
    length: u64,
    /// Where the next record begins.
    at: u64,
    /// The last record that was read.
    record: Option<Header>,
    body: Vec<u8>,
    header: Option<segment::Header>,
}

/// What comes next in a file.
pub(super) enum Step<'a> {
    Record(Record<'a>, Place),
    /// Here the next record will be written: behind it is nothing, or what was written in part when the process was killed or
    /// the power failed.
    End(u64),
    /// Here is something else.
    Damage(&'static str),
}

impl Scan {
    /// Opens the file of this number.
    pub(super) fn open(log: &Path, number: u64) -> io::Result<Self> {
        let file = Segment::open(log, number)?;
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        let mut bytes = [0; START as usize];
        let header = match reader.read_exact(&mut bytes) {
            Ok(()) => segment::Header::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok(Self { number, reader, length, at: START, record: None, body: Vec::new(), header })
    }

    /// What the file says of itself, or what is wrong with that.
    pub(super) fn header(&self) -> Result<segment::Header, &'static str> {
        match self.header {
            Some(header) if header.number != self.number => Err("it has another number than its name says"),
            Some(header) if header.length > self.length => Err("it is shorter than it was"),
            Some(header) => Ok(header),
            None => Err("it does not begin as it should"),
        }
    }

    /// Whether nothing was ever appended to the file.
    pub(super) fn is_unused(&mut self) -> io::Result<bool> {
        Ok(self.last_byte(START)?.is_none())
    }

    /// The next record.
    pub(super) fn next(&mut self) -> io::Result<Step<'_>> {
        let at = self.at;
        let place = match self.read()? {
            Ok(place) => place,
            Err(problem) => {
                // Of what was not synced, a loss of power leaves anything.
                let may_be_lost = self.header.is_some_and(|header| header.synced > 0 && at >= header.synced);
                return Ok(match problem {
                    Some(problem) if !may_be_lost => Step::Damage(problem),
                    _ => Step::End(at),
                });
            }
        };
        let header = self.record.and_then(|header| header.record(&self.body));
        let unknown = Step::Damage("a record is not in a form that this version knows");
        Ok(header.map_or(unknown, |record| Step::Record(record, place)))
    }

    /// Reads the next record; or says what is there instead, if anything is that a killed process does not leave.
    fn read(&mut self) -> io::Result<Result<Place, Option<&'static str>>> {
        let at = self.at;
        let left = self.length.saturating_sub(at);
        if left < HEADER_BYTES as u64 {
            return Ok(Err(self.last_byte(at)?.map(|_| "there is a part of a record")));
        }
        let mut bytes = [0; HEADER_BYTES];
        self.reader.read_exact(&mut bytes)?;
        let Some(header) = Header::parse(&bytes) else {
            let last = self.last_byte(at)?;
            let is_cut_short = last.is_none_or(|last| last < at + HEADER_BYTES as u64);
            return Ok(Err((!is_cut_short).then_some("there is something that is no record")));
        };
        let len = HEADER_BYTES as u64 + header.rest() as u64;
        if len > left {
            return Ok(Err(Some("a record is longer than the file")));
        }
        self.body.resize(header.rest(), 0);
        self.reader.read_exact(&mut self.body)?;
        if !header.is_whole(&self.body) {
            let is_cut_short = !header.is_complete(&self.body) && self.last_byte(at + len)?.is_none();
            return Ok(Err((!is_cut_short).then_some("a record is not what it was")));
        }
        self.at += len;
        self.record = Some(header);
        Ok(Ok(Place { file: self.number, at, len }))
    }

    /// Looks for the next record behind damage; whether there is one.
    pub(super) fn recover(&mut self) -> io::Result<bool> {
        let mut window = Vec::new();
        let mut base = self.at + 1;
        while base + HEADER_BYTES as u64 <= self.length {
            self.reader.seek(SeekFrom::Start(base))?;
            window.clear();
            (&mut self.reader).take(READ_BYTES as u64).read_to_end(&mut window)?;
            for at in 0..window.len().saturating_sub(HEADER_BYTES - 1) {
                let is_header = window[at..].first_chunk().and_then(Header::parse).is_some();
                if is_header && self.is_record(base + at as u64)? {
                    self.at = base + at as u64;
                    self.reader.seek(SeekFrom::Start(self.at))?;
                    return Ok(true);
                }
            }
            if window.len() < READ_BYTES {
                break;
            }
            base += (window.len() - (HEADER_BYTES - 1)) as u64;
        }
        Ok(false)
    }

    fn is_record(&mut self, at: u64) -> io::Result<bool> {
        self.reader.seek(SeekFrom::Start(at))?;
        let mut bytes = [0; HEADER_BYTES];
        self.reader.read_exact(&mut bytes)?;
        let Some(header) = Header::parse(&bytes) else { return Ok(false) };
        if (HEADER_BYTES + header.rest()) as u64 > self.length - at {
            return Ok(false);
        }
        self.body.resize(header.rest(), 0);
        self.reader.read_exact(&mut self.body)?;
        Ok(header.is_whole(&self.body))
    }

    /// Where the last byte is that is not zero, from here on.
    fn last_byte(&mut self, from: u64) -> io::Result<Option<u64>> {
        self.reader.seek(SeekFrom::Start(from))?;
        let (mut at, mut last) = (from, None);
        let mut window = vec![0; READ_BYTES];
        loop {
            let count = self.reader.read(&mut window)?;
            if count == 0 {
                return Ok(last);
            }
            if let Some(index) = window[..count].iter().rposition(|&byte| byte != 0) {
                last = Some(at + index as u64);
            }
            at += count as u64;
        }
    }
}
