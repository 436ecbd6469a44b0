//! An image whose newest layers may still be in the making: nobody sees its layers before all of them are whole.

use std::collections::VecDeque;

use anyhow::Result;

use crate::dockerfile::{Located, Span};
use crate::layer::{Pending, Unfinished};
use crate::oci::{Config, Format, History, Image, ImageLayer, Platform};

/// An image, and the rows of it that wait.
#[derive(Clone)]
pub(super) struct Draft {
    image: Image,
    /// From the first layer on that is not known to be whole.
    waiting: VecDeque<Row>,
}

/// A row of the history, and the layer that stands in it.
#[derive(Clone)]
struct Row {
    layer: Option<Made>,
    history: History,
}

/// A layer, whole or not.
#[derive(Clone)]
pub(super) enum Made {
    /// It is.
    Whole(Box<ImageLayer>),
    /// The instruction left it, and its blob is being made.
    Pending(Pending, Place),
}

/// A layer's blob could not be made. That shows after its step.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct Late {
    /// The instruction that left the layer.
    pub(super) place: Place,
    why: Unfinished,
}

/// Where an instruction stands, and its text.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) span: Span,
    pub(super) text: String,
}

impl Place {
    pub(super) fn of(located: &Located) -> Place {
        Place { span: located.span, text: located.text.clone() }
    }
}

impl Made {
    /// Waits for a layer that is not whole.
    fn whole(&self) -> Result<ImageLayer, Late> {
        match self {
            Made::Whole(layer) => Ok(ImageLayer::clone(layer)),
            Made::Pending(pending, place) => pending.wait().map_err(|why| Late { place: place.clone(), why }),
        }
    }

    /// What it waits for.
    pub(super) fn pending(&self) -> Option<Pending> {
        match self {
            Made::Whole(_) => None,
            Made::Pending(pending, _) => Some(pending.clone()),
        }
    }

    fn failure(&self) -> Option<Late> {
        let Made::Pending(pending, place) = self else { return None };
        let why = pending.blob.now()?.err()?;
        Some(Late { place: place.clone(), why })
    }
}

impl Draft {
    pub(super) fn new(image: Image) -> Draft {
        Draft { image, waiting: VecDeque::new() }
    }

    /// Adds a row of the history, and the layer that stands in it.
    pub(super) fn push(&mut self, layer: Option<Made>, history: History) -> Result<()> {
        self.waiting.push_back(Row { layer, history });
        self.advance(|layer| matches!(layer, Made::Whole(_)))
    }

    /// How many layers it has, whole or not.
    pub(super) fn layers(&self) -> usize {
        self.image.layers().len() + self.waiting.iter().filter(|row| row.layer.is_some()).count()
    }

    /// Those of them that are whole.
    pub(super) fn whole_layers(&self) -> impl Iterator<Item = &ImageLayer> {
        let waiting = self.waiting.iter().filter_map(|row| match &row.layer {
            Some(Made::Whole(layer)) => Some(&**layer),
            _ => None,
        });
        self.image.layers().iter().chain(waiting)
    }

    pub(super) fn format(&self) -> Format {
        self.image.format
    }

    pub(super) fn platform(&self) -> Platform {
        self.image.config.platform()
    }

    /// Sets what the image runs, and who made it.
    pub(super) fn configure(&mut self, config: Config, author: Option<String>) {
        self.image.config.config = config;
        self.image.config.author = author;
    }

    /// Fails if a layer is known not to become whole.
    pub(super) fn check(&self) -> Result<(), Late> {
        self.waiting.iter().find_map(|row| row.layer.as_ref()?.failure()).map_or(Ok(()), Err)
    }

    /// The image, once all its layers are whole.
    pub(super) fn whole(&mut self) -> Result<&Image> {
        self.advance(|_| true)?;
        Ok(&self.image)
    }

    /// The image, if all its layers are whole.
    pub(super) fn into_image(self) -> Option<Image> {
        self.waiting.is_empty().then_some(self.image)
    }

    /// Puts rows into the image as long as `may` says so of their layers.
    fn advance(&mut self, may: impl Fn(&Made) -> bool) -> Result<()> {
        // After an error the row stays, so that the image cannot be had without it.
        while let Some(Row { layer, history }) = self.waiting.front().filter(|row| row.layer.as_ref().is_none_or(&may))
        {
            match layer {
                Some(layer) => self.image.append_layer(layer.whole()?, history.clone())?,
                None => self.image.push_history(history.clone()),
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::promise;
    use crate::oci::{Compression, Descriptor, DiffId, Digest, MediaType};

    fn blob(text: &str) -> Descriptor {
        Descriptor::of(MediaType::Layer(Format::Oci, Compression::Gzip), text.as_bytes())
    }

    fn row(text: &str) -> History {
        History { created_by: Some(text.to_owned()), ..History::default() }
    }

    fn diff_id(text: &str) -> DiffId {
        DiffId(Digest::of(text.as_bytes()))
    }

    fn whole(text: &str) -> Made {
        Made::Whole(Box::new(ImageLayer { descriptor: blob(text), diff_id: diff_id(text), origin: None }))
    }

    fn place(line: u32) -> Place {
        Place { span: Span { first: line, last: line }, text: "RUN x".to_owned() }
    }

    #[test]
    fn layers_come_in_order_whenever_they_are_whole() {
        let mut draft = Draft::new(Image::scratch(&Platform::host()));
        let (promise, duty) = promise();
        draft.push(Some(whole("a")), row("a")).expect("pushed");
        let pending = Made::Pending(Pending { diff_id: diff_id("b"), blob: promise }, place(2));
        draft.push(Some(pending), row("b")).expect("pushed");
        draft.push(None, row("env")).expect("pushed");
        draft.push(Some(whole("c")), row("c")).expect("pushed");
        assert_eq!((draft.layers(), draft.image.layers().len()), (3, 1));
        assert!(draft.check().is_ok() && draft.clone().into_image().is_none());
        duty.done(Ok(blob("b")));
        let image = draft.whole().expect("whole");
        let digests: Vec<_> = image.layers().iter().map(|layer| layer.descriptor.digest.clone()).collect();
        assert_eq!(digests, ["a", "b", "c"].map(|text| blob(text).digest));
        let texts: Vec<_> = image.config.history.iter().filter_map(|row| row.created_by.as_deref()).collect();
        assert_eq!(texts, ["a", "b", "env", "c"]);
        crate::oci::validate(image).expect("valid");
        assert!(draft.into_image().is_some());
    }

    #[test]
    fn a_layer_that_does_not_become_whole_is_told_with_its_place() {
        let mut draft = Draft::new(Image::scratch(&Platform::host()));
        let (promise, duty) = promise();
        let pending = Made::Pending(Pending { diff_id: diff_id("b"), blob: promise }, place(7));
        draft.push(Some(pending), row("b")).expect("pushed");
        duty.done(Err(anyhow::anyhow!("no space")));
        assert_eq!(draft.check().expect_err("failed").place.span.first, 7);
        let error = draft.whole().expect_err("failed");
        assert_eq!(error.downcast_ref::<Late>().expect("late").place.span.first, 7);
        assert_eq!(error.to_string(), "no space");
        assert!(draft.whole().is_err() && draft.into_image().is_none(), "it cannot be had without the layer");
    }
}
