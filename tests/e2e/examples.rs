//! Every file under `config/` starts and serves a request through each of its routes, with the
//! addresses replaced by ephemeral ones.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::harness::{Builder, Client, Driver, Gateway, Origin, Pair, Signer, Upstream, Version};

/// Of every variable that a file refers to: long enough for a secret.
const VALUE: &str = "a-value-for-tests-that-is-long-enough-to-be-a-secret-of-any-hash";

/// The key of RFC 8037, appendix A.2.
const KEYS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let entries = fs::read_dir(&folder).expect("the folder config/");
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no file in {}", folder.display());
    files
}

/// The names in `${NAME}` and `${NAME:-default}`.
fn variables(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1);
    parts.map(|p| p.split(['}', ':']).next().unwrap_or_default().to_owned()).collect()
}

fn tables<'a>(config: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    let all = config.get_mut(key).and_then(Value::as_array_mut);
    all.into_iter().flatten().filter_map(Value::as_table_mut)
}

/// Whether its connections begin with a PROXY header.
fn wants_header(listener: &Table) -> bool {
    text(listener, "proxy_protocol").is_some_and(|version| version != "off")
}

/// Replaces what is bound or connected to.
fn localise(config: &mut Table, upstream: &Upstream, http2: &Origin) {
    let any = Value::from("127.0.0.1:0");
    for listener in tables(config, "listeners") {
        listener.insert("listen".into(), any.clone());
        if wants_header(listener) {
            listener.insert("trusted_proxies".into(), vec!["127.0.0.1"].into());
        }
    }
    let empty = || Value::Table(Table::new());
    let section = |config: &mut Table, name: &str| -> Table {
        config.remove(name).unwrap_or_else(empty).as_table().cloned().unwrap_or_default()
    };
    let mut admin = section(config, "admin");
    admin.insert("listen".into(), any);
    admin.insert("enabled".into(), true.into());
    config.insert("admin".into(), admin.into());
    let mut server = section(config, "server");
    server.remove("cores");
    server.remove("driver");
    server.insert("workers".into(), 1.into());
    config.insert("server".into(), server.into());
    if let Some(log) = config.get_mut("access_log").and_then(Value::as_table_mut)
        && log.contains_key("path")
    {
        log.insert("path".into(), "access.log".into());
    }
    if let Some(acme) = config.get_mut("acme").and_then(Value::as_table_mut) {
        // Nobody is there: getting certificates is for other tests.
        acme.insert("directory".into(), "https://127.0.0.1:1/directory".into());
        acme.insert("roots".into(), "acme-ca.pem".into());
    }
    let path = Table::from_iter([("path".to_owned(), "store.db".into())]);
    config.insert("store".into(), path.into());
    let services = config.get_mut("forward_auth").and_then(Value::as_table_mut);
    for (_, service) in services.into_iter().flatten() {
        let service = service.as_table_mut().expect("a table");
        service.insert("url".into(), format!("http://{}/check", upstream.address).into());
    }
    let upstreams = config.get_mut("upstreams").and_then(Value::as_table_mut);
    for (_, keys) in upstreams.into_iter().flatten() {
        let speaks_http2 = keys.get("protocol").and_then(Value::as_str) == Some("h2");
        let targets = keys.get_mut("targets").and_then(Value::as_array_mut);
        // One address may stand only once in a group.
        if let Some(targets) = targets {
            let address = if speaks_http2 { &http2.address } else { &upstream.address };
            *targets = vec![address.as_str().into()];
        }
    }
}

/// An OCSP response: the certificate with the serial number 1 is good.
const ANSWER: &[u8] = b"0T\x0a\x01\x00\xa0O0M\x06\x09+\x06\x01\x05\x05\x070\x01\x01\x04@0>07\xa2\x02\x04\x00\x18\x0f20260101000000Z0 0\x1e0\x090\x00\x04\x00\x04\x00\x02\x01\x01\x80\x00\x18\x0f20260101000000Z0\x00\x03\x01\x00";

