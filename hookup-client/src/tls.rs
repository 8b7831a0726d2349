//! Whom a client trusts when it connects to `wss://`.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::ConfigError;

/// TLS settings for `wss://` addresses. Default: [`Tls::platform`].
#[derive(Clone, Default)]
pub struct Tls {
    roots: Roots,
}

#[derive(Clone, Default)]
enum Roots {
    #[default]
    Platform,
    Pem(Vec<u8>),
    Config(Arc<ClientConfig>),
}

impl Tls {
    /// Trusts what the operating system trusts.
    pub fn platform() -> Self {
        Self::default()
    }

    /// Trusts these certificate authorities alone, given as one or more PEM blocks.
    pub fn roots_pem(pem: impl Into<Vec<u8>>) -> Self {
        Self { roots: Roots::Pem(pem.into()) }
    }

    /// Uses a configuration of one's own, for client certificates and the like. Its ALPN protocols are replaced by
    /// `http/1.1`, as WebSockets need.
    pub fn config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self { roots: Roots::Config(config.into()) }
    }

    pub(crate) fn build(&self) -> Result<Arc<ClientConfig>, ConfigError> {
        let mut config = match &self.roots {
            Roots::Config(config) => ClientConfig::clone(config),
            Roots::Platform => {
                let builder = builder()?.with_platform_verifier().map_err(bad)?;
                builder.with_no_client_auth()
            }
            Roots::Pem(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    roots.add(certificate.map_err(bad)?).map_err(bad)?;
                }
                if roots.is_empty() {
                    return Err(bad("roots_pem has no certificate in it"));
                }
                builder()?.with_root_certificates(roots).with_no_client_auth()
            }
        };
        // awc cannot open a WebSocket over h2, and would be offered it.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(bad)
}

fn bad(problem: impl fmt::Display) -> ConfigError {
    ConfigError::new("tls", problem)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.roots {
            Roots::Platform => "Tls::Platform",
            Roots::Pem(_) => "Tls::Pem",
            Roots::Config(_) => "Tls::Config",
        })
    }
}
