//! The environment variables that kaniko reads, what each does here, and those that stand for a flag.
//!
//! A variable that stands for a flag is put before the flags of the command line: a flag that is given wins over it, and a repeatable one
//! adds to it. An empty variable is as good as none.

use std::ffi::OsString;

use clap::Command;

use super::env::Env;
use super::features::Weight;
use super::values::go_bool;

/// A variable.
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) role: Role,
    /// What it does, or what happens instead.
    pub(super) text: &'static str,
}

/// What a variable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It stands for this flag.
    Flag(&'static str),
    /// It is read where it is needed.
    Read,
    /// It has no effect yet.
    NotYet,
    /// There is nothing here that it could change.
    Unused,
}

const fn flag(name: &'static str, flag: &'static str, text: &'static str) -> Variable {
    Variable { name, role: Role::Flag(flag), text }
}

const fn read(name: &'static str, text: &'static str) -> Variable {
    Variable { name, role: Role::Read, text }
}

const fn not_yet(name: &'static str, text: &'static str) -> Variable {
    Variable { name, role: Role::NotYet, text }
}

const fn unused(name: &'static str, text: &'static str) -> Variable {
    Variable { name, role: Role::Unused, text }
}

/// All that are known.
pub(super) const VARIABLES: &[Variable] = &[
    flag("KANIKO_DIR", "kaniko-dir", "directory for our own files when building in /"),
    flag("KANIKO_NO_PUSH", "no-push", "a boolean"),
    flag("KANIKO_REGISTRY_MIRROR", "registry-mirror", "one mirror"),
    flag("KANIKO_REGISTRY_MAP", "registry-map", "REGISTRY=MIRROR[/PATH][;…]"),
    flag("KANIKO_PRE_CLEANUP", "pre-cleanup", "a boolean"),
    flag("KANIKO_CLEANUP", "cleanup", "a boolean"),
    flag("KANIKO_PRESERVE_CONTEXT", "preserve-context", "a boolean"),
    read("BENCHMARK_FILE", "path that the timings are written to, as JSON; false for none"),
    read(
        "SOURCE_DATE_EPOCH",
        "seconds since 1970: when the image counts as built; no file of a new layer is younger. A build argument too",
    ),
    read("TMPDIR", "directory for the private build root outside of a container [default: /var/tmp]"),
    read("container", "that it is set tells that we run in a container"),
    read("KUBERNETES_SERVICE_HOST", "that it is set tells that we run in a container"),
    read(
        "DOCKER_CONFIG",
        "directory of config.json, which login writes [default: /kaniko/.docker, else $HOME/.docker]",
    ),
    read("DOCKER_AUTH_CONFIG", "what config.json would hold, instead of the file"),
    read("REGISTRY_AUTH_FILE", "another file of credentials; XDG_RUNTIME_DIR and XDG_CONFIG_HOME have one too"),
    read("KANIKO_<HOST>_USER", "user for a registry, and its password in KANIKO_<HOST>_PASSWORD"),
    read("CI_REGISTRY", "registry of a GitLab job, with CI_REGISTRY_USER and CI_REGISTRY_PASSWORD"),
    read("GOOGLE_APPLICATION_CREDENTIALS", "file of a Google identity; DOCKER_CREDENTIAL_GCR_CONFIG too"),
    read(
        "AWS_*",
        "an Amazon identity: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ROLE_ARN and the others that its tools read",
    ),
    read("AZURE_*", "an Azure identity: AZURE_CLIENT_ID, AZURE_TENANT_ID and the others that its tools read"),
    read("SSL_CERT_FILE", "bundle of the authorities that registries' certificates may be from"),
    read("SSL_CERT_DIR", "directory of the same"),
    read("HTTPS_PROXY", "proxy for registries; HTTP_PROXY and NO_PROXY too"),
    read("GODEBUG", "http2client=0 leaves HTTP/2 out; nothing else is read of it"),
    read("UPSTREAM_CLIENT_TYPE", "appended to the User-Agent"),
    read(
        "BUILDER_OUTPUT",
        "directory in which images names what was pushed: a line of JSON with name and digest for each",
    ),
    not_yet("STACKLOG_PATH", "no profile is taken"),
    read("KANIKO_PRINT_PLAN", "a boolean: the plan is in the log before it is carried out"),
    not_yet("KANIKO_TELEMETRY_ENDPOINT", "nothing is sent"),
    unused("KANIKO_TELEMETRY_OMIT_DOCKERFILE", "nothing is sent"),
    unused("OTEL_*", "nothing is sent"),
    unused("S3_ENDPOINT", "contexts in buckets are not there yet; S3_FORCE_PATH_STYLE is for them too"),
    unused("AZURE_STORAGE_ACCESS_KEY", "contexts in buckets are not there yet"),
    unused(
        "GIT_TOKEN",
        "git contexts are not there yet; GIT_USERNAME, GIT_PASSWORD and GIT_PULL_METHOD are for them too",
    ),
    unused("KANIKO_IGNORE_ASSERTIONS", "a check that fails ends the build"),
    unused("SNAPSHOT_TIMEOUT_DURATION", "a snapshot may take as long as it takes"),
];

