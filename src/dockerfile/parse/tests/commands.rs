//! RUN, HEALTHCHECK and ONBUILD.

use super::*;
use crate::dockerfile::{Check, Device, Healthcheck, Invocation};

#[test]
fn heredocs_of_run() {
    let script = |document: Heredoc| Instruction::Run(run_of(Body::Script(document)));
    let documents = |line: &str, documents: &[Heredoc]| {
        Instruction::Run(run_of(Body::Documents { line: line.to_owned(), documents: documents.to_vec() }))
    };
    check("RUN <<EOF\na\n# b\n\\\nEOF", script(heredoc("EOF", "a\n# b\n\\\n")));
    check("RUN <<EOF\nEOF\n", script(heredoc("EOF", "")));
    check("RUN <<'E'\n$a\nE", script(Heredoc { variables: Variables::Literal, ..heredoc("E", "$a\n") }));
    check("RUN <<-E\n\t\ta\n\tE", script(Heredoc { tabs: Tabs::Dropped, ..heredoc("E", "\t\ta\n") }));
    check("RUN \\\n <<E\na\nE", script(heredoc("E", "a\n")));
    check("RUN <<E\r\na\r\nE\r\n", script(heredoc("E", "a\r\n")));
    check("RUN --network=default <<E\na\nE", script(heredoc("E", "a\n")));
    check("RUN cat <<E > b\na\nE", documents("cat <<E > b", &[heredoc("E", "a\n")]));
    check("RUN cat <<E <<F\na\nE\nb\nF", documents("cat <<E <<F", &[heredoc("E", "a\n"), heredoc("F", "b\n")]));
    check("RUN <<E cat\na\nE", documents("<<E cat", &[heredoc("E", "a\n")]));
    check("RUN 3<<E cat\na\nE", documents("3<<E cat", &[Heredoc { descriptor: 3, ..heredoc("E", "a\n") }]));
    check("RUN a \\\n && cat <<E\nb\nE", documents("a  && cat <<E", &[heredoc("E", "b\n")]));
    check("RUN [\"cat\", \"<<EOF\"]", Instruction::Run(run_of(Body::Exec(strings(&["cat", "<<EOF"])))));
    check("RUN cat <<< a", Instruction::Run(run_of(Body::Shell("cat <<< a".to_owned()))));
    check_error("FROM a\nRUN <<E\nFROM b\n", 2, "the here-document has no end: no line \"E\" follows");
    check_error("FROM a\nRUN <<E <<F\na\nE\nb", 2, "the here-document has no end: no line \"F\" follows");
    check_error("FROM a\nRUN <<E\nE ", 2, "the here-document has no end: no line \"E\" follows");
}

#[test]
fn how_a_run_with_heredocs_is_carried_out() {
    let invocation = |text: &str| match one_instruction(text) {
        Instruction::Run(run) => run.body.invocation(),
        other => panic!("{other:?}"),
    };
    let shell = |text: &str| Invocation::Shell(text.to_owned());
    assert_eq!(invocation("RUN <<E\na\nb\nE"), shell("a\nb\n"));
    assert_eq!(invocation("RUN <<-E\n\ta\n\t\tb\nE"), shell("a\nb\n"));
    assert_eq!(invocation("RUN cat <<E && x\na\nE"), shell("cat <<E && x\na\nE"));
    assert_eq!(invocation("RUN cat <<-E <<'F'\n\ta\nE\n$b\nF"), shell("cat <<-E <<'F'\n\ta\nE\n$b\nF"));
    let script = |name: &str, content: &str| Invocation::Script { name: name.to_owned(), content: content.to_owned() };
    assert_eq!(invocation("RUN <<E\n#!/usr/bin/env python\nx\nE"), script("E", "#!/usr/bin/env python\nx\n"));
    assert_eq!(invocation("RUN <<-E\n\t#!/bin/awk\n\tx\n\tE"), script("E", "#!/bin/awk\nx\n"));
    assert_eq!(invocation("RUN [\"a\"]"), Invocation::Exec(strings(&["a"])));
}

#[test]
fn lines_after_a_heredoc_go_on() {
    let file = parse(b"FROM a\nRUN <<E\nFROM x\nE\nCOPY <<F /f\nF\nUSER b").expect("valid");
    let spans: Vec<_> = file.instructions.iter().map(|l| (l.span.first, l.span.last, l.instruction.name())).collect();
    assert_eq!(spans, [(1, 1, "FROM"), (2, 4, "RUN"), (5, 6, "COPY"), (7, 7, "USER")]);
}

