//! What comes out of a build, as far as the two builders are compared: the applied tree and the configuration.

use serde_json::Value;

use crate::support::tree::Listing;

/// The keys of the configuration's `config` that are compared.
const INNER: [&str; 12] = [
    "Env",
    "Cmd",
    "Entrypoint",
    "WorkingDir",
    "User",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

/// And those beside it.
const OUTER: [&str; 4] = ["author", "architecture", "os", "variant"];

/// A tree and a configuration.
pub struct Outcome {
    tree: Listing,
    config: Vec<(&'static str, Value)>,
}

impl Outcome {
    /// Of an image's tree and whole configuration.
    pub fn new(tree: Listing, config: &Value) -> Outcome {
        let inner = INNER.iter().map(|key| (*key, plain(&config["config"][*key])));
        let outer = OUTER.iter().map(|key| (*key, plain(&config[*key])));
        Outcome { tree, config: inner.chain(outer).collect() }
    }

    /// One line each, `-` for what is only here and `+` for what is only there.
    pub fn differences(&self, other: &Outcome) -> Vec<String> {
        let mut lines = self.tree.differences(&other.tree);
        for ((key, here), (_, there)) in self.config.iter().zip(&other.config) {
            if here != there {
                let said = |sign, value: &Value| (!value.is_null()).then(|| format!("{sign} {key} {value}"));
                lines.extend([said('-', here), said('+', there)].into_iter().flatten());
            }
        }
        lines
    }
}

/// A value as both write it: what is empty is not there, and the label by which buildah signs its images is left out.
fn plain(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("io.buildah.version");
    }
    let empty = match &value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if empty { Value::Null } else { value }
}

#[test]
fn each_key_makes_a_difference() {
    use crate::support::{scratch, tree};
    let dir = scratch();
    let outcome = |config: &Value| Outcome::new(tree::list(dir.path(), tree::Times::Exact), config);
    let nothing = outcome(&Value::Null);
    for key in INNER {
        let other = outcome(&serde_json::json!({"config": {key: ["x"]}}));
        assert_eq!(nothing.differences(&other), [format!("+ {key} [\"x\"]")]);
    }
    for key in OUTER {
        let other = outcome(&serde_json::json!({key: "x"}));
        assert_eq!(other.differences(&nothing), [format!("- {key} \"x\"")]);
    }
    let signed = outcome(&serde_json::json!({"config": {"Labels": {"io.buildah.version": "1"}, "Cmd": []}}));
    assert_eq!(nothing.differences(&signed), Vec::<String>::new());
}
