//! A local certificate authority: a key that signs the certificates of the nodes of one mesh.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use portolan_node::{Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";
const NAME: &str = "Portolan local authority";
/// The number of years that certificates are valid.
const YEARS: i32 = 10;
const SECONDS_A_YEAR: u64 = 31_556_952;

/// An authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate of the authority, which clients trust.
    pub(super) pem: String,
    /// The files of a new authority: the certificate and the key.
    pub(super) new_files: Option<[(PathBuf, String); 2]>,
}

impl Authority {
    /// Reads the authority in a folder. If there is none, creates one, and writes nothing.
    ///
    /// # Errors
    /// Files that are no authority.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        if !certificate.exists() && !key.exists() {
            return Self::create(certificate, key)
                .map_err(|e| Error::failed("cannot create an authority").with_source(e));
        }
        let read = |file: &Path| {
            fs::read_to_string(file)
                .map_err(|e| Error::config(format!("cannot read {} of the authority", file.display())).with_source(e))
        };
        let (pem, key_pem) = (read(&certificate)?, read(&key)?);
        let issuer = KeyPair::from_pem(&key_pem).and_then(|key| Issuer::from_ca_cert_pem(&pem, key));
        // The error does not repeat the key.
        let issuer = issuer.map_err(|_| {
            Error::config(format!("{} has no certificate and key of an authority in PEM", folder.display()))
        })?;
        Ok(Self { issuer, pem, new_files: None })
    }

    fn create(certificate: PathBuf, key_file: PathBuf) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_dates(&mut params);
        let key = KeyPair::generate()?;
        let (pem, key_pem) = (params.self_signed(&key)?.pem(), key.serialize_pem());
        let new_files = Some([(certificate, pem.clone()), (key_file, key_pem)]);
        Ok(Self { issuer: Issuer::new(params, key), pem, new_files })
    }

    /// Returns a new certificate for these names and addresses, and its key, as PEM.
    ///
    /// # Errors
    /// A text that is neither a name nor an address.
    pub(super) fn certificate(&self, names: &[String]) -> Result<(String, String)> {
        let sign = || -> Result<(String, String), rcgen::Error> {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = named(names.first().map_or("localhost", String::as_str));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            set_dates(&mut params);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
        };
        sign()
            .map_err(|e| Error::config(format!("cannot create a certificate for {}", names.join(", "))).with_source(e))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sets the dates between which a certificate is valid. It begins in the year before, because clocks differ.
fn set_dates(params: &mut CertificateParams) {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let year = 1970 + i32::try_from(seconds / SECONDS_A_YEAR).unwrap_or_default();
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + YEARS, 1, 1);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_authority_signs_again_after_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        for (file, pem) in first.new_files.as_ref().unwrap() {
            fs::write(file, pem).unwrap();
        }
        let again = Authority::open(folder.path()).unwrap();
        assert_eq!(again.pem, first.pem);
        assert!(again.new_files.is_none());
        let (certificate, key) = again.certificate(&["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        assert!(certificate.contains("BEGIN CERTIFICATE") && key.contains("BEGIN PRIVATE KEY"));
        assert!(again.certificate(&["größe".to_owned()]).is_err());
    }

    #[test]
    fn other_files_are_no_authority() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(KEY), "se:cret").unwrap();
        assert!(Authority::open(folder.path()).err().unwrap().owner_chain().contains("ca.pem"));
        fs::write(folder.path().join(CERTIFICATE), "x").unwrap();
        let refused = Authority::open(folder.path()).err().unwrap().owner_chain();
        assert!(refused.contains("authority in PEM") && !refused.contains("se:cret"), "{refused}");
    }
}
