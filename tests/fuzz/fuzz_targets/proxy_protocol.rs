//! PROXY headers: whole and byte by byte alike; nothing behind them is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::accept::proxy_protocol::parse;
use tollgate::config::AcceptProxyProtocol as Accept;

fuzz_target!(|data: &[u8]| {
    for accept in [Accept::V1, Accept::V2, Accept::Any] {
        let whole = parse(data, accept);
        let mut needed = 0;
        let trickled = loop {
            match parse(&data[..needed], accept) {
                Ok(None) if needed < data.len() => needed += 1,
                verdict => break verdict,
            }
        };
        assert_eq!(whole, trickled);
        if let Ok(Some(header)) = whole {
            assert_eq!(header.len, needed);
        }
    }
});
