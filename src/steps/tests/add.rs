//! ADD: which files are archives, and what becomes of them.

use std::fs;
use std::io::Write;
use std::process::Command;

use super::Fixture;

/// A tar of `tree`, made by GNU tar from files that `lines` describe, written to the context as `name`.
fn archive(fixture: &Fixture, name: &str, lines: &[&str], options: &[&str]) {
    let tree = fixture.path("tree");
    fs::create_dir(&tree).expect("mkdir");
    super::build(&tree, lines);
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(fixture.path("context").join(name)).args(["--numeric-owner", "--sort=name"]);
    let status = tar.args(options).arg("--directory").arg(&tree).arg(".").status().expect("tar");
    assert!(status.success());
    fs::remove_dir_all(&tree).expect("remove");
}

const TREE: &[&str] =
    &["d d :700 @3:4", "f d/a A :4755 @5:6", "h d/b d/a", "l l d/a @7:7", "p p", "f .wh.gone W", "f top T"];

fn unpacked(top: &str, chown: Option<&str>) -> Vec<String> {
    let owner = |own: &str| chown.unwrap_or(own).to_owned();
    vec![
        format!("644 {} {top}.wh.gone W=", owner("0:0")),
        format!("700 {} {top}d/=", owner("3:4")),
        format!("4755 {} {top}d/a A=", owner("5:6")),
        format!("4755 {} {top}d/b A=", owner("5:6")),
        format!("0 {} {top}l -> d/a", owner("7:7")),
        format!("644 {} {top}p fifo=", owner("0:0")),
        format!("644 {} {top}top T=", owner("0:0")),
    ]
}

#[test]
fn archives_are_unpacked() {
    let compressions = ["--gzip", "--bzip2", "--xz", "--zstd"].map(|option| ("x", vec![option]));
    let plain = [("a.tar", vec![]), ("plain", vec!["--format=gnu"])];
    for (name, options) in plain.into_iter().chain(compressions) {
        let mut fixture = Fixture::new();
        archive(&fixture, name, TREE, &options);
        fixture.run(&format!("ADD {name} /"));
        assert_eq!(fixture.tree(), unpacked("", None), "{name} {options:?}");
    }
}

#[test]
fn the_destination_is_a_directory_whatever_it_is_called() {
    let mut fixture = Fixture::new().root(&["l link real"]);
    archive(&fixture, "a.tar", &["f x X :600 @5:5"], &["--gzip"]);
    fixture.run("ADD a.tar /new/t");
    fixture.run("ADD a.tar link");
    fixture.check(&[
        "0 0:0 link -> real",
        "755 0:0 new/",
        "755 0:0 new/t/",
        "600 5:5 new/t/x X=",
        "755 0:0 real/",
        "600 5:5 real/x X=",
    ]);
    let mut fixture = Fixture::new().root(&["f file x"]);
    archive(&fixture, "a.tar", &["f x X"], &[]);
    assert!(fixture.refused("ADD a.tar /file").contains("/file"));
}

#[test]
fn chown_is_for_the_members_too() {
    let mut fixture = Fixture::new();
    archive(&fixture, "a.tar", TREE, &[]);
    fixture.run("ADD --chown=8:9 a.tar /t");
    let mut expected = unpacked("t/", Some("8:9"));
    expected.insert(0, "755 8:9 t/".to_owned());
    assert_eq!(fixture.tree(), expected);
}

#[test]
fn members_replace_what_is_there_and_directories_merge() {
    let root = ["d t :711", "d t/d", "f t/d/kept K", "d t/f", "f t/f/below x", "l t/l elsewhere", "f t/dir x"];
    let mut fixture = Fixture::new().root(&root);
    archive(&fixture, "a.tar", &["d d :700", "f d/new N", "f f F", "f l L", "d dir"], &[]);
    fixture.run("ADD a.tar /t");
    fixture.check(&[
        "711 0:0 t/",
        "700 0:0 t/d/=",
        "644 0:0 t/d/kept K=",
        "644 0:0 t/d/new N=",
        "755 0:0 t/dir/=",
        "644 0:0 t/f F=",
        "644 0:0 t/l L=",
    ]);
}

#[test]
fn what_is_no_archive_is_copied() {
    let gz = |data: &[u8]| {
        let mut encoder =
            crate::codec::Encoder::new(Vec::new(), crate::codec::Packing::default(), 1).expect("an encoder");
        encoder.write_all(data).expect("write");
        encoder.finish().expect("finish")
    };
    for content in [
        gz(b"text"),
        gz(&[b'x'; 600]),
        vec![0x1f, 0x8b, 0, 1],
        b"\xfd7zXZ\0rest".to_vec(),
        b"BZh91AY".to_vec(),
        vec![0; 2048],
        b"x".to_vec(),
        Vec::new(),
    ] {
        let mut fixture = Fixture::new();
        fs::write(fixture.path("context/a"), &content).expect("write");
        fixture.run("ADD a /t");
        assert_eq!(fs::read(fixture.path("root/t")).expect("read"), content);
    }
    let mut fixture = Fixture::new().context(&["d d"]);
    archive(&fixture, "d/a.tar", &["f x X"], &[]);
    fixture.run("ADD d /t");
    fixture.run("COPY d/a.tar /u");
    assert!(fixture.path("root/t/a.tar").is_file() && fixture.path("root/u").is_file());
}

#[test]
fn several_sources_of_both_kinds() {
    let mut fixture = Fixture::new().context(&["f b B"]);
    archive(&fixture, "a.tar", &["f x X"], &[]);
    fixture.run("ADD a.tar b /t/");
    fixture.check(&["755 0:0 t/", "644 0:0 t/b B=", "644 0:0 t/x X="]);
}

#[test]
fn a_broken_archive_is_an_error_that_names_it() {
    let mut fixture = Fixture::new();
    archive(&fixture, "a.tar", &["f x 0123456789"], &[]);
    let path = fixture.path("context/a.tar");
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..1500]).expect("write");
    assert!(fixture.refused("ADD a.tar /").contains("a.tar"));
}
