//! A certificate authority of the test's own.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A test's authority and the server certificate it signed for `localhost` and 127.0.0.1.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate, PEM: what a client trusts.
    pub authority: String,
    /// The server's certificate, PEM.
    pub certificate: String,
    /// The server's key, PEM.
    pub key: String,
}

impl Certificates {
    /// Makes both.
    pub fn new() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new([]).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).expect("an authority");
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "irc.insp.test".to_owned()];
        let certificate = CertificateParams::new(names).expect("plain names").signed_by(&key, &issuer).expect("signed");
        Self { authority: authority_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The SHA-256 of the certificate in hexadecimal: what services know it by.
    pub fn fingerprint(&self) -> String {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-fingerprint", "-sha256"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("openssl");
        child.stdin.take().expect("piped").write_all(self.certificate.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends").stdout;
        let text = String::from_utf8(output).expect("a fingerprint");
        text.split('=').next_back().unwrap_or_default().trim().replace(':', "").to_ascii_lowercase()
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem` into a folder.
    pub fn write(&self, folder: &Path) {
        fs::write(folder.join("ca.pem"), &self.authority).expect("ca.pem");
        fs::write(folder.join("cert.pem"), &self.certificate).expect("cert.pem");
        fs::write(folder.join("key.pem"), &self.key).expect("key.pem");
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}
