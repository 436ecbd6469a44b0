//! The layer cache as a build uses it: keys before anything is done, all lookups at once, and entries of what was carried out.
//!
//! An entry leaves only when nothing can be found any more of what its step did: at once where the recording is complete, else
//! when the stage is settled, and never if settling found something. A step whose context changed while it was carried out has
//! no entry, since its key is not that of what it copied.

mod forecast;
mod needs;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tracing::{debug, warn};

use super::Request;
use super::base::FailedLayer;
use super::draft::Draft;
use crate::cache::{Cache, Content, Entry, Found, Hit, Key, Miss, Parcel, Place, Publisher, Record, Repo};
use crate::context::digests::{self, Digests, Memo};
use crate::layer::Pending;
use crate::oci::{Digest, Image, ImageLayer, Repository};
use crate::plan::{Plan, Stage};
use forecast::{Before, StageForecast, StepForecast};
pub(super) use forecast::{Seer, changes_files};
pub(super) use needs::{Need, needs, of_target};
use report::Report;

/// A layer cache, as the user wants it.
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// Where entries are.
    pub repo: Repo,
    /// How long one is good.
    pub ttl: SignedDuration,
    /// Which steps have entries.
    pub layers: Layers,
    /// Whether entries are left there.
    pub access: Access,
    /// Where digests of contexts are remembered; nowhere if the directory is not there.
    pub memory: PathBuf,
    /// Where to write what was found and what was not, and why.
    pub explain: Option<PathBuf>,
}

/// Which steps have entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// RUN and WORKDIR.
    pub runs: bool,
    /// COPY and ADD.
    pub copies: bool,
}

/// What a build may do with a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Use what is there.
    ReadOnly,
    /// Add to it.
    ReadWrite,
}

/// The cache in one build.
pub(super) struct Cached<'scope, 'env> {
    cache: &'env Cache<'env>,
    wanted: &'env LayerCache,
    publisher: Option<Publisher<'scope>>,
    stages: Vec<StageForecast>,
    found: BTreeMap<Key, Found>,
    /// What steps left that were carried out, and since when, for others of the same key.
    coming: BTreeMap<Key, (Option<Pending>, Timestamp)>,
    /// The same once it is whole.
    made: BTreeMap<Key, Hit>,
    /// What is known of the newest entries of steps that were not found.
    newest: BTreeMap<Place, Record>,
    /// The keys of layers that come from the cache.
    of_layers: BTreeMap<Digest, Key>,
    /// The keys whose layers turned out to be unusable, since the build began anew.
    broken: BTreeSet<Key>,
    /// Whether a step was carried out over other files of a context than its key is of, so that no key after it can be trusted.
    has_strayed: bool,
}

