//! How registries say that a tag is taken and may not be moved. There is no code for it, so the text must do.
//!
//! Sources: Google, "Troubleshoot container images"; Amazon, "Preventing image tags from being overwritten" (the text said "the
//! repository is immutable" until 2025).

use crate::registry::Error;

const TEXTS: [&str; 3] = [
    "The repository has enabled tag immutability",
    "cannot be overwritten because the tag is immutable",
    "cannot be overwritten because the repository is immutable",
];

/// Whether a manifest was refused because its tag is taken.
pub(super) fn is_taken_tag(error: &Error) -> bool {
    match error {
        Error::Status { status: 400..=499, why, .. } | Error::Denied { why, .. } => {
            TEXTS.iter().any(|text| why.contains(text))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let is_taken = |status, why: &str| {
            is_taken_tag(&Error::Status { what: String::new(), status, why: why.to_owned(), retry_after: None })
        };
        let amazon = "TAG_INVALID: The image tag 'v1' already exists in the 'a' repository and cannot be overwritten because the";
        assert!(is_taken(400, &format!("{amazon} tag is immutable.")));
        assert!(is_taken(400, &format!("{amazon} repository is immutable.")));
        let google = "MANIFEST_INVALID: manifest cannot be updated. The repository has enabled tag immutability";
        assert!(is_taken(400, google));
        assert!(!is_taken(500, google));
        assert!(!is_taken(400, "TAG_INVALID: the tag is malformed"));
    }
}
