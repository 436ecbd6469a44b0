//! `FF_KANIKO_*`: the switches of kaniko's living fork, and where we stand on each.
//!
//! What most of them switch on is a correction, and what is correct is done anyway; so nearly none changes anything here. They are
//! accepted, and one that asks for the other way gets a warning.

use super::env::Env;
use super::values::go_bool;

/// How loudly something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Something that was asked for does not happen.
    Warning,
    /// Nothing to worry about.
    Remark,
}

/// Where we stand on a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// What it switches on is what we do.
    Always,
    /// It chooses between ways that come to the same here.
    Either,
    /// What it switches on is not offered.
    Never,
    /// It does here what it says.
    Obeyed,
}

/// A switch.
pub(super) struct Feature {
    /// What follows `FF_KANIKO_`.
    pub(super) name: &'static str,
    pub(super) stance: Stance,
    /// What we do.
    pub(super) here: &'static str,
}

const PREFIX: &str = "FF_KANIKO_";

const fn always(name: &'static str, here: &'static str) -> Feature {
    Feature { name, stance: Stance::Always, here }
}

const fn either(name: &'static str, here: &'static str) -> Feature {
    Feature { name, stance: Stance::Either, here }
}

const fn never(name: &'static str, here: &'static str) -> Feature {
    Feature { name, stance: Stance::Never, here }
}

const fn obeyed(name: &'static str, here: &'static str) -> Feature {
    Feature { name, stance: Stance::Obeyed, here }
}

/// Those of the fork's 1.28, the retired ones, and those seen announced.
pub(super) const FEATURES: &[Feature] = &[
    always("BUILDKIT_ARG_ENV_PRECEDENCE", "of ARG and ENV the later one holds"),
    either("CACHE_LOOKAHEAD", "an assertion for kaniko's developers"),
    always("CACHE_PROBE_AFTER_MISS", "a miss does not end the lookups"),
    always("CHOWN_ON_IMPLICIT_DIRS", "directories that WORKDIR and COPY make belong to whom the rest does"),
    always("CLEAN_KANIKO_DIR", "what a build made for itself goes at its end"),
    always("COPY_AS_ROOT", "what COPY brings from the context belongs to root"),
    never("COPY_CHMOD_ON_IMPLICIT_DIRS", "--chmod is for what COPY copies; directories on the way have mode 0755"),
    always("CROSS_REPO_MOUNT", "layers that the registry has elsewhere are mounted"),
    always("DEPRECATE_INTER_STAGE_RESTORE", "nothing is restored between stages"),
    obeyed("DISABLE_HTTP2", "on, HTTP/2 is not spoken"),
    always("EXPAND_HEREDOC", "variables are expanded as the specification has it"),
    always("HASH_DIR_FRAMING", "the parts of a key are framed by their lengths"),
    always("IGNORE_CACHED_MANIFEST", "of an entry the layer is used and nothing else"),
    always("INFER_CROSS_STAGE_CACHE_KEY", "the key of a copy follows from that of its stage"),
    always("NATIVE_COPY", "files are copied by the kernel or by us, never by another program"),
    always("NO_PROPAGATE_ANNOTATIONS", "annotations of a base image stay with it"),
    always("OCI_SCRATCH_BASE", "an image from scratch has the OCI format"),
    either("OCI_STAGES", "stages are kept as trees"),
    either("OCI_WARMER", "the warmer writes OCI layouts; layouts and archives are read"),
    either("PATH_SCOPED_REGISTRY_AUTH", "a credential goes only to the place that it is for"),
    either("POOL_REGISTRY_CONNECTIONS", "connections are kept for the next request"),
    either("PRECOMPILE_DOCKERIGNORE", "patterns are read once"),
    always("PRESERVE_HARDLINKS", "names of one file stay names of one file"),
    always("PRESERVE_MOUNTED_PATHS", "what is mounted is left alone"),
    always("PRESERVE_MOUNTED_SYMLINKS", "what is mounted is left alone"),
    always("RELATIVE_LINK_TARGETS", "links in layers are relative"),
    either("REPRODUCIBLE_PRESERVE_BASE_LAYERS", "layers of a base image are never changed"),
    always("RESOLVE_CACHE_KEY", "keys have variables replaced"),
    always("ROLLING_CACHE_KEY", "the parts of a key are framed by their lengths"),
    always("RUN_HONOR_GROUP", "RUN has the group that USER names"),
    always("RUN_MOUNT_BIND", "mounts of RUN are always made"),
    always("RUN_MOUNT_CACHE", "mounts of RUN are always made"),
    always("RUN_MOUNT_SECRET", "mounts of RUN are always made"),
    always("RUN_VIA_TINI", "a supervisor ends and reaps all that a RUN leaves running"),
    always("SCOPED_DOCKERIGNORE", "ignore rules are for the context alone"),
    always("SECUREJOIN_EXTRACTION", "nothing is unpacked outside of the root"),
    either("SHARED_BASE_CACHE", "a base image is downloaded once"),
    always("SKIP_CACHED_STAGES", "a stage whose steps nobody needs is not built"),
    either("SKIP_INTERSTAGE_CLEANUP", "each stage begins with an empty root"),
    always("SKIP_RELABEL_RECOMPRESS", "layers of a base image are never compressed again"),
    always("SKIP_WRITE_WHITEOUTS", "a whiteout removes and is no file"),
    either("SQUASH_STAGES", "a stage that only feeds another costs no more than its steps"),
    always("UNTAR_SKIP_ROOT", "an archive does not change the directory that it is unpacked in"),
    always("VOLUME_SKIP_MKDIR", "VOLUME makes no directory"),
    always("WARMER_CACHE_LOCK", "one warmer at a time works on an image"),
];

