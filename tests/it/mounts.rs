//! RUN --mount, the same by all three ways in which a RUN runs: what the step sees, and that nothing of it is left in the image,
//! on the disk, in the configuration or in a log, also after a build that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::agent::Agent;
use crate::support::container::Engine;
use crate::support::executor::{Build, Built, EXECUTOR};
use crate::support::registry::Registry;
use crate::support::{Machine, bases, image, machine, run};

/// No word of any test or program.
const SECRET: &str = "zu6Ahqu1ieYohxo5ToPh3Sek";

/// Without the right to mount, so that `chroot` is all that is left.
const CHROOT: [&str; 2] = ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-sys_resource"];

const DOCKERFILE: &str = r#"FROM base AS tools
RUN mkdir /out && echo tool > /out/tool && chmod 700 /out

FROM base
RUN mkdir -p /shadowed && echo the-images-own > /shadowed/file
RUN --mount=type=bind,source=dir,target=/ctx \
    --mount=from=tools,source=/out,target=/tools,rw \
    --mount=type=cache,target=/var/cache/new,uid=1000,gid=1000,mode=0750 \
    --mount=type=cache,id=other,target=/shadowed \
    --mount=type=tmpfs,target=/scratch/deep \
    --mount=type=secret,id=token,mode=0444 \
    --mount=type=secret,id=token,target=/etc/motd,uid=1000,gid=1000,mode=0400 \
    --mount=type=secret,id=token,env=TOKEN \
    --mount=type=secret,id=missing \
    set -e; \
    cat /ctx/file > /seen; test ! -e /ctx/ignored; stat -c %u:%g /ctx/file >> /seen; \
    cat /tools/tool >> /seen; echo thrown-away > /tools/written; \
    stat -c %u:%g:%a /var/cache/new >> /seen; echo 1 > /var/cache/new/x; \
    ls -A /shadowed | wc -l >> /seen; echo 2 > /shadowed/y; \
    ls -A /scratch/deep | wc -l >> /seen; echo big > /scratch/deep/z; \
    sha256sum < /run/secrets/token | cut -c1-64 >> /seen; \
    test "$TOKEN" = "$(cat /run/secrets/token)"; test "$TOKEN" = "$(cat /etc/motd)"; \
    stat -L -c %u:%g:%a /etc/motd >> /seen; \
    test ! -e /run/secrets/missing
RUN --mount=type=cache,target=/var/cache/new --mount=type=cache,id=other,target=/cache cat /var/cache/new/x /cache/y >> /seen
RUN cat /shadowed/file /etc/motd > /after; test ! -e /run/secrets/token; test ! -e /tools; test -z "$TOKEN"
RUN <<END
#!/bin/sh
echo "script $0" > /script
END
RUN <<END
a=shell
echo $a document > /document
END
COPY --from=tools /out /out
"#;

fn seen() -> String {
    let sum = run(Command::new("sh").args(["-c", &format!("printf %s {SECRET} | sha256sum | cut -c1-64")]));
    format!("from the context\n0:0\ntool\n1000:1000:750\n0\n0\n{sum}1000:1000:400\n1\n2\n")
}

/// The build of [`DOCKERFILE`] or another, with its context and its secret.
fn build(dockerfile: &str) -> Build {
    let build = Build::new(dockerfile)
        .base("base", &bases::busybox())
        .file("dir/file", "from the context\n")
        .file("dir/ignored", "x")
        .file(".dockerignore", "**/ignored\n");
    let secret = build.dir().join("secret");
    fs::write(&secret, SECRET).unwrap();
    build.arg(format!("--secret=id=token,src={}", secret.display())).arg("--verbosity=trace")
}

