//! The command line as a whole: every flag that kaniko has is known, means what it should, and says so where it cannot.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::command_line::{Answer, Invocation, executor, executor_command, executor_shown, warmer, warmer_command};
use super::env::Env;
use super::flags::{Flags, WarmerFlags};
use super::not_yet::{ROWS, Then};
use super::notices::Notices;

/// The flags of a command line that is right.
pub(super) fn flags(args: &[&str]) -> Flags {
    match invoked(args, &[]) {
        Ok((Invocation::Build(flags), _)) => *flags,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn invoked(args: &[&str], env: &[(&str, &str)]) -> Result<(Invocation, Notices), String> {
    let words = std::iter::once("executor").chain(args.iter().copied()).map(OsString::from);
    executor(words, &Env::of(env)).map_err(text)
}

fn text(answer: Answer) -> String {
    match answer {
        Answer::Text(text) | Answer::Mistake(text) => text,
    }
}

fn warmed(args: &[&str]) -> Result<(WarmerFlags, Notices), String> {
    let words = std::iter::once("warmer").chain(args.iter().copied()).map(OsString::from);
    warmer(words, &Env::default()).map_err(text)
}

fn notices(args: &[&str]) -> Notices {
    invoked(args, &[]).unwrap_or_else(|error| panic!("{args:?}: {error}")).1
}

/// A flag of kaniko: long name, letter, and a value, or none for a boolean.
type Known = (&'static str, &'static str, Option<&'static str>);

/// Those of the executor, of kaniko 1.24 and of its living fork.
const EXECUTOR: [Known; 87] = [
    ("verbosity", "v", Some("debug")),
    ("log-format", "", Some("json")),
    ("log-timestamp", "", None),
    ("force", "", None),
    ("dockerfile", "f", Some("Dockerfile")),
    ("context", "c", Some("/workspace")),
    ("context-sub-path", "", Some("a/b")),
    ("bucket", "b", Some("bucket")),
    ("destination", "d", Some("r.io/a:1")),
    ("snapshot-mode", "", Some("full")),
    ("snapshotMode", "", Some("redo")),
    ("custom-platform", "", Some("linux/amd64")),
    ("customPlatform", "", Some("linux/amd64")),
    ("build-arg", "", Some("A=b")),
    ("insecure", "", None),
    ("insecure-pull", "", None),
    ("skip-tls-verify", "", None),
    ("skip-tls-verify-pull", "", None),
    ("insecure-registry", "", Some("r.io")),
    ("skip-tls-verify-registry", "", Some("r.io")),
    ("registry-certificate", "", Some("r.io=/a.pem")),
    ("registry-client-cert", "", Some("r.io=/a.pem,/b.pem")),
    ("registry-map", "", Some("a.io=b.io;c.io=d.io/x")),
    ("registry-mirror", "", Some("mirror.io")),
    ("skip-default-registry-fallback", "", None),
    ("push-retry", "", Some("3")),
    ("push-ignore-immutable-tag-errors", "", None),
    ("image-fs-extract-retry", "", Some("3")),
    ("image-download-retry", "", Some("3")),
    ("skip-push-permission-check", "", None),
    ("kaniko-dir", "", Some("/kaniko")),
    ("tar-path", "", Some("/a.tar")),
    ("tarPath", "", Some("/a.tar")),
    ("oci-layout-path", "", Some("/layout")),
    ("digest-file", "", Some("/digest")),
    ("image-name-with-digest-file", "", Some("/digest")),
    ("image-name-tag-with-digest-file", "", Some("/digest")),
    ("single-snapshot", "", None),
    ("reproducible", "", None),
    ("target", "", Some("stage")),
    ("no-push", "", None),
    ("no-push-cache", "", None),
    ("cache-mount-dir", "", Some("/m")),
    ("cache-mount-repo", "", Some("r.io/m")),
    ("cache-mount-max-size", "", Some("500m")),
    ("cache-mount-max-age", "", Some("48h")),
    ("cache", "", None),
    ("cache-repo", "", Some("r.io/cache")),
    ("cache-dir", "", Some("/cache")),
    ("cache-ttl", "", Some("1h30m")),
    ("cache-copy-layers", "", None),
    ("cache-run-layers", "", None),
    ("compressed-caching", "", None),
    ("compression", "", Some("zstd")),
    ("compression-level", "", Some("9")),
    ("cleanup", "", None),
    ("ignore-var-run", "", None),
    ("whitelist-var-run", "", None),
    ("ignore-path", "", Some("/a")),
    ("label", "", Some("a=b")),
    ("skip-unused-stages", "", None),
    ("use-new-run", "", None),
    ("git", "", Some("branch=main")),
    ("force-build-metadata", "", None),
    ("annotation", "", Some("a=b")),
    ("image-format", "", Some("oci")),
    ("credential-helpers", "", Some("google")),
    ("secret", "", Some("id=a,src=/a")),
    ("pre-cleanup", "", None),
    ("preserve-context", "", None),
    ("materialize", "", None),
    ("dryrun", "", None),
    ("azure-container-registry-config", "", Some("/a")),
    // Ours.
    ("build-root", "", Some("/a")),
    ("build-context", "", Some("a=oci-layout:///l")),
    ("ssh", "", Some("a=/a")),
    ("allow", "", Some("security.insecure")),
    ("compat", "", Some("kaniko-1.24")),
    ("warn-compat", "", None),
    ("recorder", "", Some("sweep")),
    ("max-watches", "", Some("1000")),
    ("cache-explain", "", Some("/a")),
    ("verify-snapshot", "", None),
    ("help", "h", None),
    ("version", "V", None),
    ("username", "u", Some("me")),
    ("password", "p", Some("word")),
];

const WARMER: [Known; 20] = [
    ("image", "i", Some("r.io/a")),
    ("cache-dir", "c", Some("/cache")),
    ("force", "f", None),
    ("cache-ttl", "", Some("336h")),
    ("insecure-pull", "", None),
    ("skip-tls-verify-pull", "", None),
    ("insecure-registry", "", Some("r.io")),
    ("skip-tls-verify-registry", "", Some("r.io")),
    ("registry-certificate", "", Some("r.io=/a.pem")),
    ("registry-client-cert", "", Some("r.io=/a,/b")),
    ("registry-map", "", Some("a=b")),
    ("registry-mirror", "", Some("m.io")),
    ("skip-default-registry-fallback", "", None),
    ("customPlatform", "", Some("linux/arm64")),
    ("custom-platform", "", Some("linux/arm64")),
    ("dockerfile", "d", Some("Dockerfile")),
    ("build-arg", "", Some("A=b")),
    ("verbosity", "v", Some("info")),
    ("log-format", "", Some("text")),
    ("log-timestamp", "", None),
];

/// Every form in which a flag can be typed.
fn forms((long, letter, value): &Known) -> Vec<Vec<String>> {
    let mut forms = match value {
        Some(value) => vec![vec![format!("--{long}={value}")], vec![format!("--{long}"), (*value).to_owned()]],
        None => vec![vec![format!("--{long}")], vec![format!("--{long}=false")], vec![format!("--{long}=T")]],
    };
    match value {
        Some(value) if !letter.is_empty() => {
            forms.extend([vec![format!("-{letter}{value}")], vec![format!("-{letter}"), (*value).to_owned()]]);
        }
        None if !letter.is_empty() => forms.push(vec![format!("-{letter}")]),
        _ => {}
    }
    forms
}

#[test]
fn every_flag_of_the_executor_is_known_in_every_form() {
    let build = EXECUTOR.iter().filter(|(long, ..)| !["help", "version", "username", "password"].contains(long));
    for form in build.flat_map(forms) {
        let args: Vec<&str> = form.iter().map(String::as_str).collect();
        assert!(matches!(invoked(&args, &[]), Ok((Invocation::Build(_), _))), "{args:?}");
    }
}

#[test]
fn every_flag_of_the_warmer_is_known_in_every_form() {
    for form in WARMER.iter().flat_map(forms) {
        let args: Vec<&str> = form.iter().map(String::as_str).collect();
        warmed(&args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
    }
    let (flags, _) = warmed(&["-c/c", "-d", "D", "-f", "-ia", "-i=b"]).expect("ok");
    assert_eq!((flags.cache_dir, flags.dockerfile, flags.force), ("/c".into(), Some("D".into()), true));
    assert_eq!(flags.image, ["a", "b"]);
}

#[test]
fn no_flag_is_left_out_of_these_lists() {
    let listed = |list: &[Known]| list.iter().map(|(long, ..)| (*long).to_owned()).collect::<BTreeSet<_>>();
    let spelled = |command: &clap::Command| {
        let args = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg.get_all_aliases()?)));
        let plain = command.get_arguments().filter_map(clap::Arg::get_long);
        let old = args.flat_map(|(_, old)| old.into_iter().map(str::to_owned)).collect::<Vec<_>>();
        plain.map(str::to_owned).chain(old).collect::<BTreeSet<_>>()
    };
    let of_login = BTreeSet::from(["username".to_owned(), "password".to_owned()]);
    assert_eq!(spelled(&executor_command()), &listed(&EXECUTOR) - &of_login);
    let of_clap = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    assert_eq!(&spelled(&warmer_command()) - &of_clap, listed(&WARMER));
}

#[test]
fn help_lists_every_flag_in_its_group() {
    let help = invoked(&["--help"], &[]).expect_err("help");
    let hidden = ["bucket", "azure-container-registry-config", "username", "password"];
    let old = ["snapshotMode", "customPlatform", "tarPath", "whitelist-var-run"];
    for (long, ..) in EXECUTOR.iter().filter(|(long, ..)| !hidden.contains(long) && !old.contains(long)) {
        let listed = help.lines().any(|line| line.split([' ', '[', '=', '.']).any(|word| word == format!("--{long}")));
        assert!(listed, "--{long}\n{help}");
    }
    let groups = [
        "What to build:",
        "Where it goes:",
        "Registries:",
        "Cache:",
        "Snapshots:",
        "Logging:",
        "Accepted since kaniko has them, without effect:",
        "Options that kaniko does not have:",
    ];
    let mut at = 0;
    for group in groups {
        at = help[at..]
            .find(&format!("\n{group}\n"))
            .map(|found| at + found)
            .unwrap_or_else(|| panic!("{group}\n{help}"));
    }
    for command in ["login", "push", "version", "completion"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}\n{help}");
        let own = invoked(&[command, "--help"], &[]).expect_err("help");
        assert!(own.contains(&format!("Usage: executor {command}")), "{own}");
        assert_eq!(invoked(&["help", command], &[]).expect_err("help"), own);
    }
    assert_eq!(invoked(&["help"], &[]).expect_err("help"), help);
    let own = warmed(&["--help"]).expect_err("help");
    assert!(
        WARMER
            .iter()
            .filter(|(long, ..)| *long != "customPlatform")
            .all(|(long, ..)| own.contains(&format!("--{long}"))),
        "{own}"
    );
}

