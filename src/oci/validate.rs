//! Whether an image that is about to be published is well formed. Layers' contents are checked elsewhere.

use super::{Image, MediaType};

/// What is wrong with an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image is malformed: {0}")]
pub struct Invalid(String);

/// Checks what every reader of the image relies upon.
pub fn validate(image: &Image) -> Result<(), Invalid> {
    let layers = image.layers();
    let diff_ids = &image.config.rootfs.diff_ids;
    let rows = image.config.history.iter().filter(|row| !row.empty_layer).count();
    ensure(image.config.rootfs.kind == "layers", || "rootfs is not of type layers".into())?;
    ensure(
        layers.len() == diff_ids.len() && layers.iter().zip(diff_ids).all(|(layer, id)| layer.diff_id == *id),
        || format!("{} layers, whose contents are not the {} of its configuration", layers.len(), diff_ids.len()),
    )?;
    ensure(layers.len() == rows, || format!("{} layers but {rows} history rows with one", layers.len()))?;
    ensure(!image.config.os.is_empty() && !image.config.architecture.is_empty(), || "it has no platform".into())?;
    for layer in layers {
        let blob = &layer.descriptor;
        ensure(matches!(blob.media_type, MediaType::Layer(..)) && blob.urls.is_empty(), || {
            format!("layer {} is {}", blob.digest, blob.media_type)
        })?;
    }
    Ok(())
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid(why())) }
}

#[cfg(test)]
mod tests {
    use super::super::{Compression, Descriptor, DiffId, Digest, Format, History, Platform};
    use super::*;

    fn check(spoil: impl FnOnce(&mut Image), expected: &str) {
        let mut image = Image::scratch(&Platform::host());
        let blob = Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), b"blob");
        image.append(blob, DiffId(Digest::of(b"tar")), History::default()).expect("a layer");
        image.push_history(History::default());
        validate(&image).expect("valid before it is spoilt");
        spoil(&mut image);
        let error = validate(&image).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn each_fault_is_named() {
        check(|image| image.config.rootfs.diff_ids.clear(), "1 layers, whose contents are not the 0");
        check(|image| image.config.rootfs.diff_ids[0] = DiffId(Digest::of(b"other")), "whose contents");
        check(|image| image.config.history[1].empty_layer = false, "2 history rows");
        check(|image| image.config.history.clear(), "0 history rows");
        check(|image| image.config.rootfs.kind.clear(), "rootfs");
        check(|image| image.config.os.clear(), "platform");
    }
}
