//! For which platforms a step can run here: this machine's, those that its processor has besides, and those that the kernel has an
//! emulator for. Whether a program starts in the end is the kernel's to say.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::dockerfile::nearest;
use crate::oci::Platform;
use crate::plan::Stage;

/// The kernel's table of emulators.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Go's names of architectures, as far as Linux runs on them.
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x",
];

/// The platform that the base of `stage` is to be for: that of its FROM, else the image's.
///
/// # Errors
/// A flag that is no platform.
pub(super) fn of_base(stage: &Stage, image: &Platform) -> Result<Platform> {
    match &stage.platform {
        Some(platform) => Ok(platform.parse()?),
        None => Ok(image.clone()),
    }
}

/// Refuses a RUN for a platform whose programs cannot run here.
pub(super) fn check_run(platform: &Platform) -> Result<()> {
    let host = Platform::host();
    if runs(&host, platform) || is_emulated(Path::new(BINFMT), &platform.architecture) {
        return Ok(());
    }
    if !ARCHITECTURES.contains(&platform.architecture.as_str()) {
        let near = nearest(&platform.architecture, ARCHITECTURES);
        let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
        bail!("{:?} is no architecture that is known here{near}", platform.architecture);
    }
    bail!(
        "RUN needs to run programs for {platform}, and this machine is {host}: build the stage elsewhere, register an emulator \
         with binfmt_misc (with the flag F), or begin the stage with FROM --platform=$BUILDPLATFORM"
    )
}

/// Whether a processor of `host` runs what is for `platform`. Variants are left to the processor.
fn runs(host: &Platform, platform: &Platform) -> bool {
    let pair = (host.architecture.as_str(), platform.architecture.as_str());
    platform.os == host.os && (pair.0 == pair.1 || matches!(pair, ("amd64", "386") | ("arm64", "arm")))
}

/// Whether `table` has an enabled emulator that is open already, so that it is found from within any root.
fn is_emulated(table: &Path, architecture: &str) -> bool {
    let name = match architecture {
        "386" => "i386",
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "loong64" => "loongarch64",
        "mips64le" => "mips64el",
        "mipsle" => "mipsel",
        other => other,
    };
    let entry = fs::read_to_string(table.join(format!("qemu-{name}"))).unwrap_or_default();
    let is_open = |line: &str| line.strip_prefix("flags:").is_some_and(|flags| flags.contains('F'));
    entry.lines().any(|line| line == "enabled") && entry.lines().any(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_runs_its_own_and_what_its_processor_has_besides() {
        let check = |host: &str, platform: &str, expected: bool| {
            let parse = |text: &str| text.parse::<Platform>().expect(text);
            assert_eq!(runs(&parse(host), &parse(platform)), expected, "{host} {platform}");
        };
        check("linux/amd64", "linux/amd64", true);
        check("linux/amd64", "linux/amd64/v3", true);
        check("linux/amd64", "linux/386", true);
        check("linux/amd64", "linux/arm64", false);
        check("linux/amd64", "windows/amd64", false);
        check("linux/arm64", "linux/arm/v7", true);
        check("linux/arm64", "linux/386", false);
        check("linux/386", "linux/amd64", false);
    }

    #[test]
    fn an_emulator_counts_if_it_is_enabled_and_open() {
        let table = tempfile::tempdir().expect("a directory");
        let check = |entry: &str, expected: bool| {
            fs::write(table.path().join("qemu-aarch64"), entry).expect("write");
            assert_eq!(is_emulated(table.path(), "arm64"), expected, "{entry:?}");
        };
        check("enabled\ninterpreter /q\nflags: OCF\noffset 0\n", true);
        check("enabled\ninterpreter /q\nflags: OC\noffset 0\n", false);
        check("disabled\ninterpreter /q\nflags: F\noffset 0\n", false);
        assert!(!is_emulated(table.path(), "riscv64"));
    }
}
