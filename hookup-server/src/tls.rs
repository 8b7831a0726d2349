//! TLS for a server that listens by itself.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ConfigBuilder, InconsistentKeys, RootCertStore, ServerConfig, WantsVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::{ConfigError, ServerBuilder, TlsFiles};

/// TLS settings for [`ServerBuilder::tls`].
#[derive(Clone)]
pub struct Tls {
    source: Source,
    client_ca: Option<PathBuf>,
}

#[derive(Clone)]
enum Source {
    Files { chain: PathBuf, key: PathBuf },
    Config(Arc<ServerConfig>),
}

impl From<&TlsFiles> for Tls {
    fn from(files: &TlsFiles) -> Self {
        Self { client_ca: files.client_ca.clone(), ..Self::files(&files.certificate, &files.key) }
    }
}

impl ServerBuilder {
    /// Speaks TLS on what [`listen`](Self::listen) binds. Default: it does not.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl Tls {
    /// A certificate and its key in PEM files, which are read when the server starts: the first with the server's own
    /// certificate first and those that lead to its authority behind it, the second with a key (PKCS#8, PKCS#1 or SEC1)
    /// that is not encrypted. TLS 1.2 and 1.3 are spoken.
    pub fn files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let (chain, key) = (chain.as_ref().to_owned(), key.as_ref().to_owned());
        Self { source: Source::Files { chain, key }, client_ca: None }
    }

    /// A configuration of one's own, for certificates that change, several names, and the like. `http/1.1` is added to
    /// its ALPN protocols.
    pub fn config(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self { source: Source::Config(config.into()), client_ca: None }
    }

    /// Lets only clients in that have a certificate of one of these authorities, given as a PEM file. With
    /// [`files`](Self::files); a [configuration](Self::config) says itself whom it trusts.
    pub fn client_ca(mut self, path: impl AsRef<Path>) -> Self {
        self.client_ca = Some(path.as_ref().to_owned());
        self
    }

    pub(crate) fn build(&self) -> Result<ServerConfig, ConfigError> {
        let (chain, key) = match (&self.source, &self.client_ca) {
            (Source::Config(config), None) => return Ok(ServerConfig::clone(config)),
            (Source::Config(_), Some(_)) => {
                return Err(bad("client_ca goes with files; a config brings its own verifier"));
            }
            (Source::Files { chain, key }, _) => (chain, key),
        };
        let verifier = match &self.client_ca {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client authorities", path)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| bad(format_args!("{} has a bad certificate: {error}", path.display())))?;
                }
                let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
                Some(builder.build().map_err(|error| bad(format_args!("{}: {error}", path.display())))?)
            }
            None => None,
        };
        let builder = match verifier {
            Some(verifier) => builder()?.with_client_cert_verifier(verifier),
            None => builder()?.with_no_client_auth(),
        };
        builder.with_single_cert(certificates("certificate", chain)?, private_key(key)?).map_err(|error| {
            let (chain, key) = (chain.display(), key.display());
            match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    bad(format_args!("the key in {key} is not that of the certificate in {chain}"))
                }
                error => bad(format_args!("the certificate in {chain} or the key in {key} cannot be used: {error}")),
            }
        })
    }
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read(what, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates =
        certificates.map_err(|error| bad(format_args!("the {what} file {}: {error}", path.display())))?;
    match certificates.is_empty() {
        true => Err(bad(format_args!("the {what} file {} has no certificate in it, in PEM", path.display()))),
        false => Ok(certificates),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(&read("key", path)?).map_err(|error| match error {
        Error::NoItemsFound => {
            bad(format_args!("the key file {} has no private key in it, in PEM and not encrypted", path.display()))
        }
        error => bad(format_args!("the key file {}: {error}", path.display())),
    })
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| bad(format_args!("the {what} file {} cannot be read: {error}", path.display())))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, ConfigError> {
    ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(bad)
}

fn bad(problem: impl fmt::Display) -> ConfigError {
    ConfigError::new("tls", problem)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Files { chain, key } => f
                .debug_struct("Tls")
                .field("chain", chain)
                .field("key", key)
                .field("client_ca", &self.client_ca)
                .finish(),
            Source::Config(_) => f.write_str("Tls::Config"),
        }
    }
}
