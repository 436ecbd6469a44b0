//! All cells once: the file systems are mounted, and this program runs in each context, in all of them at the same time, as
//! sequences wait for clocks and events more than they compute.

use std::path::Path;

use crate::contexts::Context;
use crate::grounds::Grounds;
use crate::job::{Job, Outcome};
use crate::mounted::privately;
use crate::support::container::Engine;
use crate::support::{Machine, machine, run};

/// Outcomes by context.
pub type Outcomes = Vec<(Context, Vec<Outcome>)>;

/// Runs `sequences` of each feasible cell of the `wanted` contexts, with the seeds from `first` on.
pub fn run_all(first: u64, sequences: u64, wanted: impl Fn(&Context) -> bool + Send) -> Outcomes {
    let _machine = machine(Machine::Shared);
    let engine = Engine::new();
    engine.executor_image(Path::new("/bin/busybox"), "stand-in");
    privately(|top| {
        let _mounted = Grounds::of_the_machine(top, first);
        let job = &|context: Context| {
            let job = Job { top: top.to_owned(), context: context.name().to_owned(), first, sequences };
            let job = serde_json::to_string(&job).unwrap();
            let said = run(&mut context.command(&engine, top, &["job", &job]));
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        std::thread::scope(|scope| {
            let jobs =
                Context::ALL.into_iter().filter(wanted).map(|context| (context, scope.spawn(move || job(context))));
            let jobs: Vec<_> = jobs.collect();
            jobs.into_iter().map(|(context, job)| (context, job.join().unwrap())).collect()
        })
    })
}
