//! A pod whose containers share one process namespace: the supervisor of a step ends the step's processes and no others.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::trial::{Trial, trial};
use crate::support::{bases, image, run};

/// The side-car writes without pause; `sleep 1006` is one more process of its own.
const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec:
  restartPolicy: Never
  hostNetwork: true
  shareProcessNamespace: true
  containers:
    - name: side
      image: side
      imagePullPolicy: Never
      command: [/bin/sh, -c, "setsid sleep 1006 & while :; do echo tick >> /shared/ticks; usleep 20000; done"]
      volumeMounts: [{name: shared, mountPath: /shared}]
    - name: kaniko
      image: silt
      imagePullPolicy: Never
      args: [--context=dir:///workspace, --build-context=base=oci-layout:///base:latest, --no-push]
      volumeMounts:
        - {name: context, mountPath: /workspace}
        - {name: base, mountPath: /base}
        - {name: shared, mountPath: /shared}
  volumes:
    - {name: context, hostPath: {path: CONTEXT}}
    - {name: base, hostPath: {path: BASE}}
    - {name: shared, hostPath: {path: SHARED}}
"#;

/// A step that sees the side-car, leaves strays behind, and then does `last`.
fn dockerfile(last: &str) -> String {
    format!(
        "FROM base\nRUN until grep -q '[1]006' /proc/[0-9]*/cmdline; do usleep 20000; done; \
         (setsid sh -c 'while :; do echo x >> /shared/stray; usleep 20000; done' &); \
         sh -c 'setsid sleep 1007 & setsid setsid sleep 1007 &'; until [ -e /shared/stray ]; do usleep 20000; done; {last}\n"
    )
}

struct Pod {
    trial: Trial,
    shared: tempfile::TempDir,
}

impl Pod {
    fn start(last: &str) -> Pod {
        let trial = trial(&dockerfile(last));
        let archive = trial.context.path().with_extension("side.tar");
        let side = format!("docker-archive:{}:localhost/side:latest", archive.display());
        image::copy(&format!("oci:{}:latest", bases::busybox().display()), &side);
        trial.engine.load(&archive);
        fs::remove_file(&archive).unwrap();
        let shared = crate::support::scratch();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let manifest =
            MANIFEST.replace("CONTEXT", &path(trial.context.path())).replace("BASE", &path(&bases::busybox()));
        trial.engine.play(&manifest.replace("SHARED", &path(shared.path())));
        Pod { trial, shared }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.shared.path().join(name)
    }

    fn wait_for(&self, name: &str) {
        let limit = Instant::now() + Duration::from_secs(60);
        while !self.file(name).exists() {
            assert!(Instant::now() < limit, "no {name}");
            sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) {
        run(self.trial.engine.podman().args(["kill", "--signal", signal, "pod-kaniko"]));
    }

    /// After the builder's end: no process of the step lives, and the side-car is as it was.
    fn assert_only_the_step_ended(&self, code: i32) {
        let (ended, said) = self.trial.engine.ended("pod-kaniko");
        assert_eq!(ended, code, "{said}");
        let size = |name: &str| fs::metadata(self.file(name)).unwrap().len();
        assert_eq!(self.processes("1007"), 0, "a stray lives\n{said}");
        assert_eq!(self.processes("1006"), 1, "the side-car lost a process\n{said}");
        let (stray, ticks) = (size("stray"), size("ticks"));
        sleep(Duration::from_millis(300));
        assert_eq!(size("stray"), stray, "a stray writes\n{said}");
        assert!(
            size("ticks") >= ticks + 5 * 3,
            "the side-car writes no more: {ticks} bytes, {}\n{said}",
            size("ticks")
        );
    }

    /// How many `sleep SECONDS` the side-car sees in the namespace that it shares.
    fn processes(&self, seconds: &str) -> usize {
        let lines = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file; echo; done 2> /dev/null";
        let script = format!("{lines} | grep -c '^sleep {seconds} $' || true");
        let exec = ["exec", "pod-side", "sh", "-c", &script];
        run(self.trial.engine.podman().args(exec)).trim().parse().unwrap()
    }
}

#[test]
fn a_step_that_ends_takes_its_strays_along_and_no_side_car() {
    let pod = Pod::start("echo done > /done");
    pod.assert_only_the_step_ended(0);
}

#[test]
fn so_does_a_step_that_fails() {
    let pod = Pod::start("exit 9");
    pod.assert_only_the_step_ended(9);
}

#[test]
fn so_does_a_build_that_is_stopped() {
    let pod = Pod::start("trap '' TERM; echo > /shared/ready; while :; do usleep 50000; done");
    pod.wait_for("ready");
    pod.signal("TERM");
    pod.assert_only_the_step_ended(143);
}

/// Nobody is left then but the supervisor, to which the end of its socket says it.
#[test]
fn so_does_a_build_that_is_killed() {
    let pod = Pod::start("echo > /shared/ready; while :; do usleep 50000; done");
    pod.wait_for("ready");
    pod.signal("KILL");
    pod.assert_only_the_step_ended(137);
}
