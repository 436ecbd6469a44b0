//! `--reproducible` and `SOURCE_DATE_EPOCH`: one input gives one manifest, whoever looked for changes and with however many threads.

use std::fs;
use std::process::Command;

use crate::support::executor::{Build, Built};
use crate::support::trial::trial;
use crate::support::{bases, image, run, scratch};

/// Steps of all kinds. What `--snapshot-mode=time` does not see is not in it: attributes of a file that stays as it is.
const DOCKERFILE: &str = "FROM base AS tools\nRUN mkdir /out && echo tool > /out/tool && rm -r /usr/share\n\
    FROM base\nARG SOURCE_DATE_EPOCH\nCOPY . /context/\nADD a.tar /unpacked/\nWORKDIR /made/here\n\
    RUN rm /etc/motd && mv /opt/old /opt/new && echo made > /made/file && ln /made/file /made/link\n\
    RUN echo \"$SOURCE_DATE_EPOCH\" > /epoch && chmod 600 /epoch && touch -d @1000000000 /made/old\n\
    COPY --from=tools /out/ /usr/local/\nUSER user\nRUN echo x >> ~/who\n";

/// A small archive with one old file.
fn archive() -> Vec<u8> {
    let dir = scratch();
    fs::write(dir.path().join("packed"), "old").unwrap();
    let mut command = Command::new("tar");
    command.args(["--create", "--mtime=@500000000", "--owner=0", "--group=0", "--mode=644", "--file=a.tar", "packed"]);
    run(command.current_dir(dir.path()));
    fs::read(dir.path().join("a.tar")).unwrap()
}

fn build(args: &[&str]) -> Build {
    let build = Build::new(DOCKERFILE).base("base", &bases::busybox()).file("a.tar", archive()).file("d/f", "x");
    build.arg("--no-push").args(args)
}

fn reproducible() -> Build {
    build(&["--reproducible"]).at_most(0)
}

fn digest(build: Build) -> (Built, String) {
    let file = build.dir().join("digest");
    let built = build.arg(format!("--digest-file={}", file.display())).succeed();
    let digest = fs::read_to_string(file).unwrap();
    (built, digest)
}

#[test]
fn one_input_gives_one_manifest() {
    let (_, expected) = digest(reproducible());
    let other = |args: &[&str]| digest(reproducible().args(args)).1;
    for mode in ["full", "redo", "time"] {
        assert_eq!(other(&[&format!("--snapshot-mode={mode}")]), expected, "{mode}");
    }
    for recorder in ["dirwatch", "sweep"] {
        assert_eq!(other(&[&format!("--recorder={recorder}")]), expected, "{recorder}");
    }
    let one_thread = reproducible().through(&["taskset", "-c", "0"]);
    assert_eq!(digest(one_thread).1, expected, "one thread");
    let without_mounts = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];
    assert_eq!(digest(reproducible().through(&without_mounts)).1, expected, "without CAP_SYS_ADMIN");
    assert_ne!(digest(build(&[])).1, expected, "times are left out");
}

#[test]
fn a_container_gives_the_manifest_of_a_build_root() {
    let trial = trial(DOCKERFILE);
    fs::write(trial.context.path().join("a.tar"), archive()).unwrap();
    let name = trial.registry.name("in/container:1");
    let arguments = ["--build-context=base=oci-layout:///base:latest", "--reproducible", "-d", &name];
    run(&mut trial.command(&arguments));
    let outside = trial.registry.name("outside:1");
    let build = Build::new(DOCKERFILE).base("base", &bases::busybox()).file("a.tar", archive()).file("file", "x");
    build.args(["--reproducible", "-d", &outside]).at_most(0).succeed();
    let digest = |name: &str| image::inspect(&format!("docker://{name}"))["Digest"].clone();
    assert_eq!(digest(&name), digest(&outside));
}

#[test]
fn an_epoch_bounds_the_times_and_is_an_argument() {
    let layout = |build: &Build| build.dir().join("layout");
    let ours = build(&[]).env("SOURCE_DATE_EPOCH", "1600000000").at_most(1_600_000_000);
    let at = layout(&ours);
    let (built, expected) = digest(ours.arg(format!("--oci-layout-path={}", at.display())));
    assert_eq!(fs::read_to_string(built.root().join("epoch")).unwrap(), "1600000000\n");
    let image = image::unpack(&format!("oci:{}", at.display()));
    let config = image.config();
    assert_eq!(config["created"], "2020-09-13T12:26:40Z");
    let history = config["history"].as_array().unwrap();
    assert!(history.iter().rev().take(10).all(|row| row["created"] == "2020-09-13T12:26:40Z"), "{history:?}");
    let base = image::inspect(&format!("oci:{}:latest", bases::busybox().display()));
    let layers = |image: &serde_json::Value| image["Layers"].as_array().unwrap().clone();
    let all = layers(&image::inspect(&format!("oci:{}", at.display())));
    assert!(all.starts_with(&layers(&base)), "the base's layers are as they were");
    let mtime =
        |path: &str| std::os::unix::fs::MetadataExt::mtime(&fs::symlink_metadata(image.tree().join(path)).unwrap());
    let times = ["made/file", "made/old", "unpacked/packed", "context/d/f"].map(mtime);
    assert_eq!(times, [1_600_000_000, 1_000_000_000, 500_000_000, 1_600_000_000]);
    // The argument is as good as the variable, and wins.
    let argument = build(&["--build-arg=SOURCE_DATE_EPOCH=1600000000", "--reproducible"]);
    assert_eq!(digest(argument.env("SOURCE_DATE_EPOCH", "5").at_most(1_600_000_000)).1, expected);
    build(&["--build-arg=SOURCE_DATE_EPOCH=yesterday"]).fail(1, &["SOURCE_DATE_EPOCH=yesterday", "seconds since 1970"]);
}
