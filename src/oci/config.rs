//! The image configuration (OCI image-spec, config.md), with the fields that only Docker knows.
//!
//! Unknown fields are kept at every level, so that a base image loses nothing. Maps are written in the order of their keys, so
//! that equal values have equal bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DiffId, Platform, or_default};

/// The configuration blob: the platform, what to run, the layers' contents and how they came to be.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ConfigFile {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// GOARCH.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// GOOS.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// The variant of the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What a container of the image runs, and how.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Config,
    /// The layers' contents.
    #[serde(default, deserialize_with = "or_default")]
    pub rootfs: RootFs,
    /// One row an instruction, first to last.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ConfigFile {
    /// The platform that the image is for.
    pub fn platform(&self) -> Platform {
        Platform { architecture: self.architecture.clone(), os: self.os.clone(), variant: self.variant.clone() }
    }

    /// Says which platform the image is for.
    pub fn set_platform(&mut self, platform: &Platform) {
        let Platform { architecture, os, variant } = platform.clone();
        (self.architecture, self.os, self.variant) = (architecture, os, variant);
    }
}

/// What a container runs by default. Only strings: nothing here is resolved.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// `user[:group]`, names or numbers; empty is root.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `port[/protocol]`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`, in the order in which they were set.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The command's first words. `None` and an empty list both mean that there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The command's other words, which a user may replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// The first word of the command is a whole command line (Windows).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,
    /// Directories that a container keeps outside its layers.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// An absolute path; empty is `/`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops a container, as a name or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Instructions for a build that starts from this image.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// How to see whether a container is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The words before a command in shell form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Config {
    /// The value of an environment variable. Where a name is set twice the last one counts.
    pub fn env(&self, name: &str) -> Option<&str> {
        let value = |entry: &'_ str| entry.split_once('=').filter(|(n, _)| *n == name).map(|(n, _)| n.len() + 1);
        self.env.iter().rev().find_map(|entry| value(entry).map(|start| &entry[start..]))
    }

    /// Sets an environment variable: in its old place if it was set, otherwise last.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let is_name = |e: &String| e.split('=').next() == Some(name);
        match self.env.iter().position(is_name) {
            Some(first) => {
                self.env[first] = entry;
                let mut position = 0;
                self.env.retain(|e| {
                    position += 1;
                    position - 1 <= first || !is_name(e)
                });
            }
            None => self.env.push(entry),
        }
    }
}

/// How a container's health is seen. Times in nanoseconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; empty inherits.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// Time after which a check has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Time at the start in which failures do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// Time between two checks at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
    /// Failures in a row that count as ill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The contents of the layers, lowest first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default = "layers")]
    pub kind: String,
    /// The digests of the uncompressed tars.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<DiffId>,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for RootFs {
    fn default() -> Self {
        RootFs { kind: layers(), diff_ids: Vec::new(), extra: Map::new() }
    }
}

fn layers() -> String {
    "layers".to_owned()
}

/// One row of an image's history.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the row has no layer.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Everything else that was there.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads and writes `input`; nothing of it may be lost or changed.
    fn survives(input: Value) {
        let read: ConfigFile = serde_json::from_value(input.clone()).expect("a configuration");
        assert_eq!(serde_json::to_value(&read).expect("json"), input);
        assert_eq!(serde_json::to_vec(&read).expect("json"), serde_json::to_vec(&read.clone()).expect("json"));
    }

    #[test]
    fn nothing_of_a_base_is_lost() {
        survives(serde_json::json!({
            "created": "2026-01-01T00:00:00Z", "author": "x", "architecture": "arm", "os": "linux", "variant": "v7",
            "os.version": "1.2", "os.features": ["a"], "docker_version": "20", "container": "c", "deep": {"a": [1, 2.5, null]},
            "config": {
                "User": "1:2", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Env": ["B=1", "A=2"], "Entrypoint": ["/e"],
                "Cmd": [], "ArgsEscaped": true, "Volumes": {"/v": {}}, "WorkingDir": "/w", "Labels": {"b": "1", "a": "2"},
                "StopSignal": "9", "OnBuild": ["RUN x"], "Shell": ["/bin/bash", "-c"], "Hostname": "h", "Tty": false,
                "Healthcheck": {"Test": ["CMD", "x"], "Interval": 30000000000u64, "Retries": 3, "Odd": 1}
            },
            "rootfs": {"type": "layers", "diff_ids": [], "odd": 1},
            "history": [{"created": "t", "created_by": "c", "author": "a", "comment": "d", "empty_layer": true, "odd": {}}]
        }));
    }

    #[test]
    fn nulls_read_as_nothing() {
        let text = r#"{"config":{"Env":null,"Cmd":null,"Labels":null,"Volumes":null,"OnBuild":null,"Healthcheck":null,
            "ExposedPorts":null,"User":null},"history":null,"rootfs":{"type":"layers","diff_ids":null},"created":null}"#;
        let read: ConfigFile = serde_json::from_str(text).expect("a configuration");
        assert_eq!(read, ConfigFile::default());
        assert_eq!(serde_json::from_str::<ConfigFile>(r#"{"config":null}"#).expect("a configuration"), read);
    }

    #[test]
    fn maps_are_written_in_the_order_of_their_keys() {
        let config =
            Config { labels: [("b", "1"), ("a", "2")].map(|(k, v)| (k.into(), v.into())).into(), ..Config::default() };
        assert_eq!(serde_json::to_string(&config).expect("json"), r#"{"Labels":{"a":"2","b":"1"}}"#);
    }

    #[test]
    fn a_variable_is_set_once() {
        let mut config = Config { env: ["A=1", "B=2", "A=3"].map(String::from).into(), ..Config::default() };
        assert_eq!(config.env("A"), Some("3"));
        config.set_env("A", "4=5");
        config.set_env("C", "");
        assert_eq!(config.env, ["A=4=5", "B=2", "C="]);
        assert_eq!((config.env("A"), config.env("C"), config.env("D")), (Some("4=5"), Some(""), None));
    }
}
