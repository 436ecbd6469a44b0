//! Tables: for each rule what it finds and what it does not.

use super::*;
use crate::dockerfile::parse;

fn report_with(text: &str, options: &Options, ignore: &str) -> Report {
    let file = parse(text.as_bytes()).expect(text);
    lint(text.as_bytes(), &file, options, &Ignore::parse(ignore.as_bytes()).expect(ignore)).expect(text)
}

/// The rules and lines that are found, as `Rule:line`.
fn found(text: &str) -> Vec<String> {
    let report = report_with(text, &Options::default(), "");
    report.findings.iter().map(|finding| format!("{}:{}", finding.rule, finding.line)).collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(found(text), expected, "{text:?}");
}

#[test]
fn casing() {
    check("FROM a\nrun b\nRUN c", &["ConsistentInstructionCasing:2"]);
    check("from a\nrun b\nRUN c", &["ConsistentInstructionCasing:3"]);
    check("FROM a\nRun b", &["ConsistentInstructionCasing:2"]);
    check("from a\nrun b", &[]);
    check("FROM a\nRUN b", &[]);
    check("FROM a as b", &["FromAsCasing:1"]);
    check("from a AS b", &["FromAsCasing:1"]);
    check("from a as b", &[]);
    check("FROM a AS b", &[]);
    check("FROM --platform=$BUILDPLATFORM a AS b", &[]);
    check("FROM a AS Build", &["StageNameCasing:1"]);
    check("FROM a AS build-1", &[]);
}

#[test]
fn stage_names() {
    check("FROM a AS b\nFROM c AS b", &["DuplicateStageName:2"]);
    check("FROM a AS b\nFROM c AS B", &["DuplicateStageName:2", "StageNameCasing:2"]);
    check("FROM a AS b\nFROM c AS d", &[]);
    check("FROM a AS scratch", &["ReservedStageName:1"]);
    check("FROM a AS context", &["ReservedStageName:1"]);
    check("FROM a AS scratchy", &[]);
}

#[test]
fn continuations() {
    check("FROM a\nRUN b \\\n\n c", &["NoEmptyContinuation:3"]);
    check("FROM a\nRUN b \\\n # d\n c", &[]);
}

#[test]
fn single_instructions() {
    check("FROM a\nMAINTAINER b", &["MaintainerDeprecated:2"]);
    check("FROM a\nENV b c", &["LegacyKeyValueFormat:2"]);
    check("FROM a\nLABEL b c", &["LegacyKeyValueFormat:2"]);
    check("FROM a\nENV b=c d=e\nLABEL f=g\nENV h=\"i j\"", &[]);
    check("FROM a\nCMD b", &["JSONArgsRecommended:2"]);
    check("FROM a\nENTRYPOINT b", &["JSONArgsRecommended:2"]);
    check("FROM a\nCMD [\"b\"]\nENTRYPOINT [\"c\"]", &[]);
    check("FROM a\nSHELL [\"b\"]\nCMD c", &[]);
    check("FROM a\nSHELL [\"b\"]\nFROM a\nCMD c", &["JSONArgsRecommended:4"]);
    check(
        "FROM a\nCMD [\"b\"]\nCMD [\"c\"]\nCMD [\"d\"]",
        &["MultipleInstructionsDisallowed:2", "MultipleInstructionsDisallowed:3"],
    );
    check("FROM a\nENTRYPOINT [\"b\"]\nENTRYPOINT [\"c\"]", &["MultipleInstructionsDisallowed:2"]);
    check("FROM a\nHEALTHCHECK NONE\nHEALTHCHECK CMD a", &["MultipleInstructionsDisallowed:2"]);
    check("FROM a\nCMD [\"b\"]\nFROM c\nCMD [\"d\"]", &[]);
    check("FROM a\nEXPOSE 80/TCP", &["ExposeProtoCasing:2"]);
    check("FROM a\nEXPOSE 80/tcp 90 100-200/udp $P/$Q", &[]);
    check("FROM a\nEXPOSE 127.0.0.1:80:80", &["ExposeInvalidFormat:2"]);
    check("FROM a\nEXPOSE 5000:80/Tcp", &["ExposeInvalidFormat:2", "ExposeProtoCasing:2"]);
}

#[test]
fn workdirs() {
    check("FROM a\nWORKDIR b", &["WorkdirRelativePath:2"]);
    check("FROM a\nWORKDIR /b\nWORKDIR c", &[]);
    check("FROM a\nWORKDIR $B\nWORKDIR c", &[]);
    check("FROM a AS b\nWORKDIR /c\nFROM b\nWORKDIR d", &[]);
    check("FROM a AS b\nFROM b\nWORKDIR d", &["WorkdirRelativePath:3"]);
    check("FROM a\nWORKDIR /c\nFROM a\nWORKDIR d", &["WorkdirRelativePath:4"]);
}

