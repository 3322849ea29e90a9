//! Free ports, kept apart between tests that run at once in processes of their own.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use rand::RngExt;

/// A TCP port of loopback that no other test takes while this value lives.
///
/// Servers want their port in a file before they start, so binding port 0 would leave a gap in which another test can
/// take it. A locked file per port, below the system's ephemeral range, closes the gap.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Finds one.
    pub fn free() -> Self {
        let folder = std::env::temp_dir().join("landbridge-test-ports");
        fs::create_dir_all(&folder).expect("a folder for port locks");
        let start = rand::rng().random_range(0..10_000_u16);
        for offset in 0..10_000 {
            let number = 20_000 + (start + offset) % 10_000;
            let lock = File::create(folder.join(number.to_string())).expect("a port lock");
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between 20000 and 30000");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its number as text.
    pub fn text(&self) -> String {
        self.number.to_string()
    }

    /// Its address on loopback.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
