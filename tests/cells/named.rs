//! Every kind of change by its name, as a stage of one step, on every feasible cell.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::changes::{NOT_HEARD, OPERATIONS, build};
use crate::contexts::Context;
use crate::grounds::Ground;
use crate::replay::Replay;
use crate::stage::{Rung, Setting};

/// What cannot be done with some rights, by a step as little as by this test: mounting, other owners, devices.
const FORBIDDEN: [(&str, &[Context]); 6] = [
    ("bind mount in another mount namespace", &[Context::Capabilities, Context::Container]),
    ("chroot", &[Context::Capabilities, Context::Container]),
    ("owner of a file", &[Context::UserNamespace]),
    ("owner of a directory", &[Context::UserNamespace]),
    ("owner of a symlink", &[Context::UserNamespace]),
    ("device", &[Context::UserNamespace]),
];

/// Does each; how many were done.
///
/// # Errors
/// The first that is missed, or that is missed by watches though they can hear of it.
pub fn run(
    setting: &Setting,
    replay: &mut Replay,
    place: &Path,
    context: Context,
    ground: Ground,
) -> Result<u64, String> {
    replay.enter(&place.join("named"));
    let (root, outside) = (replay.world.root().to_owned(), place.join("named/outside"));
    let mut done = 0;
    for (what, act, _) in OPERATIONS {
        build(&root, &outside);
        let forbidden = FORBIDDEN.iter().any(|(other, contexts)| other == what && contexts.contains(&context));
        if forbidden {
            let outcome = catch_unwind(AssertUnwindSafe(|| act(&root, &outside)));
            if outcome.is_ok() {
                return Err(format!("{what}: it can be done after all"));
            }
            continue;
        }
        let unheard = setting.change(replay, || act(&root, &outside)).map_err(|how| format!("{what}: {how}"))?;
        let unheard: Vec<String> = unheard.iter().map(|path| format!("{path}")).collect();
        let excused = setting.rung == Rung::Dirwatch && NOT_HEARD.iter().any(|(other, _)| other == what);
        if excused == unheard.is_empty() && !(excused && ground.hides_links(context)) {
            return Err(format!("{what}: unheard {unheard:?}, excused: {excused}"));
        }
        done += 1;
    }
    fs::remove_dir_all(place.join("named")).map_err(|error| error.to_string())?;
    Ok(done)
}
