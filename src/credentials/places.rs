//! The configuration files that count, in order, read once: before a build can put others in their place.
//!
//! `DOCKER_AUTH_CONFIG` holds a configuration itself and hides Docker's file, as with kaniko. Docker's file is
//! `$DOCKER_CONFIG/config.json`, else the one of the builder's image or the user's. Podman's files follow; kaniko looks at them
//! only where Docker's is missing, here they are asked for what it does not know.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Environment;
use super::config::Config;

/// A longer file is no configuration.
const LONGEST: u64 = 4 << 20;

/// A configuration and where it stands, in words.
pub(super) struct Place {
    pub(super) source: String,
    /// What is wrong with it is said when it is asked for something.
    pub(super) config: Result<Config, String>,
}

/// All configurations of this environment.
pub(super) fn all(environment: &Environment) -> Vec<Place> {
    let mut places = Vec::new();
    let inline = environment.get("DOCKER_AUTH_CONFIG");
    let docker = docker_files(environment).into_iter().find_map(|path| place("config.json", &path));
    if let (Some(_), Some(hidden)) = (inline, &docker) {
        tracing::debug!("DOCKER_AUTH_CONFIG is set, so {} does not count", hidden.source);
    }
    match inline {
        Some(text) => {
            let source = "environment DOCKER_AUTH_CONFIG".to_owned();
            places.push(Place { source, config: Config::parse(text.as_bytes()) });
        }
        None => places.extend(docker),
    }
    places.extend(podman_files(environment).into_iter().filter_map(|path| place("auth file", &path)));
    places
}

/// Where a credential is to be written so that the next build finds it: Docker's file that counts. Where there is none yet, the
/// place in our image if that has one, else the user's; so a new file hides no other. `None` if there is no place.
pub fn docker_config(environment: &Environment) -> Option<PathBuf> {
    let files = docker_files(environment);
    let counts = files.iter().find(|path| path.try_exists().unwrap_or(true));
    let has_place = || files.iter().find(|path| path.parent().is_some_and(Path::is_dir));
    let to_be_made = || match environment.path("DOCKER_CONFIG") {
        Some(dir) => Some(dir.join("config.json")),
        None => environment.home(".docker/config.json"),
    };
    counts.or_else(has_place).cloned().or_else(to_be_made)
}

fn docker_files(environment: &Environment) -> Vec<PathBuf> {
    if let Some(dir) = environment.path("DOCKER_CONFIG") {
        return vec![dir.join("config.json")];
    }
    let own = environment.get("KANIKO_DIR").unwrap_or("/kaniko");
    let image = Path::new(own).join(".docker/config.json");
    [Some(image), environment.home(".docker/config.json")].into_iter().flatten().collect()
}

fn podman_files(environment: &Environment) -> Vec<PathBuf> {
    let below = |dir: Option<PathBuf>| dir.map(|dir| dir.join("containers/auth.json"));
    let user = environment.path("XDG_CONFIG_HOME").or_else(|| environment.home(".config"));
    let named = environment.path("REGISTRY_AUTH_FILE");
    [named, below(environment.path("XDG_RUNTIME_DIR")), below(user)].into_iter().flatten().collect()
}

/// Reads one; none if there is no such file.
fn place(kind: &str, path: &Path) -> Option<Place> {
    let source = match (kind, path.parent()) {
        ("config.json", Some(dir)) => format!("config.json of {}", dir.display()),
        _ => format!("{kind} {}", path.display()),
    };
    let config = match read(path) {
        Ok(text) => Config::parse(&text),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return None;
        }
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    Some(Place { source, config })
}

/// Reads a small file.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(variables: &[(&str, &str)]) -> Vec<String> {
        all(&variables.iter().copied().collect()).into_iter().map(|place| place.source).collect()
    }

    #[test]
    fn files_in_order() {
        let dir = tempfile::tempdir().expect("directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
        for file in ["home/.docker/config.json", "d/config.json", "run/containers/auth.json", "a.json"] {
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            std::fs::write(file, "{}").expect("written");
        }
        let home = path("home");
        let base = [("HOME", home.as_str()), ("KANIKO_DIR", "/nowhere")];
        assert_eq!(sources(&base), [format!("config.json of {home}/.docker")]);
        let (d, run, a) = (path("d"), path("run"), path("a.json"));
        let more = [("DOCKER_CONFIG", d.as_str()), ("XDG_RUNTIME_DIR", &run), ("REGISTRY_AUTH_FILE", &a)];
        let expected =
            [format!("config.json of {d}"), format!("auth file {a}"), format!("auth file {run}/containers/auth.json")];
        assert_eq!(sources(&[&base[..], &more].concat()), expected);
        let inline = [&base[..], &[("DOCKER_AUTH_CONFIG", "{}")]].concat();
        assert_eq!(sources(&inline), ["environment DOCKER_AUTH_CONFIG"]);
    }

    #[test]
    fn the_image_of_the_builder_has_a_place_for_it() {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::create_dir(dir.path().join(".docker")).expect("made");
        std::fs::write(dir.path().join(".docker/config.json"), "{").expect("written");
        let own = dir.path().to_str().expect("text");
        let found = all(&[("KANIKO_DIR", own)].into_iter().collect());
        assert_eq!(found.len(), 1);
        assert!(found[0].config.is_err(), "malformed, and kept as such");
        let directory = dir.path().join(".docker/config.json");
        std::fs::remove_file(&directory).expect("removed");
        std::fs::create_dir(&directory).expect("made");
        let found = all(&[("KANIKO_DIR", own)].into_iter().collect());
        assert!(found[0].config.as_ref().map(|_| ()).expect_err("a directory").contains("cannot be read"));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let (image, home) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
        let [own, user] = [&image, &home].map(|dir| dir.path().to_str().expect("text"));
        let file = |dir: &str| Path::new(dir).join(".docker/config.json");
        let at = |more: &[(&str, &str)]| docker_config(&[&[("KANIKO_DIR", own)], more].concat().into_iter().collect());
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[("HOME", user)]), Some(file(user)));
        std::fs::create_dir(image.path().join(".docker")).expect("made");
        assert_eq!(at(&[("HOME", user)]), Some(file(own)));
        assert_eq!(at(&[("HOME", user), ("DOCKER_CONFIG", "/d")]), Some("/d/config.json".into()));
        std::fs::create_dir(home.path().join(".docker")).expect("made");
        std::fs::write(file(user), "{}").expect("written");
        assert_eq!(at(&[("HOME", user)]), Some(file(user)), "one in our image would hide it");
        assert_eq!(sources(&[("KANIKO_DIR", own), ("HOME", user)]), [format!("config.json of {user}/.docker")]);
        std::fs::write(file(own), "{}").expect("written");
        assert_eq!(at(&[("HOME", user)]), Some(file(own)));
        assert_eq!(sources(&[("KANIKO_DIR", own), ("HOME", user)]), [format!("config.json of {own}/.docker")]);
    }
}
