//! The flags of COPY and ADD, here-documents and addresses.

use std::fs;

use super::Fixture;

fn fixture() -> Fixture {
    Fixture::new().context(&[
        "f a.txt A",
        "f b.md B",
        "d d :700 @3:4",
        "f d/x.txt X",
        "d d/e :711",
        "f d/e/y.txt Y",
        "f d/e/z.md Z",
        "d d/f",
        "f d/f/y.txt 2",
        "l d/l e",
    ])
}

fn check(text: &str, expected: &[&str]) {
    let mut fixture = fixture();
    fixture.run(text);
    assert_eq!(fixture.tree(), expected, "{text}");
}

/// The names alone.
fn names(text: &str, expected: &[&str]) {
    let mut fixture = fixture();
    fixture.run(text);
    let tree = fixture.tree();
    let names = tree.iter().map(|line| line.split(' ').nth(2).unwrap_or_default().trim_end_matches('='));
    assert_eq!(names.collect::<Vec<_>>(), expected, "{text}");
}

fn check_refused(text: &str, reason: &str) {
    let message = fixture().refused(text);
    assert!(message.contains(reason), "{text}: {message}");
}

#[test]
fn exclude() {
    names("COPY --exclude=*.md *.* /t/", &["t/", "t/a.txt"]);
    names("COPY --exclude=e d /t", &["t/", "t/f/", "t/f/y.txt", "t/l", "t/x.txt"]);
    names("COPY --exclude=d/e d /t", &["t/", "t/e/", "t/e/y.txt", "t/e/z.md", "t/f/", "t/f/y.txt", "t/l", "t/x.txt"]);
    names("COPY --exclude=**/*.md --exclude=f d /t", &["t/", "t/e/", "t/e/y.txt", "t/l", "t/x.txt"]);
    names("COPY --exclude=* --exclude=!e/z.md d /t", &["t/", "t/e/", "t/e/z.md"]);
    names("ENV p=*.txt\nCOPY --exclude=$p --exclude=d . /t/", &["t/", "t/b.md"]);
    names("ADD --exclude=a.txt --exclude=d . /t/", &["t/", "t/b.md"]);
    names("COPY --exclude=#x d/f /t", &["t/", "t/y.txt"]);
    check_refused("COPY --exclude=[ . /t", "--exclude");
}

#[test]
fn parents() {
    names("COPY --parents d/e/y.txt /t/", &["t/", "t/d/", "t/d/e/", "t/d/e/y.txt"]);
    names("COPY --parents d/e/y.txt a.txt /t", &["t/", "t/a.txt", "t/d/", "t/d/e/", "t/d/e/y.txt"]);
    names("COPY --parents d/./e/y.txt /t/", &["t/", "t/e/", "t/e/y.txt"]);
    names("COPY --parents ./d/e/ /", &["d/", "d/e/", "d/e/y.txt", "d/e/z.md"]);
    names("COPY --parents d/*/y.txt /", &["d/", "d/e/", "d/e/y.txt", "d/f/", "d/f/y.txt"]);
    names("COPY --parents **/*.md /", &["b.md", "d/", "d/e/", "d/e/z.md"]);
    names("COPY --parents d/./**/*.txt /t", &["t/", "t/e/", "t/e/y.txt", "t/f/", "t/f/y.txt", "t/x.txt"]);
    names("COPY --parents --exclude=**/f **/y.txt /t", &["t/", "t/d/", "t/d/e/", "t/d/e/y.txt"]);
    names("COPY --parents none* /t", &["t/"]);
    check("COPY --parents d/e/y.txt /t", &["755 0:0 t/", "700 0:0 t/d/=", "711 0:0 t/d/e/=", "644 0:0 t/d/e/y.txt Y="]);
    check_refused("COPY --parents d/none /t", "\"d/none\" is not in the build context");
}

#[test]
fn link() {
    let root = ["l link real", "d dir :1777 @5:5", "f dir/kept K", "d real", "f file F"];
    let run = |text: &str| {
        let mut fixture = fixture().root(&root);
        fixture.run(text);
        fixture.tree()
    };
    let kept = "644 0:0 dir/kept K=";
    let tree = run("COPY --link a.txt /link/z");
    assert_eq!(
        tree,
        ["1777 5:5 dir/=", kept, "644 0:0 file F=", "755 0:0 link/", "644 0:0 link/z A=", "755 0:0 real/="]
    );
    let tree = run("COPY --link --chown=7:8 a.txt /dir/z");
    assert_eq!(
        tree,
        ["755 7:8 dir/", kept, "644 7:8 dir/z A=", "644 0:0 file F=", "0 0:0 link -> real", "755 0:0 real/="]
    );
    let tree = run("COPY --link a.txt /dir");
    assert_eq!(tree, ["644 0:0 dir A=", "644 0:0 file F=", "0 0:0 link -> real", "755 0:0 real/="]);
    let tree = run("COPY --link d/e /file");
    assert_eq!(tree[2..5], ["755 0:0 file/", "644 0:0 file/y.txt Y=", "644 0:0 file/z.md Z="]);
    let tree = run("COPY --link a.txt b.md /real/");
    assert_eq!(tree[4..], ["755 0:0 real/", "644 0:0 real/a.txt A=", "644 0:0 real/b.md B="]);
}

