//! A listening socket before it is closed.
//!
//! The kernel completes connections by itself and holds them until they are accepted; those that it
//! holds when the listener is closed are reset, though their clients have sent requests. A packet
//! filter drops what would begin a new connection, so that all that there are can be accepted, and
//! then the listener is closed with none in it. A client whose first packet was dropped sends it
//! again after a second, and is refused then: it has sent nothing.

use std::io;
use std::os::fd::AsRawFd;

use tokio::net::TcpListener;

/// Where the flags are in a TCP header, which is where the packets of a TCP socket begin.
const FLAGS_AT: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// Instructions of the classic packet filter: the flags of a packet, those that matter, and whether
/// it begins a connection; none or all of the packet is passed.
const KEEP_OUT: [libc::sock_filter; 5] = [
    step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, FLAGS_AT),
    step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, SYN | ACK),
    step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, SYN),
    step(libc::BPF_RET | libc::BPF_K, 0, 0),
    step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
];

/// `other`: how many instructions are passed over when a comparison does not hold.
const fn step(code: u32, other: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: other, k }
}

/// From now on no new connections come to `listener`; those that were begun still do.
pub fn keep_out_new(listener: &TcpListener) -> io::Result<()> {
    let mut steps = KEEP_OUT;
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the descriptor is that of a socket that lives during the call; the option's value is a
    // `sock_fprog`, whose size is told, and which points to as many instructions as it says. The
    // kernel copies them before it returns.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn connections_that_were_made_are_there_and_new_ones_are_refused_once_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _before = TcpStream::connect(address).await.unwrap();
        keep_out_new(&listener).unwrap();
        listener.accept().await.unwrap();
        let late = tokio::spawn(TcpStream::connect(address));
        let none = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(none.is_err() && !late.is_finished(), "it still takes new connections");
        drop(listener);
        let refused = late.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
