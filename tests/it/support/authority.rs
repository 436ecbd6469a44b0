//! A certificate authority of a test, and what it signs: made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{run, scratch};

/// An authority that nobody else knows.
pub struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let dir = scratch();
        let mut command = openssl(&["req", "-x509", "-subj", "/CN=an authority of a test", "-days", "3650", "-nodes"]);
        command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        command.args(["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]);
        run(command.arg("-out").arg(dir.path().join("ca.pem")).arg("-keyout").arg(dir.path().join("ca.key")));
        Authority { dir }
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for servers on this machine, also named `registry.local`, and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        self.sign("server", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.local\n")
    }

    /// What a server of the tests' own needs to speak TLS with such a certificate.
    pub fn tls(&self) -> Arc<rustls::ServerConfig> {
        let (certificate, key) = self.server();
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// A certificate for a client, and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        self.sign("client", "extendedKeyUsage=clientAuth\n")
    }

    fn sign(&self, name: &str, extensions: &str) -> (PathBuf, PathBuf) {
        let place = |end: &str| self.dir.path().join(format!("{name}.{end}"));
        let (certificate, key, request, ext) = (place("pem"), place("key"), place("csr"), place("ext"));
        std::fs::write(&ext, extensions).unwrap();
        let mut command =
            openssl(&["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        run(command.arg("-subj").arg(format!("/CN={name}")).arg("-out").arg(&request).arg("-keyout").arg(&key));
        let mut command = openssl(&["x509", "-req", "-days", "3650", "-CAcreateserial"]);
        command.arg("-in").arg(&request).arg("-out").arg(&certificate).arg("-extfile").arg(&ext);
        run(command.arg("-CA").arg(self.certificate()).arg("-CAkey").arg(self.dir.path().join("ca.key")));
        (certificate, key)
    }
}

fn openssl(args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(args);
    command
}

/// A key of RSA and a certificate that it signed itself, for tokens.
pub fn signer(dir: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("signer.pem"), dir.join("signer.key"));
    let mut command =
        openssl(&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=signer", "-days", "3650"]);
    run(command.arg("-out").arg(&certificate).arg("-keyout").arg(&key));
    (certificate, key)
}