#[test]
fn what_is_not_there_yet_is_said() {
    for row in ROWS {
        let known = EXECUTOR.iter().find(|(long, ..)| *long == row.flag).expect("a flag of the list");
        let args = match known.2 {
            Some("/cache") => vec![format!("--{}=/elsewhere", row.flag)],
            Some(value) => vec![format!("--{}={value}", row.flag)],
            None if row.flag == "cache-run-layers" => vec![format!("--{}=false", row.flag)],
            None => vec![format!("--{}", row.flag)],
        };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let notices = notices(&args);
        let (said, silent) = match row.then {
            Then::Refused => (&notices.refused, &notices.warnings),
            Then::Warned => (&notices.warnings, &notices.refused),
        };
        assert_eq!((&said[..], silent.len()), (&[row.says()][..], 0), "{args:?}");
        assert!(row.says().contains(row.flag) && row.says().contains(row.text));
    }
}

#[test]
fn what_asks_for_nothing_is_not_refused() {
    let args = [
        "--reproducible=false",
        "--cache=false",
        "--cache-dir=/cache",
        "--cache-ttl=336h",
        "--compression=zstd",
        "--compression-level=9",
        "--push-retry=0",
        "--skip-unused-stages=false",
        "--dryrun",
        "--snapshot-mode=full",
        "--compressed-caching=false",
        "--cache-run-layers=T",
        "--no-push-cache",
        "--target=a,b",
        "--force-build-metadata",
        "--registry-mirror=",
    ];
    let notices = notices(&args);
    assert_eq!((notices.warnings, notices.refused), (vec![], vec![]));
    let notices = invoked(&["--git=branch=main", "--preserve-context"], &[]).expect("ok").1;
    let refused = notices.tell().expect_err("refused").to_string();
    assert!(refused.contains("--git") && refused.contains("--preserve-context"), "{refused}");
}

