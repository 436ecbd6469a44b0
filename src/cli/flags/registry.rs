//! Flags that say how registries are spoken to. The warmer and `push` have them too.

use std::path::PathBuf;

use clap::Args;

use crate::cli::values::count;
use crate::credentials::Source;
use crate::registry::{ClientCertificate, host_and_client_certificate, host_and_path};

/// For pulling; those that name a registry hold both ways.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub struct PullFlags {
    /// Pull over plain HTTP
    #[arg(long)]
    pub insecure_pull: bool,

    /// Registry spoken to over plain HTTP, both ways
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,

    /// Pull without verifying certificates
    #[arg(long)]
    pub skip_tls_verify_pull: bool,

    /// Registry whose certificate is not verified, both ways
    #[arg(long, value_name = "HOST[:PORT]")]
    pub skip_tls_verify_registry: Vec<String>,

    /// Certificate of the authority that a registry's certificate is from
    #[arg(long, value_parser = host_and_path, value_name = "HOST[:PORT]=PATH")]
    pub registry_certificate: Vec<(String, PathBuf)>,

    /// Certificate and key that we show to a registry
    #[arg(long, value_parser = host_and_client_certificate, value_name = "HOST[:PORT]=CERT,KEY")]
    pub registry_client_cert: Vec<(String, ClientCertificate)>,

    /// Registry to pull from instead of another: REGISTRY=HOST[:PORT][/PATH], several separated by ;
    #[arg(long, value_name = "REGISTRY=MIRROR")]
    pub registry_map: Vec<String>,

    /// Registry to pull from instead of Docker Hub; repeat for several
    #[arg(long, value_name = "HOST[:PORT][/PATH]")]
    pub registry_mirror: Vec<String>,

    /// Fail where no mirror has an image
    #[arg(long)]
    pub skip_default_registry_fallback: bool,
}

/// For pushing.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Registries")]
pub struct PushFlags {
    /// Push over plain HTTP
    #[arg(long)]
    pub insecure: bool,

    /// Push without verifying certificates
    #[arg(long)]
    pub skip_tls_verify: bool,

    /// Do not check beforehand that the destinations can be pushed to
    #[arg(long)]
    pub skip_push_permission_check: bool,

    /// Count it as success that a destination's tag exists and cannot be changed
    #[arg(long)]
    pub push_ignore_immutable_tag_errors: bool,

    /// How often a push is tried again
    #[arg(long, default_value = "0", value_parser = count, value_name = "TIMES")]
    pub push_retry: u32,

    /// Where credentials are looked for besides config.json; repeat for several, empty for none [default: all]
    #[arg(long, value_parser = source, value_name = "env|google|ecr|acr|gitlab")]
    pub credential_helpers: Vec<String>,
}

/// For pulling base images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub struct RetryFlags {
    /// How often the download of an image is tried again
    #[arg(long, default_value = "0", value_parser = count, value_name = "TIMES")]
    pub image_download_retry: u32,
}

/// A source of credentials, or empty for none.
fn source(word: &str) -> Result<String, String> {
    if word.is_empty() {
        return Ok(String::new());
    }
    word.parse::<Source>().map(|_| word.to_owned())
}
