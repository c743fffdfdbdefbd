//! Response heads: whole and byte by byte alike; and as the answer to a request for WebSocket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate::http::h1::{Asked, Scan, parse_response};
use tollgate::http::upgrade::{WEBSOCKET, check_answer};
use tollgate::http::{Bad, Method, RequestHead, ResponseHead};

const MAX_HEAD: usize = 2048;

fn parse(buf: &mut [u8], scan: &mut Scan, to: Asked) -> Option<Result<ResponseHead, Bad>> {
    let mut head = ResponseHead::default();
    match parse_response(buf, scan, MAX_HEAD, to, &mut head) {
        Ok(true) => Some(Ok(head)),
        Ok(false) => None,
        Err(bad) => Some(Err(bad)),
    }
}

fuzz_target!(|data: &[u8]| {
    let method = if data.len() % 2 == 0 { Method::Get } else { Method::Head };
    let to = Asked { method, upgrade: data.len() % 3 == 0 };
    // Ends any head, so that a trickle comes to a verdict too.
    let mut text = [data, b"\r\n\r\n"].concat();
    let mut scan = Scan::default();
    let trickled = (0..=text.len()).find_map(|len| parse(&mut text[..len], &mut scan, to));
    let whole = parse(&mut text, &mut Scan::default(), to);
    if let Some(Ok(head)) = &whole {
        // A request without a key: no answer to it is right.
        let unasked = (&RequestHead::default(), &b""[..]);
        assert!(check_answer(WEBSOCKET, unasked, (head, &text)).is_err());
    }
    let said = |result: Option<Result<ResponseHead, Bad>>| {
        result.map(|r| r.map(|h| (h.status, h.reason, h.framing, h.keep_alive, h.len, h.fields)))
    };
    let (whole, trickled) = (said(whole), said(trickled));
    assert_eq!(whole, trickled);
    if let Some(Ok((status, reason, _, _, len, fields))) = whole {
        assert!((100..600).contains(&status) && len <= text.len());
        let head = &text[..len];
        let clean = |bytes: &[u8]| !bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
        assert!(clean(reason.of(head)));
        assert!(fields.iter().all(|f| clean(f.name.of(head)) && clean(f.value.of(head))));
    }
});