#[test]
fn flags_of_run() {
    let run = |change: fn(&mut Run)| {
        let mut run = run_of(Body::Shell("a".to_owned()));
        change(&mut run);
        Instruction::Run(run)
    };
    check("RUN --network=none a", run(|run| run.network = Network::None));
    check("RUN --network=host a", run(|run| run.network = Network::Host));
    check("RUN --security=insecure a", run(|run| run.security = Security::Insecure));
    check("RUN --security=sandbox a", run(|_| {}));
    let device = |name: &str, required| Device { name: name.to_owned(), required };
    let devices = |text: &str| match one_instruction(text) {
        Instruction::Run(run) => run.devices,
        other => panic!("{other:?}"),
    };
    assert_eq!(devices("RUN --device=v.example/c=d a"), [device("v.example/c=d", false)]);
    assert_eq!(devices("RUN --device=a,required --device=name=b a"), [device("a", true), device("b", false)]);
    let mounts = |text: &str| match one_instruction(text) {
        Instruction::Run(run) => run.mounts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(mounts("RUN --mount=target=/a --mount=type=tmpfs,target=$B c"), ["target=/a", "type=tmpfs,target=$B"]);
    check_error("RUN --network=nope a", 1, "RUN --network=nope: it is default or none or host (did you mean none?)");
    check_error("RUN --security=x a", 1, "RUN --security=x: it is sandbox or insecure");
    check_error("RUN --device=,required a", 1, "RUN --device needs a name");
    check_error("FROM x\nRUN --mount=type=cache a", 2, "--mount needs a target: target=/directory");
    check_error("RUN --mount=target=/a", 1, "RUN needs an argument");
}

#[test]
fn healthchecks() {
    let check_of =
        |command: Command| Check { command, interval: 0, timeout: 0, start_period: 0, start_interval: 0, retries: 0 };
    let health = |check: Check| Instruction::Healthcheck(Healthcheck::Check(check));
    let shell = || Command::Shell("a b".to_owned());
    check("HEALTHCHECK NONE", Instruction::Healthcheck(Healthcheck::None));
    check("healthcheck none", Instruction::Healthcheck(Healthcheck::None));
    check("HEALTHCHECK CMD a b", health(check_of(shell())));
    check("HEALTHCHECK cmd [\"a\", \"b\"]", health(check_of(Command::Exec(strings(&["a", "b"])))));
    let all = "--interval=1m30s --timeout=3s --start-period=1h --start-interval=500ms --retries=5";
    let expected = Check {
        interval: 90_000_000_000,
        timeout: 3_000_000_000,
        start_period: 3_600_000_000_000,
        start_interval: 500_000_000,
        retries: 5,
        ..check_of(shell())
    };
    check(&format!("HEALTHCHECK {all} \\\n CMD a b"), health(expected));
    check("HEALTHCHECK --interval=0 --retries=0 CMD a b", health(check_of(shell())));
    check_error("HEALTHCHECK", 1, "HEALTHCHECK needs CMD and a command, or NONE");
    check_error("HEALTHCHECK NONE a", 1, "HEALTHCHECK NONE takes no arguments");
    check_error("HEALTHCHECK CMD", 1, "HEALTHCHECK CMD needs an argument");
    check_error("HEALTHCHECK CMD []", 1, "HEALTHCHECK CMD needs a command");
    check_error("HEALTHCHECK curl", 1, "HEALTHCHECK curl: after the options comes CMD and a command, or NONE");
    check_error("HEALTHCHECK --interval=1us CMD a", 1, "HEALTHCHECK --interval=1us: it cannot be less than 1ms");
    check_error("HEALTHCHECK --timeout=-1s CMD a", 1, "HEALTHCHECK --timeout=-1s: it cannot be less than 1ms");
    check_error("HEALTHCHECK --timeout=3 CMD a", 1, "HEALTHCHECK --timeout=3: it is no duration such as 30s or 1m30s");
    check_error("HEALTHCHECK --retries=-1 CMD a", 1, "HEALTHCHECK --retries=-1: it is a number from 0");
    check_error("HEALTHCHECK --retries=x CMD a", 1, "HEALTHCHECK --retries=x: it is a number from 0");
}

#[test]
fn triggers() {
    let trigger = |text: &str, inner: &str| {
        Instruction::Onbuild(Trigger { text: text.to_owned(), instruction: Box::new(one_instruction(inner)) })
    };
    check("ONBUILD RUN a  b", trigger("RUN a  b", "RUN a  b"));
    check("onbuild   copy --from=x a b", trigger("copy --from=x a b", "COPY --from=x a b"));
    check("ONBUILD RUN a \\\n b", trigger("RUN a  b", "RUN a  b"));
    check("ONBUILD RUN <<E\na\nE", trigger("RUN <<E\na\nE", "RUN <<E\na\nE"));
    check(
        "ONBUILD COPY <<E <<F /d/\na\nE\nb\nF",
        trigger("COPY <<E <<F /d/\na\nE\nb\nF", "COPY <<E <<F /d/\na\nE\nb\nF"),
    );
    check_error("ONBUILD", 1, "ONBUILD needs an instruction");
    check_error("ONBUILD ONBUILD RUN a", 1, "ONBUILD ONBUILD: a trigger cannot leave triggers");
    check_error("ONBUILD from a", 1, "FROM cannot be a trigger of ONBUILD");
    check_error("ONBUILD MAINTAINER a", 1, "MAINTAINER cannot be a trigger of ONBUILD");
    check_error("ONBUILD COPPY a b", 1, "unknown instruction: COPPY (did you mean COPY?)");
    check_error("FROM a\nONBUILD COPY a", 2, "COPY needs a source and a destination");
}
