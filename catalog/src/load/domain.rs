//! The domain of a folder, as its product descriptors name it.

use std::collections::BTreeMap;
use std::path::Path;

use super::files;
use crate::yaml::{self, Document};
use crate::{Diagnostics, DomainName, Place};

/// Returns the domain that the product descriptors below `folder` name.
///
/// # Errors
/// A folder that cannot be read; products that name no domain, or several. Files with errors are left out:
/// [`load_domain`](super::load_domain) reports them.
pub fn domain_of(folder: &Path) -> Result<DomainName, Diagnostics> {
    let mut named: BTreeMap<String, Place> = BTreeMap::new();
    for file in files::find(folder)? {
        let Ok(document) = yaml::read(&file).and_then(|text| Document::parse(&text, &file)) else { continue };
        let json = document.to_json();
        if json["kind"].as_str() == Some("DataProduct")
            && let Some(domain) = json["domain"].as_str()
        {
            named.entry(domain.to_owned()).or_insert_with(|| document.place(&["domain".into()]));
        }
    }
    let mut domains = named.into_iter();
    match (domains.next(), domains.next()) {
        (Some((domain, _)), None) => Ok(DomainName::new(domain)),
        (None, _) => {
            let message = "no product below this folder has the key `domain`: name the domain yourself";
            Err(yaml::whole_file(folder, message.to_owned()))
        }
        (Some((first, _)), Some((second, place))) => {
            let message = format!(
                "the products below this folder belong to several domains, such as `{first}` and `{second}`: name the \
                 domain yourself"
            );
            Err(Diagnostics::one(place, message))
        }
    }
}
