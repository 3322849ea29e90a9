//! TLS towards a server (rustls, ring).

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

/// Whom to trust, and who we are.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Whose signature on the server's certificate counts.
    pub roots: Roots,
    /// Take any certificate, also a self-signed or an expired one. Whoever is in between can then read everything.
    pub accept_any_certificate: bool,
    /// The name the certificate must be for, if it is not the host's.
    pub server_name: Option<String>,
}

/// Whose signature counts.
#[derive(Clone, Default)]
pub enum Roots {
    /// The ones the system trusts.
    #[default]
    System,
    /// These, in PEM.
    Pem(Vec<u8>),
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Pem(_) => "Pem",
        })
    }
}

/// A client certificate and its key, for SASL `EXTERNAL` and services' fingerprints.
#[derive(Clone)]
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl TlsIdentity {
    /// Reads certificate and key from PEM; both may stand in one text.
    ///
    /// # Errors
    /// Says which of the two is missing.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).flatten().collect();
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        Ok(Self { chain, key: Arc::new(key) })
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity")
    }
}

/// Settings made ready: cheap to clone, shared by every connection to a network.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
    server_name: Option<Arc<str>>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}

/// What is wrong with TLS settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate to trust.
    #[error("there is no certificate authority to trust: install the system's (ca-certificates) or give a file")]
    NoRoots,
    /// No client certificate in the PEM.
    #[error("there is no certificate in the PEM text")]
    NoCertificate,
    /// No private key in the PEM.
    #[error("there is no private key in the PEM text")]
    NoKey,
    /// The host's name can be in no certificate.
    #[error("{0:?} is not a name that a certificate can be for")]
    BadServerName(String),
    /// rustls refused.
    #[error("the TLS settings do not work")]
    Rejected(#[source] rustls::Error),
}

impl TlsClient {
    /// Makes settings ready. Reads the system's roots, if those are wanted, once.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if settings.accept_any_certificate {
            Arc::new(AnyCertificate(provider))
        } else {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(&settings.roots)?), provider)
                .build()
                .map_err(|_| TlsError::NoRoots)?
        };
        let config = config(Arc::clone(&verifier), None)?;
        Ok(Self { config, verifier, server_name: settings.server_name.as_deref().map(Arc::from) })
    }

    /// The same trust, with a certificate of our own. The roots stay shared.
    ///
    /// # Errors
    /// Refuses a key that does not belong to the certificate.
    pub fn with_identity(&self, identity: &TlsIdentity) -> Result<Self, TlsError> {
        let config = config(Arc::clone(&self.verifier), Some(identity))?;
        Ok(Self { config, verifier: Arc::clone(&self.verifier), server_name: self.server_name.clone() })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        ServerName::try_from(name.clone()).map_err(|_| TlsError::BadServerName(name))
    }
}

fn config(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<&TlsIdentity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rejected)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(TlsError::Rejected)?,
        None => builder.with_no_client_auth(),
    };
    // Sessions last for weeks; a ticket cache per person would cost more memory than it saves time.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn roots(wanted: &Roots) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match wanted {
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::Pem(pem) => {
            store.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
        }
    }
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

/// Takes any certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
