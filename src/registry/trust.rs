//! Whom to trust: authorities, and the certificate that we show. Read from files once, before a build may change them.
//!
//! What the user names must be there: a bundle that is set but cannot be read, or holds no certificate, is an error. Public
//! authorities take its place in no case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;
use super::policy::ClientCertificate;

/// Where the authorities are that sign registries' certificates.
#[derive(Clone, Debug, Default)]
pub struct Authorities {
    /// `SSL_CERT_FILE`: a bundle of PEM certificates.
    pub file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: every file in these directories that holds PEM certificates, whatever its name. A link, as a ConfigMap's
    /// files are, is followed; sub-directories are not.
    pub directories: Vec<PathBuf>,
}

/// A certificate of ours, its key, and what is needed to check it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// All that was read.
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    for_host: BTreeMap<String, Arc<RootCertStore>>,
    identities: BTreeMap<String, Identity>,
}

impl Trust {
    /// Reads `authorities`, or where it names none the machine's own, and the files that belong to single registries.
    pub(super) fn read(
        authorities: &Authorities,
        certificates: &BTreeMap<String, Vec<PathBuf>>,
        clients: &BTreeMap<String, ClientCertificate>,
    ) -> Result<Self, Error> {
        let roots = roots(authorities)?;
        let with_more = |(host, files): (&String, &Vec<PathBuf>)| {
            let mut roots = roots.clone();
            let what = format!("--registry-certificate {host}");
            files.iter().try_for_each(|file| add(&mut roots, &what, bundle(&what, file)?, file))?;
            Ok((host.clone(), Arc::new(roots)))
        };
        let for_host = certificates.iter().map(with_more).collect::<Result<_, Error>>()?;
        let identity = |(host, files): (&String, &ClientCertificate)| Ok((host.clone(), identity(host, files)?));
        let identities = clients.iter().map(identity).collect::<Result<_, Error>>()?;
        Ok(Trust { roots: Arc::new(roots), for_host, identities })
    }

    /// The authorities for a host that belongs to a registry, or is that: those named for either.
    pub(super) fn roots(&self, registry: &str, host: &str) -> Arc<RootCertStore> {
        match (self.for_host.get(registry), self.for_host.get(host)) {
            (Some(own), Some(other)) if !Arc::ptr_eq(own, other) => {
                let mut both = RootCertStore::clone(own);
                both.extend(other.roots.iter().cloned());
                Arc::new(both)
            }
            (own, other) => own.or(other).unwrap_or(&self.roots).clone(),
        }
    }

    /// What we show to a host.
    pub(super) fn identity(&self, host: &str) -> Option<&Identity> {
        self.identities.get(host)
    }
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &authorities.file {
        add(&mut roots, "SSL_CERT_FILE", bundle("SSL_CERT_FILE", file)?, file)?;
    }
    if !authorities.directories.is_empty() {
        let found = directories(&authorities.directories)?;
        let names: Vec<String> = authorities.directories.iter().map(|dir| dir.display().to_string()).collect();
        add(&mut roots, "SSL_CERT_DIR", found, Path::new(&names.join(":")))?;
    }
    if roots.is_empty() {
        let found = of_the_machine();
        found.errors.iter().for_each(|error| tracing::debug!("certificates: {error}"));
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        tracing::debug!("this machine has no certificates of its own; using the built-in ones");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

/// Where the distributions keep what a machine trusts. The crate's own look would read the environment, where a variable that is
/// set to nothing counts as one.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The certificates that this machine trusts.
fn of_the_machine() -> rustls_native_certs::CertificateResult {
    let bundle = BUNDLES.iter().map(Path::new).find(|path| path.is_file());
    let directory = Some(Path::new("/etc/ssl/certs")).filter(|path| bundle.is_none() && path.is_dir());
    rustls_native_certs::load_certs_from_paths(bundle, directory)
}

/// The certificates of a file that must be one.
fn bundle(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::Setup(format!("{what}: {}: {why}", file.display()));
    let bytes = fs::read(file).map_err(|error| failed(&error))?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| failed(&error))
}

/// The certificates of all files in `directories` that hold any.
fn directories(directories: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut found = Vec::new();
    for directory in directories {
        let failed = |error: std::io::Error| Error::Setup(format!("SSL_CERT_DIR: {}: {error}", directory.display()));
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            match bundle("SSL_CERT_DIR", &path) {
                Ok(certificates) => found.extend(certificates),
                Err(error) => tracing::warn!("{error}; left out"),
            }
        }
    }
    Ok(found)
}

