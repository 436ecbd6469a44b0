//! What ADD fetches: the registry client's transport writes it into a file of ours, and its checksum is known before anything
//! uses it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use tracing::info;

use super::repository;
use crate::oci::{Digest, Hasher};
use crate::registry;
use crate::rootfs::{Root, Timestamp};
use crate::steps::{CheckOut, Fetch, Fetched, Repository, Vault};

/// The name that BuildKit gives to what has none.
const UNNAMED: &str = "__unnamed__";

/// An address, and what else was asked of it.
type Asked = (String, Option<String>, Option<bool>);

/// Fetches into files without names in a directory of ours. What it fetched it has for the rest of the build, so that what was
/// looked at is what is used.
pub(super) struct Fetcher<'a> {
    client: &'a registry::Client,
    dir: PathBuf,
    /// The secrets, of which some are for repositories.
    vault: &'a Vault,
    fetched: RefCell<BTreeMap<Asked, Fetched>>,
    repositories: RefCell<BTreeMap<Asked, Repository>>,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(client: &'a registry::Client, dir: PathBuf, vault: &'a Vault) -> Self {
        let (fetched, repositories) = Default::default();
        Fetcher { client, dir, vault, fetched, repositories }
    }

    fn download(&self, address: &str, checksum: Option<&str>) -> Result<Fetched> {
        let expected: Option<Digest> = checksum.map(str::parse).transpose().context("--checksum")?;
        let name = name(address);
        info!("Downloading {name}");
        let mut file = tempfile::tempfile_in(&self.dir).context("a file for a download")?;
        let mut sink =
            Hashed { file: &mut file, hasher: expected.as_ref().map(|digest| Hasher::new(digest.algorithm())) };
        let downloaded = match authorization(self.vault, address)? {
            Some(authorization) => self.client.download_as(address, &authorization, &mut sink)?,
            None => self.client.download(address, &mut sink)?,
        };
        let found = sink.hasher.map(Hasher::finish);
        if let (Some(expected), Some(found)) = (&expected, found)
            && *expected != found
        {
            bail!("the content of {name} is {found}, but --checksum says {expected}");
        }
        file.rewind()?;
        let modified = downloaded.last_modified.as_deref().and_then(time).unwrap_or_default();
        Ok(Fetched { file, name, modified })
    }
}

impl Fetch for Fetcher<'_> {
    fn fetch(&self, address: &str, checksum: Option<&str>) -> Result<Fetched> {
        let asked = (address.to_owned(), checksum.map(str::to_owned), None);
        let mut known = self.fetched.borrow_mut();
        let fetched = match known.entry(asked) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.download(address, checksum)?),
        };
        let mut file = fetched.file.try_clone().context("what was downloaded")?;
        file.rewind()?;
        Ok(Fetched { file, name: fetched.name.clone(), modified: fetched.modified })
    }

    fn check_out(&self, ask: &CheckOut<'_>) -> Result<Repository> {
        let asked = (ask.address.to_owned(), ask.checksum.map(str::to_owned), ask.keep_git_dir);
        let mut known = self.repositories.borrow_mut();
        let repository = match known.entry(asked) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(repository::check_out(ask, self.vault, &self.client.network()?, &self.dir)?)
            }
        };
        let Repository { root, top, commit, place } = &*repository;
        Ok(Repository {
            root: Root::open(root.path())?,
            top: top.clone(),
            commit: commit.clone(),
            place: Rc::clone(place),
        })
    }
}

struct Hashed<'f> {
    file: &'f mut File,
    hasher: Option<Hasher>,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The value of the `Authorization` header for an address: the secret `HTTP_AUTH_HEADER_host`, or a bearer token that is
/// `HTTP_AUTH_TOKEN_host`, as with BuildKit. The host has its port where the address names one.
fn authorization(vault: &Vault, address: &str) -> Result<Option<String>> {
    let authority = address.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next();
    let host = authority.unwrap_or_default().rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    for (name, before) in [("HTTP_AUTH_HEADER_", ""), ("HTTP_AUTH_TOKEN_", "Bearer ")] {
        let id = format!("{name}{host}");
        if let Some(bytes) = vault.secret(&id) {
            let text = std::str::from_utf8(bytes).ok().with_context(|| format!("the secret {id} is no text"))?;
            return Ok(Some(format!("{before}{}", text.trim())));
        }
    }
    Ok(None)
}

/// The last part of the address's path, decoded (RFC 3986, section 2.1).
fn name(address: &str) -> String {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let below_host = path.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let decoded = percent_encoding::percent_decode_str(below_host).decode_utf8_lossy();
    let name = decoded.trim_end_matches('/').rsplit('/').next().unwrap_or_default().replace('\0', "");
    let name = name.as_str();
    if matches!(name, "" | "." | "..") { UNNAMED.to_owned() } else { name.to_owned() }
}

/// A time as HTTP writes it.
fn time(text: &str) -> Option<Timestamp> {
    let sec = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
    Some(Timestamp { sec, nsec: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses() {
        for (address, expected) in [
            ("https://h/a/b.tar.gz", "b.tar.gz"),
            ("http://h/b?x=/y#z/w", "b"),
            ("http://h/dir/", "dir"),
            ("http://h", UNNAMED),
            ("http://h/", UNNAMED),
            ("http://h/..", UNNAMED),
            ("http://h/a%20b%2Bc", "a b+c"),
            ("http://h/100%", "100%"),
            ("http://h/x%2F..", UNNAMED),
            ("http://h/%2e%2e", UNNAMED),
            ("http://h/x%2Fy%00", "y"),
        ] {
            assert_eq!(name(address), expected, "{address}");
        }
    }

    #[test]
    fn times_of_servers() {
        assert_eq!(time("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Timestamp { sec: 1_445_412_480, nsec: 0 }));
        assert_eq!(time("yesterday"), None);
    }
}
