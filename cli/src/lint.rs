//! `portolan catalog lint`: checks descriptors on disk, without a node and without their data.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portolan_catalog::{
    Diagnostic, Diagnostics, DomainCatalog, DomainName, Place, Warning, domain_of, lint, load_domain, printable,
};
use portolan_node::{Error, Result};
use serde_json::{Value, json};

use crate::output::print;
use crate::units::show_number;

/// Arguments of `portolan catalog lint`.
#[derive(Args, Clone, Debug)]
pub struct LintArgs {
    #[command(flatten)]
    folder: Folder,
    /// Fail if there are warnings
    #[arg(long)]
    strict: bool,
    /// The format of the output
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    format: LintFormat,
}

/// A folder with descriptors.
#[derive(Args, Clone, Debug)]
struct Folder {
    /// The folder with the descriptors
    #[arg(long, value_name = "DIR", default_value = "products")]
    products: PathBuf,
    /// The domain that the descriptors belong to [default: the `domain` of the products]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
}

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// One line for each error and each warning
    Text,
    /// One JSON object with all errors and warnings
    Json,
}

/// Loads the descriptors in a folder. Without a domain, it is the one that the products name.
///
/// # Errors
/// Every fault of the descriptors.
pub(crate) fn load(products: &std::path::Path, domain: Option<&str>) -> Result<DomainCatalog, Diagnostics> {
    let domain = domain.map_or_else(|| domain_of(products), |name| Ok(DomainName::new(name)))?;
    load_domain(&domain, products)
}

/// Runs `portolan catalog lint`.
///
/// # Errors
/// Invalid descriptors; with `--strict`, warnings.
pub(crate) fn run(args: &LintArgs) -> Result<()> {
    let Folder { products, domain } = &args.folder;
    let (catalog, errors) = match load(products, domain.as_deref()) {
        Ok(catalog) => (Some(catalog), vec![]),
        Err(Diagnostics(errors)) => (None, errors),
    };
    let warnings = catalog.as_ref().map(lint).unwrap_or_default();
    let counts = catalog.as_ref().map(|catalog| (catalog.products.len() as u64, catalog.ports().count() as u64));
    match args.format {
        LintFormat::Json => print(&format!("{}\n", report(counts, &errors, &warnings)))?,
        LintFormat::Text => {
            let lines = warnings.iter().map(|warning| format!("{}\n", printable(&warning.to_string())));
            print(&lines.collect::<String>())?;
            if let Some((products_count, ports)) = counts {
                let what = format!("{} with {}", show_number(products_count, "product"), show_number(ports, "port"));
                let more = match warnings.len() as u64 {
                    0 => String::new(),
                    count => format!(", {}", show_number(count, "warning")),
                };
                print(&format!("{}: no errors in {what}{more}\n", products.display()))?;
            }
        }
    }
    match (errors.len() as u64, warnings.len() as u64) {
        (0, 0) => Ok(()),
        (0, count) if args.strict => {
            Err(Error::config(format!("got {}, and `--strict` permits none", show_number(count, "warning"))))
        }
        (0, _) => Ok(()),
        // The output has them.
        (count, _) if args.format == LintFormat::Json => Err(Error::config(show_number(count, "error"))),
        _ => Err(Diagnostics(errors).into()),
    }
}

/// Returns the numbers of products and ports, the errors and the warnings.
fn report(counts: Option<(u64, u64)>, errors: &[Diagnostic], warnings: &[Warning]) -> Value {
    let error = |error: &Diagnostic| {
        let mut entry = placed(Some(&error.place), &error.message);
        entry["suggestion"] = json!(error.suggestion);
        entry
    };
    let warning = |warning: &Warning| {
        let mut entry = placed(warning.place.as_ref(), &warning.message);
        entry["subject"] = json!(warning.subject);
        entry
    };
    json!({
        "products": counts.map(|(products, _)| products),
        "ports": counts.map(|(_, ports)| ports),
        "errors": errors.iter().map(error).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
    })
}

fn placed(place: Option<&Place>, message: &str) -> Value {
    let field = place.map(|place| place.field.as_str()).filter(|field| !field.is_empty());
    json!({
        "file": place.map(|place| place.file.display().to_string()),
        "line": place.and_then(|place| place.line),
        "field": field,
        "message": message,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_report_has_places_and_suggestions() {
        let place = Place { file: "products/a.yaml".into(), line: Some(7), field: "servers[0]".to_owned() };
        let error = Diagnostic { place, message: "unknown key `a`".to_owned(), suggestion: Some("b".to_owned()) };
        let (subject, message) = ("sales.orders".to_owned(), "the product has no owner".to_owned());
        let warning = Warning { subject, place: None, message };
        let expected = json!({
            "products": 1, "ports": 2,
            "errors": [{
                "file": "products/a.yaml", "line": 7, "field": "servers[0]", "message": "unknown key `a`",
                "suggestion": "b",
            }],
            "warnings": [{
                "file": null, "line": null, "field": null, "message": "the product has no owner",
                "subject": "sales.orders",
            }],
        });
        assert_eq!(report(Some((1, 2)), &[error], &[warning]), expected);
    }
}
