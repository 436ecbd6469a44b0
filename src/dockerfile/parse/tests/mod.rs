//! Tables over whole instructions, written from the reference of the language.

mod commands;
mod transfers;

use proptest::prelude::*;

use super::*;
use crate::dockerfile::{Body, Heredoc, Network, Run, Security, Tabs, Variables};

/// The only instruction of `text`.
fn one_instruction(text: &str) -> Instruction {
    let mut file = parse(text.as_bytes()).expect(text);
    assert_eq!(file.instructions.len(), 1, "{text:?}");
    file.instructions.remove(0).instruction
}

fn check(text: &str, expected: Instruction) {
    assert_eq!(one_instruction(text), expected, "{text:?}");
}

fn check_error(text: &str, line: u32, message: &str) {
    let error = parse(text.as_bytes()).expect_err(text);
    assert_eq!((error.line(), error.problem().to_string().as_str()), (line, message), "{text:?}");
}

fn run_of(body: Body) -> Run {
    Run { body, mounts: Vec::new(), network: Network::Default, security: Security::Sandbox, devices: Vec::new() }
}

fn heredoc(name: &str, body: &str) -> Heredoc {
    let (variables, tabs) = (Variables::Expanded, Tabs::Kept);
    Heredoc { name: name.to_owned(), body: body.to_owned(), variables, tabs, descriptor: 0 }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

fn pairs_of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn from_names_a_base_and_a_stage() {
    let from = |image: &str, name: Option<&str>, platform: Option<&str>| {
        let (image, name, platform) = (image.to_owned(), name.map(str::to_owned), platform.map(str::to_owned));
        Instruction::From(From { image, name, platform })
    };
    check("FROM a", from("a", None, None));
    check("from a:1@sha256:0 As Build-1.x_y", from("a:1@sha256:0", Some("build-1.x_y"), None));
    check("FROM --platform=$BUILDPLATFORM ${BASE:-a} AS b", from("${BASE:-a}", Some("b"), Some("$BUILDPLATFORM")));
    check("FROM --platform= a", from("a", None, None));
    check("FROM\ta\t AS \tb", from("a", Some("b"), None));
    for text in ["FROM", "FROM a b", "FROM a AS", "FROM a IS b", "FROM a AS b c"] {
        check_error(text, 1, "FROM takes an image, or an image AS a name");
    }
    for name in ["1", "1a", "-a", "a/b", "a:b", "\u{e4}", "a$b", "_a"] {
        assert!(parse(format!("FROM a AS {name}").as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn commands_have_two_forms() {
    let shell = |text: &str| Command::Shell(text.to_owned());
    let exec = |words: &[&str]| Command::Exec(strings(words));
    let run_shell = |text: &str| Instruction::Run(run_of(Body::Shell(text.to_owned())));
    let run_exec = |words: &[&str]| Instruction::Run(run_of(Body::Exec(strings(words))));
    check("RUN a b  c", run_shell("a b  c"));
    check("RUN [\"a\", \"b c\"]", run_exec(&["a", "b c"]));
    check("RUN   [ \"a\" ]  ", run_exec(&["a"]));
    check("RUN [\"a\\u0041\\n\"]", run_exec(&["aA\n"]));
    check("RUN ['a']", run_shell("['a']"));
    check("RUN [ -f a ] && b", run_shell("[ -f a ] && b"));
    check("RUN [\"a\"] b", run_shell("[\"a\"] b"));
    check("RUN [\"a\",]", run_shell("[\"a\",]"));
    check("RUN [\"c:\\windows\"]", run_shell("[\"c:\\windows\"]"));
    check("RUN [[ a ]] && b", run_shell("[[ a ]] && b"));
    check("RUN -- --a", run_shell("--a"));
    check("RUN a \\\n  && b \\\n # c\n && d", run_shell("a   && b  && d"));
    check("CMD a", Instruction::Cmd(shell("a")));
    check("CMD []", Instruction::Cmd(exec(&[])));
    check("CMD [\"\"]", Instruction::Cmd(exec(&[""])));
    check("ENTRYPOINT [\"a\"]", Instruction::Entrypoint(exec(&["a"])));
    check("ENTRYPOINT exec a $B", Instruction::Entrypoint(shell("exec a $B")));
    check("entrypoint []", Instruction::Entrypoint(exec(&[])));
    check_error("RUN [1]", 1, "the JSON form takes strings only, not 1");
    check_error("CMD [\"a\", null]", 1, "the JSON form takes strings only, not null");
    check_error("RUN []", 1, "RUN needs a command");
    check_error("RUN", 1, "RUN needs an argument");
    check_error("CMD", 1, "CMD needs an argument");
}

#[test]
fn names_and_values() {
    let env = |pairs: &[(&str, &str)]| Instruction::Env(pairs_of(pairs));
    check("ENV a=b", env(&[("a", "b")]));
    check("ENV a=b c=d\\ e f=\"g h\" i='j k'", env(&[("a", "b"), ("c", "d\\ e"), ("f", "\"g h\""), ("i", "'j k'")]));
    check("ENV a= b=\"\"", env(&[("a", ""), ("b", "\"\"")]));
    check("ENV a=b=c", env(&[("a", "b=c")]));
    check("ENV a b c=d", env(&[("a", "b c=d")]));
    check("ENV a   \"b c\"  ", env(&[("a", "\"b c\"")]));
    check("ENV a=b \\\n    c=d", env(&[("a", "b"), ("c", "d")]));
    check("ENV a=$b c=${a:-x}", env(&[("a", "$b"), ("c", "${a:-x}")]));
    check("LABEL \"a b\"=\"c\" d.e=f", Instruction::Label(pairs_of(&[("\"a b\"", "\"c\""), ("d.e", "f")])));
    check("LABEL a b", Instruction::Label(pairs_of(&[("a", "b")])));
    check_error("ENV", 1, "ENV needs at least one argument");
    check_error("ENV a", 1, "ENV needs a value: ENV name=value");
    check_error("ENV =a", 1, "ENV needs a name before =");
    check_error("LABEL a=b c", 1, "LABEL: \"c\" has no =; write name=value, with quotes around blanks");
}

#[test]
fn args_may_have_defaults() {
    let arg = |words: &[(&str, Option<&str>)]| {
        let definition = |(name, default): &(&str, Option<&str>)| ArgDefinition {
            name: name.to_string(),
            default: default.map(str::to_owned),
        };
        Instruction::Arg(words.iter().map(definition).collect())
    };
    check("ARG a", arg(&[("a", None)]));
    check(
        "ARG a=b c d= e=\"f g\" h=i=j",
        arg(&[("a", Some("b")), ("c", None), ("d", Some("")), ("e", Some("\"f g\"")), ("h", Some("i=j"))]),
    );
    check_error("ARG", 1, "ARG needs at least one argument");
    check_error("ARG =a", 1, "ARG needs a name before =");
}

#[test]
fn the_rest_takes_text_or_words() {
    check("WORKDIR /a b", Instruction::Workdir("/a b".to_owned()));
    check("USER a:b", Instruction::User("a:b".to_owned()));
    check("STOPSIGNAL SIGTERM", Instruction::Stopsignal("SIGTERM".to_owned()));
    check("MAINTAINER A <a@b>", Instruction::Maintainer("A <a@b>".to_owned()));
    check("EXPOSE 80 $P/udp  90-92", Instruction::Expose(strings(&["80", "$P/udp", "90-92"])));
    check("VOLUME /a /b", Instruction::Volume(strings(&["/a", "/b"])));
    check("VOLUME [\"/a b\", \"/c\"]", Instruction::Volume(strings(&["/a b", "/c"])));
    check("VOLUME [/a]", Instruction::Volume(strings(&["[/a]"])));
    check("SHELL [\"/bin/bash\", \"-c\"]", Instruction::Shell(strings(&["/bin/bash", "-c"])));
    check_error("WORKDIR", 1, "WORKDIR needs an argument");
    check_error("EXPOSE", 1, "EXPOSE needs at least one argument");
    check_error("VOLUME []", 1, "VOLUME needs at least one argument");
    check_error("VOLUME [\" \"]", 1, "VOLUME cannot be an empty path");
    for text in ["SHELL", "SHELL []", "SHELL /bin/sh -c", "SHELL [\"a\""] {
        check_error(text, 1, "SHELL takes the JSON form: SHELL [\"program\", \"argument\"]");
    }
}

#[test]
fn mistakes_get_a_suggestion() {
    check_error("FROM a\n\n# c\nCOPPY a b", 4, "unknown instruction: COPPY (did you mean COPY?)");
    check_error("form a", 1, "unknown instruction: FORM (did you mean FROM?)");
    check_error("FROM a\n&& b", 2, "unknown instruction: &&");
    check_error("FROM a\nCOPY --form=b c d", 2, "unknown flag: --form for COPY (did you mean --from?)");
    check_error("FROM --platfrom=b c", 1, "unknown flag: --platfrom for FROM (did you mean --platform?)");
    check_error("USER --a b", 1, "unknown flag: --a for USER");
}

#[test]
fn a_file_has_at_least_one_instruction() {
    for text in ["", "\n\n", "# a\n", "# escape=`\n", "\u{feff}", "\\\n"] {
        check_error(text, 1, "the Dockerfile has no instructions");
    }
}

#[test]
fn instructions_carry_their_lines_and_text() {
    let text = "# syntax=x\nFROM a AS b\n\nRUN c \\\n # d\n  e\nCOPY f \\\r\n g\r\n";
    let file = parse(text.as_bytes()).expect("valid");
    let located: Vec<_> = file.instructions.iter().map(|l| (l.span.first, l.span.last, l.text.as_str())).collect();
    assert_eq!(located, [(2, 2, "FROM a AS b"), (4, 6, "RUN c   e"), (7, 8, "COPY f  g")]);
    assert_eq!(file.instructions.iter().map(|l| l.instruction.name()).collect::<Vec<_>>(), ["FROM", "RUN", "COPY"]);
    assert_eq!(file.directives.syntax.as_deref(), Some("x"));
}

#[test]
fn long_and_deep_files() {
    let long = "x".repeat(1 << 20);
    check(&format!("WORKDIR /{long}"), Instruction::Workdir(format!("/{long}")));
    let continued = format!("RUN a{}", " \\\n a".repeat(1 << 16));
    assert_eq!(parse(continued.as_bytes()).expect("valid").instructions[0].span.last, 1 + (1 << 16));
    assert!(parse(format!("RUN {}", "[".repeat(1 << 20)).as_bytes()).is_ok());
    assert!(parse("ONBUILD ".repeat(1 << 17).as_bytes()).is_err());
    assert!(parse(format!("COPY {} /a\n", "<<a ".repeat(1 << 12)).as_bytes()).is_err());
    assert!(parse("FROM a\n".repeat(1 << 14).as_bytes()).is_ok());
}

#[test]
fn errors_tell_file_and_line() {
    let error = parse(b"FROM a\nFOO").expect_err("no FOO");
    assert_eq!(error.located("d/Dockerfile"), "d/Dockerfile:2: unknown instruction: FOO");
    assert_eq!(error.to_string(), "line 2: unknown instruction: FOO");
}

#[test]
fn the_escape_directive_reaches_the_words() {
    let file = parse(b"# escape=`\nENV a=b` c d=\\\nRUN x `\n y").expect("valid");
    assert_eq!(file.instructions[0].instruction, Instruction::Env(pairs_of(&[("a", "b` c"), ("d", "\\")])));
    assert_eq!(file.instructions[1].instruction, Instruction::Run(run_of(Body::Shell("x  y".to_owned()))));
}

/// Lines that look like a Dockerfile, most of them almost right.
fn almost_a_dockerfile() -> impl Strategy<Value = String> {
    let name = prop::sample::select(NAMES.to_vec());
    let rest = r#"( |\t|--from=|--|=|\[|\]|"|'|\\|`|<<EOF|<<-E|\nEOF\n|\nE|\$\{?|AS|CMD |RUN |COPY |target=|a|b|,|\n|\r\n|#|é){0,12}"#;
    prop::collection::vec((name, rest).prop_map(|(name, rest)| format!("{name} {rest}")), 0..6)
        .prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn any_bytes_parse_or_are_refused(bytes in any::<Vec<u8>>()) {
        let _ = parse(&bytes);
    }

    #[test]
    fn spans_are_ordered_and_errors_are_inside(text in almost_a_dockerfile()) {
        let lines = text.split('\n').count() as u32;
        match parse(text.as_bytes()) {
            Err(error) => prop_assert!((1..=lines).contains(&error.line())),
            Ok(file) => {
                let mut last = 0;
                for located in &file.instructions {
                    prop_assert!(last < located.span.first && located.span.first <= located.span.last);
                    last = located.span.last;
                }
                prop_assert!(last <= lines);
            }
        }
    }

    #[test]
    fn a_printed_file_parses_to_the_same(text in almost_a_dockerfile()) {
        if let Ok(file) = parse(text.as_bytes()) {
            printed_and_parsed(&file);
        }
    }
}

/// Prints and parses: the instructions stay, and so does what is printed.
fn printed_and_parsed(file: &Dockerfile) {
    let printed = file.to_string();
    let again = parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
    let instructions = |file: &Dockerfile| file.instructions.iter().map(|l| l.instruction.clone()).collect::<Vec<_>>();
    assert_eq!(instructions(&again), instructions(file), "{printed:?}");
    assert_eq!(again.directives, file.directives, "{printed:?}");
    assert_eq!(again.to_string(), printed);
}

#[test]
fn files_that_print_and_parse() {
    for text in [
        "# syntax=a\n# escape=`\n# check=skip=all\nFROM --platform=$P a AS b\nRUN a`\n b\nWORKDIR c:\\\n",
        "FROM a\nCOPY [\"a b\", \"<<c\", \"--d\", \"\"]\nRUN [\"a\\n\"]\nVOLUME a b\nCMD []\nENTRYPOINT [\"\"]",
        "FROM a\nRUN <<-'E F'\n\ta\nE F\nRUN --mount='type=tmpfs,\"target=/a,b\"' 3<<E cat\nx\nE\nONBUILD copy <<E /a\nb\r\nE\n",
        "FROM a\nADD --checksum=a --keep-git-dir --unpack=false --link --exclude='a b' --chmod=u=x c d\nUSER -- --x",
        "FROM a\nENV a b c=d\nENV a=b\\ c d=\"e f\"\nENV x y\\\x0c\nLABEL \"a b\" c\nARG a b=c d=\"e f\"\nEXPOSE 80 $P",
        "FROM a\nHEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=1h --start-interval=1ms --retries=3 CMD --a",
        "FROM a\nHEALTHCHECK NONE\nRUN --network=none --security=insecure --device=a=b,required c\nRUN a \\\\\nSHELL [\"a\"]",
        "FROM a\nCOPY --from=b --parents --chown=c:d e \\f <<G h\nG\nSTOPSIGNAL 9\nMAINTAINER a b\nRUN -- --c\nCOPY a\\b c",
    ] {
        printed_and_parsed(&parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}")));
    }
}

#[test]
fn a_line_that_the_one_before_should_have_reached() {
    check_error("RUN a\n  && b", 2, "unknown instruction: &&; if it belongs to line 1, that line must end with \\");
    check_error(
        "# escape=`\nRUN a\nb c",
        3,
        "unknown instruction: B; if it belongs to line 2, that line must end with `",
    );
    check_error(
        "CMD <<E\nfoo\nE",
        2,
        "unknown instruction: FOO; line 1 has the mark of a here-document, which only RUN, COPY and ADD can have",
    );
    check_error("RUN a\nRUNN b", 2, "unknown instruction: RUNN (did you mean RUN?)");
    check_error("foo", 1, "unknown instruction: FOO");
}
