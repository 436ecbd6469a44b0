//! What can go wrong with a registry. Every message is one line: what, where, and what to do where that is known.
//!
//! Text that a registry sent is cut and cleaned before it becomes part of a message.

use std::time::Duration;

use crate::oci::{DocumentError, ImageError, NoPlatform};
use crate::store;

/// Why an image could not be pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot reach the registry {registry}: {why}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// What was tried and how it failed.
        why: String,
        /// Whether it would fail the same way a little later.
        lasting: bool,
    },
    /// None of the places where an image is looked for has it.
    #[error("{what}: no mirror gives it: {tried}")]
    Nowhere {
        /// What was looked for.
        what: String,
        /// What each place said.
        tried: String,
    },
    /// The search for credentials failed.
    #[error("{what}: cannot find out with which credentials: {why}")]
    Credentials {
        /// What was being done.
        what: String,
        /// What failed.
        why: String,
    },
    /// A connection that broke or went silent.
    #[error("{what}: the connection failed: {why}")]
    Interrupted {
        /// What was being done.
        what: String,
        /// How it failed.
        why: String,
    },
    /// 401 or 403.
    #[error(
        "{what}: access denied ({why}); {identity}; check that the name is right and that these credentials may do this"
    )]
    Denied {
        /// What was being done.
        what: String,
        /// What the registry said.
        why: String,
        /// Who we were, and where the credentials came from.
        identity: String,
    },
    /// 404.
    #[error("{what}: not found ({why})")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What the registry said.
        why: String,
    },
    /// Another status than expected.
    #[error("{what}: the registry answered {status} ({why})")]
    Status {
        /// What was being done.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        why: String,
        /// When the registry wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The registry breaks the protocol.
    #[error("{what}: {why}")]
    Protocol {
        /// What was being done.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A blob that is not what it should be, or a disk that fails.
    #[error("{what}: {source}")]
    Blob {
        /// What was being done.
        what: String,
        /// What is wrong.
        source: store::Error,
    },
    /// A manifest that cannot be read.
    #[error("{what}: {source}")]
    Document {
        /// The image.
        what: String,
        /// What is wrong.
        source: DocumentError,
    },
    /// An index without an image for the platform.
    #[error("{what}: {source}")]
    Platform {
        /// The image.
        what: String,
        /// Which there are.
        source: NoPlatform,
    },
    /// A manifest of something that is no usable image.
    #[error("{what}: {source}")]
    Image {
        /// The image.
        what: String,
        /// What is wrong.
        source: ImageError,
    },
    /// An upload whose session is lost, or was taught to be smaller: a new one may do. It does not leave this module.
    #[error("{what}: {why}")]
    Lost {
        /// What was being done.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// The caller wants nothing to be published any more.
    #[error("{what}: stopped before it was published")]
    Stopped {
        /// What would have been published.
        what: String,
    },
    /// The client could not be set up.
    #[error("cannot set up the registry client: {0}")]
    Setup(String),
}

impl Error {
    /// Whether the same request may succeed a little later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { lasting, .. } => !lasting,
            Error::Interrupted { .. } => true,
            Error::Status { status, .. } => *status == 429 || *status == 408 || *status >= 500,
            _ => false,
        }
    }

    /// Whether beginning again from the start may help, as `--push-retry` and `--image-download-retry` do.
    pub(super) fn may_be_begun_again(&self) -> bool {
        !matches!(self, Error::Stopped { .. } | Error::Setup(_) | Error::Credentials { .. } | Error::Image { .. })
    }

    /// How long the registry asked us to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn protocol(what: &str, why: impl Into<String>) -> Self {
        Error::Protocol { what: what.to_owned(), why: why.into() }
    }

    pub(super) fn blob(what: &str) -> impl FnOnce(store::Error) -> Error {
        let what = what.to_owned();
        move |source| Error::Blob { what, source }
    }

    pub(super) fn interrupted(what: &str, error: &reqwest::Error) -> Self {
        Error::Interrupted { what: what.to_owned(), why: cause(error) }
    }
}

/// The innermost reason of an error, which is the one that says something.
pub(super) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    loop {
        if let Some(fault) = tls(innermost) {
            return line(&fault);
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => return line(&innermost.to_string()),
        }
    }
}

/// Whether a connection failed in a way that waiting does not change: what TLS complains of stays.
pub(super) fn is_lasting(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| tls(error).is_some())
}

/// What a fault of TLS means for the user.
fn tls(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    Some(match inner(error)? {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "it does not speak TLS (--insecure-registry allows plain HTTP)".to_owned()
        }
        rustls::Error::InvalidCertificate(fault) => format!(
            "its certificate is not trusted: {fault} (--registry-certificate and SSL_CERT_FILE name other authorities, --skip-tls-verify-registry trusts any)"
        ),
        other => other.to_string(),
    })
}

/// The fault of TLS that an error is or holds: an I/O error does not count what it holds among its sources.
fn inner<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => inner(io.get_ref()?),
        None => error.downcast_ref::<rustls::Error>(),
    }
}

/// Text of others as at most one line of moderate length.
pub(super) fn line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut clean: String = text.chars().map(printable).take(300).collect();
    clean.truncate(clean.trim_end().len());
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let status = |status| Error::Status { what: String::new(), status, why: String::new(), retry_after: None };
        let transient = [429, 408, 500, 502, 503].map(|code| status(code).is_transient());
        assert_eq!(transient, [true; 5]);
        assert!(!status(400).is_transient() && !Error::protocol("a", "b").is_transient());
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(line("a\nb\x1b[31m\r\n"), "a b [31m");
        assert_eq!(line(&"x".repeat(5000)).len(), 300);
    }
}
