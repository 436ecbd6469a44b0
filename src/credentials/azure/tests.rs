//! Microsoft Entra, the metadata services and a registry's exchange, played by a local server that checks what it gets.

use super::*;
use crate::credentials::fake::{Answer, Fake, Request, with_cloud, with_hasty_cloud};

const HOST: &str = "team.azurecr.io";

#[test]
fn azures_hosts_and_no_look_alikes() {
    for host in ["team.azurecr.io", "a-1.azurecr.cn", "x.azurecr.us", "x.azurecr.de"] {
        assert!(serves(host), "{host}");
    }
    for host in [
        "evil-azurecr.io",
        "x.azurecr.io.evil.com",
        "azurecr.io",
        ".azurecr.io",
        "a.b.azurecr.io",
        "x.azurecr.io:5000",
        "x.azurecr.com",
        "evil.com/x.azurecr.io",
        "x@.azurecr.io",
        "team.azurecr.io.",
    ] {
        assert!(!serves(host), "{host}");
    }
}

/// A refresh token that says to be good for `seconds`.
fn refresh_token(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    let claims = format!(r#"{{"exp":{}}}"#, now + seconds);
    format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
}

/// A registry that gives `refresh_token` for the access token of the others.
fn registry() -> Fake {
    Fake::start(|request| {
        let form = request.form();
        let good = request.line == "POST /oauth2/exchange"
            && request.header("host") == HOST
            && form["grant_type"] == "access_token"
            && form["service"] == HOST
            && form["access_token"] == "entra-token";
        if good {
            Answer::ok(format!(r#"{{"refresh_token":"{}"}}"#, refresh_token(10_000)))
        } else {
            Answer(400, Vec::new(), String::new())
        }
    })
}

fn token(_: &Request) -> Answer {
    Answer::ok(r#"{"access_token":"entra-token","expires_in":"3599","token_type":"Bearer"}"#)
}

/// Finds a credential in this environment; returns who it is by, and what the registry was sent.
fn check(variables: &[(&str, &str)], whose: &str) -> Request {
    let registry = registry();
    let granted =
        with_cloud(variables, &[(HOST, &registry)], |cloud| find(cloud, HOST)).expect("no error").expect("found");
    let Credential::Basic { user, password } = &granted.credential else { panic!("{granted:?}") };
    assert_eq!(user, "00000000-0000-0000-0000-000000000000");
    assert!(password.expose().starts_with("e30."));
    assert!((9_900..=10_000).contains(&granted.lifetime.as_secs()), "{:?}", granted.lifetime);
    assert_eq!(granted.source, format!("Azure, by {whose}"));
    registry.requests().remove(0)
}

fn fields(request: &Request) -> Vec<(String, String)> {
    request.form().into_iter().collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_service_principal() {
    let entra = Fake::start(token);
    let exchange = check(
        &[
            ("AZURE_CLIENT_ID", "app"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_CLIENT_SECRET", "s&e cret"),
            ("AZURE_AUTHORITY_HOST", &format!("{}/", entra.address)),
        ],
        "the service principal app",
    );
    assert_eq!(exchange.form()["tenant"], "tenant");
    let request = &entra.requests()[0];
    assert_eq!(request.line, "POST /tenant/oauth2/v2.0/token");
    let expected = [
        ("client_id", "app"),
        ("client_secret", "s&e cret"),
        ("grant_type", "client_credentials"),
        ("scope", "https://management.azure.com/.default"),
    ];
    assert_eq!(fields(request), pairs(&expected));
}

#[test]
fn a_workload_identity() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("token");
    std::fs::write(&path, "cluster-token\n").expect("written");
    let entra = Fake::start(token);
    check(
        &[
            ("AZURE_CLIENT_ID", "app"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_FEDERATED_TOKEN_FILE", path.to_str().expect("text")),
            ("AZURE_AUTHORITY_HOST", &entra.address),
        ],
        "the workload identity app",
    );
    let expected = [
        ("client_assertion", "cluster-token"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_id", "app"),
        ("grant_type", "client_credentials"),
        ("scope", "https://management.azure.com/.default"),
    ];
    assert_eq!(fields(&entra.requests()[0]), pairs(&expected));
}

#[test]
fn managed_identities() {
    let machine = Fake::start(token);
    let exchange =
        check(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &machine.address)], "the managed identity of the machine");
    assert!(!exchange.form().contains_key("tenant"));
    let request = &machine.requests()[0];
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";
    assert_eq!((request.line.as_str(), request.header("metadata")), (format!("GET {path}").as_str(), "true"));
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.address.as_str()), ("AZURE_CLIENT_ID", "app")];
    check(&variables, "the managed identity of the machine");
    assert_eq!(machine.requests()[1].line, format!("GET {path}&client_id=app"));
    let platform = Fake::start(token);
    let endpoint = format!("{}/msi/token", platform.address);
    check(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "h")], "the managed identity of the platform");
    let request = &platform.requests()[0];
    assert_eq!(request.line, "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fmanagement.azure.com%2F");
    assert_eq!((request.header("x-identity-header"), request.header("metadata")), ("h", ""));
}

#[test]
fn a_silent_metadata_server_is_not_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("an address"));
    let begun = std::time::Instant::now();
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", silent.as_str())];
    assert!(with_hasty_cloud(&variables, |cloud| find(cloud, HOST)).expect("no error").is_none());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn what_is_wrong_is_said_without_secrets() {
    let principal = |more: (&'static str, &str), expected: &str| {
        let entra = Fake::start(|_| {
            Answer(401, Vec::new(), r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#.to_owned())
        });
        let variables =
            [("AZURE_CLIENT_ID", "app"), ("AZURE_TENANT_ID", "t"), ("AZURE_AUTHORITY_HOST", &entra.address), more];
        let why = with_cloud(&variables, &[], |cloud| find(cloud, HOST)).map(|_| ()).expect_err("wrong");
        assert!(why.contains(expected) && !why.contains("hunter2"), "{why}");
    };
    principal(
        ("AZURE_CLIENT_SECRET", "hunter2"),
        "the service principal app: 127.0.0.1: answered 401 (invalid_client: AADSTS7000215)",
    );
    principal(("AZURE_CLIENT_CERTIFICATE_PATH", "/x"), "AZURE_CLIENT_CERTIFICATE_PATH is not supported");
    principal(("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token"), "/nowhere/token");
    let entra = Fake::start(token);
    let refusing =
        Fake::start(|_| Answer(401, Vec::new(), r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#.to_owned()));
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.address.as_str())];
    let why = with_cloud(&variables, &[(HOST, &refusing)], |cloud| find(cloud, HOST)).map(|_| ()).expect_err("refused");
    assert!(
        why.contains("exchange: team.azurecr.io: answered 401 (UNAUTHORIZED: no)") && !why.contains("entra-token"),
        "{why}"
    );
}
