//! ONBUILD: the triggers of a stage's base become the first steps of the stage.
//!
//! A base that is a stage of the file has those that its own ONBUILD instructions leave. Those of a base image are only known
//! once its config is read: the build plans again with [`Options::triggers`](super::Options::triggers), so that their
//! sources are resolved and the stages that they need are built.

use super::{Error, Problem, Stage};
use crate::dockerfile::{Instruction, Located, parse_trigger};

/// The triggers that `base` leaves to a stage that starts from it, in order.
pub(super) fn left_by(base: &Stage) -> Vec<String> {
    let trigger = |located: &Located| match &located.instruction {
        Instruction::Onbuild(trigger) => Some(trigger.text.clone()),
        _ => None,
    };
    base.steps.iter().filter_map(|step| trigger(&step.located)).collect()
}

/// Triggers as instructions of the stage that begins at `from`: that is the place of each in the file.
pub(super) fn instructions(texts: &[String], from: &Located) -> Result<Vec<Located>, Error> {
    let instruction = |text: &String| match parse_trigger(text) {
        Ok(located) => Ok(Located { span: from.span, ..located }),
        Err(error) => {
            let why = error.problem().to_string();
            Err(Error::at(from.span.first, Problem::Trigger { text: text.clone(), why }))
        }
    };
    texts.iter().map(instruction).collect()
}
