//! `--compat=kaniko-1.24`, the warnings that stand in its place, and what of the Dockerfile is built: `--dryrun`, several `--target`,
//! `--skip-unused-stages=false`.

use std::fs;

use serde_json::{Value, json};

use crate::support::bases;
use crate::support::executor::{Build, Built};
use crate::support::image;

/// One line for each way of kaniko.
const ALL: &str = "FROM base AS unused
RUN echo built > /unused
FROM base
MAINTAINER somebody
ENV NAME=env
ARG NAME=arg
ARG TARGETARCH
COPY file /copied
VOLUME /volume
RUN echo $NAME > /name && echo arch=$TARGETARCH > /arch && echo x > /volume/x && ln /volume/x /linked
USER 1000:4242
RUN id -g > /tmp/group
HEALTHCHECK --interval=2s --start-interval=1s CMD true
CMD [\"x\"]
";

fn build(dockerfile: &str) -> Build {
    Build::new(dockerfile).base("base", &bases::busybox()).arg("--no-push").file("file", "x")
}

/// The build, its image, and that image's configuration.
fn built(build: Build) -> (Built, image::Unpacked, Value) {
    let layout = build.dir().join("layout");
    std::os::unix::fs::chown(build.dir().join("context/file"), Some(1234), Some(99)).unwrap();
    let built = build.arg(format!("--oci-layout-path={}", layout.display())).run();
    assert!(built.status.success(), "{}", built.stderr());
    let unpacked = image::unpack(&format!("oci:{}", layout.display()));
    // As it was written: a copy in OCI format has no health check.
    let digest = image::manifest(&layout)["config"]["digest"].as_str().unwrap().to_owned();
    let config = serde_json::from_slice(&fs::read(image::blob_path(&layout, &digest)).unwrap()).unwrap();
    (built, unpacked, config)
}

fn owner(path: std::path::PathBuf) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid())
}

