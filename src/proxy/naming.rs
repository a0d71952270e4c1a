//! Naming: the sockets on which questions about names arrive.
//!
//! In: DNS messages over UDP and TCP (RFC 1035, RFC 7766). Out: the answers of the configuration in force. Never: more connections
//! than `dns.connections`, a wait without an end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::geo::dns::Transport;

use super::server::bind;
use super::shared::Shared;

/// Bytes of a question over UDP that are read: larger ones are none.
const QUESTION_MAX: usize = 4096;
/// How long a TCP connection may say nothing (RFC 7766, section 6.2.3: a few seconds), and an answer may take to go out.
const IDLE: Duration = Duration::from_secs(10);
/// After a socket's error, so that one that lasts does not take a whole core.
const PAUSE: Duration = Duration::from_millis(50);

/// A UDP socket on `address`, also while a process that hands over still holds it where it is `shared`.
pub(super) fn bind_udp(address: SocketAddr, shared: bool) -> std::io::Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Answers on the addresses of the configuration that the process started with, until it ends.
pub(super) async fn serve(shared: Arc<Shared>) {
    let snapshot = shared.live.load();
    let Some(spec) = &snapshot.config.dns else { return };
    let room = Arc::new(Semaphore::new(spec.connections.get() as usize));
    for &address in &spec.listen {
        let sockets = bind_udp(address, true)
            .and_then(UdpSocket::from_std)
            .and_then(|udp| Ok((udp, TcpListener::from_std(bind(address, true)?)?)));
        match sockets {
            Ok((udp, tcp)) => {
                log::info!("answering for {} at {address}", spec.zone);
                tokio::spawn(datagrams(udp, shared.clone()));
                tokio::spawn(connections(tcp, room.clone(), shared.clone()));
            }
            Err(error) => log::error!("cannot answer for {} at {address}: {error}", spec.zone),
        }
    }
}

fn answer(shared: &Shared, question: &[u8], from: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
    let snapshot = shared.live.peek();
    let steering = snapshot.steering.as_ref()?;
    let now = shared.guard.clock.now().ns;
    steering.answer(&shared.guard.pops, snapshot.functions.geo.as_deref(), (question, from.ip(), transport), now)
}

async fn datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let mut room = [0; QUESTION_MAX];
    loop {
        let (size, from) = match socket.recv_from(&mut room).await {
            Ok(received) => received,
            Err(error) => {
                // Of an earlier answer that could not be delivered, as a rule.
                log::debug!("names: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let question = room.get(..size).unwrap_or_default();
        if let Some(bytes) = answer(&shared, question, from, Transport::Udp)
            && let Err(error) = socket.send_to(&bytes, from).await
        {
            log::debug!("names: an answer to {from}: {error}");
        }
    }
}

async fn connections(listener: TcpListener, room: Arc<Semaphore>, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // No room: closed at once, and the resolver asks another server.
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        if let Err(error) = connection(stream, from, &shared).await {
                            log::debug!("names: a connection of {from}: {error}");
                        }
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                log::warn!("names: cannot accept: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One question after another, each with its length before it (RFC 1035, section 4.2.2).
async fn connection(mut stream: TcpStream, from: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let mut question = Vec::new();
    loop {
        let read = async {
            let size = stream.read_u16().await?;
            question.resize(size.into(), 0);
            stream.read_exact(&mut question).await
        };
        tokio::time::timeout(IDLE, read).await??;
        let Some(bytes) = answer(shared, &question, from, Transport::Tcp) else { return Ok(()) };
        let Ok(size) = u16::try_from(bytes.len()) else { return Ok(()) };
        let framed = [&size.to_be_bytes()[..], &bytes].concat();
        tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
