//! ONBUILD: an instruction for the builds that start from the image. An image's config holds it as text.

use super::{Error, Instruction, Located, Problem, parse};

/// What ONBUILD leaves for later builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The instruction's text as the config holds it, here-documents with their bodies.
    pub text: String,
    /// The instruction. Never ONBUILD, FROM or MAINTAINER.
    pub instruction: Box<Instruction>,
}

/// The instruction that a trigger's text says, as the config of a base image holds it. Lines count within the text.
///
/// # Errors
/// Text that is not one instruction, or one that no trigger may be.
pub fn parse_trigger(text: &str) -> Result<Located, Error> {
    let mut parsed = parse(text.as_bytes())?;
    let located = parsed.instructions.remove(0);
    if let Some(next) = parsed.instructions.first() {
        return Err(Error::new(next.span.first, Problem::Syntax("a trigger is one instruction".to_owned())));
    }
    match forbidden(located.instruction.name()) {
        Some(problem) => Err(Error::new(located.span.first, problem)),
        None => Ok(located),
    }
}

/// Why the instruction `name` cannot be a trigger.
pub(super) fn forbidden(name: &str) -> Option<Problem> {
    match name {
        "ONBUILD" => Some(Problem::Syntax("ONBUILD ONBUILD: a trigger cannot leave triggers".to_owned())),
        "FROM" | "MAINTAINER" => Some(Problem::Syntax(format!("{name} cannot be a trigger of ONBUILD"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_of_a_config() {
        let located = parse_trigger("RUN a \\\n b").expect("a trigger");
        assert_eq!((located.text.as_str(), located.span.last), ("RUN a  b", 2));
        let located = parse_trigger("COPY <<E /a\nb\nE").expect("a trigger");
        assert!(matches!(&located.instruction, Instruction::Copy(copy) if copy.transfer.heredocs().count() == 1));
    }

    #[test]
    fn what_is_no_trigger() {
        for text in ["", "# c", "RUN a\nRUN b", "FROM a", "ONBUILD RUN a", "MAINTAINER a", "FOO", "COPY <<E /a\nb"] {
            assert!(parse_trigger(text).is_err(), "{text:?}");
        }
    }
}
