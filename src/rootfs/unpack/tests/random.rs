//! Random layers over few names, so that links, whiteouts and replacements meet: whatever happens, nothing outside is
//! touched, and what is unpacked is recorded as the disk has it.

use proptest::prelude::*;
use tar_core::EntryType;

use crate::rootfs::archive::Reader;
use crate::rootfs::fixture::{Fixture, Layer, assert_agrees};
use crate::rootfs::{UnpackError, Unpacker};

#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    name: String,
    target: String,
}

fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "l", "..", ".", "", ".wh.a", ".wh.l", ".wh..wh..opq"]);
    // The odd ones less often, or hardly any layer gets through.
    let plain = prop::sample::select(vec!["a", "b", "c", "l"]);
    prop::collection::vec(prop_oneof![8 => plain, 1 => part], 1..4).prop_map(|parts| parts.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    let far = prop::sample::select(vec![
        "OUTSIDE",
        "OUTSIDE/canary",
        "../../outside",
        "/",
        "..",
        "/proc/self/root",
        "a/../l",
    ]);
    let target = prop_oneof![2 => name(), 1 => far.prop_map(str::to_owned)];
    (0..8u8, name(), target).prop_map(|(kind, name, target)| Step { kind, name, target })
}

fn layer(steps: &[Step], outside: &str) -> Layer {
    steps.iter().fold(Layer::new(), |layer, Step { kind, name, target }| {
        let target = target.replace("OUTSIDE", outside);
        match kind {
            0 | 1 => layer.file(name, "content"),
            2 | 3 => layer.dir(name),
            4 | 5 => layer.symlink(name, if target.is_empty() { "a" } else { &target }),
            6 => layer.link(name, if target.is_empty() { "a" } else { &target }),
            _ => layer.add(name, EntryType::Fifo, b"", |e| e),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_layers_stay_inside(layers in prop::collection::vec(prop::collection::vec(step(), 0..8), 1..4)) {
        let fixture = Fixture::new();
        let outside = fixture.outside().display().to_string();
        let mut unpacker = Unpacker::new(&fixture.root).expect("a root");
        for steps in &layers {
            match unpacker.layer(&layer(steps, &outside).bytes()[..]) {
                Ok(()) => {}
                Err(UnpackError::Refused { .. } | UnpackError::Archive(_)) => break,
                Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        // A refused entry changes nothing, so the record holds even then.
        let tree = unpacker.finish().expect("finishes");
        assert_agrees(&fixture.root, &tree);
        fixture.assert_outside_untouched();
    }

    /// Damaged headers: an error or other members, never a panic, and never more content than there is.
    #[test]
    fn damaged_archives_end(damage in prop::collection::vec((0usize..4096, any::<u8>()), 1..6), repair in any::<bool>()) {
        let mut bytes = Layer::new()
            .add("x", EntryType::Regular, b"data", |e| e.add_pax("SCHILY.xattr.user.a", "b").add_pax("mtime", "1.5"))
            .symlink(&"long/".repeat(30), "t")
            .bytes();
        let length = bytes.len();
        damage.iter().for_each(|(at, byte)| bytes[at % length] = *byte);
        if repair {
            bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar").for_each(sign);
        }
        let mut reader = Reader::new(&bytes[..]);
        let (mut members, mut content) = (0, 0);
        while let Ok(Some(_)) = reader.next_member() {
            members += 1;
            while let Ok(Some(chunk)) = reader.next_chunk() {
                if let crate::rootfs::archive::Chunk::Data(data) = chunk {
                    content += data.len();
                }
            }
        }
        prop_assert!(members <= length / 512 && content <= length);
    }
}

/// Writes the checksum that the header should have.
fn sign(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
