//! The instructions that edit the config.

use super::Fixture;
use crate::oci::ConfigFile;
use crate::plan::{Compat, Options, Plan, plan};
use crate::steps::{StageState, Touched};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The config after the instructions, as JSON without PATH.
fn config(text: &str) -> serde_json::Value {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run(text), Touched::Nothing, "{text}");
    assert!(fixture.tree().is_empty(), "{text}");
    let mut config = fixture.state.config.config;
    config.env.retain(|line| line != PATH);
    serde_json::to_value(config).expect("json")
}

fn check(text: &str, expected: serde_json::Value) {
    assert_eq!(config(text), expected, "{text}");
}

fn check_refused(text: &str, reason: &str) {
    let message = Fixture::new().refused(text);
    assert!(message.contains(reason), "{text}: {message}");
}

/// What the Dockerfile's stages end with.
fn stages(dockerfile: &str, build_args: &[(&str, &str)]) -> Vec<StageState> {
    let parsed = crate::dockerfile::parse(dockerfile.as_bytes()).expect("Dockerfile");
    let build_args = build_args.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let Plan { stages, args, escape, .. } = plan(&parsed, &Options { build_args, ..Options::default() }).expect("plan");
    let mut states: Vec<StageState> = Vec::new();
    for stage in stages {
        let mut fixture = Fixture::new();
        fixture.state = match stage.base {
            crate::plan::Base::Stage(index) => states[index].inherit(),
            _ => StageState::new(ConfigFile::default(), args.clone(), escape),
        };
        for step in stage.steps {
            fixture.run(&step.located.text);
        }
        states.push(fixture.state);
    }
    states
}

fn check_env(dockerfile: &str, build_args: &[(&str, &str)], expected: &[&str]) {
    let state = stages(dockerfile, build_args).pop().expect("a stage");
    let lines: Vec<String> =
        state.environment("/h".as_ref()).into_iter().map(|l| l.into_string().expect("UTF-8")).collect();
    let lines: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| *line != PATH && *line != "HOME=/h").collect();
    assert_eq!(lines, expected, "{dockerfile}");
}

#[test]
fn env() {
    check("ENV a=1 b=\"2 3\"\nENV a=4", serde_json::json!({"Env": ["a=4", "b=2 3"]}));
    check("ENV a b c", serde_json::json!({"Env": ["a=b c"]}));
    check(
        "ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc",
        serde_json::json!({"Env": ["abc=bye", "def=hello", "ghi=bye"]}),
    );
    check("ENV n=x\nENV $n=1 e=", serde_json::json!({"Env": ["n=x", "x=1", "e="]}));
    check("ENV a=${b:-d}\nENV c='$a' d=\\$a", serde_json::json!({"Env": ["a=d", "c=$a", "d=$a"]}));
    check_refused("ENV a=\"${b?is needed}\"", "is needed");
    check_refused("ENV $e=1", "empty");
}

#[test]
fn label() {
    check(
        "ENV v=1\nLABEL a=$v \"b c\"='x y' a.b=\"\"",
        serde_json::json!({
        "Env": ["v=1"], "Labels": {"a": "1", "b c": "x y", "a.b": ""}}),
    );
    check("LABEL a=1\nLABEL a=2", serde_json::json!({"Labels": {"a": "2"}}));
}

#[test]
fn commands() {
    check("CMD [\"a\", \"b c\"]", serde_json::json!({"Cmd": ["a", "b c"]}));
    check("CMD echo $HOME  x", serde_json::json!({"Cmd": ["/bin/sh", "-c", "echo $HOME  x"]}));
    check(
        "SHELL [\"/bin/bash\", \"-ec\"]\nENTRYPOINT run $x",
        serde_json::json!({
        "Shell": ["/bin/bash", "-ec"], "Entrypoint": ["/bin/bash", "-ec", "run $x"]}),
    );
    check("CMD [\"a\"]\nENTRYPOINT [\"b\"]", serde_json::json!({"Cmd": ["a"], "Entrypoint": ["b"]}));
}

