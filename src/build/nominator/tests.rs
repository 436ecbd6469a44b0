//! Which nominator is chosen, and what happens after a loss.

use silt_watcher::{Lost, Nominated};

use super::*;
use crate::snapshot::diff;

/// A root and a scratch directory beside it.
struct Scene {
    dir: tempfile::TempDir,
    root: Root,
    baseline: Baseline,
}

impl Scene {
    fn new(dir: tempfile::TempDir) -> Scene {
        for name in ["root", "scratch"] {
            std::fs::create_dir(dir.path().join(name)).expect("mkdir");
        }
        std::fs::write(dir.path().join("root/f"), "1").expect("write");
        let root = Root::open(&dir.path().join("root")).expect("root");
        let mut baseline = Baseline::default();
        let first = diff(&root, &baseline, &Candidates::Everything).expect("diff");
        baseline.apply(first, crate::snapshot::Contents::default());
        Scene { dir, root, baseline }
    }

    fn on_disk() -> Scene {
        // Where the tests were built, since the directory of temporary files may be a tmpfs.
        let program = std::env::current_exe().expect("this program");
        Scene::new(tempfile::tempdir_in(program.parent().expect("a directory")).expect("tempdir"))
    }

    fn on_tmpfs() -> Scene {
        Scene::new(tempfile::tempdir_in("/dev/shm").expect("tempdir"))
    }

    fn open(&self, mode: SnapshotMode, choice: RecorderChoice) -> Nominator {
        self.open_with(&Wanted { mode, choice, ..wanted() })
    }

    fn open_with(&self, wanted: &Wanted) -> Nominator {
        Nominator::open(wanted, &self.root, self.dir.path().join("scratch"), &self.baseline).expect("opens")
    }

    /// Changes `f` and says what is answered.
    fn step(&self, nominator: &mut Nominator) -> Answer {
        nominator.start(&self.root, &self.baseline);
        std::fs::write(self.dir.path().join("root/f"), "2").expect("write");
        nominator.take(&self.root, &self.baseline)
    }
}

/// The defaults, for a stage with two steps.
fn wanted() -> Wanted {
    let (verify, snapshots) = (Verify::Off, Snapshots::EachStep);
    let (mode, choice, options) = (SnapshotMode::Events, RecorderChoice::Auto, Options::default());
    Wanted { mode, choice, verify, snapshots, runs: 2, options }
}

fn names_f(candidates: &Candidates) -> bool {
    matches!(candidates, Candidates::Only(nominated) if nominated.paths.contains(b"f".as_slice()))
}

#[test]
fn only_a_complete_recording_narrows_the_look() {
    assert!(matches!(complete(Recording::Complete(Nominated::default())), Ok(Candidates::Only(_))));
    assert!(complete(Recording::Partial(Nominated::default())).is_err());
    let why = complete(Recording::Incomplete { why: Lost::Overflow }).expect_err("lost");
    assert!(why.contains("overflowed"), "{why}");
}

#[test]
fn what_was_asked_for_is_used() {
    let scene = Scene::on_disk();
    let check = |mode, choice, recorder| {
        let answer = scene.step(&mut scene.open(mode, choice));
        assert_eq!((answer.recorder, answer.why), (recorder, None));
        assert_eq!(names_f(&answer.candidates), recorder != "full");
        assert_eq!(answer.stats, if ["sweep", "redo", "time"].contains(&recorder) { 2 } else { 0 });
        assert_eq!(answer.lost, None);
    };
    check(SnapshotMode::Events, RecorderChoice::Auto, "fanotify");
    check(SnapshotMode::Events, RecorderChoice::Fanotify, "fanotify");
    check(SnapshotMode::Events, RecorderChoice::Dirwatch, "dirwatch");
    check(SnapshotMode::Events, RecorderChoice::Sweep, "sweep");
    check(SnapshotMode::Events, RecorderChoice::Full, "full");
    check(SnapshotMode::Full, RecorderChoice::Sweep, "full");
    check(SnapshotMode::Redo, RecorderChoice::Auto, "redo");
    check(SnapshotMode::Time, RecorderChoice::Auto, "time");
}

/// A link in a new directory, written through and removed: watches hear nothing of the file.
#[test]
fn what_watches_do_not_hear_of_is_found_when_the_stage_is_settled() {
    let check = |scene: Scene, settled_by, finds_f: fn(&Candidates) -> bool| {
        let mut nominator = scene.open(SnapshotMode::Events, RecorderChoice::Dirwatch);
        assert!(nominator.settle(&scene.root, &scene.baseline).is_none(), "no step, nothing to settle");
        nominator.start(&scene.root, &scene.baseline);
        let root = scene.dir.path().join("root");
        std::fs::create_dir(root.join("new")).expect("mkdir");
        std::fs::hard_link(root.join("f"), root.join("new/link")).expect("link");
        std::fs::write(root.join("new/link"), "2").expect("write");
        std::fs::remove_dir_all(root.join("new")).expect("rm");
        let heard = nominator.take(&scene.root, &scene.baseline);
        assert_eq!(heard.recorder, "dirwatch");
        assert!(!names_f(&heard.candidates), "then this test shows nothing: {:?}", heard.candidates);
        let settled = nominator.settle(&scene.root, &scene.baseline).expect("something to settle");
        assert_eq!(settled.recorder, settled_by);
        assert!(finds_f(&settled.candidates), "{:?}", settled.candidates);
        assert!(nominator.settle(&scene.root, &scene.baseline).is_none(), "it is settled");
    };
    check(Scene::on_disk(), "sweep", names_f);
    check(Scene::on_tmpfs(), "full", |candidates| matches!(candidates, Candidates::Everything));
}

