//! Amazon's services, played by a local server that recomputes the signatures of what it gets.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::credentials::fake::{Answer, Fake, Request, with_cloud, with_hasty_cloud};

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

#[test]
fn amazons_hosts() {
    let check = |host: &str, expected: Option<(&str, &str)>| {
        let found = Registry::parse(host);
        let found = found.as_ref().map(|registry| (registry.region.as_str(), registry.endpoint.as_str()));
        assert_eq!(found, expected, "{host}");
    };
    let account = "123456789012";
    let (eu, cn, us) = ("eu-west-1", "cn-north-1", "us-gov-west-1");
    check(HOST, Some((eu, "https://api.ecr.eu-west-1.amazonaws.com")));
    let at = |rest: &str| format!("{account}.{rest}");
    check(&at("dkr.ecr-fips.us-gov-west-1.amazonaws.com"), Some((us, "https://ecr-fips.us-gov-west-1.amazonaws.com")));
    check(&at("dkr.ecr.cn-north-1.amazonaws.com.cn"), Some((cn, "https://api.ecr.cn-north-1.amazonaws.com.cn")));
    check(&at("dkr-ecr.eu-west-1.on.aws"), Some((eu, "https://ecr.eu-west-1.api.aws")));
    check(&at("dkr-ecr-fips.us-gov-west-1.on.aws"), Some((us, "https://ecr-fips.us-gov-west-1.api.aws")));
    check("public.ecr.aws", Some(("us-east-1", "https://api.ecr-public.us-east-1.amazonaws.com")));
    for other in [
        "dkr.ecr.eu-west-1.amazonaws.com",
        "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.com",
        "123456789012.dkr.ecr.evil.com/.amazonaws.com",
        "123456789012.dkr.ecr..amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.evil.aws",
        "x.public.ecr.aws",
        "public.ecr.aws.evil.com",
        "123456789012.dkr-ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.on.aws",
    ] {
        check(other, None);
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0; 64];
    block[..key.len().min(64)].copy_from_slice(&key[..key.len().min(64)]);
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("written");
        text
    })
}

/// Recomputes the signature from nothing but the request as it arrived and the secret key, and checks what must be signed.
fn check_signature(request: &Request, id: &str, secret: &str, region: &str, service: &str) {
    let authorization = request.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").expect("the scheme");
    let part = |name: &str| {
        let found = authorization.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {authorization}")).to_owned()
    };
    let time = request.header("x-amz-date");
    let sent: jiff::Timestamp =
        format!("{}-{}-{}T{}:{}:{}Z", &time[..4], &time[4..6], &time[6..8], &time[9..11], &time[11..13], &time[13..15])
            .parse()
            .expect("a time");
    assert!((jiff::Timestamp::now().as_second() - sent.as_second()).abs() < 60, "{time}");
    let scope = format!("{}/{region}/{service}/aws4_request", &time[..8]);
    assert_eq!(part("Credential"), format!("{id}/{scope}"));
    let signed = part("SignedHeaders");
    let names: Vec<&str> = signed.split(';').collect();
    for must in
        request.headers.keys().filter(|name| name.starts_with("x-amz-") || *name == "host" || *name == "content-type")
    {
        assert!(names.contains(&must.as_str()), "{must} is not signed");
    }
    let lines: String = names.iter().map(|name| format!("{name}:{}\n", request.header(name))).collect();
    let (method, path) = request.line.split_once(' ').expect("two words");
    let body = hex(&Sha256::digest(&request.body));
    let canonical = hex(&Sha256::digest(format!("{method}\n{path}\n\n{lines}\n{signed}\n{body}")));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
    let key = [&time[..8], region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, word| hmac(&key, word));
    assert_eq!(part("Signature"), hex(&hmac(&key, &to_sign)));
}