#[test]
fn the_ways_of_kaniko_are_followed_where_they_are_asked_for() {
    let run = build(&ALL.replace("echo x > /volume/x", "ls -d /volume && echo x > /volume/x"));
    let (built, image, config) = built(run.args(["--compat=kaniko-1.24", "--image-format=docker"]));
    let read = |name: &str| fs::read_to_string(image.tree().join(name)).unwrap();
    assert_eq!(owner(image.tree().join("copied")), (1234, 99));
    assert_eq!((read("name"), read("arch")), ("env\n".to_owned(), "arch=\n".to_owned()));
    assert!(image.tree().join("volume").is_dir(), "VOLUME makes its directory");
    assert!(!image.tree().join("volume/x").exists());
    assert_eq!(read("linked"), "x\n", "a name outside the volume keeps the content");
    assert_ne!(read("tmp/group"), "4242\n");
    assert_eq!(config["author"], "kaniko");
    assert_eq!(config["config"]["User"], "1000:4242");
    assert_eq!(config["config"]["Healthcheck"], json!({"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000_u64}));
    let rows: Vec<&Value> =
        config["history"].as_array().unwrap().iter().filter(|row| row["author"] == "kaniko").collect();
    let texts: Vec<&str> = rows.iter().map(|row| row["created_by"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4, "{texts:?}");
    assert_eq!(texts[..2], ["COPY file /copied", "VOLUME /volume"]);
    assert_eq!(texts[3], "RUN id -g > /tmp/group");
    assert!(rows.iter().all(|row| row["created"] == "0001-01-01T00:00:00Z"), "{rows:?}");
    let history = config["history"].as_array().unwrap();
    assert!(history.last().unwrap()["author"] == "kaniko", "metadata has no row: {history:?}");
    assert!(!built.stderr().contains("kaniko 1.24"), "{}", built.stderr());
    assert_eq!(built.steps("RUN echo built").len(), 1, "every stage is built");
}

#[test]
fn without_it_each_line_that_differs_is_named_once() {
    let check = |extra: &[&str]| {
        let dockerfile = ALL.replace("echo x > /volume/x", "mkdir /volume && echo x > /volume/x");
        let (built, image, config) = built(build(&dockerfile).args(extra.to_vec()).arg("--image-format=docker"));
        let read = |name: &str| fs::read_to_string(image.tree().join(name)).unwrap();
        assert_eq!(owner(image.tree().join("copied")), (0, 0));
        assert_eq!((read("name"), read("tmp/group")), ("arg\n".to_owned(), "4242\n".to_owned()));
        assert_ne!(read("arch"), "arch=\n");
        assert!(image.tree().join("volume/x").exists());
        assert_eq!(config["author"], "somebody");
        assert_eq!(config["config"]["Healthcheck"]["StartInterval"], 1_000_000_000_u64);
        assert_eq!(config["history"].as_array().unwrap().last().unwrap()["created_by"], "CMD [\"x\"]");
        assert!(built.steps("RUN echo built").is_empty());
        built.stderr()
    };
    let said = check(&[]);
    let lines = |said: &str| -> Vec<String> {
        let of_kaniko = said.lines().filter(|line| line.contains("kaniko 1.24"));
        let number = |line: &str| line.split("Dockerfile:").nth(1)?.split(':').next().map(str::to_owned);
        of_kaniko.filter_map(number).collect()
    };
    let mut found = lines(&said);
    found.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(found, ["1", "4", "6", "7", "8", "9", "11", "13"], "{said}");
    let said = check(&["--warn-compat=false"]);
    assert_eq!(lines(&said), Vec::<String>::new(), "{said}");
    assert!(said.contains("Dockerfile:1: stage 0 unused is not built"), "{said}");
}

#[test]
fn an_env_of_the_base_that_an_arg_hides_is_named() {
    let dockerfile = "FROM base AS below\nENV X=1\nFROM below\nARG X=2\nRUN echo $X > /x\n";
    let built = build(dockerfile).succeed();
    assert_eq!(fs::read_to_string(built.root().join("x")).unwrap(), "2\n");
    assert!(built.stderr().contains("Dockerfile:4: ARG X wins over the ENV"), "{}", built.stderr());
    let built = build(dockerfile).arg("--compat=kaniko-1.24").succeed();
    assert_eq!(fs::read_to_string(built.root().join("x")).unwrap(), "1\n");
}

/// The lines of which something is said, with what is said.
fn told(said: &str) -> Vec<(u32, String)> {
    let of_kaniko = said.lines().filter(|line| line.contains("kaniko 1.24"));
    let found = of_kaniko.filter_map(|line| line.split("Dockerfile:").nth(1)?.split_once(": "));
    found.map(|(number, what)| (number.parse().unwrap(), what.to_owned())).collect()
}

/// What only the files tell.
const FILES: &str = "FROM base
COPY link /followed
ADD tar.xz /unpacked
COPY --chmod=700 file /on/the/way
COPY pair /pair
COPY tool /tool
USER 1000
WORKDIR /a/b
COPY file /a/file
RUN id > /tmp/id
VOLUME /missing
";

#[test]
fn what_only_the_files_tell_is_named() {
    let build = build(FILES);
    let script = "ln -s file link; mkdir pair t; echo x > pair/a; ln pair/a pair/b; echo x > t/x; tar cJf tar.xz t
        echo x > tool; setcap cap_net_raw+ep tool";
    let context = build.dir().join("context");
    crate::support::run(std::process::Command::new("sh").args(["-euc", script]).current_dir(context));
    let built = build.succeed();
    let mut told = told(&built.stderr());
    told.sort();
    let expected = [
        (2, "what the link link leads to"),
        (3, "reads no xz"),
        (4, "--chmod applies to /on, which"),
        (5, "names of one file"),
        (6, "file capabilities"),
        (8, "belong to the user 1000 too"),
        (11, "the directory /missing is not made"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((line, what), (number, part)) in told.iter().zip(expected) {
        assert!(*line == number && what.contains(part), "{line}: {what}");
    }
}

#[test]
fn what_is_written_below_a_volume_of_the_base_is_named() {
    let below = build("FROM base\nRUN mkdir -p /data/in\nVOLUME /data\n");
    let layout = below.dir().join("layout");
    let below = below.arg(format!("--oci-layout-path={}", layout.display())).succeed();
    let dockerfile = "FROM below\nRUN echo x > /x\nRUN echo x > /data/in/x\nCOPY file /data/\nRUN touch -d @1 /data\n\
                      FROM below AS other\nCOPY file /data/y\nFROM other\nRUN rm -f /data/y\n";
    let build = |extra: &[&str]| {
        let base = format!("--build-context=below=oci-layout://{}", layout.display());
        let again = Build::new(dockerfile).arg(base).arg("--no-push").file("file", "x");
        again.args(extra.to_vec()).arg("--skip-unused-stages=false").succeed()
    };
    let lines = |built: &Built| told(&built.stderr()).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
    let built = build(&[]);
    assert_eq!(lines(&built), [3, 4, 7, 9], "{}", built.stderr());
    assert!(built.stderr().contains("/data/in/x is below a VOLUME of the base and stays"), "{}", built.stderr());
    // There is one look at the end of a stage, which stands for its FROM.
    assert_eq!(lines(&build(&["--single-snapshot"])), [1, 6, 8]);
    assert_eq!(lines(&build(&["--warn-compat=false"])), [0_u32; 0]);
    assert_eq!(lines(&build(&["--compat=kaniko-1.24"])), [0_u32; 0]);
    drop(below);
}

const STAGES: &str =
    "FROM base AS one\nRUN echo 1 > /one\nFROM base AS two\nRUN echo 2 > /two\nFROM base AS three\nRUN exit 3\n";

#[test]
fn the_plan_is_printed_and_nothing_is_built() {
    let build = build(STAGES).args(["--dryrun", "--target=two"]);
    let layout = build.dir().join("image");
    let built = build.run();
    assert!(built.status.success(), "{}", built.stderr());
    assert_eq!(
        built.stdout(),
        "stage 1 two (the image): from the named context base\n  line 4: RUN echo 2 > /two\n\
         stage 0 one, line 1: not built, since nothing needs it\nstage 2 three, line 5: not built, since nothing needs it\n"
    );
    assert!(!layout.exists() && !built.root().join("two").exists());
    self::build("FROM base\nRUNN x\n").arg("--dryrun").fail(1, &["RUNN"]);
}

#[test]
fn several_targets_are_built_and_the_first_is_the_image() {
    let (built, image, _) = built(build(STAGES).arg("--target=two,one"));
    assert!(image.tree().join("two").exists() && !image.tree().join("one").exists());
    assert_eq!(built.steps("RUN").len(), 2);
    build(STAGES).args(["--target=two", "--target=three"]).fail(3, &["Dockerfile:6"]);
}

#[test]
fn unused_stages_are_built_where_that_is_asked_for() {
    let (built, image, _) = built(build(STAGES).args(["--target=two", "--skip-unused-stages=false"]));
    assert!(image.tree().join("two").exists() && !image.tree().join("one").exists());
    assert_eq!(built.steps("RUN").len(), 2);
    let text = STAGES.replace("FROM base AS two", "FROM base AS two\nRUN exit 7");
    build(&text).args(["--target=three", "--skip-unused-stages=false"]).fail(7, &["Dockerfile:4"]);
}
