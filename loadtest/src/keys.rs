//! Keys of applications: those that NGINX and HAProxy have in a map, and those that Tollgate gives.

use std::process::Command;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::engine::Engine;
use crate::peer::{CONFIG, Kind, Peer};
use crate::probe;

/// Applications, each with a key.
pub const KEYS: usize = 64;

/// What one answer of the admin API may take; it waits for the disk.
const ANSWER_NS: u64 = 5_000_000_000;

/// A key of those that proxies have in a map; as long as Tollgate's.
pub fn key(n: usize) -> String {
    format!("tg_{:0>40}", format!("{:x}", (n as u128 + 1) * 0x9E37_79B9_7F4A_7C15_F39C_C060))
}

/// The map file from keys to applications.
pub fn map(kind: Kind) -> String {
    let line = |n| match kind {
        Kind::Nginx => format!("\"{}\" \"app-{n}\";\n", key(n)),
        _ => format!("{} app-{n}\n", key(n)),
    };
    (0..KEYS).map(line).collect()
}

/// What `tollgate-keys.conf` has tokens signed with.
const TOKEN_SECRET: &[u8] = b"a secret that only this test knows";

/// A token (RFC 7519) that Tollgate takes until 2100.
pub fn token(n: usize) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = part(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = format!(
        r#"{{"iss":"https://id.example.com","sub":"client-{n}","exp":4102444800,"scope":"orders"}}"#
    );
    let signed = format!("{header}.{}", part(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, TOKEN_SECRET);
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Keys of applications that are signed up at a running Tollgate.
pub fn signed_up(engine: &mut Engine, peer: &Peer) -> Result<Vec<String>, String> {
    let token = first_token(peer)?;
    (0..KEYS).map(|n| sign_up(engine, peer, &token, n)).collect()
}

fn first_token(peer: &Peer) -> Result<String, String> {
    let mut command = Command::new(&peer.program);
    let output = command.arg("init").arg("-c").arg(peer.dir.join(CONFIG)).output();
    let output = output.map_err(|error| format!("{}: {error}", peer.program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().find(|word| word.starts_with("tgt_")).map(str::to_owned).ok_or_else(
        || {
            format!(
                "{} init gives no token: {}",
                peer.name,
                String::from_utf8_lossy(&output.stderr)
            )
        },
    )
}

fn sign_up(engine: &mut Engine, peer: &Peer, token: &str, n: usize) -> Result<String, String> {
    let body = format!(
        "{{\"account\":{{\"name\":\"account-{n}\"}},\
          \"application\":{{\"name\":\"app-{n}\",\"product\":\"shop\",\"plan\":\"gold\"}},\
          \"credential\":{{\"kind\":\"user_key\"}}}}"
    );
    let request = format!(
        "POST /v1/signups HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = probe::ask(engine, peer.admin, request.as_bytes(), ANSWER_NS);
    let answer = answer.map_err(|error| format!("{}: {error}", peer.name))?;
    let answer = String::from_utf8_lossy(&answer);
    let found = answer.split('"').find(|word| word.starts_with("tg_") && word.len() == 43);
    found.map(str::to_owned).ok_or_else(|| format!("{} gives no key:\n{answer}", peer.name))
}
