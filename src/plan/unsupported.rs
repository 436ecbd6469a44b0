//! What the language has and silt cannot carry out yet: the one place that refuses it. Whoever implements something removes
//! its row here.

use super::{Error, Problem, Stage, Step};
use crate::dockerfile::{Add, Body, Copy, Instruction, Network, Run, Security, Transfer, remote};

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
        Instruction::Healthcheck(_) | Instruction::Onbuild(_) => Some(instruction.name().to_owned()),
        Instruction::Run(it) => run(it),
        Instruction::Copy(Copy { transfer, parents, .. }) => {
            if *parents {
                Some("COPY --parents".to_owned())
            } else {
                moved("COPY", transfer)
            }
        }
        Instruction::Add(it) => add(it),
        _ => None,
    }
}

fn run(run: &Run) -> Option<String> {
    let rows = [
        (!run.mounts.is_empty(), "RUN --mount"),
        (run.network != Network::Default, "RUN --network"),
        (run.security != Security::Sandbox, "RUN --security"),
        (!run.devices.is_empty(), "RUN --device"),
        (matches!(run.body, Body::Script(_) | Body::Documents { .. }), "a here-document (<<) in RUN"),
    ];
    first(&rows)
}

fn add(add: &Add) -> Option<String> {
    let rows = [
        (add.checksum.is_some(), "ADD --checksum"),
        (add.keep_git_dir.is_some(), "ADD --keep-git-dir"),
        (add.unpack.is_some(), "ADD --unpack"),
    ];
    let address = add.transfer.paths().find(|source| remote::is_remote(source));
    let address = address.map(|source| format!("ADD of a URL or git repository ({source})"));
    first(&rows).or(address).or_else(|| moved("ADD", &add.transfer))
}

/// What COPY and ADD have in common.
fn moved(name: &str, transfer: &Transfer) -> Option<String> {
    let rows = [
        (transfer.link, " --link"),
        (!transfer.excludes.is_empty(), " --exclude"),
        (transfer.heredocs().next().is_some(), ": a here-document (<<)"),
    ];
    first(&rows).map(|what| format!("{name}{what}"))
}

fn first(rows: &[(bool, &str)]) -> Option<String> {
    rows.iter().find(|(is_asked, _)| *is_asked).map(|(_, what)| (*what).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_carried_out_names_itself() {
        for (text, expected) in [
            ("HEALTHCHECK NONE", "HEALTHCHECK"),
            ("ONBUILD RUN a", "ONBUILD"),
            ("RUN --mount=target=/a b", "RUN --mount"),
            ("RUN --network=none a", "RUN --network"),
            ("RUN --security=insecure a", "RUN --security"),
            ("RUN --device=a b", "RUN --device"),
            ("RUN <<E\nE", "a here-document (<<) in RUN"),
            ("RUN cat <<E\nE", "a here-document (<<) in RUN"),
            ("COPY --parents a b", "COPY --parents"),
            ("COPY --link a b", "COPY --link"),
            ("COPY --exclude=a b c", "COPY --exclude"),
            ("COPY <<E a\nE", "COPY: a here-document (<<)"),
            ("ADD --link a b", "ADD --link"),
            ("ADD --checksum=a b c", "ADD --checksum"),
            ("ADD --keep-git-dir=false b c", "ADD --keep-git-dir"),
            ("ADD --unpack=false b c", "ADD --unpack"),
            ("ADD a https://b/c d", "ADD of a URL or git repository (https://b/c)"),
            ("ADD git@h:a/b d", "ADD of a URL or git repository (git@h:a/b)"),
        ] {
            assert_eq!(unsupported(&instruction(text)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn all_else_can() {
        for text in ["RUN a", "RUN [\"a\"]", "COPY --from=a --chown=b --chmod=755 c d", "ADD a b", "USER a", "ARG a"] {
            assert_eq!(unsupported(&instruction(text)), None, "{text}");
        }
    }

    fn instruction(text: &str) -> Instruction {
        crate::dockerfile::parse(text.as_bytes()).expect(text).instructions.remove(0).instruction
    }
}
