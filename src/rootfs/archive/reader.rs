//! The reader: one buffer, headers parsed in place, contents handed out as slices of it.

use std::collections::VecDeque;
use std::io::{self, Read};

use tar_core::SparseEntry;
use tar_core::parse::{Limits, ParseEvent, Parser};

use super::{Error, LONGEST_HEADERS, Member};

/// Bytes read at a time.
const READ: usize = 256 * 1024;
const BLOCK: u64 = 512;
/// The largest sparse file: its holes are hashed, so a small archive could keep us busy for years.
const LARGEST_SPARSE: u64 = 64 << 30;

/// Reads members in order. The content of a member that is not asked for is skipped.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    parser: Parser,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    content: Content,
}

/// A part of a file's content.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// These bytes.
    Data(&'a [u8]),
    /// So many zeros, to be skipped over in the file.
    Hole(u64),
}

/// What is left of the current member: data and holes in turn, then padding.
#[derive(Debug, Default)]
struct Content {
    parts: VecDeque<Part>,
    padding: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Data(u64),
    Hole(u64),
}

impl<R: Read> Reader<R> {
    /// Reads the uncompressed stream `inner`.
    pub fn new(inner: R) -> Self {
        let limits = Limits { max_metadata_size: 1 << 20, ..Limits::default() };
        let mut parser = Parser::new(limits);
        // It has no negative times; `pax::check` is as strict, and knows them.
        parser.set_ignore_pax_errors(true);
        Reader { inner, parser, buffer: vec![0; READ], start: 0, end: 0, content: Content::default() }
    }

    /// The next member, or `None` at the end. The rest of the stream has then been read as well, so that whoever hashes it
    /// has seen all of it.
    pub fn next_member(&mut self) -> Result<Option<Member>, Error> {
        while self.next_chunk()?.is_some() {}
        self.skip_padding()?;
        loop {
            match self.parse()? {
                Step::Member(member) => return Ok(Some(member)),
                Step::Nothing => {}
                Step::More(bytes) if self.fill(bytes)? == Filled::Yes => {}
                Step::More(_) if self.rest_is_zero() => return self.drain(),
                Step::More(_) => return Err(Error::Truncated),
                Step::End => return self.drain(),
            }
        }
    }

    /// The next part of the current member's content; `None` once there is no more.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, Error> {
        let part = loop {
            match self.content.parts.pop_front() {
                None => return Ok(None),
                Some(Part::Data(0) | Part::Hole(0)) => {}
                Some(part) => break part,
            }
        };
        let wanted = match part {
            Part::Hole(length) => return Ok(Some(Chunk::Hole(length))),
            Part::Data(length) => length,
        };
        if self.start == self.end && self.fill(1)? == Filled::AtEnd {
            return Err(Error::Truncated);
        }
        let taken = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.end - self.start);
        self.content.parts.push_front(Part::Data(wanted - taken as u64));
        self.start += taken;
        Ok(Some(Chunk::Data(&self.buffer[self.start - taken..self.start])))
    }

    /// How many bytes of the current member's content are left; `None` if it has holes.
    pub fn rest(&self) -> Option<u64> {
        let data = |part: &Part| match part {
            Part::Data(length) => Some(*length),
            Part::Hole(_) => None,
        };
        self.content.parts.iter().map(data).sum()
    }

    fn skip_padding(&mut self) -> Result<(), Error> {
        let padding = usize::try_from(self.content.padding).unwrap_or(0);
        self.content.padding = 0;
        if self.fill(padding)? == Filled::AtEnd {
            return Err(Error::Truncated);
        }
        self.start += padding;
        Ok(())
    }

    /// One step of the parser, over what is in the buffer.
    fn parse(&mut self) -> Result<Step, Error> {
        let (consumed, step, content) = match self.parser.parse(&self.buffer[self.start..self.end])? {
            ParseEvent::NeedData { min_bytes } => return Ok(Step::More(min_bytes)),
            ParseEvent::End { consumed } => (consumed, Step::End, Content::default()),
            // Neither Docker nor containerd applies them.
            ParseEvent::GlobalExtensions { consumed, .. } => (consumed, Step::Nothing, Content::default()),
            ParseEvent::Entry { consumed, entry } => {
                let member = Member::new(&entry, None)?;
                let content = if member.has_content() { Content::whole(entry.size) } else { Content::default() };
                (consumed, Step::Member(member), content)
            }
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                let refuse = |why| Error::Member { name: entry.path_lossy().into_owned(), why };
                let member = Member::new(&entry, Some(real_size))?;
                if !member.has_content() {
                    return Err(refuse("sparse, but not a file"));
                }
                let content = Content::sparse(entry.size, &sparse_map, real_size).map_err(refuse)?;
                (consumed, Step::Member(member), content)
            }
        };
        self.content = content;
        self.start += consumed;
        Ok(step)
    }

    /// Reads until the buffer has `wanted` bytes.
    fn fill(&mut self, wanted: usize) -> Result<Filled, Error> {
        if wanted > LONGEST_HEADERS {
            return Err(Error::Member { name: String::new(), why: "the headers of one member are too long" });
        }
        self.make_room(wanted);
        while self.end - self.start < wanted {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(Filled::AtEnd),
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Filled::Yes)
    }

    fn make_room(&mut self, wanted: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start + wanted <= self.buffer.len() {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if wanted > self.buffer.len() {
            // Doubled, since the parser asks for a block at a time and starts over each time.
            self.buffer.resize(wanted.next_power_of_two(), 0);
        }
    }

    /// A stream may end without the two zero blocks, or after one.
    fn rest_is_zero(&self) -> bool {
        let rest = &self.buffer[self.start..self.end];
        matches!(rest.len(), 0 | 512) && rest.iter().all(|b| *b == 0)
    }

    fn drain(&mut self) -> Result<Option<Member>, Error> {
        (self.start, self.end) = (0, 0);
        io::copy(&mut self.inner, &mut io::sink())?;
        Ok(None)
    }
}

enum Step {
    Member(Member),
    Nothing,
    More(usize),
    End,
}

#[derive(PartialEq, Eq)]
enum Filled {
    Yes,
    AtEnd,
}

impl Content {
    fn whole(size: u64) -> Self {
        Content { parts: VecDeque::from([Part::Data(size)]), padding: padding(size) }
    }

    /// The regions must be in order, apart, within the file, and hold all the bytes that follow.
    fn sparse(stored: u64, map: &[SparseEntry], real_size: u64) -> Result<Self, &'static str> {
        const BAD: &str = "malformed sparse map";
        if real_size > LARGEST_SPARSE {
            return Err("the sparse file is too large");
        }
        let (mut parts, mut at, mut data) = (VecDeque::new(), 0u64, 0u64);
        for region in map {
            let hole = region.offset.checked_sub(at).ok_or(BAD)?;
            at = region.offset.checked_add(region.length).filter(|end| *end <= real_size).ok_or(BAD)?;
            data += region.length;
            parts.extend([Part::Hole(hole), Part::Data(region.length)]);
        }
        parts.push_back(Part::Hole(real_size - at));
        if data == stored { Ok(Content { parts, padding: padding(stored) }) } else { Err(BAD) }
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}
