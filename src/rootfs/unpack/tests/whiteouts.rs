//! Both kinds of whiteouts: they hide what lower layers brought, never what their own layer brings.

use crate::rootfs::fixture::{Fixture, Layer};

/// The paths that are left, directories with a slash at the end.
fn left(fixture: &Fixture, layers: &[Layer]) -> Vec<String> {
    let tree = fixture.unpack(layers).expect("unpacks");
    let shown = tree.iter().filter(|(path, _)| !path.is_root()).map(|(path, node)| {
        let slash = if node.entry.is_directory() { "/" } else { "" };
        format!("{}{slash}", String::from_utf8_lossy(path.as_bytes()))
    });
    shown.collect()
}

fn check(what: &str, layers: &[Layer], expected: &[&str]) {
    assert_eq!(left(&Fixture::new(), layers), expected, "{what}");
}

fn base() -> Layer {
    Layer::new().dir("d").file("d/a", "1").file("d/b", "2").dir("d/sub").file("d/sub/c", "3").file("e", "4")
}

#[test]
fn a_whiteout_hides_one_path_of_lower_layers() {
    check("file", &[base(), Layer::new().file("d/.wh.a", "")], &["d/", "d/b", "d/sub/", "d/sub/c", "e"]);
    check("directory", &[base(), Layer::new().file(".wh.d", "")], &["e"]);
    check("absent", &[base(), Layer::new().file("x/y/.wh.z", "")], &["d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e"]);
    check("below a file", &[base(), Layer::new().file("e/.wh.z", "")], &["d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e"]);
    let again = [base(), Layer::new().file(".wh.d", ""), Layer::new().file("d/new", "")];
    check("brought back", &again, &["d/", "d/new", "e"]);
    check(
        "own layer, before",
        &[base(), Layer::new().file("d/.wh.a", "").file("d/a", "new")],
        &["d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e"],
    );
    check(
        "own layer, after",
        &[base(), Layer::new().file("d/a", "new").file("d/.wh.a", "")],
        &["d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e"],
    );
    check(
        "own directory, after",
        &[base(), Layer::new().file("d/sub/n", "").file(".wh.d", "")],
        &["d/", "d/sub/", "d/sub/n", "e"],
    );
    check(
        "own directory, before",
        &[base(), Layer::new().file(".wh.d", "").file("d/sub/n", "")],
        &["d/", "d/sub/", "d/sub/n", "e"],
    );
}

#[test]
fn an_opaque_whiteout_hides_what_is_below_in_lower_layers() {
    check("alone", &[base(), Layer::new().file("d/.wh..wh..opq", "")], &["d/", "e"]);
    check("root", &[base(), Layer::new().file("own", "").file(".wh..wh..opq", "")], &["own"]);
    let own = |layer: Layer| layer.file("d/new", "").file("d/sub/n", "");
    let expected = ["d/", "d/new", "d/sub/", "d/sub/n", "e"];
    check("before its own", &[base(), own(Layer::new().file("d/.wh..wh..opq", ""))], &expected);
    check("after its own", &[base(), own(Layer::new()).file("d/.wh..wh..opq", "")], &expected);
    check(
        "absent",
        &[base(), Layer::new().file("x/.wh..wh..opq", "")],
        &["d/", "d/a", "d/b", "d/sub/", "d/sub/c", "e"],
    );
}

/// A lower layer's directory that an opaque whiteout hides loses its attributes, though this layer has files below it.
#[test]
fn the_order_within_a_layer_does_not_matter_for_attributes_either() {
    let lower = || {
        Layer::new().dir("d").add("d/sub", tar_core::EntryType::Directory, b"", |e| {
            e.uid(5).and_then(|e| e.mode(0o700)).expect("fields")
        })
    };
    let shape = |layers: &[Layer]| {
        let tree = Fixture::new().unpack(layers).expect("unpacks");
        tree.into_iter().map(|(path, node)| (path, node.entry)).collect::<Vec<_>>()
    };
    let before = shape(&[lower(), Layer::new().file("d/.wh..wh..opq", "").file("d/sub/n", "")]);
    let after = shape(&[lower(), Layer::new().file("d/sub/n", "").file("d/.wh..wh..opq", "")]);
    assert_eq!(before, after);
    assert_eq!(before[2].1.uid, 0);
}

#[test]
fn whiteouts_follow_links_in_their_parents() {
    let lower = Layer::new().dir("usr/lib").file("usr/lib/a", "").file("usr/lib/b", "").symlink("lib", "usr/lib");
    check(
        "whiteout",
        &[lower, Layer::new().file("lib/.wh.a", "").file("lib/c", "")],
        &["lib", "usr/", "usr/lib/", "usr/lib/b", "usr/lib/c"],
    );
}

#[test]
fn no_whiteout_becomes_a_file() {
    let layer = Layer::new().file(".wh..wh.aufs", "").dir(".wh..wh.plnk").file(".wh..wh.plnk/1.1", "").file("a", "");
    check("bookkeeping", &[layer], &["a"]);
}
