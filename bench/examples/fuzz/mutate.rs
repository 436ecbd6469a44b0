//! Changes inputs: bytes, runs, pieces of other inputs and of the languages' own words.

/// The longest input.
const LONGEST: usize = 2048;

/// What the languages are made of.
const TOKENS: &[&str] = &[
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "CMD ",
    "LABEL ",
    " AS ",
    "--from=",
    "--mount=",
    "--chmod=",
    "--link ",
    "type=cache,",
    "target=/a",
    "\\\n",
    "`\n",
    "\n",
    "\r\n",
    "# escape=`\n",
    "<<EOF",
    "<<-'E F'",
    "\nEOF\n",
    "\nE F\n",
    "\t",
    "\u{feff}",
    "[\"",
    "\"]",
    "\",\"",
    "${",
    "}",
    ":-",
    ":?",
    "##",
    "%%",
    "//",
    "/",
    "$",
    "'",
    "\"",
    "\\",
    "`",
    "*",
    "**",
    "**/",
    "!",
    "?",
    "[a-z]",
    "[^",
    "]",
    "..",
    "./",
    "#",
    "\0",
    "\u{c}",
    "\u{a0}",
    "\u{1f600}",
    "--",
    "=",
    ",",
    "a",
    "0",
];

/// A seeded generator (xorshift64*) and what it does to inputs.
pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Mutator(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// One of `inputs`, changed in one to eight ways.
    pub fn mutate(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input, inputs);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(16)).min(input.len());
        match self.below(7) {
            0 if at < input.len() => input[at] = self.next() as u8,
            1 => drop(input.drain(at..end)),
            2 => {
                let run = input[at..end].to_vec();
                input.splice(at..at, run);
            }
            3 => {
                let other = &inputs[self.below(inputs.len())];
                let start = self.below(other.len() + 1);
                let stop = (start + self.below(64)).min(other.len());
                input.splice(at..end, other[start..stop].iter().copied());
            }
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                let end = if self.below(2) == 0 { at } else { end };
                input.splice(at..end, token.bytes());
            }
        }
    }
}
