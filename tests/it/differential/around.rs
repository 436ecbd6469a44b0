//! What the Dockerfiles of a group find around them, and what they stand on.

use std::path::{Path, PathBuf};

use super::web::Web;
use crate::support::agent::Agent;
use crate::support::bases;
use crate::support::executor::{Build, Built};
use crate::support::git::{Access, GitServer, Repo};

/// The system that is called `base`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum System {
    Busybox,
    Debian,
}

impl System {
    /// Its OCI layout.
    pub fn layout(self) -> PathBuf {
        match self {
            System::Busybox => bases::busybox(),
            System::Debian => bases::debian(),
        }
    }
}

/// The servers of a group.
pub struct Around {
    pub system: System,
    web: Web,
    git: GitServer,
    agent: Agent,
    pub triggers: Option<Triggers>,
}

impl Around {
    /// Starts them.
    pub fn start(system: System) -> Around {
        let git = GitServer::start(None, Access::Everybody);
        let repo = Repo::new(&git.repositories(), "app.git");
        let inner =
            repo.tree(&[("100755", &repo.blob(b"#!/bin/sh\n"), b"run"), ("120000", &repo.blob(b"../a"), b"up")]);
        let top = repo.tree(&[("100644", &repo.blob(b"a\n"), b"a"), ("40000", &inner, b"d")]);
        repo.commit("main", &top);
        Around { system, web: Web::start(), git, agent: Agent::start(), triggers: None }
    }

    /// A case's text with what is known by now in the place of `@WEB@`, `@GIT@`, `@AGENT@` and `@CONTEXT@`.
    pub fn fill(&self, text: &str, context: &Path) -> String {
        let text = text.replace("@WEB@", &self.web.address).replace("@GIT@", &self.git.address("app.git"));
        let text = text.replace("@AGENT@", &self.agent.socket().display().to_string());
        text.replace("@CONTEXT@", &context.display().to_string())
    }
}

/// An image, `triggers`, that leaves something to be done to whoever starts from it. buildah's OCI images lose that, so the
/// archive is for it.
pub struct Triggers {
    built: Built,
    dir: tempfile::TempDir,
}

impl Triggers {
    /// Builds it.
    pub fn build() -> Triggers {
        let dir = crate::support::scratch();
        let text = "FROM base\nONBUILD COPY a /copied\nONBUILD RUN echo \"$PWD\" > /ran && touch -d @5 /ran\n\
                    ONBUILD ENV LEFT=1\nWORKDIR /etc\n";
        let build = Build::new(text).base("base", &bases::busybox());
        let to = |flag: &str, name: &str| format!("--{flag}={}", dir.path().join(name).display());
        let build =
            build.args([to("oci-layout-path", "layout"), to("tar-path", "archive.tar"), "--no-push".to_owned()]);
        let built = build.args(["--image-format=docker", "--destination=localhost/triggers:latest"]).succeed();
        Triggers { built, dir }
    }

    /// Its layout.
    pub fn layout(&self) -> PathBuf {
        assert!(self.built.status.success());
        self.dir.path().join("layout")
    }

    /// The same as a docker archive.
    pub fn archive(&self) -> PathBuf {
        self.dir.path().join("archive.tar")
    }
}
