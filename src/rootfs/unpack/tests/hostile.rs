//! Layers that try to leave the root, or to make the unpacker fall over.

use std::fs;

use tar_core::EntryType;

use crate::rootfs::fixture::{Fixture, Layer, path};
use crate::rootfs::{Refusal, UnpackError};

fn check_refused(what: &str, layers: &[Layer], expected: Refusal) {
    let fixture = Fixture::new();
    match fixture.unpack(layers) {
        Err(UnpackError::Refused { refusal, .. }) => assert_eq!(refusal, expected, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    fixture.assert_outside_untouched();
}

/// Unpacks in two layers and in one; the canary directory stays as it is, and so does the name of it inside the root.
fn check_stays_inside(what: &str, link: impl Fn(&str) -> Layer, rest: impl Fn(Layer) -> Layer, expected: &str) {
    for split in [true, false] {
        let fixture = Fixture::new();
        let outside = fixture.outside().to_str().expect("a path").to_owned();
        let lower = link(&outside);
        let layers = if split { vec![lower, rest(Layer::new())] } else { vec![rest(lower)] };
        let tree = fixture.unpack(&layers).unwrap_or_else(|e| panic!("{what}: {e}"));
        let expected = path(&expected.replace("OUTSIDE", &outside));
        assert!(
            tree.get(&expected).is_some(),
            "{what}: {expected} is missing in {:?}",
            tree.iter().map(|(p, _)| p).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_link_to_the_outside_leads_to_that_path_inside() {
    let write = |layer: Layer| layer.file("l/canary", "overwritten");
    check_stays_inside("absolute", |out| Layer::new().symlink("l", out), write, "OUTSIDE/canary");
    check_stays_inside("climbing", |_| Layer::new().symlink("l", "../../../../outside"), write, "outside/canary");
    check_stays_inside("to the root", |_| Layer::new().symlink("l", "/"), write, "canary");
    check_stays_inside("to dots", |_| Layer::new().symlink("l", ".."), write, "canary");
    check_stays_inside("to nothing", |_| Layer::new().symlink("l", "."), write, "canary");
    let chain = |out: &str| Layer::new().symlink("l", "m/../n").dir("m").symlink("n", out);
    check_stays_inside("through a chain", chain, write, "OUTSIDE/canary");
    let proc = |_: &str| Layer::new().symlink("l", "/proc/self/cwd/../root");
    check_stays_inside("through /proc", proc, write, "proc/self/root/canary");
}

#[test]
fn a_link_at_the_end_of_a_name_is_replaced_not_followed() {
    let fixture = Fixture::new();
    let canary = fixture.outside().join("canary");
    let lower = Layer::new()
        .symlink("a", canary.to_str().expect("a path"))
        .symlink("d", fixture.outside().to_str().expect("a path"));
    let upper = Layer::new().file("a", "mine").dir("d").file("d/canary", "mine");
    fixture.unpack(&[lower, upper]).expect("unpacks");
    assert_eq!(fs::read(fixture.on_disk("a")).expect("a"), b"mine");
    assert_eq!(fs::read(fixture.on_disk("d/canary")).expect("canary"), b"mine");
}

#[test]
fn whiteouts_through_links_hide_nothing_outside() {
    let link = |out: &str| Layer::new().symlink("l", out).file("x", "");
    check_stays_inside("whiteout", link, |layer| layer.file("l/.wh.canary", ""), "x");
    check_stays_inside("opaque", link, |layer| layer.file("l/.wh..wh..opq", ""), "x");
    let up = |_: &str| Layer::new().symlink("l", "../..").file("x", "");
    check_stays_inside("whiteout above", up, |layer| layer.file("l/.wh.outside", ""), "x");
}

#[test]
fn names_that_climb_are_refused() {
    for name in ["../outside/canary", "a/../../outside/canary", "..", "/../x", "a/.."] {
        check_refused(name, &[Layer::new().file(name, "x")], Refusal::Climbs);
        check_refused(name, &[Layer::new().file("f", "x").link("h", name)], Refusal::Climbs);
    }
    for name in [".wh...", ".wh..", "a/.wh...", ".wh."] {
        check_refused(name, &[Layer::new().file("a/x", "x"), Layer::new().file(name, "")], Refusal::Whiteout);
    }
}

#[test]
fn an_absolute_name_is_taken_as_of_the_root() {
    let fixture = Fixture::new();
    let canary = fixture.outside().join("canary");
    let tree = fixture.unpack(&[Layer::new().file(canary.to_str().expect("a path"), "inside")]).expect("unpacks");
    assert!(tree.get(&path(canary.to_str().expect("a path"))).is_some());
}

#[test]
fn hard_links_reach_only_what_the_image_has() {
    let refused = |what: &str, layer: Layer, refusal| check_refused(what, &[layer], refusal);
    refused("missing", Layer::new().link("h", "nothing"), Refusal::LinkTarget);
    refused("absolute", Layer::new().link("h", "/etc/passwd"), Refusal::LinkTarget);
    refused("directory", Layer::new().dir("d").link("h", "d"), Refusal::LinkToDirectory);
    refused("root", Layer::new().link("h", "/"), Refusal::LinkToDirectory);
    refused("what it replaces", Layer::new().file("d/f", "x").link("d", "d/f"), Refusal::LinkTarget);
    let fixture = Fixture::new();
    let outside = fixture.outside().to_str().expect("a path").to_owned();
    check_refused("through a link", &[Layer::new().symlink("l", &outside).link("h", "l/canary")], Refusal::LinkTarget);
    check_refused(
        "through dots",
        &[Layer::new().symlink("l", "../outside"), Layer::new().link("h", "l/canary")],
        Refusal::LinkTarget,
    );
    // The canary is named by a symlink, and the hard link is a name of that symlink.
    let canary = fixture.outside().join("canary");
    let layer = Layer::new().symlink("l", canary.to_str().expect("a path")).link("h", "l").file("h", "own");
    fixture.unpack(&[layer]).expect("unpacks");
    assert_eq!(fs::read(fixture.on_disk("h")).expect("h"), b"own");
}

#[test]
fn parents_must_be_directories() {
    check_refused("file", &[Layer::new().file("f", "x").file("f/child", "x")], Refusal::Parent);
    check_refused(
        "fifo",
        &[Layer::new().add("p", EntryType::Fifo, b"", |e| e), Layer::new().file("p/child", "x")],
        Refusal::Parent,
    );
    check_refused("loop", &[Layer::new().symlink("a", "b").symlink("b", "a").file("a/x", "x")], Refusal::Loop);
    check_refused("self", &[Layer::new().symlink("a", "a").file("a/x", "x")], Refusal::Loop);
    check_refused("root", &[Layer::new().file("./", "x")], Refusal::RootKind);
    check_refused("root link", &[Layer::new().symlink("/", "/etc")], Refusal::RootKind);
}

/// Each of these is an error of the archive, and nothing after it is unpacked.
#[test]
fn malformed_archives() {
    let archive = |what: &str, bytes: &[u8]| {
        let fixture = Fixture::new();
        let mut unpacker = crate::rootfs::Unpacker::new(&fixture.root).expect("a root");
        let result = unpacker.layer(bytes);
        assert!(result.is_err(), "{what}");
        assert!(!fixture.on_disk("later").exists(), "{what}");
    };
    let good = Layer::new().file("a", &"x".repeat(2000)).bytes();
    for cut in [100, 512, 600, 1024, 2511, 2560 + 100] {
        archive(&format!("cut at {cut}"), &good[..cut]);
    }
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    archive("checksum", &flipped);
    archive("garbage", &[0x55; 4096]);
    let with = |set: &dyn Fn(&mut tar_core::builder::EntryBuilder) -> &mut tar_core::builder::EntryBuilder| {
        Layer::new().add("a", EntryType::Regular, b"", set).file("later", "").bytes()
    };
    archive("negative size", &with(&|e| e.add_pax("size", "-1")));
    archive("signed size", &with(&|e| e.add_pax("size", "+0")));
    archive("huge size", &with(&|e| e.add_pax("size", "9223372036854775808")));
    archive("owner that chown(2) ignores", &with(&|e| e.add_pax("uid", "4294967295")));
    archive("owner out of range", &with(&|e| e.add_pax("gid", "99999999999")));
    archive("NUL in a name", &with(&|e| e.add_pax("path", b"a\0b")));
    archive("empty name", &with(&|e| e.add_pax("path", b"")));
    archive("time", &with(&|e| e.add_pax("mtime", "yesterday")));
    archive("long headers", &with(&|e| e.add_pax("comment", vec![b'x'; 2 << 20])));
    archive("unknown kind", &Layer::new().add("a", EntryType::Other(b'V'), b"", |e| e).file("later", "").bytes());
    archive("link without target", &Layer::new().add("a", EntryType::Symlink, b"", |e| e).file("later", "").bytes());
    let sparse = |offset, length, real: u64| {
        let map = [tar_core::SparseEntry { offset, length }];
        Layer::new().add("a", EntryType::Regular, &[1; 512], |e| e.sparse(&map, real)).file("later", "").bytes()
    };
    archive("sparse beyond the end", &sparse(1000, 512, 1200));
    archive("sparse with other data", &sparse(0, 100, 1200));
    archive("sparse overflow", &sparse(u64::MAX, 512, 1200));
    archive("sparse monster", &sparse(0, 512, 1 << 60));
}

#[test]
fn a_component_that_is_too_long_is_an_error_that_names_it() {
    let fixture = Fixture::new();
    let error = fixture.unpack(&[Layer::new().file(&"n".repeat(256), "")]).expect_err("too long");
    assert!(matches!(&error, UnpackError::Write { name, .. } if name.len() == 256), "{error:?}");
}