/// ECR, private and public, which answers with user AWS and password `ecr-pass`.
fn ecr() -> Fake {
    Fake::start(|request| {
        let end = jiff::Timestamp::now().as_second() + 43200;
        let one =
            format!(r#"{{"authorizationToken":"QVdTOmVjci1wYXNz","expiresAt":{end}.5,"proxyEndpoint":"https://x"}}"#);
        match (request.line.as_str(), request.header("x-amz-target"), request.body.as_str()) {
            ("POST /", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "{}") => {
                Answer::ok(format!(r#"{{"authorizationData":[{one}]}}"#))
            }
            ("POST /", "SpencerFrontendService.GetAuthorizationToken", "{}") => {
                Answer::ok(format!(r#"{{"authorizationData":{one}}}"#))
            }
            _ => Answer(400, Vec::new(), String::new()),
        }
    })
}

/// Finds a credential for `host` in this environment, and checks the signature that ECR got.
fn check(host: &str, variables: &[(&str, &str)], id: &str, session: &str, whose: &str) {
    let ecr = ecr();
    let endpoints =
        [("AWS_ENDPOINT_URL_ECR", ecr.address.as_str()), ("AWS_ENDPOINT_URL_ECR_PUBLIC", ecr.address.as_str())];
    let granted = with_cloud(&[variables, &endpoints].concat(), &[], |cloud| find(cloud, host))
        .expect("no error")
        .expect("found");
    assert_eq!(granted.credential, Credential::basic("AWS", "ecr-pass"));
    assert!((43_000..=43_201).contains(&granted.lifetime.as_secs()), "{:?}", granted.lifetime);
    assert_eq!(granted.source, format!("Amazon ECR, by {whose}"));
    let request = &ecr.requests()[0];
    assert_eq!(request.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(request.header("x-amz-security-token"), session);
    let (region, service) = if host == HOST { ("eu-west-1", "ecr") } else { ("us-east-1", "ecr-public") };
    check_signature(request, id, &format!("{id}-secret"), region, service);
}

#[test]
fn variables_and_both_registries() {
    let keys = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "AK-secret")];
    check(HOST, &keys, "AK", "", "environment AWS_ACCESS_KEY_ID");
    // The registry's region counts, not that of the environment.
    let session = [&keys[..], &[("AWS_SESSION_TOKEN", "session"), ("AWS_REGION", "ap-south-1")]].concat();
    check(HOST, &session, "AK", "session", "environment AWS_ACCESS_KEY_ID");
    check("public.ecr.aws", &keys, "AK", "", "environment AWS_ACCESS_KEY_ID");
}

fn home(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::create_dir(dir.path().join(".aws")).expect("made");
    std::fs::write(dir.path().join(".aws/config"), config).expect("written");
    dir
}

/// What the token service answers, as XML.
fn assumed(id: &str) -> String {
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{id}-secret</SecretAccessKey><SessionToken>sess+/=</SessionToken>\
         </Credentials></AssumeRoleResponse>"
    )
}

#[test]
fn a_web_identity_assumes_its_role() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("token");
    std::fs::write(&path, "cluster-token\n").expect("written");
    let sts = Fake::start(|_| Answer::ok(assumed("ASIA")));
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/ci"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().expect("text")),
        ("AWS_ROLE_SESSION_NAME", "build"),
        ("AWS_ENDPOINT_URL_STS", &sts.address),
    ];
    check(HOST, &variables, "ASIA", "sess+/=", "web identity arn:aws:iam::1:role/ci");
    let request = &sts.requests()[0];
    let form: Vec<(String, String)> = request.form().into_iter().collect();
    let expected = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("RoleArn", "arn:aws:iam::1:role/ci"),
        ("RoleSessionName", "build"),
        ("Version", "2011-06-15"),
        ("WebIdentityToken", "cluster-token"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((request.line.as_str(), request.header("authorization")), ("POST /", ""), "this request is not signed");
}

#[test]
fn profiles_with_keys_and_roles() {
    let config = "[default]\naws_access_key_id=AK\naws_secret_access_key=AK-secret\n\
        [profile ci]\nrole_arn=arn:role/ci\nsource_profile=default\nexternal_id=x\nregion=us-west-2\n\
        [profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n\
        [profile sso]\nsso_session=s\n[profile run]\ncredential_process=/bin/x\n";
    let home = home(config);
    let sts = Fake::start(|_| Answer::ok(assumed("ASIA")));
    let base = [("HOME", home.path().to_str().expect("text")), ("AWS_ENDPOINT_URL_STS", &sts.address)];
    check(HOST, &base, "AK", "", "AWS profile \"default\"");
    check(HOST, &[&base[..], &[("AWS_PROFILE", "ci")]].concat(), "ASIA", "sess+/=", "AWS profile \"ci\"");
    let request = &sts.requests()[0];
    check_signature(request, "AK", "AK-secret", "us-west-2", "sts");
    let form = request.form();
    assert_eq!(
        (form["Action"].as_str(), form["RoleArn"].as_str(), form["ExternalId"].as_str()),
        ("AssumeRole", "arn:role/ci", "x")
    );
    for (name, expected) in [
        ("sso", "sso_session is not supported"),
        ("run", "credential_process is not"),
        ("none", "no AWS profile \"none\""),
        ("a", "circle"),
    ] {
        let variables = [&base[..], &[("AWS_PROFILE", name)]].concat();
        let why = with_cloud(&variables, &[], |cloud| find(cloud, HOST)).map(|_| ()).expect_err(name);
        assert!(why.contains(expected) && why.contains(name), "{why}");
    }
}

const DOCUMENT: &str = r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"ASIA-secret","Token":"sess","Expiration":"2999-01-01T00:00:00Z"}"#;

#[test]
fn container_credentials() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("token");
    std::fs::write(&path, "pod-token\n").expect("written");
    let server = Fake::start(|request| {
        if request.header("authorization") == "pod-token" {
            Answer::ok(DOCUMENT)
        } else {
            Answer(403, Vec::new(), String::new())
        }
    });
    let address = format!("{}/v1/credentials", server.address);
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str());
    let file = [full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.to_str().expect("text"))];
    check(HOST, &file, "ASIA", "sess", "container credentials");
    check(HOST, &[full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")], "ASIA", "sess", "container credentials");
    assert_eq!(server.lines(), ["GET /v1/credentials", "GET /v1/credentials"]);
    let why = with_cloud(&[full], &[], |cloud| find(cloud, HOST)).map(|_| ()).expect_err("refused");
    assert!(why.contains("container credentials: 127.0.0.1: answered 403"), "{why}");
    // The relative form is for ECS's own address, which the detour stands for.
    let relative =
        [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")];
    let found =
        with_cloud(&relative, &[("169.254.170.2", &server)], container::find).expect("no error").expect("found");
    assert_eq!(found.id, "ASIA");
    assert_eq!(server.lines().pop().as_deref(), Some("GET /v2/x"));
}

/// The metadata service of an instance, version 2: nothing without the token.
fn imds(roles: &'static str) -> Fake {
    Fake::start(move |request| {
        let granted = request.header("x-aws-ec2-metadata-token") == "imds-token";
        match request.line.as_str() {
            "PUT /latest/api/token" if request.header("x-aws-ec2-metadata-token-ttl-seconds") == "21600" => {
                Answer::ok("imds-token")
            }
            "GET /latest/meta-data/iam/security-credentials/" if granted && !roles.is_empty() => Answer::ok(roles),
            "GET /latest/meta-data/iam/security-credentials/node-role" if granted => Answer::ok(DOCUMENT),
            _ => Answer(if granted { 404 } else { 401 }, Vec::new(), String::new()),
        }
    })
}

#[test]
fn instance_metadata_version_two() {
    let server = imds("node-role\n");
    check(HOST, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.address)], "ASIA", "sess", "instance metadata");
    assert_eq!(server.lines().len(), 3);
    let none = |variables: &[(&str, &str)]| {
        assert!(with_cloud(variables, &[], |cloud| find(cloud, HOST)).expect("no error").is_none(), "{variables:?}");
    };
    let without = imds("");
    none(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &without.address)]);
    assert_eq!(without.lines().len(), 2);
    none(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.address), ("AWS_EC2_METADATA_DISABLED", "true")]);
    assert_eq!(server.lines().len(), 3);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("an address"));
    let begun = std::time::Instant::now();
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.as_str())];
    assert!(with_hasty_cloud(&variables, |cloud| find(cloud, HOST)).expect("no error").is_none());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn what_is_wrong_is_said_without_secrets() {
    let refusing = Fake::start(|_| {
        Answer(
            400,
            Vec::new(),
            r#"{"__type":"UnrecognizedClientException","message":"The token is invalid"}"#.to_owned(),
        )
    });
    let keys =
        [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_ENDPOINT_URL", &refusing.address)];
    let why = with_cloud(&keys, &[], |cloud| find(cloud, HOST)).map(|_| ()).expect_err("refused");
    assert_eq!(
        why,
        "environment AWS_ACCESS_KEY_ID: 127.0.0.1: answered 400 (UnrecognizedClientException: The token is invalid)"
    );
    let shown = with_cloud(&keys, &[], |cloud| {
        format!("{:?} {:?}", cloud.environment, identity::of_variables(cloud.environment))
    });
    assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
}