fn add(roots: &mut RootCertStore, what: &str, found: Vec<CertificateDer<'static>>, from: &Path) -> Result<(), Error> {
    let (added, ignored) = roots.add_parsable_certificates(found);
    if ignored > 0 {
        tracing::warn!("{what}: {}: {ignored} certificates cannot be used", from.display());
    }
    if added == 0 {
        return Err(Error::Setup(format!("{what}: {} holds no usable certificate", from.display())));
    }
    Ok(())
}

fn identity(host: &str, files: &ClientCertificate) -> Result<Identity, Error> {
    let what = format!("--registry-client-cert {host}");
    let chain = bundle(&what, &files.certificate)?;
    if chain.is_empty() {
        return Err(Error::Setup(format!("{what}: {} holds no certificate", files.certificate.display())));
    }
    let failed = |why: &dyn std::fmt::Display| Error::Setup(format!("{what}: {}: {why}", files.key.display()));
    let bytes = fs::read(&files.key).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| failed(&error))?;
    Ok(Identity { chain, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorities: &Authorities) -> Result<usize, String> {
        let trust = Trust::read(authorities, &BTreeMap::new(), &BTreeMap::new());
        trust.map(|trust| trust.roots("r", "r").len()).map_err(|error| error.to_string())
    }

    /// PEM of an authority that a public list has: none is made here, since only the form matters.
    fn pem() -> &'static str {
        include_str!("tests/authority.pem")
    }

    #[test]
    fn what_is_named_must_be_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("bundle");
        let named = Authorities { file: Some(file.clone()), ..Authorities::default() };
        assert!(read(&named).expect_err("absent").contains("SSL_CERT_FILE"));
        for text in ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&file, text).expect("written");
            let error = read(&named).expect_err("empty");
            assert!(error.contains("SSL_CERT_FILE") && error.contains("no usable certificate"), "{error}");
        }
        fs::write(&file, pem()).expect("written");
        assert_eq!(read(&named), Ok(1));
        let directories = |dir: &Path| Authorities { directories: vec![dir.to_owned()], ..Authorities::default() };
        assert!(read(&directories(&dir.path().join("none"))).expect_err("absent").contains("SSL_CERT_DIR"));
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).expect("made");
        assert!(read(&directories(&empty)).expect_err("empty").contains("SSL_CERT_DIR"));
    }

    #[test]
    fn a_directory_is_read_through_links_whatever_the_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("..2026_data");
        fs::create_dir(&data).expect("made");
        fs::write(data.join("odd name"), pem()).expect("written");
        std::os::unix::fs::symlink("..2026_data", dir.path().join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/odd name", dir.path().join("odd name")).expect("a link");
        fs::write(dir.path().join("README"), "no certificate").expect("written");
        let authorities = Authorities { directories: vec![dir.path().to_owned()], ..Authorities::default() };
        assert_eq!(read(&authorities), Ok(1));
    }

    #[test]
    fn a_registrys_own_authority_is_for_it_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, more) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&file, pem()).expect("written");
        fs::write(&more, pem()).expect("written");
        let authorities = Authorities { file: Some(file), ..Authorities::default() };
        let certificates = BTreeMap::from([("r.io".to_owned(), vec![more.clone()])]);
        let trust = Trust::read(&authorities, &certificates, &BTreeMap::new()).expect("read");
        let count = |registry, host| trust.roots(registry, host).len();
        assert_eq!((count("r.io", "r.io"), count("other.io", "other.io")), (2, 1));
        assert_eq!((count("r.io", "blobs.io"), count("blobs.io", "r.io")), (2, 2));
        fs::write(&more, "").expect("emptied");
        let error = Trust::read(&authorities, &certificates, &BTreeMap::new()).err().expect("empty").to_string();
        assert!(error.contains("--registry-certificate r.io"), "{error}");
        let client = ClientCertificate { certificate: more.clone(), key: more };
        let clients = BTreeMap::from([("r.io".to_owned(), client)]);
        let error = Trust::read(&authorities, &BTreeMap::new(), &clients).err().expect("empty").to_string();
        assert!(error.contains("--registry-client-cert r.io"), "{error}");
    }
}
