//! The floor to measure against: receive, connect, forward; nothing is parsed.
//!
//! Each client connection gets one upstream connection of its own, and each direction one buffer
//! that is used again and again. The ring is set up as Tollgate's is.
//!
//! `relay LISTEN UPSTREAM` on the thread it is started on; `RELAY_DRIVER=epoll` forces
//! epoll, `RELAY_DRIVER=coop` a ring that runs its work when the kernel likes.

use std::io;
use std::net::SocketAddr;

use io_uring::IoUring;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Bytes per direction: big answers in few operations; small ones touch only its start.
const BUFFER: usize = 64 * 1024;

/// Submission entries; completions get `COMPLETIONS`.
const ENTRIES: u32 = 1024;
const COMPLETIONS: u32 = 8192;

fn main() {
    let addresses: Vec<SocketAddr> =
        std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [listen, upstream] = addresses[..] else {
        eprintln!("usage: relay LISTEN_ADDRESS UPSTREAM_ADDRESS");
        std::process::exit(2);
    };
    if let Err(error) = run(listen, upstream) {
        eprintln!("relay: {error}");
        std::process::exit(1);
    }
}

fn run(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let epoll_wanted = std::env::var("RELAY_DRIVER").is_ok_and(|driver| driver == "epoll");
    if let Some(ring) = (!epoll_wanted).then(best_ring).flatten() {
        let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES);
        return builder.uring_builder(ring).build()?.block_on(serve(listen, upstream));
    }
    eprintln!("relay: on epoll");
    RuntimeBuilder::<LegacyDriver>::new().build()?.block_on(serve(listen, upstream))
}

/// The first set of ring flags that this kernel takes; `None`: no io_uring at all.
fn best_ring() -> Option<io_uring::Builder> {
    let coop = std::env::var("RELAY_DRIVER").is_ok_and(|driver| driver == "coop");
    let first = if coop { 1 } else { 0 };
    for step in first..4 {
        let mut ring = IoUring::builder();
        ring.setup_cqsize(COMPLETIONS);
        match step {
            0 => ring.setup_submit_all().setup_single_issuer().setup_defer_taskrun(),
            1 => ring.setup_submit_all().setup_single_issuer().setup_coop_taskrun(),
            2 => ring.setup_submit_all(),
            _ => &mut ring,
        };
        if ring.build(ENTRIES).is_ok() {
            return Some(ring);
        }
    }
    None
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let options = ListenerOpts::new().reuse_port(true).reuse_addr(true).backlog(4096);
    let listener = TcpListener::bind_with_config(listen, &options)?;
    loop {
        if let Ok((client, _)) = listener.accept().await {
            monoio::spawn(pair(client, upstream));
        }
    }
}

async fn pair(client: TcpStream, upstream: SocketAddr) {
    let Ok(target) = TcpStream::connect_addr(upstream).await else { return };
    let _ = client.set_nodelay(true);
    let _ = target.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_target, to_target) = target.into_split();
    monoio::spawn(forward(from_client, to_target));
    forward(from_target, to_client).await;
}

async fn forward(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER);
    loop {
        let (received, full) = from.read(buffer).await;
        if !matches!(received, Ok(n) if n > 0) {
            break;
        }
        let (sent, mut empty) = to.write_all(full).await;
        if sent.is_err() {
            break;
        }
        empty.clear();
        buffer = empty;
    }
    let _ = to.shutdown().await;
}