#[test]
fn defaults_are_those_of_kaniko() {
    let flags = flags(&[]);
    assert_eq!((flags.source.context.as_str(), flags.source.dockerfile), ("/workspace/", None));
    assert_eq!(flags.cache.cache_ttl.as_hours(), 336);
    assert!(flags.cache.cache_run_layers && flags.unused.compressed_caching && flags.snapshots.ignore_var_run);
    assert!(!(flags.output.no_push || flags.cache.cache || flags.place.force || flags.push.insecure));
    assert_eq!((flags.output.compression_level, flags.push.push_retry), (-1, 0));
    assert!(flags.push.credential_helpers.is_empty());
}

#[test]
fn the_last_value_wins_and_repeated_ones_add_up() {
    let flags = flags(&["--tar-path=a", "--tarPath=b", "--no-push", "--no-push=false", "--target=a,b", "--target=c"]);
    assert_eq!((flags.output.tar_path, flags.output.no_push), (Some("b".into()), false));
    assert_eq!(flags.source.target, ["a", "b", "c"]);
    let flags =
        self::flags(&["-d=a/b", "--destination", "c/d", "--label=a=b,c=d", "--build-arg=A=b=c", "--build-arg=E="]);
    assert_eq!(flags.output.destination, ["a/b", "c/d"]);
    assert_eq!(flags.source.label, [("a".to_owned(), "b,c=d".to_owned())], "no list of values");
    assert_eq!(flags.source.build_arg[0], ("A".to_owned(), Some("b=c".to_owned())));
    assert_eq!(flags.source.build_arg[1], ("E".to_owned(), Some(String::new())));
    let flags = self::flags(&["--build-arg", "HOME"]);
    assert_eq!(flags.source.build_arg, [("HOME".to_owned(), None)]);
}