/// The flags of `command` that the environment sets.
///
/// # Errors
/// A variable whose value is not one of its flag.
pub(super) fn as_flags(command: &Command, env: &Env) -> Result<Vec<OsString>, String> {
    let mut flags = Vec::new();
    for variable in VARIABLES {
        let Role::Flag(flag) = variable.role else { continue };
        let Some(value) = env.get(variable.name) else { continue };
        let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(flag)) else { continue };
        if arg.is_require_equals_set() {
            go_bool(value).map_err(|fault| format!("{}: {fault}", variable.name))?;
        }
        flags.push(format!("--{flag}={value}").into());
    }
    Ok(flags)
}

/// What is to be said of variables that are set and do nothing.
pub(super) fn check(env: &Env) -> impl Iterator<Item = (Weight, String)> {
    let set = VARIABLES.iter().filter(|variable| env.get(variable.name).is_some());
    let said = set.filter_map(|variable| {
        let Variable { name, role, text } = variable;
        match role {
            Role::Flag(_) | Role::Read => None,
            Role::NotYet => Some((Weight::Warning, format!("{name} has no effect yet: {text}"))),
            Role::Unused => Some((Weight::Remark, format!("{name} changes nothing: {text}"))),
        }
    });
    let upload = env.get("BENCHMARK_FILE").filter(|path| path.starts_with("gs://"));
    said.chain(upload.map(|path| (Weight::Warning, format!("BENCHMARK_FILE={path}: gs:// is not supported yet"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::{executor_command, warmer_command};

    #[test]
    fn every_flag_that_a_variable_stands_for_is_there() {
        let command = executor_command();
        for variable in VARIABLES {
            if let Role::Flag(flag) = variable.role {
                assert!(command.get_arguments().any(|arg| arg.get_long() == Some(flag)), "{flag}");
            }
        }
    }

    #[test]
    fn a_variable_becomes_the_flag_that_it_stands_for() {
        let env = Env::of(&[("KANIKO_NO_PUSH", "1"), ("KANIKO_REGISTRY_MIRROR", "a,b"), ("KANIKO_DIR", "")]);
        assert_eq!(as_flags(&executor_command(), &env), Ok(vec!["--no-push=1".into(), "--registry-mirror=a,b".into()]));
        assert_eq!(as_flags(&warmer_command(), &env), Ok(vec!["--registry-mirror=a,b".into()]));
        let wrong = as_flags(&executor_command(), &Env::of(&[("KANIKO_NO_PUSH", "maybe")])).expect_err("no boolean");
        assert!(wrong.starts_with("KANIKO_NO_PUSH: ") && wrong.contains("true or false"), "{wrong}");
    }

    #[test]
    fn what_does_nothing_is_said() {
        let said = |name: &str, value: &str| check(&Env::of(&[(name, value)])).collect::<Vec<_>>();
        assert_eq!(said("STACKLOG_PATH", "/s")[0].0, Weight::Warning);
        assert_eq!(said("SNAPSHOT_TIMEOUT_DURATION", "90m")[0].0, Weight::Remark);
        assert_eq!(said("BENCHMARK_FILE", "gs://b/t")[0].0, Weight::Warning);
        assert!(said("KANIKO_DIR", "/k").is_empty() && said("STACKLOG_PATH", "").is_empty());
    }
}
