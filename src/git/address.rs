//! The address of a repository and what it says of the checkout: `https://host/repo.git#ref:subdir`, or the same as a query
//! (`?ref= &branch= &tag= &commit= &subdir= &submodules= &keep-git-dir= &mtime=`), as BuildKit reads both.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::{GitDir, Login, Revision};

/// Where a repository is, without what proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// `https`, `http` or `git`, without user, password, query and fragment.
    pub(super) url: Url,
    /// What the address itself had as user and password.
    pub(super) login: Option<Login>,
}

/// Whether submodules are checked out too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submodules {
    /// Each in its place, and those of its own.
    Fetched,
    /// Their directories stay empty.
    Left,
}

/// When files were modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtime {
    /// When their commit was committed, so that a commit is always the same tree.
    Commit,
    /// Now.
    Checkout,
}

/// An address, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where the repository is.
    pub remote: Remote,
    /// What names the commit.
    pub revision: Revision,
    /// The directory of the repository that is meant; none is its top.
    pub subdir: Option<String>,
    /// What the commit's id must begin with, in lower case.
    pub checksum: Option<String>,
    /// What the address says of `.git`.
    pub git_dir: Option<GitDir>,
    /// What it says of submodules.
    pub submodules: Submodules,
    /// What it says of times.
    pub mtime: Mtime,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// It is no address, it contradicts itself, its query has an unknown key, or its transport is not there (SSH). What may be
    /// a password in it is not shown.
    pub fn parse(text: &str) -> Result<Self> {
        let (place, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (place, query) = place.split_once('?').unwrap_or((place, ""));
        let mut address = Address {
            remote: Remote::parse(place)?,
            revision: Revision::Default,
            subdir: None,
            checksum: None,
            git_dir: None,
            submodules: Submodules::Fetched,
            mtime: Mtime::Commit,
        };
        let mut seen = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            ensure!(!seen.contains(&key), "the address says {key} twice");
            address.set(&key, &value)?;
            seen.push(key);
        }
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        if !reference.is_empty() {
            address.name(Revision::of(reference))?;
        }
        if !subdir.is_empty() {
            ensure!(address.subdir.is_none(), "the address names two subdirectories");
            address.subdir = Some(subdir.to_owned());
        }
        if let (Revision::Commit(id), Some(checksum)) = (&address.revision, &address.checksum) {
            ensure!(id.starts_with(checksum.as_str()), "the commit {id} does not begin with the checksum {checksum}");
        }
        Ok(address)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "ref" if value.is_empty() => Ok(()),
            "ref" => self.name(Revision::of(value)),
            "branch" => self.name(Revision::Branch(named(key, value)?)),
            "tag" => self.name(Revision::Tag(named(key, value)?)),
            "commit" | "checksum" => {
                ensure!(self.checksum.is_none(), "the address says both commit and checksum");
                self.checksum = Some(checksum(value)?);
                Ok(())
            }
            "subdir" => {
                self.subdir = Some(named(key, value)?);
                Ok(())
            }
            "submodules" => {
                self.submodules = if yes(key, value)? { Submodules::Fetched } else { Submodules::Left };
                Ok(())
            }
            "keep-git-dir" => {
                self.git_dir = Some(if yes(key, value)? { GitDir::Kept } else { GitDir::Dropped });
                Ok(())
            }
            "mtime" => {
                self.mtime = match value {
                    "commit" => Mtime::Commit,
                    "checkout" => Mtime::Checkout,
                    _ => bail!("mtime={value} in the address: it is commit or checkout"),
                };
                Ok(())
            }
            // A whole commit is always fetched by its id first.
            "fetch-by-commit" => yes(key, value).map(drop),
            _ => bail!(
                "{key:?} in the address is none of ref, branch, tag, commit, checksum, subdir, submodules, keep-git-dir, \
                 mtime and fetch-by-commit"
            ),
        }
    }

    /// Says what the commit's id must begin with, as `--checksum` does.
    ///
    /// # Errors
    /// It is no commit, or the address says something else.
    pub fn expect(&mut self, text: &str) -> Result<()> {
        let expected = checksum(text)?;
        let said = self.checksum.get_or_insert_with(|| expected.clone());
        ensure!(*said == expected, "{expected} is asked for, but the address says {said}");
        if let Revision::Commit(id) = &self.revision {
            ensure!(id.starts_with(&expected), "{expected} is asked for, but the address names the commit {id}");
        }
        Ok(())
    }

    fn name(&mut self, revision: Revision) -> Result<()> {
        ensure!(self.revision == Revision::Default, "the address names both {} and {revision}", self.revision);
        self.revision = revision;
        Ok(())
    }

    /// The commit to fetch where the address gives a whole one and nothing else.
    pub fn settle(&mut self) {
        if let (Revision::Default, Some(id)) = (&self.revision, &self.checksum)
            && id.len() == 40
        {
            self.revision = Revision::Commit(id.clone());
        }
    }
}

/// The beginning of a commit's id, in lower case.
///
/// # Errors
/// It is no 7 to 40 hexadecimal digits.
pub(super) fn checksum(text: &str) -> Result<String> {
    let is_id = (7..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(is_id, "{text:?} is no commit: 7 to 40 hexadecimal digits");
    Ok(text.to_ascii_lowercase())
}

fn named(key: &str, value: &str) -> Result<String> {
    ensure!(!value.is_empty(), "{key} in the address is empty");
    Ok(value.to_owned())
}

fn yes(key: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "" | "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        _ => bail!("{key}={value} in the address: it is true or false"),
    }
}

impl Remote {
    /// Reads the address of a repository alone.
    ///
    /// # Errors
    /// It is no address, or its transport is not there. What may be a password in it is not shown.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let Some((scheme, _)) = text.split_once("://") else {
            ensure!(!text.contains('@'), "{NO_SSH}");
            bail!("it is no address of a git repository: https://host/path, http://host/path or git://host/path");
        };
        let scheme = scheme.to_ascii_lowercase();
        ensure!(!scheme.contains("ssh"), "{NO_SSH}");
        ensure!(matches!(&*scheme, "https" | "http" | "git"), "a git repository is not fetched over {scheme:?}");
        let mut url = Url::parse(text).context("the address of a git repository")?;
        ensure!(url.host_str().is_some_and(|host| !host.is_empty()), "the address of a git repository has no host");
        let login = login(&url);
        // They fail only for addresses that cannot have one.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Remote { url, login })
    }

    /// Its host, with its port where one is named.
    #[must_use]
    pub fn host(&self) -> String {
        host(&self.url)
    }
}

const NO_SSH: &str = "git over SSH is not supported; give the repository's https:// address, and where it needs a credential \
                      --secret id=GIT_AUTH_TOKEN";

/// The host of an address, with its port where one is named.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    url.port().map_or(host.clone(), |port| format!("{host}:{port}"))
}

fn login(url: &Url) -> Option<Login> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (decoded(url.username()), url.password().map(decoded).unwrap_or_default());
    (!user.is_empty() || !password.is_empty()).then(|| Login::basic(&user, &password))
}

/// The address, in which nothing is secret.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({self})")
    }
}