/// What the steps saw, and that the image has that and nothing of the mounts.
fn check_image(image: &image::Unpacked, scripts: &str) {
    check_no_leak(&image.tree());
    let read = |path: &str| fs::read_to_string(image.tree().join(path)).unwrap();
    assert_eq!(read("seen"), seen());
    assert!(read("after").starts_with("the-images-own\n"), "{}", read("after"));
    assert_eq!(read("script"), format!("script {scripts}/END\n"));
    assert_eq!(read("document"), "shell document\n");
    assert!(!image.tree().join("out/written").exists());
    for foreign in
        ["ctx", "tools", "scratch", "cache", "var/cache/new", "run/secrets", "dev/pipes", ".pipes", "shadowed/y"]
    {
        assert!(image.tree().join(foreign).symlink_metadata().is_err(), "{foreign}");
    }
    let names = image.layer_names();
    // The layers of the last stage: what its RUNs and its COPY made.
    let own: Vec<&Vec<String>> = names.iter().skip(names.len() - 7).collect();
    let expected: [&[&str]; 7] = [
        &["shadowed/", "shadowed/file"],
        &["seen"],
        &["seen"],
        &["after"],
        &["script"],
        &["document"],
        &["out/", "out/tool"],
    ];
    for (layer, expected) in own.iter().zip(expected) {
        let layer: Vec<&str> = layer.iter().map(String::as_str).filter(|name| *name != "./").collect();
        assert_eq!(layer, expected);
    }
}

/// A build whose root is not the one that the support looks at.
fn worked(built: &Built) {
    assert!(built.status.success(), "{}", built.stderr());
}

