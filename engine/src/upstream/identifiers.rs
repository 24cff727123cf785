//! Names as DataFusion's SQL planner reads them. Its own function is private.

use sqlparser::ast::Ident;

/// Returns a name in quotes as it is, and any other name with its ASCII letters in lower case.
pub(crate) fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DataFusion leaves other letters alone, so that `CREATE TABLE Ä` and `SELECT … FROM Ä` name one table.
    #[test]
    fn only_ascii_letters_change() {
        assert_eq!(normal(&Ident::new("Ärger")), "Ärger");
        assert_eq!(normal(&Ident::new("Orders")), "orders");
        assert_eq!(normal(&Ident::with_quote('"', "Orders")), "Orders");
    }
}
