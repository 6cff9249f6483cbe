//! A CA, certificates and kubeconfigs.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;

/// A CA, and the directory in which its certificates are.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key, in PKCS #8.
    pub key: PathBuf,
}

impl Authority {
    /// A new CA, whose certificate is `ca.crt` in `directory`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn new(directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "hello's test cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::create_dir_all(directory)?;
        fs::write(directory.join("ca.crt"), issuer.pem())?;
        fs::write(directory.join("ca.key"), issuer.key().serialize_pem())?;
        Ok(Self {
            issuer,
            directory: directory.to_owned(),
        })
    }

    /// The certificate of the CA.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The private key of the CA.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.join("ca.key")
    }

    /// A certificate for the user `name` in `group` as a client, and as a server at these names and
    /// addresses.
    ///
    /// # Errors
    ///
    /// If it cannot be signed or written.
    pub fn issue(&self, name: &str, group: &str, hosts: &[String]) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        if !group.is_empty() {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into()?),
            });
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let file = self.directory.join(name.replace(':', "-"));
        let identity = Identity {
            certificate: file.with_extension("crt"),
            key: file.with_extension("key"),
        };
        fs::write(&identity.certificate, certificate.pem())?;
        fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }

    /// A kubeconfig for the user `name` in `group`, for the API server at `server`.
    ///
    /// # Errors
    ///
    /// If it cannot be signed or written.
    pub fn kubeconfig(&self, server: &str, name: &str, group: &str) -> Result<PathBuf> {
        let Identity { certificate, key } = self.issue(name, group, &[])?;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "hello", "cluster": {
                "server": server,
                "certificate-authority": self.certificate(),
            }}],
            "users": [{"name": name, "user": {
                "client-certificate": certificate,
                "client-key": key,
            }}],
            "contexts": [{"name": "hello", "context": {"cluster": "hello", "user": name}}],
            "current-context": "hello",
        });
        let file = key.with_extension("kubeconfig");
        // JSON is YAML.
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        Ok(file)
    }
}
