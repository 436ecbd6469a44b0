//! COPY: names of sources and destinations, and what the copies are.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Fixture, From};

/// A context to copy from.
fn fixture() -> Fixture {
    Fixture::new().context(&[
        "f a A :640 @5:6",
        "f b B",
        "d d :700",
        "f d/x X :4755",
        "d d/e",
        "f d/e/y Y",
        "l l d/x",
        "l m d",
    ])
}

fn check(text: &str, expected: &[&str]) {
    let mut fixture = fixture();
    fixture.run(text);
    assert_eq!(fixture.tree(), expected, "{text}");
}

fn check_refused(text: &str, reason: &str) {
    let mut fixture = fixture().root(&["f file x", "d dir", "d dir/a"]);
    let message = fixture.refused(text);
    assert!(message.contains(reason), "{text}: {message}");
}

#[test]
fn a_file() {
    check("COPY a /z", &["640 0:0 z A="]);
    check("COPY a /z/", &["755 0:0 z/", "640 0:0 z/a A="]);
    check("COPY a z/y/x", &["755 0:0 z/", "755 0:0 z/y/", "640 0:0 z/y/x A="]);
    check("COPY a /", &["640 0:0 a A="]);
    check("COPY a .", &["640 0:0 a A="]);
    check("COPY a ./z/.", &["755 0:0 z/", "640 0:0 z/a A="]);
    check("COPY /a /z", &["640 0:0 z A="]);
    check("COPY ../../a /z", &["640 0:0 z A="]);
    check("COPY ./d/../a /z", &["640 0:0 z A="]);
    check("COPY a/ /z", &["640 0:0 z A="]);
    check("COPY [\"a\", \"/z z\"]", &["640 0:0 z z A="]);
    check("ENV f=a t=/z\nCOPY $f ${t}", &["640 0:0 z A="]);
    check("COPY d/x /z", &["4755 0:0 z X="]);
}

#[test]
fn a_directory_stands_for_its_contents() {
    let contents = ["755 0:0 t/", "755 0:0 t/e/=", "644 0:0 t/e/y Y=", "4755 0:0 t/x X="];
    check("COPY d /t", &contents);
    check("COPY d/ /t/", &contents);
    check("COPY d/. t", &contents);
    check("COPY d /", &["755 0:0 e/=", "644 0:0 e/y Y=", "4755 0:0 x X="]);
}

#[test]
fn several_sources() {
    let both = ["755 0:0 t/", "640 0:0 t/a A=", "644 0:0 t/b B="];
    check("COPY a b /t/", &both);
    check("COPY [ab] t/", &both);
    check("COPY a missing* b t/", &both);
    check("COPY d/e d/e /t", &["755 0:0 t/", "644 0:0 t/y Y="]);
    check_refused("COPY a b /t", "must be a directory");
    check_refused("COPY [ab] /file", "must be a directory");
    let mut fixture = fixture().root(&["d t"]);
    fixture.run("COPY a b /t");
    fixture.check(&both);
}

#[test]
fn wildcards() {
    check("COPY d/? /t/", &["755 0:0 t/", "4755 0:0 t/x X=", "644 0:0 t/y Y="]);
    check("COPY d/*/y /t", &["644 0:0 t Y="]);
    check("COPY */x /t/", &["755 0:0 t/", "4755 0:0 t/x X="]);
    check("COPY [!a]one* /t/", &[]);
    check("COPY [[]a]* /t/", &[]);
    check_refused("COPY none/* /t/", "\"none/*\" is not in the build context");
    check_refused("COPY [a /t/", "malformed");
}

#[test]
fn links() {
    check("COPY l /t", &["4755 0:0 t X="]);
    check("COPY l /t/", &["755 0:0 t/", "4755 0:0 t/l X="]);
    check("COPY m /t", &["755 0:0 t/", "755 0:0 t/e/=", "644 0:0 t/e/y Y=", "4755 0:0 t/x X="]);
    check("COPY m/e/y /t", &["644 0:0 t Y="]);
    let mut fixture = Fixture::new().context(&["d d", "l d/abs /etc/passwd @7:8", "l d/up ../../x", "l d/self self"]);
    fixture.run("COPY d /t");
    fixture.check(&["755 0:0 t/", "0 0:0 t/abs -> /etc/passwd", "0 0:0 t/self -> self", "0 0:0 t/up -> ../../x"]);
}

#[test]
fn sources_that_are_missing() {
    check_refused("COPY none /t", "\"none\" is not in the build context");
    check_refused("COPY a/none /t", "a/none");
    let mut fixture = Fixture::new();
    let error = fixture.try_run("COPY --from=0 none /t", From::Stage).expect_err("missing");
    assert_eq!(error.to_string(), "\"none\" is not in the tree that --from names");
}

#[test]
fn destinations_that_are_there() {
    let tree = [
        "f file OLD :600 @9:9",
        "d dir :1777 @9:9",
        "f dir/b OLD",
        "d dir/e :700 @9:9",
        "f dir/e/kept K",
        "l to-dir dir",
        "l to-file file",
        "l new dir/new",
    ];
    let check = |text: &str, expected: &[&str]| {
        let mut fixture = fixture().root(&tree);
        fixture.run(text);
        for line in expected {
            assert!(fixture.tree().iter().any(|l| l == line), "{text}: {line} not in {:#?}", fixture.tree());
        }
    };
    check("COPY a /file", &["640 0:0 file A="]);
    check("COPY b /dir", &["1777 9:9 dir/", "644 0:0 dir/b B="]);
    check("COPY b /to-dir", &["644 0:0 dir/b B=", "0 0:0 to-dir -> dir"]);
    check("COPY a /to-dir/", &["640 0:0 dir/a A=", "0 0:0 to-dir -> dir"]);
    check("COPY a /to-file", &["640 0:0 file A=", "0 0:0 to-file -> file"]);
    check("COPY a /new", &["640 0:0 dir/new A=", "0 0:0 new -> dir/new"]);
    check("COPY d /dir", &["1777 9:9 dir/", "755 0:0 dir/e/=", "644 0:0 dir/e/kept K=", "644 0:0 dir/e/y Y="]);
    check_refused("COPY d /file", "/file");
    check_refused("COPY a /file/", "/file");
    check_refused("COPY a /dir", "/dir/a is a directory");
    let mut over = Fixture::new().context(&["d d", "d d/e"]).root(&["d t", "f t/e x"]);
    assert!(over.refused("COPY d /t").contains("/t/e is not a directory"));
}

