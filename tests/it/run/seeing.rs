//! What a command sees and gets: its environment, ids, descriptors and signals exactly; of the host nothing.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use silt::steps::run::{Isolation, Outcome};

use super::scene::{ELSEWHERE, Scene};

#[test]
fn the_environment_is_exactly_the_given_one() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        scene.compile("environ");
        let env = [&b"PATH=/bin"[..], b"EMPTY=", b"A=1", b"A=2", b"odd name= = ", b"BYTES=\xff\n"];
        let mut spec = scene.step(["environ", "/tmp/environ"]);
        spec.env = env.iter().map(|entry| OsString::from_vec(entry.to_vec())).collect();
        assert_eq!(scene.run(&spec), Ok(Outcome::Exited(0)));
        let found = fs::read(scene.root().join("tmp/environ")).unwrap();
        assert_eq!(found, [&env.join(&0), &b"\0"[..]].concat());
    }
}

#[test]
fn ids_and_groups_are_exactly_the_given_ones() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        fs::create_dir(scene.root().join("out")).unwrap();
        std::os::unix::fs::chown(scene.root().join("out"), Some(1234), Some(5678)).unwrap();
        let mut spec = scene.script("echo $(id -u) $(id -g) $(id -G) > ids; umask > umask; pwd > pwd");
        (spec.uid, spec.gid, spec.groups, spec.cwd) = (1234, 5678, vec![7, 99999, 5], "/out".into());
        assert_eq!(scene.run(&spec), Ok(Outcome::Exited(0)));
        assert_eq!(scene.read("out/ids"), "1234 5678 5678 5 7 99999\n");
        assert_eq!(scene.read("out/umask"), "0022\n");
        assert_eq!(scene.read("out/pwd"), "/out\n");
        assert_eq!(scene.output("echo $(id -u) $(id -g) $(id -G)"), "0 0 0\n");
    }
}

#[test]
fn the_command_inherits_no_descriptor_and_no_signal_state() {
    // A descriptor without close-on-exec, as a careless parent of the executor would leave it.
    let leaked = fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let scene = Scene::new(Isolation::Isolated);
    let spec = scene.script("ls /proc/self/fd/ > /tmp/fds; readlink /proc/self/fd/0 > /tmp/stdin");
    assert_eq!(scene.run(&spec), Ok(Outcome::Exited(0)));
    // The fourth is the directory that ls itself reads.
    assert_eq!(scene.read("tmp/fds"), "0\n1\n2\n3\n");
    assert_eq!(scene.read("tmp/stdin"), "/dev/null\n");
    let status = scene.output("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
    assert!(status.lines().all(|line| line.ends_with("0000000000000000")), "{status}");
    drop(leaked);
}

#[test]
fn an_isolated_command_sees_no_process_of_the_host() {
    let scene = Scene::new(Isolation::Isolated);
    let pids = scene.output("cd /proc; ls -d [0-9]*");
    assert!(pids.lines().all(|pid| pid.parse::<u32>().unwrap() < 10), "{pids}");
    assert_eq!(scene.output("kill -0 1 && echo there"), "there\n");
    // Process 1 is our own code, and tells nothing about the host.
    let denied =
        scene.output("for x in exe cwd root fd/0; do readlink /proc/1/$x; done; cat /proc/1/environ 2>&1; true");
    assert_eq!(denied, "cat: can't open '/proc/1/environ': Permission denied\n");
}

#[test]
fn an_isolated_command_has_dockers_capabilities() {
    let scene = Scene::new(Isolation::Isolated);
    let lines = scene.output("grep ^Cap /proc/self/status");
    let expected = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
                    CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n";
    assert_eq!(lines, expected);
    let mut spec = scene.script("grep ^Cap /proc/self/status > /tmp/caps");
    fs::write(scene.root().join("tmp/caps"), "").unwrap();
    std::os::unix::fs::chown(scene.root().join("tmp/caps"), Some(1000), None).unwrap();
    (spec.uid, spec.gid) = (1000, 1000);
    assert_eq!(scene.run(&spec), Ok(Outcome::Exited(0)));
    assert_eq!(scene.read("tmp/caps"), expected.replacen("a80425fb", "00000000", 2));
}

#[test]
fn an_isolated_command_cannot_change_the_host() {
    let scene = Scene::new(Isolation::Isolated);
    let check = |script: &str| {
        let outcome = scene.run(&scene.script(&format!("{script} 2> /tmp/errors")));
        assert!(matches!(outcome, Ok(Outcome::Exited(code)) if code != 0), "{script}: {outcome:?}");
    };
    check("cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern");
    check("echo h > /proc/sysrq-trigger");
    check("mkdir /sys/x");
    check("mount -t tmpfs none /tmp");
    check("umount /proc");
    check("mount -o remount,rw /proc/sys");
    let masked = ["/proc/kcore", "/proc/keys", "/proc/timer_list"];
    let masked: Vec<&str> = masked.into_iter().filter(|path| fs::exists(path).unwrap()).collect();
    assert!(!masked.is_empty());
    assert_eq!(scene.output(&format!("cat {} | wc -c", masked.join(" "))), "0\n");
}

#[test]
fn the_devices_of_an_isolated_command_work_and_are_its_own() {
    let scene = Scene::new(Isolation::Isolated);
    assert_eq!(scene.output("echo x > /dev/null; head -c 2 /dev/zero | wc -c; cat /dev/null"), "2\n");
    assert_eq!(scene.output("head -c 8 /dev/urandom | wc -c; echo x > /dev/full || echo full"), "8\nfull\n");
    assert_eq!(scene.output("(echo out > /dev/stdout) | cat; echo fd | cat /dev/fd/0"), "out\nfd\n");
    assert_eq!(
        scene.output("stat -c '%a %F' /dev/shm /dev/pts /dev/null /dev/ptmx | tr '\\n' ','"),
        "1777 directory,755 directory,666 character special file,777 symbolic link,"
    );
    let before = fs::metadata("/dev/null").unwrap().permissions();
    scene.output("chmod 600 /dev/null; chmod 600 /proc/self/fd/0; ls > /dev/ptmx");
    assert_eq!(fs::metadata("/dev/null").unwrap().permissions(), before);
}

#[test]
fn a_device_that_an_isolated_command_makes_or_finds_leads_nowhere() {
    let scene = Scene::new(Isolation::Isolated);
    // What an image brings, or an earlier step.
    let made = Command::new("mknod").arg(scene.root().join("brought")).args(["c", "1", "5"]).status().unwrap();
    assert!(made.success());
    scene.output("mknod /tmp/zero c 1 5; mknod /dev/zero2 c 1 5; mknod /dev/shm/zero c 1 5; mknod /tmp/disk b 254 0");
    for path in ["/brought", "/tmp/zero", "/dev/zero2", "/dev/shm/zero", "/tmp/disk"] {
        let outcome = scene.run(&scene.script(&format!("head -c 1 {path} > /tmp/read 2> /tmp/said")));
        assert_eq!(outcome, Ok(Outcome::Exited(1)), "{path}");
        let said = scene.read("tmp/said");
        assert!(said.contains("Permission denied") || said.contains("No such file"), "{path}: {said}");
        assert_eq!(scene.read("tmp/read"), "", "{path}");
    }
    assert_eq!(scene.output("ls -A /dev | grep -c '^[.]' || true"), "0\n", "nothing of ours lies about");
}

#[test]
fn the_hosts_network_names_are_lent_and_writes_to_them_are_lost() {
    for isolation in ELSEWHERE {
        let scene = Scene::new(isolation);
        let host = fs::read_to_string("/etc/hosts").unwrap();
        assert_eq!(scene.output("cat /etc/hosts; echo evil >> /etc/hosts"), host);
        assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), host);
        assert!(!scene.root().join("etc").exists());
    }
    let scene = Scene::new(Isolation::Isolated);
    fs::create_dir(scene.root().join("etc")).unwrap();
    fs::write(scene.root().join("etc/hosts"), "the image's own\n").unwrap();
    assert_eq!(scene.output("cat /etc/hosts; echo evil >> /etc/hosts"), fs::read_to_string("/etc/hosts").unwrap());
    assert_eq!(scene.read("etc/hosts"), "the image's own\n");
}

