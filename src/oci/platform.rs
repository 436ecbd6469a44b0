//! Platforms: `os/architecture[/variant]` with Go's names, and which of an index's images runs on which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform of an image, as in the OCI image-spec (image-index.md).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Platform {
    /// GOARCH, as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// GOOS, as `linux`.
    #[serde(default)]
    pub os: String,
    /// The variant of the CPU, as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The text is not `os/architecture[/variant]`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a platform (expected os/architecture or os/architecture/variant, as linux/arm64)")]
pub struct InvalidPlatform(String);

impl Platform {
    /// A platform without a variant, its architecture in any common spelling.
    pub fn new(os: &str, architecture: &str) -> Self {
        let (architecture, variant) = normal(&architecture.to_ascii_lowercase(), None);
        Platform { os: os.to_ascii_lowercase(), architecture, variant }
    }

    /// The platform that this program was built for.
    pub fn host() -> Self {
        match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => Platform::new("linux", "ppc64le"),
            "mips64" if cfg!(target_endian = "little") => Platform::new("linux", "mips64le"),
            architecture => Platform::new("linux", architecture),
        }
    }

    /// How well `image` runs here: `None` not at all, otherwise more is better.
    pub fn preference(&self, image: &Platform) -> Option<u32> {
        let (wanted, wanted_variant) = normal(&self.architecture, self.variant.as_deref());
        let (offered, offered_variant) = normal(&image.architecture, image.variant.as_deref());
        if self.os != image.os || wanted != offered {
            return None;
        }
        if wanted_variant == offered_variant {
            return Some(u32::MAX);
        }
        let level = |variant: Option<String>| match variant {
            Some(variant) => variant.strip_prefix('v')?.parse::<u32>().ok(),
            None => default_level(&wanted),
        };
        let (wanted_level, offered_level) = (level(wanted_variant)?, level(offered_variant)?);
        (offered_level <= wanted_level).then_some(offered_level)
    }
}

/// Go's name of an architecture, and its variant where that is not the usual one.
fn normal(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let variant = variant.filter(|variant| !variant.is_empty());
    let (name, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", Some("8" | "v8")) => ("arm64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("x86" | "i386" | "i686", variant) => ("386", variant),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("loongarch64", variant) => ("loong64", variant),
        (other, variant) => (other, variant),
    };
    (name.to_owned(), variant.map(str::to_owned))
}

/// The level that an absent variant stands for.
fn default_level(architecture: &str) -> Option<u32> {
    match architecture {
        "amd64" => Some(1),
        "arm64" => Some(8),
        _ => None,
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let clean =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(InvalidPlatform(text.to_owned())),
        };
        if !parts.iter().all(clean) {
            return Err(InvalidPlatform(text.to_owned()));
        }
        let (architecture, variant) = normal(architecture, variant);
        Ok(Platform { os: os.to_owned(), architecture, variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().filter(|variant| !variant.is_empty()).try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().expect("a platform")
    }

    fn check(input: &str, expected: Option<&str>) {
        assert_eq!(input.parse::<Platform>().ok().map(|p| p.to_string()).as_deref(), expected, "{input:?}");
    }

    #[test]
    fn spellings() {
        check("linux/amd64", Some("linux/amd64"));
        check("Linux/x86_64", Some("linux/amd64"));
        check("linux/arm64/v8", Some("linux/arm64"));
        check("linux/arm", Some("linux/arm/v7"));
        check("linux/arm/v6", Some("linux/arm/v6"));
        check("amd64", None);
        check("linux//v8", None);
        check("linux/../x", None);
        check("linux/a/b/c", None);
        check("", None);
    }

    #[test]
    fn the_nearest_variant_that_runs_is_chosen() {
        let best = |wanted: &str, offered: &[&str]| {
            let preference = |text: &&&str| parse(wanted).preference(&parse(text));
            offered.iter().filter(|o| preference(o).is_some()).max_by_key(preference).map(|o| o.to_string())
        };
        assert_eq!(best("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"]).as_deref(), Some("linux/arm/v6"));
        assert_eq!(best("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"]).as_deref(), Some("linux/arm/v5"));
        assert_eq!(best("linux/arm64", &["linux/arm/v7", "linux/arm64/v8"]).as_deref(), Some("linux/arm64/v8"));
        assert_eq!(best("linux/amd64", &["linux/amd64/v3", "linux/386"]), None);
        assert_eq!(best("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"]).as_deref(), Some("linux/amd64/v2"));
        assert_eq!(best("linux/amd64", &["windows/amd64"]), None);
    }

    #[test]
    fn the_host_has_a_go_name() {
        let host = Platform::host();
        assert_eq!(host.os, "linux");
        assert_eq!(parse(&host.to_string()), host);
    }
}
