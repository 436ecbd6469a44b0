//! Tables over whole Dockerfiles.

use proptest::prelude::*;

use super::*;
use crate::dockerfile::parse;

fn options() -> Options {
    let platform = |architecture: &str, variant: Option<&str>| PlatformNames {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.map(str::to_owned),
    };
    Options {
        target_platform: platform("arm", Some("v7")),
        build_platform: platform("amd64", None),
        ..Options::default()
    }
}

fn with_args(pairs: &[(&str, &str)]) -> Options {
    let build_args = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Options { build_args, ..options() }
}

fn with_target(target: &str) -> Options {
    Options { targets: vec![target.to_owned()], ..options() }
}

fn with_contexts(names: &[&str]) -> Options {
    Options { contexts: names.iter().map(|name| name.to_string()).collect(), ..options() }
}

fn planned(text: &str, options: &Options) -> Plan {
    plan(&parse(text.as_bytes()).expect(text), options).expect(text)
}

/// Each stage as `index[:name]<base`, its sources after it.
fn outline(plan: &Plan) -> String {
    let stage = |stage: &Stage| {
        let name = stage.name.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
        let base = match &stage.base {
            Base::Scratch => "scratch".to_owned(),
            Base::Stage(position) => format!("@{position}"),
            Base::Image(image) => image.clone(),
            Base::Context(context) => format!("context {context}"),
        };
        let sources = stage.steps.iter().filter_map(|step| step.source.as_ref()).map(|source| match source {
            Source::Context => " .".to_owned(),
            Source::Stage(position) => format!(" @{position}"),
            Source::Image(image) => format!(" {image}"),
            Source::Named(context) => format!(" context {context}"),
        });
        format!("{}{name}<{base}{}", stage.index, sources.collect::<String>())
    };
    plan.stages.iter().map(stage).collect::<Vec<_>>().join("; ")
}

fn check(text: &str, options: &Options, expected: &str) {
    assert_eq!(outline(&planned(text, options)), expected, "{text:?}");
}

fn check_error(text: &str, options: &Options, expected: &str) {
    let error = plan(&parse(text.as_bytes()).expect(text), options).expect_err(text);
    assert_eq!(error.located("Dockerfile"), expected, "{text:?}");
}

#[test]
fn bases() {
    check("FROM a:1", &options(), "0<a:1");
    check("FROM scratch", &options(), "0<scratch");
    check("FROM a AS b\nFROM B", &options(), "0:b<a; 1<@0");
    check("FROM a AS b\nFROM b AS b\nFROM b", &options(), "0:b<a; 1:b<@0; 2<@1");
    // Only an earlier stage is a base; else the name is an image's.
    check("FROM a AS a", &options(), "0:a<a");
    check("FROM b AS a\nFROM c AS b\nCOPY --from=a x x", &options(), "0:a<b; 1:b<c @0");
    check("FROM a\nFROM 0", &options(), "1<0");
    check("FROM x AS scratch\nFROM scratch", &options(), "1<scratch");
}

#[test]
fn sources_of_copy() {
    check("FROM a\nCOPY b c\nADD b c\nRUN d", &options(), "0<a . .");
    check("FROM a AS b\nFROM c\nCOPY --from=B d e", &options(), "0:b<a; 1<c @0");
    check("FROM a\nFROM c\nCOPY --from=0 d e", &options(), "0<a; 1<c @0");
    check("FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=x d e", &options(), "1:x<b; 2<c @0");
    check("FROM a AS x\nFROM c AS x\nCOPY --from=x d e", &options(), "0:x<a; 1:x<c @0");
    check("FROM a\nCOPY --from=r.example/x:1@sha256:0 b c", &options(), "0<a r.example/x:1@sha256:0");
    check("FROM a\nCOPY --from=1a b c", &options(), "0<a 1a");
}

#[test]
fn only_what_the_target_needs_is_built() {
    let text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nFROM c AS four\nCOPY --from=two x x\nCOPY --from=2 x x\n\
                FROM d\nFROM e";
    check(text, &options(), "5<e");
    check(text, &with_target("four"), "0:one<a; 1:two<b; 2:three<@0; 3:four<c @1 @2");
    check(text, &with_target("THREE"), "0:one<a; 2:three<@0");
    check(text, &with_target("1"), "1:two<b");
    check(text, &with_target("4"), "4<d");
    check(text, &with_target(""), "5<e");
    check("FROM a AS x\nFROM b AS x", &with_target("x"), "1:x<b");
    let stages = "they are one, two, three, four, 4 (FROM d), 5 (FROM e)";
    check_error(text, &with_target("five"), &format!("Dockerfile: the target \"five\" is not a stage; {stages}"));
    check_error(text, &with_target("6"), &format!("Dockerfile: the target \"6\" is not a stage; {stages}"));
    check_error(text, &with_target("-1"), &format!("Dockerfile: the target \"-1\" is not a stage; {stages}"));
}