/// Every file below `dir` that has the secret in it, but for the one that the test made.
fn leaks(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        if data.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if data.is_file() && path.file_name().is_some_and(|name| name != "secret") {
            let bytes = fs::read(&path).unwrap();
            if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

fn check_no_leak(dir: &Path) {
    assert_eq!(leaks(dir), Vec::<PathBuf>::new());
}

fn check_build(through: &[&str], option: &str) {
    let build = build(DOCKERFILE).arg(option);
    let layout = build.dir().join("layout");
    let build = build.arg("--no-push").arg(format!("--oci-layout-path={}", layout.display()));
    let built = if through.is_empty() { build } else { build.through(through) }.succeed();
    check_image(&image::unpack(&format!("oci:{}", layout.display())), "/dev/pipes");
    let dir = built.root().parent().unwrap().parent().unwrap().to_owned();
    check_no_leak(&dir);
    assert!(!built.stderr().contains(SECRET));
    // The blobs of a layout are compressed; their contents were compared, and the configuration is not.
    let config = image::unpack(&format!("oci:{}", layout.display())).config().to_string();
    assert!(!config.contains(SECRET) && !config.contains("TOKEN="), "{config}");
    let caches: Vec<_> = fs::read_dir(dir.join("build/caches")).unwrap().collect();
    assert_eq!(caches.len(), 2);
    assert!(!dir.join("build/work").exists());
}

#[test]
fn an_isolated_step_has_its_mounts_and_leaves_nothing() {
    check_build(&[], "--verify-snapshot");
}

#[test]
fn so_does_a_step_that_may_mount_nothing() {
    check_build(&CHROOT, "--verify-snapshot");
    check_build(&CHROOT, "--recorder=dirwatch");
}

#[test]
fn caches_outlive_a_build_and_what_is_wrong_with_a_mount_is_said() {
    let first = build("FROM base\nRUN --mount=type=cache,target=/c echo 1 > /c/x\n").arg("--no-push").succeed();
    let dir = first.root().parent().unwrap().to_owned();
    let again = |dockerfile: &str| {
        let build = build(dockerfile).arg(format!("--build-root={}", dir.display())).arg("--no-push");
        build.run()
    };
    worked(&again("FROM base\nRUN --mount=type=cache,target=/c,sharing=locked grep 1 /c/x && rm -r /c/x\n"));
    let failed = |dockerfile: &str, code: i32, said: &[&str]| drop(again(dockerfile).failed(code, said));
    failed("FROM base\nRUN --mount=type=cache,target=/c cat /c/x\n", 1, &["Dockerfile:2"]);
    failed("FROM base\nRUN --mount=type=cache,target=/c,ro touch /c/x\n", 1, &["Dockerfile:2"]);
    failed("FROM base\nRUN --mount=target=/c touch /c/x\n", 1, &["Dockerfile:2"]);
    failed("FROM base\nRUN --mount=type=secret,id=x,required true\n", 1, &["Dockerfile:2", "--secret id=x"]);
    failed("FROM base\nRUN --mount=type=ssh,required true\n", 1, &["Dockerfile:2", "--ssh default"]);
    failed("FROM base\nRUN --mount=source=none,target=/c true\n", 1, &["Dockerfile:2", "none"]);
    failed("FROM base\nRUN --mount=source=dir/ignored,target=/c true\n", 1, &["Dockerfile:2", ".dockerignore line 1"]);
    failed("FROM base\nRUN --mount=target=/ true\n", 1, &["Dockerfile:2"]);
    failed("FROM base\nRUN --security=insecure true\n", 1, &["Dockerfile:2", "--allow=security.insecure"]);
    drop(first);
}

#[test]
fn network_and_rights_of_a_step() {
    let text = "FROM base\nRUN --network=none cat /proc/net/dev | tail -n +3 | cut -d: -f1 > /devices\n\
                RUN --network=none ping -c 1 -W 1 127.0.0.1 > /ping\n\
                RUN --network=host cat /proc/net/dev > /host\n\
                RUN grep CapEff /proc/self/status > /few\n\
                RUN --security=insecure grep CapEff /proc/self/status > /many\n";
    let built = build(text).args(["--no-push", "--allow=security.insecure"]).succeed();
    let read = |path: &str| fs::read_to_string(built.root().join(path)).unwrap();
    assert_eq!(read("devices").trim(), "lo");
    assert!(read("host").lines().count() >= 3);
    assert!(read("few").contains("00000000a80425fb"));
    assert_ne!(read("few"), read("many"));
    let refused = build("FROM base\nRUN --network=none true\n").arg("--no-push").through(&CHROOT);
    drop(refused.fail(1, &["Dockerfile:2", "--network=none"]));
}

/// Asks the agent for its keys in the protocol's own words: a request of one byte, 11, after its length.
const ASK: &str = "FROM base\nRUN --mount=type=ssh,required,mode=0666 \
                   test -S \"$SSH_AUTH_SOCK\" && echo $SSH_AUTH_SOCK > /socket && \
                   printf '\\0\\0\\0\\1\\13' | nc local:$SSH_AUTH_SOCK > /answer\nRUN test -z \"$SSH_AUTH_SOCK\"\n";

#[test]
fn a_step_talks_to_a_real_ssh_agent() {
    let agent = Agent::start();
    for through in [&[][..], &CHROOT] {
        let dockerfile = ASK.replace("nc local:$SSH_AUTH_SOCK", "/tools/socat - UNIX-CONNECT:$SSH_AUTH_SOCK");
        let dockerfile = dockerfile.replace("mode=0666 ", "mode=0666 --mount=source=bin,target=/tools ");
        let build = build(&dockerfile).file("bin/socat", socat()).arg("--no-push").arg(agent.flag());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(build.dir().join("context/bin/socat"), mode).unwrap();
        let built = if through.is_empty() { build } else { build.through(through) }.succeed();
        let answer = fs::read(built.root().join("answer")).unwrap();
        let key = run(Command::new("sh").arg("-c").arg(format!("printf %s {} | base64 -d | od -An -tx1", agent.key)));
        let hex = |text: String| text.split_whitespace().collect::<String>();
        let answer: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(answer.contains(&hex(key)), "{through:?}: {answer}");
        assert_eq!(fs::read_to_string(built.root().join("socket")).unwrap(), "/run/buildkit/ssh_agent.0\n");
        assert!(!built.root().join("run/buildkit").exists());
    }
}

/// A static program that sends a socket what it reads and prints the first answer.
fn socat() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <sys/socket.h>\n#include <sys/un.h>\n#include <string.h>\n#include <unistd.h>\n\
        int main(int c, char **v) { struct sockaddr_un a = {.sun_family = AF_UNIX}; char b[65536]; long n;\n\
        strncpy(a.sun_path, strchr(v[2], ':') + 1, sizeof a.sun_path - 1);\n\
        int s = socket(AF_UNIX, SOCK_STREAM, 0); if (connect(s, (void *)&a, sizeof a)) return 1;\n\
        n = read(0, b, sizeof b); if (write(s, b, n) != n) return 2; n = read(s, b, sizeof b);\n\
        return n > 0 && write(1, b, n) == n ? 0 : 3; }\n";
    fs::write(dir.path().join("x.c"), source).unwrap();
    let (from, to) = (dir.path().join("x.c"), dir.path().join("x"));
    run(Command::new("cc").args(["-static", "-O1", "-o"]).arg(&to).arg(from));
    fs::read(to).unwrap()
}

const INTERRUPTED: &str = "FROM base\nRUN --mount=type=secret,id=token --mount=type=cache,target=/c \
                           --mount=type=secret,id=token,target=/etc/motd echo kept > /c/kept; touch /ready; sleep 1007\n";
const NEXT: &str = "FROM base\nRUN --mount=type=cache,target=/c cp /c/kept /kept\n";

/// Kills a build in the middle of a step, builds again in the same place and looks around before and after.
fn killed(through: &[&str], with_supervisor: bool) {
    let build = build(INTERRUPTED).arg("--no-push");
    let mut running = if through.is_empty() { build } else { build.through(through) }.start();
    running.wait_for("ready");
    let (root, pid) = (running.root(), running.pid());
    if with_supervisor {
        for child in children(pid) {
            run(Command::new("kill").args(["-9", &child.to_string()]));
        }
    }
    running.signal(rustix::process::Signal::KILL);
    let built: Built = settled(running);
    let dir = root.parent().unwrap().parent().unwrap().to_owned();
    if !with_supervisor {
        // Whoever outlives the executor has put everything back.
        check_no_leak(&dir);
        assert!(root.join("c").symlink_metadata().is_err());
    }
    let next = self::build(NEXT).arg(format!("--build-root={}", dir.join("build").display())).arg("--no-push");
    let next = if through.is_empty() { next } else { next.through(through) };
    worked(&next.run());
    assert_eq!(fs::read_to_string(root.join("kept")).unwrap(), "kept\n");
    check_no_leak(&dir);
    assert!(!dir.join("build/work").exists());
    drop(built);
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// A killed build once its supervisor is done too.
fn settled(running: crate::support::executor::Running) -> Built {
    let limit = Instant::now() + Duration::from_secs(20);
    let sleeps = || {
        let done = Command::new("pgrep").args(["-f", "sleep 1007"]).output().unwrap();
        !done.stdout.is_empty()
    };
    while sleeps() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(300));
    running.finish()
}

#[test]
fn a_build_that_was_killed_leaves_nothing_and_the_next_one_finds_its_cache() {
    killed(&[], false);
    killed(&CHROOT, false);
}

#[test]
fn so_does_one_that_was_killed_with_its_supervisor() {
    killed(&CHROOT, true);
}

/// The executor in a container, with a context at /workspace and a volume that holds the secret.
struct InPlace {
    engine: Engine,
    registry: Registry,
    dir: tempfile::TempDir,
    _machine: fs::File,
}

impl InPlace {
    fn new() -> Self {
        let machine = machine(Machine::Shared);
        let (engine, registry, dir) = (Engine::new(), Registry::start(), crate::support::scratch());
        engine.executor_image(Path::new(EXECUTOR), "silt");
        let context = dir.path().join("context");
        fs::create_dir_all(context.join("dir")).unwrap();
        fs::write(context.join("dir/file"), "from the context\n").unwrap();
        fs::write(context.join("dir/ignored"), "x").unwrap();
        fs::write(context.join(".dockerignore"), "**/ignored\n").unwrap();
        fs::write(dir.path().join("secret"), SECRET).unwrap();
        InPlace { engine, registry, dir, _machine: machine }
    }

    fn container(&self, dockerfile: &str, options: &[&str]) -> Command {
        fs::write(self.dir.path().join("context/Dockerfile"), dockerfile).unwrap();
        let mut command = self.engine.container();
        let volume = |from: &Path, to: &str| format!("--volume={}:{to}", from.display());
        command.arg(volume(&self.dir.path().join("context"), "/workspace:ro"));
        command.arg(volume(&self.dir.path().join("secret"), "/given/secret:ro"));
        command.arg(volume(&bases::busybox(), "/base:ro"));
        command.args(options).arg("silt").args(["--build-context=base=oci-layout:///base:latest", "--verbosity=trace"]);
        command.arg("--secret=id=token,src=/given/secret");
        command
    }
}

#[test]
fn a_build_in_the_root_of_a_container_leaves_nothing_either() {
    let place = InPlace::new();
    let name = place.registry.name("mounts:1");
    let mut command = place.container(DOCKERFILE, &["--name", "mounts"]);
    let done = command.arg(format!("--destination={name}")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !said.contains(SECRET), "{said}");
    check_image(&image::unpack(&format!("docker://{name}")), "/.pipes");
    let left = place.dir.path().join("left");
    run(place.engine.podman().args(["cp", "mounts:/"]).arg(&left));
    check_no_leak(&left);
    assert!(!left.join("ctx").exists() && !left.join("var/cache/new").exists() && !left.join("run/secrets").exists());
}

#[test]
fn a_container_that_was_killed_is_put_in_order_by_its_next_build() {
    let place = InPlace::new();
    let log = fs::File::create(place.dir.path().join("log")).unwrap();
    let mut command = place.container("", &["--name", "killed"]);
    // The same command line twice: the Dockerfile is what changes.
    fs::write(place.dir.path().join("context/Dockerfile"), INTERRUPTED.replace("touch /ready", "echo it is there"))
        .unwrap();
    command.arg("--no-push");
    let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(120);
    let said = || fs::read_to_string(place.dir.path().join("log")).unwrap();
    while !said().lines().any(|line| line == "it is there") {
        assert!(Instant::now() < limit, "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    run(place.engine.podman().args(["kill", "--signal=KILL", "killed"]));
    child.wait().unwrap();
    fs::write(place.dir.path().join("context/Dockerfile"), NEXT).unwrap();
    run(place.engine.podman().args(["start", "--attach", "killed"]));
    let left = place.dir.path().join("left");
    run(place.engine.podman().args(["cp", "killed:/"]).arg(&left));
    assert_eq!(fs::read_to_string(left.join("kept")).unwrap(), "kept\n");
    check_no_leak(&left);
    let own: Vec<_> = fs::read_dir(left.join("kaniko")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!own.iter().any(|name| name.to_string_lossy().starts_with("silt-")), "{own:?}");
}

/// `/var/run -> ../run` is what many images have. While the host's root still lies over the new one, a `..` at the root leads there.
#[test]
fn a_link_through_the_root_leads_to_no_place_outside() {
    let dockerfile = "FROM base\nRUN rm -rf /var/run && ln -s ../run /var/run && ln -s /.. /up\n\
        RUN --mount=type=secret,id=token,target=/var/run/of-silts-tests/token \\\n\
        --mount=type=tmpfs,target=/up/of-silts-tests/memory \\\n\
        test -s /var/run/of-silts-tests/token && echo 1 > /up/of-silts-tests/memory/x\n";
    let build = Build::new(dockerfile).base("base", &bases::busybox());
    let secret = build.dir().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let secret = format!("--secret=id=token,src={}", secret.display());
    let built = build.args([secret, "--no-push".into(), "--verify-snapshot".into()]).succeed();
    for outside in ["/run/of-silts-tests", "/of-silts-tests"] {
        assert!(fs::symlink_metadata(outside).is_err(), "{outside} is on the host now");
    }
    assert!(!built.root().join("of-silts-tests/memory/x").exists());
}

#[test]
fn a_cache_may_be_mounted_twice_in_a_step_where_it_can() {
    let dockerfile = "FROM base\nRUN --mount=type=cache,id=c,target=/one --mount=type=cache,id=c,sharing=locked,target=/two \\\n\
        echo 1 > /one/x && cp /two/x /seen\n";
    let build = || Build::new(dockerfile).base("base", &bases::busybox()).arg("--no-push");
    assert_eq!(fs::read_to_string(build().succeed().root().join("seen")).unwrap(), "1\n");
    build().through(&CHROOT).fail(1, &["Dockerfile:2", "different ids"]);
}