#[test]
fn secrets() {
    check("FROM scratch\nARG TOKEN", &["SecretsUsedInArgOrEnv:2"]);
    check("FROM scratch\nENV API_KEY=x", &["SecretsUsedInArgOrEnv:2"]);
    check("FROM scratch\nENV db_password=x A=b", &["SecretsUsedInArgOrEnv:2"]);
    check("FROM scratch\nARG GIT_AUTH", &["SecretsUsedInArgOrEnv:2"]);
    check("ARG aws_secret_access\nFROM scratch", &["SecretsUsedInArgOrEnv:1"]);
    check("FROM scratch\nENV PUBLIC_KEY=x MONKEY=y TOKENIZER=z KEYS=1", &[]);
}

#[test]
fn variables() {
    check("FROM scratch\nCOPY $a b", &["UndefinedVar:2"]);
    check("FROM scratch\nARG a\nCOPY $a ${b:-c} d", &[]);
    check("FROM scratch\nENV a=b\nWORKDIR /$a\nUSER ${c}", &["UndefinedVar:4"]);
    check("FROM scratch\nENV a=b c=$a", &["UndefinedVar:2"]);
    check("FROM scratch\nENV PATH=$PATH:/x", &[]);
    check("FROM scratch\nRUN $a", &[]);
    check("FROM scratch AS x\nARG a\nFROM x\nCOPY $a b", &[]);
    check("FROM scratch AS x\nARG a\nFROM scratch\nCOPY $a b", &["UndefinedVar:4"]);
    // A base image may define it; a near name tells that it was mistyped.
    check("FROM a\nWORKDIR /$HOME", &[]);
    check("FROM a\nARG VERSION\nCOPY app-$VERSOIN /b", &["UndefinedVar:3"]);
    let report = report_with("FROM a\nARG VERSION\nCOPY app-$VERSOIN /b", &Options::default(), "");
    assert_eq!(report.findings[0].to_string(), "`$VERSOIN` is not defined (did you mean VERSION?) (UndefinedVar)");
}

#[test]
fn args_in_from() {
    check("FROM a:$V", &["InvalidDefaultArgInFrom:1", "UndefinedArgInFrom:1"]);
    check("ARG V=1\nFROM a:$V", &[]);
    check("ARG V\nFROM a:$V", &["InvalidDefaultArgInFrom:2"]);
    check("ARG V\nFROM a:${V:-1}", &[]);
    check("ARG V\nFROM $V", &["InvalidDefaultArgInFrom:2"]);
    check("FROM a\nARG V=1\nFROM a:$V", &["InvalidDefaultArgInFrom:3", "UndefinedArgInFrom:3"]);
    check("FROM --platform=$BUILDPLATFORM a", &[]);
    check("FROM --platform=$BULIDPLATFORM a", &["UndefinedArgInFrom:1"]);
    check("FROM a AS b\nFROM b", &[]);
    check("ARG B=b\nFROM a AS b\nFROM $B", &[]);
    let given = Options { build_args: [("V".to_owned(), "1".to_owned())].into(), ..Options::default() };
    assert_eq!(report_with("ARG V\nFROM a:$V", &given, "").findings.len(), 1);
}

#[test]
fn platforms() {
    check("FROM --platform=$TARGETPLATFORM a", &["RedundantTargetPlatform:1"]);
    check("FROM --platform=${TARGETPLATFORM} a", &["RedundantTargetPlatform:1"]);
    check("FROM --platform=linux/amd64 a", &["FromPlatformFlagConstDisallowed:1"]);
    check("FROM --platform=linux/amd64 a AS base-amd64", &[]);
    check("ARG P=linux/arm64\nFROM --platform=$P a", &[]);
}

