//! What the language has and silt cannot carry out yet: the one place that refuses it. Whoever implements something removes
//! its row here.

use super::{Error, Problem, Stage, Step};
use crate::dockerfile::Instruction;

/// Refuses the first step of the stages to build that cannot be carried out.
pub(super) fn check(stages: &[Stage]) -> Result<(), Error> {
    let refused = |step: &Step| {
        let what = unsupported(&step.located.instruction)?;
        Some(Error::at(step.located.span.first, Problem::Unsupported(what)))
    };
    match stages.iter().flat_map(|stage| &stage.steps).find_map(refused) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What of `instruction` cannot be carried out; `None` if all of it can.
pub(super) fn unsupported(instruction: &Instruction) -> Option<String> {
    match instruction {
        Instruction::Run(it) => first(&[(!it.devices.is_empty(), "RUN --device")]),
        Instruction::Onbuild(it) => unsupported(&it.instruction),
        _ => None,
    }
}

fn first(rows: &[(bool, &str)]) -> Option<String> {
    rows.iter().find(|(is_asked, _)| *is_asked).map(|(_, what)| (*what).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_carried_out_names_itself() {
        for (text, expected) in [("RUN --device=a b", "RUN --device"), ("ONBUILD RUN --device=a b", "RUN --device")] {
            assert_eq!(unsupported(&instruction(text)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn all_else_can() {
        for text in [
            "RUN a",
            "RUN [\"a\"]",
            "COPY --from=a --chown=b --chmod=755 c d",
            "ADD a b",
            "USER a",
            "ONBUILD RUN a",
            "ADD https://h/a b",
            "ADD --keep-git-dir https://h/a.git#v1 d",
        ] {
            assert_eq!(unsupported(&instruction(text)), None, "{text}");
        }
    }

    fn instruction(text: &str) -> Instruction {
        crate::dockerfile::parse(text.as_bytes()).expect(text).instructions.remove(0).instruction
    }
}