#[test]
fn watches_pay_in_a_large_tree_with_several_steps() {
    let small = Scene::on_disk();
    let check = |baseline: &Baseline, verify, runs, expected| {
        let wanted = Wanted { verify, runs, ..wanted() };
        let scratch = small.dir.path().join("scratch");
        let source = Source::without_mark(&wanted, &small.root, &scratch, baseline, "why".to_owned());
        assert_eq!(matches!(source, Source::Dirwatch { .. }), expected, "{runs} steps, {verify:?}");
    };
    check(&small.baseline, Verify::Off, 10, false);
    let mut tree = small.baseline.tree().clone();
    let path = |name: &str| RootPath::clean(name).expect("path");
    let file = tree.get(&path("f")).expect("recorded").clone();
    (0..source::MANY).for_each(|number| drop(tree.insert(path(&format!("x{number}")), file.clone())));
    let large = Baseline::new(tree);
    check(&large, Verify::Off, 2, true);
    check(&large, Verify::Off, 1, false);
    check(&large, Verify::Each, 2, false);
    let single = Wanted { snapshots: Snapshots::EachStage, runs: 9, ..wanted() };
    let scratch = small.dir.path().join("scratch");
    let source = Source::without_mark(&single, &small.root, &scratch, &large, "why".to_owned());
    assert!(matches!(source, Source::Sweep { .. }), "one sweep comes in any case");
}

#[test]
fn a_sweep_on_tmpfs_is_a_walk_and_says_why() {
    let scene = Scene::on_tmpfs();
    let answer = scene.step(&mut scene.open(SnapshotMode::Events, RecorderChoice::Sweep));
    assert_eq!(answer.recorder, "full");
    assert!(answer.why.is_some_and(|why| why.contains("tmpfs")));
}

/// More is heard of than may be kept in memory.
#[test]
fn a_recording_that_grows_too_large_is_swept() {
    for choice in [RecorderChoice::Fanotify, RecorderChoice::Dirwatch] {
        let scene = Scene::on_disk();
        let options = Options { memory: 20_000, ..Options::default() };
        let mut nominator = scene.open_with(&Wanted { choice, options, ..wanted() });
        nominator.start(&scene.root, &scene.baseline);
        (0..1000).for_each(|number| {
            std::fs::write(scene.dir.path().join(format!("root/{number}")), "").expect("write");
        });
        let answer = nominator.take(&scene.root, &scene.baseline);
        assert_eq!((answer.recorder, answer.stats), ("sweep", 2), "{choice:?}");
        assert!(answer.lost.is_some_and(|lost| lost.contains("more than 20000 bytes")), "{choice:?}");
        let Candidates::Only(nominated) = answer.candidates else { panic!("everything") };
        assert_eq!(nominated.trees.len(), 1000, "{choice:?}");
        assert!(nominator.settle(&scene.root, &scene.baseline).is_none(), "the sweep was of everything");
    }
}

/// Watches that answer for the only snapshot of a stage are settled by the sweep at once.
#[test]
fn one_snapshot_of_a_stage_leaves_nothing_to_settle() {
    let scene = Scene::on_disk();
    let mut nominator = scene.open(SnapshotMode::Events, RecorderChoice::Dirwatch);
    nominator.start(&scene.root, &scene.baseline);
    std::fs::write(scene.dir.path().join("root/f"), "2").expect("write");
    let answer = nominator.take_settled(&scene.root, &scene.baseline);
    assert!(names_f(&answer.candidates) && answer.events > 0 && answer.lost.is_none());
    assert_eq!(answer.recorder, "sweep");
    assert!(nominator.is_settled());
}

/// New directories do not fit into what may be watched.
#[test]
fn watches_that_are_refused_later_are_given_up_and_made_up_for() {
    let scene = Scene::on_disk();
    let options = Options { watches: Some(3), ..Options::default() };
    let mut nominator = scene.open_with(&Wanted { choice: RecorderChoice::Dirwatch, options, ..wanted() });
    assert_eq!(scene.step(&mut nominator).recorder, "dirwatch");
    let directory = |name: &str| {
        let path = scene.dir.path().join("root").join(name);
        std::fs::create_dir(&path).expect("mkdir");
        let inode = Inode::of(std::fs::File::open(&path).expect("open")).expect("stat");
        (RootPath::clean(name).expect("path"), inode)
    };
    nominator.follow(&scene.root, vec![directory("a")]);
    assert!(nominator.given_up.is_none());
    nominator.follow(&scene.root, vec![directory("b")]);
    let settled = nominator.settle(&scene.root, &scene.baseline).expect("something to settle");
    assert_eq!(settled.recorder, "sweep");
    let lost = settled.lost.expect("a reason");
    assert!(lost.contains("new directories cannot be watched: 4 inotify watches are needed, 3 may be taken"), "{lost}");
}

/// The marker of the recorder cannot be made, so that its recording is lost.
#[test]
fn after_a_loss_the_tree_is_swept_or_walked() {
    let check = |scene: Scene, recorder, reason: &str| {
        let mut nominator = scene.open(SnapshotMode::Events, RecorderChoice::Auto);
        nominator.start(&scene.root, &scene.baseline);
        std::fs::write(scene.dir.path().join("root/f"), "2").expect("write");
        std::fs::remove_dir(scene.dir.path().join("scratch")).expect("rmdir");
        nominator.scratch = scene.dir.path().to_owned();
        let answer = nominator.take(&scene.root, &scene.baseline);
        assert_eq!(answer.recorder, recorder);
        let why = answer.why.unwrap_or_default();
        assert!(why.contains("lost") && why.contains(reason), "{why}");
        assert!(answer.lost.is_some_and(|lost| why.contains(&lost)), "{why}");
    };
    check(Scene::on_disk(), "sweep", "");
    check(Scene::on_tmpfs(), "full", "tmpfs");
}
