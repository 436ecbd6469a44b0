//! What goes into an artifact comes out of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::artifact::{About, Saved, encode, key};
use super::contents::{is_same, pack, scan, unpack};
use super::*;
use crate::oci::{DiffId, Digest, Document};
use crate::rootfs::RootPath;

/// A cache with all that one can hold.
fn cache(dir: &Path) -> Root {
    let path = |name: &str| dir.join(name);
    fs::create_dir_all(path("deep/er")).expect("mkdir");
    fs::create_dir(path("empty")).expect("mkdir");
    fs::create_dir(path("shown")).expect("mkdir");
    fs::write(path("deep/er/file"), "content").expect("write");
    fs::hard_link(path("deep/er/file"), path("link")).expect("link");
    fs::write(path("program"), "x").expect("write");
    std::os::unix::fs::chown(path("program"), Some(7), Some(8)).expect("chown");
    fs::set_permissions(path("program"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    symlink("/etc/passwd", path("outside")).expect("symlink");
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("fifo");
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
    rustix::fs::setxattr(path("program"), "user.note", b"kept", rustix::fs::XattrFlags::empty()).expect("setxattr");
    fs::write(path("empty/\u{e9}"), "").expect("write");
    fs::File::open(path("deep")).expect("open").set_modified(UNIX_EPOCH).expect("utimens");
    fs::set_permissions(dir, fs::Permissions::from_mode(0o1700)).expect("chmod");
    Root::open(dir).expect("a root")
}

/// Path, attributes without identity, and which paths are one file.
fn shown(tree: &Tree) -> Vec<String> {
    let first =
        |node: &crate::rootfs::Node| tree.iter().find(|(_, other)| other.inode == node.inode).map(|(path, _)| path);
    let line = |(path, node): (&RootPath, &crate::rootfs::Node)| {
        let kind = match &node.entry.kind {
            crate::rootfs::Kind::File { size, .. } => format!("file of {size}"),
            kind => format!("{kind:?}"),
        };
        let crate::rootfs::Entry { mode, uid, gid, mtime, xattrs, .. } = &*node.entry;
        let time = if path.is_root() { None } else { Some(mtime) };
        format!("{path} {kind} {mode:o} {uid}:{gid} {time:?} {xattrs:?} {:?}", first(node))
    };
    tree.iter().map(line).filter(|line| !line.contains("Socket")).collect()
}

#[test]
fn a_cache_comes_back_as_it_was() {
    let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).expect("mkdir");
    let (root, blobs) = (cache(&from), BlobDir::create(&dir.path().join("store")).expect("a store"));
    let tree = scan(&root).expect("scanned");
    let layer = pack(&root, &tree, &blobs).expect("packed");
    let about = About::of(b"id", &tree, &layer, 1).expect("described");
    let blob = || blobs.open(&layer.descriptor.digest).expect("the blob");
    let restored = unpack(blob(), &to, &about, layer.uncompressed_size).expect("unpacked");
    let again = scan(&Root::open(&to).expect("a root")).expect("scanned");
    assert_eq!(shown(&again), shown(&tree));
    assert_eq!(fs::read(to.join("link")).expect("read"), b"content");
    assert!(is_same(&restored, &again), "nothing happened since");
    let second = pack(&Root::open(&to).expect("a root"), &again, &blobs).expect("packed");
    assert_eq!(second.descriptor, layer.descriptor, "the same bytes");
    let short = dir.path().join("short");
    let error = unpack(blob(), &short, &about, layer.uncompressed_size - 1).expect_err("too large");
    assert!(format!("{error:#}").contains("--cache-mount-max-size"), "{error:#}");
}

#[test]
fn every_change_is_seen() {
    let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
    fs::create_dir(dir.path().join("from")).expect("mkdir");
    let root = cache(&dir.path().join("from"));
    let path = |name: &str| dir.path().join("from").join(name);
    let changes: [&dyn Fn(); 6] = [
        &|| fs::write(path("deep/er/file"), "CONTENT").expect("write"),
        &|| fs::remove_file(path("link")).expect("unlink"),
        &|| fs::write(path("new"), "").expect("write"),
        &|| fs::set_permissions(path("empty"), fs::Permissions::from_mode(0o711)).expect("chmod"),
        &|| fs::set_permissions(path(""), fs::Permissions::from_mode(0o711)).expect("chmod"),
        &|| fs::rename(path("program"), path("programme")).expect("rename"),
    ];
    for (number, change) in changes.iter().enumerate() {
        let before = scan(&root).expect("scanned");
        assert!(is_same(&before, &scan(&root).expect("scanned")));
        std::thread::sleep(std::time::Duration::from_millis(12));
        change();
        assert!(!is_same(&before, &scan(&root).expect("scanned")), "change {number}");
    }
}

#[test]
fn an_artifact_says_whose_it_is_and_is_no_image() {
    let layer =
        Descriptor::of(crate::oci::MediaType::Layer(crate::oci::Format::Oci, crate::oci::Compression::Zstd), b"x");
    let diff_id = DiffId(Digest::of(b"y"));
    let about = About { id: "/root/.cache".to_owned(), saved: 5, diff_id, mode: 0o755, uid: 1, gid: 2 };
    let encoded = encode(&about, &layer).expect("encoded");
    let text = String::from_utf8(encoded.manifest.clone()).expect("text");
    assert!(text.contains(r#""artifactType":"application/vnd.silt.cache-mount.v1+json""#), "{text}");
    let manifest = |bytes: &[u8]| match Document::parse(bytes, None) {
        Ok(Document::Manifest(manifest)) => *manifest,
        other => panic!("{other:?}"),
    };
    let read = Saved::read(manifest(&encoded.manifest), &encoded.config).expect("read");
    assert!(
        read.is(&layer, &About { saved: 6, ..about.clone() }) && !read.is(&layer, &About { uid: 3, ..about.clone() })
    );
    let mut two = manifest(&encoded.manifest);
    two.layers.push(layer);
    assert!(Saved::read(two, &encoded.config).is_err());
    assert!(Saved::read(manifest(&encoded.manifest), b"{}").is_err());
    let mut image = manifest(&encoded.manifest);
    image.config.media_type = crate::oci::MediaType::Config(crate::oci::Format::Oci);
    assert!(Saved::read(image, &encoded.config).is_err());
    let of_image = crate::oci::Image::check_config_type(&manifest(&encoded.manifest).config.media_type);
    assert!(of_image.is_err(), "FROM refuses it");
    assert_eq!(key(b"a").len(), 32);
    assert_ne!(key(b"a"), key(b"b"));
}

#[test]
fn the_lock_of_a_cache_in_use_is_not_had() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(lock(dir.path()).is_err(), "there is none");
    fs::write(dir.path().join("lock"), "").expect("write");
    let held = lock(dir.path()).expect("locked");
    assert!(held.is_some() && lock(dir.path()).expect("asked").is_none());
    drop(held);
    assert!(lock(dir.path()).expect("asked").is_some());
    assert_eq!(fs::metadata(dir.path().join("lock")).expect("stat").size(), 0);
}