#[test]
fn named_contexts_stand_in_for_stages_and_images() {
    check("FROM a:latest", &with_contexts(&["a"]), "0<context a");
    check("FROM docker.io/library/A", &with_contexts(&["a"]), "0<context a");
    check("FROM a", &with_contexts(&["docker.io/library/a:latest"]), "0<context docker.io/library/a:latest");
    check("FROM a:1", &with_contexts(&["a"]), "0<a:1");
    check("FROM x/a", &with_contexts(&["a"]), "0<x/a");
    check("FROM a AS b\nFROM b\nCOPY --from=b x y", &with_contexts(&["b"]), "1<context b context b");
    check("FROM a AS b\nFROM c\nCOPY --from=0 x y", &with_contexts(&["b"]), "1<c context b");
    check("FROM a\nCOPY --from=src x y", &with_contexts(&["src"]), "0<a context src");
    check("FROM scratch", &with_contexts(&["scratch"]), "0<scratch");
}

#[test]
fn wrong_references_name_their_line() {
    let check = |text: &str, expected: &str| check_error(text, &options(), expected);
    check(
        "FROM a\nCOPY --from=$X b c",
        "Dockerfile:2: --from=$X: variables are not expanded here; add a stage `FROM $X AS name` and use --from=name",
    );
    check("FROM a\nCOPY --from=scratch b c", "Dockerfile:2: --from=scratch: scratch has no files");
    check("FROM a AS b\nRUN x\nCOPY --from=b b c", "Dockerfile:3: --from=b: a stage cannot copy from itself");
    check("FROM a\nCOPY --from=0 b c", "Dockerfile:2: --from=0: a stage cannot copy from itself");
    let later = "that stage is only defined in line 4; a stage can copy from earlier ones only";
    check("FROM a\nCOPY --from=Later b c\n\nFROM x AS later", &format!("Dockerfile:2: --from=Later: {later}"));
    check("FROM a\nCOPY --from=1 b c\n\nFROM x AS later", &format!("Dockerfile:2: --from=1: {later}"));
    let none = "there is no such stage; they are 0 (FROM a), b";
    check("FROM a\nFROM c AS b\nCOPY --from=2 b c", &format!("Dockerfile:3: --from=2: {none}"));
    let huge = "99999999999999999999999";
    check(&format!("FROM a\nFROM c AS b\nCOPY --from={huge} b c"), &format!("Dockerfile:3: --from={huge}: {none}"));
    check("ARG a=b", "Dockerfile: there is no FROM, so there is nothing to build");
    check("# c\nRUN a\nFROM b", "Dockerfile:2: RUN stands before the first FROM; only ARG may");
    // A stage that is not built is checked all the same.
    check(
        "FROM a\nCOPY --from=7 b c\nFROM d",
        "Dockerfile:2: --from=7: there is no such stage; they are 0 (FROM a), 1 (FROM d)",
    );
}

#[test]
fn args_before_from() {
    let text = "ARG V=1\nARG IMAGE=a:$V OTHER\nFROM ${IMAGE}";
    check(text, &options(), "0<a:1");
    check(text, &with_args(&[("V", "2")]), "0<a:2");
    check(text, &with_args(&[("IMAGE", "b"), ("V", "2")]), "0<b");
    check("ARG X\nFROM ${X:-d}", &options(), "0<d");
    check("ARG X\nFROM ${X:-d}", &with_args(&[("X", "e")]), "0<e");
    check("ARG X=\"q\" Y='r s'\nFROM $X", &options(), "0<q");
    check("ARG X=a\nARG X=b\nFROM $X", &options(), "0<b");
    check("FROM a-$TARGETARCH$TARGETVARIANT-$BUILDARCH", &options(), "0<a-armv7-amd64");
    check("FROM a-$TARGETARCH", &with_args(&[("TARGETARCH", "x")]), "0<a-x");
    check("FROM a\nARG X=b\nFROM a${X}", &options(), "1<a");
    check("ARG B=x\nFROM a AS x\nFROM $B", &options(), "0:x<a; 1<@0");
    let blank = "the name of the base is empty; only ARGs before the first FROM, with a value, can be used here";
    check_error("FROM $X", &with_args(&[("X", "a")]), &format!("Dockerfile:1: FROM $X: {blank}"));
    check_error("ARG X\nFROM \"$X\"", &options(), &format!("Dockerfile:2: FROM \"$X\": {blank}"));
}

