//! What a build with a cache leaves undone.

use super::{cached, done, essence, outcome, ran};
use crate::support::registry::Registry;
use crate::support::{image, scratch, tree};

const FILE: &str = "FROM base\nENV A=1\nWORKDIR /srv\nCOPY a b/ ./\nRUN echo one > one && rm a\nRUN true\n\
                    ADD c.txt /srv/\nRUN mkdir d && echo two > d/two\nLABEL x=y\nCMD [\"sh\"]\n";

fn build(repo: &str) -> crate::support::executor::Build {
    cached(FILE, repo).file("a", "A").file("b/x", "X").file("c.txt", "C")
}

#[test]
fn a_second_build_carries_out_nothing_and_gives_the_same_image() {
    let (registry, dir) = (Registry::start(), scratch());
    for repo in [registry.name("team/cache"), format!("oci:{}", dir.path().display())] {
        let first = done(build(&repo));
        let (hits, runs) = outcome(&first);
        assert_eq!((hits.len(), runs.len()), (0, 6), "{}", first.stderr());
        let second = done(build(&repo));
        let (hits, runs) = outcome(&second);
        assert_eq!((hits.len(), runs.len()), (6, 0), "{}", second.stderr());
        assert_eq!(essence(&first.layout()), essence(&second.layout()));
        assert!(!second.root().exists(), "something was unpacked");
        assert!(second.stderr().contains("6 of 6 steps found"), "{}", second.stderr());
    }
}

#[test]
fn a_hit_is_unpacked_where_a_later_step_is_carried_out() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let file = |last: &str| format!("FROM base\nRUN echo one > /one && rm /etc/passwd\nCOPY a /a\nRUN {last}\n");
    done(cached(&file("true"), &repo).file("a", "A"));
    let check = "test ! -e /etc/passwd && test ! -e /etc/.wh.passwd && cat /one /a > /two && rm /one";
    let built = done(cached(&file(check), &repo).file("a", "A"));
    ran(&built, &[&format!("RUN {check}")]);
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    assert_eq!(std::fs::read(unpacked.tree().join("two")).unwrap(), b"one\nA");
    tree::assert_same(
        &tree::list(&unpacked.tree(), tree::Times::Exact),
        &tree::list(&built.root(), tree::Times::Exact),
        "image, root",
    );
}

#[test]
fn hits_and_misses_alternate() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let file =
        "FROM base\nRUN echo 1 > /1\nCOPY a /a\nRUN cat /a > /2; echo 3 > /3\nCOPY b /b\nRUN rm /3; cat /b /2 > /4\n";
    done(cached(file, &repo).file("a", "A").file("b", "B"));
    // Without its entry a step is carried out, over what the cache has of those before.
    let runs_only = |build: crate::support::executor::Build| build.arg("--cache-copy-layers=false");
    let built = done(runs_only(cached(file, &repo).file("a", "A").file("b", "B")));
    ran(&built, &["COPY a /a", "COPY b /b"]);
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    assert_eq!(std::fs::read(unpacked.tree().join("4")).unwrap(), b"BA");
    assert!(!unpacked.tree().join("3").exists());
}

#[test]
fn a_stage_is_not_built_when_all_that_uses_it_is_known() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let file = |last: &str| {
        format!(
            "FROM base AS tools\nCOPY a /in\nRUN mkdir /out && cp /in /out/x\nFROM base\nCOPY --from=tools /out /o/\nRUN {last}\n"
        )
    };
    let args = ["--cache-copy-layers=true"];
    done(cached(&file("true"), &repo).file("a", "A").args(args));
    let built = done(cached(&file("true"), &repo).file("a", "A"));
    ran(&built, &[]);
    assert!(built.stderr().contains("is not built"), "{}", built.stderr());
    let built = done(cached(&file("cat /o/x"), &repo).file("a", "A"));
    ran(&built, &["RUN cat /o/x"]);
    // Another input of the source stage is another key for the copy.
    let built = done(cached(&file("true"), &repo).file("a", "B"));
    ran(&built, &["COPY a /in", "RUN mkdir /out && cp /in /out/x", "COPY --from=tools /out /o/", "RUN true"]);
}

#[test]
fn the_same_step_of_two_stages_is_carried_out_once() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let random = "RUN cat /proc/sys/kernel/random/uuid > /id";
    let file = format!(
        "FROM base AS one\n{random}\nFROM base AS two\n{random}\nRUN echo more >> /id\nFROM base\nCOPY --from=one /id /1\nCOPY --from=two /id /2\n"
    );
    let built = done(cached(&file, &repo));
    let (hits, runs) = outcome(&built);
    assert_eq!(hits, [random], "{}", built.stderr());
    assert_eq!(runs.iter().filter(|step| *step == random).count(), 1);
    let unpacked = image::unpack(&format!("oci:{}", built.layout().display()));
    let read = |name: &str| std::fs::read_to_string(unpacked.tree().join(name)).unwrap();
    assert_eq!(read("2"), read("1") + "more\n");
    ran(&done(cached(&file, &repo)), &[]);
}

#[test]
fn the_one_layer_of_a_stage_is_known_as_a_whole() {
    let dir = scratch();
    let repo = format!("oci:{}", dir.path().display());
    let file = "FROM base AS tools\nRUN echo t > /t\nENV A=1\nFROM base\nCOPY a /a\nRUN cat /a > /1; rm /etc/passwd\nLABEL x=y\n\
                COPY --from=tools /t /t\nWORKDIR /etc\nCMD [\"sh\"]\n";
    let single = |content: &str| cached(file, &repo).file("a", content).arg("--single-snapshot");
    let first = done(single("A"));
    assert_eq!(outcome(&first).0, [""; 0]);
    let second = done(single("A"));
    ran(&second, &[]);
    assert!(!second.root().exists(), "something was unpacked");
    assert_eq!(essence(&first.layout()), essence(&second.layout()));
    // All of a stage or nothing of it.
    let other = done(single("B"));
    let all = ["COPY a /a", "RUN cat /a > /1; rm /etc/passwd", "COPY --from=tools /t /t", "WORKDIR /etc"];
    assert_eq!(outcome(&other).1.iter().filter(|step| *step != "RUN echo t > /t").collect::<Vec<_>>(), all);
    let unpacked = image::unpack(&format!("oci:{}", other.layout().display()));
    assert_eq!(std::fs::read(unpacked.tree().join("1")).unwrap(), b"B");
    // Its files, where a stage needs them that is carried out, and not as the layer of one step.
    let copies = done(cached(&file.replace("/t /t", "/t /u"), &repo).file("a", "A").arg("--single-snapshot"));
    assert_eq!(outcome(&copies).0, ["RUN echo t > /t"], "{}", copies.stderr());
    let each = done(cached(file, &repo).file("a", "A"));
    assert_eq!(outcome(&each).0, [""; 0], "{}", each.stderr());
}
