//! The order in which sources are asked, and what becomes of their answers.
//!
//! A source that was named for the registry, in a configuration file, must work. One that only may know it, because the registry
//! is of its cloud, is passed over with a warning if it fails: many images there can be had without a credential. Why it failed
//! is then part of what is said if the registry refuses.

use std::time::Duration;

use super::aws::Profiles;
use super::cloud::{Cloud, Granted};
use super::config::Lead;
use super::google::Adc;
use super::helper::Helper;
use super::http::Http;
use super::memory::{Memory, Outcome};
use super::places::{self, Place};
use super::target::Target;
use super::{Credential, Environment, Error, Identity, Network, Source, Sources, aws, azure, google, variables};

/// What a helper said is asked for again after this time: it may hand out tokens.
const HELPER: Duration = Duration::from_secs(900);

/// All sources of credentials. It can be shared between threads.
pub struct Keychain {
    environment: Environment,
    sources: Sources,
    places: Vec<Place>,
    helpers: Vec<(String, Option<Helper>)>,
    http: Http,
    profiles: Profiles,
    adc: Adc,
    clouds: Memory<Granted>,
    helped: Memory<Credential>,
}

impl Keychain {
    /// Reads the configuration files that `environment` names. Nothing is asked of a helper or a service yet.
    pub fn new(environment: Environment, sources: Sources, network: Network) -> Self {
        let places = places::all(&environment);
        let names = places.iter().filter_map(|place| place.config.as_ref().ok()).flat_map(|config| config.helpers());
        let helpers = names.map(|name| (name.to_owned(), Helper::find(&environment, name))).collect();
        Keychain {
            http: Http::new(network),
            profiles: Profiles::read(&environment),
            adc: Adc::read(&environment),
            clouds: Memory::default(),
            helped: Memory::default(),
            environment,
            sources,
            places,
            helpers,
        }
    }

    /// The credential for `repository` of `registry` (`HOST[:PORT]`), and where it is from. It blocks, on helpers and the network.
    ///
    /// # Errors
    /// A source that is named for this registry does not work.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Identity, Error> {
        let target = Target::new(registry, repository);
        for place in &self.places {
            if let Some(found) = self.of_place(place, &target)? {
                return Ok(found);
            }
        }
        if self.sources.has(Source::Env)
            && let Some((credential, variable)) = variables::kaniko(&self.environment, &target)
        {
            return Ok(Identity { credential, source: format!("environment {variable}") });
        }
        let mut failures = Vec::new();
        for source in [Source::Google, Source::Ecr, Source::Acr] {
            if !self.sources.has(source) {
                continue;
            }
            match self.of_cloud(source, &target.host) {
                Ok(Some(Granted { credential, source, .. })) => return Ok(Identity { credential, source }),
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!("no credential for {}: {}: {why}", target.host, cloud_name(source));
                    failures.push(format!("{}: {why}", cloud_name(source)));
                }
            }
        }
        if self.sources.has(Source::Gitlab)
            && let Some(credential) = variables::gitlab(&self.environment, &target)
        {
            return Ok(Identity { credential, source: "environment CI_REGISTRY_USER".to_owned() });
        }
        Ok(Identity { credential: Credential::Anonymous, source: self.nothing(&target, &failures) })
    }

    /// What a configuration says for `target`.
    fn of_place(&self, place: &Place, target: &Target) -> Result<Option<Identity>, Error> {
        let wrong = |source_name: String, why: String| Error { registry: target.host.clone(), source_name, why };
        let config = place.config.as_ref().map_err(|why| wrong(place.source.clone(), why.clone()))?;
        for lead in config.leads(target) {
            let (source, answer) = match lead {
                Lead::Entry { key, credential } => (format!("{} (entry {key:?})", place.source), credential.map(Some)),
                Lead::Helper { name } | Lead::Store { name } => {
                    let source = format!("{} (helper {name:?})", place.source);
                    match self.of_helper(name, target) {
                        Err(Unasked::NoProgram) if matches!(lead, Lead::Store { .. }) => {
                            tracing::warn!(
                                "{source}: there is no docker-credential-{name} on PATH; going on without it"
                            );
                            continue;
                        }
                        Err(unasked) => (source, Err(unasked.why(name))),
                        Ok(found) => (source, Ok(found)),
                    }
                }
            };
            if let Some(credential) = answer.map_err(|why| wrong(source.clone(), why))? {
                return Ok(Some(Identity { credential, source }));
            }
        }
        Ok(None)
    }

    /// What the helper `name` says: the program, or the code that takes its place.
    fn of_helper(&self, name: &str, target: &Target) -> Result<Option<Credential>, Unasked> {
        let program = self.helpers.iter().find(|(known, _)| known == name).and_then(|(_, helper)| helper.as_ref());
        if let Some(helper) = program {
            let ask = || -> Outcome<Credential> {
                let found = helper.get(&self.environment, target.server())?;
                Ok(found.map(|credential| (credential, HELPER)))
            };
            return self.helped.get(&format!("{name} {}", target.server()), ask).map_err(Unasked::Failed);
        }
        let source = built_in(name).ok_or(Unasked::NoProgram)?;
        let granted = self.of_cloud(source, &target.host).map_err(Unasked::Failed)?;
        Ok(granted.map(|granted| granted.credential))
    }

    /// What a cloud gives for `host`, if that is one of its registries.
    fn of_cloud(&self, source: Source, host: &str) -> Result<Option<Granted>, String> {
        let serves = match source {
            Source::Google => google::serves(host),
            Source::Ecr => aws::serves(host),
            Source::Acr => azure::serves(host),
            Source::Env | Source::Gitlab => false,
        };
        if !serves {
            return Ok(None);
        }
        // One token is good for all of Google's registries.
        let question = if source == Source::Google { "Google" } else { host };
        self.clouds.get(question, || {
            let cloud =
                Cloud { environment: &self.environment, http: &self.http, profiles: &self.profiles, adc: &self.adc };
            let granted = match source {
                Source::Google => google::find(&cloud),
                Source::Ecr => aws::find(&cloud, host),
                Source::Acr | Source::Env | Source::Gitlab => azure::find(&cloud, host),
            };
            Ok(granted?.map(|granted| (granted.clone(), granted.lifetime)))
        })
    }

    /// What to say where no source knows the registry.
    fn nothing(&self, target: &Target, failures: &[String]) -> String {
        let files: Vec<&str> = self.places.iter().map(|place| place.source.as_str()).collect();
        let files = if files.is_empty() {
            "there is no config.json".to_owned()
        } else {
            format!("looked in {}", files.join(", "))
        };
        let failures: String = failures.iter().map(|failure| format!("; {failure}")).collect();
        format!("no credential for {} ({files}{failures})", target.host)
    }
}

/// Why a helper gave no answer.
enum Unasked {
    NoProgram,
    Failed(String),
}

impl Unasked {
    fn why(self, name: &str) -> String {
        match self {
            Unasked::NoProgram => format!("there is no docker-credential-{name} on PATH"),
            Unasked::Failed(why) => why,
        }
    }
}

/// The code that takes the place of a helper that kaniko's image ships.
fn built_in(name: &str) -> Option<Source> {
    match name {
        "gcr" | "gcloud" => Some(Source::Google),
        "ecr-login" => Some(Source::Ecr),
        "acr-env" => Some(Source::Acr),
        _ => None,
    }
}

fn cloud_name(source: Source) -> &'static str {
    match source {
        Source::Google => "Google",
        Source::Ecr => "Amazon ECR",
        Source::Acr => "Azure",
        Source::Env | Source::Gitlab => "environment",
    }
}