#[test]
fn bad_words_in_from_and_args() {
    check_error("FROM ${X:?none}", &options(), "Dockerfile:1: ${X:?none}: X: none");
    check_error("ARG X\nFROM ${X?please}", &options(), "Dockerfile:2: ${X?please}: X: please");
    check_error("ARG A=${B?}\nFROM a", &options(), "Dockerfile:1: ${B?}: B: is not set");
    check_error("FROM a\nFROM --platform=${P c", &options(), "Dockerfile:2: ${P: missing '}' in ${}");
}

#[test]
fn platforms() {
    let platform = |text: &str| planned(text, &options()).stages.remove(0).platform;
    assert_eq!(platform("FROM --platform=$BUILDPLATFORM a").as_deref(), Some("linux/amd64"));
    assert_eq!(platform("FROM --platform=$TARGETPLATFORM a").as_deref(), Some("linux/arm/v7"));
    assert_eq!(platform("ARG P=x/y\nFROM --platform=$P a").as_deref(), Some("x/y"));
    assert_eq!(platform("FROM --platform=$NONE a"), None);
    assert_eq!(platform("FROM a"), None);
}

#[test]
fn values_of_args_in_a_stage() {
    let text = "ARG G=global\nARG H\nFROM a\nARG G\nARG L=local";
    let args = planned(text, &with_args(&[("B", "build"), ("H", "given")])).args;
    let value = |name: &str, default: Option<&str>| args.value(name, default.map(str::to_owned));
    assert_eq!(value("G", None).as_deref(), Some("global"));
    assert_eq!(value("G", Some("own")).as_deref(), Some("own"));
    assert_eq!(value("B", Some("own")).as_deref(), Some("build"));
    assert_eq!(value("H", None).as_deref(), Some("given"));
    assert_eq!(value("L", None), None);
    assert_eq!(value("TARGETPLATFORM", None).as_deref(), Some("linux/arm/v7"));
    assert_eq!(value("BUILDVARIANT", None).as_deref(), Some(""));
    assert_eq!(value("TARGETSTAGE", None).as_deref(), Some("default"));
    assert_eq!((args.global("G"), args.global("B"), args.global("H")), (Some("global"), None, Some("given")));
    let args = planned(text, &with_args(&[("G", "build"), ("https_proxy", "p"), ("x_proxy", "q")])).args;
    assert_eq!(args.value("G", Some("own".to_owned())).as_deref(), Some("build"));
    assert_eq!(args.proxies().collect::<Vec<_>>(), [("https_proxy", "p")]);
}

#[test]
fn build_args_that_nothing_declares() {
    let given = ["A", "B", "C", "D", "HTTP_PROXY", "TARGETARCH", "BUILDKIT_INLINE_CACHE", "SOURCE_DATE_EPOCH"];
    let options = with_args(&given.map(|name| (name, "x")));
    let plan = planned("ARG A\nFROM a AS unbuilt\nARG B=$D\nFROM a\nARG x C=1", &options);
    assert_eq!(plan.unused_build_args, ["D"]);
    assert_eq!(plan.idle_build_args, ["BUILDKIT_INLINE_CACHE"]);
}

#[test]
fn what_later_stages_need() {
    let text =
        "FROM a AS unused\nFROM b AS one\nFROM one AS two\nCOPY --from=one $X /y /z/\nFROM one\nCOPY --from=two c d";
    let plan = planned(text, &options());
    assert_eq!(outline(&plan), "1:one<b; 2:two<@0 @0; 3<@0 @1");
    let copied = |by: usize, line: u32, sources: &[&str]| Copied {
        by,
        line,
        sources: sources.iter().map(|source| source.to_string()).collect(),
    };
    let keep: Vec<_> = plan.stages.into_iter().map(|stage| stage.keep).collect();
    assert_eq!(keep[0], Keep { base_of: vec![1, 2], copies: vec![copied(1, 4, &["$X", "/y"])] });
    assert_eq!(keep[1], Keep { base_of: vec![], copies: vec![copied(2, 6, &["c"])] });
    assert_eq!(keep[2], Keep::default());
}

