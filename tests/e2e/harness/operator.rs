//! Who runs a gateway, by its admin API.

use std::process::Command;

use serde_json::Value;

use super::{BINARY, Client, Gateway, Response};

/// Somebody with a gateway's first token.
pub struct Operator {
    token: String,
}

impl Operator {
    /// The first of a gateway that has a store.
    pub fn of(gateway: &Gateway) -> Self {
        let made = Command::new(BINARY).args(["init", "-c"]).arg(gateway.config()).output();
        let token = String::from_utf8(made.expect("the binary runs").stdout).expect("a token");
        Self { token: token.trim().to_owned() }
    }

    /// Asks for this below `/v1`.
    pub fn ask(&self, gateway: &Gateway, method: &str, path: &str, body: &Value) -> Response {
        let (token, body) = (&self.token, body.to_string());
        let length = body.len();
        Client::once(
            gateway.admin(),
            &format!(
                "{method} /v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    }

    /// Makes something, and returns it.
    #[track_caller]
    pub fn make(&self, gateway: &Gateway, path: &str, body: &Value) -> Value {
        let made = self.ask(gateway, "POST", path, body).expect(201);
        serde_json::from_slice(&made.body).expect("JSON")
    }

    /// Revokes a credential of the first application.
    #[track_caller]
    pub fn revoke(&self, gateway: &Gateway, credential: u64) {
        let path = format!("/applications/1/keys/{credential}");
        self.ask(gateway, "DELETE", &path, &Value::Null).expect(204);
    }
}