#[test]
fn an_inherited_cmd_goes_with_a_new_entrypoint() {
    let base = "FROM scratch AS base\nCMD [\"a\"]\n";
    let cmd = |more: &str| stages(&format!("{base}FROM base\n{more}"), &[]).pop().and_then(|s| s.config.config.cmd);
    assert_eq!(cmd("ENTRYPOINT [\"b\"]"), None);
    assert_eq!(cmd("CMD [\"c\"]\nENTRYPOINT [\"b\"]"), Some(vec!["c".to_owned()]));
    assert_eq!(cmd("ENTRYPOINT [\"b\"]\nCMD [\"c\"]"), Some(vec!["c".to_owned()]));
    assert_eq!(cmd("LABEL x=y"), Some(vec!["a".to_owned()]));
}

#[test]
fn expose() {
    check("EXPOSE 80 53/udp", serde_json::json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}));
    check("EXPOSE 7000-7001/tcp", serde_json::json!({"ExposedPorts": {"7000/tcp": {}, "7001/tcp": {}}}));
    check(
        "ENV p='1 2/udp'\nEXPOSE $p",
        serde_json::json!({
        "Env": ["p=1 2/udp"], "ExposedPorts": {"1/tcp": {}, "2/udp": {}}}),
    );
    check_refused("EXPOSE 80/icmp", "no protocol");
}

#[test]
fn volume() {
    check("VOLUME [\"/a\", \"/b c\"]", serde_json::json!({"Volumes": {"/a": {}, "/b c": {}}}));
    check("ENV d=/x\nVOLUME $d/y /z", serde_json::json!({"Env": ["d=/x"], "Volumes": {"/x/y": {}, "/z": {}}}));
    check_refused("VOLUME $none", "empty");
}

#[test]
fn user_and_stopsignal() {
    check("ENV u=app\nUSER $u:$u", serde_json::json!({"Env": ["u=app"], "User": "app:app"}));
    check("STOPSIGNAL SIGKILL", serde_json::json!({"StopSignal": "SIGKILL"}));
    check("ENV s=9\nSTOPSIGNAL $s", serde_json::json!({"Env": ["s=9"], "StopSignal": "9"}));
    check_refused("STOPSIGNAL SIGNOPE", "not a signal");
    check_refused("USER $u", "empty");
}

#[test]
fn the_maintainer_is_the_author() {
    let mut fixture = Fixture::new();
    fixture.run("MAINTAINER A <a@b>");
    assert_eq!(fixture.state.config.author.as_deref(), Some("A <a@b>"));
}

#[test]
fn the_later_of_arg_and_env_wins() {
    check_env("FROM scratch\nENV v=1\nARG v=2", &[], &["v=2"]);
    check_env("FROM scratch\nARG v=2\nENV v=1", &[], &["v=1"]);
    check_env("FROM scratch\nARG v=2\nENV v=1", &[("v", "3")], &["v=1"]);
    check_env("FROM scratch\nENV v=1\nARG v", &[], &["v=1"]);
    check_env("FROM scratch\nENV v=1\nARG v", &[("v", "3")], &["v=3"]);
    let state = stages("FROM scratch\nENV v=1\nARG v=2 w", &[]).remove(0);
    assert_eq!(state.config.config.env, [PATH, "v=1"]);
    assert_eq!(state.declared_args().collect::<Vec<_>>(), [("v", "2")]);
}

#[test]
fn where_an_arg_takes_its_value_from() {
    check_env("FROM scratch\nARG a=1", &[], &["a=1"]);
    check_env("FROM scratch\nARG a=1", &[("a", "2")], &["a=2"]);
    check_env("FROM scratch\nARG a", &[], &[]);
    check_env("FROM scratch\nENV b=1", &[("a", "2")], &["b=1"]);
    check_env("ARG a=1\nFROM scratch\nARG a", &[], &["a=1"]);
    check_env("ARG a=1\nFROM scratch\nARG a=3", &[], &["a=3"]);
    check_env("ARG a=1\nFROM scratch", &[], &[]);
    check_env("FROM scratch\nARG a=1 b=$a-2", &[], &["a=1", "b=1-2"]);
    check_env("FROM scratch\nARG a=${x:?needed}", &[("a", "2")], &["a=2"]);
    check_env("FROM scratch AS a\nARG x=1\nFROM a\nENV y=$x", &[], &["x=1", "y=1"]);
    check_env("FROM scratch AS a\nARG x=1\nFROM scratch\nENV y=$x", &[], &["y="]);
}