/// The files that `tls` of a listener names, made anew and put beside the configuration.
fn with_certificates(mut builder: Builder, tls: &Table) -> Builder {
    let pair = Pair::new(&["example.com", "*.example.com"]);
    let listed = tls.get("certificates").and_then(Value::as_array).into_iter().flatten();
    for files in listed.filter_map(Value::as_table) {
        let name = |key| text(files, key);
        let (certificate, key) = (name("certificate"), name("key"));
        builder = builder.file(certificate.expect("a name"), pair.certificate.as_str());
        builder = builder.file(key.expect("a name"), pair.key.as_str());
        if let Some(ocsp) = name("ocsp") {
            builder = builder.file(ocsp, ANSWER);
        }
    }
    let keys = tls.get("session_ticket_keys").and_then(Value::as_array).into_iter().flatten();
    for (position, name) in keys.enumerate() {
        let bytes: Vec<u8> = (0..80).map(|at| at * (position as u8 + 1)).collect();
        builder = builder.file(name.as_str().expect("a name"), bytes);
    }
    if let Some(folder) = text(tls, "certificate_directory") {
        builder = builder.file(&format!("{folder}/test.crt"), pair.certificate.as_str());
        builder = builder.file(&format!("{folder}/test.key"), pair.key.as_str());
    }
    if let Some(asked) = tls.get("client_certificates").and_then(Value::as_table) {
        let authority = Signer::new();
        builder = builder.file(text(asked, "ca").expect("a name"), authority.pem());
        if let Some(list) = text(asked, "crl") {
            builder = builder.file(list, authority.empty_list());
        }
    }
    builder
}

/// The same for `tls` of an upstream, or for `acme`.
fn with_target_certificates(mut builder: Builder, tls: &Table) -> Builder {
    let pair = Pair::new(&["gateway.example"]);
    if let Some(roots) = text(tls, "roots") {
        builder = builder.file(roots, Signer::new().pem());
    }
    if let (Some(certificate), Some(key)) = (text(tls, "certificate"), text(tls, "key")) {
        builder = builder.file(certificate, pair.certificate).file(key, pair.key);
    }
    builder
}

/// What `[jwt.NAME]` names.
fn with_keys(mut builder: Builder, verifier: &Table) -> Builder {
    if let Some(roots) = text(verifier, "jwks_roots") {
        builder = builder.file(roots, Signer::new().pem());
    }
    if let Some(keys) = text(verifier, "jwks_file") {
        builder = builder.file(keys, KEYS);
    }
    builder
}

fn tls_of(upstream: &Value) -> Option<&Table> {
    upstream.get("tls").and_then(Value::as_table)
}

fn text<'a>(route: &'a Table, key: &str) -> Option<&'a str> {
    route.get(key).and_then(Value::as_str)
}