#[test]
fn documents() {
    check("COPY <<EOF /t\nhello\nEOF", &["644 0:0 t hello\n"]);
    check("ENV v=w\nCOPY <<EOF /t/\n'$v'\nEOF", &["755 0:0 t/", "644 0:0 t/EOF 'w'\n"]);
    check("COPY <<\"EOF\" /t\n$v\nEOF", &["644 0:0 t $v\n"]);
    check("COPY <<-EOF /t\n\t\ttabs\n\tEOF", &["644 0:0 t tabs\n"]);
    check(
        "COPY --chmod=755 --chown=1:2 <<a <<b /t/\n1\na\n2\nb",
        &["755 1:2 t/", "755 1:2 t/a 1\n", "755 1:2 t/b 2\n"],
    );
    check("COPY a.txt <<b /t/\n2\nb", &["755 0:0 t/", "644 0:0 t/a.txt A=", "644 0:0 t/b 2\n"]);
    check("ADD <<EOF /t\nx\nEOF", &["644 0:0 t x\n"]);
    check_refused("COPY <<a <<b /t\na\nb", "end with /");
    check_refused("COPY <<\"../a\" /t/\n../a", "../a");
}

/// A context whose shelf has `plain`, and `tar`, an archive with a file `x`.
fn shelf() -> Fixture {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path("shelf/tree")).expect("mkdir");
    fs::write(fixture.path("shelf/plain"), "P").expect("write");
    fs::write(fixture.path("shelf/tree/x"), "X").expect("write");
    let mut tar = std::process::Command::new("tar");
    tar.arg("--create").arg("--file").arg(fixture.path("shelf/tar")).args(["--mode=640", "--mtime=@1000000000"]);
    assert!(tar.arg("--directory").arg(fixture.path("shelf/tree")).arg("x").status().expect("tar").success());
    fixture
}

#[test]
fn addresses() {
    let check = |text: &str, expected: &[&str]| {
        let mut fixture = shelf();
        fixture.run(text);
        assert_eq!(fixture.tree(), expected, "{text}");
    };
    check("ADD http://shelf/plain /t", &["600 0:0 t P="]);
    check("ADD http://shelf/plain /t/", &["755 0:0 t/", "600 0:0 t/plain P="]);
    check("ENV n=plain\nADD --chmod=644 --chown=1:2 http://shelf/$n /t", &["644 1:2 t P="]);
    check("ADD --checksum=sha256:right http://shelf/plain /t", &["600 0:0 t P="]);
    check("ADD --unpack http://shelf/tar /t", &["755 0:0 t/", "640 0:0 t/x X="]);
    check("ADD --unpack=true http://shelf/plain /t", &["600 0:0 t P="]);
    let mut fixture = shelf();
    fixture.run("ADD http://shelf/tar /t");
    assert_eq!(fs::read(fixture.path("root/t")).expect("read"), fs::read(fixture.path("shelf/tar")).expect("read"));
}

#[test]
fn addresses_that_are_refused() {
    let refused = |text: &str, reason: &str| {
        let mut fixture = shelf().context(&["f a A"]);
        let message = fixture.refused(text);
        assert!(message.contains(reason), "{text}: {message}");
        assert_eq!(fixture.tree(), [""; 0], "{text}");
    };
    refused("ADD --checksum=sha256:wrong http://shelf/plain /t", "checksum");
    refused("ADD --checksum=sha256:right a /t", "one source");
    refused("ADD --checksum=sha256:right http://shelf/plain a /t/", "one source");
    refused("ENV u=http://shelf/plain\nCOPY $u /t", "ADD can");
    refused("ENV u=https://h/r.git\nADD $u /t", "git repository");
    refused("ADD --checksum=abcdef1 git://shelf/tree /t", "another commit");
    refused("ADD --checksum=abcdef0 git://shelf/tree a /t/", "one source");
    refused("ADD http://shelf/none /t", "No such file");
}

#[test]
fn repositories_are_directories() {
    let check = |text: &str, expected: &[&str]| {
        let mut fixture = shelf().context(&["f a A"]);
        super::build(
            &fixture.path("shelf"),
            &["d tree/d", "f tree/d/y Y :755", "l tree/l d/y", "d tree-kept", "f tree-kept/k K"],
        );
        fixture.run(text);
        assert_eq!(fixture.tree(), expected, "{text}");
    };
    let all = ["755 0:0 t/", "755 0:0 t/d/=", "755 0:0 t/d/y Y=", "0 0:0 t/l -> d/y", "644 0:0 t/x X"];
    check("ADD git://shelf/tree /t", &all);
    check("ADD --link git://shelf/tree /t/", &all);
    check("ADD --checksum=abcdef0 --keep-git-dir=false git://shelf/tree /t", &all);
    check(
        "ENV n=tree\nADD --exclude=d/y --exclude=l git://shelf/$n /t",
        &["755 0:0 t/", "755 0:0 t/d/=", "644 0:0 t/x X"],
    );
    check("ADD --keep-git-dir git://shelf/tree /t", &["755 0:0 t/", "644 0:0 t/k K="]);
    check("ADD --chown=3:4 --chmod=go= git://shelf/tree#:d a /t/", &["700 3:4 t/", "600 3:4 t/a A=", "700 3:4 t/y Y="]);
}

#[test]
fn unpack_says_what_becomes_of_archives() {
    let run = |text: &str| {
        let mut fixture = shelf();
        fs::copy(fixture.path("shelf/tar"), fixture.path("context/tar")).expect("copy");
        fixture.run(text);
        fixture.path("root/t").is_dir()
    };
    assert!(run("ADD tar /t") && run("ADD --unpack=true tar /t"));
    assert!(!run("ADD --unpack=false tar /t") && !run("COPY tar /t"));
}
