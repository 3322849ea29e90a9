//! The signing key as a file, in the form that Synapse uses: `ed25519 a_0123 BASE64`, where the last is the secret's 32 bytes.

use std::{fs, io, path::Path};

use base64::{
    Engine as _,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD_NO_PAD},
};

/// What comes before the secret in a PKCS#8 document of version 1 (RFC 8410 §7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Reads base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// A key of a file.
pub(super) struct FileKey {
    /// What tells it from other keys of the server.
    pub(super) version: String,
    /// The key as a PKCS#8 document.
    pub(super) der: Vec<u8>,
}

/// Reads the key of a file; `None` if there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<FileKey>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Never what is in it: it is the secret.
    parse(&text).map(Some).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "it is no signing key (a line `ed25519 VERSION BASE64`)")
    })
}

fn parse(text: &str) -> Option<FileKey> {
    let mut words = text.lines().find(|line| !line.trim().is_empty())?.split_whitespace();
    let (algorithm, version, secret) = (words.next()?, words.next()?, words.next()?);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if algorithm != "ed25519" || words.next().is_some() || !version.bytes().all(fits) {
        return None;
    }
    let secret: [u8; 32] = LENIENT.decode(secret).ok()?.try_into().ok()?;
    Some(FileKey { version: version.to_owned(), der: [&PKCS8[..], &secret].concat() })
}

/// Writes a key to a new file that its owner alone can read. An existing file is left alone.
pub(super) fn write(path: &Path, version: &str, der: &[u8]) -> io::Result<()> {
    let secret = secret(der).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the key has no secret"))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, format!("ed25519 {version} {}\n", STANDARD_NO_PAD.encode(secret)).as_bytes())?;
    file.sync_all()
}

/// The 32 bytes of the secret, wherever they are in the document: an octet string in an octet string.
fn secret(der: &[u8]) -> Option<&[u8]> {
    let marker = &PKCS8[12..];
    let at = der.windows(marker.len()).position(|window| window == marker)? + marker.len();
    der.get(at..at + 32)
}

#[cfg(test)]
mod tests {
    use ruma::signatures::Ed25519KeyPair;

    use super::*;

    #[test]
    fn a_key_survives_the_way_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        assert!(read(&path).unwrap().is_none());
        let der = Ed25519KeyPair::generate();
        write(&path, "a_1", &der).unwrap();
        assert!(write(&path, "a_2", &der).is_err(), "a key is never overwritten");
        let back = read(&path).unwrap().unwrap();
        let public = |der: &[u8]| Ed25519KeyPair::from_der(der, "x".to_owned()).unwrap().public_key().to_vec();
        assert_eq!((back.version.as_str(), public(&back.der)), ("a_1", public(&der)));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let secret = "A".repeat(43);
        assert!(parse(&format!("ed25519 a_test {secret}\n")).is_some());
        assert!(parse(&format!("\ned25519 a_test {secret}=\n")).is_some());
        for bad in ["", "ed25519 a", "rsa a_test AAAA", "ed25519 a_test AAAA", "ed25519 a:b AAAA", "ed25519 a b c"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.key");
        fs::write(&path, "ed25519 a_test SECRET").unwrap();
        assert!(!read(&path).err().unwrap().to_string().contains("SECRET"));
    }
}