#[test]
fn a_file_in_the_place_of_a_link_replaces_it() {
    let mut fixture = Fixture::new().context(&["d d", "f d/x NEW"]).root(&["d t", "l t/x ../kept", "f kept OLD"]);
    fixture.run("COPY d /t");
    fixture.check(&["644 0:0 kept OLD=", "755 0:0 t/", "644 0:0 t/x NEW="]);
}

#[test]
fn relative_destinations_are_below_workdir() {
    check("WORKDIR /w\nCOPY a .", &["755 0:0 w/", "640 0:0 w/a A="]);
    check("WORKDIR /w\nCOPY a x/", &["755 0:0 w/", "755 0:0 w/x/", "640 0:0 w/x/a A="]);
    check("WORKDIR /w\nCOPY a ../z", &["755 0:0 w/", "640 0:0 z A="]);
}

#[test]
fn chown() {
    let check = |text: &str, expected: &[&str]| {
        let mut fixture = fixture().users();
        fixture.run(text);
        assert_eq!(fixture.tree()[3..], *expected, "{text}");
    };
    check("COPY --chown=5 a /x/y/z", &["755 5:5 x/", "755 5:5 x/y/", "640 5:5 x/y/z A="]);
    check("COPY --chown=5:7 a /z", &["640 5:7 z A="]);
    check("COPY --chown=app a /z", &["640 1000:1001 z A="]);
    check("COPY --chown=app:staff a /z", &["640 1000:50 z A="]);
    check("COPY --chown=77:staff a /z", &["640 77:50 z A="]);
    check("ARG u=app\nCOPY --chown=$u d/e /z", &["755 1000:1001 z/", "644 1000:1001 z/y Y="]);
    check("USER app\nCOPY a /z", &["640 0:0 z A="]);
    let mut fixture = fixture().users();
    assert!(fixture.refused("COPY --chown=nobody a /z").contains("nobody"));
    assert!(fixture.refused("COPY --chown=app:nogroup a /z").contains("nogroup"));
    assert_eq!(fixture.tree().len(), 3);
}

#[test]
fn chmod() {
    check("COPY --chmod=600 a /x/z", &["600 0:0 x/", "600 0:0 x/z A="]);
    check("COPY --chmod=2755 d /t", &["2755 0:0 t/", "2755 0:0 t/e/=", "2755 0:0 t/e/y Y=", "2755 0:0 t/x X="]);
    check("COPY --chmod=u+x,g-r a /z", &["700 0:0 z A="]);
    check("COPY --chmod=u=rwX,go=rX d /t", &["755 0:0 t/", "755 0:0 t/e/=", "644 0:0 t/e/y Y=", "755 0:0 t/x X="]);
    check("COPY --chmod=o-rx a /x/z", &["750 0:0 x/", "640 0:0 x/z A="]);
    check_refused("COPY --chmod=u+q a /z", "u=rwX");
    check_refused("COPY --chmod=99 a /z", "octal");
}

#[test]
fn stages_keep_owners_pipes_and_links_between_names() {
    let mut fixture =
        Fixture::new().stage(&["d d @3:4", "f d/a A :640 @5:6", "h d/b d/a", "p d/p :600 @7:8", "l d/l a @9:9"]);
    fixture.run_from_stage("COPY --from=0 d /n/t");
    fixture.check(&[
        "755 0:0 n/",
        "755 0:0 n/t/",
        "640 5:6 n/t/a A=",
        "640 5:6 n/t/b A=",
        "0 9:9 n/t/l -> a",
        "600 7:8 n/t/p fifo=",
    ]);
    let inode = |name: &str| fs::metadata(fixture.path("root/n/t").join(name)).expect("stat").ino();
    assert_eq!(inode("a"), inode("b"));
    assert_ne!(inode("a"), fs::metadata(fixture.path("stage/d/a")).expect("stat").ino());
}

#[test]
fn extended_attributes_are_kept() {
    let mut fixture = fixture();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(fixture.path("context/a"), "user.mark", b"1", flags).expect("setxattr");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(fixture.path("context/a"), "security.capability", &capability, flags).expect("setxattr");
    fixture.run("COPY --chown=5:5 a /z");
    let mut value = [0; 64];
    let z = fixture.path("root/z");
    assert_eq!(rustix::fs::getxattr(&z, "user.mark", &mut value).expect("getxattr"), 1);
    assert_eq!(rustix::fs::getxattr(&z, "security.capability", &mut value).expect("getxattr"), capability.len());
}

#[test]
fn names_are_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"d/\xff");
    let mut fixture = fixture();
    fs::write(fixture.path("context").join(odd), "odd").expect("write");
    fixture.run("COPY d/[^a-z] /t/");
    assert_eq!(fs::read(fixture.path("root/t").join(OsStr::from_bytes(b"\xff"))).expect("read"), b"odd");
}
