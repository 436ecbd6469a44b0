//! Builds of several stages whose result goes through a real registry and comes back as the tree that the last stage left.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::executor::Build;
use crate::support::registry::Registry;
use crate::support::tree::{Times, assert_same, list};
use crate::support::{bases, image};

const THREE_STAGES: &str = r#"ARG VERSION=1
FROM debian AS tools
RUN mkdir -p /out/bin && printf '#!/bin/sh\necho built\n' > /out/bin/tool && chmod 4755 /out/bin/tool
RUN ln /out/bin/tool /out/bin/same && ln -s tool /out/bin/link && mkfifo /out/pipe && mknod /out/null c 1 3

FROM debian AS data
ARG VERSION
WORKDIR /data
COPY site/ ./
ADD site/index.html copy.html
RUN echo "version $VERSION" > version && touch -d @981173106 version && rm index.html && mkdir -p deep/er/est

FROM debian
ENV APP=/opt/app
ARG VERSION
LABEL version="$VERSION"
COPY --from=tools /out/ $APP/
COPY --from=1 --chown=1000:1000 /data ${APP}/data
RUN useradd --create-home --uid 1234 someone && su someone -c 'echo mine > ~/file'
RUN rm -rf /usr/share/doc && mv /usr/share/perl5 /usr/share/perl && rm /etc/issue
RUN ln /usr/bin/perl /usr/bin/perl-too && chmod 700 /var/spool && dpkg --list > /opt/packages
RUN rm -rf /media && ln -s /mnt /media && rm /etc/debian_version && mkdir /etc/debian_version
USER someone
WORKDIR /home/someone
ENTRYPOINT ["/opt/app/bin/tool"]
EXPOSE 80/tcp
VOLUME /data
STOPSIGNAL SIGINT
"#;

fn three_stages() -> Build {
    Build::new(THREE_STAGES)
        .base("debian", &bases::debian())
        .file("site/index.html", "<p>\n")
        .file("site/sub/page", "x")
        .file("site/draft.tmp", "never")
        .file(".dockerignore", "**/*.tmp\n")
        .arg("--build-arg=VERSION=7")
}

#[test]
fn three_stages_over_debian_come_back_from_the_registry_as_the_tree_that_the_last_stage_left() {
    let registry = Registry::start();
    let name = registry.name("team/three:tag");
    let built = three_stages().args([format!("--destination={name}"), "--verify-snapshot".into()]).succeed();
    let pulled = image::unpack(&format!("docker://{name}"));
    assert_same(&list(&pulled.tree(), Times::Exact), &list(&built.root(), Times::Exact), "image, build root");

    let config = pulled.config();
    let check = |key: &str, expected: serde_json::Value| assert_eq!(config["config"][key], expected, "{key}");
    check("User", "someone".into());
    check("WorkingDir", "/home/someone".into());
    check("Entrypoint", serde_json::json!(["/opt/app/bin/tool"]));
    check("Labels", serde_json::json!({"version": "7"}));
    check("StopSignal", "SIGINT".into());
    check("ExposedPorts", serde_json::json!({"80/tcp": {}}));
    check("Volumes", serde_json::json!({"/data": {}}));
    let env = config["config"]["Env"].as_array().unwrap();
    assert!(env.contains(&"APP=/opt/app".into()), "{env:?}");
    assert!(!env.iter().any(|text| text.as_str().unwrap().starts_with("VERSION")), "{env:?}");
    // One layer of the base, two COPY, four RUN; what only changes the configuration makes none.
    assert_eq!(pulled.layer_names().len(), 7);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 7);
    let with_layer = |row: &&serde_json::Value| row["empty_layer"] != serde_json::Value::Bool(true);
    assert_eq!(config["history"].as_array().unwrap().iter().filter(with_layer).count(), 7);
}

#[test]
fn events_and_the_full_walk_make_the_same_layers() {
    let names = |mode: &str| {
        let build = three_stages().arg(format!("--snapshot-mode={mode}")).arg("--no-push");
        let out = build.dir().join("out");
        let built = build.arg(format!("--oci-layout-path={}", out.display())).succeed();
        let recorders: Vec<_> = built.steps("RUN").iter().map(|step| step["recorder"].clone()).collect();
        (image::unpack(&format!("oci:{}", out.display())).layer_names(), recorders)
    };
    let (events, by_events) = names("events");
    let (full, by_full) = names("full");
    assert_eq!(events, full);
    assert!(by_events.iter().all(|recorder| recorder == "fanotify"), "{by_events:?}");
    assert!(by_full.iter().all(|recorder| recorder == "full"), "{by_full:?}");
    assert!(events.last().unwrap().contains(&"media".to_owned()), "{events:?}");
    assert!(events[4].contains(&"usr/share/.wh.perl5".to_owned()), "{:?}", events[4]);
}

