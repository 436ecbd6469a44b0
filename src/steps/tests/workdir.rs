//! WORKDIR: which directories it makes, for whom, and what it leaves alone.

use super::Fixture;
use crate::rootfs::RootPath;
use crate::steps::Touched;

fn paths(paths: &[&str]) -> Touched {
    Touched::Paths(paths.iter().map(|path| RootPath::clean(path).expect("path")).collect())
}

#[test]
fn paths_are_relative_to_the_last_one() {
    let mut fixture = Fixture::new();
    for (text, expected) in [
        ("WORKDIR a", "/a"),
        ("WORKDIR b/../c", "/a/c"),
        ("WORKDIR /x//y/", "/x/y"),
        ("WORKDIR ../../../z", "/z"),
        ("ENV d=/q\nWORKDIR $d/${e:-r}", "/q/r"),
        ("WORKDIR /", "/"),
    ] {
        fixture.run(text);
        assert_eq!(fixture.state.config.config.working_dir, expected, "{text}");
    }
    assert!(fixture.refused("WORKDIR $none").contains("empty"));
}

#[test]
fn missing_directories_are_made_for_the_user() {
    let mut fixture = Fixture::new().users().root(&["d there :700"]);
    let asked = |name: &str| Touched::Directory(RootPath::clean(name).expect("path"));
    assert_eq!(fixture.run("WORKDIR /there"), asked("there"));
    assert_eq!(fixture.run("WORKDIR new"), paths(&["there/new"]));
    assert_eq!(fixture.run("USER app\nWORKDIR /x/y"), paths(&["x", "x/y"]));
    assert_eq!(fixture.run("USER 7\nWORKDIR /z"), paths(&["z"]));
    assert_eq!(fixture.run("WORKDIR /"), asked(""));
    let expected = ["700 0:0 there/", "755 0:0 there/new/", "755 1000:1001 x/", "755 1000:1001 x/y/", "755 7:7 z/"];
    assert_eq!(fixture.tree()[3..], expected);
}

#[test]
fn links_are_followed_inside_the_root() {
    let mut fixture = Fixture::new().root(&["d real", "l link /real", "l out ../../../outside", "f file x"]);
    assert_eq!(fixture.run("WORKDIR /link/a"), paths(&["real/a"]));
    assert_eq!(fixture.state.config.config.working_dir, "/link/a");
    assert_eq!(fixture.run("WORKDIR /out/b"), paths(&["outside", "outside/b"]));
    assert!(fixture.refused("WORKDIR /file").contains("not a directory"));
    assert!(fixture.refused("WORKDIR /file/x").contains("file"));
}
