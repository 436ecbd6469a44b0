//! The whole keychain: the order of the sources, who is asked and who is not, and that no secret is ever seen.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::fake::{Answer, Fake, network};
use super::*;

fn keychain(variables: &[(&str, &str)]) -> Keychain {
    Keychain::new(variables.iter().copied().collect(), Sources::default(), network())
}

fn config(dir: &Path, text: &str) -> String {
    std::fs::write(dir.join("config.json"), text).expect("written");
    dir.to_str().expect("text").to_owned()
}

/// A helper on PATH that is this shell script.
fn helper(dir: &Path, name: &str, script: &str) {
    let path = dir.join(format!("docker-credential-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

fn check(keychain: &Keychain, registry: &str, repository: &str, expected: &Credential, source: &str) {
    let found = keychain.find(registry, repository).expect("no error");
    assert_eq!(&found.credential, expected, "{registry}/{repository}");
    assert!(found.source.contains(source), "{registry}/{repository}: {}", found.source);
}

#[test]
fn the_first_source_that_knows_the_registry_wins() {
    let dir = tempfile::tempdir().expect("directory");
    let text = r#"{"auths":{"r.io":{"auth":"ZmlsZTpw"},"ghcr.io/team":{"auth":"dGVhbTpw"}}}"#;
    let dir = config(dir.path(), text);
    let variables = [
        ("DOCKER_CONFIG", dir.as_str()),
        ("KANIKO_R_IO_USER", "env"),
        ("KANIKO_R_IO_PASSWORD", "p"),
        ("KANIKO_Q_IO_USER", "env"),
        ("KANIKO_Q_IO_PASSWORD", "p"),
        ("CI_REGISTRY", "q.io"),
        ("CI_REGISTRY_USER", "lab"),
        ("CI_REGISTRY_PASSWORD", "p"),
    ];
    let all = keychain(&variables);
    check(&all, "r.io", "a", &Credential::basic("file", "p"), &format!("config.json of {dir} (entry \"r.io\")"));
    check(&all, "q.io", "a", &Credential::basic("env", "p"), "environment KANIKO_Q_IO_USER");
    check(&all, "ghcr.io", "team/app", &Credential::basic("team", "p"), "(entry \"ghcr.io/team\")");
    check(
        &all,
        "ghcr.io",
        "team-two/app",
        &Credential::Anonymous,
        "no credential for ghcr.io (looked in config.json of",
    );
    let inline = [&variables[..], &[("DOCKER_AUTH_CONFIG", r#"{"auths":{"x.io":{"auth":"ZmlsZTpw"}}}"#)]].concat();
    check(&keychain(&inline), "r.io", "a", &Credential::basic("env", "p"), "KANIKO_R_IO_USER");
    check(&keychain(&inline), "x.io", "a", &Credential::basic("file", "p"), "environment DOCKER_AUTH_CONFIG (entry");
    let some = |values: &[&str]| {
        let sources = Sources::parse(values.iter().copied()).expect("sources");
        Keychain::new(variables.iter().copied().collect(), sources, network())
    };
    check(&some(&["gitlab"]), "q.io", "a", &Credential::basic("lab", "p"), "CI_REGISTRY_USER");
    check(&some(&[""]), "q.io", "a", &Credential::Anonymous, "no credential");
    check(&some(&[""]), "r.io", "a", &Credential::basic("file", "p"), "config.json");
}

#[test]
fn helpers_by_registry_and_for_all() {
    let dir = tempfile::tempdir().expect("directory");
    let count = dir.path().join("count");
    helper(
        dir.path(),
        "one",
        &format!(r#"echo x >>{}; read -r s; echo "{{\"Username\":\"one\",\"Secret\":\"$s\"}}""#, count.display()),
    );
    helper(
        dir.path(),
        "all",
        r#"read -r s; case $s in known.io) echo '{"Username":"<token>","Secret":"t"}';; bad.io) echo locked; exit 2;; *) echo credentials not found in native keychain; exit 1;; esac"#,
    );
    let text = r#"{"credHelpers":{"r.io":"one","docker.io":"one","gone.io":"gone"},"credsStore":"all","auths":{"z.io":{"auth":"ZmlsZTpw"}}}"#;
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let place = config(dir.path(), text);
    let keys = keychain(&[("DOCKER_CONFIG", place.as_str()), ("PATH", &path)]);
    for _ in 0..3 {
        check(&keys, "r.io", "a", &Credential::basic("one", "r.io"), "(helper \"one\")");
    }
    assert_eq!(std::fs::read_to_string(count).expect("counted"), "x\n", "a helper is asked once");
    check(
        &keys,
        "docker.io",
        "library/a",
        &Credential::basic("one", "https://index.docker.io/v1/"),
        "(helper \"one\")",
    );
    check(&keys, "known.io", "a", &Credential::IdentityToken(Secret::new("t")), "(helper \"all\")");
    check(&keys, "z.io", "a", &Credential::basic("file", "p"), "(entry \"z.io\")");
    check(&keys, "other.io", "a", &Credential::Anonymous, "no credential");
    let error = keys.find("bad.io", "a").expect_err("locked").to_string();
    assert!(error.contains("bad.io") && error.contains("(helper \"all\"): it failed: locked"), "{error}");
    let error = keys.find("gone.io", "a").expect_err("gone").to_string();
    assert!(error.contains("no docker-credential-gone on PATH"), "{error}");
    let place = config(dir.path(), r#"{"credsStore":"desktop","auths":{"z.io":{"auth":"ZmlsZTpw"}}}"#);
    let keys = keychain(&[("DOCKER_CONFIG", place.as_str()), ("PATH", &path)]);
    check(&keys, "z.io", "a", &Credential::basic("file", "p"), "(entry \"z.io\")");
    check(&keys, "r.io", "a", &Credential::Anonymous, "no credential");
}

/// All three metadata services at once, none of which has an identity to give.
fn metadata() -> (Fake, String) {
    let fake = Fake::start(|_| Answer(404, Vec::new(), String::new()));
    let host = fake.address.trim_start_matches("http://").to_owned();
    (fake, host)
}

#[test]
fn only_its_own_cloud_is_asked_and_once() {
    let (fake, host) = metadata();
    let variables = [
        ("GCE_METADATA_HOST", host.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &fake.address),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &fake.address),
    ];
    let keys = keychain(&variables);
    for registry in [
        "docker.io",
        "ghcr.io",
        "evil-azurecr.io",
        "x.azurecr.io.evil.com",
        "gcr.io.evil.com",
        "public.ecr.aws.evil.com",
        "localhost:5000",
    ] {
        check(&keys, registry, "a", &Credential::Anonymous, "no credential");
    }
    assert_eq!(fake.lines(), Vec::<String>::new());
    let lines = |registry: &str, expected: &str| {
        let before = fake.lines().len();
        for repository in ["a", "b"] {
            check(&keys, registry, repository, &Credential::Anonymous, "no credential");
        }
        let new = fake.lines().split_off(before);
        assert!(new.len() == 1 && new[0].contains(expected), "{registry}: {new:?}");
    };
    lines("gcr.io", "GET /computeMetadata/");
    lines("public.ecr.aws", "PUT /latest/api/token");
    lines("team.azurecr.io", "GET /metadata/identity/");
    let none = Keychain::new(variables.into_iter().collect(), Sources::parse([""]).expect("none"), network());
    let before = fake.lines().len();
    check(&none, "gcr.io", "a", &Credential::Anonymous, "no credential");
    assert_eq!(fake.lines().len(), before);
}

#[test]
fn helpers_of_kanikos_image_are_built_in() {
    let dir = tempfile::tempdir().expect("directory");
    let fake = Fake::start(|request| match request.line.as_str() {
        "POST /token" => Answer::ok(r#"{"access_token":"g"}"#),
        _ => Answer::ok(r#"{"authorizationData":[{"authorizationToken":"QVdTOmVjci1wYXNz"}]}"#),
    });
    let adc = dir.path().join("adc.json");
    let text = format!(
        r#"{{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"r","token_uri":"{}/token"}}"#,
        fake.address
    );
    std::fs::write(&adc, text).expect("written");
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let text = format!(
        r#"{{"credHelpers":{{"{ecr}":"ecr-login","gcr.io":"gcr","eu.gcr.io":"gcloud","team.azurecr.io":"acr-env"}}}}"#
    );
    let place = config(dir.path(), &text);
    let variables = [
        ("DOCKER_CONFIG", place.as_str()),
        ("GOOGLE_APPLICATION_CREDENTIALS", adc.to_str().expect("text")),
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ENDPOINT_URL", &fake.address),
        ("AZURE_CLIENT_ID", "app"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/x"),
    ];
    let keys = Keychain::new(variables.into_iter().collect(), Sources::parse([""]).expect("none"), network());
    check(&keys, "gcr.io", "a", &Credential::basic("oauth2accesstoken", "g"), "(helper \"gcr\")");
    check(&keys, "eu.gcr.io", "a", &Credential::basic("oauth2accesstoken", "g"), "(helper \"gcloud\")");
    check(&keys, ecr, "a", &Credential::basic("AWS", "ecr-pass"), "(helper \"ecr-login\")");
    let error = keys.find("team.azurecr.io", "a").expect_err("named, so it must work").to_string();
    assert!(error.contains("acr-env") && error.contains("not supported"), "{error}");
    // Where nobody named it, what fails is passed over, and said.
    let place = config(dir.path(), "{}");
    let variables = [&[("DOCKER_CONFIG", place.as_str())], &variables[1..]].concat();
    let keys = keychain(&variables);
    check(
        &keys,
        "team.azurecr.io",
        "a",
        &Credential::Anonymous,
        "; Azure: AZURE_CLIENT_CERTIFICATE_PATH is not supported",
    );
    check(&keys, ecr, "a", &Credential::basic("AWS", "ecr-pass"), "Amazon ECR, by environment AWS_ACCESS_KEY_ID");
    // A program of that name comes before the built-in code.
    helper(dir.path(), "ecr-login", r#"echo '{"Username":"program","Secret":"p"}'"#);
    let place = config(dir.path(), &text);
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let keys = keychain(&[("DOCKER_CONFIG", place.as_str()), ("PATH", &path)]);
    check(&keys, ecr, "a", &Credential::basic("program", "p"), "(helper \"ecr-login\")");
}

/// Everything that is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_is_ever_seen() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let mut seen = String::new();
    tracing::subscriber::with_default(subscriber, || seen = provoke());
    seen.push_str(&String::from_utf8_lossy(&log.0.lock().expect("log")));
    assert!(seen.contains("no credential for gcr.io") && seen.contains("Basic"), "{seen}");
    // The one entry in base64 as it stands in the file.
    assert!(!seen.contains("hunter2") && !seen.contains("dTpodW50ZXIy"), "{seen}");
}

/// Has every kind of source fail or succeed with a secret in its hands; returns what `Debug` and errors show.
fn provoke() -> String {
    let dir = tempfile::tempdir().expect("directory");
    helper(dir.path(), "bad", "echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"'");
    helper(dir.path(), "good", "echo '{\"Username\":\"u\",\"Secret\":\"hunter2\"}'");
    let text = r#"{"auths":{"a.io":{"auth":"dTpodW50ZXIy"},"b.io":{"auth":"hunter2!"},"c.io":{"identitytoken":"hunter2"},
        "d.io":{"registrytoken":"hunter2"},"e.io":{"password":"hunter2"}},"credHelpers":{"f.io":"bad","g.io":"good"}}"#;
    let place = config(dir.path(), text);
    let refusing = Fake::start(|_| Answer(400, Vec::new(), r#"{"error":"invalid"}"#.to_owned()));
    let adc = dir.path().join("adc.json");
    std::fs::write(&adc, r#"{"type":"service_account","client_email":"c","private_key":"hunter2"}"#).expect("written");
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let variables = [
        ("DOCKER_CONFIG", place.as_str()),
        ("PATH", &path),
        ("KANIKO_H_IO_USER", "u"),
        ("KANIKO_H_IO_PASSWORD", "hunter2"),
        ("GOOGLE_APPLICATION_CREDENTIALS", adc.to_str().expect("text")),
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "hunter2"),
        ("AWS_ENDPOINT_URL", &refusing.address),
        ("AZURE_CLIENT_ID", "app"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_SECRET", "hunter2"),
        ("AZURE_AUTHORITY_HOST", &refusing.address),
    ];
    let keys = keychain(&variables);
    let registries =
        ["a.io", "b.io", "c.io", "d.io", "e.io", "f.io", "g.io", "h.io", "gcr.io", "public.ecr.aws", "x.azurecr.io"];
    let mut seen = format!("{:?}", variables.into_iter().collect::<Environment>());
    for registry in registries {
        match keys.find(registry, "r") {
            Ok(found) => seen.push_str(&format!("{found:?} {:#?}\n", found.credential)),
            Err(error) => seen.push_str(&format!("{error} {error:?}\n")),
        }
    }
    assert_eq!(refusing.requests().len(), 2, "Amazon and Azure were asked");
    let malformed = keychain(&[("DOCKER_AUTH_CONFIG", r#"{"auths":{"a.io":{"auth":["hunter2"]}}}"#)]);
    seen.push_str(&malformed.find("a.io", "r").expect_err("malformed").to_string());
    seen
}
