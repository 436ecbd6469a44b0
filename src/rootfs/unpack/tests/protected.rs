//! Unpacking over a root in which other things stand: foreign files, and protected paths.

use std::fs;

use crate::rootfs::fixture::{Fixture, Layer, assert_agrees, path};
use crate::rootfs::{Refusal, Skipped, Tree, UnpackError, Unpacker, clear, scan};

/// A root with a builder in it, as in a container.
fn inhabited() -> Fixture {
    let mut fixture = Fixture::new();
    for (name, content) in [
        ("kaniko/executor", "builder"),
        ("etc/resolv.conf", "mounted"),
        ("etc/hosts", "foreign"),
        ("var/run/secrets/token", "secret"),
    ] {
        let file = fixture.on_disk(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("mkdir");
        fs::write(file, content).expect("write");
    }
    for protected in ["kaniko", "etc/resolv.conf", "var/run/secrets"] {
        fixture.root.protect(path(protected));
    }
    fixture
}

fn unpack(fixture: &Fixture, layers: &[Layer]) -> Result<(Tree, Vec<Skipped>), UnpackError> {
    let existing = scan(&fixture.root)?;
    let mut unpacker = Unpacker::over(&fixture.root, existing);
    for layer in layers {
        unpacker.layer(&layer.bytes()[..])?;
    }
    let skipped = unpacker.skipped().to_vec();
    let tree = unpacker.finish()?;
    assert_agrees(&fixture.root, &tree);
    assert_protected_stand(fixture);
    Ok((tree, skipped))
}

fn assert_protected_stand(fixture: &Fixture) {
    for (name, content) in
        [("kaniko/executor", "builder"), ("etc/resolv.conf", "mounted"), ("var/run/secrets/token", "secret")]
    {
        assert_eq!(fs::read_to_string(fixture.on_disk(name)).expect(name), content);
    }
}

#[test]
fn protected_paths_are_left_out() {
    let fixture = inhabited();
    let layer = Layer::new()
        .dir("kaniko")
        .file("kaniko/executor", "hijacked")
        .symlink("k", "/kaniko")
        .file("k/executor", "hijacked")
        .file("etc/resolv.conf", "hijacked")
        .file("etc/.wh.resolv.conf", "")
        .file(".wh.kaniko", "")
        .symlink("var/run", "/run")
        .file("fine", "x");
    let (tree, left_out) = unpack(&fixture, &[layer]).expect("unpacks");
    let protected = |name| Skipped::Protected(path(name));
    let replacement = |name| Skipped::Replacement(path(name));
    let expected = [
        protected("kaniko"),
        protected("kaniko/executor"),
        protected("kaniko/executor"),
        replacement("etc/resolv.conf"),
        protected("etc/resolv.conf"),
        protected("kaniko"),
        protected("var/run"),
    ];
    assert_eq!(left_out, expected);
    assert!(tree.get(&path("kaniko")).is_none());
    assert!(tree.get(&path("fine")).is_some_and(|node| !node.foreign));
}

#[test]
fn whiteouts_leave_what_is_protected() {
    for whiteouts in [Layer::new().file(".wh.etc", "").file(".wh.var", ""), Layer::new().file(".wh..wh..opq", "")] {
        let fixture = inhabited();
        let lower =
            Layer::new().dir("etc").file("etc/hosts", "layer").file("etc/conf", "layer").file("var/lib/x", "layer");
        let (tree, _) = unpack(&fixture, &[lower, whiteouts]).expect("unpacks");
        let left: Vec<String> = tree.iter().map(|(path, node)| format!("{path} {}", node.foreign)).collect();
        assert_eq!(left[1..], ["/etc true", "/var true", "/var/run true"]);
    }
}

#[test]
fn no_hard_link_reaches_the_builder_or_what_is_foreign() {
    let check = |layer: Layer, expected| match unpack(&inhabited(), &[layer]) {
        Err(UnpackError::Refused { refusal, .. }) => assert_eq!(refusal, expected),
        other => panic!("{other:?}"),
    };
    check(Layer::new().link("mine", "kaniko/executor"), Refusal::LinkToProtected);
    check(Layer::new().symlink("k", "kaniko").link("mine", "k/executor"), Refusal::LinkToProtected);
    check(Layer::new().link("mine", "etc/hosts"), Refusal::LinkTarget);
}

#[test]
fn foreign_things_stay_foreign_until_a_layer_replaces_them() {
    let fixture = inhabited();
    fs::write(fixture.on_disk("stays"), "foreign").expect("write");
    std::os::unix::fs::symlink("/kaniko", fixture.on_disk("bin")).expect("symlink");
    let layer = Layer::new().file("etc/hosts", "layer").file("bin/sh", "layer");
    let (tree, left_out) = unpack(&fixture, &[layer]).expect("unpacks");
    let foreign = |name| tree.get(&path(name)).expect(name).foreign;
    assert_eq!(left_out, []);
    assert!(foreign("stays") && foreign("etc"), "no layer named them");
    assert!(!foreign("etc/hosts") && !foreign("bin") && !foreign("bin/sh"));
    assert!(tree.get(&path("bin")).expect("bin").entry.is_directory(), "a foreign link is no parent for a layer");
}

#[test]
fn clearing_leaves_protected_paths_and_the_way_to_them() {
    let fixture = inhabited();
    std::os::unix::fs::symlink(fixture.outside(), fixture.on_disk("out")).expect("symlink");
    fs::create_dir_all(fixture.on_disk("usr/lib/deep")).expect("mkdir");
    clear(&fixture.root).expect("cleared");
    assert_protected_stand(&fixture);
    fixture.assert_outside_untouched();
    let left: Vec<String> = scan(&fixture.root).expect("a scan").iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(left, ["/", "/etc", "/var", "/var/run"]);
}

#[test]
fn what_stood_before_may_go_meanwhile() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.on_disk("job/deep")).expect("mkdir");
    let existing = scan(&fixture.root).expect("scan");
    let mut unpacker = Unpacker::over(&fixture.root, existing);
    unpacker.layer(&Layer::new().file("new", "x").bytes()[..]).expect("unpacks");
    std::fs::remove_dir_all(fixture.on_disk("job")).expect("remove");
    let tree = unpacker.finish().expect("what others remove is no error");
    assert!(tree.get(&path("job")).is_none() && tree.get(&path("job/deep")).is_none());
    assert!(tree.get(&path("new")).is_some());
}
