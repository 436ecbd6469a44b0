//! The only place that reads the environment of the program, and what it tells of where we run.

use std::path::{Path, PathBuf};

use super::values::go_bool;
use crate::credentials::Environment;

/// What the environment says, read once.
#[derive(Clone, Debug, Default)]
pub struct Env(Vec<(String, String)>);

impl Env {
    /// The process's environment. Variables that are not UTF-8 are left out.
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn read() -> Self {
        let text = |word: std::ffi::OsString| word.into_string().ok();
        Env(std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect())
    }

    /// The value of `name`, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lookup(name).filter(|value| !value.is_empty())
    }

    /// The value of `name`, if it is set; it may be empty.
    pub fn lookup(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether `name` is set to what Go takes for true.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| go_bool(value) == Ok(true))
    }

    /// The variables whose names begin with `prefix`, by name.
    pub fn beginning_with(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let mut found: Vec<_> = self.0.iter().filter(move |(name, _)| name.starts_with(prefix)).collect();
        found.sort();
        found.into_iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// An environment of these variables.
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        Env(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// All variables, for those who look for credentials in them.
    pub fn environment(&self) -> Environment {
        self.0.iter().cloned().collect()
    }

    /// The file for timings: `BENCHMARK_FILE`, where `false` means none, as in kaniko.
    pub fn benchmark_file(&self) -> Option<PathBuf> {
        let path = self.get("BENCHMARK_FILE").filter(|path| *path != "false" && !path.starts_with("gs://"));
        path.map(PathBuf::from)
    }

    /// Where large temporary files may go: `TMPDIR`, else `/var/tmp`, which unlike `/tmp` is seldom memory.
    pub fn temporary_dir(&self) -> PathBuf {
        self.get("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from)
    }

    /// Whether this process runs in a container, by the signs that kaniko looks for.
    pub fn in_container(&self) -> bool {
        let signs = ["/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io/serviceaccount"];
        self.get("container").is_some()
            || self.get("KUBERNETES_SERVICE_HOST").is_some()
            || signs.iter().any(|sign| Path::new(sign).exists())
            || cgroup_names_a_container()
            || root_is_overlay()
    }
}

fn cgroup_names_a_container() -> bool {
    let cgroups = std::fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    ["docker", "kubepods", "containerd", "libpod", "crio"].iter().any(|engine| cgroups.contains(engine))
}

/// Field 5 of `mountinfo` is the mount point; the type follows the separator ` - ` (proc_pid_mountinfo(5)).
fn root_is_overlay() -> bool {
    // A mount point of any bytes; those that are no text are not `/`.
    let mounts = String::from_utf8_lossy(&std::fs::read("/proc/self/mountinfo").unwrap_or_default()).into_owned();
    mounts.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(" - overlay "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str, value: &str) -> Env {
        Env::of(&[(name, value)])
    }

    #[test]
    fn false_disables_the_timings() {
        assert_eq!(env("BENCHMARK_FILE", "false").benchmark_file(), None);
        assert_eq!(env("BENCHMARK_FILE", "/t.json").benchmark_file(), Some("/t.json".into()));
        assert_eq!(env("BENCHMARK_FILE", "").benchmark_file(), None);
        assert_eq!(env("BENCHMARK_FILE", "gs://bucket/t.json").benchmark_file(), None);
    }

    #[test]
    fn the_variable_container_is_a_sign() {
        assert!(env("container", "kube").in_container());
    }
}