#[test]
fn the_target_ends_the_build_and_unneeded_stages_are_not_run() {
    let dockerfile = "FROM base AS one\nRUN echo 1 > /one\nFROM base AS broken\nRUN exit 9\nFROM one AS two\nRUN echo 2 > /two\nFROM two\nRUN exit 8\n";
    let built = Build::new(dockerfile).base("base", &bases::busybox()).args(["--no-push", "--target=two"]).succeed();
    assert!(built.root().join("one").exists() && built.root().join("two").exists());
}

#[test]
fn files_come_from_a_stage_by_number_by_name_and_from_an_image() {
    let registry = Registry::start();
    image::copy(
        &format!("oci:{}:latest", bases::busybox().display()),
        &format!("docker://{}", registry.name("base:1")),
    );
    let remote = registry.name("base:1");
    let dockerfile = format!(
        "FROM {remote} AS First\nRUN echo 1 > /one\nFROM scratch\nCOPY --from=0 /one /by-number\nCOPY --from=first /one /by-name\n\
         COPY --from={remote} /etc/motd /by-image\nCOPY --from=named /etc/passwd /by-context\n"
    );
    let built =
        Build::new(&dockerfile).base("named", &bases::busybox()).args(["--no-push", "--insecure-pull"]).succeed();
    let read = |name: &str| std::fs::read_to_string(built.root().join(name)).unwrap();
    assert_eq!((read("by-number"), read("by-name")), ("1\n".to_owned(), "1\n".to_owned()));
    assert_eq!(read("by-image"), "welcome to the base\n");
    assert!(read("by-context").starts_with("root:"));
}

#[test]
fn a_base_with_every_kind_of_entry_is_restored() {
    let registry = Registry::start();
    image::copy(
        &format!("oci:{}:latest", bases::busybox().display()),
        &format!("docker://{}", registry.name("base:1")),
    );
    let reference = image::unpack(&format!("oci:{}:latest", bases::busybox().display()));
    let expected = list(&reference.tree(), Times::Exact);
    let check = |from: &str, build: fn(Build) -> Build| {
        let built =
            build(Build::new(&format!("FROM {from}\nRUN true\n"))).args(["--no-push", "--insecure-pull"]).succeed();
        assert_same(&expected, &list(&built.root(), Times::Exact), from);
    };
    check("layout", |build| build.base("layout", &bases::busybox()));
    check(&registry.name("base:1"), |build| build);
}

#[test]
fn names_are_bytes() {
    let dockerfile = "FROM base\nRUN touch \"$(printf '/a\\377b')\" '/with space' \"$(printf '/line\\nbreak')\" /.wh && mkdir /-dash\n";
    let build = Build::new(dockerfile).base("base", &bases::busybox()).args(["--no-push", "--verify-snapshot"]);
    let out = build.dir().join("out");
    let built = build.arg(format!("--oci-layout-path={}", out.display())).succeed();
    let image = image::unpack(&format!("oci:{}", out.display()));
    assert_same(&list(&image.tree(), Times::Exact), &list(&built.root(), Times::Exact), "image, build root");
    assert!(image.tree().join(OsStr::from_bytes(b"a\xffb")).exists());
}

#[test]
fn a_stage_that_goes_on_from_the_last_one_finds_the_root_standing() {
    let standing = |text: &str, args: &[&str]| {
        let build =
            Build::new(text).base("base", &bases::busybox()).args(["-v=debug", "--verify-snapshot", "--no-push"]);
        build.args(args).succeed().stderr().matches("The root stands as this stage needs it").count()
    };
    let first =
        "FROM base AS one\nRUN rm -r /opt/old && ln /bin/busybox /two && mkdir -m 700 /made && echo 1 > /made/x\n";
    let last = "RUN test ! -e /opt/old && echo 2 >> /made/x && rm /two && mv /made /moved\n";
    assert_eq!(standing(&format!("{first}FROM one AS two\n{last}"), &[]), 1);
    assert_eq!(
        standing(&format!("{first}FROM one AS two\nENV a=b\nFROM two\n{last}"), &[]),
        1,
        "past one without files"
    );
    assert_eq!(
        standing(&format!("{first}FROM one AS two\n{last}"), &["--compat=kaniko-1.24"]),
        0,
        "a volume may drop something"
    );
    assert_eq!(
        standing(&format!("{first}FROM one AS two\n{last}COPY --from=one /made /again\n"), &[]),
        0,
        "it was moved aside"
    );
    let elsewhere = format!("{first}FROM base AS other\nRUN touch /x\nFROM one AS two\n{last}COPY --from=other /x /\n");
    assert_eq!(standing(&elsewhere, &[]), 0, "another stage came between");
    let single = ["--single-snapshot"];
    assert_eq!(standing(&format!("{first}FROM one AS two\n{last}"), &single), 1);
}
