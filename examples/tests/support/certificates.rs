//! Certificates of the test's own.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signs"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// What somebody needs to be `name`.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("params");
        let certificate = params.signed_by(&key, &self.0).expect("signs");
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// What a server needs to be `name`.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        let Issued { chain, key } = self.issue(name);
        let chain = CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_no_client_auth();
        builder.with_single_cert(vec![chain], key).expect("a configuration")
    }
}

impl Issued {
    /// The two as files in a directory: the certificate's and the key's path.
    pub(crate) fn save(&self, dir: &Path) -> [PathBuf; 2] {
        [save(dir, "chain.pem", &self.chain), save(dir, "key.pem", &self.key)]
    }
}

pub(crate) fn save(dir: &Path, name: &str, content: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).expect("writes");
    path
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    rustls::crypto::ring::default_provider().into()
}
