//! Hostile contexts, images and destinations: nothing of the host is read, nothing outside the root is written.

use std::fs;
use std::path::Path;

use super::{Fixture, From};

/// A file of the host, beside context and root.
fn secret(fixture: &Fixture) -> String {
    let path = fixture.path("secret");
    fs::write(&path, "host").expect("write");
    path.to_string_lossy().into_owned()
}

fn leaks(fixture: &Fixture) -> bool {
    fixture.tree().iter().any(|line| line.contains("host"))
}

#[test]
fn no_link_in_a_context_leads_to_the_host() {
    let fixture = Fixture::new();
    let secret = secret(&fixture);
    let lines = [
        format!("l absolute {secret}"),
        "l up ../secret".to_owned(),
        "l far ../../../../../../../../etc/passwd".to_owned(),
        format!("l parent {}", Path::new(&secret).parent().expect("parent").display()),
        "l dots ..".to_owned(),
        "l root /".to_owned(),
        "l proc /proc/self/root".to_owned(),
        "l loop loop".to_owned(),
    ];
    let mut fixture = fixture.context(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for source in
        ["absolute", "up", "far", "parent/secret", "dots/secret", "root/etc/passwd", "proc/etc/passwd", "loop"]
    {
        let message = fixture.refused(&format!("COPY {source} /t"));
        assert!(
            message.contains("is not in the build context") || message.contains("symbolic links"),
            "{source}: {message}"
        );
    }
    for source in ["../secret", "/../secret", "/etc/passwd", "a/../../secret", "/sys/kernel"] {
        assert!(fixture.refused(&format!("COPY {source} /t")).contains("is not in the build context"), "{source}");
    }
    fixture.run("COPY . /all/");
    fixture.run("COPY dots* root* /top/");
    assert!(!leaks(&fixture), "{:#?}", fixture.tree());
}

#[test]
fn no_link_in_the_root_leads_a_copy_out_of_it() {
    let outside = tempfile::TempDir::new().expect("temporary directory");
    let lines = [
        format!("l absolute {}", outside.path().display()),
        "l up ../../../../../../..".to_owned(),
        format!("l file {}/new", outside.path().display()),
        "d sub".to_owned(),
        format!("l sub/d {}", outside.path().display()),
    ];
    let mut fixture = Fixture::new()
        .context(&["f a A", "d s", "d s/d", "f s/d/x X"])
        .root(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for destination in ["/absolute/", "/absolute/x", "/file", "/up/tmp/", "../../../out", "/absolute/../../z"] {
        fixture.run(&format!("COPY a {destination}"));
    }
    // A directory of the source meets a link: it is neither followed nor replaced.
    assert!(fixture.refused("COPY s /sub").contains("/sub/d is not a directory"));
    assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 0);
    let mut names: Vec<_> =
        fs::read_dir(fixture.dir.path()).expect("list").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["Dockerfile", "context", "root", "stage"]);
}

#[test]
fn a_stage_is_no_way_to_the_host_either() {
    let mut fixture = Fixture::new();
    let secret = secret(&fixture);
    let link = format!("l link {secret}");
    fixture = fixture.stage(&[link.as_str(), "l up ../secret"]);
    for source in ["link", "up", "../secret"] {
        assert!(fixture.try_run(&format!("COPY --from=0 {source} /t"), From::Stage).is_err(), "{source}");
    }
    assert!(fixture.tree().is_empty());
}

#[test]
fn a_pipe_is_not_read() {
    let mut fixture = Fixture::new().context(&["p pipe :600"]);
    fixture.run("COPY pipe /t");
    fixture.run("ADD pipe /u");
    fixture.check(&["600 0:0 t fifo=", "600 0:0 u fifo="]);
}

#[test]
fn a_context_that_holds_the_root_is_not_copied_into_itself() {
    let mut fixture = Fixture::new();
    let context = fixture.path("context");
    fs::rename(fixture.path("root"), context.join("root")).expect("rename");
    std::os::unix::fs::symlink(context.join("root"), fixture.path("root")).expect("symlink");
    fixture = fixture.context(&["f a A"]);
    fixture.run("COPY . /deep/er");
    fixture.check(&["755 0:0 deep/", "755 0:0 deep/er/", "644 0:0 deep/er/a A="]);
}

#[test]
fn a_stage_copied_onto_itself_stays_whole() {
    let mut fixture = Fixture::new();
    fs::remove_dir(fixture.path("stage")).expect("rmdir");
    std::os::unix::fs::symlink(fixture.path("root"), fixture.path("stage")).expect("symlink");
    fixture = fixture.root(&["d d", "f d/a A"]);
    fixture.run_from_stage("COPY --from=0 d /d");
    fixture.run_from_stage("COPY --from=0 d /d/d");
    fixture.check(&["755 0:0 d/", "644 0:0 d/a A=", "755 0:0 d/d/", "644 0:0 d/d/a A="]);
}