/// What is to be said of the switches that are set.
pub(super) fn check(env: &Env) -> impl Iterator<Item = (Weight, String)> {
    env.beginning_with(PREFIX).map(|(name, value)| {
        let feature = FEATURES.iter().find(|feature| name.strip_prefix(PREFIX) == Some(feature.name));
        let Some(feature) = feature else {
            return (Weight::Remark, format!("{name}={value}: no such switch is known, so nothing changes"));
        };
        let wish = go_bool(value);
        let weight = match (feature.stance, &wish) {
            (_, Err(_)) | (Stance::Always, Ok(false)) | (Stance::Never, Ok(true)) => Weight::Warning,
            _ => Weight::Remark,
        };
        let fault = wish.as_ref().err().map(|fault| format!(" ({fault})")).unwrap_or_default();
        let followed = feature.stance == Stance::Obeyed && wish.is_ok();
        let effect = if followed { "is followed" } else { "changes nothing" };
        (weight, format!("{name}={value} {effect}{fault}: {}", feature.here))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, value: &str) -> (Weight, String) {
        let found: Vec<_> = check(&Env::of(&[(name, value)])).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].clone()
    }

    #[test]
    fn what_is_ours_anyway_is_a_remark_and_its_opposite_a_warning() {
        assert_eq!(said("FF_KANIKO_PRESERVE_HARDLINKS", "true").0, Weight::Remark);
        let (weight, text) = said("FF_KANIKO_PRESERVE_HARDLINKS", "0");
        assert_eq!(weight, Weight::Warning);
        assert!(text.contains("FF_KANIKO_PRESERVE_HARDLINKS=0") && text.contains("names of one file"), "{text}");
        assert_eq!(said("FF_KANIKO_SQUASH_STAGES", "false").0, Weight::Remark);
        assert_eq!(said("FF_KANIKO_NEW_IN_2031", "true").0, Weight::Remark);
        assert_eq!(said("FF_KANIKO_PRESERVE_HARDLINKS", "yes").0, Weight::Warning);
        assert_eq!(check(&Env::of(&[("FF_OTHER", "1"), ("KANIKO_DIR", "/k")])).count(), 0);
    }

    #[test]
    fn a_switch_stands_once() {
        let names: std::collections::BTreeSet<_> = FEATURES.iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), FEATURES.len());
    }
}
