//! HTTP and TLS: one reqwest client a registry, built on a rustls configuration of our own.
//!
//! reqwest's default client is never used: where there are no certificate files, as in an image made from scratch, building it
//! fails even for plain HTTP. HTTP/1.1 only: blobs are few and large, and flow control of HTTP/2 slows uploads to some registries.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Error;
use super::error::cause;
use super::names::Names;
use super::policy::{Certificate, is_loopback};

/// How registries know us.
const USER_AGENT: &str = concat!("silt/", env!("CARGO_PKG_VERSION"));

/// How long a peer may be silent. There is no limit on how long a transfer takes that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// Until a connection stands, TLS included.
    pub(super) connect: Duration,
    /// Until the next bytes of a transfer pass, and until a small request is answered.
    pub(super) stall: Duration,
    /// Until an upload is answered whose bytes are all sent; a registry may copy them to an object store first.
    pub(super) commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let [connect, stall, commit] = [10, 60, 300].map(Duration::from_secs);
        Timeouts { connect, stall, commit }
    }
}

/// What clients for registries are made of.
pub(super) struct Transport {
    pub(super) timeouts: Timeouts,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    names: Names,
}

impl Transport {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Transport { timeouts, provider, roots: Arc::new(roots()), names: Names::of_machine() }
    }

    /// A client with its own connections.
    pub(super) fn client(&self, registry: &str, certificate: Certificate) -> Result<reqwest::Client, Error> {
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(self.tls(certificate)?)
            .dns_resolver(self.names.clone())
            .http1_only()
            .connect_timeout(self.timeouts.connect)
            .redirect(reqwest::redirect::Policy::custom(redirect));
        let builder = if is_loopback(registry) { builder.no_proxy() } else { builder };
        builder.build().map_err(|error| Error::Setup(cause(&error)))
    }

    fn tls(&self, certificate: Certificate) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Setup(error.to_string()))?;
        Ok(match certificate {
            Certificate::Verified => builder.with_root_certificates(self.roots.clone()).with_no_client_auth(),
            Certificate::Any => {
                let verifier = Arc::new(AnyCertificate(self.provider.clone()));
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
        })
    }
}

/// The machine's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), or Mozilla's where it has none.
fn roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| tracing::debug!("certificates: {error}"));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::debug!("this machine has no certificates of its own; using the built-in ones");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Follows a few redirects, and none from HTTPS to HTTP. reqwest drops the authorisation where the host changes.
fn redirect(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let previous = attempt.previous();
    if previous.len() > 5 {
        return attempt.error("too many redirects");
    }
    let downgrade = previous.last().is_some_and(|url| url.scheme() == "https") && attempt.url().scheme() != "https";
    if downgrade { attempt.error("a redirect from HTTPS to plain HTTP is not followed") } else { attempt.follow() }
}

/// Accepts every certificate, but not a handshake that its owner did not sign.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