#[test]
fn several_targets() {
    let text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nFROM c";
    let with = |targets: &[&str]| Options { targets: targets.iter().map(|t| t.to_string()).collect(), ..options() };
    let built = |targets: &[&str]| {
        let plan = planned(text, &with(targets));
        (outline(&plan), plan.stages[plan.target].index)
    };
    assert_eq!(built(&["two", "three"]), ("0:one<a; 1:two<b; 2:three<@0".to_owned(), 1));
    assert_eq!(built(&["three", "two"]), ("0:one<a; 1:two<b; 2:three<@0".to_owned(), 2));
    assert_eq!(built(&["3", "One"]), ("0:one<a; 3<c".to_owned(), 3));
    assert_eq!(built(&["", "two"]), ("1:two<b".to_owned(), 1));
    assert_eq!(built(&["two", "two"]), ("1:two<b".to_owned(), 1));
    assert_eq!(planned(text, &with(&["two", "three"])).args.global("TARGETSTAGE"), Some("two"));
    let stages = "they are one, two, three, 3 (FROM c)";
    check_error(text, &with(&["two", "x"]), &format!("Dockerfile: the target \"x\" is not a stage; {stages}"));
}

#[test]
fn unused_stages_are_skipped_or_built() {
    let text = "FROM a AS one\nRUN x\nFROM b AS two\nFROM c AS three\nFROM d";
    let plan = planned(text, &with_target("three"));
    assert_eq!(outline(&plan), "2:three<c");
    let skipped: Vec<_> = plan.skipped.iter().map(|s| (s.index, s.name.as_deref(), s.line, s.runs)).collect();
    assert_eq!(skipped, [(0, Some("one"), 1, true), (1, Some("two"), 3, false), (3, None, 5, false)]);
    let all = |target: &str| Options { unused: Unused::Build, ..with_target(target) };
    let plan = planned(text, &all("two"));
    assert_eq!((outline(&plan).as_str(), plan.skipped.len(), plan.target), ("0:one<a; 1:two<b", 2, 1));
    assert_eq!(outline(&planned(text, &all(""))), "0:one<a; 1:two<b; 2:three<c; 3<d");
}

#[test]
fn stages_that_go_on_as_the_next() {
    let goes_on = |text: &str, options: &Options| {
        planned(text, options).stages.iter().map(|stage| stage.continued_by).collect::<Vec<_>>()
    };
    assert_eq!(goes_on("FROM a AS x\nRUN y\nFROM x", &options()), [Some(1), None]);
    assert_eq!(goes_on("FROM a AS x\nFROM b AS off\nFROM x", &options()), [Some(1), None]);
    assert_eq!(goes_on("FROM a AS x\nFROM x\nCOPY --from=x y z", &options()), [None, None]);
    assert_eq!(goes_on("FROM a AS x\nFROM x AS y\nFROM x\nCOPY --from=y z z", &options()), [None, None, None]);
    assert_eq!(goes_on("FROM a AS x\nFROM b AS y\nFROM x\nCOPY --from=y z z", &options()), [None, None, None]);
    let both = Options { targets: vec!["y".to_owned(), "x".to_owned()], ..options() };
    assert_eq!(goes_on("FROM a AS x\nFROM x AS y", &both), [None, None]);
}

/// The steps of a stage as `origin text`.
fn steps(stage: &Stage) -> Vec<String> {
    let origin = |step: &Step| if step.origin == Origin::Trigger { "trigger" } else { "own" };
    stage
        .steps
        .iter()
        .map(|step| format!("{} {}@{}", origin(step), step.located.text, step.located.span.first))
        .collect()
}

#[test]
fn triggers_of_a_stage_come_first_in_the_one_that_starts_from_it() {
    let text =
        "FROM a AS src\nFROM b AS base\nONBUILD COPY --from=src x y\nONBUILD RUN z\nRUN q\nFROM base\nUSER u\nFROM 2";
    let stages = resolve_only(text);
    assert_eq!(steps(&stages[1]), ["own ONBUILD COPY --from=src x y@3", "own ONBUILD RUN z@4", "own RUN q@5"]);
    assert_eq!(steps(&stages[2]), ["trigger COPY --from=src x y@6", "trigger RUN z@6", "own USER u@7"]);
    assert_eq!(stages[2].steps[0].source, Some(Source::Stage(0)));
    assert_eq!(resolve::built(&stages, &[2], Unused::Skip), [true, true, true, false]);
    // Triggers are for the next stage alone.
    let stages = resolve_only("FROM a AS b\nONBUILD RUN x\nFROM b AS c\nFROM c");
    assert_eq!((steps(&stages[1]).len(), steps(&stages[2]).len()), (1, 0));
}