#[test]
fn experimental_rules() {
    let all = "# check=experimental=all\n";
    let ignored = |text: &str| {
        let report = report_with(&format!("{all}{text}"), &Options::default(), "tmp\n*.log\nd\n!d/keep");
        report.findings.iter().map(|finding| format!("{}:{}", finding.rule, finding.line)).collect::<Vec<_>>()
    };
    assert_eq!(ignored("FROM a\nCOPY tmp/x a.log /b/"), ["CopyIgnoredFile:3", "CopyIgnoredFile:3"]);
    assert_eq!(ignored("FROM a\nADD ./tmp /b/"), ["CopyIgnoredFile:3"]);
    assert_eq!(ignored("FROM a\nCOPY --from=x tmp /b\nCOPY *.log y d $z /b/\nADD https://tmp /b"), [""; 0]);
    assert_eq!(found("FROM a\nCOPY tmp /b"), [""; 0]);
    let described = |text: &str| found(&format!("{all}\n{text}"));
    assert_eq!(described("# a is it\nARG a\nFROM b"), [""; 0]);
    assert_eq!(described("# about a\nARG a\nFROM b"), ["InvalidDefinitionDescription:4"]);
    assert_eq!(described("# about a\n\nARG a\nFROM b"), [""; 0]);
    assert_eq!(described("# about a\n#\nARG a\nFROM b"), [""; 0]);
    assert_eq!(described("# the stage\nFROM b AS c"), ["InvalidDefinitionDescription:4"]);
    assert_eq!(described("# c is the stage\nFROM b AS c"), [""; 0]);
    assert_eq!(described("# any\nFROM b"), [""; 0]);
    assert_eq!(found("# about a\nARG a\nFROM b"), [""; 0]);
}

#[test]
fn the_check_directive() {
    let text = "FROM a as B\nMAINTAINER c";
    assert_eq!(found(text), ["FromAsCasing:1", "StageNameCasing:1", "MaintainerDeprecated:2"]);
    assert_eq!(found(&format!("# check=skip=all\n{text}")), [""; 0]);
    assert_eq!(found(&format!("# check=skip=FromAsCasing,stagenamecasing\n{text}")), ["MaintainerDeprecated:3"]);
    let fails = |text: &str| report_with(text, &Options::default(), "").fails;
    assert!(!fails(text));
    assert!(fails(&format!("# check=error=true\n{text}")));
    assert!(!fails("# check=error=true\nFROM a"));
    assert!(!fails(&format!("# check=skip=all;error=true\n{text}")));
    let given = Options {
        build_args: [("BUILDKIT_DOCKERFILE_CHECK".to_owned(), "skip=all".to_owned())].into(),
        ..Options::default()
    };
    assert_eq!(report_with(&format!("# check=error=true\n{text}"), &given, ""), Report::default());
    let bad = format!("# check=nonsense\n{text}");
    let file = parse(bad.as_bytes()).expect("parses");
    assert!(lint(bad.as_bytes(), &file, &Options::default(), &Ignore::default()).is_err());
}

#[test]
fn a_comment_skips_a_rule_for_one_instruction() {
    let text = "FROM a\n# check=skip=JSONArgsRecommended\nCMD b\nFROM a\nCMD b";
    check(text, &["JSONArgsRecommended:5"]);
    check("FROM a\n# check=skip=JSONArgsRecommended\n\nCMD b", &["JSONArgsRecommended:4"]);
    check("FROM a\n# check=skip=MaintainerDeprecated\n# why\nCMD b", &["JSONArgsRecommended:4"]);
}

#[test]
fn a_base_for_another_platform() {
    let of = |head: &str| {
        let text = format!("{head}FROM a\n");
        let platform = |text: &str| text.parse::<crate::oci::Platform>().expect(text);
        let line = text.lines().count() as u32;
        let rows = [
            (line, platform("linux/arm64"), platform("linux/amd64")),
            (line, platform("linux/amd64"), platform("linux/amd64")),
        ];
        let file = parse(text.as_bytes()).expect("a Dockerfile");
        lint_bases(text.as_bytes(), &file, &Options::default(), &rows).expect("a report")
    };
    let report = of("");
    let text = "the base image is for linux/arm64, not for linux/amd64 (InvalidBaseImagePlatform)";
    assert_eq!(report.findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
    assert!(!report.fails && of("# check=error=true\n").fails);
    assert_eq!(of("# check=skip=InvalidBaseImagePlatform\n").findings, []);
}

#[test]
fn what_looks_like_json_and_is_none() {
    let lines = |text: &str| -> Vec<u32> {
        no_json(&crate::dockerfile::parse(text.as_bytes()).expect(text)).into_iter().map(|(line, _)| line).collect()
    };
    let text = "FROM a\nRUN ['x']\nCMD [\"a\", \"b\"\nENTRYPOINT [\u{201c}a\u{201d}]\nHEALTHCHECK CMD [\"a\",]";
    assert_eq!(lines(text), [2, 3, 4, 5]);
    let text = "FROM a\nRUN [ -f x ] && y\nRUN [[ a = b ]]\nRUN [ \"$A\" = b ]\nCMD [\"a\"]\nENTRYPOINT a [\"b\"";
    assert_eq!(lines(text), [0_u32; 0]);
}