#[test]
fn the_environment_stands_before_the_command_line() {
    let built = |args: &[&str], env: &[(&str, &str)]| match invoked(args, env) {
        Ok((Invocation::Build(flags), _)) => *flags,
        other => panic!("{other:?}"),
    };
    assert!(built(&[], &[("KANIKO_NO_PUSH", "true")]).output.no_push);
    assert!(!built(&["--no-push=false"], &[("KANIKO_NO_PUSH", "true")]).output.no_push);
    let env = [("KANIKO_REGISTRY_MIRROR", "a.io"), ("KANIKO_DIR", "/k")];
    let flags = built(&["--registry-mirror=b.io"], &env);
    assert_eq!(flags.pull.registry_mirror, ["a.io", "b.io"]);
    assert_eq!(flags.place.kaniko_dir, Some("/k".into()));
    assert_eq!(built(&["--kaniko-dir=/f"], &env).place.kaniko_dir, Some("/f".into()));
    let error = invoked(&[], &[("KANIKO_NO_PUSH", "never")]).expect_err("no boolean");
    assert!(error.contains("KANIKO_NO_PUSH"), "{error}");
}

#[test]
fn old_spellings_warn() {
    for (old, new) in [
        ("--snapshotMode=full", "--snapshot-mode"),
        ("--customPlatform=linux/amd64", "--custom-platform"),
        ("--tarPath=/a", "--tar-path"),
        ("--whitelist-var-run=false", "--ignore-var-run"),
    ] {
        let name = old.split('=').next().expect("a name");
        assert_eq!(notices(&[old]).warnings, [format!("Flag {name} is deprecated. Use: {new}")]);
    }
}

