//! The executor: builds an image. Started again under a hidden word it is the supervisor of one RUN step.

fn main() {
    if std::env::args_os().nth(1).is_some_and(|word| word == silt::steps::run::SUPERVISE) {
        #[allow(clippy::disallowed_methods, reason = "a binary may exit")]
        std::process::exit(silt::steps::run::supervise_main());
    }
}