#[test]
fn triggers_of_an_image_are_given() {
    let texts = ["RUN x", "COPY --from=one a b", "COPY <<E /c\nd\nE"].map(str::to_owned).to_vec();
    let options = Options { triggers: [(1, texts)].into(), ..options() };
    let file = parse(b"FROM a AS one\nFROM b\nRUN y").expect("valid");
    let stages = resolve::stages(&file.instructions, &Args::default(), &options, Escape::Backslash).expect("stages");
    let expected = ["trigger RUN x@2", "trigger COPY --from=one a b@2", "trigger COPY <<E /c@2", "own RUN y@3"];
    assert_eq!(steps(&stages[1]), expected);
    assert_eq!(stages[1].steps[1].source, Some(Source::Stage(0)));
    for (trigger, part) in
        [("FROM x", "FROM cannot be a trigger"), ("FOO", "unknown instruction"), ("RUN a\nRUN b", "one instruction")]
    {
        let options = Options { triggers: [(0, vec![trigger.to_owned()])].into(), ..options.clone() };
        let error = plan(&parse(b"FROM a").expect("valid"), &options).expect_err(trigger).located("Dockerfile");
        assert!(error.starts_with("Dockerfile:1: the base has an ONBUILD trigger") && error.contains(part), "{error}");
    }
}

#[test]
fn mounts_need_their_sources() {
    let text = "FROM a AS one\nFROM b AS two\nFROM c\nRUN --mount=from=ONE,target=/x --mount=target=/y --mount=type=cache,\
                from=r/i,target=/z true";
    let stages = resolve_only(text);
    assert_eq!(stages[2].steps[0].mounts, [Some(Source::Stage(0)), None, Some(Source::Image("r/i".to_owned()))]);
    let is_built = resolve::built(&stages, &[2], Unused::Skip);
    let needed = resolve::only(stages, &is_built);
    assert_eq!(needed.iter().map(|stage| stage.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(needed[1].steps[0].mounts[0], Some(Source::Stage(0)));
    let mut needed = needed;
    note_consumers(&mut needed);
    assert_eq!(needed[0].keep.copies, [Copied { by: 1, line: 4, sources: vec!["/".to_owned()] }]);
    check_error(
        "FROM a\nRUN --mount=from=0,target=/x b",
        &options(),
        "Dockerfile:2: --from=0: a stage cannot copy from itself",
    );
}

fn resolve_only(text: &str) -> Vec<Stage> {
    let file = parse(text.as_bytes()).expect(text);
    resolve::stages(&file.instructions, &Args::default(), &options(), Escape::Backslash).expect(text)
}

#[test]
fn only_stages_to_build_must_be_supported() {
    check("FROM a\nRUN --device=x b\nFROM c", &options(), "1<c");
    check_error("FROM a\n\nRUN --device=x b", &options(), "Dockerfile:3: RUN --device is not supported yet");
}

#[test]
fn a_plan_keeps_the_text() {
    let plan = planned("# escape=`\nFROM a `\n AS b\nRUN c", &options());
    let stage = &plan.stages[0];
    assert_eq!((plan.escape, stage.from.text.as_str(), stage.from.span.last), (Escape::Backtick, "FROM a  AS b", 3));
    assert_eq!((stage.steps.len(), stage.steps[0].located.text.as_str()), (1, "RUN c"));
}

fn any_dockerfile() -> impl Strategy<Value = String> {
    let name = "[a-c]";
    let from = (name, prop::option::of(name)).prop_map(|(base, name)| match name {
        Some(name) => format!("FROM {base} AS {name}"),
        None => format!("FROM {base}"),
    });
    let copy = "[a-c0-4]".prop_map(|from| format!("COPY --from={from} x y"));
    prop::collection::vec(prop_oneof![from, copy], 1..9).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn references_point_back_and_every_stage_is_needed(text in any_dockerfile(), target in prop::option::of("[a-c0-4]")) {
        let options = Options { targets: target.into_iter().collect(), ..options() };
        if let Ok(plan) = plan(&parse(text.as_bytes()).expect("valid"), &options) {
            let last = plan.stages.len() - 1;
            for (position, stage) in plan.stages.iter().enumerate() {
                let is_back = |other: usize| other < position;
                prop_assert!(!matches!(stage.base, Base::Stage(other) if !is_back(other)));
                for step in &stage.steps {
                    prop_assert!(!matches!(step.source, Some(Source::Stage(other)) if !is_back(other)));
                }
                let is_used = !stage.keep.base_of.is_empty() || !stage.keep.copies.is_empty();
                prop_assert_eq!(is_used, position != last);
                prop_assert!(position == 0 || plan.stages[position - 1].index < stage.index);
            }
        }
    }
}
