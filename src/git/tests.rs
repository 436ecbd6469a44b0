//! Which addresses are read, and as what.

use super::address::{Mtime, Submodules, checksum};
use super::{Address, GitDir, Revision};

fn read(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error:#}"))
}

#[test]
fn fragments_name_a_reference_and_a_directory() {
    let check = |text: &str, revision: &str, subdir: Option<&str>| {
        let address = read(text);
        assert_eq!(address.revision, Revision::of(revision), "{text}");
        assert_eq!(address.subdir.as_deref(), subdir, "{text}");
    };
    check("https://h/a.git", "", None);
    check("https://h/a.git#", "", None);
    check("https://h/a.git#main", "main", None);
    check("https://h/a.git#main:x/y", "main", Some("x/y"));
    check("https://h/a.git#:x", "", Some("x"));
    check("git://h/a#v1", "v1", None);
    check("http://h/a.git#pull/4/head", "pull/4/head", None);
    check("https://h/a.git#HEAD:x", "", Some("x"));
    check("https://h/a.git?ref=main&subdir=x%2Fy", "main", Some("x/y"));
    check("https://h/a.git?subdir=x#main", "main", Some("x"));
}

#[test]
fn queries_say_the_rest() {
    let address = read("https://h/a.git?tag=v1&commit=ABCDEF0&submodules=false&keep-git-dir&mtime=checkout");
    assert_eq!(address.revision, Revision::Tag("v1".into()));
    assert_eq!(address.checksum.as_deref(), Some("abcdef0"));
    assert_eq!((address.submodules, address.mtime), (Submodules::Left, Mtime::Checkout));
    assert_eq!(address.git_dir, Some(GitDir::Kept));
    assert_eq!(read("https://h/a.git?keep-git-dir=0").git_dir, Some(GitDir::Dropped));
    assert_eq!(read("https://h/a.git?branch=b").revision, Revision::Branch("b".into()));
    let plain = read("https://h/a.git");
    assert_eq!((plain.git_dir, plain.submodules, plain.mtime), (None, Submodules::Fetched, Mtime::Commit));
}

#[test]
fn a_whole_commit_is_fetched_by_its_id() {
    let id = "05d2d74403d23d99daf70f4eb4fc0ff16cae7f1a";
    let mut address = read(&format!("https://h/a.git?checksum={id}"));
    address.settle();
    assert_eq!(address.revision, Revision::Commit(id.into()));
    let mut address = read("https://h/a.git?checksum=05d2d74");
    address.settle();
    assert_eq!(address.revision, Revision::Default);
}

#[test]
fn addresses_that_contradict_themselves_are_refused() {
    let check = |text: &str, expected: &str| {
        let error = format!("{:#}", Address::parse(text).expect_err(text));
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("https://h/a.git?branch=a&tag=b", "both");
    check("https://h/a.git?branch=a#b", "both");
    check("https://h/a.git?ref=a&ref=b", "twice");
    check("https://h/a.git?commit=abcdef0&checksum=abcdef0", "both");
    check("https://h/a.git?subdir=a#b:c", "two subdirectories");
    check("https://h/a.git?depth=1", "\"depth\"");
    check("https://h/a.git?submodules=maybe", "true or false");
    check("https://h/a.git?checksum=abc", "7 to 40");
    check("https://h/a.git?mtime=never", "commit or checkout");
    check("https://h/a.git?tag=", "empty");
    check("https://h/a.git?commit=abcdef0#05d2d74403d23d99daf70f4eb4fc0ff16cae7f1a", "does not begin");
    check("git@h:a/b.git", "SSH");
    check("ssh://git@h/a", "SSH");
    check("file:///a", "file");
    check("ext::sh", "no address");
}

#[test]
fn what_is_secret_in_an_address_is_not_shown() {
    let address = read("https://me:hunter%402@h:8443/a.git#main");
    assert_eq!(address.remote.to_string(), "https://h:8443/a.git");
    assert!(!format!("{address:?}").contains("hunter"), "{address:?}");
    assert_eq!(address.remote.host(), "h:8443");
    assert_eq!(address.remote.login, Some(super::Login::basic("me", "hunter@2")));
    let wrong = format!("{:#}", Address::parse("https://me:hunter2@/a").expect_err("no host"));
    assert!(!wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn checksums_are_commits() {
    assert_eq!(checksum("ABCDEF01").expect("a commit"), "abcdef01");
    for wrong in ["abcdef", "sha256:abcdef0", "abcdefg", &"a".repeat(41)] {
        assert!(checksum(wrong).is_err(), "{wrong}");
    }
}
