//! Which words of an instruction are expanded: those of ADD COPY ENV EXPOSE FROM LABEL STOPSIGNAL USER VOLUME WORKDIR, the
//! defaults of ARG and the flags that take variables. Not the text of RUN, CMD, ENTRYPOINT, HEALTHCHECK or ONBUILD.

use super::{ArgDefinition, Instruction, Transfer};

/// The words of `instruction` in which variables are replaced, as written. Bodies of here-documents are not among them.
pub fn expandable_words(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Add(add) => {
            let mut words = transfer(&add.transfer);
            words.extend(add.checksum.clone());
            words
        }
        Instruction::Arg(definitions) => definitions.iter().flat_map(definition).collect(),
        Instruction::Copy(copy) => transfer(&copy.transfer),
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect()
        }
        Instruction::Expose(words) | Instruction::Volume(words) => words.clone(),
        Instruction::From(from) => std::iter::once(from.image.clone()).chain(from.platform.clone()).collect(),
        Instruction::Run(run) => run.mounts.iter().map(ToString::to_string).collect(),
        Instruction::Stopsignal(word) | Instruction::User(word) | Instruction::Workdir(word) => vec![word.clone()],
        Instruction::Cmd(_)
        | Instruction::Entrypoint(_)
        | Instruction::Healthcheck(_)
        | Instruction::Maintainer(_)
        | Instruction::Onbuild(_)
        | Instruction::Shell(_) => Vec::new(),
    }
}

fn definition(definition: &ArgDefinition) -> impl Iterator<Item = String> {
    std::iter::once(definition.name.clone()).chain(definition.default.clone())
}

fn transfer(transfer: &Transfer) -> Vec<String> {
    let mut words: Vec<String> = transfer.paths().map(str::to_owned).collect();
    words.push(transfer.destination.clone());
    words.extend(transfer.chown.clone());
    words.extend(transfer.chmod.clone());
    words.extend(transfer.excludes.iter().cloned());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    #[test]
    fn what_is_expanded() {
        for (text, expected) in [
            ("COPY --from=f --chown=a --chmod=b --exclude=e c d", &["c", "d", "a", "b", "e"][..]),
            ("ADD --checksum=a b c", &["b", "c", "a"]),
            ("ADD <<E a\n$x\nE", &["a"]),
            ("ENV a=b c=d", &["a", "b", "c", "d"]),
            ("LABEL a=b", &["a", "b"]),
            ("ARG a b=c", &["a", "b", "c"]),
            ("EXPOSE 1 2", &["1", "2"]),
            ("VOLUME /a /b", &["/a", "/b"]),
            ("FROM --platform=p a", &["a", "p"]),
            ("RUN --mount=target=/a $x", &["target=/a"]),
            ("STOPSIGNAL a", &["a"]),
            ("USER a", &["a"]),
            ("WORKDIR a", &["a"]),
            ("CMD $a", &[]),
            ("ENTRYPOINT $a", &[]),
            ("HEALTHCHECK CMD $a", &[]),
            ("MAINTAINER $a", &[]),
            ("ONBUILD USER $a", &[]),
            ("SHELL [\"$a\"]", &[]),
        ] {
            let instruction = parse(text.as_bytes()).expect(text).instructions.remove(0).instruction;
            assert_eq!(expandable_words(&instruction), expected, "{text}");
        }
    }
}