#[test]
fn commands_see_proxies_in_both_cases_and_the_config_does_not() {
    let given = [("HTTP_PROXY", "http://p:1"), ("no_proxy", "x")];
    let expected = ["HTTP_PROXY=http://p:1", "no_proxy=x", "http_proxy=http://p:1", "NO_PROXY=x"];
    check_env("FROM scratch", &given, &expected);
    assert_eq!(stages("FROM scratch\nENV a=1", &given)[0].config.config.env, [PATH, "a=1"]);
}

#[test]
fn healthcheck() {
    let config = |text: &str| {
        let mut fixture = Fixture::new();
        fixture.run(text);
        serde_json::to_value(&fixture.state.config.config.healthcheck).expect("json")
    };
    assert_eq!(config("HEALTHCHECK NONE"), serde_json::json!({"Test": ["NONE"]}));
    assert_eq!(config("HEALTHCHECK CMD a b"), serde_json::json!({"Test": ["CMD-SHELL", "a b"]}));
    assert_eq!(
        config(
            "HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=4s --retries=5 CMD [\"a\", \"b\"]"
        ),
        serde_json::json!({"Test": ["CMD", "a", "b"], "Interval": 60_000_000_000_i64, "Timeout": 2_000_000_000_i64,
            "StartPeriod": 3_000_000_000_i64, "StartInterval": 4_000_000_000_i64, "Retries": 5})
    );
}

#[test]
fn triggers_are_kept_as_text_and_not_inherited() {
    let mut fixture = Fixture::new();
    fixture.run("ENV a=b\nONBUILD RUN echo $a\nONBUILD COPY . /x");
    assert_eq!(fixture.state.config.config.on_build, ["RUN echo $a", "COPY . /x"]);
    assert!(fixture.state.inherit().config.config.on_build.is_empty());
}

#[test]
fn the_name_of_an_arg_is_expanded() {
    check_env(
        "FROM scratch\nENV N=NAME\nARG ${N}_X=1 $N\n",
        &[("NAME", "given")],
        &["N=NAME", "NAME_X=1", "NAME=given"],
    );
    check_env("ARG N=NAME\nFROM scratch\nARG N\nARG $N=1\n", &[], &["N=NAME", "NAME=1"]);
}

#[test]
fn kanikos_ways() {
    let with = |text: &str, compat: Compat| {
        let mut fixture = Fixture::new();
        fixture.state = fixture.state.clone().following(compat);
        fixture.run(text);
        (fixture.tree(), fixture.state)
    };
    let kanikos = |text: &str| with(text, Compat::kaniko_1_24());
    let (_, mut state) =
        kanikos("ENV A=1\nARG A=2 B=3\nMAINTAINER me\nHEALTHCHECK --start-interval=1s --interval=1s CMD x");
    assert_eq!((state.variable("A"), state.variable("B")), (Some("1"), Some("3")));
    assert_eq!(state.config.author.as_deref(), Some("kaniko"));
    let check = state.config.config.healthcheck.clone().expect("a check");
    assert_eq!((check.start_interval, check.interval), (None, Some(1_000_000_000)));
    assert_eq!(state.take_differences(), [""; 0]);
    assert!(!kanikos("VOLUME /a/b c").0.is_empty() && with("VOLUME /a/b c", Compat::default()).0.is_empty());
    let (_, mut state) = with("ENV A=1\nARG A=2\nARG A=2 B=1", Compat::default());
    assert_eq!(state.take_differences().len(), 2, "one for each ARG that differs");
    assert_eq!(state.take_differences(), [""; 0], "they are told once");
}
