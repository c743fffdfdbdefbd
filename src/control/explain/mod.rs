//! `tollgate explain`: which route a request would take, which nearly did, and what applies.

mod applied;

use std::fmt::Write;

use super::compile::describe;
use crate::config::{ClaimTest, Settings};
use crate::http::h1::{Scan, parse_request};
use crate::http::{Framing, RequestHead};
use crate::route::{Claims, Found, Params, Request, Table};

/// What would become of a request.
pub struct Explained {
    /// For people.
    pub text: String,
    /// Whether a route takes it.
    pub matched: bool,
}

/// Explains what would become of a request.
///
/// # Errors
/// Where it is no request that the gateway would take.
pub fn explain(
    settings: &Settings,
    method: &str,
    url: &str,
    headers: &[String],
    claims: &[String],
) -> Result<Explained, String> {
    let claims = Told::read(claims)?;
    let (mut bytes, head) = parse(settings, method, url, headers)?;
    let buf = std::mem::take(&mut bytes);
    let table = Table::build(&settings.routes).map_err(|e| e.to_string())?;
    let request = Request {
        host: head.host.of(&buf),
        path: head.path.of(&buf),
        query: head.query.map(|q| q.of(&buf)),
        method: head.method,
        method_text: head.method_span.of(&buf),
        fields: &head.fields,
        buf: &buf,
        identity: None,
        claims: &claims,
    };
    let explanation = table.explain(&settings.routes, &request);
    let text = String::from_utf8_lossy;
    let mut out = String::new();
    let line = &mut out;
    let _ = writeln!(line, "host  {}", text(request.host));
    let _ = writeln!(line, "path  {}", text(request.path));
    match explanation.matched {
        Some(index) => {
            let parameters = parameters(&table, &request, index);
            applied::route(line, settings, &settings.routes[index as usize], &parameters);
        }
        None => {
            let _ = writeln!(
                line,
                "\nno route matches: the gateway answers {}",
                refusal(&table, &request)
            );
        }
    }
    if !explanation.considered.is_empty() {
        let _ = writeln!(line, "\nnearly:");
    }
    for (index, reason) in &explanation.considered {
        let route = &settings.routes[*index as usize];
        let _ = writeln!(line, "  {:<20} {:<32} {reason}", route.name, describe(route));
    }
    if explanation.omitted > 0 {
        let _ = writeln!(line, "  and {} more", explanation.omitted);
    }
    Ok(Explained { text: out, matched: explanation.matched.is_some() })
}

/// `404`, or `405` with what would have been allowed.
fn refusal(table: &Table, request: &Request<'_>) -> String {
    match table.find(request, &mut Params::default()) {
        Found::MethodNotAllowed(methods) => {
            let mut allow = Vec::new();
            table.write_allow(methods, &mut allow);
            format!("405, Allow: {}", String::from_utf8_lossy(&allow))
        }
        Found::Route(..) | Found::Token(_) | Found::NotFound => "404".to_owned(),
    }
}

/// What a token says that every route would take.
#[derive(Debug)]
struct Told<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Told<'a> {
    fn read(claims: &'a [String]) -> Result<Self, String> {
        let read = |claim: &'a String| {
            claim.split_once('=').ok_or_else(|| format!("--claim {claim:?}: write name=value"))
        };
        claims.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl Claims for Told<'_> {
    fn say(&self, _: u16, (name, any_of): &ClaimTest) -> Option<bool> {
        let is_one = |value: &str| any_of.iter().any(|one| one == value);
        Some(self.0.iter().any(|(told, value)| told == name && is_one(value)))
    }
}

/// `id = 7, * = rest`.
fn parameters(table: &Table, request: &Request<'_>, route: u32) -> String {
    let mut params = Params::default();
    table.find(request, &mut params);
    let value = |index| String::from_utf8_lossy(params.value(index, request.path));
    let names = table.parameter_names(route).iter().enumerate();
    names.map(|(index, name)| format!("{name} = {}", value(index))).collect::<Vec<_>>().join(", ")
}

