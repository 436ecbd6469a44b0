//! examples/pod/pod.yaml, which is kaniko's but for the image's name, really run; and the image that it pushes.

use std::fs;
use std::process::Command;

use crate::support::container::{CAPABILITY_MASK, Engine};
use crate::support::executor::Build;
use crate::support::tree::{Times, assert_same, list, moment};
use crate::support::trial::{Trial, trial};
use crate::support::{image, repository, run};

const STEPS: &str = r#"COPY --chown=user:extra file /srv/file
RUN test -e /kaniko/.docker/config.json && grep -e CapEff -e Seccomp: /proc/self/status > /status
RUN rm /etc/motd && mv /opt/old /opt/new && echo made > /made && ln /made /also-made && echo x >> /usr/share/kinds/first
USER user
RUN id -u > ~/who
"#;

/// The same in Kubernetes, but for `config.json`: podman 4.3 ignores `items`, and so needs the file under the name that it shall have.
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: regcred}\ntype: kubernetes.io/dockerconfigjson\n\
    data: {.dockerconfigjson: e30=, config.json: e30=}\n";

/// The example for this machine: no network of its own, no pull, and a field that podman 4.3 fails without.
fn manifest(destination: &str) -> String {
    let text = fs::read_to_string(repository().join("examples/pod/pod.yaml")).unwrap();
    let change = |text: String, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from:?} in\n{text}");
        text.replace(from, to)
    };
    let text = change(text, "registry.example/team/app:1", destination);
    let text =
        change(text, "image: registry.example/team/silt:latest\n", "image: silt\n      imagePullPolicy: Never\n");
    let text = change(text, "restartPolicy: Never\n", "restartPolicy: Never\n  hostNetwork: true\n");
    change(text, "secretName: regcred\n", "secretName: regcred\n        optional: false\n")
}

/// What a cluster has before the pod is made: the secret, and a claim that holds the context.
fn provide(engine: &Engine, trial: &Trial) {
    let secret = trial.context.path().with_extension("secret");
    fs::write(&secret, SECRET).unwrap();
    run(engine.podman().args(["secret", "create", "regcred"]).arg(&secret));
    fs::remove_file(&secret).unwrap();
    let tar = trial.context.path().with_extension("tar");
    run(Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&tar)
        .arg("--directory")
        .arg(trial.context.path())
        .arg("."));
    run(engine.podman().args(["volume", "create", "dockerfile-claim"]));
    run(engine.podman().args(["volume", "import", "dockerfile-claim"]).arg(&tar));
    fs::remove_file(&tar).unwrap();
}

#[test]
fn a_manifest_of_kaniko_works_with_another_image_name() {
    let since = moment();
    let trial = trial("");
    let dockerfile = format!("FROM {}\n{STEPS}", trial.base);
    fs::write(trial.context.path().join("Dockerfile"), &dockerfile).unwrap();
    provide(&trial.engine, &trial);
    let name = trial.registry.name("in/pod:1");
    trial.engine.play(&manifest(&name));
    let (code, said) = trial.engine.ended("kaniko-kaniko");
    assert_eq!(code, 0, "{said}");
    let inside = image::unpack(&format!("docker://{name}"));
    let status = fs::read_to_string(inside.tree().join("status")).unwrap();
    assert_eq!(status, format!("CapEff:\t{CAPABILITY_MASK}\nSeccomp:\t2\n"), "an ordinary pod");

    // The same elsewhere. The step that looks at the pod cannot run there, so its file is compared no further.
    let steps = STEPS.lines().filter(|line| !line.contains("/status")).collect::<Vec<_>>().join("\n");
    let other = trial.registry.name("in/root:1");
    let outside = Build::new(&format!("FROM {}\nRUN echo > /status\n{steps}\n", trial.base)).file("file", "x");
    outside.arg(format!("--destination={other}")).succeed();
    let reference = image::unpack(&format!("docker://{other}"));
    for tree in [inside.tree(), reference.tree()] {
        fs::remove_file(tree.join("status")).unwrap();
    }
    let times = Times::NewSince(since);
    assert_same(&list(&inside.tree(), times), &list(&reference.tree(), times), "pod, build root");
    assert_eq!(inside.config()["config"], reference.config()["config"]);
    let names: Vec<String> = inside.layer_names().concat();
    let foreign = |name: &&String| ["kaniko", "workspace", "dev/", "proc/"].iter().any(|own| name.starts_with(own));
    let base = image::unpack(&format!("docker://{}", trial.base)).layer_names().concat();
    let of_the_pod: Vec<_> = names.iter().filter(foreign).filter(|name| !base.contains(name)).collect();
    assert!(of_the_pod.is_empty(), "{of_the_pod:?}");
}
