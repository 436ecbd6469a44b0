//! Where the digest is told beside files: an `https://` address, and the directory of `BUILDER_OUTPUT`.

use std::fs;

use serde_json::Value;

use crate::support::authority::Authority;
use crate::support::executor::Build;
use crate::support::gateway::{Gateway, Verdict};
use crate::support::nginx::Nginx;
use crate::support::registry::Registry;

#[test]
fn a_digest_is_put_to_an_address_and_into_a_directory() {
    let authority = Authority::new();
    let (certificate, key) = authority.server();
    let taker = Gateway::start(0, |_| Verdict::status(201));
    let nginx = Nginx::start(|port, _| {
        format!(
            "access_log off; server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ proxy_pass http://127.0.0.1:{}; }} }}",
            certificate.display(),
            key.display(),
            taker.port()
        )
    });
    let registry = Registry::start();
    let build = Build::new("FROM scratch\nCOPY a /\n").file("a", "a");
    let output = build.dir().join("output");
    let variables = [
        format!("SSL_CERT_FILE={}", authority.certificate().display()),
        format!("BUILDER_OUTPUT={}", output.display()),
    ];
    let name = registry.name("app:1");
    let _built = build
        .args([format!("--destination={name}"), format!("--digest-file=https://{}", nginx.name("digest?signature=x"))])
        .through(&["env", &variables[0], &variables[1]])
        .succeed();
    let told = taker.requests();
    assert_eq!(told.iter().map(|asked| asked.line()).collect::<Vec<_>>(), ["PUT /digest?signature=x"]);
    let digest = String::from_utf8(told[0].body.clone()).unwrap();
    assert_eq!(registry.manifest_status("app", &digest), 200);
    let line: Value = serde_json::from_str(&fs::read_to_string(output.join("images")).unwrap()).unwrap();
    assert_eq!((line["name"].as_str(), line["digest"].as_str()), (Some(name.as_str()), Some(digest.as_str())));
}