impl<'scope, 'env> Cached<'scope, 'env> {
    /// Foretells all steps and looks for what is known of them.
    pub(super) fn new(
        mut seer: Seer<'_, '_>,
        plan: &Plan,
        (cache, wanted): (&'env Cache<'env>, &'env LayerCache),
        publisher: Option<Publisher<'scope>>,
    ) -> Result<Self> {
        let stages = seer.stages(plan)?;
        let steps = || stages.iter().flat_map(|stage| &stage.steps);
        let keys: BTreeSet<&Key> =
            steps().filter(|step| step.place.is_some()).filter_map(|step| step.key.as_ref()).collect();
        let found = cache.find_all(&keys.into_iter().collect::<Vec<_>>());
        let is_miss =
            |step: &&StepForecast| matches!(step.key.as_ref().and_then(|key| found.get(key)), Some(Found::Miss(_)));
        let missed: Vec<&Place> = steps().filter(is_miss).filter_map(|step| step.place.as_ref()).collect();
        let newest = cache.newest_of_all(&missed);
        let layer = |(key, found): (&Key, &Found)| match found {
            Found::Hit(hit) => Some((hit.layer.as_ref()?.descriptor.digest.clone(), key.clone())),
            Found::Miss(_) => None,
        };
        let of_layers = found.iter().filter_map(layer).collect();
        let (coming, made, broken, has_strayed) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), false);
        Ok(Cached { cache, wanted, publisher, stages, found, coming, made, newest, of_layers, broken, has_strayed })
    }

    /// What the cache has for a step, or what the same step of another stage left.
    pub(super) fn hit(&self, stage: usize, step: usize) -> Option<&Hit> {
        self.forecast(stage, step)?.key.as_ref()?;
        let forecast = self.forecast(stage, self.stages.get(stage)?.single.unwrap_or(step))?;
        forecast.place.as_ref()?;
        let key = forecast.key.as_ref()?;
        match self.found.get(key) {
            Some(Found::Hit(hit)) => Some(hit),
            _ => self.made.get(key),
        }
    }

    /// Waits for what earlier stages left that this one has steps for too.
    pub(super) fn expect(&mut self, stage: usize) {
        let Some(forecast) = self.stages.get(stage) else { return };
        for key in forecast.steps.iter().filter_map(|step| step.key.as_ref()) {
            let Some((layer, created)) = self.coming.remove(key) else { continue };
            // The stage that left it says why there is none.
            if let Ok(layer) = layer.map(|layer| layer.wait()).transpose() {
                self.made.insert(key.clone(), Hit { layer, created });
            }
        }
    }

    /// The step that stands for a stage with one layer.
    pub(super) fn single(&self, stage: usize) -> Option<usize> {
        self.stages.get(stage)?.single
    }

    /// What is foretold of a step.
    pub(super) fn forecast(&self, stage: usize, step: usize) -> Option<&StepForecast> {
        self.stages.get(stage)?.steps.get(step)
    }

    /// Gives up the entries of those of `layers` that come from the cache, from the one on that `why` names, if it names one; whether
    /// there are any.
    pub(super) fn give_up<'l>(&mut self, layers: impl Iterator<Item = &'l ImageLayer>, why: &anyhow::Error) -> bool {
        let layers: Vec<&Digest> = layers.map(|layer| &layer.descriptor.digest).collect();
        let failed = why.downcast_ref::<FailedLayer>();
        let first = failed.and_then(|failed| layers.iter().position(|digest| **digest == failed.0));
        let keys = layers[first.unwrap_or_default()..].iter().filter_map(|digest| self.of_layers.get(*digest));
        let keys: Vec<Key> = keys.filter(|key| matches!(self.found.get(*key), Some(Found::Hit(_)))).cloned().collect();
        for key in &keys {
            self.found.insert(key.clone(), Found::Miss(Miss::Unusable(format!("{why:#}"))));
        }
        if !keys.is_empty() {
            warn!("What the cache {} has cannot be unpacked, so these steps are carried out: {why:#}", self.cache.repo);
        }
        self.broken.extend(keys.iter().cloned());
        !keys.is_empty()
    }

    /// What was built so far is of no use.
    fn forget(&mut self) {
        self.coming.clear();
        self.made.clear();
    }

    /// Gives up all entries, those that were used already too.
    fn give_up_all(&mut self) {
        self.forget();
        for (key, found) in self.found.iter_mut().filter(|(_, found)| matches!(found, Found::Hit(_))) {
            *found = Found::Miss(Miss::Unusable("the context changed during the build".to_owned()));
            self.broken.insert(key.clone());
        }
    }

    /// Whether entries were given up that what was built so far may stand on.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Whether entries were given up since the last call: then what was built so far is built on them.
    pub(super) fn must_begin_anew(&mut self) -> bool {
        let is_broken = !std::mem::take(&mut self.broken).is_empty();
        if is_broken {
            self.forget();
        }
        is_broken
    }

    /// Checks of a step that was carried out that its key is that of the files it read; `again` computes it from what the context has
    /// now. Where that is another, neither this step nor any after it has an entry, and what the cache has is of no more use: those
    /// keys are of files that the step did not see.
    pub(super) fn check(&mut self, (stage, step): (usize, usize), again: impl FnOnce(&Before) -> Result<Key>) {
        let has_hits = self.found.values().any(|found| matches!(found, Found::Hit(_)));
        if self.has_strayed || (self.publisher.is_none() && !has_hits) {
            return;
        }
        let Some(forecast) = self.forecast(stage, step) else { return };
        let Some(key) = &forecast.key else { return };
        if !is_of_these_files(key, forecast.before.as_ref().map(again)) {
            self.has_strayed = true;
            self.give_up_all();
        }
    }

    /// The entry of a step that was carried out and checked, if it is to have one.
    pub(super) fn entry(&self, (stage, step): (usize, usize), layer: Option<Pending>, image: &Draft) -> Option<Parcel> {
        self.publisher.as_ref()?;
        let forecast = self.forecast(stage, step).filter(|_| !self.has_strayed)?;
        let (key, place) = (forecast.key.clone()?, forecast.place.clone()?);
        let record = Record::of(&forecast.parts).inspect_err(|error| debug!("{error}")).ok()?;
        let entry = Entry { key, content: Content::Nothing, created: Timestamp::now(), record };
        Some(Parcel { entry, layer, place, format: image.format(), platform: image.platform() })
    }

    /// The repository that gets the layer of a step once that was carried out, if one does.
    pub(super) fn gets(&self, stage: usize, step: usize) -> Option<&Repository> {
        let Repo::Registry(repository) = &self.cache.repo else { return None };
        let forecast = self.forecast(stage, step)?;
        let is_sent =
            self.publisher.is_some() && !self.has_strayed && forecast.key.is_some() && forecast.place.is_some();
        is_sent.then_some(repository)
    }

    /// Has entries sent, and keeps what they are for the same steps of other stages.
    pub(super) fn send(&mut self, held: impl IntoIterator<Item = Parcel>) {
        let Some(publisher) = &self.publisher else { return };
        for parcel in held {
            self.coming.insert(parcel.entry.key.clone(), (parcel.layer.clone(), parcel.entry.created));
            publisher.send(parcel);
        }
    }

    /// What the user wants.
    pub(super) fn wanted(&self) -> &'env LayerCache {
        self.wanted
    }

    /// Waits until all is sent, notes in `image` which layers the cache has too, and says what was found.
    pub(super) fn finish(mut self, image: Option<&mut Image>, plan: &Plan, needs: &[Need], file: &str) {
        if let Some(published) = self.publisher.take().map(Publisher::finish)
            && let (Repo::Registry(repository), Some(image)) = (&self.cache.repo, image)
        {
            image.found_in(repository, |digest| published.0.contains(digest));
        }
        let report = Report::new(&self, plan, needs, file);
        report.tell();
        if let Some(path) = &self.wanted.explain
            && let Err(error) = report.write(path)
        {
            warn!("--cache-explain={}: {error}", path.display());
        }
    }

    fn label(stage: &Stage) -> String {
        stage.name.clone().unwrap_or_else(|| stage.index.to_string())
    }
}

/// Whether a step's key is still that of the files that it read; `again` is its key by now, if it read any.
fn is_of_these_files(key: &Key, again: Option<Result<Key>>) -> bool {
    match again {
        Some(Ok(now)) if now != *key => {
            warn!(
                "Files of the context changed while they were copied, so this step and those after it are not cached"
            );
            false
        }
        Some(Err(error)) => {
            warn!("The context cannot be read any more, so this step and those after it are not cached: {error:#}");
            false
        }
        Some(Ok(_)) | None => true,
    }
}

/// What earlier builds knew of contexts.
pub(super) fn digests(wanted: &LayerCache) -> Digests {
    let access = match wanted.access {
        Access::ReadOnly => digests::Access::ReadOnly,
        Access::ReadWrite => digests::Access::ReadWrite,
    };
    let is_given = !wanted.memory.as_os_str().is_empty();
    Digests::new(is_given.then(|| Memo::new(&wanted.memory, access)))
}

/// Opens the cache that a build wants.
pub(super) fn open<'a>(request: &'a Request, wanted: &LayerCache) -> Cache<'a> {
    Cache::new(wanted.repo.clone(), wanted.ttl, &request.registry, &request.blobs)
}
