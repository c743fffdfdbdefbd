//! One client of several products: who is the same everywhere has an application for each, with a plan of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::issuer::{TokenKey, claims, jwks};
use crate::harness::{BOTH, Client, Driver, Gateway, Operator, Response, Signer, Upstream};

both_drivers!(
    a_client_of_an_issuer_calls_several_products,
    a_certificate_calls_several_products,
    a_user_has_a_password_for_each_product,
    within_a_product_each_is_one_applications,
);

/// What is ahead of two products, `orders` and `stock`, in which `acme` has an application each.
struct Market {
    gateway: Gateway,
    upstream: Upstream,
    signer: Signer,
    issuer: TokenKey,
    operator: Operator,
}

const PRODUCTS: [&str; 2] = ["orders", "stock"];

fn product(name: &str) -> String {
    format!(
        "[products.{name}.authentication]\nany_of = [\"jwt:main\", \"basic\", \"certificate\"]\n\
         [products.{name}.plans.of-{name}]\n\
         [[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nproduct = \"{name}\"\nupstream = \"app\"\n"
    )
}

impl Market {
    fn open(driver: Driver) -> Self {
        let (signer, issuer, upstream) =
            (Signer::new(), TokenKey::new("k"), Upstream::saying("ok"));
        let own = signer.certify(&["a.example"]);
        let text = format!(
            "[store]\npath = \"store.db\"\n[jwt.main]\njwks_file = \"keys.json\"\n\
             [[listeners]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\n\
             [listeners.tls]\ncertificates = [{{ certificate = \"a.pem\", key = \"a.key\" }}]\n\
             client_certificates = {{ mode = \"optional\", ca = \"ca.pem\" }}\n\
             [upstreams.app]\ntargets = [\"{}\"]\n{}{}",
            upstream.address,
            product("orders"),
            product("stock")
        );
        let gateway = Gateway::with(driver, text)
            .file("a.pem", own.certificate.as_str())
            .file("a.key", own.key.as_str())
            .file("ca.pem", signer.pem())
            .file("keys.json", jwks(&[&issuer]))
            .start();
        let operator = Operator::of(&gateway);
        operator.make(&gateway, "/accounts", &json!({ "name": "acme" }));
        let market = Self { gateway, upstream, signer, issuer, operator };
        PRODUCTS.iter().for_each(|name| drop(market.application(name)));
        market
    }

    /// One more application of `acme`'s: its path.
    fn application(&self, product: &str) -> String {
        let plan = format!("of-{product}");
        let wanted = json!({ "account": 1, "name": product, "product": product, "plan": plan });
        let made = self.operator.make(&self.gateway, "/applications", &wanted);
        format!("/applications/{}", made["id"])
    }

    /// Gives both applications this credential, and returns what was made.
    #[track_caller]
    fn give(&self, credential: &Value) -> [Value; 2] {
        let keys = [1, 2].map(|id| format!("/applications/{id}/keys"));
        keys.map(|keys| self.operator.make(&self.gateway, &keys, credential))
    }

    fn ask(&self, product: &str, fields: &str) -> Response {
        let tls = self.signer.client(BOTH);
        let request = format!("GET /{product} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
        Client::connect_tls(self.gateway.web(), &tls, "a.example").ask(&request)
    }

    /// Who calls is let in, by the application of each product.
    fn expect_both(&self, ask: impl Fn(&str) -> Response) {
        for product in PRODUCTS {
            ask(product).expect(200);
            let seen = self.upstream.wait_for_request(self.upstream.count());
            assert_eq!(seen.value("x-tollgate-plan"), Some(&*format!("of-{product}")));
        }
    }

    /// Once `orders` has taken its credential away, `stock` lets in as before.
    fn expect_apart(&self, made: &[Value; 2], ask: impl Fn(&str) -> Response) {
        self.expect_both(&ask);
        self.operator.revoke(&self.gateway, made[0]["id"].as_u64().expect("an id"));
        ask("orders").expect_failure(401);
        ask("stock").expect(200);
    }
}

fn client(name: &str) -> Value {
    json!({ "kind": "jwt", "verifier": "main", "claim": name })
}

fn a_client_of_an_issuer_calls_several_products(driver: Driver) {
    let market = Market::open(driver);
    let made = market.give(&client("client-1"));
    let mut says = claims();
    says["client_id"] = "client-1".into();
    let token = format!("Authorization: Bearer {}\r\n", market.issuer.token(&says));
    market.expect_apart(&made, |product| market.ask(product, &token));
}

fn a_certificate_calls_several_products(driver: Driver) {
    let market = Market::open(driver);
    let own = market.signer.certify(&["orders.example"]);
    let print = own.fingerprint();
    let made = market.give(&json!({ "kind": "certificate", "fingerprint": print }));
    let tls = market.signer.client_with(&own);
    market.expect_apart(&made, |product| {
        let request = format!("GET /{product} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        Client::connect_tls(market.gateway.web(), &tls, "a.example").ask(&request)
    });
}

fn a_user_has_a_password_for_each_product(driver: Driver) {
    let market = Market::open(driver);
    let made = market.give(&json!({ "kind": "basic", "user": "ann" }));
    let basic = |key: &Value| {
        let pair = format!("ann:{}", key["key"].as_str().expect("a password"));
        format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
    };
    // Also where the answer is remembered, it is one product's.
    for _ in 0..2 {
        market.ask("orders", &basic(&made[1])).expect_failure(401);
        market.ask("stock", &basic(&made[0])).expect_failure(401);
    }
    market.expect_apart(&made, |product| {
        market.ask(product, &basic(&made[usize::from(product == "stock")]))
    });
}

fn within_a_product_each_is_one_applications(driver: Driver) {
    let market = Market::open(driver);
    let other = format!("{}/keys", market.application("orders"));
    for credential in [
        client("client-1"),
        json!({ "kind": "basic", "user": "ann" }),
        json!({ "kind": "certificate", "subject": "CN=ann" }),
    ] {
        market.give(&credential);
        market.operator.ask(&market.gateway, "POST", &other, &credential).expect(409);
    }
}
