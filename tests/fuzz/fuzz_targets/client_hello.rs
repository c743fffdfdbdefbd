//! The first message of TLS: whole and byte by byte alike; nothing behind it is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::accept::client_hello::parse;
use tollgate::limits::CLIENT_HELLO_MAX;

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    let mut needed = 0;
    let trickled = loop {
        match parse(&data[..needed]) {
            Ok(None) if needed < data.len() => needed += 1,
            verdict => break verdict,
        }
    };
    assert_eq!(whole, trickled);
    assert!(needed <= CLIENT_HELLO_MAX);
    if let Ok(Some(hello)) = whole
        && let Some(name) = hello.server_name
    {
        assert!(name.len() <= 253 && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(name.split('.').all(|label| !label.is_empty()));
    }
});
