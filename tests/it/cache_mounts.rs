//! What `RUN --mount=type=cache` left is there in the next pod, by way of a directory or a registry. Each build here has a build root of
//! its own, and so no cache of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::operations::Random;
use crate::support::executor::{Build, Built};
use crate::support::gateway::{Gateway, Verdict};
use crate::support::registry::Registry;
use crate::support::{bases, image, run, scratch};

/// No word of any test or program.
const SECRET: &str = "eiSh7ohY2chohgh9iek4Vaex";

const TYPE: &str = "application/vnd.silt.cache-mount.v1+json";

fn build(steps: &str) -> Build {
    Build::new(&format!("FROM base\n{steps}\n")).base("base", &bases::busybox()).arg("--no-push")
}

fn in_dir(steps: &str, dir: &Path) -> Build {
    build(steps).arg(format!("--cache-mount-dir={}", dir.display()))
}

fn ok(build: Build) -> Built {
    let built = build.run();
    assert!(built.status.success(), "{}", built.stderr());
    built
}

/// The name under which an id is saved.
fn key(id: &str) -> String {
    Sha256::digest(id).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The tar of a saved cache.
fn tar_of(dir: &Path, id: &str) -> Vec<u8> {
    let layout = dir.join(key(id));
    let layer = image::manifest(&layout)["layers"][0]["digest"].as_str().unwrap().to_owned();
    let done = Command::new("zstd").args(["-dcq"]).arg(image::blob_path(&layout, &layer)).output().unwrap();
    assert!(done.status.success());
    done.stdout
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

const FILL: &str = "RUN --mount=type=cache,target=/c,uid=7,gid=8,mode=0750 set -e; cd /c; mkdir -p a/b; echo one > a/b/f; ln a/b/f g; \
                    ln -s /etc/passwd l; chown 3:4 a; chmod 4711 a/b/f; mkfifo p; mkdir shown; touch -d @1000 a/b/f";

const CHECK: &str = "RUN --mount=type=cache,target=/c set -e; cd /c; stat -c %u:%g:%a . a > /seen; stat -c %a:%h:%Y a/b/f g >> /seen; \
                     readlink l >> /seen; cat g >> /seen; test -p p; test -d shown";

const SEEN: &str = "7:8:750\n3:4:755\n4711:2:1000\n4711:2:1000\n/etc/passwd\none\n";

#[test]
fn a_directory_brings_a_cache_to_the_next_pod() {
    let dir = scratch();
    let chroot = ["setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-sys_resource"];
    for (number, way) in [&[][..], &chroot].into_iter().enumerate() {
        let place = dir.path().join(number.to_string());
        let through = |build: Build| if way.is_empty() { build } else { build.through(way) };
        ok(through(in_dir(FILL, &place)));
        let built = through(in_dir(CHECK, &place)).succeed();
        assert_eq!(fs::read_to_string(built.root().join("seen")).unwrap(), SEEN, "{}", built.stderr());
        assert!(built.stderr().contains("Restored the cache mount /c"), "{}", built.stderr());
        assert_eq!(image::manifest(&place.join(key("/c")))["artifactType"], TYPE);
    }
}

#[test]
fn a_registry_does_and_what_did_not_change_is_not_sent() {
    let registry = Registry::start();
    let counting = || Gateway::start(registry.port(), |_| Verdict::Forward);
    let with =
        |steps: &str, gateway: &Gateway| build(steps).arg(format!("--cache-mount-repo={}", gateway.name("caches")));
    let sent = |gateway: &Gateway| ["POST", "PATCH", "PUT"].map(|method| gateway.lines(method).len());
    let first = counting();
    ok(with(FILL, &first));
    assert_eq!(sent(&first), [2, 2, 3], "layer, description, manifest");
    let again = counting();
    let built = with(CHECK, &again).succeed();
    assert_eq!(fs::read_to_string(built.root().join("seen")).unwrap(), SEEN, "{}", built.stderr());
    assert_eq!(sent(&again), [0, 0, 0], "nothing changed: {}", built.stderr());
    let touched = counting();
    ok(with("RUN --mount=type=cache,target=/c touch /c/x && rm /c/x && touch -d @1000 /c/a/b/f", &touched));
    assert_eq!(sent(&touched), [0, 0, 0], "the same contents");
    let changed = counting();
    ok(with("RUN --mount=type=cache,target=/c echo two > /c/two", &changed));
    assert_eq!(sent(&changed), [2, 2, 3]);
    // A cache of this machine wins over the one that is saved, and is not sent if it is the same.
    let name = format!("mount-{}", key("/c"));
    assert_eq!(registry.manifest_status("caches", &name), 200);
    let read_only = counting();
    let steps = "RUN --mount=type=cache,target=/c test -e /c/two && echo three > /c/three";
    let built = ok(with(steps, &read_only).arg("--no-push-cache"));
    assert_eq!(sent(&read_only), [0, 0, 0], "{}", built.stderr());
    let built = ok(with("RUN --mount=type=cache,target=/c test ! -e /c/three", &read_only));
    assert!(built.stderr().contains("Restored"), "{}", built.stderr());
    let from = format!("FROM {}\nCOPY Dockerfile /\n", registry.name(&format!("caches:{name}")));
    Build::new(&from).arg("--no-push").fail(1, &["not a container image"]);
}

#[test]
fn limits_hold_both_ways() {
    let dir = scratch();
    let fill = "RUN --mount=type=cache,target=/c dd if=/dev/urandom of=/c/big bs=1k count=200 2>/dev/null";
    let built = ok(in_dir(fill, dir.path()).arg("--cache-mount-max-size=100k"));
    assert!(
        built.stderr().contains("/c is not saved") && built.stderr().contains("--cache-mount-max-size"),
        "{}",
        built.stderr()
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    ok(in_dir(fill, dir.path()));
    let empty = "RUN --mount=type=cache,target=/c test ! -e /c/big";
    let built = ok(in_dir(empty, dir.path()).args(["--cache-mount-max-size=100k", "--no-push-cache"]));
    assert!(built.stderr().contains("begins empty"), "{}", built.stderr());
    std::thread::sleep(Duration::from_millis(1100));
    let built = ok(in_dir(empty, dir.path()).args(["--cache-mount-max-age=500ms", "--no-push-cache"]));
    assert!(built.stderr().contains("older than --cache-mount-max-age"), "{}", built.stderr());
    // What is used does not become too old: it is saved again, though nothing changed.
    let saved = |dir: &Path| -> u64 {
        let layout = dir.join(key("/c"));
        let digest = image::manifest(&layout)["config"]["digest"].as_str().unwrap().to_owned();
        let about: Value = serde_json::from_slice(&fs::read(image::blob_path(&layout, &digest)).unwrap()).unwrap();
        about["saved"].as_u64().unwrap()
    };
    fs::remove_dir_all(dir.path().join(key("/c"))).unwrap();
    plant(dir.path(), "/c", "add('big')", 55 * 3600);
    let (before, there) = (saved(dir.path()), "RUN --mount=type=cache,target=/c test -e /c/big");
    ok(in_dir(there, dir.path()));
    assert_eq!(saved(dir.path()), before);
    ok(in_dir(there, dir.path()).arg("--cache-mount-max-age=72h"));
    assert!(saved(dir.path()) > before + 54 * 3600);
}

#[test]
fn a_step_that_failed_spoils_its_own_caches_alone() {
    let dir = scratch();
    let steps = "RUN --mount=type=cache,id=good,target=/c echo 1 > /c/x\nRUN --mount=type=cache,id=bad,target=/c echo 1 > /c/x; exit 5";
    let failed = in_dir(steps, dir.path()).fail(5, &["Dockerfile:3"]);
    assert!(failed.stderr().contains("bad is not saved: a step failed"), "{}", failed.stderr());
    let built = ok(in_dir(
        "RUN --mount=type=cache,id=good,target=/g --mount=type=cache,id=bad,target=/b test -e /g/x && test ! -e /b/x",
        dir.path(),
    ));
    assert!(built.stderr().contains("Restored the cache mount good"), "{}", built.stderr());
}

#[test]
fn a_secret_beside_a_cache_is_not_saved_with_it() {
    let dir = scratch();
    let steps = "RUN --mount=type=cache,target=/c --mount=type=secret,id=t,target=/c/token set -e; \
                 cat /c/token | wc -c > /c/length; test \"$(cat /c/length)\" = 24";
    for way in [&[][..], &["setpriv", "--bounding-set=-sys_admin,-sys_ptrace,-sys_resource"]] {
        fs::remove_dir_all(dir.path().join("caches")).ok();
        let build = in_dir(steps, &dir.path().join("caches"));
        let secret = build.dir().join("secret");
        fs::write(&secret, SECRET).unwrap();
        let build = build.arg(format!("--secret=id=t,src={}", secret.display()));
        let built = ok(if way.is_empty() { build } else { build.through(way) });
        let tar = tar_of(&dir.path().join("caches"), "/c");
        assert!(contains(&tar, "length"), "{}", built.stderr());
        assert!(!contains(&tar, SECRET), "the secret is in the saved cache");
        assert!(!contains(&tar, "token"), "what it was mounted on is in the saved cache");
    }
}

#[test]
fn two_builds_at_once_both_succeed_and_one_of_them_is_saved() {
    let dir = scratch();
    let step = |name: &str| {
        format!(
            "RUN --mount=type=cache,target=/c dd if=/dev/urandom of=/c/big bs=1k count=3000 2>/dev/null; echo {name} > /c/name"
        )
    };
    for _ in 0..3 {
        let running: Vec<_> = ["one", "two", "three"].map(|name| in_dir(&step(name), dir.path()).start()).into();
        for build in running {
            let built = build.finish();
            let stderr = built.stderr();
            let is_well = !stderr.contains("is not saved") && !stderr.contains("begins empty");
            assert!(built.status.success() && is_well, "{stderr}");
        }
        let tar = tar_of(dir.path(), "/c");
        assert!(["one\n", "two\n", "three\n"].iter().any(|name| contains(&tar, name)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing half is left");
    }
}

#[test]
fn a_build_that_is_killed_leaves_the_old_cache_or_the_new_one() {
    let dir = scratch();
    let step = |number: usize| {
        format!(
            "RUN --mount=type=cache,target=/c set -e; cat /c/a /c/b 2>/dev/null | uniq | wc -l > /n; \
             test $(cat /n) -le 1; yes {number} | head -c 8000000 > /c/big; echo {number} > /c/a; echo {number} > /c/b; touch /saving"
        )
    };
    ok(in_dir(&step(0), dir.path()));
    let mut random = Random::new(3);
    let mut killed = 0;
    for number in 1..=25 {
        let mut build = in_dir(&step(number), dir.path()).start();
        build.wait_for("saving");
        std::thread::sleep(Duration::from_millis(random.below(120) as u64));
        build.signal(rustix::process::Signal::KILL);
        killed += usize::from(!build.finish().status.success());
        let tar = tar_of(dir.path(), "/c");
        assert!(contains(&tar, "ustar"), "after {killed} kills");
    }
    assert!(killed > 5, "only {killed} of 25 were killed");
    let built = ok(in_dir("RUN --mount=type=cache,target=/c cmp /c/a /c/b", dir.path()));
    let stderr = built.stderr();
    assert!(stderr.contains("Restored") && !stderr.contains("begins empty"), "{stderr}");
    ok(in_dir(&step(99), dir.path()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing half is left");
}

/// Puts a tar that this Python script makes into the place of a saved cache, as if it had been saved so many seconds ago.
fn plant(dir: &Path, id: &str, script: &str, age: u64) {
    let (layout, work) = (dir.join(key(id)), scratch());
    let tar = work.path().join("made.tar");
    let head = "import io, sys, tarfile\nt = tarfile.open(sys.argv[1], 'w')\n\
                def add(name, kind=tarfile.REGTYPE, link='', data=b'planted'):\n \
                i = tarfile.TarInfo(name); i.type = kind; i.linkname = link; i.size = len(data) if kind == tarfile.REGTYPE else 0\n \
                t.addfile(i, io.BytesIO(data) if i.size else None)\n";
    run(Command::new("python3").args(["-c", &format!("{head}{script}\nt.close()\n")]).arg(&tar));
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8], media_type: &str| -> Value {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&hex), bytes).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    };
    let layer = put(&fs::read(&tar).unwrap(), "application/vnd.oci.image.layer.v1.tar");
    let saved = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let about = json!({"id": id, "saved": saved - age, "diff_id": layer["digest"], "mode": 0o755, "uid": 0, "gid": 0});
    let config = put(about.to_string().as_bytes(), TYPE);
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let document = json!({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [layer]});
    let entry = put(document.to_string().as_bytes(), manifest);
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn what_somebody_planted_leads_nowhere() {
    let dir = scratch();
    let canary = dir.path().join("canary");
    let saved = dir.path().join("saved");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "untouched").unwrap();
    let at = canary.display();
    let climb = format!("{}{at}/file", "../".repeat(20));
    let refused = [
        format!("add('{climb}')"),
        format!("add('x', tarfile.LNKTYPE, '{climb}')"),
        "add('x', tarfile.LNKTYPE, 'nowhere')".to_owned(),
        "t.fileobj.write(b'no tar at all' * 100)".to_owned(),
    ];
    let harmless = [
        format!("add('d', tarfile.SYMTYPE, '{at}'); add('d/file')"),
        format!("add('d', tarfile.SYMTYPE, '{at}/file'); add('d')"),
        format!("add('{at}/file')"),
        format!("add('d', tarfile.SYMTYPE, '{at}'); add('d/.wh.file', data=b'')"),
    ];
    let step = "RUN --mount=type=cache,target=/c true";
    for script in refused.iter().chain(&harmless) {
        fs::remove_dir_all(&saved).ok();
        plant(&saved, "/c", script, 0);
        let built = ok(in_dir(step, &saved).arg("--no-push-cache"));
        assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "untouched", "{script}");
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 1, "{script}");
        if refused.contains(script) {
            assert!(built.stderr().contains("begins empty"), "{script}: {}", built.stderr());
        }
    }
}

#[test]
fn what_is_corrupt_or_another_cache_begins_empty_and_is_saved_anew() {
    let dir = scratch();
    let step = "RUN --mount=type=cache,target=/c test ! -e /c/x; echo 1 > /c/x";
    ok(in_dir(step, dir.path()));
    let layout = dir.path().join(key("/c"));
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let mut spoilt: Vec<PathBuf> = blobs.collect();
    spoilt.push(layout.join("index.json"));
    for path in spoilt {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[1..]).unwrap();
        let built = ok(in_dir(step, dir.path()));
        assert!(built.stderr().contains("begins empty"), "{path:?}: {}", built.stderr());
        let built = ok(in_dir("RUN --mount=type=cache,target=/c test -e /c/x", dir.path()).arg("--no-push-cache"));
        assert!(built.stderr().contains("Restored"), "{path:?}: {}", built.stderr());
        if !path.exists() {
            break;
        }
    }
    fs::rename(&layout, dir.path().join(key("/other"))).unwrap();
    let built = ok(in_dir("RUN --mount=type=cache,target=/other test ! -e /other/x", dir.path()));
    assert!(built.stderr().contains("begins empty") && built.stderr().contains("\"/c\""), "{}", built.stderr());
}

#[test]
fn a_place_that_cannot_be_had_costs_a_warning() {
    let dir = scratch();
    let step = "RUN --mount=type=cache,target=/c echo 1 > /c/x";
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let built = ok(in_dir(step, &file));
    assert!(built.stderr().contains("is not saved"), "{}", built.stderr());
    let gone = Gateway::start(1, |_| Verdict::status(403));
    let built = ok(build(step).arg(format!("--cache-mount-repo={}", gone.name("caches"))));
    assert!(built.stderr().contains("begins empty") && built.stderr().contains("is not saved"), "{}", built.stderr());
    let both = ["--cache-mount-dir=/x", "--cache-mount-repo=r.io/x"];
    build(step).args(both).fail(1, &["--cache-mount-dir", "--cache-mount-repo"]);
    build(step).arg("--cache-mount-repo=r.io/x:tag").fail(1, &["--cache-mount-repo=r.io/x:tag"]);
}