/// Makes a request of the words and has the gateway's own parser read it.
fn parse(
    settings: &Settings,
    method: &str,
    url: &str,
    headers: &[String],
) -> Result<(Vec<u8>, RequestHead), String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| format!("{url:?}: write http://host/path"))?;
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(split);
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut text = format!("{method} {slash}{target} HTTP/1.1\r\nHost: {authority}\r\n");
    for header in headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("-H {header:?}: write Name: value"))?;
        let _ = write!(text, "{}: {}\r\n", name.trim(), value.trim());
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    let mut head = RequestHead::default();
    let listener = settings.listeners.first().ok_or("the configuration has no listener")?;
    let bounds = listener.http;
    match parse_request(&mut bytes, &mut Scan::default(), &bounds, &mut head) {
        Ok(true) if head.framing == Framing::None || head.len == bytes.len() => Ok((bytes, head)),
        Ok(_) => Err("the request is not complete".into()),
        Err(bad) => Err(format!("the gateway answers {}: {}", bad.status(), bad.detail())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        limits = [{ name = "all", rate = "10/s", key = "header:x-api-key" }]
        [[listeners]]
        name = "web"
        listen = "127.0.0.1:8080"
        [upstreams.app]
        targets = ["10.0.0.1:80", { address = "unix:/run/app.sock", weight = 2 }, "app.internal:80"]
        balance = "maglev"
        hash_key = "cookie:session"
        retries = 2
        [[routes]]
        name = "orders"
        path = "/orders/{id}"
        upstream = "app"
        max_body = "1MiB"
        limits = [{ rate = "100/m", burst = 7, key = "path:id" }]
        timeouts = { total = "90s" }
        [[routes]]
        name = "old"
        path = "/old"
        redirect = { to = "/new" }
        [jwt.main]
        secret = "0123456789abcdef0123456789abcdef"
        [forward_auth.gate]
        url = "http://auth.internal/check"
        cache = { key = ["header:authorization", "cookie:sid", "path"] }
        [[routes]]
        name = "asked"
        path = "/asked"
        forward_auth = "gate"
        redirect = { to = "/new" }
        [[routes]]
        name = "gold"
        path = "/tiers"
        claims = { "/plan/tier" = ["gold", "silver"] }
        authentication = { any_of = ["jwt:main"] }
        redirect = { to = "/new" }
        [[routes]]
        name = "tiers"
        path = "/tiers"
        redirect = { to = "/new" }
        [[routes]]
        name = "own"
        path = "/own"
        client_certificate = { san_dns = ["a.example", "b.example"] }
        redirect = { to = "/new" }
    "#;

    fn explained(path: &str) -> String {
        let (settings, _) = crate::config::load(FILE, "file", &|_| None).unwrap();
        explain(&settings, "GET", &format!("http://a{path}"), &[], &[]).unwrap().text
    }

    #[test]
    fn what_a_token_says_is_told_by_name() {
        let (settings, _) = crate::config::load(FILE, "file", &|_| None).unwrap();
        let ask =
            |claim: &str| explain(&settings, "GET", "http://a/tiers", &[], &[claim.to_owned()]);
        assert!(ask("/plan/tier=silver").unwrap().text.contains("route gold"));
        let shown = ask("/plan/tier=bronze").unwrap().text;
        let why = "wants that the token's claim /plan/tier is \"gold\" or \"silver\", and it does not say so";
        assert!(shown.contains("route tiers") && shown.contains(why), "{shown}");
        assert!(ask("tier").is_err());
    }

    #[test]
    fn it_speaks_as_the_file_does() {
        let shown = explained("/orders/7");
        for line in [
            "  with id = 7",
            "  upstream app",
            "    target 10.0.0.1:80 weight 1",
            "    target unix:/run/app.sock weight 2",
            "    target app.internal:80 weight 1",
            "    balance maglev by cookie:session",
            "    retries 2, of at most 20% of the requests",
            "  limit all (every request): rate 10/s, burst 10, key header:x-api-key",
            "  limit orders (route): rate 100/m, burst 7, key path:id",
            "  max_body 1MiB",
            "  host_policy preserve",
            "  upgrades websocket, timeouts tunnel 1h, tunnel_total none",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        assert!(shown.contains("timeouts connect ") && shown.contains("total 90s"), "{shown}");
    }

    #[test]
    fn the_service_that_is_asked_is_named() {
        let shown = explained("/asked");
        for line in [
            "  forward_auth gate: http://auth.internal/check, on_error refuse",
            "    cache by header:authorization, cookie:sid, path, for 10s, denied_for 1s",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
    }

    #[test]
    fn a_route_for_some_clients_is_not_for_one_without_a_certificate() {
        let shown = explained("/own");
        let why = "wants that the client certificate's san_dns is \"a.example\" or \"b.example\", and the \
                   request has none";
        assert!(shown.contains("no route matches") && shown.contains(why), "{shown}");
    }

    #[test]
    fn a_route_for_calls_shows_as_the_path_and_the_type_that_it_stands_for() {
        let file = FILE.to_owned()
            + r#"
        [upstreams.calls]
        targets = ["10.0.0.2:50051"]
        protocol = "h2"
        [[routes]]
        name = "greeter"
        grpc = { service = "hello.Greeter" }
        grpc_web = true
        upstream = "calls"
        "#;
        let (loaded, _) = crate::config::load(&file, "file", &|_| None).unwrap();
        let ask = |headers: &[String]| {
            let url = "http://a/hello.Greeter/Say";
            explain(&loaded, "POST", url, headers, &[]).expect("a request").text
        };
        let shown = ask(&["Content-Type: application/grpc-web+proto".to_owned()]);
        for line in
            ["route greeter  (*/hello.Greeter/{method})", "  with method = Say", "  grpc_web"]
        {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        let shown = ask(&["Content-Type: text/plain".to_owned()]);
        assert!(shown.contains("no route matches") && shown.contains("content-type"), "{shown}");
    }

    #[test]
    fn what_does_not_go_upstream_has_no_timeouts() {
        let shown = explained("/old");
        assert!(shown.contains("redirect 302 to /new"), "{shown}");
        assert!(!shown.contains("timeouts") && !shown.contains("retries"), "{shown}");
    }

    #[test]
    fn where_no_route_matches_the_answer_is_told() {
        let file = FILE.to_owned()
            + "[[routes]]\nname = \"put\"\npath = \"/put\"\nmethods = [\"PUT\"]\nrespond = {}";
        let (settings, _) = crate::config::load(&file, "file", &|_| None).unwrap();
        let ask = |url| explain(&settings, "GET", url, &[], &[]).unwrap();
        let (nowhere, other) = (ask("http://a/nowhere"), ask("http://a/put"));
        assert!(!nowhere.matched && nowhere.text.contains("the gateway answers 404"));
        assert!(!other.matched && other.text.contains("the gateway answers 405, Allow: PUT"));
    }

    #[test]
    fn every_policy_is_told_and_no_secret() {
        let file = FILE.to_owned()
            + r#"
        [upstreams.safe]
        targets = ["app.internal:443"]
        protocol = "h2"
        tls = { roots = "ca.pem", server_name = "app.example" }
        [products.shop.authentication]
        any_of = ["user_key"]
        [[routes]]
        name = "safe"
        path = "/safe"
        upstream = "safe"
        product = "shop"
        allow = ["10.0.0.0/8"]
        deny = ["10.1.0.0/16"]
        request_headers = { remove = ["cookie"], set = { authorization = "Bearer s3cret" } }
        response_headers = { add = { x-b = ["1", "2"] } }
        [[routes]]
        name = "token"
        path = "/token"
        authentication = { any_of = ["jwt:main"], optional = true }
        upstream = "safe"
        "#;
        let (settings, _) = crate::config::load(&file, "file", &|_| None).unwrap();
        let ask = |url| explain(&settings, "GET", url, &[], &[]).unwrap().text;
        let shown = ask("http://a/safe");
        for line in [
            "    protocol h2, max_streams 100",
            "    tls roots ca.pem, server_name app.example",
            "  product shop, authentication any_of user_key",
            "  allow 10.0.0.0/8",
            "  deny 10.1.0.0/16",
            "  request_headers remove cookie; set authorization",
            "  response_headers add x-b, x-b",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(ask("http://a/token").contains("  authentication any_of jwt:main, optional\n"));
    }
}