fn wrong(args: &[&str], expected: &[&str]) {
    let error = invoked(args, &[]).map(|(found, _)| format!("{found:?}")).expect_err("refused");
    assert!(expected.iter().all(|part| error.contains(part)), "{args:?}: {error}");
}

#[test]
fn a_wrong_flag_says_which_is_meant() {
    wrong(&["--destinaton=x"], &["--destinaton", "--destination"]);
    wrong(&["--destinaton", "x"], &["--destinaton", "--destination"]);
    wrong(&["--snapshotmode=full"], &["--snapshot-mode"]);
    wrong(&["--cach"], &["--cache"]);
    wrong(&["-insecure"], &["--insecure"]);
    wrong(&["--no-push", "false"], &["--no-push=false"]);
    wrong(&["psh", "x.tar"], &["psh", "push"]);
    wrong(&["build"], &["build", "unrecognized"]);
    wrong(&["push"], &["ARCHIVE|LAYOUT"]);
    wrong(&["push", "a", "b"], &["b"]);
    wrong(&["push", "x.tar", "--cache"], &["--cache"]);
    wrong(&["login"], &["REGISTRY"]);
    wrong(&["completion", "tcsh"], &["bash", "zsh", "fish", "powershell"]);
    let error = warmed(&["--images=x"]).map(|(flags, _)| format!("{flags:?}")).expect_err("unknown");
    assert!(error.contains("--image"), "{error}");
}

#[test]
fn a_wrong_value_says_what_is_allowed() {
    wrong(&["--no-push=maybe"], &["--no-push", "true or false"]);
    wrong(&["--cache-ttl=2weeks"], &["--cache-ttl", "336h"]);
    wrong(&["--cache-mount-max-size=much"], &["--cache-mount-max-size", "10g"]);
    wrong(&["--snapshot-mode=fast"], &["events", "full", "redo", "time"]);
    wrong(&["--recorder=inotify"], &["fanotify", "dirwatch", "sweep"]);
    wrong(&["--compression=xz"], &["gzip", "zstd"]);
    wrong(&["--image-format=v2"], &["docker", "oci"]);
    wrong(&["--credential-helpers=gcp"], &["env, google, ecr, acr, gitlab"]);
    wrong(&["--verbosity=loud"], &["trace, debug, info, warn, error, fatal, panic"]);
    wrong(&["--log-format=xml"], &["color, text, json"]);
    wrong(&["--push-retry=-1"], &["--push-retry", "0, 1, 2"]);
    wrong(&["--label=x"], &["NAME=VALUE"]);
    wrong(&["--build-arg==x"], &["no name"]);
    assert_eq!(flags(&["--credential-helpers="]).push.credential_helpers.len(), 1);
}

#[test]
fn commands_are_found_wherever_they_stand() {
    let found = |args: &[&str]| invoked(args, &[]).unwrap_or_else(|error| panic!("{args:?}: {error}")).0;
    assert!(matches!(found(&["version"]), Invocation::Version));
    assert!(matches!(found(&["completion", "bash"]), Invocation::Completion(_)));
    assert!(matches!(found(&["reference"]), Invocation::Reference));
    let Invocation::Push(push) = found(&["-v", "debug", "push", "x.tar", "-d", "a/b"]) else { panic!("no push") };
    assert_eq!((push.image, push.destination), ("x.tar".into(), vec!["a/b".to_owned()]));
    let Invocation::Login(login) = found(&["login", "r.io", "-ume", "--password-stdin"]) else { panic!("no login") };
    assert_eq!((login.registry.as_str(), login.username.as_deref(), login.password_stdin), ("r.io", Some("me"), true));
}

#[test]
fn a_shell_can_complete_every_long_flag() {
    for shell in
        [super::flags::Shell::Bash, super::flags::Shell::Zsh, super::flags::Shell::Fish, super::flags::Shell::Power]
    {
        let script = super::completion::script(shell);
        for arg in executor_shown().get_arguments().filter(|arg| !arg.is_hide_set()) {
            let long = arg.get_long().expect("a flag");
            assert!(script.contains(long), "{shell:?}: {long}");
        }
    }
}
