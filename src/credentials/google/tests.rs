//! Google's services, played by a local server that checks what it gets: signatures with the public key, headers, forms.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::*;
use crate::credentials::fake::{Answer, Fake, Request, with_cloud, with_hasty_cloud};

/// A private key in PEM (PKCS #8), its PKCS #1 form, and the public key in DER.
struct TestKey {
    pkcs8: String,
    pkcs1: String,
    public: Vec<u8>,
}

fn key() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let dir = tempfile::tempdir().expect("directory");
        let openssl = |args: &str| {
            let done = Command::new("openssl").args(args.split(' ')).current_dir(dir.path()).output().expect("openssl");
            assert!(done.status.success(), "{args}: {}", String::from_utf8_lossy(&done.stderr));
        };
        openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out p8");
        openssl("rsa -in p8 -traditional -out p1");
        openssl("rsa -in p8 -RSAPublicKey_out -outform DER -out public");
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("made");
        TestKey {
            pkcs8: text("p8"),
            pkcs1: text("p1"),
            public: std::fs::read(dir.path().join("public")).expect("made"),
        }
    })
}

const TOKEN: &str = r#"{"access_token":"ya29.secret","expires_in":3599,"token_type":"Bearer"}"#;

/// Finds with `file` as application default credentials.
fn with_file(dir: &Path, file: &Value, more: &[(&str, &str)]) -> Result<Option<Granted>, String> {
    let path = dir.join("adc.json");
    std::fs::write(&path, file.to_string()).expect("written");
    let named = [("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().expect("text"))];
    with_cloud(&[&named[..], more].concat(), &[], find)
}

fn granted(found: Result<Option<Granted>, String>) -> Granted {
    let granted = found.expect("no error").expect("found");
    assert_eq!(granted.credential, Credential::basic("oauth2accesstoken", "ya29.secret"));
    granted
}

#[test]
fn googles_hosts() {
    for host in
        ["gcr.io", "eu.gcr.io", "us-docker.pkg.dev", "europe-west1-docker.pkg.dev", "docker.us-east1.rep.pkg.dev"]
    {
        assert!(serves(host), "{host}");
    }
    for host in [
        "evilgcr.io",
        "gcr.io.evil.com",
        "x-gcr.io",
        "pkg.dev",
        "evil.pkg.dev",
        "x.us-docker.pkg.dev",
        "us-docker.pkg.dev.evil",
        "gcr.io:5000",
        "-docker.pkg.devx",
        "ghcr.io",
        "",
    ] {
        assert!(!serves(host), "{host}");
    }
}

/// Checks a request for a token by assertion, as Google would.
fn check_assertion(request: &Request, audience: &str) {
    assert_eq!(request.line, "POST /token");
    let form = request.form();
    assert_eq!(form.len(), 2, "{:?}", form.keys());
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (signed, signature) = form["assertion"].rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key().public)
        .verify(signed.as_bytes(), &signature)
        .expect("the signature is good");
    let parts = signed.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let parts: Vec<Value> = parts.map(|part| serde_json::from_slice(&part).expect("JSON")).collect();
    assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    let issued = parts[1]["iat"].as_u64().expect("a number");
    assert!(now - issued < 60 && parts[1]["exp"] == issued + 3600, "{}", parts[1]);
    let expected = ["ci@p.iam.gserviceaccount.com", "https://www.googleapis.com/auth/cloud-platform", audience];
    assert_eq!(["iss", "scope", "aud"].map(|claim| parts[1][claim].as_str().expect("a text").to_owned()), expected);
}

#[test]
fn a_service_accounts_key_signs_an_assertion() {
    let dir = tempfile::tempdir().expect("directory");
    for private_key in [&key().pkcs8, &key().pkcs1] {
        let server = Fake::start(|_| Answer::ok(TOKEN));
        let uri = format!("{}/token", server.address);
        let file = json!({
            "type": "service_account", "client_email": "ci@p.iam.gserviceaccount.com", "private_key_id": "key-1",
            "private_key": private_key, "token_uri": uri, "project_id": "p",
        });
        let found = granted(with_file(dir.path(), &file, &[]));
        assert_eq!(found.lifetime, Duration::from_secs(3599));
        assert!(found.source.starts_with("Google, by the key of ci@p.iam"), "{}", found.source);
        assert_eq!(server.requests().len(), 1);
        check_assertion(&server.requests()[0], &uri);
    }
}

#[test]
fn a_wrong_key_file_is_an_error_that_shows_no_secret() {
    let dir = tempfile::tempdir().expect("directory");
    let check = |file: Value, expected: &str| {
        let why = with_file(dir.path(), &file, &[]).expect_err("wrong");
        assert!(why.contains(expected) && why.contains("adc.json") && !why.contains("hunter2"), "{why}");
    };
    check(json!({"type": "service_account", "client_email": "c", "private_key": "hunter2"}), "not an RSA key");
    check(json!({"type": "service_account", "private_key": "hunter2"}), "incomplete");
    check(json!({"type": "hunter", "secret": "hunter2"}), "\"hunter\"");
    check(json!(["hunter2"]), "type");
    let named = [("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/adc.json")];
    let why = with_cloud(&named, &[], find).expect_err("missing");
    assert!(why.contains("/nowhere/adc.json"), "{why}");
    let open = json!({"type": "authorized_user", "client_id": "i", "client_secret": "hunter2", "refresh_token": "hunter2", "token_uri": "http://oauth.example/"});
    check(open, "https only");
    let server = Fake::start(|_| {
        Answer(400, Vec::new(), r#"{"error":"invalid_grant","error_description":"expired"}"#.to_owned())
    });
    let refused = json!({"type": "authorized_user", "client_id": "i", "client_secret": "hunter2", "refresh_token": "hunter2", "token_uri": server.address});
    check(refused, "400 (invalid_grant: expired)");
    assert_eq!(server.requests().len(), 1, "a refusal is final");
}

#[test]
fn gclouds_user_credentials_are_refreshed() {
    let home = tempfile::tempdir().expect("directory");
    let dir = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&dir).expect("made");
    let server = Fake::start(|_| Answer::ok(TOKEN));
    let file = json!({"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r", "token_uri": server.address});
    std::fs::write(dir.join("application_default_credentials.json"), file.to_string()).expect("written");
    granted(with_cloud(&[("HOME", home.path().to_str().expect("text"))], &[], find));
    let expected =
        [("client_id", "i"), ("client_secret", "s"), ("grant_type", "refresh_token"), ("refresh_token", "r")];
    let form = server.requests()[0].form();
    assert_eq!(form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
}

/// A token of another issuer as `source` gives it out, exchanged and turned into a service account's.
fn federate(source: &Value, issuer: &Fake) {
    let dir = tempfile::tempdir().expect("directory");
    let server = Fake::start(|request| match request.line.as_str() {
        "POST /sts" => Answer::ok(r#"{"access_token":"federated","expires_in":100}"#),
        "POST /sa:generateAccessToken" => {
            Answer::ok(r#"{"accessToken":"ya29.secret","expireTime":"2999-01-01T00:00:00Z"}"#)
        }
        other => panic!("{other}"),
    });
    let file = json!({
        "type": "external_account", "audience": "//iam/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/sts", server.address), "credential_source": source,
        "service_account_impersonation_url": format!("{}/sa:generateAccessToken", server.address),
    });
    let found = granted(with_file(dir.path(), &file, &[]));
    assert!(found.lifetime > Duration::from_secs(86400));
    let requests = server.requests();
    let form = requests[0].form();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!((form["audience"].as_str(), form["subject_token"].as_str()), ("//iam/x", "theirs"));
    assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(form["requested_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(requests[1].header("authorization"), "Bearer federated");
    let asked: Value = serde_json::from_str(&requests[1].body).expect("JSON");
    assert_eq!(asked["scope"], json!(["https://www.googleapis.com/auth/cloud-platform"]));
    let asked: Vec<_> = issuer.requests().iter().map(|request| request.header("x-flavor").to_owned()).collect();
    assert!(asked.iter().all(|flavor| flavor == "theirs"), "{asked:?}");
}

#[test]
fn a_federated_identity_is_exchanged() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("token");
    let issuer = Fake::start(|request| {
        Answer::ok(if request.line.ends_with("json") { r#"{"value":"theirs"}"# } else { "theirs\n" })
    });
    std::fs::write(&path, "theirs\n").expect("written");
    federate(&json!({ "file": path }), &issuer);
    std::fs::write(&path, r#"{"id_token":"theirs"}"#).expect("written");
    federate(&json!({"file": path, "format": {"type": "json", "subject_token_field_name": "id_token"}}), &issuer);
    assert!(issuer.requests().is_empty());
    federate(&json!({"url": issuer.address, "headers": {"X-Flavor": "theirs"}}), &issuer);
    let format = json!({"type": "json", "subject_token_field_name": "value"});
    federate(
        &json!({"url": format!("{}/json", issuer.address), "headers": {"X-Flavor": "theirs"}, "format": format}),
        &issuer,
    );
    assert_eq!(issuer.lines(), ["GET /", "GET /json"]);
    let program = json!({"type": "external_account", "audience": "a", "subject_token_type": "t", "token_url": "https://sts.example/",
        "credential_source": {"executable": {"command": "/bin/true"}}});
    let why = with_file(dir.path(), &program, &[]).expect_err("not supported");
    assert!(why.contains("not supported"), "{why}");
}

#[test]
fn the_metadata_server_is_asked_as_it_wants_to_be() {
    let real = Fake::start(|_| Answer(200, vec![("Metadata-Flavor", "Google".to_owned())], TOKEN.to_owned()));
    let host = real.address.trim_start_matches("http://").to_owned();
    granted(with_cloud(&[("GCE_METADATA_HOST", &host)], &[], find));
    let request = &real.requests()[0];
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(request.line, format!("GET {path}?scopes=https://www.googleapis.com/auth/cloud-platform"));
    assert_eq!((request.header("metadata-flavor"), request.header("host")), ("Google", host.as_str()));
    let other = Fake::start(|_| Answer::ok(TOKEN));
    let host = other.address.trim_start_matches("http://").to_owned();
    assert!(
        with_cloud(&[("GCE_METADATA_HOST", &host)], &[], find).expect("no error").is_none(),
        "without its header it is another"
    );
    assert_eq!(other.requests().len(), 1);
}

#[test]
fn a_silent_metadata_server_is_not_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let begun = std::time::Instant::now();
    assert!(with_hasty_cloud(&[("GCE_METADATA_HOST", &host)], find).expect("no error").is_none());
    assert!((900..6000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn the_configuration_of_googles_helper_counts() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("config.json");
    let check = |text: &str, expected: Option<&str>| {
        std::fs::write(&path, text).expect("written");
        let environment = [("DOCKER_CREDENTIAL_GCR_CONFIG", path.to_str().expect("text"))].into_iter().collect();
        let why = excluded(&environment);
        assert_eq!(why.is_some(), expected.is_some(), "{text}");
        assert!(why.unwrap_or_default().contains(expected.unwrap_or_default()), "{text}");
    };
    check(r#"{"TokenSources":["env"]}"#, None);
    check(r#"{"TokenSources":["gcloud","env"]}"#, None);
    check("{}", None);
    check(r#"{"TokenSources":["store"]}"#, Some("store"));
    check("{", Some("malformed"));
    let why = with_file(dir.path(), &json!({}), &[("DOCKER_CREDENTIAL_GCR_CONFIG", path.to_str().expect("text"))]);
    assert!(why.expect_err("excluded").contains("malformed"));
}
