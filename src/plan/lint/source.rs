//! A Dockerfile with what parsing drops and checks need: how names are spelt, and the comments above an instruction.

use crate::dockerfile::{Checks, Dockerfile, From, Instruction, Located};

pub(super) struct Source<'a> {
    pub file: &'a Dockerfile,
    lines: Vec<String>,
}

/// A stage, or, before the first FROM, the ARGs alone.
pub(super) struct Part<'a> {
    pub from: Option<(&'a Located, &'a From)>,
    /// The instructions after FROM.
    pub rest: &'a [Located],
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &[u8], file: &'a Dockerfile) -> Self {
        Source { file, lines: String::from_utf8_lossy(text).lines().map(str::to_owned).collect() }
    }

    /// The file in parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        let instructions: &'a [Located] = &self.file.instructions;
        let groups = instructions.chunk_by(|_, next| !matches!(next.instruction, Instruction::From(_)));
        groups.map(|group| match &group[0].instruction {
            Instruction::From(from) => Part { from: Some((&group[0], from)), rest: &group[1..] },
            _ => Part { from: None, rest: group },
        })
    }

    /// The comment lines right above `line`, without their signs and blanks, from top to bottom.
    pub(super) fn comments_above(&self, line: u32) -> Vec<&str> {
        let above = self.lines.iter().take((line as usize).saturating_sub(1)).rev();
        let comments = above.map_while(|line| line.trim().strip_prefix('#').map(str::trim));
        let mut comments: Vec<&str> = comments.take_while(|comment| !comment.is_empty()).collect();
        comments.reverse();
        comments
    }

    /// Whether a comment right above `line` skips `rule`.
    pub(super) fn skips_at(&self, line: u32, rule: &str) -> bool {
        let options = |comment: &str| Checks::parse(comment.strip_prefix("check=")?).ok();
        // A directive at the top of the file is for the whole file and has been applied.
        self.comments_above(line).into_iter().filter_map(options).any(|checks| checks.skips(rule))
    }
}

/// The words of an instruction's text.
pub(super) fn words(located: &Located) -> Vec<&str> {
    located.text.split_whitespace().collect()
}