/// A value that passes a matcher; `None` where we would have to invert an expression.
fn passing(test: &Value) -> Option<String> {
    match test {
        Value::String(exact) => Some(exact.clone()),
        Value::Table(t) => match (text(t, "exact"), text(t, "prefix"), t.get("present")) {
            (Some(exact), _, _) => Some(exact.to_owned()),
            (_, Some(prefix), _) => Some(format!("{prefix}x")),
            (_, _, Some(_)) => Some("x".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn absent(test: &Value) -> bool {
    test.as_table().and_then(|t| t.get("present")).and_then(Value::as_bool) == Some(false)
}

/// A request that a route takes; `None` where it is chosen by an expression or by who the client is.
fn request(route: &Table) -> Option<String> {
    if route.contains_key("client_certificate") {
        return None;
    }
    let host = text(route, "host").unwrap_or("test.example").replace('*', "www");
    let path = text(route, "path")?;
    let segments = path.split('/').map(|s| match s {
        "*" => "some/thing",
        s if s.starts_with('{') => "42",
        s => s,
    });
    let mut target = segments.collect::<Vec<_>>().join("/");
    let methods = route.get("methods").and_then(Value::as_array);
    let method = methods.and_then(|m| m.first()).and_then(Value::as_str).unwrap_or("GET");
    let empty = Table::new();
    let matchers = |key: &str| route.get(key).and_then(Value::as_table).unwrap_or(&empty).iter();
    let mut fields = String::new();
    for (name, test) in matchers("headers").filter(|(_, t)| !absent(t)) {
        fields += &format!("{name}: {}\r\n", passing(test)?);
    }
    let mut separator = '?';
    for (name, test) in matchers("query").filter(|(_, t)| !absent(t)) {
        target += &format!("{separator}{name}={}", passing(test)?);
        separator = '&';
    }
    Some(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 0\r\n\r\n"))
}

fn serves(driver: Driver, file: &Path) {
    let upstream = Upstream::new(|peer| {
        peer.proxy_header();
        while let Some(request) = peer.next_request() {
            let body = if request.method() == "HEAD" { "" } else { "ok" };
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}"));
        }
    });
    let written = fs::read_to_string(file).expect("a readable file");
    let mut config: Table = written.parse().expect("TOML");
    let routes: Vec<Table> = tables(&mut config, "routes").map(|t| t.clone()).collect();
    let http2 = Origin::saying(Version::Http2, "ok");
    localise(&mut config, &upstream, &http2);
    let builder = Gateway::with(driver, config.to_string());
    let builder = variables(&written).iter().fold(builder, |b, name| b.environment(name, VALUE));
    let builder = tables(&mut config, "listeners")
        .filter_map(|listener| listener.get("tls").and_then(Value::as_table))
        .fold(builder, with_certificates);
    let upstreams = config.get("upstreams").and_then(Value::as_table).cloned().unwrap_or_default();
    let builder = upstreams.values().filter_map(tls_of).fold(builder, with_target_certificates);
    let acme = config.get("acme").and_then(Value::as_table);
    let builder = acme.into_iter().fold(builder, with_target_certificates);
    let services =
        config.get("forward_auth").and_then(Value::as_table).cloned().unwrap_or_default();
    let services = services.values().filter_map(Value::as_table);
    let builder = services.fold(builder, with_target_certificates);
    let verifiers = config.get("jwt").and_then(Value::as_table).cloned().unwrap_or_default();
    let verifiers = verifiers.values().filter_map(Value::as_table);
    let gateway = verifiers.fold(builder, with_keys).start();
    // Those that speak TLS are for other tests.
    let listener = tables(&mut config, "listeners").find(|l| !l.contains_key("tls"));
    let listener = listener.expect("a plain listener").clone();
    let name = text(&listener, "name").expect("its name");
    let header = if wants_header(&listener) { "PROXY UNKNOWN\r\n" } else { "" };
    for route in &routes {
        // Targets that speak TLS are for other tests.
        let target = text(route, "upstream").and_then(|name| upstreams.get(name));
        if target.is_some_and(|upstream| tls_of(upstream).is_some()) {
            continue;
        }
        let Some(request) = request(route) else { continue };
        let mut client = Client::connect(gateway.address(name));
        client.send(format!("{header}{request}"));
        let response = client.response_to(&request);
        let name = text(route, "name").unwrap_or_default();
        let status = response.status;
        let chosen = route.get("respond").and_then(|r| r.get("status")).and_then(Value::as_integer);
        // A product's routes may want a key, which nobody has yet.
        let keyless = route.contains_key("product") && status == 401;
        assert!(
            status < 400 || keyless || chosen == Some(i64::from(status)),
            "{}: route {name}: {status} to\n{request}{}",
            file.display(),
            response.text()
        );
        gateway.wait_stats("the route is counted", |s| s.route(name, "/requests") >= 1);
    }
}

both_drivers!(each_serves_a_request_through_each_route,);

fn each_serves_a_request_through_each_route(driver: Driver) {
    for file in files() {
        eprintln!("{}", file.display());
        serves(driver, &file);
    }
}
