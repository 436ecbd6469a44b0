//! The rows of the history, an instruction each.

use super::*;
use crate::plan::{Options, plan};
use crate::steps::history;

/// The row of the last instruction of `text`, those before it carried out as far as they only change the state.
fn row(text: &str) -> String {
    let file = dockerfile::parse(format!("ARG G=global\nFROM scratch\n{text}\n").as_bytes()).expect(text);
    let head = dockerfile::parse(b"ARG G=global\nFROM scratch").expect("valid");
    let options = Options { build_args: [("B".to_owned(), "build".to_owned())].into(), ..Options::default() };
    let args = plan(&head, &options).expect("a plan").args;
    let mut fixture = Fixture::new();
    fixture.state = StageState::new(ConfigFile::default(), args, Escape::Backslash);
    let (last, before) = file.instructions[2..].split_last().expect("an instruction");
    for located in before {
        fixture.run(&located.text);
    }
    history(&last.instruction, &fixture.state).expect(text)
}

fn check(text: &str, expected: &str) {
    assert_eq!(row(text), expected, "{text}");
}

#[test]
fn commands() {
    check("RUN echo  \"$a\" && b", "RUN /bin/sh -c echo  \"$a\" && b # buildkit");
    check("RUN [\"a\", \"b c\"]", "RUN a b c # buildkit");
    check("SHELL [\"/bin/bash\", \"-ec\"]\nRUN a", "RUN /bin/bash -ec a # buildkit");
    check("ARG X=1\nARG Y\nRUN a", "RUN |2 X=1 Y= /bin/sh -c a # buildkit");
    check("ARG X=1\nENV X=2\nRUN a", "RUN |1 X=2 /bin/sh -c a # buildkit");
    check("RUN <<E\na\nb\nE", "RUN /bin/sh -c a\nb\n # buildkit");
    check("RUN <<E\n#!/bin/awk\nE", "RUN /bin/sh -c /dev/pipes/E # buildkit");
    check("RUN cat <<E\na\nE", "RUN /bin/sh -c cat <<E\na\nE # buildkit");
    check("RUN --mount=type=tmpfs,target=/a --network=none x", "RUN /bin/sh -c x # buildkit");
    check("CMD echo \"a\"", "CMD [\"/bin/sh\" \"-c\" \"echo \\\"a\\\"\"]");
    check("CMD [\"a\", \"b\\n\\u0001\\\\\"]", "CMD [\"a\" \"b\\n\\x01\\\\\"]");
    check("CMD []", "CMD []");
    check("ENTRYPOINT [\"/a\"]", "ENTRYPOINT [\"/a\"]");
}

#[test]
fn values() {
    check("ENV A=1 B=\"x y\"", "ENV A=1 B=x y");
    check("ENV A=1\nENV A=2 C=$A", "ENV A=2 C=1");
    check("ENV A b c", "ENV A=b c");
    check("LABEL a=b \"c d\"=e", "LABEL a=b c d=e");
    check("ARG A", "ARG A");
    check("ARG A=1", "ARG A=1");
    check("ARG A=1 G B=own", "ARG A=1 G=global B=build");
    check("ENV A=1\nARG C=$A", "ARG C=1");
    check("USER $G", "USER ");
    check("ENV U=u\nUSER ${U}:g", "USER u:g");
    check("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGTERM");
    check("MAINTAINER a <b@c>", "MAINTAINER a <b@c>");
    check("SHELL [\"/bin/bash\", \"-c\"]", "SHELL [/bin/bash -c]");
    check("VOLUME /a /b", "VOLUME [/a /b]");
    check("VOLUME [\"/a b\"]", "VOLUME [/a b]");
    check("EXPOSE 80 53/UDP 100-101", "EXPOSE [100/tcp 101/tcp 53/udp 80/tcp]");
    check("WORKDIR /a/", "WORKDIR /a");
    check("WORKDIR /a\nWORKDIR b/../c", "WORKDIR /a/c");
    check("WORKDIR /", "WORKDIR /");
    check("ONBUILD RUN a  b", "ONBUILD RUN a  b");
}

#[test]
fn transfers() {
    check("COPY a b c/", "COPY a b c/ # buildkit");
    check("ENV D=d\nCOPY --chown=$D:e --chmod=0755 $D/x .", "COPY --chown=d:e --chmod=0755 d/x . # buildkit");
    check("COPY --from=x --link a b", "COPY a b # buildkit");
    check("COPY --parents a/b c", "COPY --parents a/b c # buildkit");
    check("COPY <<E a /d/\nx\nE", "COPY a <<E /d/ # buildkit");
    check("ADD https://a/b c", "ADD https://a/b c # buildkit");
    check("COPY [\"a b\", \"c\"]", "COPY a b c # buildkit");
}

#[test]
fn healthchecks() {
    check("HEALTHCHECK NONE", "HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}");
    check(
        "HEALTHCHECK --interval=30s --timeout=1m30s --start-period=1.5s --start-interval=5ms --retries=3 CMD a b",
        "HEALTHCHECK &{[\"CMD-SHELL\" \"a b\"] \"30s\" \"1m30s\" \"1.5s\" \"5ms\" '\\x03'}",
    );
    check("HEALTHCHECK --retries=65 CMD [\"a\"]", "HEALTHCHECK &{[\"CMD\" \"a\"] \"0s\" \"0s\" \"0s\" \"0s\" 'A'}");
}
