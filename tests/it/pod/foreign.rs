//! An executor's image with more in it, as one for debugging has: what stood in `/` before the base was unpacked is in a layer only
//! where the build wrote it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::support::trial::{Trial, trial};
use crate::support::{image, run};

/// What each step adds to the image, on its line.
const STEPS: [(&str, &[&str]); 9] = [
    ("RUN true", &[]),
    ("RUN cat /etc/foreign /left/alone /busybox/sh > /dev/null; echo 1 > /new", &["new"]),
    ("RUN rm -r /opt/foreign /bin/only-foreign", &[]),
    ("RUN echo more >> /etc/foreign", &["etc/", "etc/foreign"]),
    ("RUN rm /etc/foreign", &["etc/", "etc/.wh.foreign"]),
    ("RUN mv /moving/before /moving/after", &["moving/", "moving/after"]),
    ("RUN chmod 600 /changing", &["changing"]),
    ("RUN ln /linking/one /linking/two", &["linking/", "linking/one", "linking/two"]),
    ("COPY file /written/by-copy", &["written/", "written/by-copy"]),
];

/// A trial whose image `silt` has busybox at /busybox, a shell, and files that no base knows or every base brings.
fn debug_trial(dockerfile: &str) -> Trial {
    let trial = trial(dockerfile);
    let root = crate::support::scratch();
    let write = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let kept = [
        "etc/foreign",
        "left/alone",
        "opt/foreign/deep/file",
        "moving/before",
        "changing",
        "linking/one",
        "written/before",
    ];
    for path in kept {
        write(path, "of the debug image\n");
    }
    write("etc/passwd", "root:x:0:0:another root:/root:/busybox/sh\n");
    write("etc/motd", "of the debug image\n");
    write("usr/share/kinds/first", "of the debug image\n");
    fs::create_dir_all(root.path().join("busybox")).unwrap();
    fs::create_dir_all(root.path().join("bin")).unwrap();
    fs::copy("/bin/busybox", root.path().join("busybox/busybox")).unwrap();
    for (link, target) in [("busybox/sh", "busybox"), ("bin/sh", "/busybox/sh"), ("bin/only-foreign", "/busybox/sh")] {
        symlink(target, root.path().join(link)).unwrap();
    }
    let file = trial.context.path().join("Dockerfile.debug");
    fs::write(&file, "FROM silt\nCOPY . /\nENV PATH=/usr/local/bin:/kaniko:/busybox\n").unwrap();
    trial.engine.build_image(&file, root.path(), "silt");
    trial
}

fn steps_of(timings: &Path) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&fs::read(timings).unwrap()).unwrap();
    document["steps"].as_array().unwrap().clone()
}

#[test]
fn what_stood_in_the_root_is_in_no_layer_unless_the_build_writes_it() {
    let dockerfile = STEPS.iter().fold("FROM base\n".to_owned(), |text, (step, _)| text + step + "\n");
    let trial = debug_trial(&dockerfile);
    let out = crate::support::scratch();
    for recorder in ["sweep", "dirwatch", "full"] {
        let name = trial.registry.name(&format!("foreign/{recorder}:1"));
        let options = ["--volume", &format!("{}:/out", out.path().display()), "--env=BENCHMARK_FILE=/out/timings"];
        let arguments = ["--build-context=base=oci-layout:///base:latest", &format!("--destination={name}")];
        run(trial.container(&options).args(arguments).arg(format!("--recorder={recorder}")));
        let runs = steps_of(&out.path().join("timings"));
        let used: Vec<_> = runs.iter().filter_map(|step| step["recorder"].as_str()).collect();
        assert_eq!(used[0], recorder, "{used:?}");
        let image = image::unpack(&format!("docker://{name}"));
        let expected: Vec<Vec<String>> =
            STEPS.iter().map(|(_, names)| names.iter().map(|name| (*name).to_owned()).collect()).collect();
        let layers = image.layer_names()[2..].to_vec();
        let not_empty: Vec<_> = expected.into_iter().filter(|names| !names.is_empty()).collect();
        assert_eq!(layers, not_empty, "{recorder}");
        let read = |path: &str| fs::read_to_string(image.tree().join(path)).unwrap();
        assert_eq!(read("etc/motd"), "welcome to the base\n");
        assert_eq!(read("linking/two"), "of the debug image\n");
        for absent in ["busybox", "left", "opt/foreign", "bin/only-foreign", "kaniko", "written/before"] {
            assert!(fs::symlink_metadata(image.tree().join(absent)).is_err(), "{recorder}: {absent}");
        }
        assert_eq!(fs::read_link(image.tree().join("bin/sh")).unwrap(), Path::new("busybox"), "the base's");
    }
}

/// The shell is that of the image around the build, so this works as it does with kaniko's image for debugging.
#[test]
fn an_image_from_scratch_has_what_its_steps_wrote_and_no_shell() {
    let trial = debug_trial("FROM scratch\nCOPY file /file\nRUN echo made > /made\n");
    let name = trial.registry.name("scratch:1");
    run(&mut trial.command(&[&format!("--destination={name}")]));
    let image = image::unpack(&format!("docker://{name}"));
    assert_eq!(image.layer_names(), [["file"], ["made"]]);
}