#[test]
fn an_isolated_command_cannot_leave_its_root() {
    let scene = Scene::new(Isolation::Isolated);
    scene.compile("escape");
    assert_eq!(scene.run(&scene.step(["/bin/escape"])), Ok(Outcome::Exited(0)), "the attempt itself works");
    assert!(scene.root().join("silt-was-here").exists(), "it has come no further than its own root");
    assert!(!std::path::Path::new("/silt-was-here").exists());
    // The same program does leave a plain chroot, so that the test above would notice.
    let scene = Scene::new(Isolation::Chroot);
    scene.compile("escape");
    assert_eq!(scene.run(&scene.step(["/bin/escape"])), Ok(Outcome::Exited(0)));
    assert!(!scene.root().join("silt-was-here").exists());
    fs::remove_file("/silt-was-here").unwrap();
}

#[test]
fn ipc_objects_are_its_own_and_the_network_is_the_hosts() {
    let scene = Scene::new(Isolation::Isolated);
    let own = fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_ne!(scene.output("readlink /proc/self/ns/ipc").trim(), own.to_str().unwrap());
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(scene.output("readlink /proc/self/ns/net").trim(), own.to_str().unwrap());
}

#[test]
fn in_place_nothing_is_changed_but_what_must_be() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::new(Isolation::InPlace);
    let mut spec =
        scene.script("grep ^Cap /proc/self/status > caps; readlink /proc/self/root /proc/self/ns/pid > seen; exit 3");
    (spec.root, spec.cwd) = ("/".into(), dir.path().to_owned());
    spec.env = vec!["PATH=/usr/bin:/bin".into()];
    assert_eq!(scene.run(&spec), Ok(Outcome::Exited(3)));
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own: Vec<&str> = own.lines().filter(|line| line.starts_with("Cap")).collect();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("caps").lines().collect::<Vec<_>>(), own);
    assert_eq!(read("seen"), format!("/\n{}\n", fs::read_link("/proc/self/ns/pid").unwrap().display()));
}
