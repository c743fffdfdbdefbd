//! The machine beside rustls's own client, over memory.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::state::{State, Waits};
use crate::io::Buffer;

struct World {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn world(versions: &[&'static rustls::SupportedProtocolVersion]) -> World {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    World { server: Arc::new(server), client: Arc::new(client) }
}

const BOTH: [&[&rustls::SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];

fn client(world: &World) -> ClientConnection {
    let name = ServerName::try_from("a.example").unwrap();
    ClientConnection::new(world.client.clone(), name).unwrap()
}

/// Hands bytes to the machine as a read of the wire would, `step` at a time; gives the content.
fn feed(
    state: &mut State,
    mut bytes: &[u8],
    step: usize,
) -> Result<(Vec<u8>, Waits), rustls::Error> {
    let mut content = Vec::new();
    let mut waits = Waits::Handshake;
    while !bytes.is_empty() {
        let mut read = state.room_for_more(false);
        let n = bytes.len().min(step).min(read.free());
        read.append(&bytes[..n]);
        bytes = &bytes[n..];
        state.add(read);
        let mut into = Buffer::small();
        waits = state.advance(&mut into)?;
        content.extend_from_slice(into.data());
        loop {
            let mut more = Buffer::small();
            match state.take_content(&mut more) {
                Some(n) if n > 0 => content.extend_from_slice(more.data()),
                _ => break,
            }
        }
    }
    Ok((content, waits))
}

fn to_wire(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn from_wire(client: &mut ClientConnection, state: &mut State) -> Vec<u8> {
    let out = std::mem::take(state.outgoing());
    let mut bytes = out.data();
    let mut content = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let mut piece = [0; 20_000];
        while let Ok(n) = client.reader().read(&mut piece) {
            if n == 0 {
                break;
            }
            content.extend_from_slice(&piece[..n]);
        }
    }
    content
}

fn shake(client: &mut ClientConnection, state: &mut State, step: usize) {
    while client.is_handshaking() || client.wants_write() {
        let bytes = to_wire(client);
        feed(state, &bytes, step).unwrap();
        assert!(from_wire(client, state).is_empty());
    }
}

#[test]
fn content_goes_both_ways_whatever_the_reads() {
    for versions in BOTH {
        let world = world(versions);
        for step in [1, 7, 1000, 40_000] {
            let (mut client, mut state) =
                (client(&world), State::server(world.server.clone()).unwrap());
            shake(&mut client, &mut state, step);
            let question: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
            client.writer().write_all(&question).unwrap();
            let wire = to_wire(&mut client);
            assert_eq!(feed(&mut state, &wire, step).unwrap(), (question.clone(), Waits::Traffic));
            let mut rest = &question[..];
            while !rest.is_empty() {
                let n = state.encrypt(rest).unwrap();
                rest = &rest[n..];
            }
            assert_eq!(from_wire(&mut client, &mut state), question);
        }
    }
}

#[test]
fn an_end_is_told_from_a_cut() {
    for versions in BOTH {
        let world = world(versions);
        let (mut client, mut state) =
            (client(&world), State::server(world.server.clone()).unwrap());
        shake(&mut client, &mut state, 4000);
        let mut nothing = Buffer::small();
        assert_eq!(state.take_content(&mut nothing), None);
        client.send_close_notify();
        let wire = to_wire(&mut client);
        feed(&mut state, &wire, 4000).unwrap();
        assert_eq!(state.take_content(&mut nothing), Some(0));
        // Our side may still speak, and end.
        state.encrypt(b"late").unwrap();
        assert_eq!(from_wire(&mut client, &mut state), b"late");
        state.end().unwrap();
        assert!(!state.outgoing().is_empty());
    }
}

/// Half a message has come, and waits for its rest, when an answer is written.
#[test]
fn writing_in_the_middle_of_a_key_update() {
    let world = world(BOTH[1]);
    for cut in 1.. {
        let (mut client, mut state) =
            (client(&world), State::server(world.server.clone()).unwrap());
        shake(&mut client, &mut state, 4000);
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"after").unwrap();
        let wire = to_wire(&mut client);
        if cut == wire.len() {
            break;
        }
        let (early, _) = feed(&mut state, &wire[..cut], 1).unwrap();
        state.encrypt(b"meanwhile").unwrap();
        assert_eq!(from_wire(&mut client, &mut state), b"meanwhile");
        let (late, _) = feed(&mut state, &wire[cut..], 3).unwrap();
        assert_eq!([early, late].concat(), b"after");
        state.encrypt(b"then").unwrap();
        assert_eq!(from_wire(&mut client, &mut state), b"then");
    }
}

#[test]
fn what_is_no_tls_is_an_error_with_an_alert() {
    let world = world(BOTH[1]);
    let mut state = State::server(world.server.clone()).unwrap();
    assert!(feed(&mut state, b"\x17\x03\x03\x00\x05hello", 100).is_err());
    state.alert();
    assert_eq!(state.outgoing().data().first(), Some(&21));
}

#[test]
fn nothing_is_held_between_messages() {
    let world = world(BOTH[1]);
    let before = crate::io::buffer::held();
    let (mut client, mut state) = (client(&world), State::server(world.server.clone()).unwrap());
    shake(&mut client, &mut state, 4000);
    client.writer().write_all(b"question").unwrap();
    let wire = to_wire(&mut client);
    feed(&mut state, &wire, 4000).unwrap();
    state.encrypt(b"answer").unwrap();
    from_wire(&mut client, &mut state);
    assert_eq!(crate::io::buffer::held(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_is_an_error_or_a_wait(bytes in proptest::collection::vec(any::<u8>(), 1..600), step in 1usize..50) {
        let world = world(BOTH[1]);
        let mut state = State::server(world.server.clone()).unwrap();
        let _ = feed(&mut state, &bytes, step);
        state.alert();
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..300, change in 1u8..=255) {
        let world = world(BOTH[1]);
        let (mut client, mut state) = (client(&world), State::server(world.server.clone()).unwrap());
        shake(&mut client, &mut state, 4000);
        client.writer().write_all(&[7; 280]).unwrap();
        let mut wire = to_wire(&mut client);
        let at = at % wire.len();
        wire[at] ^= change;
        // A longer record is waited for; anything else is refused. Never other content. (The version in
        // a record's head says nothing and must be ignored: RFC 8446 section 5.1.)
        let says_nothing = at == 1 || at == 2;
        if let Ok((content, _)) = feed(&mut state, &wire, 1000) {
            prop_assert!(content.is_empty() || says_nothing && content == [7; 280]);
        }
    }
}

/// A server that takes early data, and a client that has a session of it.
fn world_with_session() -> World {
    let mut world = world(&[&rustls::version::TLS13]);
    let server = Arc::get_mut(&mut world.server).unwrap();
    server.max_early_data_size = 1000;
    server.send_half_rtt_data = true;
    Arc::get_mut(&mut world.client).unwrap().enable_early_data = true;
    let (mut client, mut state) = (client(&world), State::server(world.server.clone()).unwrap());
    while client.is_handshaking() || client.wants_write() {
        feed(&mut state, &to_wire(&mut client), 1000).unwrap();
        from_wire(&mut client, &mut state);
    }
    world
}

#[test]
fn early_data_comes_before_the_end_of_the_handshake_whatever_the_reads() {
    for step in [1, 7, 100, 40_000] {
        let world = world_with_session();
        let (mut client, mut state) =
            (client(&world), State::server(world.server.clone()).unwrap());
        client.early_data().unwrap().write_all(b"early").unwrap();
        let (content, waits) = feed(&mut state, &to_wire(&mut client), step).unwrap();
        assert_eq!((&content[..], waits), (&b"early"[..], Waits::Traffic), "{step}");
        assert!(state.agreed().is_handshaking());
        state.encrypt(b"soon").unwrap();
        assert_eq!(from_wire(&mut client, &mut state), b"soon");
        assert!(client.is_early_data_accepted());
        client.writer().write_all(b"late").unwrap();
        let (content, _) = feed(&mut state, &to_wire(&mut client), step).unwrap();
        assert_eq!(content, b"late");
        assert!(!state.agreed().is_handshaking());
        state.encrypt(b"later").unwrap();
        assert_eq!(from_wire(&mut client, &mut state), b"later");
    }
}

#[test]
fn more_early_data_than_was_allowed_is_an_error() {
    let world = world_with_session();
    let mut client = client(&world);
    client.early_data().unwrap().write_all(b"early").unwrap();
    // What the client was told then does not hold any more.
    let mut server = ServerConfig::clone(&world.server);
    server.max_early_data_size = 3;
    let mut state = State::server(Arc::new(server)).unwrap();
    assert!(feed(&mut state, &to_wire(&mut client), 1000).is_err());
    state.alert();
    assert!(!state.outgoing().is_empty());
}
