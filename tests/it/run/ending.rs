//! How a step ends: exit codes, signals and everything that keeps a command from running are told apart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use silt::steps::run::{Control, Detected, Error, Isolation, Outcome, Program, detect};

use super::scene::{ELSEWHERE, Scene};

#[test]
fn exit_codes_and_signals_pass_through() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let check = |script: &str, expected| {
            assert_eq!(scene.run(&scene.script(script)), Ok(expected), "{isolation:?}: {script}");
        };
        check("exit 0", Outcome::Exited(0));
        check("exit 1", Outcome::Exited(1));
        check("exit 255", Outcome::Exited(255));
        check("exit 137", Outcome::Exited(137));
        check("kill -TERM $$", Outcome::Signaled(15));
        check("kill -KILL $$", Outcome::Signaled(9));
        check("no-such-command", Outcome::Exited(127));
        // Not ours to judge: the command ended well, whatever its children did.
        check("(exit 3) & exit 0", Outcome::Exited(0));
    }
}

#[test]
fn what_keeps_a_command_from_running_is_named() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let put = |path: &str, text: &str, mode: u32| {
            fs::write(scene.root().join(path), text).unwrap();
            fs::set_permissions(scene.root().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("bin/plain", "text", 0o644);
        put("bin/garbage", "text", 0o755);
        put("bin/orphan", "#!/no/such/interpreter\n", 0o755);
        let check = |argv: &[&str], message: &str, code| {
            let error = scene.run(&scene.step(argv.iter().copied())).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.exit_code()), (message, code), "{isolation:?}: {argv:?}");
        };
        check(&["foo"], r#""foo": not found in PATH"#, Some(127));
        check(&[""], r#""": not found in PATH"#, Some(127));
        check(&["/no/sh", "-c"], r#"exec "/no/sh": No such file or directory"#, Some(127));
        check(&["/bin/sh/x"], r#"exec "/bin/sh/x": No such file or directory"#, Some(127));
        check(&["plain"], r#"exec "/bin/plain": Permission denied"#, Some(126));
        check(&["garbage"], r#"exec "/bin/garbage": Exec format error"#, Some(126));
        check(&["orphan"], r#"exec "/bin/orphan": its interpreter or loader is missing"#, Some(127));
        check(&["/bin"], r#"exec "/bin": Permission denied"#, Some(126));
        check(&["a\0b"], r#"exec "a\0b": a NUL byte in an argument or in the environment"#, Some(126));
    }
}

#[test]
fn a_missing_working_directory_is_named() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let mut spec = scene.script("exit 0");
        spec.cwd = "/no/where".into();
        let error = scene.run(&spec).unwrap_err();
        assert_eq!(error.to_string(), r#"working directory "/no/where": No such file or directory (os error 2)"#);
    }
}

#[test]
fn a_supervisor_that_is_none_is_an_error_and_not_an_exit_code() {
    let mut scene = Scene::new(Isolation::Isolated);
    scene.control = Control::new(Program::open("/bin/true".as_ref()).unwrap());
    let error = scene.run(&scene.script("exit 0")).unwrap_err();
    assert!(matches!(error, Error::SupervisorDied { .. }), "{error}");
}

#[test]
fn a_root_that_is_none_is_an_error() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let mut spec = scene.script("exit 0");
        spec.root = scene.root().join("no/root");
        let error = scene.run(&spec).unwrap_err();
        assert!(error.to_string().contains("no/root"), "{error}");
    }
}

/// By itself with all that the tests may do; started by the test below, without `CAP_SYS_ADMIN`.
#[test]
#[allow(clippy::disallowed_methods, reason = "the one way to tell a test binary something")]
fn the_best_isolation_is_found_by_trying() {
    let mut scene = Scene::new(Isolation::Isolated);
    let before = fs::read_dir(scene.root()).unwrap().count();
    let found = detect(scene.root(), &scene.control).unwrap();
    if std::env::var_os("SILT_TEST_NO_SYS_ADMIN").is_some() {
        assert_eq!(found.isolation, Isolation::Chroot);
        let why = found.refused.as_deref().unwrap_or_default();
        assert!(why.contains("unshare the PID namespace: EPERM"), "{why}");
    } else {
        assert_eq!(found, Detected { isolation: Isolation::Isolated, refused: None });
    }
    assert_eq!(fs::read_dir(scene.root()).unwrap().count(), before, "the probe left something behind");
    scene.isolation = found.isolation;
    assert_eq!(scene.output("echo works"), "works\n");
    let found = detect("/".as_ref(), &scene.control).unwrap();
    assert_eq!(found, Detected { isolation: Isolation::InPlace, refused: None });
}

#[test]
fn without_sys_admin_the_best_isolation_is_chroot() {
    let output = Command::new("setpriv")
        .arg("--bounding-set=-sys_admin")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "run::ending::the_best_isolation_is_found_by_trying"])
        .env("SILT_TEST_NO_SYS_ADMIN", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
