//! Whom a client trusts when it connects to `wss://`, and how it proves who it is.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ConfigBuilder, InconsistentKeys, RootCertStore, WantsVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::{ConfigError, TlsFiles};

/// TLS settings for `wss://` addresses. Default: [`Tls::platform`].
///
/// ```no_run
/// # use hookup_client::{HookupClient, Tls};
/// HookupClient::builder("wss://example.org/ws")
///     .tls(Tls::roots_file("ca.pem").client_certificate_files("device.pem", "device.key"));
/// ```
///
/// Who wants to trust authorities of their own *and* those of the operating system gives a [configuration](Self::config)
/// whose verifier is made with `rustls_platform_verifier::Verifier::new_with_extra_roots`, or a [`roots_pem`](Self::roots_pem)
/// that has both.
#[derive(Clone, Default)]
pub struct Tls {
    roots: Roots,
    identity: Option<Identity>,
}

#[derive(Clone, Default)]
enum Roots {
    #[default]
    Platform,
    Pem(Pem),
    Config(Arc<ClientConfig>),
}

/// A certificate with those that lead to its authority, and its key.
#[derive(Clone)]
struct Identity {
    chain: Pem,
    key: Pem,
}

/// PEM blocks, or where they are to be read from.
#[derive(Clone)]
enum Pem {
    Given(&'static str, Vec<u8>),
    File(PathBuf),
}

impl Tls {
    /// Trusts what the operating system trusts.
    pub fn platform() -> Self {
        Self::default()
    }

    /// Trusts these certificate authorities alone, given as one or more PEM blocks.
    pub fn roots_pem(pem: impl Into<Vec<u8>>) -> Self {
        Self { roots: Roots::Pem(Pem::Given("roots_pem", pem.into())), identity: None }
    }

    /// Trusts the certificate authorities in this PEM file alone; it is read when the client starts.
    pub fn roots_file(path: impl AsRef<Path>) -> Self {
        Self { roots: Roots::Pem(Pem::file(path)), identity: None }
    }

    /// Uses a configuration of one's own. Its ALPN protocols are replaced by `http/1.1`, as WebSockets need.
    pub fn config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self { roots: Roots::Config(config.into()), identity: None }
    }

    /// Shows this certificate to a server that asks for one: PEM blocks, the client's own first and those that lead to its
    /// authority behind it, and the key (PKCS#8, PKCS#1 or SEC1), not encrypted. A [configuration](Self::config) brings
    /// its own instead.
    pub fn client_certificate_pem(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let of = |pem| Pem::Given("client_certificate_pem", pem);
        self.identity = Some(Identity { chain: of(chain.into()), key: of(key.into()) });
        self
    }

    /// The same from two PEM files, which are read when the client starts.
    pub fn client_certificate_files(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some(Identity { chain: Pem::file(chain), key: Pem::file(key) });
        self
    }

    /// What a configuration has.
    pub(crate) fn of_files(files: &TlsFiles) -> Result<Self, ConfigError> {
        let tls = files.roots.as_ref().map_or_else(Self::platform, Self::roots_file);
        match (&files.certificate, &files.key) {
            (None, None) => Ok(tls),
            (Some(chain), Some(key)) => Ok(tls.client_certificate_files(chain, key)),
            _ => Err(bad("a certificate goes with its key, and a key with its certificate")),
        }
    }

    pub(crate) fn build(&self) -> Result<Arc<ClientConfig>, ConfigError> {
        let builder = match &self.roots {
            Roots::Config(_) if self.identity.is_some() => {
                return Err(bad("a config brings its own client certificate"));
            }
            Roots::Config(config) => return Ok(over_http_1(ClientConfig::clone(config))),
            Roots::Platform => builder()?.with_platform_verifier().map_err(bad)?,
            Roots::Pem(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in pem.certificates()? {
                    roots.add(certificate).map_err(|error| bad(format_args!("{pem} has a bad one: {error}")))?;
                }
                builder()?.with_root_certificates(roots)
            }
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain.certificates()?, key.private_key()?)
                .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    bad(format_args!("the key of {key} is not that of the certificate of {chain}"))
                }
                error => bad(format_args!("the certificate of {chain} or the key of {key} cannot be used: {error}")),
            })?,
        };
        Ok(over_http_1(config))
    }
}

impl Pem {
    fn file(path: impl AsRef<Path>) -> Self {
        Self::File(path.as_ref().to_owned())
    }

    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        match self {
            Self::Given(_, pem) => Ok(pem.clone()),
            Self::File(path) => fs::read(path).map_err(|error| bad(format_args!("{self} cannot be read: {error}"))),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let certificates = CertificateDer::pem_slice_iter(&self.read()?).collect::<Result<Vec<_>, _>>();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(bad(format_args!("{self} has no certificate in it"))),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(bad(format_args!("{self}: {error}"))),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, ConfigError> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| match error {
            pem::Error::NoItemsFound => bad(format_args!("{self} has no private key in it that is not encrypted")),
            error => bad(format_args!("{self}: {error}")),
        })
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(setting, _) => f.write_str(setting),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// awc cannot open a WebSocket over h2, and would be offered it.
fn over_http_1(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.into()
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, ConfigError> {
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
