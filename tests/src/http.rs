//! Plain HTTP requests, beside what the clients do.

use std::time::Duration;

use reqwest::Client;

/// An HTTP client of the test's own; loopback needs no proxy.
pub fn http() -> Client {
    // Fails when another part of the test did it already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("an HTTP client")
}
