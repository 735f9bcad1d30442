//! Where a node listens that is not in a cluster file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use clap::Args;

use crate::cli::exit::{CliError, Exit};

/// Port for clients when none is named.
const HTTP_PORT: u16 = 7001;
/// Port for other nodes when none is named.
const QUIC_PORT: u16 = 7101;

/// Where to listen.
#[derive(Debug, Clone, Default, Args)]
pub struct Listen {
    /// The address by which other nodes and clients reach this one [default: 127.0.0.1].
    #[arg(long, value_name = "IP")]
    pub listen: Option<IpAddr>,
    /// Where it listens for clients; port 0 picks a free one [default: the address above, 7001].
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// Where it listens for other nodes; port 0 picks a free one [default: the address above,
    /// 7101].
    #[arg(long, value_name = "IP:PORT")]
    pub quic: Option<SocketAddr>,
}

impl Listen {
    /// The addresses, HTTP and QUIC, with free ports picked where 0 was asked for.
    pub fn resolve(&self) -> Result<(SocketAddr, SocketAddr), CliError> {
        let ip = self.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let http = self.http.unwrap_or(SocketAddr::new(ip, HTTP_PORT));
        let quic = self.quic.unwrap_or(SocketAddr::new(ip, QUIC_PORT));
        for (option, address) in [("--http", http), ("--quic", quic)] {
            if address.ip().is_unspecified() {
                let message = format!(
                    "{option} {address}: name the address by which other nodes reach this one, \
                     for they are told it"
                );
                return Err(CliError::new(Exit::Usage, message));
            }
        }
        let free = |address: SocketAddr, bound: std::io::Result<SocketAddr>| {
            bound.map_err(|error| {
                let message = format!("{address} cannot be listened on: {error}");
                CliError::local(message)
            })
        };
        let tcp = || TcpListener::bind(http).and_then(|bound| bound.local_addr());
        let udp = || UdpSocket::bind(quic).and_then(|bound| bound.local_addr());
        Ok((free(http, tcp())?, free(quic, udp())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_picked_and_addresses_of_nowhere_refused() {
        let listen = Listen {
            listen: None,
            http: Some("127.0.0.1:0".parse().unwrap()),
            quic: Some("127.0.0.1:0".parse().unwrap()),
        };
        let (http, quic) = listen.resolve().unwrap();
        assert!(http.port() > 0 && quic.port() > 0);
        let nowhere = Listen { listen: Some("0.0.0.0".parse().unwrap()), ..Listen::default() };
        let error = nowhere.resolve().unwrap_err();
        assert!(error.message.contains("--http 0.0.0.0"), "{error}");
        let held = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = Listen { quic: held.local_addr().ok(), ..listen };
        assert!(taken.resolve().unwrap_err().message.contains("cannot be listened on"));
    }
}
